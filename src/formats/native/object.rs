//! One pass over a JSON object: the text of every field that means something, and the skus that the items name.
//!
//! Nothing is judged here but the form of the JSON, so that a value which is no JSON at all is always `malformed_json`, whatever
//! stands before the mistake.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::characters::Characters;
use super::items::{ItemsSeed, Skus};
use super::scan;
use super::value::Value;
use crate::wire::reason::{Reason, Refusal};

/// The fields that are read, of all inputs together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    OrderId,
    PlacedAt,
    CancelledAt,
    Currency,
    Total,
    CustomerId,
    StoreId,
    Version,
    Test,
    ReturnId,
    ReturnedAt,
    Refund,
    RequestedAt,
}

const FIELDS: usize = Field::ALL.len();

impl Field {
    pub(super) const ALL: [Self; 13] = [
        Self::OrderId,
        Self::PlacedAt,
        Self::CancelledAt,
        Self::Currency,
        Self::Total,
        Self::CustomerId,
        Self::StoreId,
        Self::Version,
        Self::Test,
        Self::ReturnId,
        Self::ReturnedAt,
        Self::Refund,
        Self::RequestedAt,
    ];

    /// The field of this name.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"order_id" => Self::OrderId,
            b"placed_at" => Self::PlacedAt,
            b"cancelled_at" => Self::CancelledAt,
            b"currency" => Self::Currency,
            b"total" => Self::Total,
            b"customer_id" => Self::CustomerId,
            b"store_id" => Self::StoreId,
            b"version" => Self::Version,
            b"test" => Self::Test,
            b"return_id" => Self::ReturnId,
            b"returned_at" => Self::ReturnedAt,
            b"refund" => Self::Refund,
            b"requested_at" => Self::RequestedAt,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OrderId => "order_id",
            Self::PlacedAt => "placed_at",
            Self::CancelledAt => "cancelled_at",
            Self::Currency => "currency",
            Self::Total => "total",
            Self::CustomerId => "customer_id",
            Self::StoreId => "store_id",
            Self::Version => "version",
            Self::Test => "test",
            Self::ReturnId => "return_id",
            Self::ReturnedAt => "returned_at",
            Self::Refund => "refund",
            Self::RequestedAt => "requested_at",
        }
    }
}

/// The fields of one record as they were sent.
pub(super) struct Object<'a, 'w> {
    fields: [Option<&'a [u8]>; FIELDS],
    items: Option<Result<Skus, Refusal>>,
    repeated: bool,
    characters: Characters,
    /// Hashes of the SKUs that rules watch, sorted.
    watched: &'w [u64],
}

impl<'a, 'w> Object<'a, 'w> {
    pub(super) fn empty(characters: Characters, watched: &'w [u64]) -> Self {
        Self { fields: [None; FIELDS], items: None, repeated: false, characters, watched }
    }

    /// Reads the fields of a record, at most `depth_max` deep, if it is usual; else nothing is read. In place, because an object is
    /// large and a move of it is not free.
    pub(super) fn fill_usual(&mut self, record: &'a [u8], depth_max: usize) -> bool {
        if self.characters == Characters::Unescaped
            && depth_max >= scan::DEPTH_MAX
            && scan::record(record, self).is_some()
            && !self.repeated
        {
            return true;
        }
        *self = Self::empty(self.characters, self.watched);
        false
    }

    /// Reads the fields of `text`, whatever it is.
    pub(super) fn fill(&mut self, text: &'a str) -> Result<(), Refusal> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        ObjectSeed(self).deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(
            |error| {
                match error.classify() {
                    Category::Data => Refusal::new(Reason::InvalidEvent, "the value is not a JSON object"),
                    // These messages are fixed texts with a position; they quote nothing.
                    Category::Syntax | Category::Eof | Category::Io => {
                        Refusal::new(Reason::MalformedJson, error.to_string())
                    }
                }
            },
        )?;
        if self.repeated {
            return Err(Refusal::new(Reason::MalformedJson, "a field stands there twice"));
        }
        Ok(())
    }

    /// The value of a field; `None` if it is absent or null.
    pub(super) fn get(&self, field: Field) -> Option<Value<'a>> {
        let text = self.fields[field as usize]?;
        (text != b"null").then_some(Value { text, characters: self.characters })
    }

    /// What the items say about the skus.
    pub(super) fn take_skus(&mut self) -> Result<Skus, Refusal> {
        self.items.take().unwrap_or(Ok(Skus::NONE))
    }
}

// === What the pass over usual records finds; repetitions make a record unusual ===

impl<'a, 'w> Object<'a, 'w> {
    pub(super) const fn watched(&self) -> &'w [u64] {
        self.watched
    }

    #[inline]
    pub(super) fn add_field(&mut self, field: Field, text: &'a [u8]) {
        self.repeated |= self.fields[field as usize].replace(text).is_some();
    }

    #[inline]
    pub(super) fn add_skus(&mut self, skus: Skus) {
        self.repeated |= self.items.replace(Ok(skus)).is_some();
    }
}

struct ObjectSeed<'o, 'a, 'w>(&'o mut Object<'a, 'w>);

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let object = self.0;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Field(field) => {
                    let text = map.next_value::<&'de RawValue>()?.get();
                    object.repeated |= object.fields[field as usize].replace(text.as_bytes()).is_some();
                }
                Key::Items => {
                    let seed = ItemsSeed { characters: object.characters, watched: object.watched };
                    let items = map.next_value_seed(seed)?;
                    object.repeated |= items.repeated || object.items.replace(items.skus).is_some();
                }
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

enum Key {
    Field(Field),
    Items,
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        Ok(match Field::of(name.as_bytes()) {
            Some(field) => Key::Field(field),
            None if name == "items" => Key::Items,
            None => Key::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::super::depth;
    use super::*;
    use crate::wire::hash::hash;

    const RECORDS: [&str; 5] = [
        r#"{"order_id":"o-1","placed_at":"2025-04-05T18:15:00.123+02:00","currency":"EUR","total":"119.90","customer_id":"c-1","items":[{"sku":"é-1","quantity":2,"tags":["a",{"b":[]}]},{"sku":"s-1","price":-0.50}],"channel":{"name":"web","visits":[1,20,0.5]}}"#,
        r#"{ "order_id": "o-1", "placed_at": 1743869700123, "currency": "EUR", "total": 119.9, "version": 3, "test": false, "items": [ ] }"#,
        r#"{"return_id":"r-1","returned_at":"2025-04-05T18:15:00Z","currency":"EUR","refund":"0.00","customer_id":null,"order_id":"o-1","items":[{},{"sku":null},{"sku":""},{"sku":17}]}"#,
        r#"{"customer_id":"c-1","requested_at":"2025-04-05T18:15:00Z","note":[[[[[[true]]]]]]}"#,
        r#"{"cancelled_at" :"2025-04-05T18:15:00Z" , "order_id":"o-1","items": [{"sku":"s-1","quantity":10,"unit_price":"1.50"} ,{"unit_price":1.5,"quantity": 0,"sku": "s-2"}],"total":"1"}"#,
    ];
    const DEPTH_MAX: usize = 32;

    /// Of the SKUs in the records, sorted.
    static WATCHED: LazyLock<Vec<u64>> = LazyLock::new(|| {
        let mut hashes = ["é-1", "s-2", "17"].map(|sku| hash(sku.as_bytes())).to_vec();
        hashes.sort_unstable();
        hashes
    });

    fn parsed(text: &str) -> Option<Object<'_, '_>> {
        let mut object = Object::empty(Characters::of(text.as_bytes()).expect("a text"), &WATCHED);
        let is_whole = !depth::exceeds(text.as_bytes(), DEPTH_MAX) && object.fill(text).is_ok();
        is_whole.then_some(object)
    }

    fn usual(text: &str, depth_max: usize) -> Option<Object<'_, '_>> {
        let mut object = Object::empty(Characters::of(text.as_bytes()).expect("a text"), &WATCHED);
        object.fill_usual(text.as_bytes(), depth_max).then_some(object)
    }

    fn content<'a>(object: &Object<'a, '_>) -> ([Option<&'a [u8]>; FIELDS], Option<Skus>) {
        // Items without SKUs are the same as no items.
        let skus = object.items.as_ref().map_or(Some(Skus::NONE), |skus| skus.as_ref().ok().copied());
        (object.fields, skus)
    }

    #[test]
    fn usual_records_are_read_in_one_pass() {
        for text in RECORDS {
            assert!(usual(text, DEPTH_MAX).is_some(), "{text}");
            assert!(usual(text, 7).is_none(), "the depth is left to the parser");
        }
        for text in [
            "",
            "[]",
            "{}x",
            "{\"order_id\":\"a\",\"order_id\":\"a\"}",
            "{\"items\":[{\"sku\":\"a\",\"sku\":\"a\"}]}",
            "{\"items\":[1]}",
            "{\"items\":[{\"sku\":\"a\",\"sku\":null}]}",
            "{\"items\":[{\"sku\":1.5}]}",
            "{\"items\":[{\"sku\":true}]}",
            "{\"items\":[],\"items\" :[]}",
            "{\"items\":null}",
            "{\"total\":\"1\",\"total\": 1}",
            "{\"total\":\"1\" \"refund\":\"1\"}",
            "{\"total\":\"1\",}",
            "{\"total\":\"1\"]",
            "{\"total\":\"1",
            "{\"a\":[1,]}",
            "{\"a\":[1 2]}",
            "{\"a\":-}",
            "{\"a\":00}",
            "{\"a\":1.}",
            "{\"a\":\"\\u00e9\"}",
            "{\"a\":\"\t\"}",
            "{\"a\":01}",
            "{\"a\":1e5}",
            "{\"a\":[[[[[[[[]]]]]]]]}",
        ] {
            assert!(usual(text, DEPTH_MAX).is_none(), "{text}");
        }
    }

    /// What the lines of an order say to the parser, which also reads what is not usual.
    #[test]
    fn lines_that_are_no_objects_are_refused_and_the_rest_is_read() {
        let watched = |text: &str| {
            let object = parsed(text).unwrap_or_else(|| panic!("{text} is JSON"));
            let skus = object
                .items
                .as_ref()
                .map(|skus| skus.as_ref().map(|skus| skus.watched).map_err(|fault| fault.reason));
            (object.fields[Field::Total as usize].is_some(), skus)
        };
        for items in [
            "{}",
            r#"{"sku":"s-2","more":[1,{"a":2}]}"#,
            "1",
            "-1",
            "1.5",
            "true",
            r#""s-2""#,
            "[null]",
            "[1]",
            r#"["s-2"]"#,
            "[true]",
            "[[]]",
            r#"[["s-2",{"sku":"s-2"}]]"#,
            r#"[{"sku":"s-2"},null]"#,
            r#"[{"sku":true}]"#,
        ] {
            let text = format!(r#"{{"items":{items},"total":"1"}}"#);
            assert_eq!(watched(&text), (true, Some(Err(Reason::InvalidType))), "{items}");
        }
        let place = |sku: &str| WATCHED.binary_search(&hash(sku.as_bytes())).expect("watched") as u16;
        let mut two = Skus::NONE.watched;
        ["s-2", "17"].into_iter().for_each(|sku| two.add(place(sku)));
        let text = r#"{"items":[{"sku":"s-2"},{"name":"\u00e9","sku":17},{"sku":"unwatched"}],"total":"1"}"#;
        assert_eq!(watched(text), (true, Some(Ok(two))));
        for text in [
            r#"{"total":"1","total":"1"}"#,
            r#"{"total":"1","items":[],"items":[]}"#,
            r#"{"total":"1","items":[{"sku":"a","sku":"a"}]}"#,
            r#"{"total":"1","items":[{"sku":"a","sku":"a"},{"sku":"b"}]}"#,
            r#"{"total":"1","items":[{"sku":"a","sku":"a","sku":"a"}]}"#,
            r#"{"total":"1","total":"1","total":"1"}"#,
        ] {
            assert!(parsed(text).is_none(), "{text}");
        }
    }

    /// As deep as one pass reads, and one deeper.
    #[test]
    fn one_pass_reads_eight_deep() {
        let nested = |open: &str, close: &str, depth: usize| {
            format!("{{\"a\":{}1{}}}", open.repeat(depth - 1), close.repeat(depth - 1))
        };
        for (open, close) in [("[", "]"), ("{\"b\":", "}"), ("[{\"b\":", "}]")] {
            let steps = open.matches(['[', '{']).count();
            let most = (scan::DEPTH_MAX - 1) / steps + 1;
            assert!(usual(&nested(open, close, most), DEPTH_MAX).is_some(), "{open}");
            assert!(usual(&nested(open, close, most + 1), DEPTH_MAX).is_none(), "{open}");
        }
    }

    /// The law of the fast path: what it accepts the parser accepts, with the same fields.
    #[test]
    fn what_is_read_in_one_pass_is_what_the_parser_reads() {
        const SEED: u64 = 5;
        const BYTES: &[u8] = b"{}[]\",:\\ eE+-.019naltrusf\t\n";
        const WORDS: [&str; 8] = [
            "null",
            "-0",
            "1.5",
            "\"sku\":",
            "\"items\":[",
            "\u{e9}",
            "\"total\":\"1\",",
            "\",\"quantity\":",
        ];
        let mut random = fastrand::Rng::with_seed(SEED);
        let (mut read, mut left) = (0, 0);
        for round in 0..200_000 {
            let mut text = RECORDS[random.usize(..RECORDS.len())].to_owned();
            for _ in 0..random.usize(..4) {
                let starts: Vec<usize> = text.char_indices().map(|(index, _)| index).collect();
                let index = starts[random.usize(..starts.len())];
                match random.u8(..4) {
                    0 => text.insert_str(index, WORDS[random.usize(..WORDS.len())]),
                    1 => text.insert(index, char::from(BYTES[random.usize(..BYTES.len())])),
                    2 if text.len() > 2 => drop(text.remove(index)),
                    _ if index > 0 => text.truncate(index),
                    _ => text.push(' '),
                }
            }
            let Some(usual) = usual(&text, DEPTH_MAX) else {
                left += 1;
                continue;
            };
            read += 1;
            let parsed = parsed(&text).unwrap_or_else(|| panic!("seed {SEED}, round {round}: {text}"));
            assert!(!parsed.repeated, "seed {SEED}, round {round}: {text}");
            assert_eq!(content(&usual), content(&parsed), "seed {SEED}, round {round}: {text}");
        }
        assert!(read > 50_000 && left > 50_000, "seed {SEED}: {read} read, {left} left to the parser");
    }
}
