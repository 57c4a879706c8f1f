//! Rules that are read and cannot be judged yet: a shop that waits for them would wait in vain.

use crate::config::Config;
use crate::domain::rules::expression::fields::{CustomerField, Field};
use crate::domain::rules::rule::{Rule, Trigger};
use crate::exit::{Exit, Failure};

/// Refuses enabled rules on products and on guests' orders, and those that ask for a tier.
///
/// # Errors
/// There is one: [`Exit::Configuration`].
pub fn refuse(config: &Config) -> Result<(), Failure> {
    let Some(book) = &config.settings.rules else { return Ok(()) };
    let refused = book.set().rules().iter().filter(|rule| rule.enabled);
    match refused.filter_map(|rule| Some((rule, what_is_missing(rule)?))).next() {
        None => Ok(()),
        Some((rule, what)) => {
            let message = format!(
                "the rule {:?} {what}, and such rules are checked but do not fire yet; leave it out, or set its enabled = false",
                rule.name
            );
            Err(Failure::message(Exit::Configuration, message))
        }
    }
}

fn what_is_missing(rule: &Rule) -> Option<&'static str> {
    match rule.trigger {
        Trigger::Product(_) => return Some("is on \"product\""),
        Trigger::GuestOrder => return Some("is on \"guest_order\""),
        Trigger::Signal(_)
        | Trigger::Order
        | Trigger::Every(_)
        | Trigger::Date(_)
        | Trigger::Points { .. } => {}
    }
    let asks_for_tier = rule.condition.fields().any(|field| field == Field::Customer(CustomerField::Tier));
    asks_for_tier.then_some("asks for the tier in its `if`")
}
