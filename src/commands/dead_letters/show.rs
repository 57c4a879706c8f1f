//! `dead-letters show`: one dead letter, whole.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::list::time_text;
use crate::commands::dead_letters::ShowArguments;
use crate::exit::{Exit, Failure, output_closed};
use crate::kafka::{DeadLetterReader, StoredLetter};
use crate::topic::Partition;

pub(super) fn run(
    reader: &DeadLetterReader,
    arguments: &ShowArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let ShowArguments { partition, offset, json } = *arguments;
    let letter = reader.read_one(Partition(partition), offset)?.ok_or_else(|| {
        let topic = reader.topic();
        Failure::message(
            Exit::Data,
            format!("no record at offset {offset} of partition {partition} of {topic}: it was deleted, or never was"),
        )
    })?;
    let written = if json { writeln!(output, "{:#}", json_of(&letter)) } else { write(&letter, output) };
    written.or_else(output_closed)
}

fn write(letter: &StoredLetter, output: &mut impl Write) -> io::Result<()> {
    let mut line = |name: &str, value: &str| writeln!(output, "{name:16}  {value}");
    line("place", &format!("{} {}", letter.partition, letter.offset))?;
    line("refused at", &time_text(letter.refused_at_ms))?;
    for (name, value) in &letter.headers {
        line(name, &text(Some(value)))?;
    }
    line("key", &text(letter.key.as_deref()))?;
    line("value", &text(letter.value.as_deref()))
}

/// Bytes for a person.
fn text(bytes: Option<&[u8]>) -> String {
    match bytes.map(std::str::from_utf8) {
        None => "(null)".to_owned(),
        Some(Ok(text)) => text.to_owned(),
        Some(Err(_)) => format!("base64:{}", STANDARD.encode(bytes.unwrap_or_default())),
    }
}

fn json_of(letter: &StoredLetter) -> Value {
    let headers: Map<String, Value> =
        letter.headers.iter().map(|(name, value)| (name.clone(), text(Some(value)).into())).collect();
    let encoded = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    json!({
        "partition": letter.partition.0, "offset": letter.offset, "refused_at": time_text(letter.refused_at_ms),
        "headers": headers,
        "key": text(letter.key.as_deref()), "key_base64": encoded(&letter.key),
        "value": text(letter.value.as_deref()), "value_base64": encoded(&letter.value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dead_letters::letter_of;

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let mut letter = letter_of(3, 7, &[("dlq_reason", "invalid_utf8")]);
        letter.value = Some(b"\xff{".to_vec());
        let mut found = Vec::new();
        write(&letter, &mut found).expect("memory");
        let found = String::from_utf8(found).expect("UTF-8");
        let expected = "\
place             3 7
refused at        2024-06-01T00:00:00.007Z
dlq_reason        invalid_utf8
key               c1
value             base64:/3s=
";
        assert_eq!(found, expected);
        letter.value = None;
        let json = json_of(&letter);
        assert_eq!((&json["key"], &json["key_base64"]), (&json!("c1"), &json!("YzE=")));
        assert_eq!((&json["value"], &json["value_base64"]), (&json!("(null)"), &Value::Null));
        assert_eq!(json["headers"]["dlq_reason"], "invalid_utf8");
    }
}
