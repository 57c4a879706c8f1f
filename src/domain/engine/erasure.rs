//! Erasure: the engine forgets a customer, and late records must not bring the customer back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::visit::CustomerVisit;
use super::{Applied, Change, Engine, Outcome, Refusal};
use crate::domain::settings::{ErasureHash, Settings};
use crate::domain::store::packed;
use crate::domain::values::event::{ErasureRecord, Record};
use crate::domain::values::ids::CustomerKey;
use crate::domain::values::time::{Span, Time};

/// Erasures of which late records may still come, by keyed hash of the customer's key.
#[derive(Default)]
pub struct Markers {
    requested: BTreeMap<[u8; 16], Time>,
    ends: BTreeSet<(Time, [u8; 16])>,
}

impl Engine {
    /// Refuses late records of an erased customer, and later ones that name an order that was erased.
    pub(in crate::domain) fn erasure_refusal(
        &mut self,
        key: CustomerKey<'_>,
        record: &Record,
    ) -> Option<Refusal> {
        if self.markers.requested.is_empty() {
            return None;
        }
        // By the record's own time, or it would depend on other customers' records whether the marker has ended.
        let is_marked =
            |requested_at: &Time| record.time() < requested_at.plus(self.settings.ledger_horizon());
        let requested_at = self.erasure_requested_at(key).filter(is_marked)?;
        let named = match record {
            Record::Order(_) => None,
            Record::Cancellation(cancellation) => Some(cancellation.order),
            Record::Return(returned) => returned.order,
        };
        let names_unknown = named.is_some_and(|order| {
            self.find(key).is_none_or(|slot| {
                let customer = &mut self.scratch.customer;
                packed::unpack(self.store.packed(slot), customer).expect("packed by this engine");
                customer.ledger.order(order).is_none()
            })
        });
        (record.time() <= requested_at || names_unknown).then_some(Refusal::Erased)
    }

    /// When the erasure was requested of which late records of this customer may still come.
    pub(super) fn erasure_requested_at(&self, key: CustomerKey<'_>) -> Option<Time> {
        self.markers.requested_at(&self.settings, key.bytes)
    }

    pub(in crate::domain) fn erase(
        &mut self,
        key: CustomerKey<'_>,
        record: &ErasureRecord,
        clock: Time,
    ) -> Outcome {
        let hash = (self.settings.erasure_hash)(key.bytes);
        let slot = self.find(key);
        let marked = self.erasure_requested_at(key);
        if slot.is_none() && marked >= Some(record.requested_at) {
            return Outcome::Duplicate;
        }
        if let Some(slot) = slot {
            CustomerVisit::erase(self, slot, key);
        }
        self.effects.note(Change::Erased { key: key.bytes.into() });
        let requested_at = marked.map_or(record.requested_at, |marked| marked.max(record.requested_at));
        if requested_at.plus(self.settings.ledger_horizon()) > clock {
            self.markers.set(hash, requested_at, self.settings.ledger_horizon());
            self.effects.note(Change::MarkerSet { hash, requested_at });
        }
        Outcome::Applied(Applied::Other)
    }

    pub(in crate::domain) fn end_marker(&mut self, end: Time, hash: [u8; 16]) {
        self.move_clock(end);
        self.effects.timers_silent += 1;
        self.markers.remove(&hash, self.settings.ledger_horizon());
        self.effects.note(Change::MarkerEnded { hash });
    }
}

impl Markers {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// When the erasure of this customer was requested, under the secret in force or before there was one.
    pub(super) fn requested_at(&self, settings: &Settings, key: &[u8]) -> Option<Time> {
        let marked = |hash: &ErasureHash| self.requested.get(&hash(key)).copied();
        let former = settings.former_erasure_hash.as_ref().and_then(marked);
        marked(&settings.erasure_hash).max(former)
    }

    /// Markers in the order of their hashes.
    pub(in crate::domain) fn from(
        &self,
        from: Bound<[u8; 16]>,
    ) -> impl Iterator<Item = ([u8; 16], Time)> + '_ {
        self.requested.range((from, Bound::Unbounded)).map(|(hash, requested_at)| (*hash, *requested_at))
    }

    /// The marker that ends first, if it ends at or before `by`.
    pub fn first_end(&self, by: Time) -> Option<(Time, [u8; 16])> {
        self.ends.first().copied().filter(|(end, _)| *end <= by)
    }

    pub fn set(&mut self, hash: [u8; 16], requested_at: Time, horizon: Span) {
        self.remove(&hash, horizon);
        self.requested.insert(hash, requested_at);
        self.ends.insert((requested_at.plus(horizon), hash));
    }

    pub fn remove(&mut self, hash: &[u8; 16], horizon: Span) {
        if let Some(requested_at) = self.requested.remove(hash) {
            self.ends.remove(&(requested_at.plus(horizon), *hash));
        }
    }
}
