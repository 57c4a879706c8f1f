//! Tiers: reached by the net value of the last 365 days, and kept until it is well below.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::number::{Decimal, Ratio};

/// How many tiers there are at most.
pub const TIERS_MAX: usize = 8;

/// The tiers of a shop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tiers {
    /// At least one, each from a greater amount on than the one before.
    list: Box<[Tier]>,
    /// The share of its amount at which a tier is still kept.
    keep: Decimal,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tier {
    pub name: Arc<str>,
    /// Net value of 365 days in the shop's currency from which on a customer belongs to it.
    pub from: Decimal,
}

/// Index of a tier, from the lowest on. No tier at all lies below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TierIndex(pub u8);

/// What was emitted of a customer's tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmittedTier {
    /// Nothing: there are no tiers, or there were none at the last record, or no order is kept.
    Unknown,
    /// The customer is below the lowest tier.
    Below,
    Reached(TierIndex),
}

impl EmittedTier {
    /// None below the lowest tier, and where nothing was emitted.
    pub const fn index(self) -> Option<TierIndex> {
        match self {
            Self::Unknown | Self::Below => None,
            Self::Reached(index) => Some(index),
        }
    }
}

impl Tiers {
    /// `None` unless there are 1 to [`TIERS_MAX`] tiers whose amounts rise, and `keep` is at most 1.
    pub fn new(list: Vec<Tier>, keep: Decimal) -> Option<Self> {
        let rises = |pair: &[Tier]| ratio(pair[0].from).compare(ratio(pair[1].from)) == Ordering::Less;
        let is_right = (1..=TIERS_MAX).contains(&list.len()) && list.windows(2).all(rises);
        let keeps = keep.numerator() <= keep.denominator();
        (is_right && keeps).then(|| Self { list: list.into(), keep })
    }

    /// The tier of a customer with this net value in the last 365 days whose last emitted tier is `emitted`: up where an amount is
    /// reached, down only below the kept share of it. An index of other tiers counts as none.
    pub fn of(&self, emitted: Option<TierIndex>, net: ShopAmount, currency: Currency) -> Option<TierIndex> {
        let emitted = emitted.filter(|index| self.name(*index).is_some());
        let reaches = |tier: &Tier, share: Decimal| {
            let minor_units = 10i128.pow(u32::from(currency.digits()));
            Ratio { numerator: net.into(), denominator: minor_units }.compare(least(tier, share))
                != Ordering::Less
        };
        let mut indexes = (0..self.list.len()).rev().map(|index| TierIndex(index as u8));
        let held = |index: TierIndex| emitted.is_some_and(|emitted| index <= emitted);
        indexes.find(|index| {
            let tier = &self.list[usize::from(index.0)];
            reaches(tier, Decimal::whole(1)) || (held(*index) && reaches(tier, self.keep))
        })
    }

    /// The name of a tier; none for an index of other tiers.
    pub fn name(&self, index: TierIndex) -> Option<&Arc<str>> {
        self.list.get(usize::from(index.0)).map(|tier| &tier.name)
    }

    /// The next tier above this one, and the least net value that reaches it; none above the highest.
    pub fn next(&self, index: Option<TierIndex>, currency: Currency) -> Option<(&Arc<str>, ShopAmount)> {
        let tier = self.list.get(index.map_or(0, |index| usize::from(index.0) + 1))?;
        Some((&tier.name, least_amount(tier, Decimal::whole(1), currency)))
    }

    /// The least net value that keeps a tier; none for an index of other tiers.
    pub fn kept_from(&self, index: TierIndex, currency: Currency) -> Option<ShopAmount> {
        self.list.get(usize::from(index.0)).map(|tier| least_amount(tier, self.keep, currency))
    }

    /// From the lowest on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|tier| &*tier.name)
    }
}

/// A share of a tier's amount, in the shop's currency.
fn least(tier: &Tier, share: Decimal) -> Ratio {
    Ratio {
        numerator: tier.from.numerator() * share.numerator(),
        denominator: tier.from.denominator() * share.denominator(),
    }
}

/// The same in whole minor units, rounded up.
fn least_amount(tier: &Tier, share: Decimal, currency: Currency) -> ShopAmount {
    let Ratio { numerator, denominator } = least(tier, share);
    let minor = -(-numerator * 10i128.pow(u32::from(currency.digits()))).div_euclid(denominator);
    ShopAmount(i64::try_from(minor).unwrap_or(i64::MAX))
}

fn ratio(decimal: Decimal) -> Ratio {
    Ratio { numerator: decimal.numerator(), denominator: decimal.denominator() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(amounts: &[(&str, &str)], keep: &str) -> Option<Tiers> {
        let decimal = |text: &str| Decimal::parse(text).expect("a decimal");
        let tier = |(name, from): &(&str, &str)| Tier { name: (*name).into(), from: decimal(from) };
        Tiers::new(amounts.iter().map(tier).collect(), decimal(keep))
    }

    #[test]
    fn a_tier_is_reached_at_its_amount_and_lost_well_below() {
        let club = tiers(&[("silver", "150"), ("gold", "500.00")], "0.8").expect("tiers");
        let euro = Currency::from_code(b"EUR").expect("a currency");
        let (none, silver, gold) = (None, Some(TierIndex(0)), Some(TierIndex(1)));
        for (emitted, net, expected) in [
            // The story: c-1042 at her fourth order, as the first and then the second leaves the year.
            (none, 11_000, none),
            (none, 18_670, silver),
            (silver, 14_470, silver),
            (silver, 7_620, none),
            (none, 14_470, none),
            (none, 14_999, none),
            (none, 15_000, silver),
            (silver, 12_000, silver),
            (silver, 11_999, none),
            (none, 50_000, gold),
            (silver, 45_000, silver),
            (gold, 40_000, gold),
            (gold, 39_999, silver),
            (gold, 13_000, silver),
            (gold, 11_999, none),
            (gold, -100, none),
            // One that the list does not have any more.
            (Some(TierIndex(2)), 49_999, silver),
            (Some(TierIndex(2)), 14_999, none),
        ] {
            assert_eq!(club.of(emitted, ShopAmount(net), euro), expected, "{emitted:?} {net}");
        }
        assert_eq!(club.names().collect::<Vec<_>>(), ["silver", "gold"]);
        let name = |index| club.name(TierIndex(index)).map(|name| &**name);
        assert_eq!([1, 2].map(name), [Some("gold"), None]);
        let silver_or_none =
            [None, silver].map(|tier| club.next(tier, euro).map(|(name, from)| (&**name, from)));
        assert_eq!(
            silver_or_none,
            [Some(("silver", ShopAmount(15_000))), Some(("gold", ShopAmount(50_000)))]
        );
        assert_eq!(club.next(gold, euro), None);
        assert_eq!(club.kept_from(TierIndex(0), euro), Some(ShopAmount(12_000)));
        let cents = tiers(&[("a", "0.01")], "0.8").expect("tiers");
        assert_eq!(cents.kept_from(TierIndex(0), euro), Some(ShopAmount(1)), "0.008, rounded up");
        let yen = Currency::from_code(b"JPY").expect("a currency");
        assert_eq!(club.of(None, ShopAmount(150), yen), silver);
    }

    #[test]
    fn tiers_rise() {
        assert_eq!(tiers(&[], "0.8"), None);
        assert_eq!(tiers(&[("a", "2"), ("b", "2.0")], "0.8"), None);
        assert_eq!(tiers(&[("a", "2")], "1.1"), None);
        let amounts: Vec<String> = (1..=9).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &str)> = amounts.iter().map(|amount| ("x", amount.as_str())).collect();
        assert!(tiers(&many[..8], "1").is_some() && tiers(&many, "1").is_none());
    }
}
