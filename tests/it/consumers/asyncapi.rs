//! `schemas/asyncapi.json` against the program: its topics, its headers, its schemas.

use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};
use retention_signals::config::{self, Purpose, Sources};
use retention_signals::domain::values::time::Time;
use retention_signals::topic::{Input, Output, Topic};
use retention_signals::wire::encode::{CloudEvents, DeadLetter, Source};
use retention_signals::wire::hash::SignalId;
use retention_signals::wire::reason::{Reason, Refusal};
use serde_json::{Map, Value, json};

use crate::examples;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("asyncapi: channels are the topics", channels),
        Trial::test("asyncapi: headers are those that are written", headers),
        Trial::test("asyncapi: payloads are the schemas", payloads),
    ]
}

fn document() -> Value {
    serde_json::from_str(&examples::read("schemas/asyncapi.json")).expect("JSON")
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// A channel for each topic, under its default name, and the service on the right side of it.
fn channels() -> Result<(), Failed> {
    let document = document();
    let sources = Sources {
        host_name: Some("host".to_owned()),
        file_text: Some("[shop]\ncurrency = \"EUR\"\n".to_owned()),
        ..Sources::default()
    };
    let config = config::load(&sources, Purpose::Offline).map_err(|error| error.to_string())?;
    let mut expected = BTreeSet::new();
    let topics = Input::ALL
        .map(|input| (Topic::Input(input), input.name(), "receive"))
        .into_iter()
        .chain(Output::ALL.map(|output| (Topic::Output(output), output.name(), "send")));
    let mut operations = 0;
    for (topic, name, action) in topics {
        expected.insert(name.to_owned());
        assert_eq!(document["channels"][name]["address"], config.topics.name(topic), "{name}");
        let reference = json!({"$ref": format!("#/channels/{name}")});
        let found: Vec<&Value> = document["operations"]
            .as_object()
            .into_iter()
            .flat_map(Map::values)
            .filter(|operation| operation["channel"] == reference)
            .collect();
        assert_eq!(found.len(), 1, "operations of {name}");
        assert_eq!(found[0]["action"], action, "{name}");
        operations += 1;
    }
    assert_eq!(names(&document["channels"]), expected);
    assert_eq!(names(&document["operations"]).len(), operations);
    Ok(())
}

fn headers() -> Result<(), Failed> {
    let document = document();
    let check = |message: &str, written: &[(&str, &[u8])]| -> Result<(), Failed> {
        let schema = &document["components"]["messages"][message]["headers"];
        let mut closed = schema.clone();
        closed["additionalProperties"] = json!(false);
        let validator = jsonschema::validator_for(&closed).map_err(|error| error.to_string())?;
        let values: Map<String, Value> = written
            .iter()
            .map(|(name, value)| ((*name).to_owned(), String::from_utf8_lossy(value).into_owned().into()))
            .collect();
        let errors: Vec<String> =
            validator.iter_errors(&Value::Object(values)).map(|error| error.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{message}: {errors:?}").into()) }
    };
    let events = CloudEvents::new("shop");
    let time = Time::from_millis(1_743_869_700_123).ok_or("an instant")?;
    let signal = events.signal(SignalId(0xabc), time);
    let profile = events.profile(3, 17, 5, time);
    check("signal", &signal.as_array())?;
    check("signal", &signal.with_rule("win-back"))?;
    check("profile", &profile.as_array())?;
    for (message, written) in
        [("signal", &signal.with_rule("win-back")[..]), ("profile", &profile.as_array()[..])]
    {
        let written: BTreeSet<String> = written.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&document["components"]["messages"][message]["headers"]["properties"]), written);
    }
    // Cut and whole: together they have every header.
    let refusal = Refusal::new(Reason::InvalidTime, "placed_at has no offset");
    let source = Source { topic: "orders", partition: 3, offset: 12, timestamp_ms: Some(1_743_869_700_123) };
    let mut seen = BTreeSet::new();
    for bytes_max in [1 << 20, 600] {
        let letter = DeadLetter::new(&refusal, &source, Some(b"key"), Some(&[b'x'; 1_000]), bytes_max);
        let written = letter.headers();
        check("deadLetter", &written)?;
        seen.extend(written.iter().map(|(name, _)| (*name).to_owned()));
    }
    assert_eq!(names(&document["components"]["messages"]["deadLetter"]["headers"]["properties"]), seen);
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let listed =
        &document["components"]["messages"]["deadLetter"]["headers"]["properties"]["dlq_reason"]["enum"];
    assert_eq!(listed, &json!(reasons));
    Ok(())
}

/// What is read has the schema of its topic; what is written has the one for readers.
fn payloads() -> Result<(), Failed> {
    let document = document();
    for (message, schema) in [
        ("order", "orders"),
        ("return", "returns"),
        ("erasure", "erasures"),
        ("signal", "readers/signals"),
        ("profile", "readers/customers"),
        ("shopMetrics", "shop-metrics"),
        ("cohortMonth", "cohort-months"),
    ] {
        let payload = &document["components"]["messages"][message]["payload"];
        assert_eq!(payload["schema"]["$ref"], format!("./{schema}.schema.json"), "{message}");
        let schema = examples::schema(schema);
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "{message}");
        assert_eq!(payload["schemaFormat"], "application/schema+json;version=draft-07", "{message}");
    }
    Ok(())
}
