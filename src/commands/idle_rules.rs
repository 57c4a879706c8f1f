//! Rules that are read and cannot be judged yet: a shop that waits for them would wait in vain.

use crate::config::Config;
use crate::domain::rules::rule::{Rule, Trigger};
use crate::exit::{Exit, Failure};

/// Refuses enabled rules on products and on guests' orders.
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
        Trigger::Product(_) => Some("is on \"product\""),
        Trigger::GuestOrder => Some("is on \"guest_order\""),
        Trigger::Signal(_)
        | Trigger::Order
        | Trigger::Every(_)
        | Trigger::Date(_)
        | Trigger::Points { .. } => None,
    }
}
