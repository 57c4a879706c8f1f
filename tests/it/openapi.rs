//! `schemas/openapi.json` against the running server: every route, every status code of it, every body.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::{Failed, Trial};
use retention_signals::observe::status::WorkerPhase;
use serde_json::{Map, Value, json};

use crate::examples;
use crate::http::{Answer, Server, show_figures};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("openapi: the server answers as the document says", every_answer),
        Trial::test("openapi: the document has the server's routes", every_route),
        Trial::test("openapi: the document has the codes that are counted", counted_codes),
        Trial::test("openapi: the profile is that of its schema", profile),
    ]
}

fn document() -> Value {
    serde_json::from_str(&examples::read("schemas/openapi.json")).expect("JSON")
}

/// A request, the path in the document that it is of, and the code that it is answered with.
type Case = (&'static str, &'static str, u16);

const ALWAYS: &[Case] = &[
    ("/", "/", 200),
    ("/page.css", "/page.css", 200),
    ("/page.js", "/page.js", 200),
    ("/openapi.json", "/openapi.json", 200),
    ("/metrics", "/metrics", 200),
    ("/livez", "/livez", 200),
    ("/readyz", "/readyz", 503),
    ("/v1/status", "/v1/status", 200),
    ("/v1/customers/{key}", "/v1/customers/c1", 200),
    ("/v1/customers/{key}", "/v1/customers/c1?explain", 200),
    ("/v1/customers/{key}", "/v1/customers/c-1042?explain=yes&other=1", 200),
    ("/v1/customers/{key}", "/v1/customers/north%2Fc%201%25", 200),
    ("/v1/customers/{key}", "/v1/customers/%ff", 400),
    ("/v1/customers/{key}", "/v1/customers/nobody", 404),
    ("/v1/customers/{key}", "/v1/customers/restoring", 503),
    ("/v1/customers/{key}", "/v1/customers/elsewhere", 421),
    ("/v1/customers/{key}", "/v1/customers/stopped", 503),
];

fn every_answer() -> Result<(), Failed> {
    let mut check = Check { document: document(), answered: BTreeSet::new() };
    let open = Server::start(None);
    open.status.on_signals([crate::http::signal()]);
    for (path, request, code) in ALWAYS {
        check.answer(path, request, *code, &open.get(request))?;
    }
    show_figures(&open.metrics);
    check.answer("/v1/status", "/v1/status", 200, &open.get("/v1/status"))?;
    let too_long = format!("/v1/customers/{}", "c".repeat(1_026));
    check.answer("/v1/customers/{key}", &too_long, 400, &open.get(&too_long))?;
    let customer = "/v1/customers/c1";
    let rebound = open.ask(customer, "Host: shop.example\r\n");
    check.answer("/v1/customers/{key}", customer, 403, &rebound)?;
    open.pen.set_phase(WorkerPhase::Running);
    check.answer("/readyz", "/readyz", 200, &open.get("/readyz"))?;
    open.status.fail("the topic layout changed");
    check.answer("/livez", "/livez", 503, &open.get("/livez"))?;
    let locked = Server::start(Some("s3cret"));
    check.answer("/v1/customers/{key}", customer, 401, &locked.get(customer))?;
    check.answer("/v1/status", "/v1/status", 200, &locked.get("/v1/status"))?;
    let documented: BTreeSet<(String, u16)> = documented(&check.document).collect();
    assert_eq!(check.answered, documented, "answered, and documented");
    Ok(())
}

/// Paths and codes.
fn documented(document: &Value) -> impl Iterator<Item = (String, u16)> + '_ {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let codes = item["get"]["responses"].as_object().into_iter().flatten();
        codes.map(move |(code, _)| (path.clone(), code.parse().expect("a status code")))
    })
}

struct Check {
    document: Value,
    answered: BTreeSet<(String, u16)>,
}

impl Check {
    fn answer(&mut self, path: &str, request: &str, code: u16, answer: &Answer) -> Result<(), Failed> {
        let at = format!("{request}: {code}");
        if answer.status != code {
            return Err(format!("{at}: {} {}", answer.status, answer.body).into());
        }
        let response = &self.document["paths"][path]["get"]["responses"][code.to_string()];
        let header = |name: &str| {
            let start = format!("{}: ", name.to_ascii_lowercase());
            answer.head.lines().find_map(|line| line.strip_prefix(&start))
        };
        let content = header("content-type").ok_or_else(|| format!("{at}: no content type"))?;
        let schema = &response["content"][content]["schema"];
        if schema.is_null() {
            return Err(format!("{at}: the document has no {content}").into());
        }
        for (name, expected) in response["headers"].as_object().into_iter().flatten() {
            let expected = expected["schema"]["const"].as_str().map(str::to_ascii_lowercase);
            assert_eq!(header(name).map(str::to_owned), expected, "{at}: {name}");
        }
        let body = match content {
            "application/json" => serde_json::from_str(&answer.body)?,
            _ => Value::String(answer.body.clone()),
        };
        let errors: Vec<String> =
            self.validator(schema)?.iter_errors(&body).map(|error| error.to_string()).collect();
        if !errors.is_empty() {
            return Err(format!("{at}: {errors:?}\n{}", answer.body).into());
        }
        self.answered.insert((path.to_owned(), code));
        Ok(())
    }

    /// The document leaves objects open for what comes later; what is answered today is all in it.
    fn validator(&self, schema: &Value) -> Result<jsonschema::Validator, Failed> {
        let mut whole = schema.clone();
        whole["components"] = self.document["components"].clone();
        close(&mut whole);
        // Only ever a part of others.
        if let Some(position) = whole["components"]["schemas"]["Position"].as_object_mut() {
            position.remove("unevaluatedProperties");
        }
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        options.build(&whole).map_err(|error| error.to_string().into())
    }
}

/// `unevaluatedProperties` looks through `allOf`, which `additionalProperties` does not.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            close_parts(object);
            if object.contains_key("allOf") || object.get("properties").is_some_and(Value::is_object) {
                object.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is put together stays open on its own.
fn close_parts(object: &mut Map<String, Value>) {
    for part in object.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        part.as_object_mut().map(|part| part.remove("unevaluatedProperties"));
    }
}

/// The router names its paths in one place; a wildcard is a parameter.
fn every_route() -> Result<(), Failed> {
    let source = examples::read("src/observe/http/routes.rs");
    let routes = source.match_indices(".route(\"").filter_map(|(start, found)| {
        source[start + found.len()..].split('"').next().map(|path| path.replace("{*id}", "{key}"))
    });
    let document = document();
    let paths = document["paths"].as_object().map(|paths| paths.keys().cloned().collect());
    assert_eq!(Some(routes.collect::<BTreeSet<String>>()), paths);
    Ok(())
}

/// Every route and code that the server can count has a series from the start.
fn counted_codes() -> Result<(), Failed> {
    let mut counted: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for line in Server::start(None).get("/metrics").body.lines() {
        let Some(labels) = line.strip_prefix("retention_http_requests_total{code=\"") else { continue };
        let (code, rest) = labels.split_once('"').ok_or("a code")?;
        let route = rest.split('"').nth(1).ok_or("a route")?;
        counted.entry(route.to_owned()).or_default().insert(code.parse()?);
    }
    let mut expected: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for (path, code) in documented(&document()) {
        let route = match path.as_str() {
            "/metrics" | "/livez" | "/readyz" => &path[1..],
            "/v1/status" => "status",
            "/v1/customers/{key}" => "customers",
            _ => "page",
        };
        expected.entry(route.to_owned()).or_default().insert(code);
    }
    // Of no route: another method, a bug, too many requests at once; and what is not found counts as the page's.
    expected.values_mut().for_each(|codes| codes.extend([405, 500, 503]));
    expected.entry("page".to_owned()).or_default().insert(404);
    assert_eq!(counted, expected);
    Ok(())
}

/// The document stands alone, so it repeats the schema of profiles.
fn profile() -> Result<(), Failed> {
    let schema = examples::read("schemas/customers.schema.json");
    let moved = schema.replace("\"#/definitions/", "\"#/components/schemas/Profile/definitions/");
    let mut expected: Value = serde_json::from_str(&moved)?;
    expected.as_object_mut().map(|schema| schema.remove("$schema"));
    assert_eq!(document()["components"]["schemas"]["Profile"], expected);
    Ok(())
}
