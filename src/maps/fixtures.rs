//! Fixtures: records of which the right result is known, beside a map. `maps test` and the trials run them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::map_file::{MapFile, Options};
use super::{Content, Map, Mapped, Meta, SourceRecord, json};
use crate::domain::settings::{Shop, Shops};
use crate::domain::values::money::{Conversion, Currency};
use crate::domain::values::number::Decimal;
use crate::formats::native::{Decoder, Limits, from_rfc3339};
use crate::wire::reason::Refusal;

/// What fixtures hash with, so that their results are the same everywhere.
const SECRET: &[u8] = b"not a secret: fixtures are public";

/// What came of a map's fixtures.
#[derive(Debug)]
pub struct FixtureReport {
    pub cases: usize,
    pub differences: Vec<Difference>,
}

/// A fixture whose result is another than the expected one.
#[derive(Debug)]
pub struct Difference {
    /// The line of the fixture file, from 1.
    pub line: usize,
    pub about: String,
    pub expected: String,
    pub found: String,
}

/// One line of a fixture file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture<'a> {
    about: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    /// Instead of a value: bytes that may be no JSON.
    text: Option<String>,
    /// For maps of CSV files: a document as the program gets it.
    #[serde(borrow)]
    document: Option<&'a RawValue>,
    #[serde(default)]
    topic: String,
    key: Option<String>,
    timestamp: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    options: Options,
    expect: Vec<Value>,
}

/// Runs the fixtures of a map file; `open` gives the bytes of a file beside it.
///
/// # Errors
/// The map is wrong, or its fixtures cannot be read.
pub fn test_fixtures(
    text: &str,
    origin: &str,
    open: &dyn Fn(&std::path::Path) -> Result<Vec<u8>, String>,
) -> Result<FixtureReport, String> {
    let Some(fixtures) = MapFile::parse(text, origin)?.fixtures else {
        return Err(format!("{origin}: the map has no [fixtures]; docs/MAPS.md describes them"));
    };
    let name = fixtures.file.display();
    let bytes =
        open(&fixtures.file).map_err(|problem| format!("cannot read the fixtures {name}: {problem}"))?;
    let lines = String::from_utf8(bytes).map_err(|_| format!("{name} is no UTF-8"))?;
    let decoder = any_currency_decoder();
    let mut report = FixtureReport { cases: 0, differences: Vec::new() };
    for (index, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = index + 1;
        let fixture: Fixture<'_> =
            serde_json::from_str(line).map_err(|error| format!("{name}:{line_number}: {error}"))?;
        let map = Map::parse(text, origin, &fixture.options, Some(SECRET))?;
        let found =
            result(&map, &fixture, &decoder).map_err(|problem| format!("{name}:{line_number}: {problem}"))?;
        report.cases += 1;
        if found != fixture.expect {
            report.differences.push(Difference {
                line: line_number,
                about: fixture.about,
                expected: Value::Array(fixture.expect).to_string(),
                found: Value::Array(found).to_string(),
            });
        }
    }
    Ok(report)
}

fn result(map: &Map, fixture: &Fixture<'_>, decoder: &Decoder) -> Result<Vec<Value>, String> {
    let document;
    let content = match (fixture.value, &fixture.text, fixture.document) {
        (Some(value), None, None) => Content::Json(value.get().as_bytes()),
        (None, Some(text), None) => Content::Json(text.as_bytes()),
        (None, None, Some(value)) => {
            let value = json::read(value.get().as_bytes(), decoder.limits());
            document = value.map_err(|refusal| refusal.detail.into_owned())?;
            Content::Document(&document)
        }
        (None, None, None) | (Some(_), _, _) | (_, Some(_), _) => {
            return Err("give one of value, text and document".to_owned());
        }
    };
    let headers: Vec<(&str, &[u8])> =
        fixture.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let timestamp = match &fixture.timestamp {
        None => None,
        Some(text) => Some(from_rfc3339(text).ok_or("timestamp is no RFC 3339 time with an offset")?),
    };
    let meta = Meta {
        topic: &fixture.topic,
        key: fixture.key.as_ref().map(String::as_bytes),
        timestamp,
        headers: &headers,
    };
    Ok(described(map, map.records(&SourceRecord { content, meta }, decoder)))
}

/// A result as fixtures write it: `{"order": {…}}`, `{"skip": "…"}`, `{"refused": "…"}`.
pub fn described(map: &Map, mapped: Result<Mapped, Refusal>) -> Vec<Value> {
    let entry = |name: &str, value: Value| Value::Object([(name.to_owned(), value)].into_iter().collect());
    match mapped {
        Err(refusal) => vec![entry("refused", refusal.reason.name().into())],
        Ok(mapped) => {
            let records = mapped.records.iter().map(|record| {
                let mut value: Value =
                    serde_json::from_slice(&record.value).expect("an emitted record is JSON");
                shorten_items(&mut value);
                entry(record.kind.name(), value)
            });
            let skipped =
                mapped.skipped.iter().map(|skip| entry("skip", map.skip_reasons()[*skip].as_str().into()));
            records.chain(skipped).collect()
        }
    }
}

/// Items with SKUs alone as `skus`, as maps may write them too.
fn shorten_items(record: &mut Value) {
    let Some(fields) = record.as_object_mut() else { return };
    let skus = fields.get("items").and_then(Value::as_array).and_then(|items| {
        let sku = |item: &Value| match item.as_object() {
            Some(fields) if fields.len() == 1 => fields.get("sku").cloned(),
            Some(_) | None => None,
        };
        items.iter().map(sku).collect::<Option<Vec<Value>>>()
    });
    if let Some(skus) = skus {
        fields.remove("items");
        fields.insert("skus".to_owned(), skus.into());
    }
}

/// A decoder for trying maps without a configuration: it takes every currency of ISO 4217.
pub fn any_currency_decoder() -> Decoder {
    let euro = Currency::from_code(b"EUR").expect("a currency");
    let one = Decimal::parse("1").expect("a number");
    let currencies = (0..=u16::MAX).filter_map(Currency::from_bits);
    let conversions = currencies
        .filter(|currency| currency.has_digits() && *currency != euro)
        .filter_map(|currency| Conversion::new(currency, one, euro, one))
        .collect();
    let shop = Shop { conversions, ..Shop::in_currency(euro) };
    Decoder::new(Shops::One(shop), Limits { bytes_max: 16 << 20, ..Limits::default() })
}
