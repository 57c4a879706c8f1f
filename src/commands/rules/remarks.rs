//! What is right in a rule and yet says nothing under the settings of the shop.

use crate::config::{Config, format_duration};
use crate::domain::lapse::LapsePolicy;
use crate::domain::rules::expression::condition::{Literal, Test};
use crate::domain::rules::expression::fields::{CustomerField, Field, FieldType, TriggerField};
use crate::domain::rules::rule::{Again, Rule, Trigger};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::time::Span;

/// A sentence for each.
pub(super) fn of(config: &Config) -> Vec<String> {
    let rules = config.settings.rules.as_ref().map(|rules| rules.set().rules()).unwrap_or_default();
    let mut remarks = Vec::new();
    for rule in rules {
        let mut add = |remark: String| remarks.push(format!("{}: {remark}", rule.name));
        if let Some(remark) = on_trigger(rule, config) {
            add(remark);
        }
        let mut asked: Vec<Field> = Vec::new();
        for test in rule.when.tests().chain(rule.condition.tests()) {
            if let Some(reason) = always_null(test.field(), config).filter(|_| !asked.contains(&test.field()))
            {
                add(format!("{} is always null {reason}", test.field()));
            }
            asked.push(test.field());
            if let Some(remark) = on_money(test, config) {
                add(remark);
            }
        }
        if let Some(remark) = on_measure(rule) {
            add(remark);
        }
    }
    if !rules.is_empty() && !config.topics.has_shares {
        remarks.push("the service counts what rules bring only with metrics.shares".to_owned());
    }
    remarks
}

/// Only the last firing counts, so one that comes before the orders of the one before are known hides them.
fn on_measure(rule: &Rule) -> Option<String> {
    const YEAR: Span = Span::days(365);
    let cool_down = match rule.again {
        // No cool-down keeps multiples of points apart, so no `measure` would be short enough.
        _ if matches!(rule.trigger, Trigger::Points { .. }) => return None,
        // Nobody knows what a guest orders later.
        _ if rule.trigger == Trigger::GuestOrder => return None,
        Again::Never => return None,
        Again::Always => Span::ZERO,
        Again::After(again) => again,
    };
    let between = match &rule.trigger {
        Trigger::Every(every) => Span::days(i64::from(every.days_min)).max(cool_down),
        Trigger::Date(_) => YEAR.max(cool_down),
        // Goods that are bought after a firing are not over before their life is; others may be.
        Trigger::Product(product) => match &*product.lives {
            [life] => product.wait(life).max(cool_down),
            [..] => cool_down,
        },
        Trigger::Signal(_) | Trigger::Order | Trigger::Points { .. } | Trigger::GuestOrder => cool_down,
    };
    // A day is counted at midnight, so the next firing must lie at least a day behind.
    let is_short = rule.measure.plus(Span::DAY) <= between;
    (rule.enabled && !is_short).then(|| {
        let measure = format_duration(rule.measure.as_millis().unsigned_abs());
        format!("its outcome is known only of customers for whom it does not fire again within {measure}, its `measure`, and a day")
    })
}

fn on_trigger(rule: &Rule, config: &Config) -> Option<String> {
    match &rule.trigger {
        Trigger::Signal(SignalType::SegmentChanged) if config.segments.is_none() => {
            Some("segment_changed is never emitted without segments.enabled".to_owned())
        }
        Trigger::Signal(SignalType::TierChanged) if config.settings.tiers.is_none() => {
            Some("tier_changed is never emitted without [[tiers]]".to_owned())
        }
        Trigger::Every(_) | Trigger::Date(_) | Trigger::Product(_) if rule.again == Again::Never => {
            Some("fires once for each customer; `again` says after which time it may fire again".to_owned())
        }
        Trigger::Signal(_)
        | Trigger::Order
        | Trigger::Every(_)
        | Trigger::Date(_)
        | Trigger::Product(_)
        | Trigger::Points { .. }
        | Trigger::GuestOrder => None,
    }
}

/// Under which setting a field is never known.
fn always_null(field: Field, config: &Config) -> Option<&'static str> {
    let policy = config.settings.lapse.policy();
    let is_model = matches!(policy, LapsePolicy::Model(_));
    match field {
        Field::Customer(
            CustomerField::Segment
            | CustomerField::R
            | CustomerField::F
            | CustomerField::M
            | CustomerField::Matrix,
        ) if config.segments.is_none() => Some("without segments.enabled"),
        Field::Customer(
            CustomerField::Alive
            | CustomerField::Order30d
            | CustomerField::Order90d
            | CustomerField::ExpectedOrders
            | CustomerField::ExpectedValue,
        )
        | Field::Trigger(_, TriggerField::OrderProbability)
            if !is_model =>
        {
            Some("unless lapse.policy is model")
        }
        Field::Customer(CustomerField::Points) if config.settings.points.is_none() => {
            Some("without points.per")
        }
        Field::Customer(CustomerField::Tier) if config.settings.tiers.is_none() => Some("without [[tiers]]"),
        Field::Customer(CustomerField::ExpectedGapDays)
        | Field::Trigger(_, TriggerField::ExpectedGapDays)
            if !matches!(policy, LapsePolicy::Cadence(_)) =>
        {
            Some("unless lapse.policy is cadence")
        }
        Field::Customer(_) | Field::Window(..) | Field::Sku | Field::Trigger(..) => None,
    }
}

/// An amount that no shop has.
fn on_money(test: &Test, config: &Config) -> Option<String> {
    let literals: &[Literal] = match test {
        Test::Compare(_, _, literal) => std::slice::from_ref(literal),
        Test::In(_, literals) => literals,
        Test::Is(_) | Test::IsNull(_) | Test::IsNotNull(_) => &[],
    };
    let literals = literals.iter().filter(|_| test.field().field_type() == FieldType::Money);
    for literal in literals {
        let Literal::Number { magnitude, .. } = literal else { continue };
        let shops = &config.settings.shops;
        for currency in shops.indexes().map(|index| shops.get(index).currency) {
            let minor_units = 10i128.pow(u32::from(currency.digits()));
            if magnitude.numerator() * minor_units % magnitude.denominator() != 0 {
                return Some(format!("{literal} is no amount of {currency}: {test}"));
            }
        }
    }
    None
}
