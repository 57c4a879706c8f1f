//! The orders of one customer, each with what became of it, wherever they lie.

use super::ledger::{Attribution, Ledger, Order, OrderResult};
use crate::domain::values::ids::OrderHash;
use crate::domain::values::time::Time;

/// The orders of a ledger, in the order of (time, id).
pub trait History: Copy {
    type Order: HistoryOrder;

    fn orders(self) -> impl ExactSizeIterator<Item = Self::Order> + DoubleEndedIterator;

    /// The oldest `count`.
    fn first(self, count: usize) -> Self;
}

/// An order and what became of it.
pub trait HistoryOrder: Copy {
    fn placed_at(self) -> Time;

    fn id(self) -> OrderHash;

    fn result(self) -> OrderResult;
}

/// The orders of a ledger that was unpacked.
#[derive(Clone, Copy)]
pub struct LedgerOrders<'a> {
    orders: &'a [Order],
    results: &'a [OrderResult],
}

impl<'a> LedgerOrders<'a> {
    /// `attribution` must be that of the ledger.
    pub fn new(ledger: &'a Ledger, attribution: &'a Attribution) -> Self {
        Self { orders: &ledger.orders, results: &attribution.orders }
    }
}

impl<'a> History for LedgerOrders<'a> {
    type Order = (&'a Order, &'a OrderResult);

    fn orders(self) -> impl ExactSizeIterator<Item = Self::Order> + DoubleEndedIterator {
        self.orders.iter().zip(self.results)
    }

    fn first(self, count: usize) -> Self {
        Self { orders: &self.orders[..count], results: &self.results[..count] }
    }
}

impl HistoryOrder for (&Order, &OrderResult) {
    fn placed_at(self) -> Time {
        self.0.placed_at
    }

    fn id(self) -> OrderHash {
        self.0.id
    }

    fn result(self) -> OrderResult {
        *self.1
    }
}
