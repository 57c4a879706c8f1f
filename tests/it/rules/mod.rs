//! Rules of tactics: random sets of them for the laws, the laws that they obey, and scenarios with exact values.

mod counted;
mod explained;
mod guests;
mod law;
pub mod outcomes;
mod products;
mod scenarios;

use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::Trial;
use retention_signals::domain::rules::expression::condition::Condition;
use retention_signals::domain::rules::expression::parser::{Scope, parse};
use retention_signals::domain::rules::firing::Rulebook;
use retention_signals::domain::rules::rule::{
    Again, Anchor, Cap, CapIndex, DateTrigger, Every, HoldoutShare, ProductLife, ProductTrigger, Rule,
    RuleSet, Trigger, Variant, Variants, WhilePlanned,
};
use retention_signals::domain::rules::schedule::{DateOfYear, SendHours, TimeOfDay, Weekday};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::values::ids::SkuHash;
use retention_signals::domain::values::time::Span;
use retention_signals::wire::hash::{SignalId, hash};

pub fn trials() -> Vec<Trial> {
    let lists = [
        law::trials(),
        explained::trials(),
        counted::trials(),
        outcomes::trials(),
        scenarios::trials(),
        products::trials(),
        guests::trials(),
    ];
    lists.into_iter().flatten().collect()
}

/// A rule with every key at its default, but the cool-down.
pub fn rule(name: &str, trigger: Trigger) -> Rule {
    let variant = Variant { name: "".into(), weight: 1, holdout: false, say: None };
    Rule {
        name: name.into(),
        hash: hash(name.as_bytes()),
        trigger,
        when: Condition::always(),
        after: Span::days(0),
        condition: Condition::always(),
        cancel_on: [SignalType::BecameProspect].into_iter().collect(),
        again: Again::Always,
        while_planned: WhilePlanned::Keep,
        send: None,
        expires: Span::days(7),
        cap: None,
        priority: 50,
        variants: Variants { split: name.into(), list: [variant].into() },
        announce: false,
        measure: Span::days(30),
        enabled: true,
    }
}

/// The goods that random rules watch.
pub const SKUS: [&str; 3] = ["COFFEE", "FILTER", "MUG"];

/// Of a rule on these SKUs, each with its life in days, so many days before its end.
pub fn goods(lives: &[(&str, i64)], lead: i64) -> Trigger {
    let life = |(sku, days): &(&str, i64)| {
        let sku_hash = SkuHash(hash(sku.as_bytes()));
        ProductLife { sku: (*sku).into(), sku_hash, life: Span::days(*days) }
    };
    let mut lives: Vec<ProductLife> = lives.iter().map(life).collect();
    lives.sort_by_key(|life| life.sku_hash);
    Trigger::Product(ProductTrigger { lives: lives.into(), lead: Span::days(lead) })
}

pub fn condition(text: &str) -> Condition {
    parse(text, Scope::Customer { has_sku: false, tiers: &[] }).expect("a condition")
}

pub fn book(rules: Vec<Rule>, caps: Vec<Cap>, holdout: u16) -> Arc<Rulebook> {
    let set = RuleSet::new(rules, caps, HoldoutShare(holdout)).expect("different names");
    Arc::new(Rulebook::new(Arc::new(set), SignalId::as_hash, hash))
}

pub fn cap(max: u8, days: i64) -> Cap {
    Cap { name: "marketing".into(), hash: hash(b"marketing"), max, per: Span::days(days) }
}

/// From nine to five on weekdays.
pub fn working_hours() -> SendHours {
    let time = |hour| TimeOfDay::new(hour, 0).expect("a time of day");
    SendHours::new(time(9), time(17), &Weekday::ALL[..5]).expect("hours")
}

/// Of each condition also the question that it asks, as the law asks it by itself.
pub const CONDITIONS: [&str; 4] =
    ["state != \"prospect\"", "all_time.kept >= 2", "d90.returned_orders = 0", "silence_days <= 60d"];

/// No rules, or a few that are likely to meet in a short history.
pub fn random(random: &mut Rng) -> Option<Arc<Rulebook>> {
    if random.u8(0..3) == 0 {
        return None;
    }
    let rules = (0..random.usize(1..=4)).map(|number| random_rule(random, number)).collect();
    let caps = vec![cap(random.u8(1..=3), [1, 30, 400][random.usize(0..3)])];
    Some(book(rules, caps, [0, 0, 10_000][random.usize(0..3)]))
}

fn random_rule(random: &mut Rng, number: usize) -> Rule {
    let types: Vec<SignalType> =
        SignalType::ALL.into_iter().filter(|signal_type| *signal_type != SignalType::Rule).collect();
    let trigger = match random.u8(0..12) {
        0 => Trigger::Order,
        1 => Trigger::Every(Every {
            days_min: 5,
            days_max: 90,
            from: [Anchor::FirstOrder, Anchor::LastOrder][random.usize(0..2)],
        }),
        2 => Trigger::Date(DateTrigger {
            date: DateOfYear::yearly(random.i32(1..=12), random.i32(1..=28)).expect("a date"),
            time: TimeOfDay::new(9, 0).expect("a time of day"),
            spread: Span::from_millis([0, 7_200_000][random.usize(0..2)]),
        }),
        3 => Trigger::Points { reach: random.u64(1..=3) },
        4 | 5 => goods(&SKUS.map(|sku| (sku, [10, 40, 500][random.usize(0..3)])), random.i64(0..10)),
        _ => Trigger::Signal(types[random.usize(0..types.len())]),
    };
    let name = format!("rule-{number}");
    let variant = |name: &str, holdout| Variant { name: name.into(), weight: 1, holdout, say: None };
    let variants = [variant("a", false), variant("b", random.bool())];
    let condition_text = CONDITIONS[random.usize(0..CONDITIONS.len())];
    Rule {
        after: Span::days([0, 0, 1, 7, 40][random.usize(0..5)]),
        condition: if random.bool() { condition(condition_text) } else { Condition::always() },
        cancel_on: types.iter().copied().filter(|_| random.u8(0..8) == 0).collect(),
        again: match random.u8(0..4) {
            0 => Again::Never,
            1 => Again::After(Span::days(random.i64(1..100))),
            _ => Again::Always,
        },
        while_planned: [WhilePlanned::Keep, WhilePlanned::Restart][random.usize(0..2)],
        send: random.bool().then(working_hours),
        cap: random.bool().then_some(CapIndex(0)),
        priority: [50, 60][random.usize(0..2)],
        variants: Variants { split: "".into(), list: variants.into() },
        announce: random.bool(),
        measure: Span::days([1, 7, 30, 60][number % 4]),
        enabled: random.u8(0..8) > 0,
        ..rule(&name, trigger)
    }
}
