//! What rules brought: who ordered in the time that a rule measures after its firing, by the group that the customer belongs to.
//!
//! ```text
//!       fired or withheld                 at + measure
//!  ──────────┤ kept orders in here count ├──────────── the instant of the count ──►
//!            └── the last firing of the rule            at most 365 days later
//! ```
//! Everything follows from the customer's bytes and the rules in use: the last firing from what rules remember, the group from the hash
//! of the key, the orders from the ledger.

use std::collections::BTreeMap;

use super::ticks::BACK_MAX;
use crate::domain::customer::history::{History, HistoryOrder, LedgerOrders};
use crate::domain::engine::as_of::CustomerAsOf;
use crate::domain::rules::firing::Rulebook;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::{Span, Time};

/// How long the outcome of a firing is counted, once the time that its rule measures is over.
pub const COUNTED_FOR: Span = Span::days(365);

/// How long rules must remember a firing after that time: the day may be counted so much later.
pub const REMEMBERED_FOR: Span = COUNTED_FOR.plus(BACK_MAX);

/// A rule, one of its variants, and whether these customers got nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OutcomeGroup<'a> {
    pub rule: &'a str,
    /// Empty if the rule names no variants.
    pub variant: &'a str,
    pub withheld: bool,
}

/// What the customers of a group did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    pub customers: u64,
    /// Those of them with a kept order in the time that is measured.
    pub ordered: u64,
    /// Their kept orders in it.
    pub orders: u64,
    /// The net value of these orders.
    pub net: ShopAmount,
}

/// The outcomes of all rules of a store.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RuleOutcomes {
    /// By rule, then by variant.
    by_rule: BTreeMap<Box<str>, BTreeMap<Box<str>, VariantOutcomes>>,
}

/// The outcomes of one variant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct VariantOutcomes {
    fired: Outcome,
    withheld: Outcome,
}

/// Which firings are counted at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountedFirings {
    /// The instant of the count.
    pub at: Time,
    /// Only what happened earlier counts.
    pub before: Time,
    /// Of what happened earlier, ledgers may hold parts only.
    pub held_from: Time,
}

/// A group beside all customers from whom its rule withheld.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    pub withheld: Outcome,
    /// The share that ordered, less that of the withheld; none without customers on a side.
    pub difference: Option<Ratio>,
    /// So far the difference would swing by chance, 19 times of 20; none without customers on a side.
    pub margin: Option<Ratio>,
}

impl CountedFirings {
    /// Whether a firing counts of which orders are measured up to `end`.
    fn has(&self, fired_at: Time, end: Time) -> bool {
        end < self.before && end > self.at.minus(COUNTED_FOR) && fired_at >= self.held_from
    }
}

impl RuleOutcomes {
    pub fn is_empty(&self) -> bool {
        self.by_rule.is_empty()
    }

    /// In the order of groups, those without a customer left out.
    pub fn groups(&self) -> impl Iterator<Item = (OutcomeGroup<'_>, &Outcome)> {
        self.by_rule
            .iter()
            .flat_map(|(rule, variants)| {
                variants.iter().flat_map(move |(variant, of)| {
                    let group = move |withheld| OutcomeGroup { rule, variant, withheld };
                    [(group(false), &of.fired), (group(true), &of.withheld)]
                })
            })
            .filter(|(_, outcome)| outcome.customers > 0)
    }

    /// All customers from whom a rule withheld, its controls and those held out of every rule.
    pub fn withheld(&self, rule: &str) -> Outcome {
        let mut sum = Outcome::default();
        self.by_rule.get(rule).into_iter().flat_map(BTreeMap::values).for_each(|of| sum.add(&of.withheld));
        sum
    }

    pub fn add(&mut self, group: OutcomeGroup<'_>, outcome: &Outcome) {
        let OutcomeGroup { rule, variant, withheld } = group;
        if !self.by_rule.contains_key(rule) {
            self.by_rule.insert(rule.into(), BTreeMap::new());
        }
        let variants = self.by_rule.get_mut(rule).expect("it is there now");
        if !variants.contains_key(variant) {
            variants.insert(variant.into(), VariantOutcomes::default());
        }
        let of = variants.get_mut(variant).expect("it is there now");
        if withheld { of.withheld.add(outcome) } else { of.fired.add(outcome) }
    }

    /// Adds the outcomes of other customers.
    pub fn merge(&mut self, other: &Self) {
        other.groups().for_each(|(group, outcome)| self.add(group, outcome));
    }

    /// Adds a customer, once for each rule whose last firing counts.
    pub fn add_customer(&mut self, book: &Rulebook, customer: &CustomerAsOf<'_>, firings: CountedFirings) {
        for last in customer.customer.rules.fired() {
            let (Some(rule), Some(fired_at)) = (book.set().rule(last.rule), last.fired_at()) else {
                continue;
            };
            let end = fired_at.plus(rule.measure);
            if firings.has(fired_at, end) && has_all_orders_after(customer, fired_at) {
                let group = book.group(rule, customer.key);
                let group = OutcomeGroup {
                    rule: &rule.name,
                    variant: &group.variant.name,
                    withheld: group.is_withheld,
                };
                self.add(group, &outcome(customer, fired_at, end));
            }
        }
    }
}

/// Whether no order behind this instant has left the ledger: of a customer with more orders than are kept, some may have.
fn has_all_orders_after(customer: &CustomerAsOf<'_>, instant: Time) -> bool {
    customer.customer.summary.newest_order_at.is_none_or(|newest| newest <= instant)
}

fn outcome(customer: &CustomerAsOf<'_>, fired_at: Time, end: Time) -> Outcome {
    let mut outcome = Outcome { customers: 1, ..Outcome::default() };
    let orders = LedgerOrders::new(&customer.customer.ledger, customer.attribution).orders();
    for order in orders.filter(|order| order.result().kept) {
        if order.placed_at() > fired_at && order.placed_at() <= end {
            outcome.orders += 1;
            outcome.net += order.result().net();
        }
    }
    outcome.ordered = u64::from(outcome.orders > 0);
    outcome
}

impl Outcome {
    /// Customers who ordered / customers; none without any.
    pub fn ordered_share(&self) -> Option<Ratio> {
        Ratio::new(self.ordered, self.customers)
    }

    /// Net value / customers; none without any.
    pub fn net_per_customer(&self) -> Option<Ratio> {
        Ratio::new(self.net, self.customers)
    }

    fn add(&mut self, other: &Self) {
        self.customers += other.customers;
        self.ordered += other.ordered;
        self.orders += other.orders;
        self.net += other.net;
    }

    /// The variance of the share that ordered, p·q/n, in parts of 2⁵⁰.
    fn variance(&self) -> u128 {
        let [ordered, customers] = [self.ordered, self.customers].map(u128::from);
        ((ordered * (customers - ordered)) << VARIANCE_BITS) / customers.pow(3)
    }
}

impl Comparison {
    pub fn new(group: &Outcome, withheld: &Outcome) -> Self {
        let [one, other] = [group, withheld].map(|of| (i128::from(of.ordered), i128::from(of.customers)));
        let difference = Ratio::new(one.0 * other.1 - other.0 * one.1, one.1 * other.1);
        let margin = difference.and_then(|_| {
            // 1.96·√variance in parts of 10,000, twice as fine for the rounding; whole numbers are the same on every machine.
            let variance = group.variance() + withheld.variance();
            let halves = ((4 * 19_600 * 19_600 * variance) >> VARIANCE_BITS).isqrt();
            Ratio::new(halves.div_ceil(2) as i64, DIGITS)
        });
        let rounded = |ratio: Ratio| Ratio::new(ratio.scaled_half_even(DIGITS.into()), DIGITS);
        Self { withheld: *withheld, difference: difference.and_then(rounded), margin }
    }
}

/// Four decimals.
const DIGITS: i32 = 10_000;

const VARIANCE_BITS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(customers: u64, ordered: u64) -> Outcome {
        Outcome { customers, ordered, orders: ordered, net: ShopAmount(100 * ordered as i64) }
    }

    #[test]
    fn the_difference_has_a_margin() {
        // By hand: √(0.12·0.88/450 + 0.08·0.92/100) = 0.031155…, times 1.96.
        for (group, withheld, difference, margin) in [
            ((450, 54), (100, 8), Some(400), Some(611)),
            ((100, 8), (450, 54), Some(-400), Some(611)),
            ((3, 1), (3, 2), Some(-3_333), Some(7_544)),
            ((10, 10), (10, 0), Some(10_000), Some(0)),
            ((1, 0), (1, 0), Some(0), Some(0)),
            ((10, 3), (0, 0), None, None),
            ((0, 0), (10, 3), None, None),
        ] {
            let sides = [group, withheld].map(|(customers, ordered)| outcome(customers, ordered));
            let comparison = Comparison::new(&sides[0], &sides[1]);
            let numerator = |ratio: Option<Ratio>| ratio.map(|ratio| ratio.numerator);
            let found = (numerator(comparison.difference), numerator(comparison.margin));
            assert_eq!(found, (difference, margin), "{group:?} and {withheld:?}");
        }
    }

    #[test]
    fn controls_and_those_held_out_are_compared_with() {
        let group = |rule, variant, withheld| OutcomeGroup { rule, variant, withheld };
        let groups = [
            (group("a", "", false), outcome(3, 1)),
            (group("win-back", "control", true), outcome(5, 2)),
            (group("win-back", "percent", false), outcome(40, 8)),
            (group("win-back", "percent", true), outcome(7, 1)),
        ];
        let mut outcomes = RuleOutcomes::default();
        assert!(outcomes.is_empty());
        groups.iter().rev().for_each(|(group, outcome)| outcomes.add(*group, outcome));
        let found: Vec<_> = outcomes.groups().map(|(group, outcome)| (group, *outcome)).collect();
        assert_eq!(found, groups);
        assert_eq!(outcomes.withheld("win-back"), outcome(12, 3));
        assert_eq!(outcomes.withheld("a"), Outcome::default());
        let mut twice = outcomes.clone();
        twice.merge(&outcomes);
        assert_eq!(twice.withheld("win-back"), outcome(24, 6));
    }

    #[test]
    fn a_firing_counts_for_a_year_once_its_orders_are_known() {
        let day = |day| Time::MIN.plus(Span::days(day));
        let at = day(1_000);
        let firings = CountedFirings { at, before: at, held_from: day(610) };
        for (fired_at, end, counts) in [
            // What happens at midnight belongs to the next day, and so does an end at it.
            (day(970), at.just_before(), true),
            (day(970), at, false),
            (day(640), day(635).plus(Span::from_millis(1)), true),
            (day(640), day(635), false),
            (day(610), day(640), true),
            (day(610).just_before(), day(640), false),
        ] {
            assert_eq!(firings.has(fired_at, end), counts, "{fired_at:?} {end:?}");
        }
    }
}
