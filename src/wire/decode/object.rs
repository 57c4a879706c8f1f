//! One pass over a JSON object: the text of every field that means something, and the goods that the items name.
//!
//! Nothing is judged here but the form of the JSON, so that a value which is no JSON at all is always `malformed_json`, whatever
//! stands before the mistake.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::items::ItemsSeed;
use super::value::{Escapes, Value};
use crate::domain::event::Goods;
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

const FIELDS: usize = Field::RequestedAt as usize + 1;

impl Field {
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
pub(super) struct Object<'a> {
    fields: [Option<&'a str>; FIELDS],
    items: Option<Result<Goods, Refusal>>,
    repeated: bool,
    escapes: Escapes,
}

impl<'a> Object<'a> {
    pub(super) fn empty(escapes: Escapes) -> Self {
        Self { fields: [None; FIELDS], items: None, repeated: false, escapes }
    }

    /// Reads the fields of `text`. In place, because an object is large and a move of it is not free.
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
        (text != "null").then_some(Value { text, escapes: self.escapes })
    }

    /// What the items say about the goods.
    pub(super) fn take_goods(&mut self) -> Result<Goods, Refusal> {
        self.items.take().unwrap_or(Ok(Goods::Unknown))
    }
}

struct ObjectSeed<'o, 'a>(&'o mut Object<'a>);

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, 'de> {
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
                    object.repeated |= object.fields[field as usize].replace(text).is_some();
                }
                Key::Items => {
                    let items = map.next_value_seed(ItemsSeed(object.escapes))?;
                    object.repeated |= items.repeated || object.items.replace(items.goods).is_some();
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
        Ok(Key::Field(match name {
            "order_id" => Field::OrderId,
            "placed_at" => Field::PlacedAt,
            "cancelled_at" => Field::CancelledAt,
            "currency" => Field::Currency,
            "total" => Field::Total,
            "customer_id" => Field::CustomerId,
            "store_id" => Field::StoreId,
            "version" => Field::Version,
            "test" => Field::Test,
            "return_id" => Field::ReturnId,
            "returned_at" => Field::ReturnedAt,
            "refund" => Field::Refund,
            "requested_at" => Field::RequestedAt,
            "items" => return Ok(Key::Items),
            _ => return Ok(Key::Unknown),
        }))
    }
}
