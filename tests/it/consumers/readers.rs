//! The schemas for readers: open where those of the writer are closed, so that a field or a type that comes later is no fault, and every
//! record that a release has written still reads.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::examples;

/// Fields that 0.1.0 did not write.
const ADDED: [(&str, &str); 1] = [("customers", "truncated")];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in ["signals", "customers"] {
        let title = format!("readers: {name} are open where the writer's schema is closed");
        trials.push(Trial::test(title, move || is_derived(name)));
        let title = format!("readers: every released record of {name} reads");
        trials.push(Trial::test(title, move || {
            released_records_read(name).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    trials
}

fn is_derived(name: &str) -> Result<(), Failed> {
    let mut expected = examples::schema(name);
    open(&mut expected);
    let title = expected["title"].as_str().unwrap_or_default().replace("(output,", "(as readers see it,");
    expected["title"] = title.into();
    if name == "signals" {
        let signal_type = &mut expected["definitions"]["signal_type"];
        signal_type.as_object_mut().map(|of| of.remove("enum"));
        signal_type["type"] = json!("string");
        signal_type["pattern"] = json!("^[a-z_]+$");
    }
    for (_, field) in ADDED.iter().filter(|(schema, _)| *schema == name) {
        if let Some(required) = expected["required"].as_array_mut() {
            required.retain(|name| name != field);
        }
    }
    let found = examples::schema(&format!("readers/{name}"));
    if found == expected {
        return Ok(());
    }
    Err(format!("schemas/readers/{name}.schema.json is to be\n{}", serde_json::to_string_pretty(&expected)?)
        .into())
}

fn open(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|keyword, value| !(keyword == "additionalProperties" && *value == json!(false)));
            object.values_mut().for_each(open);
        }
        Value::Array(items) => items.iter_mut().for_each(open),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What each release has written, from its fixtures, and today's examples.
fn released_records_read(name: &str) -> Result<()> {
    let validator = jsonschema::validator_for(&examples::schema(&format!("readers/{name}")))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let file = if name == "signals" { "signals.jsonl.gz" } else { "profiles.jsonl.gz" };
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state-v1");
    let mut records: Vec<Value> = examples::valid(name)
        .iter()
        .map(|example| serde_json::from_str(&example.text))
        .collect::<Result<_, _>>()?;
    for folder in std::fs::read_dir(&state)?.collect::<Result<Vec<_>, _>>()? {
        for part in ["", "afterwards"] {
            let path = folder.path().join(part).join(file);
            if folder.path().is_dir() {
                records.extend(values(&path).with_context(|| path.display().to_string())?);
            }
        }
    }
    ensure!(records.len() > 300, "{} records", records.len());
    for mut record in records {
        // And with a field of a later release.
        record["of_a_later_release"] = json!({"any": "thing"});
        let errors: Vec<String> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
        ensure!(errors.is_empty(), "{errors:?}\n{record}");
    }
    Ok(())
}

/// The values of a file of published records, tombstones aside.
fn values(path: &Path) -> Result<Vec<Value>> {
    let mut text = String::new();
    GzDecoder::new(File::open(path)?).read_to_string(&mut text)?;
    let lines = text.lines().map(|line| Ok(serde_json::from_str::<Value>(line)?["value"].take()));
    lines.filter(|value| !matches!(value, Ok(Value::Null))).collect()
}
