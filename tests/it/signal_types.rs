//! The table of signal types against everything that repeats it: schemas, documentation, dashboards.

use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::signals::kind::{CauseKind, Entry, SignalType};
use retention_signals::domain::signals::signal::State;
use serde_json::{Value, json};

use crate::examples;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("signal_types::schemas_hold_the_table", schemas_hold_the_table),
        Trial::test("signal_types::pages_hold_the_table", pages_hold_the_table),
        Trial::test("signal_types::dashboards_name_types_of_the_table", dashboards_name_types_of_the_table),
        Trial::test("signal_types::each_type_has_an_example", each_type_has_an_example),
        Trial::test("signal_types::lines_name_fields_of_the_data", lines_name_fields_of_the_data),
    ]
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    SignalType::ALL.into_iter().map(SignalType::entry)
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:#}\nexpected {expected:#}").into()) }
}

/// Names, causes, states and descriptions.
fn schemas_hold_the_table() -> Result<(), Failed> {
    let signals = examples::schema("signals");
    same("signal types", &signals["definitions"]["signal_type"]["enum"], &json!(SignalType::NAMES))?;
    let causes = CauseKind::ALL.map(CauseKind::name);
    same("causes", &signals["definitions"]["cause"]["properties"]["kind"]["enum"], &json!(causes))?;
    let branches: Vec<Value> = entries().map(branch).collect();
    same("the branches of signals.schema.json", &signals["allOf"], &Value::Array(branches))?;
    for entry in entries() {
        let data = &signals["definitions"][format!("data_{}", entry.name)];
        same(&format!("the description of data_{}", entry.name), &data["description"], &json!(entry.about))?;
    }
    Ok(())
}

/// What `signals.schema.json` says about one type.
fn branch(entry: &Entry) -> Value {
    let causes: Vec<&str> = entry.causes.iter().map(|cause| cause.name()).collect();
    let mut properties = json!({
        "data": {"$ref": format!("#/definitions/data_{}", entry.name)},
        "cause": {"properties": {"kind": {"enum": causes}}},
    });
    if let Some(state) = entry.after.map(State::name) {
        properties["state"] = json!({"properties": {"after": {"const": state}}});
    }
    json!({
        "if": {"properties": {"type": {"const": entry.name}}, "required": ["type"]},
        "then": {"properties": properties},
    })
}

/// `RECORDS.md` has a row with the data of each type, `DEFINITIONS.md` one that says when it is repeated.
fn pages_hold_the_table() -> Result<(), Failed> {
    let (records, definitions) = (examples::read("docs/RECORDS.md"), examples::read("docs/DEFINITIONS.md"));
    let signals = examples::schema("signals");
    for entry in entries() {
        let row = rows(&records, "| `type` | `data` |").find(|row| names(row[0]).contains(&entry.name));
        let row = row.ok_or_else(|| format!("docs/RECORDS.md has no row for {}", entry.name))?;
        let fields = signals["definitions"][format!("data_{}", entry.name)]["properties"].as_object();
        for field in fields.into_iter().flat_map(|fields| fields.keys()) {
            if !names(row[1]).contains(&field.as_str()) {
                return Err(format!("docs/RECORDS.md: the row of {} lacks {field}", entry.name).into());
            }
        }
        let row = rows(&definitions, "| signal | says |").find(|row| names(row[0]).contains(&entry.name));
        let row = row.ok_or_else(|| format!("docs/DEFINITIONS.md has no row for {}", entry.name))?;
        same(&format!("docs/DEFINITIONS.md, {}", entry.name), &json!(row[2]), &json!(entry.repeats.text()))?;
    }
    Ok(())
}

/// The cells of a table that begins with these columns.
fn rows<'p>(page: &'p str, header: &'p str) -> impl Iterator<Item = Vec<&'p str>> {
    let lines = page.lines().skip_while(move |line| !line.starts_with(header)).skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The words in backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A query for a type that no longer exists would show an empty graph.
fn dashboards_name_types_of_the_table() -> Result<(), Failed> {
    let mut found = BTreeSet::new();
    for path in examples::files("deploy/dashboards") {
        let text = examples::read(&path);
        found.extend(
            text.split("signal_type=\\\"")
                .skip(1)
                .filter_map(|rest| Some(rest.split_once('\\')?.0.to_owned())),
        );
    }
    let unknown: Vec<&String> = found.iter().filter(|name| SignalType::of_name(name).is_none()).collect();
    if found.is_empty() || !unknown.is_empty() {
        return Err(format!("dashboards ask for {found:?}, of which {unknown:?} do not exist").into());
    }
    Ok(())
}

fn each_type_has_an_example() -> Result<(), Failed> {
    let mut shown = BTreeSet::new();
    for example in examples::valid("signals") {
        let signal: Value = serde_json::from_str(&example.text)?;
        shown.insert(signal["type"].as_str().unwrap_or_default().to_owned());
    }
    let expected: BTreeSet<String> = SignalType::NAMES.map(str::to_owned).into();
    if shown == expected { Ok(()) } else { Err(format!("examples show {shown:?}").into()) }
}

/// The demo would leave a part out of which a field never comes.
fn lines_name_fields_of_the_data() -> Result<(), Failed> {
    let signals = examples::schema("signals");
    for entry in entries() {
        let data = &signals["definitions"][format!("data_{}", entry.name)]["properties"];
        for place in entry.line.split('{').skip(1) {
            let place = place.split('}').next().unwrap_or_default();
            let (field, form) = place.split_once(':').unwrap_or((place, "text"));
            let is_known = field == "currency" || !data[field].is_null();
            if !is_known || !["text", "number", "percent", "days"].contains(&form) {
                return Err(format!("{}: {{{place}}} stands for nothing", entry.name).into());
            }
        }
    }
    Ok(())
}
