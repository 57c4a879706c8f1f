//! The whole state as items, taken piece by piece while the engine goes on in between.
//!
//! Slots keep their numbers, so an export continues at the next one. A customer that changes meanwhile may be missing, be exported
//! in its old form, or be exported twice if it was erased and came again. A reader who needs the state of one moment applies
//! the changes since the beginning of the export after it.

use std::ops::Bound;

use super::Engine;
use crate::domain::values::time::Time;

/// How far an export has come.
#[derive(Clone, Default, Debug)]
pub struct Export {
    slots_done: usize,
    last_marker: Option<[u8; 16]>,
}

/// A part of the state, whole in itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateItem<'a> {
    /// See [`packed`](crate::domain::store::packed); begins with the customer's key.
    Customer(&'a [u8]),
    /// The marker of an erased customer, by keyed hash.
    Marker { hash: [u8; 16], requested_at: Time },
}

/// Whether the caller has room for more items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    Left,
    Full,
}

/// Whether there is more to export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exported {
    Some,
    All,
}

impl Engine {
    /// Gives items until `take` has no room left after one. Changes of an open batch are included.
    pub fn export(&self, export: &mut Export, mut take: impl FnMut(StateItem<'_>) -> Room) -> Exported {
        while export.slots_done < self.store.slots_len() {
            let packed = self.store.packed_at(export.slots_done);
            export.slots_done += 1;
            if !packed.is_empty() && take(StateItem::Customer(packed)) == Room::Full {
                return Exported::Some;
            }
        }
        let from = export.last_marker.map_or(Bound::Unbounded, Bound::Excluded);
        for (hash, requested_at) in self.markers.from(from) {
            export.last_marker = Some(hash);
            if take(StateItem::Marker { hash, requested_at }) == Room::Full {
                return Exported::Some;
            }
        }
        Exported::All
    }
}
