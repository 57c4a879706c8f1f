//! One partition: its customers, its clock, its timers. Records and instants in; signals and changes out.
//!
//! The effects of all calls stand in one queue, see [`effects`]: the caller drains signals as they come, writes
//! [`Engine::changes`] when it commits, and then calls [`Engine::changes_committed`]. Nothing here can fail.

mod scratch;

pub mod append;
pub mod effects;
pub mod erasure;
pub mod export;
pub mod queries;
pub mod restore;
pub mod shop_totals;
pub mod timer_firing;
pub mod timers;
pub mod window_ends;

use std::sync::Arc;

use super::customer::facts::{CustomerTotals, Facts};
use super::customer::ledger::Attribution;
use super::customer::{Change as LedgerChange, Customer};
use super::engine::effects::Effects;
use super::engine::erasure::Markers;
use super::engine::scratch::Scratch;
use super::engine::shop_totals::{GuestTotals, ShopTotals};
use super::engine::timers::Timers;
use super::engine::window_ends::WindowEnds;
use super::settings::Settings;
use super::signals::lifecycle::{SignalEmitter, TriggeringRecord, next_instant};
use super::signals::signal::State;
use super::store::Store;
use super::store::packed;
use super::values::event::{ErasureRecord, GuestRecord, Record};
use super::values::ids::{CustomerKey, CustomerSlot, ShopIndex};
use super::values::time::Time;

pub use effects::{Change, Transitions};

/// The state of one partition.
pub struct Engine {
    pub(in crate::domain) settings: Arc<Settings>,
    pub(in crate::domain) clock: Option<Time>,
    pub(in crate::domain) store: Store,
    pub(in crate::domain) timers: Timers,
    pub(in crate::domain) markers: Markers,
    /// Sums over customers, as of the instant that [`WindowEnds`] tells.
    pub(in crate::domain) figures: Vec<ShopTotals>,
    pub(in crate::domain) window_ends: WindowEnds,
    pub(in crate::domain) guests: Vec<GuestTotals>,
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
    /// More than the lateness before the clock, or in the part of the history that has folded.
    TooOld,
    /// It belongs to a customer who asked to be forgotten.
    Erased,
}

/// What an accepted record was. Money is in the shop's minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// An order id seen for the first time (test orders aside).
    Order { value: i64, first: bool },
    /// A return id seen for the first time.
    Return { refund: i64 },
    /// A test order, another version, a cancellation, an erasure.
    Other,
    /// Another record has the same identity and version; the greater one stands.
    Conflicting,
    /// A cancellation too far from its order.
    Ineffective,
}

/// How far the clock got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Done,
    /// More timers are due; the clock stands at the last fired one.
    More,
}

impl Engine {
    pub fn new(settings: Arc<Settings>) -> Self {
        let shops = settings.shops.len();
        Self {
            store: Store::new(settings.hash),
            settings,
            clock: None,
            timers: Timers::default(),
            markers: Markers::default(),
            figures: vec![ShopTotals::default(); shops],
            window_ends: WindowEnds::new(Time::MIN),
            guests: vec![GuestTotals::default(); shops],
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
        self.is_too_old(record).then_some(Refusal::TooOld)
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
        let clock = self.clock.unwrap_or(Time::MIN).max(record.requested_at);
        if self.fire(clock, timers_max) == Progress::More {
            return Outcome::TimersPending;
        }
        self.clock = Some(clock);
        self.erase(key, record, clock)
    }

    /// Counts a guest's record after every timer that is due before it; see [`Self::handle_record`].
    pub fn handle_guest(&mut self, shop: ShopIndex, record: &GuestRecord, timers_max: usize) -> Outcome {
        if self.is_late(record.time()) {
            return Outcome::Refused(Refusal::TooOld);
        }
        let clock = self.clock.unwrap_or(Time::MIN).max(record.time());
        if self.fire(clock, timers_max) == Progress::More {
            return Outcome::TimersPending;
        }
        self.clock = Some(clock);
        let guests = &mut self.guests[usize::from(shop.0)];
        let settings = self.settings.shops.get(shop);
        match *record {
            GuestRecord::Order { test: true, .. } => {}
            GuestRecord::Order { total, currency, .. } => {
                guests.orders += 1;
                guests.gross += settings.convert(total, currency);
            }
            GuestRecord::Return { refund, currency, .. } => {
                guests.returns += 1;
                guests.refunded += settings.convert(refund, currency);
            }
        }
        Outcome::Applied(Applied::Other)
    }

    /// The earliest instant at or before `by` at which something is due.
    pub fn next_due(&mut self, by: Time) -> Option<Time> {
        let timer = self.timers.earliest(by, |slot| self.store.key_hash(slot)).map(|entry| entry.due);
        let marker = self.markers.first_end(by).map(|(end, _)| end);
        timer.into_iter().chain(marker).min()
    }

    /// Moves the clock forward, firing what is due on the way; never backwards. After about `timers_max` timers it stops.
    pub fn advance_clock(&mut self, to: Time, timers_max: usize) -> Progress {
        let to = self.clock.map_or(to, |clock| clock.max(to));
        let progress = self.fire(to, timers_max);
        if progress == Progress::Done {
            self.clock = Some(to);
        }
        progress
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

    /// Whether the customer in `scratch` refuses a record for its age.
    fn is_too_old(&self, record: &Record) -> bool {
        let customer = &self.scratch.customer;
        self.is_late(record.time()) && !customer.holds(record) || customer.has_folded(record)
    }

    pub(in crate::domain) fn is_late(&self, time: Time) -> bool {
        self.clock.is_some_and(|clock| clock.since(time) > self.settings.lateness)
    }

    /// Applies a record of any kind to any customer.
    pub(in crate::domain) fn apply(
        &mut self,
        key: CustomerKey<'_>,
        shop_index: ShopIndex,
        record: &Record,
        clock: Time,
    ) -> Outcome {
        let held = self.load(key);
        if self.is_too_old(record) {
            return Outcome::Refused(Refusal::TooOld);
        }
        // Borrowed, not counted: two atomic steps a record are a twentieth of it.
        let settings = &*self.settings;
        let shop = settings.shops.get(shop_index);
        let at = held.map_or(self.window_ends.at(), |slot| self.window_ends.at_of(slot));
        let Scratch { customer, attribution, .. } = &mut self.scratch;
        let state_before = customer.emitted.state();
        let blocks_before = held.is_some().then(|| {
            attribution.derive(&customer.ledger, shop, settings.return_window);
            customer.totals(at, attribution, shop).blocks
        });
        let change = customer.apply(record, settings.hash);
        attribution.derive(&customer.ledger, shop, settings.return_window);
        let totals = customer.totals(clock, attribution, shop);
        let facts = Facts::new(&totals, settings);
        let slot = held.unwrap_or_else(|| self.scratch.insert(&mut self.store, key));
        let emitter = SignalEmitter {
            customer: slot,
            shop: shop_index,
            settings,
            facts: &facts,
            clock,
            occurred_at: record.time(),
            before: state_before,
            signals: &mut self.effects.signals,
        };
        let Scratch { customer, attribution, .. } = &mut self.scratch;
        let applied = emit(emitter, customer, attribution, record, change);
        // A duplicate changes nothing, so it may not fold either: that would publish the profile again.
        if change != LedgerChange::Duplicate && customer.fold(shop, settings, clock, attribution) {
            attribution.derive(&customer.ledger, shop, settings.return_window);
        }
        let counted = customer.totals(self.window_ends.at(), attribution, shop);
        let state = customer.emitted.state();
        let figures = &mut self.figures[usize::from(shop_index.0)];
        match blocks_before {
            None => figures.add(state, &counted.blocks),
            Some(before) => {
                figures.change_state(state_before, state);
                figures.change_blocks(&before, &counted.blocks);
            }
        }
        self.effects.count_transition(state_before, state);
        self.schedule(slot, key, state, &counted, &facts);
        if self.save(slot) || held.is_none() {
            self.touch(slot, Some(clock));
        }
        if change == LedgerChange::Duplicate { Outcome::Duplicate } else { Outcome::Applied(applied) }
    }

    /// When something next happens to a customer by time alone.
    pub(in crate::domain) fn schedule(
        &mut self,
        slot: CustomerSlot,
        key: CustomerKey<'_>,
        state: State,
        totals: &CustomerTotals,
        facts: &Facts<'_>,
    ) {
        self.window_ends.schedule(slot, totals.next_end());
        self.timers.schedule(slot, next_instant(state, facts, &self.settings.thresholds), || key.hash);
    }

    /// Packs the customer in `scratch`; returns whether the bytes changed.
    pub(in crate::domain) fn save(&mut self, slot: CustomerSlot) -> bool {
        let Scratch { customer, bytes, totals_cache, .. } = &mut self.scratch;
        packed::pack(self.store.key(slot), customer, bytes);
        totals_cache.forget(slot);
        self.store.replace(slot, bytes, &[])
    }
}

/// Emits what the record changed, and returns what the record was.
pub(in crate::domain) fn emit(
    mut emitter: SignalEmitter<'_>,
    customer: &mut Customer,
    attribution: &Attribution,
    record: &Record,
    change: LedgerChange,
) -> Applied {
    let settings = emitter.settings;
    let shop = settings.shops.get(emitter.shop);
    let is_new = change == LedgerChange::New;
    let applied = match record {
        Record::Order(order) if is_new && !order.test => Applied::Order {
            value: shop.convert(order.total, order.currency),
            first: emitter.facts.all_time().placed == 1,
        },
        Record::Return(returned) if is_new => {
            emitter.emit_returned(returned, &customer.ledger, attribution);
            Applied::Return { refund: shop.convert(returned.refund, returned.currency) }
        }
        Record::Cancellation(cancellation) if is_new => {
            let effective = emitter.emit_cancelled(cancellation, &customer.ledger, attribution);
            if effective { Applied::Other } else { Applied::Ineffective }
        }
        Record::Order(_) | Record::Return(_) | Record::Cancellation(_) => match change {
            LedgerChange::Superseded { conflicting: true } | LedgerChange::Replaced { conflicting: true } => {
                Applied::Conflicting
            }
            LedgerChange::Duplicate
            | LedgerChange::New
            | LedgerChange::Superseded { conflicting: false }
            | LedgerChange::Replaced { conflicting: false } => Applied::Other,
        },
    };
    emitter.emit_record(&mut customer.emitted, TriggeringRecord { record, hash: settings.hash });
    applied
}
