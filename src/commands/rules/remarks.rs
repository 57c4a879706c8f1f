//! What is right in a rule and yet says nothing under the settings of the shop.

use crate::config::Config;
use crate::domain::lapse::LapsePolicy;
use crate::domain::rules::expression::condition::{Literal, Test};
use crate::domain::rules::expression::fields::{CustomerField, Field, FieldType, TriggerField};
use crate::domain::rules::rule::{Again, Rule, Trigger};
use crate::domain::signals::kind::SignalType;

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
    }
    remarks
}

fn on_trigger(rule: &Rule, config: &Config) -> Option<String> {
    match &rule.trigger {
        Trigger::Signal(SignalType::SegmentChanged) if config.segments.is_none() => {
            Some("segment_changed is never emitted without segments.enabled".to_owned())
        }
        Trigger::Every(_) | Trigger::Date(_) if rule.again == Again::Never => {
            Some("fires once for each customer; `again` says after which time it may fire again".to_owned())
        }
        Trigger::Product(_) | Trigger::GuestOrder if rule.enabled => Some(
            "such rules do not fire yet, and the service does not start with one that is enabled".to_owned(),
        ),
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
        Field::Customer(CustomerField::Tier) => Some("as the service does not follow tiers yet"),
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
