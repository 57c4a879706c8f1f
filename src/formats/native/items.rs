//! The lines of an order, of which only the SKUs matter.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::characters::Characters;
use super::value::Value;
use crate::domain::values::event::{SkuVariety, WatchedSkus};
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// The SKUs that the lines of an order name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Skus {
    pub(super) variety: SkuVariety,
    pub(super) watched: WatchedSkus,
}

impl Skus {
    pub(super) const NONE: Self = Self { variety: SkuVariety::Unknown, watched: WatchedSkus::NONE };

    /// Adds one by its hash. `watched` are the hashes that rules watch, sorted.
    #[inline]
    pub(super) fn add(&mut self, sku: u64, watched: &[u64]) {
        self.variety = self.variety.and(SkuVariety::One(sku));
        if !watched.is_empty()
            && let Ok(place) = watched.binary_search(&sku)
        {
            self.watched.add(u16::try_from(place).expect("few are watched"));
        }
    }
}

/// What the lines of an order say, read on the way: keeping their text for later would cost a second pass over most of the record.
pub(super) struct Items<'w> {
    pub(super) skus: Result<Skus, Refusal>,
    pub(super) repeated: bool,
    seed: ItemsSeed<'w>,
}

/// Reads the items of a record.
#[derive(Clone, Copy)]
pub(super) struct ItemsSeed<'w> {
    pub(super) characters: Characters,
    /// Hashes of the SKUs that rules watch, sorted.
    pub(super) watched: &'w [u64],
}

impl<'w> ItemsSeed<'w> {
    fn none(self) -> Items<'w> {
        Items { skus: Ok(Skus::NONE), repeated: false, seed: self }
    }

    fn not_an_array(self) -> Items<'w> {
        let refusal = Refusal::new(Reason::InvalidType, "items is not an array");
        Items { skus: Err(refusal), ..self.none() }
    }
}

impl<'de, 'w> DeserializeSeed<'de> for ItemsSeed<'w> {
    type Value = Items<'w>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Items<'w>, D::Error> {
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

impl<'de, 'w> Visitor<'de> for ItemsSeed<'w> {
    type Value = Items<'w>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items<'w>, A::Error> {
        let mut items = self.none();
        while sequence.next_element_seed(Item(&mut items))?.is_some() {}
        Ok(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Items<'w>, A::Error> {
        skip_map(map)?;
        Ok(self.not_an_array())
    }

    fn visit_unit<E: Error>(self) -> Result<Items<'w>, E> {
        Ok(self.none())
    }

    scalars_are!(Self::not_an_array);
}

/// Reads one line of an order into the skus of all. The first fault stays.
struct Item<'i, 'w>(&'i mut Items<'w>);

impl Item<'_, '_> {
    fn note(self, sku: Result<Option<u64>, Refusal>) {
        let Items { skus, seed, .. } = self.0;
        if let Ok(before) = skus {
            match sku {
                Ok(sku) => sku.into_iter().for_each(|sku| before.add(sku, seed.watched)),
                Err(refusal) => *skus = Err(refusal),
            }
        }
    }

    fn note_not_an_object(self) {
        self.note(Err(Refusal::new(Reason::InvalidType, "an item is not an object")));
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
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
            let sku = Value { text: text.as_bytes(), characters: self.0.seed.characters };
            self.note(sku.id("sku").map(|sku| sku.map(|sku| hash(sku.as_bytes()))));
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
