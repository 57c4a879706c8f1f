//! One visit of a customer, from its bytes and back.
//!
//! ```text
//!  open     find and unpack the customer; derive how it counts in the totals of its shop
//!  apply    change it by a record, or by the instant of its timer; derive the facts; emit the difference
//!  commit   pack it; count it anew; set its timer and its window end; note the change for the open batch
//! ```
//! [`CustomerVisit::open`] takes any record of any customer. [`CustomerVisit::open_to_append`] takes the usual one, an order that is
//! newer than all others of a customer without returns and cancellations: it unpacks no order and comes to the same, which
//! the trial `what_is_appended_is_what_would_be_applied` shows over random histories. [`CustomerVisit::open_at_timer`] unpacks the
//! orders only if the timer changes something.

use super::append::Appended;
use super::rule_visit::next_rule_due;
use super::scratch::Scratch;
use super::{Applied, Engine, Standing};
use crate::domain::customer::facts::Facts;
use crate::domain::customer::ledger::Attribution;
use crate::domain::customer::{Change as LedgerChange, Customer, Emitted};
use crate::domain::rules::firing::Turns;
use crate::domain::segments::names::Segment;
use crate::domain::settings::Settings;
use crate::domain::signals::lifecycle::{SignalEmitter, TriggeringRecord, next_instant};
use crate::domain::signals::signal::State;
use crate::domain::store::packed;
use crate::domain::values::event::Record;
use crate::domain::values::ids::{CustomerKey, CustomerSlot, OrderHash, ShopIndex};
use crate::domain::values::time::Time;

/// A customer between its opening and its commit. It lies in the scratch memory of the engine.
pub(super) struct CustomerVisit<'e> {
    pub(super) engine: &'e mut Engine,
    pub(super) slot: CustomerSlot,
    pub(super) shop: ShopIndex,
    pub(super) key_hash: u64,
    /// The partition's clock: the instant of the facts.
    pub(super) clock: Time,
    /// The emitted state and segment at the opening.
    pub(super) state_before: State,
    pub(super) segment_before: Option<Segment>,
    /// How many firings were planned at the opening.
    pub(super) planned_before: usize,
    /// Where the signals of this visit begin.
    pub(super) first_signal: usize,
    /// When time alone may next cause a signal, once the change is applied.
    pub(super) due: Option<Time>,
    pub(super) form: Form,
}

/// How the customer lies in the scratch memory.
pub(super) enum Form {
    /// As a whole, and beside it how it counted at the opening.
    Held,
    /// As a whole. It did not count anywhere at the opening.
    New,
    /// All but its orders. These lie packed beside it, with one more behind them.
    Appended(Appended),
    /// All but its ledger.
    Head { emitted_before: Emitted },
}

impl<'e> CustomerVisit<'e> {
    /// Opens the customer that lies unpacked in the scratch memory. One without a slot is new and gets one.
    pub(super) fn open(
        engine: &'e mut Engine,
        key: CustomerKey<'_>,
        slot: Option<CustomerSlot>,
        shop: ShopIndex,
        clock: Time,
    ) -> Self {
        let (slot, form) = match slot {
            Some(slot) => (slot, Form::Held),
            None => (engine.scratch.insert(&mut engine.store, key), Form::New),
        };
        let visit = Self::opened(engine, slot, shop, key.hash, clock, form);
        match visit.form {
            Form::Held => visit.with_totals_before(),
            Form::New | Form::Appended(_) | Form::Head { .. } => visit,
        }
    }

    /// Opens a customer of history that lies unpacked in the scratch memory: it counts nowhere yet.
    pub(super) fn open_unsettled(
        engine: &'e mut Engine,
        slot: CustomerSlot,
        key_hash: u64,
        clock: Time,
    ) -> Self {
        let shop = engine.shop_of(slot);
        Self::opened(engine, slot, shop, key_hash, clock, Form::New)
    }

    /// The visit of a customer that lies in the scratch memory in this form.
    #[inline]
    pub(super) fn opened(
        engine: &'e mut Engine,
        slot: CustomerSlot,
        shop: ShopIndex,
        key_hash: u64,
        clock: Time,
        form: Form,
    ) -> Self {
        let Customer { emitted, rules, .. } = &engine.scratch.customer;
        let (state_before, segment_before) = (emitted.state(), emitted.segment);
        let (planned_before, first_signal) = (rules.planned().len(), engine.effects.signals.len());
        Self {
            engine,
            slot,
            shop,
            key_hash,
            clock,
            state_before,
            segment_before,
            planned_before,
            first_signal,
            due: None,
            form,
        }
    }

    /// Opens a customer whose timer fires.
    pub(super) fn open_at_timer(
        engine: &'e mut Engine,
        slot: CustomerSlot,
        key_hash: u64,
        instant: Time,
    ) -> Self {
        let shop = engine.shop_of(slot);
        let Engine { settings, store, scratch, .. } = &mut *engine;
        let packed = store.packed(slot);
        scratch.totals = scratch.read(slot, packed, instant, settings.shops.get(shop), settings);
        let form = Form::Head { emitted_before: scratch.customer.emitted };
        Self::opened(engine, slot, shop, key_hash, instant, form)
    }

    /// Derives how the customer counts in the totals of its shop.
    fn with_totals_before(self) -> Self {
        let Engine { settings, totals: partition_totals, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals_before, .. } = scratch;
        let shop = settings.shops.get(self.shop);
        attribution.derive(&customer.ledger, shop, settings.return_window);
        let at = partition_totals.window_ends.at_of(self.slot);
        *totals_before = customer.totals(at, attribution, shop).by_window;
        self
    }

    /// Puts a record into the unpacked ledger and emits what it changed.
    pub(super) fn apply(&mut self, record: &Record) -> (LedgerChange, Applied) {
        let Engine { settings, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals, .. } = scratch;
        let shop = settings.shops.get(self.shop);
        let mut facts = |customer: &Customer, attribution: &Attribution| {
            *totals = customer.totals(self.clock, attribution, shop);
            let is_cancelled = cancellable(record)
                .is_some_and(|order| customer.ledger.is_cancelled(order, settings.return_window));
            (*totals, is_cancelled)
        };
        // The attribution is that of the opening.
        let facts_before = customer.raises_version(record).then(|| facts(&*customer, &*attribution));
        let change = customer.apply(record, settings.hash);
        attribution.derive(&customer.ledger, shop, settings.return_window);
        let facts_after = facts(&*customer, &*attribution);
        let change = match facts_before {
            Some(before) if before != facts_after => LedgerChange::Replaced { conflicting: false },
            Some(_) | None => change,
        };
        (change, self.emit(record, change))
    }

    /// Emits the difference between what was emitted and the facts that follow from the totals at hand.
    #[inline]
    pub(super) fn emit(&mut self, record: &Record, change: LedgerChange) -> Applied {
        let Engine { settings, effects, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals, .. } = scratch;
        // Borrowed, not counted: two atomic steps a record are a twentieth of it.
        let settings: &Settings = settings;
        let shop = settings.shops.get(self.shop);
        let facts = Facts::new(totals, self.shop, settings);
        let mut emitter = SignalEmitter {
            customer: self.slot,
            shop: self.shop,
            settings,
            facts: &facts,
            clock: self.clock,
            occurred_at: record.time(),
            before: self.state_before,
            signals: &mut effects.signals,
        };
        if let Some(order) = cancellable(record) {
            emitter.emit_cancelled(order, &mut customer.ledger, attribution);
        }
        let is_new = change == LedgerChange::New;
        let applied = match record {
            Record::Order(order) if is_new && !order.test => Applied::Order {
                value: shop.convert(order.total, order.currency),
                first: facts.all_time().placed == 1,
            },
            Record::Return(returned) if is_new => {
                emitter.emit_returned(returned, &customer.ledger, attribution);
                Applied::Return { refund: shop.convert(returned.refund, returned.currency) }
            }
            Record::Cancellation(cancellation) if is_new => {
                let order = customer.ledger.order(cancellation.order);
                let distance = order.map(|order| cancellation.cancelled_at.distance(order.placed_at));
                let is_apart = distance > Some(settings.return_window);
                if is_apart { Applied::Ineffective } else { Applied::Other }
            }
            Record::Order(_) | Record::Return(_) | Record::Cancellation(_) => match change {
                LedgerChange::Superseded { conflicting: true } => {
                    Applied::Conflicting { standing: Standing::Held }
                }
                LedgerChange::Replaced { conflicting: true } => {
                    Applied::Conflicting { standing: Standing::Arrived }
                }
                LedgerChange::Duplicate
                | LedgerChange::VersionRaised
                | LedgerChange::New
                | LedgerChange::Superseded { conflicting: false }
                | LedgerChange::Replaced { conflicting: false } => Applied::Other,
            },
        };
        emitter.emit_record(&mut customer.emitted, TriggeringRecord { record, hash: settings.hash });
        self.due = next_instant(&customer.emitted, &facts, &settings.thresholds, self.clock);
        applied
    }

    /// Emits what the instant of a timer changed. Returns whether the state moved.
    pub(super) fn apply_instant(&mut self) -> bool {
        let Engine { settings, effects, signals_from, scratch: Scratch { customer, totals, .. }, .. } =
            &mut *self.engine;
        let facts = Facts::new(totals, self.shop, settings);
        let mut emitter = SignalEmitter {
            customer: self.slot,
            shop: self.shop,
            settings,
            facts: &facts,
            clock: self.clock,
            occurred_at: self.clock,
            before: self.state_before,
            signals: &mut effects.signals,
        };
        let moved = emitter.emit_instant(&mut customer.emitted);
        if signals_from.is_some_and(|from| self.clock < from) {
            effects.held_back += (effects.signals.len() - self.first_signal) as u64;
            effects.signals.truncate(self.first_signal);
        }
        self.due = next_instant(&customer.emitted, &facts, &settings.thresholds, self.clock);
        moved
    }

    /// Takes as emitted what live records would have led to, and emits the alerts that stand.
    pub(super) fn settle_history(&mut self) {
        let Engine { settings, effects, signals_from, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals, .. } = scratch;
        let settings: &Settings = settings;
        let shop = settings.shops.get(self.shop);
        attribution.derive(&customer.ledger, shop, settings.return_window);
        *totals = customer.totals(self.clock, attribution, shop);
        let facts = Facts::new(totals, self.shop, settings);
        let mut emitter = SignalEmitter {
            customer: self.slot,
            shop: self.shop,
            settings,
            facts: &facts,
            clock: self.clock,
            occurred_at: self.clock,
            before: self.state_before,
            signals: &mut effects.signals,
        };
        effects.held_back += emitter.settle(customer, attribution, *signals_from);
        self.state_before = customer.emitted.state();
        self.due = next_instant(&customer.emitted, &facts, &settings.thresholds, self.clock);
        self.look_for_rules(Turns::From(self.clock));
    }

    /// Unpacks the ledger too, if the timer has changed what was emitted. Only a few do.
    pub(super) fn unpack_if_changed(self) -> Self {
        match self.form {
            Form::Head { emitted_before } if self.engine.scratch.customer.emitted != emitted_before => {
                self.unpack()
            }
            Form::Head { .. } | Form::Held | Form::New | Form::Appended(_) => self,
        }
    }

    /// Unpacks the ledger of a customer whose timer fires.
    pub(super) fn unpack(mut self) -> Self {
        let Engine { store, scratch: Scratch { customer, .. }, .. } = &mut *self.engine;
        let emitted = customer.emitted;
        packed::unpack(store.packed(self.slot), customer).expect("packed by this engine");
        customer.emitted = emitted;
        self.form = Form::Held;
        self.with_totals_before()
    }

    /// Moves what can no longer change from the unpacked ledger into the summary. The facts stay the same.
    pub(super) fn fold(&mut self) {
        let Engine { settings, effects, scratch: Scratch { customer, attribution, .. }, .. } =
            &mut *self.engine;
        let shop = settings.shops.get(self.shop);
        if let Some(early) = customer.fold(shop, settings, self.clock, attribution) {
            effects.folded_early += early;
            attribution.derive(&customer.ledger, shop, settings.return_window);
        }
    }

    /// Ends the visit. With `profile_at` the customer's profile is published, if its bytes changed.
    #[inline]
    pub(super) fn commit(mut self, profile_at: Option<Time>) {
        let has_changed = match &self.form {
            Form::Held => {
                self.count_again();
                self.save()
            }
            Form::New => {
                self.count_first();
                self.save();
                true
            }
            Form::Appended(appended) => {
                let appended = *appended;
                self.save_appended(&appended);
                true
            }
            Form::Head { .. } => false,
        };
        let Self { engine, slot, key_hash, state_before, segment_before, planned_before, due, .. } = self;
        let Customer { emitted, rules, .. } = &engine.scratch.customer;
        engine.firings_planned = engine.firings_planned + rules.planned().len() - planned_before;
        engine.effects.count_transition(state_before, emitted.state());
        engine.totals.recount_segment(segment_before, emitted.segment);
        engine.timers.schedule(slot, due, || key_hash);
        if has_changed {
            engine.touch(slot, profile_at);
        }
    }

    fn count_again(&mut self) {
        let Engine { settings, totals: partition_totals, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals_before, .. } = scratch;
        let at = partition_totals.window_ends.at();
        let after = customer.totals(at, attribution, settings.shops.get(self.shop));
        let (before, state) = (Some((self.state_before, &*totals_before)), customer.emitted.state());
        partition_totals.recount(self.slot, self.shop, before, Some((state, &after)));
    }

    fn count_first(&mut self) {
        let Engine { settings, totals: partition_totals, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, .. } = scratch;
        let at = partition_totals.window_ends.at();
        let after = customer.totals(at, attribution, settings.shops.get(self.shop));
        partition_totals.recount(self.slot, self.shop, None, Some((customer.emitted.state(), &after)));
    }

    /// Packs the unpacked customer; returns whether its bytes changed.
    fn save(&mut self) -> bool {
        let Engine { store, scratch: Scratch { customer, bytes, totals_cache, .. }, .. } = &mut *self.engine;
        packed::pack(store.key(self.slot), customer, bytes);
        totals_cache.forget(self.slot);
        store.replace(self.slot, bytes, &[])
    }

    /// Opens and ends a visit of a restored customer that lies unpacked in the scratch memory: it counts, and it gets its timer.
    pub(super) fn restore(engine: &'e mut Engine, slot: CustomerSlot, shop: ShopIndex, key_hash: u64) {
        let Engine {
            settings, clock, store, totals: partition_totals, timers, firings_planned, scratch, ..
        } = engine;
        let Scratch { customer, attribution, .. } = scratch;
        let shop_settings = settings.shops.get(shop);
        attribution.derive(&customer.ledger, shop_settings, settings.return_window);
        let totals = customer.totals(partition_totals.window_ends.at(), attribution, shop_settings);
        let facts = Facts::new(&totals, shop, settings);
        let clock = clock.unwrap_or(Time::MIN);
        let due = next_instant(&customer.emitted, &facts, &settings.thresholds, clock);
        let rule_due =
            next_rule_due(settings, store, slot, shop, &facts, &customer.rules, Turns::From(clock));
        *firings_planned += customer.rules.planned().len();
        timers.schedule(slot, due.into_iter().chain(rule_due).min(), || key_hash);
        partition_totals.recount_segment(None, customer.emitted.segment);
        partition_totals.recount(slot, shop, None, Some((customer.emitted.state(), &totals)));
    }

    /// Sets the timer of a customer anew, because other records of the registry count for it. Nothing else changes.
    pub(super) fn reschedule(engine: &'e mut Engine, slot: CustomerSlot, clock: Time) {
        let shop = engine.shop_of(slot);
        let Engine { settings, store, timers, scratch, .. } = engine;
        // What leaves the year at the very clock may still have to fire.
        let at = clock.just_before();
        let totals = scratch.read(slot, store.packed(slot), at, settings.shops.get(shop), settings);
        let facts = Facts::new(&totals, shop, settings);
        let Customer { emitted, rules, .. } = &scratch.customer;
        let due = next_instant(emitted, &facts, &settings.thresholds, clock);
        let rule_due = next_rule_due(settings, store, slot, shop, &facts, rules, Turns::From(clock));
        timers.schedule(slot, due.into_iter().chain(rule_due).min(), || store.key_hash(slot));
    }

    /// Brings a customer's part in the totals of its shop to the instant that these are brought to.
    pub(super) fn settle(engine: &'e mut Engine, slot: CustomerSlot) {
        let shop = engine.shop_of(slot);
        let Engine { settings, store, totals: partition_totals, scratch, .. } = engine;
        let packed = store.packed(slot);
        let shop_settings = settings.shops.get(shop);
        let (from, to) = (partition_totals.window_ends.at_of(slot), partition_totals.window_ends.at());
        let before = scratch.read(slot, packed, from, shop_settings, settings);
        let after = scratch.read(slot, packed, to, shop_settings, settings);
        scratch.totals_cache.settle(slot, to, &after);
        let state = scratch.customer.emitted.state();
        partition_totals.recount(slot, shop, Some((state, &before.by_window)), Some((state, &after)));
    }

    /// Opens a customer for the last time: it counts nowhere any more and has no timer.
    pub(super) fn erase(engine: &'e mut Engine, slot: CustomerSlot, key: CustomerKey<'_>) {
        let shop = engine.shop_of(slot);
        let Engine {
            settings,
            store,
            totals: partition_totals,
            timers,
            firings_planned,
            effects,
            scratch,
            ..
        } = engine;
        let packed = store.packed(slot);
        let at = partition_totals.window_ends.at_of(slot);
        let before = scratch.read(slot, packed, at, settings.shops.get(shop), settings);
        let state = scratch.customer.emitted.state();
        partition_totals.recount(slot, shop, Some((state, &before.by_window)), None);
        partition_totals.recount_segment(scratch.customer.emitted.segment, None);
        *firings_planned -= scratch.customer.rules.planned().len();
        timers.schedule(slot, None, || key.hash);
        effects.erase(slot, key.bytes, store.mark(slot));
        store.remove(slot);
    }
}

/// The order that a record may cancel or bring back.
fn cancellable(record: &Record) -> Option<OrderHash> {
    match record {
        Record::Order(order) => Some(order.id),
        Record::Cancellation(cancellation) => Some(cancellation.order),
        Record::Return(_) => None,
    }
}
