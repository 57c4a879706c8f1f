//! The totals of a shop in one partition: sums over its customers.

use crate::domain::customer::facts::AddedOrder;
use crate::domain::signals::signal::State;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::window::{OrderTotals, TotalsByWindow};

/// A shop's customers by state and the sums over them; all time first, then the windows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ShopTotals {
    /// Customers by state, in the order of [`State::ALL`].
    pub customers: [u64; 4],
    pub windows: [WindowTotals; 4],
}

/// Numerators and denominators of the base metrics. Money is in the shop's minor units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WindowTotals {
    /// Customers with a placed order in the window.
    pub customers_placed: u64,
    /// Customers with a kept order in the window.
    pub customers_kept: u64,
    /// Customers with more than one placed order in the window.
    pub repeat_placed: u64,
    /// Customers with more than one kept order in the window.
    pub repeat_kept: u64,
    pub placed: u64,
    pub kept: u64,
    pub returned_orders: u64,
    pub gross: ShopAmount,
    pub refunded: ShopAmount,
    pub cancelled: ShopAmount,
    pub unattributed: ShopAmount,
    pub excess: ShopAmount,
}

impl ShopTotals {
    pub fn customers_of(&self, state: State) -> u64 {
        self.customers[state as usize]
    }

    pub fn total(&self) -> u64 {
        self.customers.iter().sum()
    }

    /// A customer counts from now on.
    pub fn add(&mut self, state: State, totals: &TotalsByWindow) {
        self.customers[state as usize] += 1;
        for (window, totals) in self.windows.iter_mut().zip(totals) {
            window.add(totals);
        }
    }

    /// A customer counts no longer.
    pub fn remove(&mut self, state: State, totals: &TotalsByWindow) {
        self.customers[state as usize] -= 1;
        for (window, totals) in self.windows.iter_mut().zip(totals) {
            window.remove(totals);
        }
    }

    /// A customer's state changed.
    pub fn change_state(&mut self, before: State, after: State) {
        self.customers[before as usize] -= 1;
        self.customers[after as usize] += 1;
    }

    /// A customer's totals changed.
    pub fn change_windows(&mut self, before: &TotalsByWindow, after: &TotalsByWindow) {
        let totals = before.iter().zip(after);
        for (window, (before, after)) in self.windows.iter_mut().zip(totals) {
            if before != after {
                window.remove(before);
                window.add(after);
            }
        }
    }

    /// A customer's totals became `after` by one order more.
    pub fn add_order(&mut self, added: &AddedOrder, after: &TotalsByWindow) {
        self.windows[0].grow(&added.totals, &after[0]);
        let windows = self.windows.iter_mut().zip(after).skip(added.first_window);
        windows.for_each(|(window, after)| window.grow(&added.totals, after));
    }

    /// Adds another partition's totals of the same shop, or of a shop with the same currency.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.customers.iter_mut().zip(other.customers) {
            *mine += theirs;
        }
        for (mine, theirs) in self.windows.iter_mut().zip(&other.windows) {
            mine.merge(theirs);
        }
    }
}

impl WindowTotals {
    /// gross − refunded − cancelled.
    pub const fn net(&self) -> ShopAmount {
        self.gross.minus(self.refunded).minus(self.cancelled)
    }

    fn add(&mut self, totals: &OrderTotals) {
        self.customers_placed += u64::from(totals.placed > 0);
        self.customers_kept += u64::from(totals.kept > 0);
        self.repeat_placed += u64::from(totals.placed > 1);
        self.repeat_kept += u64::from(totals.kept > 1);
        self.placed += u64::from(totals.placed);
        self.kept += u64::from(totals.kept);
        self.returned_orders += u64::from(totals.returned_orders);
        self.gross += totals.gross;
        self.refunded += totals.refunded;
        self.cancelled += totals.cancelled;
        self.unattributed += totals.unattributed;
        self.excess += totals.excess;
    }

    /// A customer's totals became `after` when `part` was added.
    fn grow(&mut self, part: &OrderTotals, after: &OrderTotals) {
        let reached = |after: u32, part: u32, count: u32| u64::from(after >= count && after - part < count);
        self.customers_placed += reached(after.placed, part.placed, 1);
        self.customers_kept += reached(after.kept, part.kept, 1);
        self.repeat_placed += reached(after.placed, part.placed, 2);
        self.repeat_kept += reached(after.kept, part.kept, 2);
        self.placed += u64::from(part.placed);
        self.kept += u64::from(part.kept);
        self.gross += part.gross;
        self.returned_orders += u64::from(part.returned_orders);
        self.refunded += part.refunded;
        self.cancelled += part.cancelled;
        self.unattributed += part.unattributed;
        self.excess += part.excess;
    }

    fn remove(&mut self, totals: &OrderTotals) {
        self.customers_placed -= u64::from(totals.placed > 0);
        self.customers_kept -= u64::from(totals.kept > 0);
        self.repeat_placed -= u64::from(totals.placed > 1);
        self.repeat_kept -= u64::from(totals.kept > 1);
        self.placed -= u64::from(totals.placed);
        self.kept -= u64::from(totals.kept);
        self.returned_orders -= u64::from(totals.returned_orders);
        self.gross -= totals.gross;
        self.refunded -= totals.refunded;
        self.cancelled -= totals.cancelled;
        self.unattributed -= totals.unattributed;
        self.excess -= totals.excess;
    }

    fn merge(&mut self, other: &Self) {
        self.customers_placed += other.customers_placed;
        self.customers_kept += other.customers_kept;
        self.repeat_placed += other.repeat_placed;
        self.repeat_kept += other.repeat_kept;
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

/// Orders and returns without a customer, since this engine was made. Money is in the shop's minor units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GuestTotals {
    pub orders: u64,
    pub gross: ShopAmount,
    pub returns: u64,
    pub refunded: ShopAmount,
}

impl GuestTotals {
    pub fn merge(&mut self, other: &Self) {
        self.orders += other.orders;
        self.gross += other.gross;
        self.returns += other.returns;
        self.refunded += other.refunded;
    }
}
