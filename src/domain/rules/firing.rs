//! The life of a firing of one customer's rules, at a record or at the instant of a timer.
//!
//! ```text
//!  signals, orders ─► triggered ─► planned ──────────► due ─► fired or withheld
//!                         │           │                 │
//!                    (cool-down)  (cancelled)   (condition, cool-down, cap)
//! ```
//! After all signals of a record or an instant are emitted, in their order, each cancels planned firings and triggers rules. Then
//! everything that is due fires, by priority and name. What rules emit triggers nothing.
//!
//! The firing of a product is planned from its order on, and moves with the next one: see [`products`](super::products).
//!
//! The turns of `every` and `date` are not planned: they follow from the facts, the memory and the clock. One that is due at the clock is
//! looked at once more after a record of that instant, so that a restored engine does the same.

use std::sync::Arc;

use super::assignment::Hash;
use super::counts::{RuleCounts, Unfired};
use super::expression::values::{CustomerValues, TriggerValues};
use super::memory::{CapId, LastFiring, Planned, PlannedFiring, RuleMemory};
use super::points::multiple;
use super::products::life_of;
use super::rule::{Again, Anchor, CoolDown, Rule, RuleId, RuleSet, Trigger, Variant, WhilePlanned};
use super::schedule::{next_date, next_turn, send};
use crate::domain::customer::purchases::PurchaseStats;
use crate::domain::signals::kind::{SignalKind, SignalType};
use crate::domain::signals::rule::{
    Occasion, RuleAction, RuleCause, RuleHash, RuleSignal, SignalHash, SignalHasher,
};
use crate::domain::signals::signal::Signal;
use crate::domain::values::ids::OrderHash;
use crate::domain::values::time::{Span, Time, Zone};

/// The rules of a service, and what they need of the rest of the program.
#[derive(Clone, Debug)]
pub struct Rulebook {
    set: Arc<RuleSet>,
    signal_id: SignalHasher,
    hash: Hash,
    on_orders: bool,
    on_guests: bool,
    on_points: bool,
    has_turns: bool,
}

/// The group that a customer belongs to under a rule.
#[derive(Clone, Copy, Debug)]
pub struct Group<'r> {
    pub variant: &'r Variant,
    /// Whether these customers get nothing: a control of the rule, or held out of every rule.
    pub is_withheld: bool,
}

/// Of whom and when: the customer's rules at one instant.
#[derive(Clone, Copy)]
pub struct RuleSubject<'a> {
    pub book: &'a Rulebook,
    pub key: &'a [u8],
    pub zone: &'a Zone,
    pub kept: &'a PurchaseStats,
    /// None without points.
    pub points: Option<u64>,
}

/// From when on a turn of `every` or `date` is still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turns {
    /// A turn at this very instant is still to come.
    From(Time),
    /// It has been looked at.
    After(Time),
}

/// One run of a customer's rules; see the module.
pub struct RuleRun<'a> {
    pub subject: RuleSubject<'a>,
    pub values: CustomerValues<'a>,
    pub clock: Time,
    pub memory: &'a mut RuleMemory,
    pub counts: &'a mut RuleCounts,
    /// What fires in this run, if nothing cancels it.
    due: Vec<PlannedFiring>,
    emitted: Vec<(RuleSignal, RuleCause)>,
}

impl Rulebook {
    pub fn new(set: Arc<RuleSet>, signal_id: SignalHasher, hash: Hash) -> Self {
        let has = |is_asked: fn(&Trigger) -> bool| {
            set.rules().iter().any(|rule| rule.enabled && is_asked(&rule.trigger))
        };
        let on_orders = has(|trigger| matches!(trigger, Trigger::Order));
        let on_guests = has(|trigger| matches!(trigger, Trigger::GuestOrder));
        let on_points = has(|trigger| matches!(trigger, Trigger::Points { .. }));
        let has_turns = has(|trigger| matches!(trigger, Trigger::Every(_) | Trigger::Date(_)));
        Self { set, signal_id, hash, on_orders, on_guests, on_points, has_turns }
    }

    pub fn set(&self) -> &RuleSet {
        &self.set
    }

    /// The customer's group under a rule of the set.
    pub fn group<'r>(&self, rule: &'r Rule, customer_key: &[u8]) -> Group<'r> {
        let variant = rule.variants.of(customer_key, self.hash);
        let is_withheld = variant.holdout || self.set.holdout().holds_out(customer_key, self.hash);
        Group { variant, is_withheld }
    }

    /// Hashes of the SKUs that rules watch, sorted: orders name them by their places in it.
    pub fn watched(&self) -> &Arc<[u64]> {
        self.set.watched()
    }

    /// Whether every accepted order may trigger a rule.
    pub fn is_on_orders(&self) -> bool {
        self.on_orders
    }

    /// Whether every accepted order of a guest triggers a rule.
    pub fn is_on_guests(&self) -> bool {
        self.on_guests
    }

    /// Whether one of these signals triggers a rule, or cancels a firing where some are planned.
    pub fn is_concerned(&self, signals: &[Signal], memory: &RuleMemory) -> bool {
        let triggers = self.set.triggers();
        let may_cancel = !memory.planned().is_empty();
        signals.iter().any(|signal| {
            let signal_type = signal.kind.signal_type();
            let cancels =
                self.set.cancels().contains(signal_type) || signal_type == SignalType::LapseRetracted;
            triggers.contains(signal_type) || (may_cancel && cancels)
        })
    }
}

impl RuleSubject<'_> {
    /// When a timer next has to fire for a rule.
    pub fn next_due(&self, memory: &RuleMemory, turns: Turns) -> Option<Time> {
        let planned = memory.planned().first().map(|firing| firing.due);
        if !self.book.has_turns {
            return planned;
        }
        let rules = self.book.set.rules().iter().filter(|rule| rule.enabled);
        let turns = rules.filter_map(|rule| self.next_turn(rule, memory, turns)).map(|(_, due)| due);
        turns.chain(planned).min()
    }

    /// The next turn of a rule that has turns: its instant, and when that may be sent.
    pub fn next_turn(&self, rule: &Rule, memory: &RuleMemory, turns: Turns) -> Option<(Time, Time)> {
        /// Hours of sending move an instant by less.
        const MOVED_MAX: Span = Span::days(9);
        let next: &dyn Fn(Time) -> Option<Time> = match &rule.trigger {
            Trigger::Every(every) => {
                let anchor = match every.from {
                    _ if self.kept.count == 0 => return None,
                    Anchor::FirstOrder => self.kept.first_at,
                    Anchor::LastOrder => self.kept.last_at,
                };
                let period = every.period(&rule.name, self.key, self.book.hash);
                &move |after: Time| Some(next_turn(anchor, period, Some(after), after))
            }
            Trigger::Date(date) => {
                &move |after| next_date(date, &rule.name, (self.key, self.book.hash), self.zone, after)
            }
            Trigger::Signal(_)
            | Trigger::Order
            | Trigger::Product(_)
            | Trigger::Points { .. }
            | Trigger::GuestOrder => return None,
        };
        let from = match turns {
            Turns::From(instant) => instant,
            Turns::After(instant) => instant.plus(Span::from_millis(1)),
        };
        let from = match (memory.last_of(rule.id()), rule.again) {
            (None, _) => from,
            (Some(_), Again::Never) => return None,
            (Some(last), Again::Always) => from.max(last.at.plus(Span::from_millis(1))),
            (Some(last), Again::After(again)) => from.max(last.at.plus(again.max(Span::from_millis(1)))),
        };
        let mut after = match rule.send {
            None => from.just_before(),
            Some(_) => from.minus(MOVED_MAX),
        };
        loop {
            let instant = next(after)?;
            let due = send_at(rule, instant, self.zone);
            if due >= from {
                return Some((instant, due));
            }
            after = instant;
        }
    }

    /// The multiple that the customer's points have reached, if the rule is on points and none so high has triggered it.
    pub fn new_multiple(&self, rule: &Rule, memory: &RuleMemory) -> Option<u64> {
        let Trigger::Points { reach } = rule.trigger else { return None };
        let before = memory.last_of(rule.id()).map_or(0, |last| last.number);
        let reached = multiple(self.points?, reach);
        (rule.enabled && reached > before).then_some(reached)
    }

    /// Whether points may trigger a rule.
    pub fn has_new_multiple(&self, memory: &RuleMemory) -> bool {
        let mut rules = self.book.set.rules().iter();
        self.book.on_points && rules.any(|rule| self.new_multiple(rule, memory).is_some())
    }

    /// Whether something is due at an instant of a timer.
    pub fn is_due(&self, memory: &RuleMemory, instant: Time) -> bool {
        self.next_due(memory, Turns::From(instant)).is_some_and(|due| due <= instant)
    }
}

impl<'a> RuleRun<'a> {
    pub fn new(
        subject: RuleSubject<'a>,
        values: CustomerValues<'a>,
        clock: Time,
        memory: &'a mut RuleMemory,
        counts: &'a mut RuleCounts,
    ) -> Self {
        Self { subject, values, clock, memory, counts, due: Vec::new(), emitted: Vec::new() }
    }

    /// Cancels and triggers by signals, in their order.
    pub fn handle_signals(&mut self, signals: &[Signal]) {
        for signal in signals {
            self.cancel_by(signal);
            self.trigger_by(signal);
        }
    }

    /// A kept order was accepted for the first time.
    pub fn handle_order(&mut self, order: OrderHash, placed_at: Time) {
        for rule in self.subject.book.set.rules() {
            if rule.enabled && matches!(rule.trigger, Trigger::Order) {
                self.trigger(rule, Occasion::Order(order), placed_at);
            }
        }
    }

    /// Points may have reached another multiple by a record of this time. Each triggers once, whatever becomes of it.
    pub fn handle_points(&mut self, occurred_at: Time) {
        let RuleSubject { book, kept, .. } = self.subject;
        for rule in book.set.rules().iter().filter(|_| book.on_points) {
            if let Some(multiple) = self.subject.new_multiple(rule, self.memory) {
                self.memory.note_reached(rule.id(), multiple, &book.set);
                let occasion = Occasion::Points { multiple, first_order_at: kept.first_at };
                self.trigger(rule, occasion, occurred_at);
            }
        }
    }

    /// Adds the turns of `every` and `date` that are due at the clock.
    pub fn handle_turns(&mut self) {
        let RuleSubject { book, .. } = self.subject;
        for rule in book.set.rules().iter().filter(|rule| rule.enabled) {
            let turn = self.subject.next_turn(rule, self.memory, Turns::From(self.clock));
            if let Some((instant, due)) = turn.filter(|(_, due)| *due == self.clock) {
                let (rule, occasion) = (rule.id(), Occasion::Instant(instant));
                self.due.push(PlannedFiring { due, rule, occasion, due_at: due });
            }
        }
    }

    /// Fires what is due, and gives what was emitted.
    pub fn fire(mut self) -> Vec<(RuleSignal, RuleCause)> {
        let clock = self.clock;
        while let Some(firing) = self.memory.take_planned(|firing| firing.due <= clock) {
            self.due.push(firing);
        }
        let set = &self.subject.book.set;
        let place = |firing: &PlannedFiring| set.rules().iter().position(|rule| rule.id() == firing.rule);
        let mut due: Vec<(usize, PlannedFiring)> =
            self.due.iter().filter_map(|firing| Some((place(firing)?, *firing))).collect();
        due.sort_unstable();
        for (place, firing) in due {
            self.decide(place, &firing);
        }
        self.emitted
    }

    fn cancel_by(&mut self, signal: &Signal) {
        let RuleSubject { book, key, .. } = self.subject;
        let signal_type = signal.kind.signal_type();
        let mut retracted = None;
        if let SignalKind::LapseRetracted { retracted: kind, emitted } = &signal.kind {
            retracted = Some(Occasion::Signal((book.signal_id)(key, kind.name(), &emitted.cause())));
        } else if !book.set.cancels().contains(signal_type) {
            return;
        }
        let is_cancelled = |firing: &PlannedFiring| {
            let rule = book.set.rule(firing.rule);
            retracted == Some(firing.occasion)
                || rule.is_some_and(|rule| rule.cancel_on.contains(signal_type))
        };
        self.due.retain(|firing| !is_cancelled(firing));
        while let Some(firing) = self.memory.take_planned(is_cancelled) {
            self.announce(&firing, RuleAction::Cancelled);
        }
    }

    fn trigger_by(&mut self, signal: &Signal) {
        let RuleSubject { book, key, .. } = self.subject;
        let signal_type = signal.kind.signal_type();
        if !book.set.triggers().contains(signal_type) {
            return;
        }
        let values = TriggerValues { signal: Some(&signal.kind), currency: self.values.currency, sku: None };
        let id = (book.signal_id)(key, signal.kind.name(), &signal.cause);
        for rule in book.set.rules() {
            let is_its_trigger = rule.trigger == Trigger::Signal(signal_type);
            if rule.enabled && is_its_trigger && rule.when.holds(|field| values.value(field)) {
                self.trigger(rule, Occasion::Signal(id), signal.occurred_at);
            }
        }
    }

    fn trigger(&mut self, rule: &Rule, occasion: Occasion, occurred_at: Time) {
        let id = rule.id();
        if self.is_cooling(rule, occurred_at) {
            self.count(id, |unfired| unfired.cooling += 1);
            return;
        }
        if self.due.iter().any(|firing| firing.rule == id) {
            return;
        }
        if let Some(planned) = self.memory.planned_of(id) {
            match rule.while_planned {
                WhilePlanned::Restart if planned.occasion == occasion => return,
                WhilePlanned::Keep => return,
                WhilePlanned::Restart => {
                    let replaced = self.memory.take_planned(|firing| firing.rule == id);
                    replaced.into_iter().for_each(|firing| self.announce(&firing, RuleAction::Cancelled));
                }
            }
        }
        let due_at = send_at(rule, occurred_at.plus(rule.after), self.subject.zone);
        self.plan(rule, occasion, due_at);
    }

    /// Plans a firing, or fires in this run what is due by now.
    pub(super) fn plan(&mut self, rule: &Rule, occasion: Occasion, due_at: Time) {
        let due = if due_at > self.clock { due_at } else { send_at(rule, self.clock, self.subject.zone) };
        let firing = PlannedFiring { due, rule: rule.id(), occasion, due_at };
        if due <= self.clock {
            self.due.push(firing);
            return;
        }
        match self.memory.plan(firing) {
            Planned::Yes => self.announce(&firing, RuleAction::Planned),
            Planned::NoRoom => self.counts.no_room += 1,
        }
    }

    /// Fires, withholds or drops what is due.
    fn decide(&mut self, place: usize, firing: &PlannedFiring) {
        let RuleSubject { book, key, .. } = self.subject;
        let rule = &book.set.rules()[place];
        let life = life_of(rule, firing.occasion);
        let is_watched = firing.occasion.product().is_none() || life.is_some();
        if !rule.enabled || !is_watched {
            return;
        }
        if self.is_cooling(rule, self.clock) {
            self.counts.of(place).cooling += 1;
            return;
        }
        let values = CustomerValues { sku: life.map(|life| &*life.sku), ..self.values };
        if !rule.condition.holds(|field| values.value(field)) {
            self.counts.of(place).refused += 1;
            return;
        }
        let cap = rule.cap.map(|index| book.set.cap(index));
        if let Some(cap) = cap {
            let fired = self.memory.firings_after(CapId::of(cap.hash), self.clock.minus(cap.per));
            if fired >= usize::from(cap.max) {
                self.counts.of(place).capped += 1;
                return;
            }
        }
        let Group { variant, is_withheld } = book.group(rule, key);
        let action = if is_withheld { RuleAction::Withheld } else { RuleAction::Fired };
        let before = self.memory.last_of(rule.id()).map_or(0, |last| last.number);
        let number = if points_of(firing.occasion).is_some() { before } else { before.saturating_add(1) };
        let last = LastFiring { rule: rule.id(), at: self.clock, number };
        self.memory.note_fired(last, &book.set);
        if let Some(cap) = cap.filter(|_| !is_withheld) {
            self.memory.note_capped(CapId::of(cap.hash), self.clock);
        }
        self.memory.forget_over(&book.set, self.clock);
        self.emit(rule, variant, firing, action);
    }

    /// Whether the rule has fired too short a time before `at`.
    pub(super) fn is_cooling(&self, rule: &Rule, at: Time) -> bool {
        match rule.cool_down(self.memory.last_of(rule.id()).map(|last| last.at)) {
            CoolDown::None => false,
            CoolDown::Until(until) => until > at,
            CoolDown::ForEver => true,
        }
    }

    /// Counts for a rule; nothing for one that the set has no more.
    pub(super) fn count(&mut self, rule: RuleId, add: impl FnOnce(&mut Unfired)) {
        let place = self.subject.book.set.rules().iter().position(|other| other.id() == rule);
        if let Some(place) = place {
            add(self.counts.of(place));
        }
    }

    /// Emits what became of a planned firing, if its rule announces that.
    pub(super) fn announce(&mut self, firing: &PlannedFiring, action: RuleAction) {
        let RuleSubject { book, key, .. } = self.subject;
        if action == RuleAction::Cancelled {
            self.count(firing.rule, |unfired| unfired.cancelled += 1);
        }
        if let Some(rule) = book.set.rule(firing.rule).filter(|rule| rule.enabled && rule.announce) {
            self.emit(rule, rule.variants.of(key, book.hash), firing, action);
        }
    }

    fn emit(&mut self, rule: &Rule, variant: &Variant, firing: &PlannedFiring, action: RuleAction) {
        let due = match action {
            RuleAction::Fired | RuleAction::Withheld => self.clock,
            RuleAction::Planned | RuleAction::Cancelled => firing.due,
        };
        let signal = RuleSignal {
            rule: Arc::from(&*rule.name),
            action,
            variant: Some(&*variant.name).filter(|name| !name.is_empty()).map(Arc::from),
            trigger: trigger_of(firing.occasion),
            due_at: firing.due_at,
            expires_at: due.plus(rule.expires),
            sku: life_of(rule, firing.occasion).map(|life| Arc::from(&*life.sku)),
            points: points_of(firing.occasion),
            say: variant.say.as_deref().filter(|_| action != RuleAction::Withheld).map(Arc::from),
        };
        let cause = RuleCause { rule: RuleHash(rule.hash), action, of: firing.occasion };
        self.emitted.push((signal, cause));
    }
}

fn trigger_of(occasion: Occasion) -> Option<SignalHash> {
    match occasion {
        Occasion::Signal(id) => Some(id),
        Occasion::Order(_) | Occasion::Instant(_) | Occasion::Points { .. } | Occasion::Product { .. } => {
            None
        }
    }
}

/// The multiple that points have reached.
fn points_of(occasion: Occasion) -> Option<u64> {
    match occasion {
        Occasion::Points { multiple, .. } => Some(multiple),
        Occasion::Signal(_) | Occasion::Order(_) | Occasion::Instant(_) | Occasion::Product { .. } => None,
    }
}

/// The first instant at or after this one at which the rule may send.
pub(super) fn send_at(rule: &Rule, instant: Time, zone: &Zone) -> Time {
    rule.send.as_ref().map_or(instant, |hours| send(instant, hours, zone))
}
