//! The facts of one customer: a function of ledger, summary, clock and settings.

use super::Customer;
use super::history::{History, HistoryOrder, LedgerOrders};
use super::ledger::{Attribution, UnattributedRefund};
use super::purchases::{KeptOrder, PurchaseStats};
use super::summary::Summary;
use crate::domain::lapse::Deadlines;
use crate::domain::rules::tiers::{EmittedTier, Tiers};
use crate::domain::segments::customer::SegmentBasis;
use crate::domain::settings::{Settings, Shop};
use crate::domain::signals::signal::{
    ActiveKind, CustomerType, Lifecycle, Profile, ProfileSegment, ProfileTier, State,
};
use crate::domain::store::packed::ValuedOrders;
use crate::domain::values::event::SkuVariety;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::time::{Time, Zone};
use crate::domain::values::window::{OrderTotals, TotalsByWindow, WINDOWS, YEAR, end_of, first_window};

/// The facts of one customer at one clock, without the windows within the year.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'s> {
    totals: &'s CustomerTotals,
    pub deadlines: Option<Deadlines>,
    /// None without segments, without a kept order, and before the first cut points.
    pub segment: Option<SegmentBasis<'s>>,
    /// None without tiers.
    tiers: Option<(&'s Tiers, Currency)>,
}

/// What the orders and refunds of one customer add up to at one instant: the customer's part in the totals of its shop.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CustomerTotals {
    pub by_window: TotalsByWindow,
    /// The time of the oldest entry in each of [`WINDOWS`].
    oldest: [Option<Time>; YEAR],
    /// The same at any instant.
    pub kept: PurchaseStats,
}

/// An order without refunds that was added to a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddedOrder {
    pub totals: OrderTotals,
    /// The smallest window that it lies in, as in [`TotalsByWindow`].
    pub first_window: usize,
}

impl<'s> Facts<'s> {
    /// The facts at the instant of `totals`, or at any later one for which its year lasts.
    pub fn new(totals: &'s CustomerTotals, shop: ShopIndex, settings: &'s Settings) -> Self {
        let history = totals.kept.history();
        let deadlines = history.and_then(|history| settings.lapse.deadlines(shop, &history));
        let cuts = settings.segments.as_ref().zip(history);
        let cuts = cuts.and_then(|(cuts, history)| cuts.at(shop, history.last_order_at));
        let segment = cuts.map(|cuts| SegmentBasis::new(cuts, &totals.kept));
        let tiers = settings.tiers.as_deref().map(|tiers| (tiers, settings.shops.get(shop).currency));
        Self { totals, deadlines, segment, tiers }
    }

    pub fn all_time(&self) -> &'s OrderTotals {
        &self.totals.by_window[0]
    }

    /// Of the last 365 days, which the return rate looks at.
    pub fn year(&self) -> &'s OrderTotals {
        &self.totals.by_window[YEAR]
    }

    /// When something next leaves the year.
    pub fn year_end(&self) -> Option<Time> {
        self.totals.year_end()
    }

    /// The tier after the one that was emitted last.
    pub fn tier(&self, emitted: EmittedTier) -> EmittedTier {
        match self.tiers {
            Some((tiers, currency)) if self.kept().count > 0 => {
                let index = tiers.of(emitted.index(), self.year().net(), currency);
                index.map_or(EmittedTier::Below, EmittedTier::Reached)
            }
            Some(_) | None => EmittedTier::Unknown,
        }
    }

    /// When what leaves the year may next change the tier. What an order leaves behind is less, so without a tier only the end of a refund
    /// that stands without an order can.
    pub fn tier_end(&self, emitted: EmittedTier) -> Option<Time> {
        let may_move = self.tiers.is_some()
            && self.kept().count > 0
            && (emitted.index().is_some() || self.year().unattributed > ShopAmount::ZERO);
        self.year_end().filter(|_| may_move)
    }

    pub fn kept(&self) -> &'s PurchaseStats {
        &self.totals.kept
    }

    pub fn state(&self, clock: Time) -> State {
        self.lifecycle(clock).state()
    }

    /// Where the customer stands at `clock`.
    pub fn lifecycle(&self, clock: Time) -> Lifecycle {
        let kept = self.kept();
        let active = |at_risk_at: Option<Time>| {
            let kind = if kept.count == 1 { ActiveKind::New } else { ActiveKind::Established };
            Lifecycle::Active { kind, since: kept.last_at, at_risk_at }
        };
        match self.deadlines {
            None if kept.count == 0 => Lifecycle::Prospect,
            None => active(None),
            Some(Deadlines { lapsed, .. }) if clock >= lapsed => Lifecycle::Lapsed { since: lapsed },
            Some(Deadlines { at_risk, lapsed }) if clock >= at_risk => {
                Lifecycle::AtRisk { since: at_risk, lapsed_at: lapsed }
            }
            Some(Deadlines { at_risk, .. }) => active(Some(at_risk)),
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

    /// The facts as a profile. `as_of` is the instant of the totals, `customer` needs no ledger.
    pub fn profile(&self, shop: ShopIndex, customer: &Customer, as_of: Time, settings: &Settings) -> Profile {
        let kept = self.kept();
        let is_customer = kept.count > 0;
        Profile {
            shop,
            as_of,
            lifecycle: self.lifecycle(as_of),
            customer_type: self.customer_type(customer.skus),
            first_order_at: is_customer.then_some(kept.first_at),
            last_order_at: is_customer.then_some(kept.last_at),
            purchase_days: kept.days.count,
            mean_gap: kept.days.mean_gap(),
            expected_gap: kept.history().and_then(|history| settings.lapse.expected_gap(&history)),
            outlook: kept
                .history()
                .and_then(|history| settings.lapse.outlook(shop, &history, kept.order_values(), as_of)),
            segment: match (&settings.segments, self.segment) {
                (None, _) => ProfileSegment::LeftOut,
                (Some(_), None) => ProfileSegment::Unknown,
                (Some(_), Some(basis)) => ProfileSegment::Known(basis.at(as_of)),
            },
            points: settings.points.map(|points| points.of(kept, settings.shops.get(shop).currency)),
            tier: self.tiers.map_or(ProfileTier::LeftOut, |(tiers, _)| {
                let index = self.tier(customer.emitted.tier).index();
                ProfileTier::Known(index.and_then(|index| tiers.name(index)).cloned())
            }),
            truncated: customer.summary.is_truncated(as_of),
            blocks: self.totals.by_window,
        }
    }
}

impl CustomerTotals {
    /// Adds everything up. `at` may lie before the last record: what is later than `at` is in every window. `history` holds the
    /// orders of the ledger.
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
        let mut oldest = [None; YEAR + 1];
        let mut kept = summary.kept.extend(zone);
        for order in history.orders() {
            let placed_at = order.placed_at();
            // Counted without a branch: no processor predicts whether an order has left a window.
            let part = begins.map(|begin| usize::from(placed_at.as_millis() <= begin)).iter().sum::<usize>();
            let result = order.result();
            parts[part].add(&result.totals());
            if result.placed {
                oldest[part] = oldest[part].or(Some(placed_at)); // Orders come in the order of time.
            }
            if result.kept {
                kept.push(KeptOrder { placed_at, id: order.id(), net: result.net() });
            }
        }
        let mut totals = Self { by_window: [summary.block; 4], oldest: [None; YEAR], kept: summary.kept };
        totals.kept.take(&kept);
        let mut sum = parts[0];
        for window in 1..=YEAR {
            // A larger window begins earlier.
            let smaller = if window == 1 { None } else { totals.oldest[window - 2] };
            totals.oldest[window - 1] = oldest[window - 1].or(smaller);
            totals.by_window[window] = sum;
            sum.add(&parts[window]);
        }
        totals.by_window[0].add(&sum);
        for unattributed in unattributed {
            totals.add_unattributed(unattributed, at);
        }
        totals
    }

    fn add_unattributed(&mut self, unattributed: &UnattributedRefund, at: Time) {
        let (refund, first) = (unattributed_totals(unattributed), first_window(unattributed.at, at));
        self.by_window[0].add(&refund);
        self.by_window[first..].iter_mut().for_each(|window| window.add(&refund));
        self.note_in_windows(first, unattributed.at);
    }

    /// Notes something of time `time` in the windows from `first` on.
    fn note_in_windows(&mut self, first: usize, time: Time) {
        for oldest in &mut self.oldest[first - 1..] {
            *oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
        }
    }

    /// Adds the next order, which must come after all others.
    pub fn push(&mut self, order: impl HistoryOrder, at: Time, zone: &Zone) {
        let (placed_at, result) = (order.placed_at(), order.result());
        let (added, first) = (result.totals(), first_window(placed_at, at));
        self.by_window[0].add(&added);
        self.by_window[first..].iter_mut().for_each(|window| window.add(&added));
        if result.placed {
            self.note_in_windows(first, placed_at);
        }
        if result.kept {
            let mut kept = self.kept.extend(zone);
            kept.push(KeptOrder { placed_at, id: order.id(), net: result.net() });
            self.kept.take(&kept);
        }
    }

    /// Moves the totals to a later instant. `orders` must be those that were added up, and nothing else may lie in the windows.
    pub fn move_on(&mut self, orders: ValuedOrders<'_>, from: Time, to: Time) {
        for window in 1..=YEAR {
            if self.oldest[window - 1].is_none_or(|oldest| end_of(oldest, window) > to) {
                continue;
            }
            let outside = orders.left(window, to);
            let left = orders.orders().take(outside).skip(orders.left(window, from));
            left.for_each(|order| self.by_window[window].remove(&order.result().totals()));
            self.oldest[window - 1] = oldest_placed(orders.skip(outside));
        }
    }

    /// Takes the oldest orders, which have folded, out of the windows; `rest` holds those that stay in the ledger.
    pub fn fold(&mut self, folded: ValuedOrders<'_>, rest: ValuedOrders<'_>, at: Time) {
        for order in folded.orders() {
            let (totals, first) = (order.result().totals(), first_window(order.placed_at(), at));
            self.by_window[first..].iter_mut().for_each(|window| window.remove(&totals));
        }
        for window in 1..=YEAR {
            self.oldest[window - 1] = oldest_placed(rest.skip(rest.left(window, at)));
        }
    }

    /// When something next leaves a window: until then time alone changes nothing.
    pub fn next_end(&self) -> Option<Time> {
        (1..=YEAR).filter_map(|window| self.window_end(window)).min()
    }

    /// Whether the year still holds the same at `clock`, which must not be earlier.
    pub fn year_lasts_until(&self, clock: Time) -> bool {
        self.year_end().is_none_or(|end| end > clock)
    }

    /// When something next leaves the year.
    fn year_end(&self) -> Option<Time> {
        self.window_end(YEAR)
    }

    /// When something next leaves a window, counted as in [`TotalsByWindow`].
    pub fn window_end(&self, window: usize) -> Option<Time> {
        self.oldest[window - 1].map(|oldest| end_of(oldest, window))
    }

    /// The windows as they were before an order was added: cheaper than to derive them.
    pub fn without(&self, added: &AddedOrder) -> TotalsByWindow {
        let mut by_window = self.by_window;
        by_window[0].remove(&added.totals);
        by_window[added.first_window..].iter_mut().for_each(|window| window.remove(&added.totals));
        by_window
    }
}

impl Customer {
    /// See [`CustomerTotals::new`]. `attribution` must be that of this ledger.
    pub fn totals(&self, at: Time, attribution: &Attribution, shop: &Shop) -> CustomerTotals {
        let orders = LedgerOrders::new(&self.ledger, attribution);
        CustomerTotals::new(&self.summary, orders, &attribution.unattributed, at, &shop.zone)
    }
}

impl AddedOrder {
    /// What this order adds to totals at `at`.
    pub fn new(order: impl HistoryOrder, at: Time) -> Self {
        Self { totals: order.result().totals(), first_window: first_window(order.placed_at(), at) }
    }
}

/// The time of the oldest order that is no test.
fn oldest_placed(orders: ValuedOrders<'_>) -> Option<Time> {
    orders.orders().find(|order| order.result().placed).map(HistoryOrder::placed_at)
}

/// What a refund without an order adds to the totals of its time.
pub fn unattributed_totals(unattributed: &UnattributedRefund) -> OrderTotals {
    OrderTotals { refunded: unattributed.amount, unattributed: unattributed.amount, ..OrderTotals::default() }
}
