//! The schemas against themselves and against their examples. That the decoder refuses each invalid input for the reason it
//! names, and that what we write fits, is tested where decoder and encoders are.

use std::collections::BTreeSet;

use jsonschema::Validator;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::signals::signal::{CustomerType, State};
use retention_signals::wire::remark::{InputRemark, Remark};
use serde_json::{Map, Value};

use crate::examples::{self, INPUTS, InvalidExample, SCHEMAS, Settings, Verdict};

/// Keywords that mean the same in draft-07 and 2020-12, so that one file serves the validators of both.
const PORTABLE: [&str; 27] = [
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "definitions",
    "description",
    "else",
    "enum",
    "exclusiveMaximum",
    "if",
    "items",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
];

/// Reasons that depend on more than one record with its key: no example can show them.
const REASONS_OF_CONTEXT: [&str; 5] = ["wrong_partition", "too_old", "in_future", "erased", "unmapped"];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in SCHEMAS {
        let mut add = |what: &str, check: fn(&str) -> Result<(), Failed>| {
            trials.push(Trial::test(format!("schemas::{name}::{what}"), move || check(name)));
        };
        add("compiles_in_both_dialects", compiles_in_both_dialects);
        add("uses_portable_keywords", uses_portable_keywords);
        add("describes_every_property", describes_every_property);
        add("is_open_or_closed", is_open_or_closed);
        add("accepts_valid_examples", accepts_valid_examples);
        add("judges_invalid_examples", judges_invalid_examples);
    }
    trials.push(Trial::test("schemas::every_file_is_tested", every_file_is_tested));
    trials.push(Trial::test("schemas::lists_agree", lists_agree));
    trials.push(Trial::test("schemas::reasons_have_examples", reasons_have_examples));
    trials.push(Trial::test("schemas::examples_are_wrong_in_one_way", examples_are_wrong_in_one_way));
    trials
}

fn compiles_in_both_dialects(name: &str) -> Result<(), Failed> {
    for dialect in Dialect::BOTH {
        dialect.validator(name)?;
    }
    Ok(())
}

fn uses_portable_keywords(name: &str) -> Result<(), Failed> {
    let schema = examples::schema(name);
    let definitions = keys(schema.get("definitions"));
    let mut used = BTreeSet::new();
    for_each_schema(&schema, &mut |at, schema| {
        for keyword in schema.keys() {
            if !PORTABLE.contains(&keyword.as_str()) {
                return Err(format!("{at}: {keyword} is not the same in both dialects").into());
            }
        }
        if let Some(reference) = schema.get("$ref") {
            // Draft-07 ignores what stands beside a reference, 2020-12 does not.
            ensure(schema.len() == 1, || format!("{at}: a reference stands alone"))?;
            let reference = reference.as_str().unwrap_or_default();
            let definition = reference.strip_prefix("#/definitions/").unwrap_or_default();
            ensure(definitions.contains(definition), || format!("{at}: no definition {reference}"))?;
            used.insert(definition.to_owned());
        }
        if let Some(items) = schema.get("items") {
            ensure(items.is_object(), || format!("{at}: a list of items has two meanings"))?;
        }
        Ok(())
    })?;
    let unused: Vec<_> = definitions.difference(&used).collect();
    ensure(unused.is_empty(), || format!("{name}: unused definitions {unused:?}"))
}

/// Users have no other source: each property says what it means.
fn describes_every_property(name: &str) -> Result<(), Failed> {
    let schema = examples::schema(name);
    ensure(schema.get("title").is_some(), || format!("{name}: no title"))?;
    for_each_schema(&schema, &mut |at, schema| {
        // Rules between fields repeat properties that are described where they are declared.
        if !declares(at, schema) {
            return Ok(());
        }
        ensure(schema.contains_key("description"), || format!("{at}: no description"))?;
        for (property, declared) in schema["properties"].as_object().into_iter().flatten() {
            let description = declared.get("description").and_then(Value::as_str);
            ensure(description.is_some_and(|text| text.ends_with(['.', ')'])), || {
                format!("{at}/{property}: no sentence describes it")
            })?;
        }
        Ok(())
    })
}

fn is_open_or_closed(name: &str) -> Result<(), Failed> {
    let input = INPUTS.contains(&name);
    for_each_schema(&examples::schema(name), &mut |at, schema| {
        if !declares(at, schema) {
            return Ok(());
        }
        if input {
            return ensure(!schema.contains_key("additionalProperties"), || {
                format!("{at}: closes what we read")
            });
        }
        ensure(schema.get("additionalProperties") == Some(&Value::Bool(false)), || {
            format!("{at}: leaves open what we write")
        })?;
        let properties = keys(schema.get("properties"));
        let required: BTreeSet<String> = strings(schema.get("required")).into_iter().collect();
        // A field of a part that may be off says when it is there.
        let says_when = |name: &&String| {
            let about = schema["properties"][name.as_str()]["description"].as_str();
            about.is_some_and(|about| about.contains("The field is there "))
        };
        let missing: Vec<_> = properties.difference(&required).filter(|name| !says_when(name)).collect();
        ensure(missing.is_empty() && required.is_subset(&properties), || {
            format!("{at}: what we write is always there: {missing:?}")
        })
    })
}

fn accepts_valid_examples(name: &str) -> Result<(), Failed> {
    let valid = examples::valid(name);
    ensure(!valid.is_empty(), || format!("{name}: no valid example"))?;
    for dialect in Dialect::BOTH {
        let validator = dialect.validator(name)?;
        for example in &valid {
            let record: Value = serde_json::from_str(&example.text)?;
            if let Some(error) = validator.iter_errors(&record).next() {
                let at = error.instance_path().to_string();
                return Err(format!("{}: {error} at {at:?} ({dialect:?})", example.path).into());
            }
        }
    }
    Ok(())
}

fn judges_invalid_examples(name: &str) -> Result<(), Failed> {
    let invalid = examples::invalid(name);
    ensure(!invalid.is_empty(), || format!("{name}: no invalid example"))?;
    for dialect in Dialect::BOTH {
        let validator = dialect.validator(name)?;
        for example in &invalid {
            if example.verdict == Verdict::NotApplicable {
                continue;
            }
            let value = example.value.as_deref().unwrap_or_default();
            let record: Value =
                serde_json::from_slice(value).map_err(|error| format!("{}: {error}", example.path))?;
            let verdict = match validator.is_valid(&record) {
                true => Verdict::Accepts,
                false => Verdict::Refuses,
            };
            ensure(verdict == example.verdict, || {
                format!("{}: the schema {verdict:?} it ({dialect:?})", example.path)
            })?;
        }
    }
    Ok(())
}

/// No test would read a schema or a folder of examples that no list names.
fn every_file_is_tested() -> Result<(), Failed> {
    let documents = ["asyncapi", "openapi"].map(|name| format!("schemas/{name}.json"));
    let schemas = SCHEMAS.iter().map(|name| format!("schemas/{name}.schema.json"));
    let expected: BTreeSet<String> = schemas.chain(documents).collect();
    let found: BTreeSet<String> = examples::files("schemas").into_iter().collect();
    ensure(found == expected, || format!("schemas: found {found:?}, expected {expected:?}"))
}

/// The schemas repeat a few closed lists, because each file stands alone.
fn lists_agree() -> Result<(), Failed> {
    let (signals, customers) = (examples::schema("signals"), examples::schema("customers"));
    let (letters, summary) = (examples::schema("dead-letters"), examples::schema("summary"));
    let list = |schema: &Value, pointer: &str| strings(schema.pointer(pointer));

    let states = State::ALL.map(State::name);
    for around in ["before", "after"] {
        let pointer = format!("/properties/state/properties/{around}/enum");
        same("states of a signal, beside null", &list(&signals, &pointer), &states)?;
    }
    same("states of a profile", &list(&customers, "/definitions/state/enum"), &states)?;
    let by_state = list(&summary, "/properties/customers/properties/by_state/required");
    same("states of a summary", &by_state, &states)?;

    let kinds =
        [CustomerType::OneTime, CustomerType::Recurring, CustomerType::Repeat, CustomerType::Returning];
    let declared = list(&customers, "/properties/customer_type/enum");
    same("customer types", &declared, &kinds.map(CustomerType::name))?;

    let reasons = list(&letters, "/definitions/reason/enum");
    let counted = list(&summary, "/properties/dead_letters/propertyNames/enum");
    same("reasons of a summary", &counted, &reasons)?;

    let remarks = list(&summary, "/properties/remarks/propertyNames/enum");
    same("remarks of a summary", &remarks, &Remark::ALL.map(Remark::name))?;
    let remarks = list(&summary, "/properties/input_remarks/propertyNames/enum");
    same("input remarks of a summary", &remarks, &InputRemark::ALL.map(InputRemark::name))
}

/// Every reason that one record can give is shown.
fn reasons_have_examples() -> Result<(), Failed> {
    let shown: BTreeSet<String> = INPUTS
        .iter()
        .flat_map(|name| examples::invalid(name))
        .map(|example| example.reason.ok_or(format!("{}: no reason", example.path)))
        .collect::<Result<_, _>>()?;
    let reasons = strings(examples::schema("dead-letters").pointer("/definitions/reason/enum"));
    let expected: BTreeSet<String> =
        reasons.into_iter().filter(|reason| !REASONS_OF_CONTEXT.contains(&reason.as_str())).collect();
    ensure(shown == expected, || format!("examples show {shown:?}, expected {expected:?}"))
}

/// An example with a wrong key beside its fault could be refused for either, so keys are right unless they are the fault.
fn examples_are_wrong_in_one_way() -> Result<(), Failed> {
    for example in INPUTS.iter().flat_map(|name| examples::invalid(name)) {
        let right = has_its_own_key(&example);
        match example.reason.as_deref() {
            Some("null_value") => {
                ensure(example.value.is_none(), || format!("{}: has a value", example.path))?
            }
            Some("key_mismatch") => {
                ensure(right == Some(false), || format!("{}: the key is right", example.path))?
            }
            _ => ensure(right != Some(false), || format!("{}: the key is wrong", example.path))?,
        }
    }
    Ok(())
}

/// None if the value has no customer that could be compared, or if a store is missing from it.
fn has_its_own_key(example: &InvalidExample) -> Option<bool> {
    let record: Value = serde_json::from_slice(example.value.as_deref()?).ok()?;
    let customer = examples::id(record.get("customer_id")?)?;
    let key = match example.settings {
        Settings::OneShop => customer,
        Settings::Stores => format!("{}/{customer}", examples::id(record.get("store_id")?)?),
    };
    Some(example.key.as_deref() == Some(key.as_bytes()))
}

#[derive(Clone, Copy, Debug)]
enum Dialect {
    Draft7,
    Draft202012,
}

impl Dialect {
    const BOTH: [Self; 2] = [Self::Draft7, Self::Draft202012];

    /// The schema's validator, after checking the schema against the dialect's own.
    fn validator(self, name: &str) -> Result<Validator, Failed> {
        let mut schema = examples::schema(name);
        let validator = match self {
            Self::Draft7 => {
                jsonschema::draft7::meta::validate(&schema).map_err(|error| error.to_string())?;
                jsonschema::draft7::new(&schema)
            }
            Self::Draft202012 => {
                schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
                jsonschema::draft202012::meta::validate(&schema).map_err(|error| error.to_string())?;
                jsonschema::draft202012::new(&schema)
            }
        };
        validator.map_err(|error| format!("{name} as {self:?}: {error}").into())
    }
}

type Visit<'a> = dyn FnMut(&str, &Map<String, Value>) -> Result<(), Failed> + 'a;

/// Visits a schema and all schemas within it, with where they stand.
fn for_each_schema(schema: &Value, visit: &mut Visit<'_>) -> Result<(), Failed> {
    descend("#", schema, visit)
}

fn descend(at: &str, schema: &Value, visit: &mut Visit<'_>) -> Result<(), Failed> {
    let Some(schema) = schema.as_object() else {
        return Ok(());
    };
    visit(at, schema)?;
    for (keyword, value) in schema {
        let at = format!("{at}/{keyword}");
        match keyword.as_str() {
            "properties" | "definitions" => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    descend(&format!("{at}/{name}"), schema, visit)?;
                }
            }
            "allOf" | "anyOf" | "oneOf" => {
                for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
                    descend(&format!("{at}/{index}"), schema, visit)?;
                }
            }
            "additionalProperties" | "propertyNames" | "items" | "not" | "if" | "then" | "else" => {
                descend(&at, value, visit)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a schema declares an object with its properties, rather than a rule about some of them.
fn declares(at: &str, schema: &Map<String, Value>) -> bool {
    let object = schema.get("type").is_some_and(|kind| kind == "object");
    object && schema.contains_key("properties") && !at.contains("/then/")
}

fn keys(object: Option<&Value>) -> BTreeSet<String> {
    let object = object.and_then(Value::as_object);
    object.into_iter().flat_map(Map::keys).cloned().collect()
}

/// The strings of a list; what is no string (null in an enum) is left out.
fn strings(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn same<S: AsRef<str>>(what: &str, found: &[String], expected: &[S]) -> Result<(), Failed> {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    ensure(!found.is_empty() && found == expected, || format!("{what}: {found:?}, expected {expected:?}"))
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), Failed> {
    match holds {
        true => Ok(()),
        false => Err(message().into()),
    }
}
