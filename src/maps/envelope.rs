//! What producers wrap around a record. Each envelope is taken off only where it fits, in the order in which the map lists them.

use jaq_json::Val;

use crate::wire::reason::{Reason, Refusal};

/// A form in which a record may be wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Envelope {
    /// A byte 0 and four bytes of a schema's id, as clients of a schema registry write them.
    Confluent,
    /// `{schema, payload}` of Kafka Connect.
    Connect,
    /// CloudEvents in structured mode.
    CloudEvents,
    /// A changed row: `{before, after, op}`.
    Debezium,
}

/// The reason under which records without a value are passed over where rows of Debezium are read.
pub(super) const TOMBSTONE: &str = "tombstone";

impl Envelope {
    pub(super) const ALL: [Self; 4] = [Self::Confluent, Self::Connect, Self::CloudEvents, Self::Debezium];

    /// As map files name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Confluent => "confluent",
            Self::Connect => "connect",
            Self::CloudEvents => "cloudevents",
            Self::Debezium => "debezium",
        }
    }
}

const MAGIC: u8 = 0;
const PREFIX_BYTES: usize = 5;

/// The JSON behind the prefix of a schema registry's client.
pub(super) fn without_prefix<'a>(value: &'a [u8], envelopes: &[Envelope]) -> Result<&'a [u8], Refusal> {
    if value.first() != Some(&MAGIC) {
        return Ok(value);
    }
    let refuse = |detail: &'static str| Err(Refusal::new(Reason::MalformedJson, detail));
    match value.get(PREFIX_BYTES..).map(<[u8]>::trim_ascii_start) {
        Some(json) if matches!(json.first(), Some(b'{' | b'[')) => {
            if envelopes.contains(&Envelope::Confluent) {
                Ok(json)
            } else {
                refuse(
                    "the value begins with the prefix of a schema registry's client; list \"confluent\" in input.unwrap of the map",
                )
            }
        }
        Some(_) | None => refuse(
            "the value begins with byte 0 and goes on without JSON, as Avro and Protobuf of a schema registry do; only JSON is read: \
             have the producer use the JSON Schema serializer",
        ),
    }
}

/// Takes the envelopes off and adds what they say to `attributes`, which become fields of `$meta`.
pub(super) fn unwrap(
    mut value: Val,
    envelopes: &[Envelope],
    attributes: &mut Vec<(Val, Val)>,
) -> Result<Val, Refusal> {
    for envelope in envelopes {
        value = match envelope {
            Envelope::Confluent => value,
            Envelope::Connect => connect(value)?,
            Envelope::CloudEvents => cloud_event(value, attributes)?,
            Envelope::Debezium => changed_row(value, attributes),
        };
    }
    Ok(value)
}

fn connect(value: Val) -> Result<Val, Refusal> {
    let (Some(schema), Some(payload)) = (field(&value, "schema"), field(&value, "payload")) else {
        return Ok(value);
    };
    if fields(&value) != 2 || !matches!(schema, Val::Obj(_) | Val::Null) {
        return Ok(value);
    }
    if holds_packed_decimal(schema, payload) {
        let detail = "the schema has a decimal as base64; set decimal.format=NUMERIC in the JSON converter of Kafka Connect \
                      (for Debezium: decimal.handling.mode=string)";
        return Err(Refusal::new(Reason::InvalidAmount, detail));
    }
    Ok(payload.clone())
}

/// Whether a field of a decimal type is written as text: Connect's default is base64, which may look like digits.
fn holds_packed_decimal(schema: &Val, value: &Val) -> bool {
    let is_text = matches!(value, Val::TStr(_));
    match field(schema, "name").and_then(as_text) {
        Some("org.apache.kafka.connect.data.Decimal") => return is_text,
        Some("io.debezium.data.VariableScaleDecimal") => {
            return field(value, "value").is_some_and(|value| matches!(value, Val::TStr(_)));
        }
        Some(_) | None => {}
    }
    if let (Some(Val::Arr(fields)), Val::Obj(_)) = (field(schema, "fields"), value) {
        return fields.iter().any(|schema| {
            let name = field(schema, "field").and_then(as_text);
            name.and_then(|name| field(value, name)).is_some_and(|value| holds_packed_decimal(schema, value))
        });
    }
    if let (Some(items), Val::Arr(values)) = (field(schema, "items"), value) {
        return values.iter().any(|value| holds_packed_decimal(items, value));
    }
    false
}

fn cloud_event(value: Val, attributes: &mut Vec<(Val, Val)>) -> Result<Val, Refusal> {
    let is_event = ["specversion", "id", "source", "type"].iter().all(|name| field(&value, name).is_some());
    if !is_event {
        return Ok(value);
    }
    let Some(data) = field(&value, "data") else {
        if field(&value, "data_base64").is_some() {
            let detail = "the CloudEvent has data_base64; only JSON in data is read";
            return Err(Refusal::new(Reason::InvalidType, detail));
        }
        return Ok(value);
    };
    add(attributes, "cloudevent", &value, &["id", "source", "type", "subject", "time"]);
    Ok(data.clone())
}

fn changed_row(value: Val, attributes: &mut Vec<(Val, Val)>) -> Val {
    let (Some(operation), Some(_)) = (field(&value, "op").and_then(as_text), field(&value, "after")) else {
        return value;
    };
    let row = field(&value, if operation == "d" { "before" } else { "after" }).cloned();
    add(attributes, "debezium", &value, &["op", "ts_ms", "source"]);
    row.unwrap_or_default()
}

fn add(attributes: &mut Vec<(Val, Val)>, name: &str, value: &Val, names: &[&str]) {
    let fields =
        names.iter().filter_map(|name| Some((Val::from((*name).to_owned()), field(value, name)?.clone())));
    attributes.push((Val::from(name.to_owned()), Val::obj(fields.collect())));
}

fn field<'v>(value: &'v Val, name: &str) -> Option<&'v Val> {
    match value {
        Val::Obj(object) => object.get(&Val::from(name.to_owned())),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Arr(_) => None,
    }
}

fn fields(value: &Val) -> usize {
    match value {
        Val::Obj(object) => object.len(),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Arr(_) => 0,
    }
}

fn as_text(value: &Val) -> Option<&str> {
    match value {
        Val::TStr(text) => std::str::from_utf8(text).ok(),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(text: &str) -> Result<String, String> {
        let value = jaq_json::read::parse_single(text.as_bytes()).expect("JSON");
        let mut attributes = Vec::new();
        match unwrap(value, &Envelope::ALL, &mut attributes) {
            Ok(value) => Ok(format!("{value} {}", Val::obj(attributes.into_iter().collect()))),
            Err(refusal) => Err(refusal.detail.into_owned()),
        }
    }

    #[test]
    fn envelopes_are_taken_off_where_they_fit() {
        for (text, expected) in [
            (r#"{"schema":{},"payload":{"a":1}}"#, r#"{"a":1} {}"#),
            (r#"{"schema":{},"payload":{"a":1},"b":2}"#, r#"{"schema":{},"payload":{"a":1},"b":2} {}"#),
            (
                r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#,
                r#"{"a":1} {"cloudevent":{"id":"1","source":"/s","type":"t"}}"#,
            ),
            (r#"{"id":"1","type":"t","data":{"a":1}}"#, r#"{"id":"1","type":"t","data":{"a":1}} {}"#),
            (
                r#"{"before":null,"after":{"a":1},"op":"c","ts_ms":7}"#,
                r#"{"a":1} {"debezium":{"op":"c","ts_ms":7}}"#,
            ),
            (r#"{"before":{"a":1},"after":null,"op":"d"}"#, r#"{"a":1} {"debezium":{"op":"d"}}"#),
            (
                r#"{"schema":{},"payload":{"before":null,"after":{"a":1},"op":"u"}}"#,
                r#"{"a":1} {"debezium":{"op":"u"}}"#,
            ),
            (
                r#"{"schema":{"fields":[{"field":"a","name":"org.apache.kafka.connect.data.Decimal"}]},"payload":{"a":1.50}}"#,
                r#"{"a":1.50} {}"#,
            ),
        ] {
            assert_eq!(unwrapped(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn decimals_as_base64_are_refused_with_what_to_set() {
        for text in [
            r#"{"schema":{"fields":[{"field":"a","name":"org.apache.kafka.connect.data.Decimal"}]},"payload":{"a":"1234"}}"#,
            r#"{"schema":{"fields":[{"field":"l","items":{"name":"org.apache.kafka.connect.data.Decimal"}}]},"payload":{"l":["BF0="]}}"#,
            r#"{"schema":{"fields":[{"field":"a","name":"io.debezium.data.VariableScaleDecimal"}]},"payload":{"a":{"scale":2,"value":"BF0="}}}"#,
        ] {
            let detail = unwrapped(text).expect_err(text);
            assert!(detail.contains("decimal.format=NUMERIC"), "{detail}");
        }
    }

    #[test]
    fn the_prefix_of_a_registry_is_taken_off_before_json_only() {
        let prefixed = |rest: &[u8]| [&b"\0\0\0\0\x07"[..], rest].concat();
        assert_eq!(without_prefix(b"{}", &[]), Ok(&b"{}"[..]));
        assert_eq!(without_prefix(&prefixed(b" {}"), &Envelope::ALL), Ok(&b"{}"[..]));
        for (value, envelopes, expected) in [
            (prefixed(b"{}"), &[][..], "list \"confluent\""),
            (prefixed(b"\x02\x0aabc"), &Envelope::ALL, "Avro and Protobuf"),
            (b"\0\0".to_vec(), &Envelope::ALL, "Avro and Protobuf"),
        ] {
            let refusal = without_prefix(&value, envelopes).expect_err(expected);
            assert!(refusal.detail.contains(expected), "{}", refusal.detail);
        }
    }
}
