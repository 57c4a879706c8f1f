//! The tier of a customer, in profiles and in signals.

use super::fields::{Field, FieldType, Nullable, Shape, SignedMoney, TierName, record};
use super::signal::ESCAPED;
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal as domain;

/// The tier, where there are tiers.
pub(super) const FIELD: Field = Field {
    name: "tier",
    shape: Shape::Optional(&Nullable::<TierName>::SHAPE),
    about: "The customer's tier at as_of; null below the lowest. The field is there if there are tiers ([[tiers]]).",
};

record! {
    /// The data of `tier_changed`.
    TierChange(change: &'v domain::TierChange) {
        /// The tier before. Null below the lowest.
        "before": Nullable<TierName> = change.before.as_deref().map(str::as_bytes);
        /// The tier from now on. Null below the lowest.
        "after": Nullable<TierName> = change.after.as_deref().map(str::as_bytes);
        /// The customer's net value of the last 365 days, in the store's currency.
        "net": SignedMoney = change.net;
    }
}

/// More than the names of tiers in a signal take.
pub(super) fn room(kind: &SignalKind) -> usize {
    let SignalKind::TierChanged(change) = kind else { return 0 };
    let names = [&change.before, &change.after].into_iter().flatten();
    ESCAPED * names.map(|name| name.len()).sum::<usize>()
}

/// The longest change.
#[cfg(test)]
pub(super) fn longest() -> domain::TierChange {
    use crate::domain::values::money::ShopAmount;
    let name = || Some("t".repeat(40).into());
    domain::TierChange { before: name(), after: name(), net: ShopAmount(i64::MIN) }
}
