//! Cut points as the registry publishes them.

use super::cuts::CutPoints;
use crate::domain::in_force::{Effect, RecordsInForce};
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::Time;

/// XXH3-64 of what a record of cut points says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CutsVersion(pub u64);

impl std::fmt::Display for CutsVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Cut points with their version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionedCuts {
    pub version: CutsVersion,
    pub points: CutPoints,
}

/// Cut points with the time from which on they count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishedCuts {
    pub effect: Effect<CutsVersion>,
    pub points: CutPoints,
}

/// All cut points of a service. Those that count for a customer are fixed at the last kept order, so that new ones rename no customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutsInForce {
    records: RecordsInForce<CutsVersion, VersionedCuts>,
}

impl CutsInForce {
    /// Cut points in any order.
    pub fn new(cuts: &[PublishedCuts]) -> Self {
        let records = cuts.iter().map(|PublishedCuts { effect, points }| {
            (*effect, VersionedCuts { version: effect.version, points: *points })
        });
        Self { records: RecordsInForce::new(records.collect()) }
    }

    /// Whether the same cut points count up to `clock`.
    pub fn are_same_until(&self, other: &Self, clock: Time) -> bool {
        self.records.are_same_until(&other.records, clock)
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Those that count for a customer with this last kept order; none before the first ones.
    pub fn at(&self, shop: ShopIndex, last_order_at: Time) -> Option<&VersionedCuts> {
        self.records.at(shop, last_order_at)
    }
}
