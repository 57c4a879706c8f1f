//! History: records that were there before the partition was first read, in any order; and settling, which ends it.
//!
//! ```text
//!  History ─(every record is applied)─► Settling ─(slice by slice, no customer is left)─► Live
//! ```
//! In history a record only enters its customer's ledger: none is too old, no timer fires, nothing is emitted, folded or counted. So
//! any order of loading gives the same facts. Settling then gives every customer what live records would have led to: a profile, the
//! emitted state, a timer, and a place in the totals. A customer is unsettled while nothing is emitted about it; so a restart or
//! another owner goes on where the state in the changelog ends.

use super::partition_totals::PartitionTotals;
use super::visit::CustomerVisit;
use super::window_ends::WindowEnds;
use super::{Applied, Change, Engine, Outcome, Progress, Refusal, Standing};
use crate::domain::customer::ledger::CancelledUpTo;
use crate::domain::customer::{Change as LedgerChange, Customer, Emitted};
use crate::domain::store::packed;
use crate::domain::values::event::{ErasureRecord, Record};
use crate::domain::values::ids::{CustomerKey, CustomerSlot, ShopIndex};
use crate::domain::values::time::Time;

/// How far a partition is on its way from history to live records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::domain) enum Stage {
    History {
        /// A customer whose packed bytes are more than this folds at once.
        customer_bytes_max: usize,
    },
    /// The customers below this slot are settled, and perhaps others.
    Settling {
        next_slot: usize,
    },
    Live,
}

impl Engine {
    /// From here to [`Self::settle_history`] records are taken as history. A customer whose packed bytes are more than
    /// `customer_bytes_max` folds at once, because the changelog could not hold it.
    pub fn begin_history(&mut self, customer_bytes_max: usize) {
        self.stage = Stage::History { customer_bytes_max };
    }

    /// What time alone causes before this instant is not published, in settling and after it.
    pub fn hold_back_until(&mut self, signals_from: Time) {
        self.signals_from = Some(signals_from);
    }

    /// The instant of [`Self::hold_back_until`], while it matters: until history is settled and the clock has reached it.
    pub fn signals_from(&self) -> Option<Time> {
        self.signals_from.filter(|from| !self.is_live() || self.clock < Some(*from))
    }

    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// How many signals were held back since the last time.
    pub fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.effects.held_back)
    }

    /// Puts a record of history into its customer's ledger.
    pub(super) fn take_into_history(
        &mut self,
        key: CustomerKey<'_>,
        shop: ShopIndex,
        record: &Record,
        customer_bytes_max: usize,
    ) -> Outcome {
        if !self.markers.is_empty() && Some(record.time()) <= self.erasure_requested_at(key) {
            return Outcome::Refused(Refusal::Erased);
        }
        let slot = self.load(key);
        if self.scratch.customer.has_folded(record) {
            return Outcome::Refused(Refusal::Folded);
        }
        self.move_clock(record.time());
        let change = self.scratch.customer.apply(record, self.settings.hash);
        // Bytes have no room for a final cancellation that is still to be reported.
        for cancellation in &mut self.scratch.customer.ledger.cancellations {
            cancellation.emitted |= cancellation.up_to == CancelledUpTo::Always;
        }
        let slot = slot.unwrap_or_else(|| self.scratch.insert(&mut self.store, key));
        packed::pack(key.bytes, &self.scratch.customer, &mut self.scratch.bytes);
        if self.scratch.bytes.len() > customer_bytes_max {
            self.fold_in_history(key, shop);
        }
        if self.store.replace(slot, &self.scratch.bytes, &[]) {
            self.touch(slot, None);
        }
        outcome_in_history(change)
    }

    /// Folds the customer in the scratch memory, and packs it again.
    fn fold_in_history(&mut self, key: CustomerKey<'_>, shop: ShopIndex) {
        let clock = self.clock.expect("a record has moved it");
        let shop = self.settings.shops.get(shop);
        let scratch = &mut self.scratch;
        scratch.attribution.derive(&scratch.customer.ledger, shop, self.settings.return_window);
        let early = scratch.customer.fold(shop, &self.settings, clock, &scratch.attribution);
        self.effects.folded_early += early.unwrap_or(0);
        packed::pack(key.bytes, &scratch.customer, &mut scratch.bytes);
    }

    /// Removes what the customer's history holds up to the erasure, and refuses it from now on.
    pub(super) fn erase_in_history(&mut self, key: CustomerKey<'_>, record: &ErasureRecord) -> Outcome {
        let requested_at = record.requested_at;
        if self.erasure_requested_at(key) >= Some(requested_at) {
            return Outcome::Duplicate;
        }
        self.move_clock(requested_at);
        let hash = (self.settings.erasure_hash)(key.bytes);
        self.markers.set(hash, requested_at, self.settings.ledger_horizon());
        self.effects.note(Change::MarkerSet { hash, requested_at });
        if let Some(slot) = self.load(key) {
            self.scratch.customer.forget_up_to(requested_at);
            if self.scratch.customer.is_unknown() {
                self.remove_unsettled(slot, key.bytes);
            } else {
                packed::pack(key.bytes, &self.scratch.customer, &mut self.scratch.bytes);
                if self.store.replace(slot, &self.scratch.bytes, &[]) {
                    self.touch(slot, None);
                }
            }
        }
        Outcome::Applied(Applied::Other)
    }

    fn remove_unsettled(&mut self, slot: CustomerSlot, key: &[u8]) {
        self.effects.erase(slot, key, self.store.mark(slot));
        self.store.remove(slot);
        self.effects.note(Change::Erased { key: key.into() });
    }

    /// Settles about `customers_max` customers more. Once it is done, records are live.
    pub fn settle_history(&mut self, customers_max: usize) -> Progress {
        let next_slot = match self.stage {
            Stage::Live => return Progress::Done,
            Stage::Settling { next_slot } => next_slot,
            Stage::History { .. } => {
                self.begin_settling();
                0
            }
        };
        // No record and no erasure was applied: there is nothing to settle.
        let Some(clock) = self.clock else {
            self.stage = Stage::Live;
            return Progress::Done;
        };
        let mut left = customers_max;
        for slot in next_slot..self.store.slots_len() {
            if left == 0 {
                self.stage = Stage::Settling { next_slot: slot };
                return Progress::More;
            }
            left -= usize::from(self.settle_customer(slot, clock));
        }
        self.stage = Stage::Settling { next_slot: self.store.slots_len() };
        while let Some((end, hash)) = self.markers.first_end(clock) {
            if left == 0 {
                return Progress::More;
            }
            self.end_marker(end, hash);
            left -= 1;
        }
        self.stage = Stage::Live;
        Progress::Done
    }

    fn begin_settling(&mut self) {
        let at = self.clock.unwrap_or(Time::MIN).just_before();
        let mut window_ends = WindowEnds::new(at);
        window_ends.reserve(self.store.slots_len());
        // After a restart, customers that were settled before it count already, at this very instant.
        if self.totals.is_empty() {
            self.totals = PartitionTotals::new(self.settings.shops.len(), window_ends);
        }
    }

    /// Whether the customer of this slot was unsettled.
    fn settle_customer(&mut self, slot: usize, clock: Time) -> bool {
        let bytes = self.store.packed_at(slot);
        if bytes.is_empty() {
            return false;
        }
        let customer = &mut self.scratch.customer;
        packed::unpack(bytes, customer).expect("packed by this engine");
        if customer.emitted != Emitted::NOTHING {
            return false;
        }
        let slot = CustomerSlot(u32::try_from(slot).expect("checked at insertion"));
        let key = self.store.key(slot);
        let key = CustomerKey { bytes: key, hash: (self.settings.hash)(key) };
        if !self.markers.is_empty() {
            if let Some(requested_at) = self.markers.requested_at(&self.settings, key.bytes) {
                customer.forget_named_unknown(requested_at.plus(self.settings.ledger_horizon()));
            }
            if customer.is_unknown() {
                let key: Box<[u8]> = key.bytes.into();
                self.remove_unsettled(slot, &key);
                return true;
            }
        }
        let key_hash = key.hash;
        let mut visit = CustomerVisit::open_unsettled(self, slot, key_hash, clock);
        visit.settle_history();
        visit.fold();
        visit.commit(Some(clock));
        true
    }
}

/// Whether the customer of these bytes is still to be settled, in a partition that has not come to its live records.
pub(super) fn is_unsettled(customer: &Customer) -> bool {
    customer.emitted == Emitted::NOTHING
}

/// Orders and returns of history are not counted as news.
fn outcome_in_history(change: LedgerChange) -> Outcome {
    match change {
        LedgerChange::Duplicate | LedgerChange::VersionRaised => Outcome::Duplicate,
        LedgerChange::Superseded { conflicting: true } => {
            Outcome::Applied(Applied::Conflicting { standing: Standing::Held })
        }
        LedgerChange::Replaced { conflicting: true } => {
            Outcome::Applied(Applied::Conflicting { standing: Standing::Arrived })
        }
        LedgerChange::New
        | LedgerChange::Superseded { conflicting: false }
        | LedgerChange::Replaced { conflicting: false } => Outcome::Applied(Applied::Other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::settings::{Settings, Shop, Shops};
    use crate::domain::signals::ratio_signal::RatioSignal;
    use crate::domain::values::event::{OrderRecord, ReturnRecord, SkuVariety, WatchedSkus};
    use crate::domain::values::ids::{OrderHash, ReturnHash};
    use crate::domain::values::money::{Currency, SentAmount};
    use crate::domain::values::time::Span;

    /// An order of 1.00 on a day, which is its id too.
    fn order(day: i64) -> Record {
        Record::Order(OrderRecord {
            id: OrderHash(day.unsigned_abs()),
            version: 0,
            placed_at: Time::MIN.plus(Span::days(day)),
            total: SentAmount(100),
            currency: Currency::from_code(b"EUR").expect("a currency"),
            test: false,
            skus: SkuVariety::Unknown,
            watched: WatchedSkus::NONE,
        })
    }

    #[test]
    fn a_customer_that_no_record_could_hold_folds_in_history() {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let shops = Shops::One(Shop::in_currency(currency));
        let defaults = Settings::with_defaults(shops, |_| 1, Arc::new(|_| [0; 16]));
        let mut engine = Engine::new(Arc::new(Settings { orders_max: 10, ..defaults }));
        let key = CustomerKey { bytes: b"a", hash: 1 };
        engine.begin_history(1_000);
        for day in 100..200 {
            engine.handle_record(key, ShopIndex(0), &order(day), usize::MAX);
            let slot = engine.find(key).expect("it is held");
            assert!(engine.packed(slot).len() <= 1_000, "{}", engine.packed(slot).len());
        }
        assert!(engine.take_folded_early() > 0, "some have folded");
        let refused = engine.handle_record(key, ShopIndex(0), &order(1), usize::MAX);
        assert_eq!(refused, Outcome::Refused(Refusal::Folded), "older than what has folded");
        assert_eq!(engine.settle_history(usize::MAX), Progress::Done);
        let (slot, clock) =
            (engine.find(key).expect("it is held"), engine.clock().expect("records moved it"));
        let profile = engine.profile(slot, clock);
        assert!(profile.truncated);
        assert_eq!(profile.blocks[0].placed, 100, "nothing is lost but detail");
    }

    /// Of orders of 1.00 each, whether a return rate fires again once so many cents of each were sent back in history.
    #[test]
    fn a_return_rate_is_armed_below_its_second_threshold_or_while_it_means_nothing() {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        for (refunds, expected) in [
            (&[100, 50][..], true), // two orders are too few
            (&[0, 0, 0], true),
            (&[40, 40, 39], true),
            (&[40, 40, 40], false), // exactly 40 %
            (&[40, 40, 41], false),
            (&[90, 90, 90], false),
        ] {
            let shops = Shops::One(Shop::in_currency(currency));
            let settings = Settings::with_defaults(shops, |_| 1, Arc::new(|_| [0; 16]));
            let mut engine = Engine::new(Arc::new(settings));
            let key = CustomerKey { bytes: b"a", hash: 1 };
            engine.begin_history(usize::MAX);
            for (day, cents) in (100..).zip(refunds) {
                engine.handle_record(key, ShopIndex(0), &order(day), usize::MAX);
                let returned = Record::Return(ReturnRecord {
                    id: ReturnHash(day.unsigned_abs()),
                    returned_at: Time::MIN.plus(Span::days(day + 10)),
                    refund: SentAmount(*cents),
                    currency,
                    order: Some(OrderHash(day.unsigned_abs())),
                });
                if *cents > 0 {
                    engine.handle_record(key, ShopIndex(0), &returned, usize::MAX);
                }
            }
            assert_eq!(engine.settle_history(usize::MAX), Progress::Done);
            let (slot, clock) =
                (engine.find(key).expect("it is held"), engine.clock().expect("records moved it"));
            let armed = engine.explain(slot, clock).emitted.armed;
            assert_eq!(armed.is(RatioSignal::ReturnRateHigh), expected, "{refunds:?}");
        }
    }
}
