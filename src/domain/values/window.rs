//! Totals of one customer over all time and over the trailing windows.

use super::money::ShopAmount;
use super::time::{Span, Time};

/// The trailing windows: name in records and labels, and length.
pub const WINDOWS: [(&str, Span); 3] =
    [("30d", Span::days(30)), ("90d", Span::days(90)), ("365d", Span::days(365))];

/// Index of the 365-day window in [`TotalsByWindow`].
pub const YEAR: usize = 3;

/// All time, then each of [`WINDOWS`].
pub type TotalsByWindow = [OrderTotals; 4];

/// Sums over the orders and unattributed refunds of one span of time. Money is in the shop's minor units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OrderTotals {
    /// Orders, test orders aside.
    pub placed: u32,
    /// Orders that were not cancelled and are worth more than was refunded.
    pub kept: u32,
    /// Placed orders with at least one return attributed to them.
    pub returned_orders: u32,
    /// Sum of totals of placed orders.
    pub gross: ShopAmount,
    /// Refunds up to each order's total, and those that stand without an order.
    pub refunded: ShopAmount,
    /// What cancellations took back beyond refunds.
    pub cancelled: ShopAmount,
    /// The part of `refunded` that stands without an order.
    pub unattributed: ShopAmount,
    /// What was refunded beyond orders' totals; in no other field.
    pub excess: ShopAmount,
}

impl OrderTotals {
    /// gross − refunded − cancelled.
    pub const fn net(&self) -> ShopAmount {
        self.gross.minus(self.refunded).minus(self.cancelled)
    }

    /// Subtracts a part of these totals.
    pub fn remove(&mut self, part: &Self) {
        self.placed -= part.placed;
        self.kept -= part.kept;
        self.returned_orders -= part.returned_orders;
        self.gross -= part.gross;
        self.refunded -= part.refunded;
        self.cancelled -= part.cancelled;
        self.unattributed -= part.unattributed;
        self.excess -= part.excess;
    }

    /// Adds other totals.
    pub fn add(&mut self, other: &Self) {
        self.placed += other.placed;
        self.kept += other.kept;
        self.returned_orders += other.returned_orders;
        self.gross += other.gross;
        self.refunded += other.refunded;
        self.cancelled += other.cancelled;
        self.unattributed += other.unattributed;
        self.excess += other.excess;
    }
}

/// The index in [`TotalsByWindow`] of the smallest window that an order of time `time` lies in at `clock`. The windows are nested, so it
/// lies in all from there on, and always in index 0, all time.
pub fn first_window(time: Time, clock: Time) -> usize {
    let age = clock.since(time);
    1 + WINDOWS.iter().map(|(_, length)| usize::from(age >= *length)).sum::<usize>()
}

/// When an order of time `time` leaves the window of an index in [`TotalsByWindow`].
pub fn end_of(time: Time, window: usize) -> Time {
    time.plus(WINDOWS[window - 1].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_d_days_ends_exactly_d_times_24_hours_later() {
        let time = Time::from_millis(1_000).expect("in range");
        let after =
            |days: i64, millis: i64| time.plus(Span::from_millis(Span::days(days).as_millis() + millis));
        for (window, days) in [(1, 30), (2, 90), (3, 365)] {
            let end = after(days, 0);
            assert_eq!(end_of(time, window), end);
            assert_eq!([after(days, -1), end].map(|clock| first_window(time, clock)), [window, window + 1]);
        }
        assert_eq!(first_window(time, time), 1);
    }

    #[test]
    fn what_is_added_and_removed_again_leaves_nothing() {
        let amounts = [100, 30, 20, 10, 5].map(ShopAmount);
        let [gross, refunded, cancelled, unattributed, excess] = amounts;
        let part = OrderTotals {
            placed: 3,
            kept: 2,
            returned_orders: 1,
            gross,
            refunded,
            cancelled,
            unattributed,
            excess,
        };
        assert_eq!(part.net(), ShopAmount(50));
        let mut sum = part;
        sum.add(&part);
        assert_eq!((sum.placed, sum.kept, sum.returned_orders), (6, 4, 2));
        let doubled = [sum.gross, sum.refunded, sum.cancelled, sum.unattributed, sum.excess];
        assert_eq!(doubled, [200, 60, 40, 20, 10].map(ShopAmount));
        sum.remove(&part);
        assert_eq!(sum, part);
        sum.remove(&part);
        assert_eq!(sum, OrderTotals::default());
    }
}
