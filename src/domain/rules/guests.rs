//! Rules on orders of guests. Nothing is kept of guests, so such a rule fires with the order and tells from when on to act; it has no
//! condition, no cool-down and no cap, and all that it says follows from the order and the settings.

use std::sync::Arc;

use super::firing::{Group, Rulebook, send_at};
use super::rule::{Rule, Trigger};
use crate::domain::signals::rule::{GuestCause, RuleAction, RuleHash, RuleSignal};
use crate::domain::values::ids::OrderHash;
use crate::domain::values::time::{Time, Zone};

/// What the rules do about an order of a guest, by priority and name.
pub fn firings<'b>(
    book: &'b Rulebook,
    zone: &'b Zone,
    order: OrderHash,
    placed_at: Time,
) -> impl Iterator<Item = (RuleSignal, GuestCause)> + 'b {
    let is_asked = |rule: &&Rule| rule.enabled && rule.trigger == Trigger::GuestOrder;
    let rules = book.set().rules().iter().filter(is_asked);
    rules.map(move |rule| firing(book, zone, rule, order, placed_at))
}

fn firing(
    book: &Rulebook,
    zone: &Zone,
    rule: &Rule,
    order: OrderHash,
    placed_at: Time,
) -> (RuleSignal, GuestCause) {
    // Whose order it is is not known, so the order itself belongs to a group.
    let Group { variant, is_withheld } = book.group(rule, &order.0.to_le_bytes());
    let action = if is_withheld { RuleAction::Withheld } else { RuleAction::Fired };
    let due_at = send_at(rule, placed_at.plus(rule.after), zone);
    let signal = RuleSignal {
        rule: Arc::from(&*rule.name),
        action,
        variant: Some(&*variant.name).filter(|name| !name.is_empty()).map(Arc::from),
        trigger: None,
        due_at,
        expires_at: due_at.plus(rule.expires),
        sku: None,
        points: None,
        say: variant.say.as_deref().filter(|_| !is_withheld).map(Arc::from),
    };
    (signal, GuestCause { rule: RuleHash(rule.hash), action, order, placed_at })
}
