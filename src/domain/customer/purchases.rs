//! The kept orders of one customer, taken in time order: how many, how far apart, how much.

use crate::domain::lapse::PurchaseHistory;
use crate::domain::lapse::outlook::OrderValues;
use crate::domain::values::ids::OrderHash;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::{Day, Days, Time, Zone};

/// How many gaps and values count as recent in the ratio signals.
pub const RECENT: usize = 3;

/// An order that counts for the rhythm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptOrder {
    pub placed_at: Time,
    pub id: OrderHash,
    pub net: ShopAmount,
}

/// Sums over kept orders in the order of time. To continue those of a summary gives the same as to begin with all orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurchaseStats {
    pub count: u32,
    /// Sum of net values.
    pub net: ShopAmount,
    /// Net values of the last three, the latest last; zeros before the first.
    pub last_values: [ShopAmount; RECENT],
    /// Net values of the first two. Not part of a summary: their signals were emitted before the orders folded.
    pub first_values: [ShopAmount; 2],
    pub first_at: Time,
    pub last_at: Time,
    pub last_id: OrderHash,
    /// Time of the kept order before the last. Not part of a summary.
    pub previous_at: Option<Time>,
    pub days: PurchaseDays,
}

impl Default for PurchaseStats {
    fn default() -> Self {
        Self {
            count: 0,
            net: ShopAmount::ZERO,
            last_values: [ShopAmount::ZERO; RECENT],
            first_values: [ShopAmount::ZERO; 2],
            first_at: Time::MIN,
            last_at: Time::MIN,
            last_id: OrderHash(0),
            previous_at: None,
            days: PurchaseDays::default(),
        }
    }
}

impl PurchaseStats {
    /// Continues the sums, order by order.
    pub fn extend<'z>(&self, zone: &'z Zone) -> Extension<'z> {
        let nothing = KeptOrder { placed_at: Time::MIN, id: OrderHash(0), net: ShopAmount::ZERO };
        Extension {
            added: 0,
            firsts: [nothing; 2],
            lasts: [nothing; 4],
            net: self.net,
            days: self.days,
            dates: zone.days(),
        }
    }

    /// Takes over what was added since [`Self::extend`].
    pub fn take(&mut self, extension: &Extension<'_>) {
        let Extension { added, firsts: [first, second], net, days, .. } = extension;
        if *added == 0 {
            return;
        }
        match self.count {
            0 => (self.first_at, self.first_values) = (first.placed_at, [first.net, second.net]),
            1 => self.first_values[1] = first.net,
            2.. => {}
        }
        let (last, before, third) = (extension.last(1), extension.last(2), extension.last(3));
        let [_, second_value, third_value] = self.last_values;
        (self.previous_at, self.last_values) = match added {
            1 => {
                let previous_at = (self.count > 0).then_some(self.last_at);
                (previous_at, [second_value, third_value, last.net])
            }
            2 => (Some(before.placed_at), [third_value, before.net, last.net]),
            _ => (Some(before.placed_at), [third.net, before.net, last.net]),
        };
        (self.last_at, self.last_id) = (last.placed_at, last.id);
        self.count += u32::try_from(*added).expect("a ledger is bounded");
        (self.net, self.days) = (*net, *days);
    }

    /// Drops what a summary does not hold, after the oldest orders have folded into `summary`.
    pub fn drop_what_no_summary_holds(&mut self, summary: &Self) {
        if summary.count > 0 {
            self.first_values[0] = ShopAmount::ZERO;
        }
        if summary.count > 1 {
            self.first_values[1] = ShopAmount::ZERO;
        }
        if self.count == summary.count {
            self.previous_at = None;
        }
    }

    /// What a lapse policy looks at; none without a kept order.
    pub fn history(&self) -> Option<PurchaseHistory> {
        (self.count > 0).then(|| PurchaseHistory {
            repeat_days: self.days.gaps(),
            span_days: self.days.span(),
            last_order_at: self.last_at,
        })
    }

    /// What a model of values looks at.
    pub fn order_values(&self) -> OrderValues {
        let [_, _, last] = self.last_values;
        OrderValues { orders: self.count, purchase_days: self.days.count, net: self.net, last }
    }

    /// The sum of the last three values and of those before them; none with fewer than `earlier_min` of these.
    pub fn recent_and_earlier(&self, earlier_min: u32) -> Option<(ShopAmount, ShopAmount, u32)> {
        let earlier_count =
            self.count.checked_sub(RECENT as u32).filter(|count| *count >= earlier_min.max(1))?;
        let recent: ShopAmount = self.last_values.into_iter().sum();
        Some((recent, self.net - recent, earlier_count))
    }
}

/// A [`PurchaseStats`] that grows.
pub struct Extension<'z> {
    added: usize,
    firsts: [KeptOrder; 2],
    /// The last ones that were added, in a ring.
    lasts: [KeptOrder; 4],
    net: ShopAmount,
    days: PurchaseDays,
    dates: Days<'z>,
}

impl Extension<'_> {
    /// Adds the next kept order, in (time, id) order.
    #[inline(always)]
    pub fn push(&mut self, order: KeptOrder) {
        if let Some(first) = self.firsts.get_mut(self.added) {
            *first = order;
        }
        self.lasts[self.added % self.lasts.len()] = order;
        self.added += 1;
        self.net += order.net;
        self.days.push(self.dates.of(order.placed_at));
    }

    /// The last order, the one before it, or the third from the end. Meaningless if there are not so many.
    fn last(&self, from_end: usize) -> KeptOrder {
        self.lasts[self.added.wrapping_sub(from_end) % self.lasts.len()]
    }
}

/// Calendar dates with a kept order and the gaps between neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PurchaseDays {
    pub count: u32,
    pub first: i32,
    /// The last four, the latest last; zeros before the first.
    pub last: [i32; RECENT + 1],
    /// Sum of squared gaps.
    pub squares: u64,
}

impl PurchaseDays {
    /// Adds a date not before the last one. A zone that steps back may give an earlier date for a later instant; it then counts
    /// as the same purchase day, so that folding cannot change the gaps.
    pub fn push(&mut self, Day(day): Day) {
        let [_, second, third, latest] = self.last;
        if self.count == 0 {
            self.first = day;
        } else {
            if day <= latest {
                return;
            }
            let gap = u64::from(day.abs_diff(latest));
            self.squares += gap * gap;
        }
        self.last = [second, third, latest, day];
        self.count += 1;
    }

    pub const fn gaps(&self) -> u32 {
        self.count.saturating_sub(1)
    }

    /// Days from the first to the last purchase day: the sum of the gaps.
    pub const fn span(&self) -> i32 {
        self.last[RECENT] - self.first
    }

    pub fn mean_gap(&self) -> Option<Ratio> {
        Ratio::new(self.span(), self.gaps())
    }

    /// Population coefficient of variation at most 0.5 over at least three gaps: 4·(n·Σg² − (Σg)²) ≤ (Σg)².
    pub fn is_regular(&self) -> bool {
        let (gaps, sum) = (i128::from(self.gaps()), i128::from(self.span()));
        gaps >= 3 && 4 * (gaps * i128::from(self.squares) - sum * sum) <= sum * sum
    }

    /// Days in the last three gaps, days in the earlier ones, and how many these are; none with fewer than `earlier_min`.
    pub fn recent_and_earlier(&self, earlier_min: u32) -> Option<(i32, i32, u32)> {
        let earlier_count =
            self.gaps().checked_sub(RECENT as u32).filter(|count| *count >= earlier_min.max(1))?;
        let recent = self.last[RECENT] - self.last[0];
        Some((recent, self.span() - recent, earlier_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_the_same_at_once_and_bit_by_bit() {
        let zone = Zone::utc();
        let order = |index: i64| KeptOrder {
            placed_at: Time::from_millis(index * index * 30_000_000).expect("in range"),
            id: OrderHash(index.unsigned_abs()),
            net: ShopAmount(100 + 7 * index),
        };
        let extended = |mut run: PurchaseStats, orders: &[KeptOrder]| {
            let mut extension = run.extend(&zone);
            orders.iter().for_each(|order| extension.push(*order));
            run.take(&extension);
            run
        };
        for length in 0..8 {
            let orders: Vec<KeptOrder> = (1..=length).map(order).collect();
            let at_once = extended(PurchaseStats::default(), &orders);
            assert_eq!(u32::try_from(length), Ok(at_once.count));
            let before_last = orders.len().checked_sub(2).map(|index| orders[index].placed_at);
            assert_eq!(at_once.previous_at, before_last);
            for step in 1..=orders.len() {
                let bit_by_bit = orders.chunks(step).fold(PurchaseStats::default(), extended);
                assert_eq!(bit_by_bit, at_once, "{length} orders by {step}");
            }
        }
    }

    /// A summary leaves out what its orders have been reported for.
    #[test]
    fn what_folds_takes_first_values_and_the_order_before_along() {
        let of = |count: u32| PurchaseStats {
            count,
            first_values: [ShopAmount(7), ShopAmount(8)],
            previous_at: Some(Time::MIN),
            ..PurchaseStats::default()
        };
        let left = |count, folded| {
            let mut stats = of(count);
            stats.drop_what_no_summary_holds(&of(folded));
            let [first, second] = stats.first_values;
            (first.minor(), second.minor(), stats.previous_at.is_some())
        };
        assert_eq!(left(3, 0), (7, 8, true));
        assert_eq!(left(3, 1), (0, 8, true));
        assert_eq!(left(3, 2), (0, 0, true));
        assert_eq!(left(3, 3), (0, 0, false));
        assert_eq!(left(1, 1), (0, 8, false));
    }

    fn days(dates: &[i32]) -> PurchaseDays {
        let mut days = PurchaseDays::default();
        dates.iter().for_each(|date| days.push(Day(*date)));
        days
    }

    #[test]
    fn several_orders_on_one_date_are_one_purchase_day() {
        assert_eq!(days(&[5, 5, 9, 9, 9, 12]), days(&[5, 9, 12]));
        assert_eq!(days(&[5, 9, 8, 12]), days(&[5, 9, 12]));
    }

    #[test]
    fn regularity_is_decided_exactly_at_one_half() {
        assert!(days(&[0, 10, 20, 30]).is_regular());
        assert!(!days(&[0, 10, 20]).is_regular()); // two gaps
        assert!(days(&[0, 1, 4, 5, 8]).is_regular()); // gaps 1 3 1 3: mean 2, deviation 1
        assert!(!days(&[0, 1, 5, 6, 10]).is_regular()); // gaps 1 4 1 4: mean 2.5, deviation 1.5
    }

    #[test]
    fn recent_gaps_need_enough_earlier_ones() {
        assert_eq!(days(&[0, 1, 2, 3, 10, 20]).recent_and_earlier(3), None);
        assert_eq!(days(&[0, 1, 2, 3, 10, 20, 40]).recent_and_earlier(3), Some((37, 3, 3)));
    }
}
