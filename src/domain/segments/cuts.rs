//! Cut points, and the scores that follow from them.

use super::customer::silence_beyond;
use super::histogram::{Histogram, upper};
use super::names::{Segment, ValueMatrix};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::time::Span;

/// With fewer customers, quantiles are noise: then [`CutPoints::FIXED`] count.
pub const CUSTOMERS_MIN: u64 = 100;

/// How far back the last kept order of a customer lies at most who counts for R.
pub const RECENCY_DAYS_MAX: i64 = 730;

/// What is divided by cut points: one entry for each customer with a kept order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RfmHistograms {
    /// Whole days of silence, of customers whose last kept order is at most [`RECENCY_DAYS_MAX`] back.
    pub r: Histogram,
    /// Kept orders.
    pub f: Histogram,
    /// Kept net value, in buckets.
    pub m: Histogram,
    /// Mean kept order value, rounded down, in buckets.
    pub value: Histogram,
}

/// What decides about a customer's segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RfmValues {
    /// Since the last kept order.
    pub silence: Span,
    /// Kept orders of all time, at least 1.
    pub kept: u32,
    /// Their net value.
    pub kept_net: ShopAmount,
}

/// Where the scores of a store divide its customers. The cuts of each kind rise strictly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutPoints {
    /// Whole days of silence.
    pub r: [u64; 4],
    /// Kept orders.
    pub f: [u64; 4],
    /// None in [`Self::FIXED`], which know nothing of a store's prices.
    pub money: Option<MoneyCuts>,
}

/// The cuts that need a store's own amounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoneyCuts {
    /// Kept net value in minor units.
    pub m: [u64; 4],
    /// Medians of the value matrix: kept orders, and mean kept order value in minor units.
    pub f_median: u64,
    pub value_median: u64,
}

/// Scores of one customer, 1 to 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scores {
    pub r: u8,
    pub f: u8,
    pub m: Option<u8>,
}

impl RfmHistograms {
    /// Counts a customer.
    pub fn add(&mut self, values: &RfmValues) {
        let days = values.silence_days();
        if values.silence <= Span::days(RECENCY_DAYS_MAX) {
            self.r.add_exact(days);
        }
        self.f.add_exact(values.kept);
        self.m.add_bucketed(values.net());
        self.value.add_bucketed(values.mean_value());
    }

    /// Adds another partition's customers.
    pub fn merge(&mut self, other: &Self) {
        self.r.merge(&other.r);
        self.f.merge(&other.f);
        self.m.merge(&other.m);
        self.value.merge(&other.value);
    }
}

impl RfmValues {
    fn silence_days(&self) -> u32 {
        u32::try_from(self.silence.as_millis() / Span::DAY.as_millis()).unwrap_or(0)
    }

    /// Kept orders are worth more than nothing, so this is positive.
    fn net(&self) -> u64 {
        u64::try_from(self.kept_net.minor()).unwrap_or(0)
    }

    fn mean_value(&self) -> u64 {
        self.net() / u64::from(self.kept.max(1))
    }
}

impl CutPoints {
    /// For stores with too few customers.
    pub const FIXED: Self = Self { r: [30, 60, 120, 240], f: [1, 2, 3, 5], money: None };

    /// Quintiles, or [`Self::FIXED`] with fewer than `customers_min` customers.
    pub fn of(histograms: &RfmHistograms, customers_min: u64) -> Self {
        let RfmHistograms { r, f, m, value } = histograms;
        if f.total() < customers_min.max(1) {
            return Self::FIXED;
        }
        let exact = |bucket: u32| u64::from(bucket);
        let money = quintiles(m, upper).zip(f.quantile(1, 2)).zip(value.quantile(1, 2));
        Self {
            r: quintiles(r, exact).unwrap_or(Self::FIXED.r),
            f: quintiles(f, exact).unwrap_or(Self::FIXED.f),
            money: money.map(|((m, f_median), value)| MoneyCuts {
                m,
                f_median: exact(f_median),
                value_median: upper(value),
            }),
        }
    }

    pub fn scores(&self, values: &RfmValues) -> Scores {
        let silent = |cut: &&u64| values.silence >= silence_beyond(**cut);
        Scores {
            r: 5 - self.r.iter().filter(silent).count() as u8,
            f: score(&self.f, u64::from(values.kept)),
            m: self.money.map(|money| score(&money.m, values.net())),
        }
    }

    pub fn segment(&self, values: &RfmValues) -> Segment {
        let Scores { r, f, m: _ } = self.scores(values);
        Segment::of(r, f)
    }

    /// None without the store's own cuts.
    pub fn matrix(&self, values: &RfmValues) -> Option<ValueMatrix> {
        self.money.map(|money| {
            let is_frequent = u64::from(values.kept) > money.f_median;
            ValueMatrix::of(is_frequent, values.mean_value() > money.value_median)
        })
    }
}

fn score(cuts: &[u64; 4], value: u64) -> u8 {
    1 + cuts.iter().filter(|cut| **cut < value).count() as u8
}

/// Of a third of customers with one order, several quintiles are the same: then the next cut is one higher, so that no score jumps by
/// two.
fn quintiles(histogram: &Histogram, value: impl Fn(u32) -> u64) -> Option<[u64; 4]> {
    let mut cuts = [0; 4];
    let mut lowest = 0;
    for (part, cut) in (1..).zip(&mut cuts) {
        *cut = value(histogram.quantile(part, 5)?).max(lowest);
        lowest = *cut + 1;
    }
    Some(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(days: i64, millis: i64, kept: u32, net: i64) -> RfmValues {
        RfmValues {
            silence: Span::from_millis(Span::days(days).as_millis() + millis),
            kept,
            kept_net: ShopAmount(net),
        }
    }

    /// Those of Online Retail at 2011-12-10.
    const ONLINE_RETAIL: CutPoints = CutPoints {
        r: [14, 32, 71, 179],
        f: [1, 2, 3, 5],
        money: Some(MoneyCuts { m: [25_087, 49_151, 94_207, 204_799], f_median: 2, value_median: 29_439 }),
    };

    #[test]
    fn a_score_changes_a_day_behind_the_cut() {
        for (days, millis, expected) in
            [(0, 0, 5), (14, 0, 5), (14, 86_399_999, 5), (15, 0, 4), (33, 0, 3), (72, 0, 2), (180, 0, 1)]
        {
            let scores = ONLINE_RETAIL.scores(&values(days, millis, 2, 10_000));
            assert_eq!(scores, Scores { r: expected, f: 2, m: Some(1) }, "{days} d + {millis} ms");
        }
        // Customer 16446: an order of 168,469.60 was reversed after 12 minutes, and one of 2.90 is left, of 2011-05-18.
        let reversed = ONLINE_RETAIL.scores(&values(206, 0, 1, 290));
        assert_eq!(reversed, Scores { r: 1, f: 1, m: Some(1) });
        let best = ONLINE_RETAIL.scores(&values(1, 0, 6, 204_800));
        assert_eq!(best, Scores { r: 5, f: 5, m: Some(5) });
    }

    #[test]
    fn ida_falls_asleep_at_two_boundaries() {
        // Two orders, the last one on 2025-02-04T18:15Z.
        let names = [0, 15, 32, 33, 71, 72].map(|days| ONLINE_RETAIL.segment(&values(days, 0, 2, 11_000)));
        use Segment::{AboutToSleep, Hibernating, PotentialLoyalist};
        let expected = [PotentialLoyalist; 3].into_iter().chain([AboutToSleep, AboutToSleep, Hibernating]);
        assert_eq!(names.to_vec(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn the_matrix_compares_with_the_medians() {
        let names = [(3, 88_320), (3, 88_317), (2, 58_880), (2, 58_878)]
            .map(|(kept, net)| ONLINE_RETAIL.matrix(&values(0, 0, kept, net)).map(ValueMatrix::name));
        let expected = ["frequent_large", "frequent_small", "rare_large", "rare_small"];
        assert_eq!(names, expected.map(Some));
    }

    #[test]
    fn few_customers_get_fixed_cuts() {
        let mut histograms = RfmHistograms::default();
        (0..99).for_each(|days| histograms.add(&values(days, 0, 1, 500)));
        assert_eq!(CutPoints::of(&histograms, CUSTOMERS_MIN), CutPoints::FIXED);
        let scores = CutPoints::FIXED.scores(&values(0, 0, 1, 500));
        assert_eq!(
            (scores, CutPoints::FIXED.matrix(&values(0, 0, 1, 500))),
            (Scores { r: 5, f: 1, m: None }, None)
        );
        assert_eq!(CutPoints::of(&RfmHistograms::default(), 0), CutPoints::FIXED);
    }

    #[test]
    fn cuts_rise_strictly_and_old_silences_do_not_count() {
        let mut histograms = RfmHistograms::default();
        (0..100).for_each(|days| histograms.add(&values(days, 0, 1, 500)));
        (0..500).for_each(|days| histograms.add(&values(731 + days, 0, 1, 500)));
        let cuts = CutPoints::of(&histograms, CUSTOMERS_MIN);
        assert_eq!((cuts.r, cuts.f), ([19, 39, 59, 79], [1, 2, 3, 4]));
        let money = cuts.money.expect("enough customers");
        assert_eq!((money.m, money.f_median, money.value_median), ([503, 504, 505, 506], 1, 503));
    }

    #[test]
    fn the_least_number_of_customers_is_enough() {
        let mut histograms = RfmHistograms::default();
        (0..100).for_each(|days| histograms.add(&values(days, 0, 1, 500)));
        assert_ne!(CutPoints::of(&histograms, 100), CutPoints::FIXED);
        assert_eq!(CutPoints::of(&histograms, 101), CutPoints::FIXED);
    }
}
