//! Orders with what became of them, wherever they lie.

use super::ledger::{Attribution, Ledger, Order, OrderResult};
use crate::domain::values::ids::OrderHash;
use crate::domain::values::time::Time;

/// The orders of a ledger, in the order of (time, id).
pub trait History: Copy {
    type Entry: Entry;

    fn entries(self) -> impl ExactSizeIterator<Item = Self::Entry> + DoubleEndedIterator;

    /// The oldest `count`.
    fn first(self, count: usize) -> Self;
}

/// An order and what became of it.
pub trait Entry: Copy {
    fn placed_at(self) -> Time;

    fn id(self) -> OrderHash;

    fn figures(self) -> OrderResult;
}

/// The orders of a ledger that was unpacked.
#[derive(Clone, Copy)]
pub struct LedgerOrders<'a> {
    orders: &'a [Order],
    figures: &'a [OrderResult],
}

impl<'a> LedgerOrders<'a> {
    /// `attribution` must be that of the ledger.
    pub fn new(ledger: &'a Ledger, attribution: &'a Attribution) -> Self {
        Self { orders: &ledger.orders, figures: &attribution.orders }
    }
}

impl<'a> History for LedgerOrders<'a> {
    type Entry = (&'a Order, &'a OrderResult);

    fn entries(self) -> impl ExactSizeIterator<Item = Self::Entry> + DoubleEndedIterator {
        self.orders.iter().zip(self.figures)
    }

    fn first(self, count: usize) -> Self {
        Self { orders: &self.orders[..count], figures: &self.figures[..count] }
    }
}

impl Entry for (&Order, &OrderResult) {
    fn placed_at(self) -> Time {
        self.0.placed_at
    }

    fn id(self) -> OrderHash {
        self.0.id
    }

    fn figures(self) -> OrderResult {
        *self.1
    }
}
