//! What some points of retention more are worth, if new customers keep coming as they did.

use super::cohorts::CurvePoint;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::{Ratio, div_half_even};

/// How many months are projected.
pub const MONTHS: usize = 12;

/// The curve counts as published: in millionths.
const MILLION: i128 = 1_000_000;

/// What a projection starts from.
#[derive(Clone, Copy, Debug)]
pub struct ProjectionBasis {
    /// N: new customers a month.
    pub new_customers: Ratio,
    /// v: net value of an active customer in a month, in minor units.
    pub value: Ratio,
    /// E: customers whose first kept order lies in the last 365 days.
    pub earlier_customers: u64,
}

/// Net value by month, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Projection {
    /// Percentage points by which the share of active customers rises in each month after the first.
    pub points: u32,
    /// With the curve as it is.
    pub base: [ShopAmount; MONTHS],
    /// What the points add.
    pub extra: [ShopAmount; MONTHS],
}

impl Projection {
    /// Customers of month j before are active with share s_j; beyond the curve, with its last one. In month m the base is
    /// v · N · Σ_{j<m} s_j, and the points add v · points / 100 · (N · (m − 1) + E). Each is rounded once, half even.
    pub fn new(basis: &ProjectionBasis, curve: &[CurvePoint], points: u32) -> Self {
        let ProjectionBasis { new_customers, value, earlier_customers } = *basis;
        let share = |point: &CurvePoint| {
            Ratio::new(point.active, point.size).map_or(0, |share| share.scaled_half_even(MILLION))
        };
        let mut shares = curve.iter().skip(1).map(share).fuse();
        let (mut last, mut sum) = (0, 0);
        let mut projection =
            Self { points, base: [ShopAmount::ZERO; MONTHS], extra: [ShopAmount::ZERO; MONTHS] };
        for month in 0..MONTHS {
            if month == 0 {
                sum = MILLION;
            } else {
                last = shares.next().unwrap_or(last);
                sum += last;
            }
            let denominator = value.denominator * new_customers.denominator;
            projection.base[month] =
                amount(value.numerator * new_customers.numerator * sum, denominator * MILLION);
            let reached = new_customers.numerator * month as i128
                + i128::from(earlier_customers) * new_customers.denominator;
            projection.extra[month] =
                amount(value.numerator * i128::from(points) * reached, denominator * 100);
        }
        projection
    }

    /// Net value with the points, in a month.
    pub fn raised(&self, month: usize) -> ShopAmount {
        self.base[month] + self.extra[month]
    }

    /// Sums over the year: as it is, and what the points add.
    pub fn year(&self) -> (ShopAmount, ShopAmount) {
        (self.base.into_iter().sum(), self.extra.into_iter().sum())
    }
}

fn amount(numerator: i128, denominator: i128) -> ShopAmount {
    ShopAmount(i64::try_from(div_half_even(numerator, denominator)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shop of the example: 100 new customers a month, each worth 10.00 in a month of activity.
    fn example(percent: u64, points: u32) -> Projection {
        let basis = ProjectionBasis {
            new_customers: Ratio { numerator: 300, denominator: 3 },
            value: Ratio { numerator: 5_000, denominator: 5 },
            earlier_customers: 0,
        };
        let curve = [CurvePoint { active: 7, size: 7 }, CurvePoint { active: percent, size: 100 }];
        Projection::new(&basis, &curve, points)
    }

    #[test]
    fn five_points_more_are_worth_a_fifth_of_the_year() {
        let (at_5, at_10) = (example(5, 5), example(10, 1));
        assert_eq!((at_5.base[11], at_5.year().0), (ShopAmount(155_000), ShopAmount(1_530_000)));
        assert_eq!((at_10.base[11], at_10.year().0), (ShopAmount(210_000), ShopAmount(1_860_000)));
        assert_eq!((at_5.extra[11], at_5.year().1), (ShopAmount(55_000), ShopAmount(330_000)));
        assert_eq!((at_5.raised(11), at_5.extra[0]), (at_10.base[11], ShopAmount::ZERO));
    }

    #[test]
    fn earlier_customers_come_back_too() {
        // Online Retail at 2011-06-01: 110,538.91 in month 12 with the mean net of an active month before rounding.
        let basis = ProjectionBasis {
            new_customers: Ratio { numerator: 398, denominator: 3 },
            value: Ratio { numerator: 60_021, denominator: 1 },
            earlier_customers: 2_224,
        };
        let projection = Projection::new(&basis, &[], 5);
        let difference = projection.extra[11].minor() - 11_053_891;
        assert!(difference.abs() < 150, "{difference}");
    }
}
