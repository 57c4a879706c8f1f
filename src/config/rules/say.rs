//! `say`: a table that is copied into signals, as JSON.

use std::fmt::Write;

use toml::de::{DeFloat, DeTable, DeValue};

use super::super::values::integer_text;
use super::values::kind;

/// How long the JSON is at most, in bytes.
const BYTES_MAX: usize = 1_024;

/// The table as a JSON object.
pub(super) fn say(value: &DeValue<'_>) -> Result<Box<str>, String> {
    let DeValue::Table(table) = value else {
        return Err(format!("is {}; give a table, such as {{ template = \"thank-you\" }}", kind(value)));
    };
    let mut json = String::new();
    object(table, &mut json)?;
    match json.len() {
        ..=BYTES_MAX => Ok(json.into()),
        length => Err(format!("takes {length} bytes as JSON; at most {BYTES_MAX} are copied into a signal")),
    }
}

fn object(table: &DeTable<'_>, json: &mut String) -> Result<(), String> {
    json.push('{');
    for (index, (name, value)) in table.iter().enumerate() {
        json.push_str(if index > 0 { "," } else { "" });
        string(name.get_ref(), json);
        json.push(':');
        put(value.get_ref(), json)?;
    }
    json.push('}');
    Ok(())
}

fn put(value: &DeValue<'_>, json: &mut String) -> Result<(), String> {
    match value {
        DeValue::String(text) => string(text, json),
        DeValue::Integer(number) => json.push_str(&integer_text(number)),
        DeValue::Float(number) => json.push_str(&float(number)?),
        DeValue::Boolean(truth) => json.push_str(if *truth { "true" } else { "false" }),
        DeValue::Datetime(instant) => string(&instant.to_string(), json),
        DeValue::Array(items) => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                json.push_str(if index > 0 { "," } else { "" });
                put(item.get_ref(), json)?;
            }
            json.push(']');
        }
        DeValue::Table(table) => object(table, json)?,
    }
    Ok(())
}

/// TOML's floats are JSON's, but for a plus and what is no number.
fn float(number: &DeFloat<'_>) -> Result<String, String> {
    let written = number.as_str();
    if written.ends_with("inf") || written.ends_with("nan") {
        return Err(format!("holds {written}, which JSON does not have; write it as a text"));
    }
    Ok(written.trim_start_matches('+').to_owned())
}

fn string(text: &str, json: &mut String) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\u{0}'..='\u{1f}' => write!(json, "\\u{:04x}", u32::from(letter)).expect("a String takes all"),
            _ => json.push(letter),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Result<Box<str>, String> {
        let document = DeTable::parse(line).expect("TOML");
        say(document.get_ref().get("say").expect("the key").get_ref())
    }

    #[test]
    fn a_table_becomes_a_json_object() {
        let json = said(
            "say = { a = \"x\\\"\\u0001\\\\é\", b = 0x10, c = [1.50, true], d = { e = 2026-11-27 }, f = 1_000, g = +2e3 }",
        );
        let json = json.expect("a table");
        assert_eq!(
            &*json,
            "{\"a\":\"x\\\"\\u0001\\\\é\",\"b\":16,\"c\":[1.50,true],\"d\":{\"e\":\"2026-11-27\"},\"f\":1000,\"g\":2e3}"
        );
    }

    #[test]
    fn what_no_signal_can_hold_is_refused() {
        for (line, message) in [
            ("say = 'hello'", "is a text; give a table"),
            ("say = { a = inf }", "holds inf"),
            (&format!("say = {{ a = '{}' }}", "x".repeat(1_017)), "takes 1025 bytes"),
        ] {
            let refused = said(line).expect_err(message);
            assert!(refused.contains(message), "{refused}");
        }
        assert!(said(&format!("say = {{ a = '{}' }}", "x".repeat(1_016))).is_ok());
    }
}
