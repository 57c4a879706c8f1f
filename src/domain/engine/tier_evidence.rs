//! How far a customer is from the next tier, and when the clock alone changes the tier. No state changes.

use std::sync::Arc;

use crate::domain::customer::Customer;
use crate::domain::customer::facts::Facts;
use crate::domain::customer::ledger::Attribution;
use crate::domain::rules::tiers::EmittedTier;
use crate::domain::settings::{Settings, Shop};
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::time::Time;
use crate::domain::values::window::YEAR;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierEvidence {
    /// None below the lowest tier.
    pub name: Option<Arc<str>>,
    /// Net value of the last 365 days.
    pub net: ShopAmount,
    /// The least net value that keeps the tier; none below the lowest.
    pub kept_from: Option<ShopAmount>,
    /// The next tier, and the least net value that reaches it; none in the highest.
    pub next: Option<(Arc<str>, ShopAmount)>,
    /// When the tier changes if no record comes, and to which; none if it stays.
    pub change: Option<(Time, Option<Arc<str>>)>,
}

impl TierEvidence {
    /// As of an instant that does not lie before the customer's last change; none without tiers.
    pub(super) fn of(
        customer: &Customer,
        attribution: &Attribution,
        as_of: Time,
        (shop, index): (&Shop, ShopIndex),
        settings: &Settings,
    ) -> Option<Self> {
        let tiers = settings.tiers.as_deref()?;
        let at = |instant: Time, emitted: EmittedTier| {
            let totals = customer.totals(instant, attribution, shop);
            let facts = Facts::new(&totals, index, settings);
            (facts.tier(emitted), facts.year().net(), totals.window_end(YEAR))
        };
        let (tier, net, mut end) = at(as_of, customer.emitted.tier);
        let name = |tier: EmittedTier| tier.index().and_then(|index| tiers.name(index)).cloned();
        let mut change = None;
        while let Some(instant) = end.filter(|_| change.is_none()) {
            let (after, _, next_end) = at(instant, tier);
            change = (after != tier).then(|| (instant, name(after)));
            end = next_end;
        }
        let next = tiers.next(tier.index(), shop.currency);
        Some(Self {
            name: name(tier),
            net,
            kept_from: tier.index().and_then(|index| tiers.kept_from(index, shop.currency)),
            next: next.map(|(name, from)| (Arc::clone(name), from)),
            change,
        })
    }
}
