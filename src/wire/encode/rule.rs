//! The data of `rule` signals.

use super::fields::{Count, Id, Id128, JsonObject, Named, Nullable, RuleName, Time, Words, record};
use crate::domain::signals::rule::{RuleAction, RuleSignal};
use crate::wire::hash::SignalId;

record! {
    /// The data of `rule`.
    RuleData(rule: &'v RuleSignal) {
        /// The rule's name.
        "rule": RuleName = rule.rule.as_bytes();
        /// What the rule does: fired (act), withheld (the customer is held out to compare with: do nothing), or of a rule that announces
        /// it planned and cancelled.
        "action": Named<RuleAction> = rule.action;
        /// The variant that the customer is assigned to. Null of a rule without variants.
        "variant": Nullable<Words> = rule.variant.as_deref().map(str::as_bytes);
        /// The id of the signal that triggered the rule. Null if something else did.
        "trigger": Nullable<Id128> = rule.trigger.map(|trigger| SignalId(trigger.0));
        /// When the rule was to fire. Before occurred_at if its trigger came too late for that; of a guest's order, from when on to act.
        "due_at": Time = rule.due_at;
        /// From when on it is too late to act.
        "expires_at": Time = rule.expires_at;
        /// The SKU that is used up. Null of a rule that is not on a product.
        "sku": Nullable<Id> = rule.sku.as_deref().map(str::as_bytes);
        /// The multiple of reach that the customer's points have reached. Null of a rule that is not on points.
        "points": Nullable<Count> = rule.points;
        /// What the rule or the variant says, as it is configured. Null if it says nothing.
        "say": Nullable<JsonObject> = rule.say.as_deref();
    }
}

/// The longest names, and much to say.
#[cfg(test)]
pub(super) fn longest() -> RuleSignal {
    use crate::domain::values::time::Time;
    RuleSignal {
        rule: "r".repeat(40).into(),
        action: RuleAction::Cancelled,
        variant: Some("\u{1}".repeat(40).into()),
        trigger: Some(crate::domain::signals::rule::SignalHash(u128::MAX)),
        due_at: Time::MAX,
        expires_at: Time::MAX,
        sku: Some("\u{1}".repeat(256).into()),
        points: Some(u64::MAX),
        say: Some(format!("{{\"text\":\"{}\"}}", "x".repeat(1_000)).into()),
    }
}

/// More than the names and what is said take.
pub(super) fn room(rule: &RuleSignal) -> usize {
    let optional = |text: &Option<std::sync::Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let escaped = rule.rule.len() + optional(&rule.variant) + optional(&rule.sku);
    super::signal::ESCAPED * escaped + optional(&rule.say)
}
