//! Rules in a visit of a customer: after its signals are emitted, and before it is packed.
//!
//! A customer of whom rules remember something has a section, so its records take the general way. Of all others an appended order
//! takes it only if it, one of its signals or a SKU that it holds triggers a rule.

use super::effects::Effects;
use super::scratch::Scratch;
use super::settling::Stage;
use super::visit::{CustomerVisit, Form};
use super::{Applied, Engine};
use crate::domain::customer::facts::Facts;
use crate::domain::customer::ledger::{Attribution, Ledger};
use crate::domain::customer::{Change as LedgerChange, Customer};
use crate::domain::rules::expression::values::{CustomerValues, last_return_at};
use crate::domain::rules::firing::{RuleRun, RuleSubject, Rulebook, Turns};
use crate::domain::rules::guests;
use crate::domain::rules::memory::RuleMemory;
use crate::domain::rules::products::GoodsOrders;
use crate::domain::settings::Settings;
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{Cause, Signal, State};
use crate::domain::store::Store;
use crate::domain::values::event::{OrderRecord, Record};
use crate::domain::values::ids::{CustomerSlot, OrderHash, ShopIndex};
use crate::domain::values::time::Time;

/// When a rule is next due for a customer.
pub(super) fn next_rule_due(
    settings: &Settings,
    store: &Store,
    slot: CustomerSlot,
    shop: ShopIndex,
    facts: &Facts<'_>,
    memory: &RuleMemory,
    turns: Turns,
) -> Option<Time> {
    let book = settings.rules.as_ref()?;
    subject(settings, book, store.key(slot), shop, facts).next_due(memory, turns)
}

pub(super) fn subject<'a>(
    settings: &'a Settings,
    book: &'a Rulebook,
    key: &'a [u8],
    shop: ShopIndex,
    facts: &Facts<'a>,
) -> RuleSubject<'a> {
    let (shop, kept) = (settings.shops.get(shop), facts.kept());
    let points = settings.points.map(|points| points.of(kept, shop.currency));
    RuleSubject { book, key, zone: &shop.zone, kept, points }
}

impl CustomerVisit<'_> {
    /// Lets rules look at a record that was applied, and at its signals.
    pub(super) fn run_rules_on_record(&mut self, record: &Record, change: LedgerChange, applied: Applied) {
        if self.is_concerned(record) {
            self.run_rules(|run, signals, ledger, attribution| {
                run.handle_signals(signals);
                let orders = GoodsOrders::new(ledger, attribution);
                orders.take_back(run, new_version(record, change));
                if let (Record::Order(order), Applied::Order { .. }) = (record, applied)
                    && !orders.is_lost(order.id)
                {
                    run.handle_order(order.id, order.placed_at);
                    orders.plan(run, order);
                }
                run.handle_points(record.time());
            });
        }
        self.look_for_rules(Turns::From(self.clock));
    }

    /// The same of an order that was appended.
    #[inline]
    pub(super) fn run_rules_on_appended(mut self, record: &Record, applied: Applied) -> Self {
        if self.engine.settings.rules.is_none() {
            return self;
        }
        if !self.is_concerned(record) {
            self.look_for_rules(Turns::From(self.clock));
            return self;
        }
        let mut visit = self.unpack_appended(record);
        visit.run_rules_on_record(record, LedgerChange::New, applied);
        visit.fold();
        visit
    }

    /// Lets rules look at the instant of a timer, and at its signals.
    pub(super) fn run_rules_at_instant(mut self) -> Self {
        let Engine { settings, store, effects, signals_from, scratch, .. } = &mut *self.engine;
        let Scratch { customer, totals, .. } = scratch;
        let is_silent = effects.signals.len() == self.first_signal;
        let Some(book) = &settings.rules else {
            effects.timers_silent += u64::from(is_silent);
            return self;
        };
        let facts = Facts::new(totals, self.shop, settings);
        let subject = subject(settings, book, store.key(self.slot), self.shop, &facts);
        let is_due = subject.is_due(&customer.rules, self.clock);
        let is_concerned = book.is_concerned(&effects.signals[self.first_signal..], &customer.rules);
        let is_held_back = signals_from.is_some_and(|from| self.clock < from);
        if is_due || is_concerned {
            self = match self.form {
                Form::Head { .. } => self.unpack(),
                Form::Held | Form::New | Form::Appended(_) => self,
            };
            if is_held_back {
                self.hold_back_rules();
            } else {
                self.run_rules(|run, signals, _, _| {
                    run.handle_signals(signals);
                    run.handle_turns();
                });
            }
        }
        let effects = &mut self.engine.effects;
        let has_emitted = effects.signals.len() > self.first_signal;
        effects.timers_silent += u64::from(!has_emitted);
        effects.rule_counts.timers += u64::from(is_silent && has_emitted);
        self.look_for_rules(Turns::After(self.clock));
        self
    }

    /// Brings the timer forward to where a rule is next due.
    pub(super) fn look_for_rules(&mut self, turns: Turns) {
        let Engine { settings, store, scratch: Scratch { customer, totals, .. }, .. } = &*self.engine;
        if settings.rules.is_none() {
            return;
        }
        let facts = Facts::new(totals, self.shop, settings);
        let due = next_rule_due(settings, store, self.slot, self.shop, &facts, &customer.rules, turns);
        self.due = self.due.into_iter().chain(due).min();
    }

    fn is_concerned(&self, record: &Record) -> bool {
        let Engine { settings, store, effects, scratch, .. } = &*self.engine;
        let Scratch { customer: Customer { rules, .. }, totals, .. } = scratch;
        settings.rules.as_ref().is_some_and(|book| {
            let facts = Facts::new(totals, self.shop, settings);
            let subject = subject(settings, book, store.key(self.slot), self.shop, &facts);
            let may_trigger = |order: &OrderRecord| book.is_on_orders() || !order.watched.is_empty();
            matches!(record, Record::Order(order) if may_trigger(order))
                || rules.has_products()
                || book.is_concerned(&effects.signals[self.first_signal..], rules)
                || subject.has_new_multiple(rules)
        })
    }

    /// Runs the rules on the unpacked customer, and emits their signals.
    fn run_rules(&mut self, handle: impl FnOnce(&mut RuleRun<'_>, &[Signal], &Ledger, &Attribution)) {
        let Engine { settings, store, effects, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals, .. } = scratch;
        let Effects { signals, rule_counts, .. } = effects;
        let settings: &Settings = settings;
        let Some(book) = &settings.rules else { return };
        let facts = Facts::new(totals, self.shop, settings);
        let profile = facts.profile(self.shop, customer, self.clock, settings);
        let subject = subject(settings, book, store.key(self.slot), self.shop, &facts);
        let values = CustomerValues {
            profile: &profile,
            currency: settings.shops.get(self.shop).currency,
            last_return_at: last_return_at(&customer.ledger, self.clock, settings.ledger_horizon()),
            sku: None,
        };
        let Customer { ledger, rules, .. } = customer;
        let mut run = RuleRun::new(subject, values, self.clock, rules, rule_counts);
        handle(&mut run, &signals[self.first_signal..], ledger, attribution);
        let emitted = run.fire();
        let state = facts.state(self.clock);
        let policy = settings.lapse.id(self.shop, facts.kept().history().as_ref());
        signals.extend(emitted.into_iter().map(|(rule, cause)| Signal {
            customer: Some(self.slot),
            shop: self.shop,
            kind: SignalKind::Rule(Box::new(rule)),
            occurred_at: self.clock,
            before: state,
            after: state,
            cause: Cause::Rule(cause),
            policy,
        }));
    }

    /// Drops what is due, as nothing is published of this instant.
    fn hold_back_rules(&mut self) {
        let Engine { effects, scratch: Scratch { customer, .. }, .. } = &mut *self.engine;
        effects.held_back += customer.rules.drop_due(self.clock);
    }
}

impl Engine {
    /// Lets rules look at an order of a guest that was accepted and is worth something.
    pub(super) fn run_rules_on_guest(&mut self, shop: ShopIndex, order: OrderHash, placed_at: Time) {
        let Self { settings, effects, .. } = self;
        let book = settings.rules.as_ref().filter(|book| book.is_on_guests());
        let Some(book) = book.filter(|_| self.stage == Stage::Live) else { return };
        let (policy, zone) = (settings.lapse.id(shop, None), &settings.shops.get(shop).zone);
        effects.signals.extend(guests::firings(book, zone, order, placed_at).map(|(rule, cause)| Signal {
            customer: None,
            shop,
            kind: SignalKind::Rule(Box::new(rule)),
            occurred_at: placed_at,
            before: State::Prospect,
            after: State::Prospect,
            cause: Cause::GuestRule(cause),
            policy,
        }));
    }
}

/// The order in this record if it is another version of one that was known, and counts from now on.
const fn new_version(record: &Record, change: LedgerChange) -> Option<&OrderRecord> {
    match (record, change) {
        (Record::Order(order), LedgerChange::VersionRaised | LedgerChange::Replaced { .. }) => Some(order),
        (Record::Order(_) | Record::Cancellation(_) | Record::Return(_), _) => None,
    }
}
