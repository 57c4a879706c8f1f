//! The lists of fields of output records against what repeats them: the schemas, and the tables of `docs/RECORDS.md`.

use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::wire::encode::fields::{Field, Shape};
use retention_signals::wire::encode::{
    cohort_fields, cohort_month_fields, dead_letter_fields, profile_fields, shop_metrics_fields,
    signal_data_fields, signal_fields, summary_fields,
};
use serde_json::{Map, Value, json};

use crate::examples;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for record in records() {
        let name = format!("fields::{}::schema_holds_the_list", record.schema);
        trials.push(Trial::test(name, move || schema_holds_the_list(&record)));
    }
    for record in records() {
        let name = format!("fields::{}::page_holds_the_list", record.schema);
        trials.push(Trial::test(name, move || page_holds_the_list(&record)));
    }
    trials
}

/// A kind of record that is written.
struct Record {
    schema: &'static str,
    /// Headings of `docs/RECORDS.md` under which its fields are explained.
    sections: &'static [&'static str],
    fields: Vec<Field>,
}

fn records() -> [Record; 7] {
    [
        Record { schema: "signals", sections: &["Signals"], fields: signal_fields().to_vec() },
        Record { schema: "customers", sections: &["Profiles"], fields: profile_fields() },
        Record { schema: "shop-metrics", sections: &["Shop metrics"], fields: shop_metrics_fields() },
        Record { schema: "cohorts", sections: &["Cohorts"], fields: cohort_fields().to_vec() },
        Record {
            schema: "cohort-months",
            sections: &["Cohorts of a month"],
            fields: cohort_month_fields().to_vec(),
        },
        Record {
            schema: "summary",
            sections: &["Summary", "Shop metrics"],
            fields: summary_fields().to_vec(),
        },
        Record { schema: "dead-letters", sections: &["Dead letters"], fields: dead_letter_fields().to_vec() },
    ]
}

fn same(at: &str, found: &Value, expected: &Value) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{at}: {found}\nexpected {expected}").into()) }
}

/// Same fields, in the same order, of the same types, with the same meanings.
fn schema_holds_the_list(record: &Record) -> Result<(), Failed> {
    let schema = examples::schema(record.schema);
    let check = Check { schema: &schema };
    check.object(record.schema, &schema, &record.fields)?;
    if record.schema == "signals" {
        for signal_type in SignalType::ALL {
            let name = format!("data_{}", signal_type.name());
            check.object(&name, &schema["definitions"][&name], signal_data_fields(signal_type))?;
        }
    }
    Ok(())
}

struct Check<'s> {
    schema: &'s Value,
}

impl Check<'_> {
    fn object(&self, at: &str, schema: &Value, fields: &[Field]) -> Result<(), Failed> {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let is_required = |field: &&Field| !matches!(field.shape, Shape::Optional(_));
        let always: Vec<&str> = fields.iter().filter(is_required).map(|field| field.name).collect();
        let required = if names.is_empty() { &schema["properties"] } else { &schema["required"] };
        let expected = if names.is_empty() { json!({}) } else { json!(always) };
        same(&format!("{at}: fields"), required, &expected)?;
        let properties = schema["properties"].as_object().map_or(0, Map::len);
        same(&format!("{at}: properties"), &json!(properties), &json!(names.len()))?;
        for field in fields {
            let at = format!("{at}.{}", field.name);
            let property = &schema["properties"][field.name];
            same(&format!("{at}: description"), &property["description"], &json!(field.about))?;
            let mut property = property.as_object().cloned().unwrap_or_default();
            property.remove("description");
            self.shape(&at, &Value::Object(property), &field.shape)?;
        }
        Ok(())
    }

    /// A property without its description.
    fn shape(&self, at: &str, property: &Value, shape: &Shape) -> Result<(), Failed> {
        match shape {
            Shape::Defined(name) => same(at, property, &json!({"allOf": [reference(name)]})),
            Shape::Data | Shape::AnyObject => same(at, property, &json!({"type": "object"})),
            Shape::Count
            | Shape::From1
            | Shape::UpTo(_)
            | Shape::Between(..)
            | Shape::Number
            | Shape::Positive
            | Shape::Flag
            | Shape::Text
            | Shape::Pattern(_) => {
                let mut property = property.clone();
                // A file has a name.
                if let (Shape::Text, Some(property)) = (shape, property.as_object_mut()) {
                    property.remove("minLength");
                }
                same(at, &property, &plain(shape))
            }
            Shape::Names(names) => same(at, &self.resolved(property)["enum"], &json!(names)),
            Shape::Object(fields) => self.object(at, &self.resolved(property), fields),
            Shape::List(shape) => {
                let list = self.resolved(property);
                same(at, &list["type"], &json!("array"))?;
                self.shape(at, &json!({"allOf": [list["items"]]}), shape)
            }
            Shape::ByCurrency(shape) => {
                let map = self.resolved(property);
                same(at, &map["propertyNames"], &json!({"pattern": "^[A-Z]{3}$"}))?;
                self.shape(at, &map["additionalProperties"], shape)
            }
            Shape::Counts(names) => {
                let open = json!({"pattern": "^[a-z_]+$"});
                let expected = if names.is_empty() { open } else { json!({"enum": names}) };
                same(at, &property["propertyNames"], &expected)?;
                let mut counts = property["additionalProperties"].clone();
                counts.as_object_mut().map(|counts| counts.remove("description"));
                same(at, &counts, &plain(&Shape::Count))
            }
            Shape::Nullable(shape) => self.nullable(at, property, shape),
            Shape::Optional(shape) => self.shape(at, property, shape),
        }
    }

    fn nullable(&self, at: &str, property: &Value, shape: &Shape) -> Result<(), Failed> {
        match shape {
            Shape::Names(names) => {
                let mut expected = json!(names);
                expected.as_array_mut().expect("a list").push(Value::Null);
                same(at, &property["enum"], &expected)
            }
            Shape::Defined(_) | Shape::Object(_) | Shape::List(_) => {
                same(at, &property["anyOf"][1], &json!({"type": "null"}))?;
                self.shape(at, &json!({"allOf": [property["anyOf"][0]]}), shape)
            }
            Shape::Count
            | Shape::From1
            | Shape::UpTo(_)
            | Shape::Between(..)
            | Shape::Number
            | Shape::Positive
            | Shape::Flag
            | Shape::Text
            | Shape::Pattern(_)
            | Shape::AnyObject => {
                let mut expected = plain(shape);
                expected["type"] = json!([expected["type"], "null"]);
                same(at, property, &expected)
            }
            Shape::Data
            | Shape::ByCurrency(_)
            | Shape::Counts(_)
            | Shape::Nullable(_)
            | Shape::Optional(_) => Err(format!("{at}: no field is null or this").into()),
        }
    }

    /// Itself, or the definition that it refers to.
    fn resolved(&self, property: &Value) -> Value {
        let reference = property["allOf"][0]["$ref"].as_str();
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(property).clone()
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

/// What the schema says of a value without parts.
fn plain(shape: &Shape) -> Value {
    match shape {
        Shape::Count => json!({"type": "integer", "minimum": 0}),
        Shape::From1 => json!({"type": "integer", "minimum": 1}),
        Shape::UpTo(max) => json!({"type": "integer", "minimum": 0, "maximum": max}),
        Shape::Between(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Shape::Number => json!({"type": "number"}),
        Shape::Positive => json!({"type": "number", "minimum": 0}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Text => json!({"type": "string"}),
        Shape::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
        Shape::AnyObject => json!({"type": "object"}),
        Shape::Defined(_)
        | Shape::Names(_)
        | Shape::Object(_)
        | Shape::Data
        | Shape::ByCurrency(_)
        | Shape::Counts(_)
        | Shape::List(_)
        | Shape::Nullable(_)
        | Shape::Optional(_) => Value::Null,
    }
}

/// Each field, or each part of it, has a row in a table of its section, and each row a field.
fn page_holds_the_list(record: &Record) -> Result<(), Failed> {
    let page = examples::read("docs/RECORDS.md");
    let explained: BTreeSet<&str> =
        record.sections.iter().flat_map(|section| explained(&page, section)).collect();
    let missing: Vec<&str> = record
        .fields
        .iter()
        .filter(|field| !is_explained(field, "", &explained))
        .map(|field| field.name)
        .collect();
    let mut known = BTreeSet::new();
    collect(&record.fields, "", &mut known);
    // Two records share the explanation of the base metrics.
    let own = explained_in(&page, record.sections[0]);
    let unknown: Vec<&&str> = own.iter().filter(|name| !known.contains(**name)).collect();
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(format!("docs/RECORDS.md, {}: lacks {missing:?}, explains {unknown:?}", record.sections[0]).into())
}

fn explained_in<'p>(page: &'p str, section: &str) -> Vec<&'p str> {
    explained(page, section).collect()
}

/// The names in the first column of the tables of fields in a section.
fn explained<'p>(page: &'p str, section: &str) -> impl Iterator<Item = &'p str> {
    let heading = format!("## {section}");
    let lines = page.lines().skip_while(move |line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let mut in_table = false;
    let rows = lines.filter(move |line| {
        in_table = line.starts_with("| field |") || in_table && line.starts_with('|');
        in_table
    });
    rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
}

fn is_explained(field: &Field, above: &str, explained: &BTreeSet<&str>) -> bool {
    let path = format!("{above}{}", field.name);
    let has_row = explained.contains(path.as_str()) || explained.contains(field.name);
    let parts = parts(&field.shape);
    has_row
        || !parts.is_empty() && parts.iter().all(|part| is_explained(part, &format!("{path}."), explained))
}

/// Names and paths, and the ends of paths.
fn collect(fields: &[Field], above: &str, known: &mut BTreeSet<String>) {
    for field in fields {
        known.insert(field.name.to_owned());
        known.insert(format!("{above}{}", field.name));
        collect(parts(&field.shape), &format!("{}.", field.name), known);
    }
}

fn parts(shape: &Shape) -> &'static [Field] {
    match shape {
        Shape::Object(fields) => fields,
        Shape::Nullable(shape) | Shape::Optional(shape) | Shape::ByCurrency(shape) | Shape::List(shape) => {
            parts(shape)
        }
        Shape::Defined(_)
        | Shape::Count
        | Shape::From1
        | Shape::UpTo(_)
        | Shape::Between(..)
        | Shape::Number
        | Shape::Positive
        | Shape::Flag
        | Shape::Names(_)
        | Shape::Text
        | Shape::Pattern(_)
        | Shape::Data
        | Shape::AnyObject
        | Shape::Counts(_) => &[],
    }
}
