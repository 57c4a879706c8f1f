//! What has left a customer's ledger, as sums.

use super::facts::CustomerTotals;
use super::history::{History, HistoryOrder};
use super::purchases::PurchaseStats;
use crate::domain::values::time::{Time, Zone};
use crate::domain::values::window::{OrderTotals, YEAR, first_window};

/// What has left the ledger and can no longer change.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    pub block: OrderTotals,
    pub kept: PurchaseStats,
    /// Time of the newest folded order. An unknown order at or before it is too old.
    pub newest_order_at: Option<Time>,
    /// Time of the newest folded return. An unknown return at or before it is too old.
    pub newest_return_at: Option<Time>,
}

impl Summary {
    /// Takes in the next orders.
    pub fn add_orders(&mut self, orders: impl History, zone: &Zone) {
        let newest = orders.orders().next_back().map(HistoryOrder::placed_at);
        self.newest_order_at = self.newest_order_at.max(newest);
        let totals = CustomerTotals::new(self, orders, &[], Time::MIN, zone);
        (self.block, self.kept) = (totals.by_window[0], totals.kept);
    }

    /// Whether nothing has folded yet: whatever folds leaves its time.
    pub fn is_empty(&self) -> bool {
        self.newest_order_at.is_none() && self.newest_return_at.is_none()
    }

    /// Whether an order of the last 365 days has folded: no window holds it, which happens only beyond `orders_max`.
    pub fn is_truncated(&self, at: Time) -> bool {
        self.newest_order_at.is_some_and(|newest| first_window(newest, at) <= YEAR)
    }

    /// Whether all sums are far below what their types hold, so that whatever is added to them still fits. No customer comes near
    /// these bounds, but bytes from elsewhere may.
    pub fn leaves_room(&self) -> bool {
        const COUNT_LIMIT: u32 = 1 << 31;
        const AMOUNT_LIMIT: u64 = 1 << 60;
        const SQUARES_LIMIT: u64 = 1 << 62;
        const DAY_LIMIT: u32 = 1 << 22;
        let Self { block, kept, .. } = self;
        let counts = [block.placed, block.kept, block.returned_orders, kept.count, kept.days.count];
        let amounts =
            [block.gross, block.refunded, block.cancelled, block.unattributed, block.excess, kept.net];
        counts.iter().all(|count| *count < COUNT_LIMIT)
            && amounts
                .iter()
                .chain(&kept.last_values)
                .all(|amount| amount.minor().unsigned_abs() < AMOUNT_LIMIT)
            && kept.days.last.iter().chain([&kept.days.first]).all(|day| day.unsigned_abs() < DAY_LIMIT)
            && kept.days.squares < SQUARES_LIMIT
    }
}
