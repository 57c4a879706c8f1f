//! The facts of one customer: a function of ledger, summary, clock and settings.

use super::history::{Entry, History, LedgerOrders};
use super::ledger::{Attribution, UnattributedRefund};
use super::purchases::{KeptOrder, PurchaseStats};
use super::{Customer, Summary};
use crate::domain::lapse::Deadlines;
use crate::domain::settings::{Settings, Shop};
use crate::domain::signals::signal::{ActiveKind, CustomerType, Profile, State};
use crate::domain::store::packed::ValuedOrders;
use crate::domain::values::event::SkuVariety;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::{Time, Zone};
use crate::domain::values::window::{OrderTotals, TotalsByWindow, WINDOWS, YEAR, end_of, first_window};

/// The facts of one customer at one clock, but for the windows within the year.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'s> {
    totals: &'s CustomerTotals,
    pub deadlines: Option<Deadlines>,
}

/// What lies in the windows of one customer at one instant, and so what the customer adds to the sums over customers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomerTotals {
    pub blocks: TotalsByWindow,
    /// By window, as in `blocks`: the time of the oldest entry in it. The latest time if it is empty, and for all time.
    oldest: [Time; 4],
    /// The same at any instant.
    pub kept: PurchaseStats,
}

/// An order that came to orders of which nothing was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Added {
    /// What it adds to the figures of its time.
    pub block: OrderTotals,
    /// The smallest window that it lies in.
    pub first_window: usize,
}

impl<'s> Facts<'s> {
    /// The facts at the instant of `totals`, or at any later one for which its year lasts.
    pub fn new(totals: &'s CustomerTotals, settings: &Settings) -> Self {
        let history = totals.kept.history();
        let deadlines = history.and_then(|history| settings.lapse.deadlines(&history));
        Self { totals, deadlines }
    }

    pub fn all_time(&self) -> &'s OrderTotals {
        &self.totals.blocks[0]
    }

    /// Of the last 365 days, which the return rate looks at.
    pub fn year(&self) -> &'s OrderTotals {
        &self.totals.blocks[YEAR]
    }

    /// When something next leaves the year.
    pub fn year_end(&self) -> Option<Time> {
        self.totals.year_end()
    }

    pub fn kept(&self) -> &'s PurchaseStats {
        &self.totals.kept
    }

    pub fn state(&self, clock: Time) -> State {
        match self.deadlines {
            None if self.kept().count == 0 => State::Prospect,
            None => State::Active,
            Some(deadlines) if clock >= deadlines.lapsed => State::Lapsed,
            Some(deadlines) if clock >= deadlines.at_risk => State::AtRisk,
            Some(_) => State::Active,
        }
    }

    /// The state that silence leads to from `state`, and when.
    pub fn next(&self, state: State) -> Option<(State, Time)> {
        let deadlines = self.deadlines?;
        match state {
            State::Active => Some((State::AtRisk, deadlines.at_risk)),
            State::AtRisk => Some((State::Lapsed, deadlines.lapsed)),
            State::Prospect | State::Lapsed => None,
        }
    }

    fn customer_type(&self, skus: SkuVariety) -> Option<CustomerType> {
        let varied = match skus {
            SkuVariety::Unknown | SkuVariety::Varied => true,
            SkuVariety::One(_) => false,
        };
        match self.kept().count {
            0 => None,
            1 => Some(CustomerType::OneTime),
            2.. if self.kept().days.is_regular() => Some(CustomerType::Recurring),
            3.. if varied => Some(CustomerType::Repeat),
            2.. => Some(CustomerType::Returning),
        }
    }

    /// The facts as a profile. `as_of` is the instant of the standing.
    pub fn profile(&self, shop: ShopIndex, skus: SkuVariety, as_of: Time, settings: &Settings) -> Profile {
        let state = self.state(as_of);
        let kept = self.kept();
        let is_customer = kept.count > 0;
        let active_kind = if kept.count == 1 { ActiveKind::New } else { ActiveKind::Established };
        let since = self.deadlines.map(|deadlines| match state {
            State::Prospect | State::Active => kept.last_at,
            State::AtRisk => deadlines.at_risk,
            State::Lapsed => deadlines.lapsed,
        });
        Profile {
            shop,
            as_of,
            state,
            kind: (state == State::Active).then_some(active_kind),
            since,
            customer_type: self.customer_type(skus),
            next: self.next(state),
            first_order_at: is_customer.then_some(kept.first_at),
            last_order_at: is_customer.then_some(kept.last_at),
            purchase_days: kept.days.count,
            mean_gap: kept.days.mean_gap(),
            expected_gap: kept.history().and_then(|history| settings.lapse.expected_gap(&history)),
            blocks: self.totals.blocks,
        }
    }
}

impl CustomerTotals {
    /// What lies in the windows at `at`, which may lie before the last record: all that came later is in every window. `history` are
    /// the orders of the ledger.
    pub fn new(
        summary: &Summary,
        history: impl History,
        unattributed: &[UnattributedRefund],
        at: Time,
        zone: &Zone,
    ) -> Self {
        let begins = WINDOWS.map(|(_, length)| at.as_millis() - length.as_millis());
        // By window: what lies in it and in no smaller one; then what lies in none.
        let mut parts = [OrderTotals::default(); YEAR + 1];
        let mut oldest = [Time::MAX; YEAR + 1];
        let mut kept = summary.kept.extend(zone);
        for order in history.entries() {
            let placed_at = order.placed_at();
            // Counted, as whether it has left a window cannot be foretold.
            let part = begins.map(|begin| usize::from(placed_at.as_millis() <= begin)).iter().sum::<usize>();
            let figures = order.figures();
            parts[part].add(&figures.block());
            if figures.placed {
                oldest[part] = oldest[part].min(placed_at);
            }
            if figures.kept {
                kept.push(KeptOrder { placed_at, id: order.id(), net: figures.net() });
            }
        }
        let mut totals = Self { blocks: [summary.block; 4], oldest: [Time::MAX; 4], kept: summary.kept };
        totals.kept.take(&kept);
        let (mut sum, mut oldest_yet) = (parts[0], Time::MAX);
        for window in 1..=YEAR {
            oldest_yet = oldest_yet.min(oldest[window - 1]);
            totals.oldest[window] = oldest_yet;
            totals.blocks[window] = sum;
            sum.add(&parts[window]);
        }
        totals.blocks[0].add(&sum);
        for unattributed in unattributed {
            totals.add_unattributed(unattributed, at);
        }
        totals
    }

    fn add_unattributed(&mut self, unattributed: &UnattributedRefund, at: Time) {
        let (block, first) = (unattributed_totals(unattributed), first_window(unattributed.at, at));
        self.blocks[0].add(&block);
        self.blocks[first..].iter_mut().for_each(|window| window.add(&block));
        self.oldest[first..].iter_mut().for_each(|oldest| *oldest = unattributed.at.min(*oldest));
    }

    /// Adds the next order. What the standing was derived from must end before it.
    pub fn push(&mut self, order: impl Entry, at: Time, zone: &Zone) {
        let (placed_at, figures) = (order.placed_at(), order.figures());
        let (block, first) = (figures.block(), first_window(placed_at, at));
        self.blocks[0].add(&block);
        self.blocks[first..].iter_mut().for_each(|window| window.add(&block));
        if figures.placed {
            self.oldest[first..].iter_mut().for_each(|oldest| *oldest = placed_at.min(*oldest));
        }
        if figures.kept {
            let mut kept = self.kept.extend(zone);
            kept.push(KeptOrder { placed_at, id: order.id(), net: figures.net() });
            self.kept.take(&kept);
        }
    }

    /// Goes on to a later instant. `orders` must be those that the standing was derived from, beside which there is nothing
    /// in the windows.
    pub fn bring_on(&mut self, orders: ValuedOrders<'_>, from: Time, to: Time) {
        for window in 1..=YEAR {
            if end_of(self.oldest[window], window) > to {
                continue;
            }
            let outside = orders.left(window, to);
            let left = orders.entries().take(outside).skip(orders.left(window, from));
            left.for_each(|order| self.blocks[window].remove(&order.figures().block()));
            self.oldest[window] = oldest_placed(orders.skip(outside));
        }
    }

    /// Forgets that the oldest orders, which have folded, were in windows; `rest` are left.
    pub fn fold(&mut self, folded: ValuedOrders<'_>, rest: ValuedOrders<'_>, at: Time) {
        for order in folded.entries() {
            let (block, first) = (order.figures().block(), first_window(order.placed_at(), at));
            self.blocks[first..].iter_mut().for_each(|window| window.remove(&block));
        }
        for window in 1..=YEAR {
            self.oldest[window] = oldest_placed(rest.skip(rest.left(window, at)));
        }
    }

    /// When time alone changes it next: something leaves a window.
    pub fn next_end(&self) -> Option<Time> {
        let in_windows = (1..=YEAR).filter(|window| self.oldest[*window] < Time::MAX);
        in_windows.map(|window| end_of(self.oldest[window], window)).min()
    }

    /// Whether what lies in the year is the same at `clock`, which must not be earlier.
    pub fn year_lasts_until(&self, clock: Time) -> bool {
        self.year_end().is_none_or(|end| end > clock)
    }

    /// When something next leaves the year.
    fn year_end(&self) -> Option<Time> {
        Some(self.oldest[YEAR]).filter(|time| *time < Time::MAX).map(|time| end_of(time, YEAR))
    }

    /// The blocks as they were before an order was added: cheaper than to derive them.
    pub fn blocks_without(&self, added: &Added) -> TotalsByWindow {
        let mut blocks = self.blocks;
        blocks[0].remove(&added.block);
        blocks[added.first_window..].iter_mut().for_each(|window| window.remove(&added.block));
        blocks
    }
}

impl Customer {
    /// See [`CustomerTotals::new`]. `attribution` must be that of this ledger.
    pub fn totals(&self, at: Time, attribution: &Attribution, shop: &Shop) -> CustomerTotals {
        let orders = LedgerOrders::new(&self.ledger, attribution);
        CustomerTotals::new(&self.summary, orders, &attribution.unattributed, at, &shop.zone)
    }
}

impl Added {
    /// What this order adds to sums at `at`.
    pub fn new(order: impl Entry, at: Time) -> Self {
        Self { block: order.figures().block(), first_window: first_window(order.placed_at(), at) }
    }
}

/// When the oldest order is from that is no test; the latest time if there is none.
fn oldest_placed(orders: ValuedOrders<'_>) -> Time {
    orders.entries().find(|order| order.figures().placed).map_or(Time::MAX, Entry::placed_at)
}

/// What a refund without an order adds to the figures of its time.
pub fn unattributed_totals(unattributed: &UnattributedRefund) -> OrderTotals {
    OrderTotals { refunded: unattributed.amount, unattributed: unattributed.amount, ..OrderTotals::default() }
}
