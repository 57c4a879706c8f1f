//! Points: a fact that follows from the kept orders, so that returns and cancellations take them back.

use crate::domain::customer::purchases::PurchaseStats;
use crate::domain::values::money::Currency;
use crate::domain::values::number::Decimal;

/// How points are earned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Points {
    pub per: PointsPer,
    /// 1 to 10,000.
    pub factor: u32,
}

/// What gives one point, before the factor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PointsPer {
    /// Each kept order.
    Order,
    /// Each whole multiple of so much money, above 0, of the net value of all kept orders together.
    Amount(Decimal),
}

impl Points {
    /// The points of a customer whose shop counts in this currency.
    pub fn of(&self, kept: &PurchaseStats, currency: Currency) -> u64 {
        let units = match self.per {
            PointsPer::Order => u64::from(kept.count),
            PointsPer::Amount(amount) => {
                let minor_units = 10i128.pow(u32::from(currency.digits()));
                let units = i128::from(kept.net) * amount.denominator() / (amount.numerator() * minor_units);
                u64::try_from(units).unwrap_or_default()
            }
        };
        units.saturating_mul(u64::from(self.factor))
    }
}

/// How often `reach` points are reached.
pub const fn multiple(points: u64, reach: u64) -> u64 {
    points / reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::money::ShopAmount;

    #[test]
    fn points_follow_from_the_kept_orders() {
        let kept =
            |count: u32, net: i64| PurchaseStats { count, net: ShopAmount(net), ..PurchaseStats::default() };
        let euro = Currency::from_code(b"EUR").expect("a currency");
        let yen = Currency::from_code(b"JPY").expect("a currency");
        let per = |text: &str| PointsPer::Amount(Decimal::parse(text).expect("a decimal"));
        for (per, factor, kept, currency, points) in [
            // The story: c-1042 after two and after four orders, c-2077 before and after all went back.
            (per("1.00"), 1, kept(2, 11_000), euro, 110),
            (per("1.00"), 1, kept(4, 18_670), euro, 186),
            (per("1.00"), 1, kept(1, 6_400), euro, 64),
            (per("1.00"), 1, kept(0, 0), euro, 0),
            (per("1.00"), 10, kept(4, 18_670), euro, 1_860),
            (per("0.5"), 1, kept(4, 18_670), euro, 373),
            (per("1000"), 2, kept(3, 4_999), yen, 8),
            (PointsPer::Order, 1, kept(4, 18_670), euro, 4),
            (PointsPer::Order, 25, kept(4, 18_670), euro, 100),
        ] {
            assert_eq!(Points { per, factor }.of(&kept, currency), points, "{per:?} {factor} {kept:?}");
        }
        assert_eq!([99, 100, 186, 200].map(|points| multiple(points, 100)), [0, 1, 1, 2]);
    }
}
