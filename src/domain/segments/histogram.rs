//! Integer histograms that can be added up, and their quantiles.

use std::collections::BTreeMap;

/// Buckets an octave. Up to here each number is a bucket of its own, above a bucket is at most 1/64 wide.
const OCTAVE: u64 = 64;

/// The bucket of an amount or another large number.
pub const fn bucket(value: u64) -> u32 {
    if value < OCTAVE {
        return value as u32;
    }
    let exponent = value.ilog2();
    64 * (exponent - 5) + (value >> (exponent - 6)) as u32 - 64
}

/// The greatest number of a bucket.
pub const fn upper(bucket: u32) -> u64 {
    let bucket = bucket as u64;
    if bucket < OCTAVE {
        return bucket;
    }
    ((((bucket % OCTAVE + OCTAVE + 1) as u128) << (bucket / OCTAVE - 1)) - 1) as u64
}

/// How many customers (or gaps, or delays) fall into each bucket. Kept sparse.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Histogram {
    counts: BTreeMap<u32, u64>,
    total: u64,
}

impl Histogram {
    /// Counts a small number, which is its own bucket: days, orders.
    pub fn add_exact(&mut self, value: u32) {
        self.add(value);
    }

    /// Counts a number of any size in its [`bucket`].
    pub fn add_bucketed(&mut self, value: u64) {
        self.add(bucket(value));
    }

    fn add(&mut self, bucket: u32) {
        *self.counts.entry(bucket).or_default() += 1;
        self.total += 1;
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
        self.total += other.total;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// A histogram of these buckets; none if one of them is empty or stands twice.
    pub fn of_counts(counts: impl IntoIterator<Item = (u32, u64)>) -> Option<Self> {
        let mut histogram = Self::default();
        for (bucket, count) in counts {
            let is_new = histogram.counts.insert(bucket, count).is_none();
            histogram.total = histogram.total.checked_add(count).filter(|_| is_new && count > 0)?;
        }
        Some(histogram)
    }

    /// Each bucket that is not empty, in order.
    pub fn counts(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.counts.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// How many were counted in buckets up to this one.
    pub fn up_to(&self, bucket: u32) -> u64 {
        self.counts.range(..=bucket).map(|(_, count)| count).sum()
    }

    /// Quantile `part` of `parts`: the first bucket up to which at least that share was counted. None without any.
    pub fn quantile(&self, part: u64, parts: u64) -> Option<u32> {
        let needed = (u128::from(self.total) * u128::from(part)).div_ceil(u128::from(parts));
        let mut counted = 0;
        self.counts().find_map(|(bucket, count)| {
            counted += u128::from(count);
            (counted >= needed).then_some(bucket)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_a_64th_wide() {
        let known = [
            (63, 63, 63),
            (64, 64, 64),
            (128, 128, 129),
            (1_000, 317, 1_007),
            (48_076, 669, 48_127),
            (16_846_960, 1_216, 17_039_359),
        ];
        for (value, expected, expected_upper) in known {
            assert_eq!((bucket(value), upper(bucket(value))), (expected, expected_upper), "{value}");
        }
        let edges = (0..48).flat_map(|exponent| [(1u64 << exponent) - 1, 1 << exponent, (1 << exponent) + 1]);
        for value in (0..70_000).chain(edges) {
            let bucket = bucket(value);
            assert!(bucket < 2_752, "{value}");
            assert!(value <= upper(bucket) && upper(bucket) - value <= value / 64, "{value}");
            assert!(bucket == 0 || upper(bucket - 1) < value, "{value}");
        }
        assert_eq!(upper(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_are_of_the_sums_of_partitions() {
        let mut parts = vec![Histogram::default(); 3];
        for value in 1..=10u32 {
            parts[value as usize % 3].add_exact(value);
        }
        let mut sum = Histogram::default();
        parts.iter().rev().for_each(|part| sum.merge(part));
        assert_eq!([1, 2, 3, 4].map(|part| sum.quantile(part, 5)), [Some(2), Some(4), Some(6), Some(8)]);
        assert_eq!((sum.quantile(1, 2), sum.total(), sum.up_to(3)), (Some(5), 10, 3));
        assert_eq!(Histogram::default().quantile(1, 2), None);
    }

    #[test]
    fn counts_make_a_histogram_unless_a_bucket_is_empty_or_stands_twice() {
        let histogram = Histogram::of_counts([(3, 5), (9, 1)]).expect("two buckets");
        assert_eq!((histogram.total(), histogram.counts().collect::<Vec<_>>()), (6, vec![(3, 5), (9, 1)]));
        assert!(Histogram::of_counts([(3, 5), (3, 5)]).is_none());
        assert!(Histogram::of_counts([(3, 5), (9, 0)]).is_none());
        assert!(Histogram::of_counts([(3, u64::MAX), (9, 1)]).is_none());
        assert_eq!(Histogram::of_counts([]), Some(Histogram::default()));
    }
}
