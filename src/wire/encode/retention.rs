//! Who came back, and what that is worth: what shop metrics and summaries have of a daily count.

use super::fields::{Count, Counts, List, Nullable, Objects, Share, SignedMeanMoney, SignedMoney, record};
use crate::domain::daily_count::projection::{MONTHS, Projection};
use crate::domain::daily_count::{DailyCount, KeptOrders, NewAndReturning};
use crate::domain::engine::shop_totals::WindowTotals;
use crate::domain::segments::counts::SegmentCounts;
use crate::domain::segments::names::{Segment, ValueMatrix};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::Ratio;
use crate::domain::values::window::YEAR;

/// How many percentage points of retention more are projected.
pub const PROJECTED_POINTS: [u32; 3] = [1, 5, 10];

/// What is written of the count of one store, or of several with one currency. Windows are in the order of
/// [`WINDOWS`](crate::domain::values::window::WINDOWS).
#[derive(Clone, PartialEq, Debug)]
pub struct Retention {
    pub new: [KeptOrders; YEAR],
    pub returning: [KeptOrders; YEAR],
    pub return_rates: [Option<Ratio>; YEAR],
    pub year: WindowTotals,
    pub curve: Vec<Ratio>,
    /// One for each of [`PROJECTED_POINTS`]; none before a customer was active in a whole month.
    pub projections: Vec<Projection>,
    pub segments: SegmentCounts,
}

impl Retention {
    /// `segments` must be of the customers of the count; shop metrics have none.
    pub fn new(count: &DailyCount, segments: SegmentCounts) -> Self {
        let points = count.curve();
        let project = |basis| PROJECTED_POINTS.map(|more| Projection::new(&basis, &points, more)).to_vec();
        let projections = count.projection_basis().map(project).unwrap_or_default();
        Self {
            new: count.windows.map(|window| window.new),
            returning: count.windows.map(|window| window.returning),
            return_rates: count.windows.map(|window| NewAndReturning::return_rate(&window)),
            year: count.totals.windows[YEAR],
            curve: points.iter().filter_map(|point| Ratio::new(point.active, point.size)).collect(),
            projections,
            segments,
        }
    }
}

record! {
    /// Who came back, and what that is worth, in one currency.
    RetentionRecord(of: &'v Retention) {
        /// Orders that are their customers' first kept ones.
        "new": KeptByWindow = &of.new;
        /// All other kept orders.
        "returning": KeptByWindow = &of.returning;
        /// Customers with a returning order / customers with a kept order.
        "customer_return_rate": ReturnRates = &of.return_rates;
        /// The place of the shop among others by frequency and value.
        "matrix": MatrixPlace = &of.year;
        /// Of customers whose first kept order is 0, 1, 2 … calendar months old, the share with a kept order in that month.
        "retention_curve": RetentionCurve = &of.curve;
        /// What 1, 5 and 10 points of retention more are worth in twelve months.
        "projection": Projections = &of.projections;
        /// Customers by segment. A segment without any may be absent.
        "segments": Counts<Segment> = of.segments.segments.as_slice();
        /// Customers by their place in the value matrix. A place without any may be absent.
        "value_matrix": Counts<ValueMatrix> = of.segments.matrix.as_slice();
    }
}

record! {
    /// Kept orders by trailing window.
    KeptByWindow(of: &'v [KeptOrders; YEAR]) {
        /// The last 30 days of 24 hours.
        "30d": KeptRecord = &of[0];
        /// The last 90 days of 24 hours.
        "90d": KeptRecord = &of[1];
        /// The last 365 days of 24 hours.
        "365d": KeptRecord = &of[2];
    }
}

record! {
    /// Kept orders.
    KeptRecord(of: &'v KeptOrders) {
        /// How many.
        "orders": Count = of.orders;
        /// Their net value.
        "net": SignedMoney = of.net;
    }
}

record! {
    /// The share of returning customers by trailing window; null without a customer with a kept order.
    ReturnRates(of: &'v [Option<Ratio>; YEAR]) {
        /// The last 30 days of 24 hours.
        "30d": Nullable<Share> = of[0];
        /// The last 90 days of 24 hours.
        "90d": Nullable<Share> = of[1];
        /// The last 365 days of 24 hours.
        "365d": Nullable<Share> = of[2];
    }
}

record! {
    /// Frequency and value in the last 365 days.
    MatrixPlace(of: &'v WindowTotals) {
        /// Kept orders / customers with a kept order; null without one.
        "purchase_frequency": Nullable<Share> = Ratio::new(of.kept, of.customers_kept);
        /// Net revenue / kept orders; null without one.
        "average_order_value": Nullable<SignedMeanMoney> = Ratio::new(of.net(), of.kept);
    }
}

/// Shares by age in months.
pub(super) type RetentionCurve = List<Share, Ratio>;

pub(super) type Projections = Objects<ProjectionRecord, Projection>;

record! {
    /// What some points of retention more are worth.
    ProjectionRecord(of: &'v Projection) {
        /// Percentage points by which the share of active customers rises in every month after the first.
        "points": Count = u64::from(of.points);
        /// How many months are projected.
        "months": Count = MONTHS as u64;
        /// Net value of each month with the curve as it is.
        "base": List<SignedMoney, ShopAmount> = &of.base;
        /// The same with the points.
        "raised": List<SignedMoney, ShopAmount> = &std::array::from_fn::<_, MONTHS, _>(|month| of.raised(month));
        /// What the points add.
        "extra": List<SignedMoney, ShopAmount> = &of.extra;
    }
}
