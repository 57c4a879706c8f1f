//! The laws of firings over random histories and rule sets. That a restored engine plans and fires the same, and that the short way of
//! an appended order comes to the same, is in the laws of all engines, which have random rules too.

use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::customer::Customer;
use retention_signals::domain::customer::ledger::{Attribution, Ledger};
use retention_signals::domain::engine::{Applied, Engine, Outcome};
use retention_signals::domain::rules::firing::Rulebook;
use retention_signals::domain::rules::rule::{Again, Rule, Trigger};
use retention_signals::domain::rules::schedule::send;
use retention_signals::domain::settings::Settings;
use retention_signals::domain::signals::kind::{SignalKind, SignalType};
use retention_signals::domain::signals::rule::{Occasion, RuleAction, RuleCause, SignalHash};
use retention_signals::domain::signals::signal::{Cause, Profile, Signal, State};
use retention_signals::domain::store::packed;
use retention_signals::domain::values::event::{OrderRecord, Record};
use retention_signals::domain::values::ids::{OrderHash, ShopIndex};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::SignalId;

use super::CONDITIONS;
use crate::laws::{self, arrivals, end_of, history, key};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("laws::a_rule_fires_once_and_when_it_may", || laws::over_seeds(fires_when_it_may, 4_000)),
        Trial::test("laws::without_rules_nothing_of_them_is_there", || laws::over_seeds(no_trace, 300)),
        Trial::test("laws::random_histories_make_rules_fire", histories_make_rules_fire),
    ]
}

/// A signal, and the facts just after it and all others of its record or instant.
struct Seen {
    signal: Signal,
    id: SignalHash,
    profile: Profile,
    clock: Time,
}

/// A kept order that was accepted for the first time.
struct Accepted {
    order: OrderRecord,
    /// How many signals were emitted by then, those of the order included.
    signals: usize,
    /// When the orders of the ledger were placed, after it.
    placed_at: Vec<(OrderHash, Time)>,
}

/// What a random history emits, applied a record or a timer at a time.
fn seen(seed: u64) -> Result<(Arc<Settings>, Vec<Seen>), String> {
    let (settings, all, _) = seen_with_orders(seed)?;
    Ok((settings, all))
}

fn seen_with_orders(seed: u64) -> Result<(Arc<Settings>, Vec<Seen>, Vec<Accepted>), String> {
    let mut random = Rng::with_seed(seed);
    let settings = laws::settings(&mut random);
    let records = history(&mut random);
    let mut engine = Engine::new(Arc::clone(&settings));
    let (mut all, mut accepted) = (Vec::new(), Vec::new());
    let take = |engine: &mut Engine, all: &mut Vec<Seen>| {
        let Some(slot) = engine.find(key()) else { return };
        let clock = engine.clock().expect("a record was applied");
        let signals: Vec<Signal> = engine.drain_signals().map(|(_, signal)| signal).collect();
        for signal in signals {
            let id = SignalId::as_hash(key().bytes, signal.kind.name(), &signal.cause);
            all.push(Seen { signal, id, profile: engine.profile(slot, clock), clock });
        }
    };
    for record in arrivals(&mut random, &records) {
        while let Some(due) = engine.next_due(record.time()) {
            engine.advance_clock(due, usize::MAX);
            take(&mut engine, &mut all);
        }
        let outcome = engine.handle_record(key(), ShopIndex(0), &record, usize::MAX);
        take(&mut engine, &mut all);
        if let (Record::Order(order), Outcome::Applied(Applied::Order { .. })) = (record, outcome) {
            let (ledger, attribution) = ledger(&engine, &settings);
            let index = ledger.orders.iter().position(|held| held.id == order.id).ok_or("it is held")?;
            if attribution.orders[index].kept {
                let placed_at = ledger.orders.iter().map(|order| (order.id, order.placed_at)).collect();
                accepted.push(Accepted { order, signals: all.len(), placed_at });
            }
        }
    }
    while let Some(due) = engine.next_due(end_of(&records).plus(Span::days(60))) {
        engine.advance_clock(due, usize::MAX);
        take(&mut engine, &mut all);
    }
    Ok((settings, all, accepted))
}

fn ledger(engine: &Engine, settings: &Settings) -> (Ledger, Attribution) {
    let slot = engine.find(key()).expect("the customer is held");
    let mut customer = Customer::default();
    packed::unpack(engine.packed(slot), &mut customer).expect("packed by the engine");
    let mut attribution = Attribution::default();
    attribution.derive(&customer.ledger, settings.shops.get(ShopIndex(0)), settings.return_window);
    (customer.ledger, attribution)
}

fn firing(signal: &Signal) -> Option<RuleCause> {
    let Cause::Rule(cause) = signal.cause else { return None };
    matches!(cause.action, RuleAction::Fired | RuleAction::Withheld).then_some(cause)
}

fn fires_when_it_may(seed: u64) -> Result<(), String> {
    let (settings, all, accepted) = seen_with_orders(seed)?;
    let Some(book) = &settings.rules else { return Ok(()) };
    for (index, seen) in all.iter().enumerate() {
        let Some(cause) = firing(&seen.signal) else { continue };
        let rule = book.set().rules().iter().find(|rule| rule.hash == cause.rule.0).ok_or("no such rule")?;
        let fail = |what: &str| Err(format!("{what}: {:?}\nof {rule:?}", seen.signal));
        let at = seen.signal.occurred_at;
        if !rule.enabled {
            return fail("it is off");
        }
        if at != seen.clock {
            return fail("it does not fire at the clock");
        }
        let shop = settings.shops.get(ShopIndex(0));
        if rule.send.as_ref().is_some_and(|hours| send(at, hours, &shop.zone) != at) {
            return fail("outside of its hours");
        }
        if !holds(rule, &seen.profile) {
            return fail("its condition is false");
        }
        let earlier = &all[..index];
        if earlier.iter().any(|other| same_occasion(&other.signal, &cause)) {
            return fail("twice for one occasion");
        }
        check_cool_down(rule, at, earlier, cause).or_else(|what| fail(&what))?;
        if cause.action == RuleAction::Fired {
            check_cap(book, rule, at, earlier).or_else(|what| fail(&what))?;
        }
        check_trigger(rule, &seen.signal, cause, earlier).or_else(|what| fail(&what))?;
        check_goods(book, rule, &seen.signal, index, cause, &accepted).or_else(|what| fail(&what))?;
    }
    Ok(())
}

fn same_occasion(signal: &Signal, cause: &RuleCause) -> bool {
    firing(signal).is_some_and(|other| other.rule == cause.rule && other.of == cause.of)
}

/// Asked in another way than the rules do.
fn holds(rule: &Rule, profile: &Profile) -> bool {
    let text = format!("{:?}", rule.condition);
    let is = |number: usize| text == format!("{:?}", super::condition(CONDITIONS[number]));
    let silence = profile.last_order_at.map(|last| profile.as_of.since(last));
    (!is(0) || profile.lifecycle.state() != State::Prospect)
        && (!is(1) || profile.blocks[0].kept >= 2)
        && (!is(2) || profile.blocks[2].returned_orders == 0)
        && (!is(3) || silence.is_some_and(|silence| silence <= Span::days(60)))
}

fn check_cool_down(rule: &Rule, at: Time, earlier: &[Seen], cause: RuleCause) -> Result<(), String> {
    let last =
        earlier.iter().rev().find(|other| firing(&other.signal).is_some_and(|it| it.rule == cause.rule));
    let Some(last) = last.map(|last| last.signal.occurred_at) else { return Ok(()) };
    let is_over = match (&rule.trigger, rule.again) {
        (Trigger::Points { .. }, _) | (_, Again::Always) => true,
        (_, Again::Never) => false,
        (_, Again::After(again)) => last.plus(again) <= at,
    };
    if is_over { Ok(()) } else { Err(format!("again after {last:?}")) }
}

fn check_cap(book: &Rulebook, rule: &Rule, at: Time, earlier: &[Seen]) -> Result<(), String> {
    let Some(index) = rule.cap else { return Ok(()) };
    let cap = book.set().cap(index);
    let counts = |other: &&Seen| {
        let Some(cause) = firing(&other.signal).filter(|cause| cause.action == RuleAction::Fired) else {
            return false;
        };
        let rule = book.set().rules().iter().find(|rule| rule.hash == cause.rule.0);
        let is_capped = rule.is_some_and(|rule| rule.cap == Some(index));
        is_capped && other.signal.occurred_at > at.minus(cap.per)
    };
    let fired = earlier.iter().filter(counts).count();
    if fired < usize::from(cap.max) { Ok(()) } else { Err(format!("{fired} have fired of {cap:?}")) }
}

/// The trigger came before, long enough ago, and nothing has cancelled the firing since.
fn check_trigger(rule: &Rule, signal: &Signal, cause: RuleCause, earlier: &[Seen]) -> Result<(), String> {
    let SignalKind::Rule(data) = &signal.kind else { return Err("no rule".to_owned()) };
    if data.due_at > signal.occurred_at {
        return Err("before it is due".to_owned());
    }
    let Occasion::Signal(id) = cause.of else { return Ok(()) };
    let place = earlier.iter().position(|other| other.id == id).ok_or("its trigger was not emitted")?;
    let trigger = &earlier[place].signal;
    if rule.trigger != Trigger::Signal(trigger.kind.signal_type()) || data.trigger != Some(id) {
        return Err("another trigger".to_owned());
    }
    if data.due_at < trigger.occurred_at.plus(rule.after) {
        return Err("before its delay is over".to_owned());
    }
    let cancels = |other: &&Seen| {
        let kind = &other.signal.kind;
        let mut retracts = false;
        if let SignalKind::LapseRetracted { retracted, emitted } = kind {
            retracts = SignalId::as_hash(key().bytes, retracted.name(), &emitted.cause()) == id;
        }
        retracts || rule.cancel_on.contains(kind.signal_type())
    };
    match earlier[place + 1..].iter().find(cancels) {
        None => Ok(()),
        Some(other) => Err(format!("cancelled by {:?}", other.signal)),
    }
}

/// The firing of goods belongs to the latest of the orders that hold them, which has neither been cancelled nor sent back.
fn check_goods(
    book: &Rulebook,
    rule: &Rule,
    signal: &Signal,
    index: usize,
    cause: RuleCause,
    accepted: &[Accepted],
) -> Result<(), String> {
    let SignalKind::Rule(data) = &signal.kind else { return Err("no rule".to_owned()) };
    let Some((order, sku)) = cause.of.product() else {
        return if data.sku.is_none() { Ok(()) } else { Err("a SKU of no product".to_owned()) };
    };
    let life = rule.product().and_then(|product| product.life(sku)).ok_or("it does not watch this")?;
    if data.sku.as_deref() != Some(&*life.sku) {
        return Err("another SKU".to_owned());
    }
    let holds = |record: &OrderRecord| {
        record.watched.places().iter().any(|place| book.watched()[usize::from(*place)] == sku.0)
    };
    let earlier = || accepted.iter().filter(|other| other.signals <= index || other.order.id == order);
    let own = earlier().position(|other| other.order.id == order).ok_or("its order was not accepted")?;
    let (own_order, others) = (&accepted[own].order, earlier().skip(own + 1));
    if !holds(own_order) {
        return Err("its order does not hold the goods".to_owned());
    }
    let product = rule.product().expect("it watches the SKU");
    if data.due_at < own_order.placed_at.plus(product.wait(life)).plus(rule.after) {
        return Err("before its goods are used up".to_owned());
    }
    for other in others.filter(|other| holds(&other.order)) {
        let place = other.placed_at.iter().find(|(id, _)| *id == order);
        let Some((_, placed_at)) = place else {
            return Err(format!("the order had folded before {:?}", other.order));
        };
        if (other.order.placed_at, other.order.id) > (*placed_at, order) {
            return Err(format!("the goods were bought again: {:?}", other.order));
        }
    }
    Ok(())
}

/// An engine with rules that never fire emits the same signals as one without.
fn no_trace(seed: u64) -> Result<(), String> {
    let (_, all) = seen(seed)?;
    let mut random = Rng::with_seed(seed);
    let settings = laws::settings(&mut random);
    let records = history(&mut random);
    let settings = Arc::new(Settings { rules: None, ..(*settings).clone() });
    let mut engine = Engine::new(settings);
    for record in arrivals(&mut random, &records) {
        laws::apply(&mut engine, &record)?;
    }
    engine.advance_clock(end_of(&records).plus(Span::days(60)), usize::MAX);
    let without: Vec<String> = engine.drain_signals().map(|(_, signal)| format!("{signal:?}")).collect();
    let others = all.iter().filter(|seen| seen.signal.kind.signal_type() != SignalType::Rule);
    let with: Vec<String> = others.map(|seen| format!("{:?}", seen.signal)).collect();
    if with == without { Ok(()) } else { Err(format!("{with:#?}\n{without:#?}")) }
}

/// The laws would say nothing about rules that never fire.
fn histories_make_rules_fire() -> Result<(), Failed> {
    let mut counts = [0; RuleAction::ALL.len()];
    let (mut late, mut by_instant, mut by_product) = (0, 0, 0);
    for seed in 0..1_600 {
        for seen in seen(seed)?.1 {
            if let SignalKind::Rule(rule) = &seen.signal.kind {
                counts[rule.action as usize] += 1;
                late += u32::from(rule.action == RuleAction::Fired && rule.due_at < seen.signal.occurred_at);
                by_instant += u32::from(matches!(
                    seen.signal.cause,
                    Cause::Rule(RuleCause { of: Occasion::Instant(_), .. })
                ));
                by_product += u32::from(rule.action == RuleAction::Fired && rule.sku.is_some());
            }
        }
    }
    let are_enough =
        counts.iter().all(|count| *count > 50) && late > 10 && by_instant > 50 && by_product > 50;
    if are_enough {
        return Ok(());
    }
    Err(format!("{counts:?}, {late} late, {by_instant} by instant, {by_product} by product").into())
}
