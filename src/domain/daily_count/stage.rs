//! How far a shop has come, by its months and its orders.

use super::DailyCount;
use crate::domain::values::window::YEAR;

/// The stage of a shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShopStage {
    /// Fewer than 10 kept orders, or less than a month since the first.
    Starting,
    /// Less than 3 months, or fewer than 30 kept orders a month.
    FirstSales,
    /// Less than 12 months, or fewer than 100 a month.
    Consistent,
    /// Less than 24 months, or fewer than 1,000 a month.
    Established,
    /// 24 months and more, with 1,000 and more a month.
    Mature,
}

impl ShopStage {
    pub const ALL: &'static [Self] =
        &[Self::Starting, Self::FirstSales, Self::Consistent, Self::Established, Self::Mature];

    /// `months` have begun since the month of the first kept order. A month of orders is a third of the last 90 days.
    pub const fn of(months: i32, kept: u64, kept_90_days: u64) -> Self {
        match (months, kept_90_days / 3) {
            _ if kept < 10 => Self::Starting,
            (..1, _) => Self::Starting,
            (..3, _) | (_, ..30) => Self::FirstSales,
            (..12, _) | (_, ..100) => Self::Consistent,
            (..24, _) | (_, ..1_000) => Self::Established,
            _ => Self::Mature,
        }
    }

    /// The stage of a counted shop.
    pub fn of_count(count: &DailyCount) -> Self {
        let months = count.cohorts.first_month().map_or(0, |first| count.current.since(first));
        Self::of(months, count.totals.windows[0].kept, count.totals.windows[YEAR - 1].kept)
    }

    /// In labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::FirstSales => "first_sales",
            Self::Consistent => "consistent",
            Self::Established => "established",
            Self::Mature => "mature",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_orders_decide_together() {
        for (months, kept, kept_90_days, expected) in [
            (0, 500, 500, ShopStage::Starting),
            (40, 9, 0, ShopStage::Starting),
            (2, 9_000, 9_000, ShopStage::FirstSales),
            (40, 900, 89, ShopStage::FirstSales),
            (11, 9_000, 9_000, ShopStage::Consistent),
            (12, 9_000, 299, ShopStage::Consistent),
            (12, 9_000, 300, ShopStage::Established),
            (24, 9_000, 2_999, ShopStage::Established),
            (24, 9_000, 3_000, ShopStage::Mature),
        ] {
            assert_eq!(
                ShopStage::of(months, kept, kept_90_days),
                expected,
                "{months} months, {kept}, {kept_90_days}"
            );
        }
    }
}
