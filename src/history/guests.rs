//! Orders of guests that come again: once in each of two exports that overlap, or once an update.
//!
//! The engine keeps nothing of guests, so it cannot tell a repeated order from another one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::source::{Place, Source};
use crate::domain::values::ids::{OrderHash, ShopIndex};
use crate::domain::values::time::Time;

/// An order of a guest. Numbers that begin again later are other orders, so the time is part of what identifies one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GuestOrder {
    shop: ShopIndex,
    id: OrderHash,
    placed_at: Time,
}

impl GuestOrder {
    /// The order in a record that was decoded, and its version.
    pub(super) fn of(record: &[u8], shop: ShopIndex, id: OrderHash, placed_at: Time) -> (Self, u64) {
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<u64>,
        }
        let versioned: Versioned = serde_json::from_slice(record).expect("it was decoded");
        (Self { shop, id, placed_at }, versioned.version.unwrap_or(0))
    }
}

/// Leaves one record of each order: that of the greatest version, of equal ones the last. Gives how many others there were.
pub(super) fn count_once(sources: &mut [Source]) -> u64 {
    let mut standing: HashMap<GuestOrder, (u64, usize, Place)> = HashMap::new();
    let mut repeated: Vec<HashSet<Place>> = vec![HashSet::new(); sources.len()];
    for (index, source) in sources.iter().enumerate() {
        for (place, (order, version)) in source.guest_orders() {
            match standing.entry(*order) {
                Entry::Vacant(entry) => {
                    entry.insert((*version, index, *place));
                }
                Entry::Occupied(mut entry) => {
                    let (stands, other, other_place) = *entry.get();
                    if stands > *version {
                        repeated[index].insert(*place);
                    } else {
                        repeated[other].insert(other_place);
                        entry.insert((*version, index, *place));
                    }
                }
            }
        }
    }
    let mut count = 0;
    for (source, repeated) in sources.iter_mut().zip(&repeated).filter(|(_, repeated)| !repeated.is_empty()) {
        count += repeated.len() as u64;
        source.leave_out(repeated);
    }
    count
}
