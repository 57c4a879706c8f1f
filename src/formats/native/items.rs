//! The lines of an order, of which only the SKUs matter.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::characters::Characters;
use super::value::Value;
use crate::domain::values::event::SkuVariety;
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// What the lines of an order say, read on the way: keeping their text for later would cost a second pass over most of the record.
pub(super) struct Items {
    pub(super) skus: Result<SkuVariety, Refusal>,
    pub(super) repeated: bool,
    characters: Characters,
}

/// Reads the items of a record.
pub(super) struct ItemsSeed(pub(super) Characters);

impl ItemsSeed {
    fn none(self) -> Items {
        Items { skus: Ok(SkuVariety::Unknown), repeated: false, characters: self.0 }
    }

    fn not_an_array(self) -> Items {
        let refusal = Refusal::new(Reason::InvalidType, "items is not an array");
        Items { skus: Err(refusal), ..self.none() }
    }
}

impl<'de> DeserializeSeed<'de> for ItemsSeed {
    type Value = Items;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Items, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The kinds of JSON values that a visitor takes for wrong, without failing: the rest of the record still has to be JSON.
macro_rules! scalars_are {
    ($wrong:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($wrong(self))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($wrong(self))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($wrong(self))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($wrong(self))
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok($wrong(self))
        }
    };
}

impl<'de> Visitor<'de> for ItemsSeed {
    type Value = Items;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items, A::Error> {
        let mut items = self.none();
        while sequence.next_element_seed(Item(&mut items))?.is_some() {}
        Ok(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Items, A::Error> {
        skip_map(map)?;
        Ok(self.not_an_array())
    }

    fn visit_unit<E: Error>(self) -> Result<Items, E> {
        Ok(self.none())
    }

    scalars_are!(Self::not_an_array);
}

/// Reads one line of an order into the skus of all. The first fault stays.
struct Item<'i>(&'i mut Items);

impl Item<'_> {
    fn note(self, skus: Result<SkuVariety, Refusal>) {
        if let Ok(before) = self.0.skus {
            self.0.skus = skus.map(|skus| before.and(skus));
        }
    }

    fn note_not_an_object(self) {
        self.note(Err(Refusal::new(Reason::InvalidType, "an item is not an object")));
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut sku = None;
        while let Some(key) = map.next_key::<ItemKey>()? {
            match key {
                ItemKey::Sku => {
                    let text = map.next_value::<&'de RawValue>()?.get();
                    self.0.repeated |= sku.replace(text).is_some();
                }
                ItemKey::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some(text) = sku.filter(|text| *text != "null") {
            let sku = Value { text: text.as_bytes(), characters: self.0.characters };
            let sku = sku.id("sku");
            self.note(
                sku.map(|sku| sku.map_or(SkuVariety::Unknown, |sku| SkuVariety::One(hash(sku.as_bytes())))),
            );
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        self.note_not_an_object();
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.note_not_an_object();
        Ok(())
    }

    scalars_are!(Self::note_not_an_object);
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

enum ItemKey {
    Sku,
    Unknown,
}

impl<'de> Deserialize<'de> for ItemKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ItemKeyVisitor)
    }
}

struct ItemKeyVisitor;

impl Visitor<'_> for ItemKeyVisitor {
    type Value = ItemKey;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<ItemKey, E> {
        Ok(if name == "sku" { ItemKey::Sku } else { ItemKey::Unknown })
    }
}
