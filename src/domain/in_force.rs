//! Which record of the registry counts for a shop at an instant.

use super::values::ids::ShopIndex;
use super::values::time::Time;

/// Where and from when on a record counts. The last fields decide between records that count from the same instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Effect<V> {
    /// The shop that it is for; none: all that have no record of their own.
    pub shop: Option<ShopIndex>,
    pub effective_at: Time,
    pub published_at: Time,
    pub version: V,
}

/// Records of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordsInForce<V, R> {
    /// By [`Effect`].
    records: Vec<(Effect<V>, R)>,
}

impl<V: Ord + Copy, R> RecordsInForce<V, R> {
    /// Records in any order.
    pub fn new(mut records: Vec<(Effect<V>, R)>) -> Self {
        records.sort_by_key(|(effect, _)| *effect);
        Self { records }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record that counts at an instant: the shop's own before those of all shops, the latest of them.
    pub fn at(&self, shop: ShopIndex, at: Time) -> Option<&R> {
        if self.records.is_empty() {
            return None;
        }
        self.latest(Some(shop), at).or_else(|| self.latest(None, at))
    }

    /// Whether the same records count up to `clock`.
    pub fn are_same_until(&self, other: &Self, clock: Time) -> bool {
        let counting = |records: &'_ Self| -> Vec<Effect<V>> {
            let effects = records.records.iter().map(|(effect, _)| *effect);
            effects.filter(|effect| effect.effective_at <= clock).collect()
        };
        counting(self) == counting(other)
    }

    fn latest(&self, shop: Option<ShopIndex>, at: Time) -> Option<&R> {
        let end =
            self.records.partition_point(|(effect, _)| (effect.shop, effect.effective_at) <= (shop, at));
        self.records[..end].last().filter(|(effect, _)| effect.shop == shop).map(|(_, record)| record)
    }
}
