//! Where each rule stands for one customer: what is planned, when it fired last, and why it would not fire now. No state changes.

use super::Engine;
use super::rule_visit::subject;
use crate::domain::customer::Customer;
use crate::domain::customer::facts::Facts;
use crate::domain::rules::expression::values::{CustomerValues, last_return_at};
use crate::domain::rules::firing::{Group, RuleSubject, Turns};
use crate::domain::rules::memory::{CapId, LastFiring};
use crate::domain::rules::rule::{CoolDown, Rule, SignalTypes, Trigger};
use crate::domain::signals::rule::RuleAction;
use crate::domain::values::ids::{CustomerSlot, ShopIndex};
use crate::domain::values::time::{Span, Time};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleEvidence {
    pub rule: Box<str>,
    pub trigger: &'static str,
    /// None of a rule without variants.
    pub variant: Option<Box<str>>,
    /// What it says when it fires: `fired`, or `withheld` of a customer who is held out.
    pub action: RuleAction,
    /// Due instants of planned firings.
    pub planned: Vec<Time>,
    /// Signals that end a planned firing.
    pub cancel_on: SignalTypes,
    /// Of `every` and `date`.
    pub next_turn: Option<Time>,
    /// The last firing, and how often there was one; of a rule on points the highest multiple.
    pub last: Option<(Time, u64)>,
    /// Why it would not fire now, were it due.
    pub hindrance: Option<Hindrance>,
}

/// The first of the reasons, in the order in which they are asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hindrance {
    SwitchedOff,
    FiredOnce,
    CoolDown {
        until: Time,
    },
    /// `if` is false.
    Condition {
        /// The part that is false.
        part: String,
        /// What its field is instead; none if the part asks for several fields.
        value: Option<String>,
    },
    Cap {
        name: Box<str>,
        fired: usize,
        per: Span,
    },
}

impl Engine {
    /// One for each rule, by priority and name.
    pub(super) fn rule_evidence(
        &self,
        slot: CustomerSlot,
        shop: ShopIndex,
        customer: &Customer,
        facts: &Facts<'_>,
        as_of: Time,
    ) -> Vec<RuleEvidence> {
        let settings = &*self.settings;
        let Some(book) = &settings.rules else { return Vec::new() };
        let profile = facts.profile(shop, customer, as_of, settings);
        let subject = subject(settings, book, self.store.key(slot), shop, facts);
        let values = CustomerValues {
            profile: &profile,
            currency: settings.shops.get(shop).currency,
            last_return_at: last_return_at(&customer.ledger, as_of, settings.ledger_horizon()),
            sku: None,
        };
        let rules = book.set().rules().iter().filter(|rule| rule.trigger != Trigger::GuestOrder);
        rules.map(|rule| evidence(rule, &subject, &values, customer, as_of)).collect()
    }
}

fn evidence(
    rule: &Rule,
    subject: &RuleSubject<'_>,
    values: &CustomerValues<'_>,
    customer: &Customer,
    as_of: Time,
) -> RuleEvidence {
    let (book, memory) = (subject.book, &customer.rules);
    let Group { variant, is_withheld } = book.group(rule, subject.key);
    let last = memory.last_of(rule.id());
    let planned = memory.planned().iter().filter(|firing| firing.rule == rule.id());
    RuleEvidence {
        rule: rule.name.clone(),
        trigger: rule.trigger.name(),
        variant: Some(variant.name.clone()).filter(|name| !name.is_empty()),
        action: if is_withheld { RuleAction::Withheld } else { RuleAction::Fired },
        planned: planned.map(|firing| firing.due).collect(),
        cancel_on: rule.cancel_on,
        next_turn: Some(rule)
            .filter(|rule| rule.enabled)
            .and_then(|rule| subject.next_turn(rule, memory, Turns::After(as_of)))
            .map(|(_, due)| due),
        last: last.filter(|last| last.at > Time::MIN).map(|LastFiring { at, number, .. }| (*at, *number)),
        hindrance: hindrance(rule, subject, values, customer, as_of),
    }
}

fn hindrance(
    rule: &Rule,
    subject: &RuleSubject<'_>,
    values: &CustomerValues<'_>,
    customer: &Customer,
    as_of: Time,
) -> Option<Hindrance> {
    if !rule.enabled {
        return Some(Hindrance::SwitchedOff);
    }
    match rule.cool_down(customer.rules.last_of(rule.id()).map(|last| last.at)) {
        CoolDown::None => {}
        CoolDown::Until(until) if until <= as_of => {}
        CoolDown::Until(until) => return Some(Hindrance::CoolDown { until }),
        CoolDown::ForEver => return Some(Hindrance::FiredOnce),
    }
    // Which goods it is about is known when they are planned.
    let asks_for_goods = matches!(rule.trigger, Trigger::Product(_));
    let is_false = rule.condition.first_false(|field| values.value(field)).filter(|_| !asks_for_goods);
    if let Some((part, field)) = is_false {
        let value = field.map(|field| values.value(field).to_string());
        return Some(Hindrance::Condition { part, value });
    }
    let cap = subject.book.set().cap(rule.cap?);
    let fired = customer.rules.firings_after(CapId::of(cap.hash), as_of.minus(cap.per));
    (fired >= usize::from(cap.max)).then(|| Hindrance::Cap { name: cap.name.clone(), fired, per: cap.per })
}
