//! One partition: its customers, its clock, its timers. Records and instants in; signals and changes out.
//!
//! The effects of all calls are in one queue, see [`effects`]: the caller drains signals as they come, writes
//! [`Engine::changes`] when it commits, and then calls [`Engine::changes_committed`]. Nothing here can fail.

mod append;
pub mod as_of;
pub mod daily_count;
pub mod effects;
pub mod erasure;
pub mod evidence;
pub mod explain;
pub mod export;
mod look_ahead;
mod partition_totals;
pub mod queries;
pub mod rescheduling;
pub mod restore;
pub mod rule_evidence;
mod rule_visit;
mod scratch;
pub mod settling;
pub mod shop_totals;
pub mod tier_evidence;
pub mod timer_firing;
pub mod timers;
mod visit;
pub mod window_ends;

use std::sync::Arc;

use super::customer::Change as LedgerChange;
use super::engine::effects::Effects;
use super::engine::erasure::Markers;
use super::engine::partition_totals::PartitionTotals;
use super::engine::scratch::Scratch;
use super::engine::settling::Stage;
use super::engine::shop_totals::GuestTotals;
use super::engine::timers::Timers;
use super::engine::visit::CustomerVisit;
use super::engine::window_ends::WindowEnds;
use super::settings::Settings;
use super::store::Store;
use super::store::packed;
use super::values::event::{ErasureRecord, GuestRecord, Record};
use super::values::ids::{CustomerKey, CustomerSlot, ShopIndex};
use super::values::money::ShopAmount;
use super::values::time::Time;

pub use effects::{Change, Transitions};

/// The state of one partition.
pub struct Engine {
    pub(in crate::domain) settings: Arc<Settings>,
    pub(in crate::domain) clock: Option<Time>,
    pub(in crate::domain) stage: Stage,
    /// The customers below this slot have timers under the settings; none: all have.
    pub(in crate::domain) rescheduled: Option<usize>,
    /// What time alone causes before this instant is not published.
    pub(in crate::domain) signals_from: Option<Time>,
    pub(in crate::domain) store: Store,
    pub(in crate::domain) timers: Timers,
    pub(in crate::domain) markers: Markers,
    pub(in crate::domain) totals: PartitionTotals,
    pub(in crate::domain) guests: Vec<GuestTotals>,
    /// Of all customers.
    pub(in crate::domain) firings_planned: usize,
    pub(in crate::domain) effects: Effects,
    pub(in crate::domain) scratch: Scratch,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Applied(Applied),
    Duplicate,
    Refused(Refusal),
    /// Too many timers are due before it; it was not applied. Commit and call again.
    TimersPending,
}

/// Why a record is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// More than the lateness before the clock.
    TooOld,
    /// In the part of the customer's history that has folded: too old as well, whatever the lateness.
    Folded,
    /// It belongs to a customer who asked to be forgotten.
    Erased,
}

/// What an accepted record was. Money is in the shop's minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// An order id seen for the first time (test orders aside).
    Order { value: ShopAmount, first: bool },
    /// A return id seen for the first time.
    Return { refund: ShopAmount },
    /// A test order, another version, a cancellation, an erasure.
    Other,
    /// Another record with the same identity and version has other content; one of the two counts.
    Conflicting { standing: Standing },
    /// A cancellation too far from its order.
    Ineffective,
}

/// Which of two conflicting records counts from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The one that was applied before.
    Held,
    /// The one that has just arrived.
    Arrived,
}

/// How far the clock got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Done,
    /// More timers are due; the clock is at the last fired one.
    More,
}

impl Engine {
    pub fn new(settings: Arc<Settings>) -> Self {
        let shops = settings.shops.len();
        Self {
            store: Store::new(settings.hash),
            settings,
            clock: None,
            stage: Stage::Live,
            rescheduled: None,
            signals_from: None,
            timers: Timers::default(),
            markers: Markers::default(),
            totals: PartitionTotals::new(shops, WindowEnds::new(Time::MIN)),
            guests: vec![GuestTotals::default(); shops],
            firings_planned: 0,
            effects: Effects::default(),
            scratch: Scratch::default(),
        }
    }

    /// The partition's clock; none before the first record.
    pub fn clock(&self) -> Option<Time> {
        self.clock
    }

    /// Why this record would be refused now; nothing changes.
    pub fn refusal(&mut self, key: CustomerKey<'_>, record: &Record) -> Option<Refusal> {
        if let Some(refusal) = self.erasure_refusal(key, record) {
            return Some(refusal);
        }
        self.load(key);
        self.age_refusal(record)
    }

    /// Applies a customer's record after every timer that is due before it.
    ///
    /// At most about `timers_max` timers fire; then the record waits with [`Outcome::TimersPending`]. `shop` must be the shop of
    /// the key, and the record's currency one that it accepts.
    pub fn handle_record(
        &mut self,
        key: CustomerKey<'_>,
        shop: ShopIndex,
        record: &Record,
        timers_max: usize,
    ) -> Outcome {
        if let Stage::History { customer_bytes_max } = self.stage {
            return self.take_into_history(key, shop, record, customer_bytes_max);
        }
        if let Some(refusal) = self.erasure_refusal(key, record) {
            return Outcome::Refused(refusal);
        }
        let clock = self.clock.unwrap_or(Time::MIN).max(record.time());
        // A record that is too old lies before the clock: it moves nothing here and is refused below.
        if self.fire(clock, timers_max) == Progress::More {
            return Outcome::TimersPending;
        }
        self.clock = Some(clock);
        match self.append(key, shop, record, clock) {
            Some(applied) => Outcome::Applied(applied),
            None => self.apply(key, shop, record, clock),
        }
    }

    /// Forgets a customer after every timer that is due before the erasure; see [`Self::handle_record`].
    pub fn handle_erasure(
        &mut self,
        key: CustomerKey<'_>,
        record: &ErasureRecord,
        timers_max: usize,
    ) -> Outcome {
        if !self.is_live() {
            return self.erase_in_history(key, record);
        }
        let clock = self.clock.unwrap_or(Time::MIN).max(record.requested_at);
        if self.fire(clock, timers_max) == Progress::More {
            return Outcome::TimersPending;
        }
        self.clock = Some(clock);
        self.erase(key, record, clock)
    }

    /// Counts a guest's record after every timer that is due before it; see [`Self::handle_record`].
    pub fn handle_guest(&mut self, shop: ShopIndex, record: &GuestRecord, timers_max: usize) -> Outcome {
        let clock = self.clock.unwrap_or(Time::MIN).max(record.time());
        if self.is_live() {
            if self.is_late(record.time()) {
                return Outcome::Refused(Refusal::TooOld);
            }
            if self.fire(clock, timers_max) == Progress::More {
                return Outcome::TimersPending;
            }
        }
        self.clock = Some(clock);
        let guests = &mut self.guests[usize::from(shop.0)];
        let settings = self.settings.shops.get(shop);
        match *record {
            GuestRecord::Order { test: true, .. } => {}
            GuestRecord::Order { id, placed_at, total, currency, test: false } => {
                let value = settings.convert(total, currency);
                guests.orders += 1;
                guests.gross += value;
                if value > ShopAmount::ZERO {
                    self.run_rules_on_guest(shop, id, placed_at);
                }
            }
            GuestRecord::Return { refund, currency, .. } => {
                guests.returns += 1;
                guests.refunded += settings.convert(refund, currency);
            }
        }
        Outcome::Applied(Applied::Other)
    }

    /// The earliest instant at or before `by` at which something is due; in history nothing is.
    pub fn next_due(&mut self, by: Time) -> Option<Time> {
        if !self.is_live() {
            return None;
        }
        let timer = self.timers.earliest(by, |slot| self.store.key_hash(slot)).map(|entry| entry.due);
        let marker = self.markers.first_end(by).map(|(end, _)| end);
        timer.into_iter().chain(marker).min()
    }

    /// Moves the clock forward, firing the timers that are due on the way; never backwards. After about `timers_max` timers it stops.
    pub fn advance_clock(&mut self, to: Time, timers_max: usize) -> Progress {
        let to = self.clock.map_or(to, |clock| clock.max(to));
        let progress = self.fire(to, timers_max);
        if progress == Progress::Done {
            self.clock = Some(to);
        }
        progress
    }

    fn shop_of(&self, slot: CustomerSlot) -> ShopIndex {
        self.settings
            .shops
            .of_key(self.store.key(slot))
            .expect("an engine holds only keys of configured shops")
    }

    /// Unpacks the customer of a key into `scratch`, or a new one.
    fn load(&mut self, key: CustomerKey<'_>) -> Option<CustomerSlot> {
        let held = self.find(key);
        let customer = &mut self.scratch.customer;
        match held {
            Some(slot) => packed::unpack(self.store.packed(slot), customer).expect("packed by this engine"),
            None => customer.clear(),
        }
        held
    }

    /// Why the customer in `scratch` refuses a record for its age.
    fn age_refusal(&self, record: &Record) -> Option<Refusal> {
        let customer = &self.scratch.customer;
        if customer.has_folded(record) {
            return Some(Refusal::Folded);
        }
        (self.is_late(record.time()) && !customer.recognises(record)).then_some(Refusal::TooOld)
    }

    pub(in crate::domain) fn is_late(&self, time: Time) -> bool {
        self.clock.is_some_and(|clock| clock.since(time) > self.settings.lateness)
    }

    /// Applies a record that only adds an order. None if it may do more; nothing has changed then.
    fn append(
        &mut self,
        key: CustomerKey<'_>,
        shop: ShopIndex,
        record: &Record,
        clock: Time,
    ) -> Option<Applied> {
        let mut visit = CustomerVisit::open_to_append(self, key, shop, record, clock)?;
        let applied = visit.emit(record, LedgerChange::New);
        visit.run_rules_on_appended(record, applied).commit(Some(clock));
        Some(applied)
    }

    /// Applies a record of any kind to any customer.
    fn apply(&mut self, key: CustomerKey<'_>, shop: ShopIndex, record: &Record, clock: Time) -> Outcome {
        let slot = self.load(key);
        if let Some(refusal) = self.age_refusal(record) {
            return Outcome::Refused(refusal);
        }
        let skus_before = self.scratch.customer.skus;
        let mut visit = CustomerVisit::open(self, key, slot, shop, clock);
        let (change, applied) = visit.apply(record);
        visit.run_rules_on_record(record, change, applied);
        let has_new_profile = change.may_change_facts() || visit.engine.scratch.customer.skus != skus_before;
        // What publishes no profile may not fold either: that would publish it again.
        if has_new_profile {
            visit.fold();
        }
        visit.commit(has_new_profile.then_some(clock));
        if change.is_repetition() { Outcome::Duplicate } else { Outcome::Applied(applied) }
    }
}
