//! Anonymous rows of the customers with the smallest hashes: what a model can be fitted on without a customer's history.

use std::collections::BTreeMap;

use crate::domain::customer::purchases::PurchaseStats;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::time::Time;

/// What a model sees of a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SampleRow {
    /// x: purchase days after the first one.
    pub repeat_days: u32,
    /// t_x: days from the first to the last purchase day.
    pub span_days: i32,
    /// T: days from the first purchase day to the count.
    pub age_days: i32,
    /// n: purchase days.
    pub purchase_days: u32,
    /// Net value of all kept orders: n · z, in minor units.
    pub net: ShopAmount,
    /// Net value of the last kept order.
    pub last_value: ShopAmount,
}

impl SampleRow {
    /// The row of a customer at a date; none without a kept order.
    pub fn of(kept: &PurchaseStats, date: i32) -> Option<Self> {
        let [.., last_value] = kept.last_values;
        (kept.count > 0).then(|| Self {
            repeat_days: kept.days.gaps(),
            span_days: kept.days.span(),
            age_days: date - kept.days.first,
            purchase_days: kept.days.count,
            net: kept.net,
            last_value,
        })
    }
}

/// A customer now, and some days ago with whether an order followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SampledCustomer {
    pub now: SampleRow,
    /// In the order of [`EARLIER_DAYS`]; none who had no kept order by then.
    pub earlier: [Option<EarlierRow>; 2],
}

/// A customer as known some days ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarlierRow {
    pub row: SampleRow,
    /// A kept order followed until now.
    pub ordered_since: bool,
}

/// How long ago the earlier rows are.
pub const EARLIER_DAYS: [i64; 2] = [30, 90];

/// The customers with the smallest hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    size: usize,
    /// By hash. Two customers with one hash are as likely as none at all; then one of them is left out, the same everywhere.
    rows: BTreeMap<u64, SampledCustomer>,
}

impl Sample {
    /// Of so many customers at most; 0 takes no sample.
    pub fn new(size: usize) -> Self {
        Self { size, rows: BTreeMap::new() }
    }

    /// Whether a customer with this hash would stay.
    pub fn takes(&self, hash: u64) -> bool {
        let is_full = self.rows.len() >= self.size;
        self.size > 0 && (!is_full || self.rows.last_key_value().is_some_and(|(last, _)| hash < *last))
    }

    pub fn add(&mut self, hash: u64, customer: SampledCustomer) {
        if self.takes(hash) {
            self.rows.insert(hash, customer);
            while self.rows.len() > self.size {
                self.rows.pop_last();
            }
        }
    }

    /// Adds another partition's sample of the same size.
    pub fn merge(&mut self, other: &Self) {
        for (hash, customer) in &other.rows {
            self.add(*hash, *customer);
        }
    }

    /// From the smallest hash on.
    pub fn customers(&self) -> impl ExactSizeIterator<Item = &SampledCustomer> {
        self.rows.values()
    }
}

/// The hash that decides: of the customer's key, a zero, and the word.
pub fn sample_hash(key: &[u8], hash: fn(&[u8]) -> u64) -> u64 {
    hash(&[key, b"\0sample"].concat())
}

/// Whether a kept order came at or after an instant.
pub fn ordered_since(kept: &PurchaseStats, instant: Time) -> bool {
    kept.count > 0 && kept.last_at >= instant
}
