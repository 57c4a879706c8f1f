//! Cohorts: customers by the month of their first kept order, and what they did in later months.

use std::collections::BTreeMap;

use super::month::Month;
use crate::domain::values::money::ShopAmount;

/// How many calendar months before the current one have rows, if the ledgers hold them.
pub const EARLIER_MONTHS: i32 = 12;

/// What one cohort did in one month.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CohortRow {
    /// Customers with a kept order in the month.
    pub customers: u64,
    /// Kept orders.
    pub orders: u64,
    /// Their net value.
    pub net: ShopAmount,
}

/// The cohorts of one store, as known at one instant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Cohorts {
    /// By month of activity, then by cohort.
    pub rows: BTreeMap<(Month, Month), CohortRow>,
    /// Customers of every cohort, however long ago.
    pub sizes: BTreeMap<Month, u64>,
}

/// One point of the retention curve: of `size` customers whose cohort was `month` months old in a whole month, so many were active.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CurvePoint {
    pub active: u64,
    pub size: u64,
}

/// Months at the beginning of a history whose cohorts are left out of the curve: most of their customers bought before.
pub const LEADING_MONTHS: i32 = 3;

impl Cohorts {
    /// Adds another partition's cohorts of the same instant.
    pub fn merge(&mut self, other: &Self) {
        for (months, row) in &other.rows {
            self.rows.entry(*months).or_default().add(row);
        }
        for (month, size) in &other.sizes {
            *self.sizes.entry(*month).or_default() += size;
        }
    }

    /// The first month of the history.
    pub fn first_month(&self) -> Option<Month> {
        self.sizes.keys().next().copied()
    }

    /// The first cohort that the curve looks at: behind [`LEADING_MONTHS`], unless the history is hardly longer than these.
    pub fn first_of_curve(&self, current: Month) -> Option<Month> {
        let first = self.first_month()?;
        let is_long = current.since(first) >= 2 * LEADING_MONTHS;
        Some(if is_long { first.plus(LEADING_MONTHS) } else { first })
    }

    /// The retention curve from the cohorts of `first` on: for each age in months, over the `months` whole months before `current`. It
    /// ends where no cohort has that age.
    pub fn curve(&self, first: Month, current: Month, months: i32) -> Vec<CurvePoint> {
        let mut curve = Vec::new();
        for age in 0..=EARLIER_MONTHS {
            let mut point = CurvePoint::default();
            for month in (1..=months).map(|back| current.plus(-back)) {
                let cohort = month.plus(-age);
                if cohort < first {
                    continue;
                }
                point.size += self.sizes.get(&cohort).copied().unwrap_or(0);
                point.active += self.rows.get(&(month, cohort)).map_or(0, |row| row.customers);
            }
            if point.size == 0 {
                break;
            }
            curve.push(point);
        }
        curve
    }

    /// What all cohorts together did in a month.
    pub fn month(&self, month: Month) -> CohortRow {
        let mut sum = CohortRow::default();
        self.of_month(month).for_each(|(_, row)| sum.add(row));
        sum
    }

    /// What the customers did in a month whose first kept order lies in it, and what all others did.
    pub fn new_and_returning(&self, month: Month) -> (CohortRow, CohortRow) {
        let mut sums = (CohortRow::default(), CohortRow::default());
        for (cohort, row) in self.of_month(month) {
            if cohort == month { sums.0.add(row) } else { sums.1.add(row) }
        }
        sums
    }

    /// The cohorts that were active in a month.
    pub fn of_month(&self, month: Month) -> impl Iterator<Item = (Month, &CohortRow)> {
        let cohorts = self.rows.range((month, month.plus(i32::from(i16::MIN)))..=(month, month));
        cohorts.map(|((_, cohort), row)| (*cohort, row))
    }
}

impl CohortRow {
    /// Adds what others did.
    pub fn add(&mut self, other: &Self) {
        self.customers += other.customers;
        self.orders += other.orders;
        self.net += other.net;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::time::Day;

    /// Cohorts of 10 customers a month, of whom one less is active each month later.
    fn cohorts(months: i32) -> (Cohorts, Month) {
        let first = Month::of(Day(0));
        let mut cohorts = Cohorts::default();
        for cohort in 0..months {
            cohorts.sizes.insert(first.plus(cohort), 10);
            for month in cohort..months {
                let customers = (10 - (month - cohort)).max(0) as u64;
                let row = CohortRow { customers, orders: customers, net: ShopAmount(100) };
                cohorts.rows.insert((first.plus(month), first.plus(cohort)), row);
            }
        }
        (cohorts, first)
    }

    #[test]
    fn a_curve_looks_at_whole_months_only() {
        let (cohorts, first) = cohorts(4);
        let current = first.plus(3);
        let points: Vec<(u64, u64)> = cohorts
            .curve(first, current, EARLIER_MONTHS)
            .iter()
            .map(|point| (point.active, point.size))
            .collect();
        assert_eq!(points, [(30, 30), (18, 20), (8, 10)]);
        assert_eq!(cohorts.first_of_curve(current), Some(first));
        assert_eq!(cohorts.first_of_curve(first.plus(6)), Some(first.plus(3)));
    }

    #[test]
    fn a_month_is_the_sum_of_its_cohorts() {
        let (cohorts, first) = cohorts(3);
        let (new, returning) = cohorts.new_and_returning(first.plus(2));
        assert_eq!((new.customers, returning.customers, returning.net), (10, 17, ShopAmount(200)));
        assert_eq!(cohorts.month(first.plus(2)).customers, 27);
        let mut both = cohorts.clone();
        both.merge(&cohorts);
        assert_eq!((both.month(first).orders, both.sizes[&first]), (20, 20));
    }
}
