//! Reads the customers of the next records, a group at a time.
//!
//! Customers lie scattered in memory. If each record waits for its own, the engine takes twice as long an event at 300,000 customers.
//! Reads that do not depend on each other overlap, so a group waits about as long as one customer. The values are not
//! used: without these calls the engine does the same, later.

use std::hint::black_box;

use super::{Change, Engine};
use crate::domain::values::ids::CustomerSlot;

/// How many customers are read together: their bytes fit in the nearest cache.
const GROUP: usize = 16;

/// So many bytes come from memory together.
const CACHE_LINE: usize = 64;

/// As many cache lines as some thirty orders take. A processor reads on by itself.
const LINES_MAX: usize = 12;

impl Engine {
    /// To be called before each of `count` records at hand, of which `next` is the next one; `key` gives a record's key.
    pub fn look_ahead<'k>(&self, next: usize, count: usize, key: impl Fn(usize) -> Option<&'k [u8]>) {
        if !next.is_multiple_of(GROUP) {
            return;
        }
        let mut hashes = [None; GROUP];
        for (hash, index) in hashes.iter_mut().zip(next..count) {
            *hash = key(index).map(self.settings.hash);
        }
        self.read_group(hashes.map(|hash| self.store.likely(hash?)));
    }

    /// The same for customers whose changes are written, of which the one at `next` of [`Self::changes`] is the next one.
    pub fn look_ahead_in_changes(&self, next: usize) {
        if !next.is_multiple_of(GROUP) {
            return;
        }
        let mut group = [None; GROUP];
        for (slot, change) in group.iter_mut().zip(&self.changes()[next..]) {
            if let Change::Customer { slot: changed, .. } = change {
                *slot = Some(*changed);
            }
        }
        self.read_group(group);
    }

    /// Takes all customers through one step after the other: within a step no read waits for another.
    fn read_group(&self, group: [Option<CustomerSlot>; GROUP]) {
        let slots = || group.into_iter().flatten();
        for slot in slots() {
            black_box((
                self.store.packed(slot).len(),
                self.timers.due(slot),
                self.totals.window_ends.at_of(slot),
            ));
        }
        for slot in slots() {
            for line in self.store.packed(slot).chunks(CACHE_LINE).take(LINES_MAX) {
                black_box(line[0]);
            }
        }
    }
}
