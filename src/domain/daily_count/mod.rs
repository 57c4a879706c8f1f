//! The count of a day: what all customers of a store come to as of one instant.
//!
//! It is filled customer by customer and holds integers only, so counts of partitions add up to the same in any order and however many
//! there are. Ratios are computed when they are written.

pub mod cohorts;
pub mod month;
pub mod outcomes;
pub mod projection;
pub mod sample;
pub mod stage;
pub mod ticks;

use std::collections::BTreeMap;

use super::customer::history::{History, HistoryOrder, LedgerOrders};
use super::customer::ledger::ReturnTarget;
use super::engine::as_of::CustomerAsOf;
use super::engine::shop_totals::ShopTotals;
use super::segments::cuts::{RfmHistograms, RfmValues};
use super::segments::histogram::Histogram;
use super::values::money::ShopAmount;
use super::values::number::Ratio;
use super::values::time::{Days, Span, Time, Zone};
use super::values::window::{OrderTotals, WINDOWS, YEAR, first_window};
use cohorts::{CohortRow, Cohorts, CurvePoint, EARLIER_MONTHS};
use month::Month;
use outcomes::RuleOutcomes;
use projection::ProjectionBasis;
use sample::Sample;

/// What the customers of one store come to. All counts of one day have the same `at`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DailyCount {
    pub at: Time,
    /// The month of `at` in the store's zone.
    pub current: Month,
    /// The first month with rows: [`EARLIER_MONTHS`] before, if all ledgers hold it whole.
    pub rows_from: Month,
    /// Customers by state and the base metrics.
    pub totals: ShopTotals,
    /// In the order of [`WINDOWS`].
    pub windows: [NewAndReturning; YEAR],
    pub cohorts: Cohorts,
    /// The orders placed in each of the months that have cohort rows, and refunds without an order by their own time.
    pub months: BTreeMap<Month, OrderTotals64>,
    /// Customers whose first kept order lies in the last 365 days.
    pub new_customers: u64,
    pub rfm: RfmHistograms,
    /// Days between purchase days that follow each other, the later one in the last 365 days.
    pub gaps: Histogram,
    /// Whole days from an order to a return of it, of the returns of the last 365 days.
    pub return_delays: Histogram,
    /// Empty without rules.
    pub rules: RuleOutcomes,
    pub sample: Sample,
}

/// Kept orders of one window by whether their customer is new: an order is new if it is its customer's first kept one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NewAndReturning {
    pub new: KeptOrders,
    pub returning: KeptOrders,
    /// Customers with a kept order in the window.
    pub customers: u64,
    /// Those of them with a returning order.
    pub customers_returning: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KeptOrders {
    pub orders: u64,
    pub net: ShopAmount,
}

/// [`OrderTotals`] of many customers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OrderTotals64 {
    pub placed: u64,
    pub kept: u64,
    pub returned_orders: u64,
    pub gross: ShopAmount,
    pub refunded: ShopAmount,
    pub cancelled: ShopAmount,
}

/// A customer to be counted, and the zone of its store.
#[derive(Clone, Copy)]
pub struct CountedCustomer<'c> {
    pub customer: &'c CustomerAsOf<'c>,
    pub zone: &'c Zone,
}

impl DailyCount {
    /// No customer yet. Of what happened before `held_from`, ledgers may hold parts only.
    pub fn new(at: Time, held_from: Time, zone: &Zone, sample_size: usize) -> Self {
        let current = Month::of(zone.days().of(at));
        let whole_from = Month::of(zone.days().of(held_from)).plus(1);
        Self {
            at,
            current,
            rows_from: current.plus(-EARLIER_MONTHS).max(whole_from),
            totals: ShopTotals::default(),
            windows: Default::default(),
            cohorts: Cohorts::default(),
            months: BTreeMap::new(),
            new_customers: 0,
            rfm: RfmHistograms::default(),
            gaps: Histogram::default(),
            return_delays: Histogram::default(),
            rules: RuleOutcomes::default(),
            sample: Sample::new(sample_size),
        }
    }

    /// Adds the count of another partition, of the same instant.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.at, other.at, "counts of one day");
        self.totals.merge(&other.totals);
        for (mine, theirs) in self.windows.iter_mut().zip(&other.windows) {
            mine.merge(theirs);
        }
        self.cohorts.merge(&other.cohorts);
        for (month, totals) in &other.months {
            self.months.entry(*month).or_default().merge(totals);
        }
        self.rows_from = self.rows_from.max(other.rows_from);
        self.months.retain(|month, _| *month >= self.rows_from);
        self.cohorts.rows.retain(|(month, _), _| *month >= self.rows_from);
        self.new_customers += other.new_customers;
        self.rfm.merge(&other.rfm);
        self.gaps.merge(&other.gaps);
        self.return_delays.merge(&other.return_delays);
        self.rules.merge(&other.rules);
        self.sample.merge(&other.sample);
    }

    /// Counts a customer as of [`Self::at`].
    pub fn add(&mut self, counted: &CountedCustomer<'_>) {
        let CountedCustomer { customer, zone } = *counted;
        let CustomerAsOf { state, totals, .. } = *customer;
        self.totals.add(state, &totals.by_window);
        let mut dates = zone.days();
        self.add_months(customer, &mut dates);
        self.add_return_delays(customer);
        let kept = &totals.kept;
        if kept.count == 0 {
            return;
        }
        let cohort = Month::of(dates.of(kept.first_at));
        *self.cohorts.sizes.entry(cohort).or_default() += 1;
        self.new_customers += u64::from(first_window(kept.first_at, self.at) <= YEAR);
        self.rfm.add(&rfm_values(customer, self.at).expect("the customer has a kept order"));
        self.add_kept_orders(customer, cohort, &mut dates);
    }

    /// N, v and E of the projection; none without a whole month in which a customer was active.
    pub fn projection_basis(&self) -> Option<ProjectionBasis> {
        let first = self.cohorts.first_month()?;
        let months = self.current.since(first).min(self.whole_months());
        let whole = |count: i32| (1..=count).map(|back| self.current.plus(-back));
        let new_months = months.min(3);
        let new: u64 = whole(new_months).filter_map(|month| self.cohorts.sizes.get(&month)).sum();
        let (mut net, mut active) = (ShopAmount::ZERO, 0);
        for CohortRow { customers, net: of_month, .. } in whole(months).map(|month| self.cohorts.month(month))
        {
            net += of_month;
            active += customers;
        }
        Some(ProjectionBasis {
            new_customers: Ratio::new(new, new_months)?,
            value: Ratio::new(net, active)?,
            earlier_customers: self.new_customers,
        })
    }

    /// The retention curve; see [`Cohorts::curve`].
    pub fn curve(&self) -> Vec<CurvePoint> {
        let first = self.cohorts.first_of_curve(self.current);
        first.map(|first| self.cohorts.curve(first, self.current, self.whole_months())).unwrap_or_default()
    }

    /// How many whole months with rows there may be.
    fn whole_months(&self) -> i32 {
        self.current.since(self.rows_from)
    }

    fn has_rows(&self, month: Month) -> bool {
        month >= self.rows_from
    }

    fn add_months(&mut self, customer: &CustomerAsOf<'_>, dates: &mut Days<'_>) {
        for order in LedgerOrders::new(&customer.customer.ledger, customer.attribution).orders() {
            let month = Month::of(dates.of(order.placed_at()));
            if self.has_rows(month) {
                self.months.entry(month).or_default().add(&order.result().totals());
            }
        }
        for refund in &customer.attribution.unattributed {
            let month = Month::of(dates.of(refund.at));
            if self.has_rows(month) {
                self.months.entry(month).or_default().refunded += refund.amount;
            }
        }
    }

    fn add_return_delays(&mut self, customer: &CustomerAsOf<'_>) {
        let ledger = &customer.customer.ledger;
        for (returned, target) in ledger.returns.iter().zip(&customer.attribution.targets) {
            let is_recent = first_window(returned.returned_at, self.at) <= YEAR;
            match target {
                ReturnTarget::Order(order) if is_recent => {
                    let delay = returned.returned_at.since(ledger.orders[*order].placed_at);
                    // A return that names its order may be dated before it.
                    let days = (delay.as_millis() / Span::DAY.as_millis()).max(0);
                    self.return_delays.add_exact(u32::try_from(days).expect("at most a return window"));
                }
                ReturnTarget::Order(_) | ReturnTarget::Alone | ReturnTarget::Ignored(_) => {}
            }
        }
    }

    fn add_kept_orders(&mut self, customer: &CustomerAsOf<'_>, cohort: Month, dates: &mut Days<'_>) {
        let summary = &customer.customer.summary;
        let mut is_first = summary.kept.count == 0;
        let mut last_day = (!is_first).then(|| summary.kept.days.span() + summary.kept.days.first);
        let mut active_in = None;
        let (mut has_kept, mut has_returning) = ([false; YEAR], [false; YEAR]);
        let orders = LedgerOrders::new(&customer.customer.ledger, customer.attribution).orders();
        for order in orders.filter(|order| order.result().kept) {
            let (placed_at, net) = (order.placed_at(), order.result().net());
            for window in first_window(placed_at, self.at)..=YEAR {
                let of = &mut self.windows[window - 1];
                if is_first {
                    of.new.add(net)
                } else {
                    of.returning.add(net)
                }
                has_kept[window - 1] = true;
                has_returning[window - 1] |= !is_first;
            }
            is_first = false;
            let day = dates.of(placed_at);
            let month = Month::of(day);
            if self.has_rows(month) {
                let row = self.cohorts.rows.entry((month, cohort)).or_default();
                row.customers += u64::from(active_in != Some(month));
                row.orders += 1;
                row.net += net;
                active_in = Some(month);
            }
            if first_window(placed_at, self.at) <= YEAR
                && let Some(gap) = last_day.and_then(|last| u32::try_from(day.0 - last).ok())
                && gap > 0
            {
                self.gaps.add_exact(gap);
            }
            // A zone that steps back may give an earlier date for a later order.
            last_day = last_day.max(Some(day.0));
        }
        for (window, of) in self.windows.iter_mut().enumerate() {
            of.customers += u64::from(has_kept[window]);
            of.customers_returning += u64::from(has_returning[window]);
        }
    }
}

/// What a segment is decided by; none without a kept order.
pub fn rfm_values(customer: &CustomerAsOf<'_>, at: Time) -> Option<RfmValues> {
    let kept = &customer.totals.kept;
    (kept.count > 0).then(|| RfmValues {
        silence: at.since(kept.last_at),
        kept: kept.count,
        kept_net: kept.net,
    })
}

impl NewAndReturning {
    /// Names of the windows, as in records.
    pub const NAMES: [&'static str; YEAR] = [WINDOWS[0].0, WINDOWS[1].0, WINDOWS[2].0];

    /// Customers with a returning order / customers with a kept order.
    pub fn return_rate(&self) -> Option<Ratio> {
        Ratio::new(self.customers_returning, self.customers)
    }

    pub fn merge(&mut self, other: &Self) {
        self.new.merge(&other.new);
        self.returning.merge(&other.returning);
        self.customers += other.customers;
        self.customers_returning += other.customers_returning;
    }
}

impl KeptOrders {
    fn add(&mut self, net: ShopAmount) {
        self.orders += 1;
        self.net += net;
    }

    fn merge(&mut self, other: &Self) {
        self.orders += other.orders;
        self.net += other.net;
    }
}

impl OrderTotals64 {
    /// gross − refunded − cancelled.
    pub fn net(&self) -> ShopAmount {
        self.gross - self.refunded - self.cancelled
    }

    fn add(&mut self, totals: &OrderTotals) {
        self.placed += u64::from(totals.placed);
        self.kept += u64::from(totals.kept);
        self.returned_orders += u64::from(totals.returned_orders);
        self.gross += totals.gross;
        self.refunded += totals.refunded;
        self.cancelled += totals.cancelled;
    }

    /// Adds other orders.
    pub fn merge(&mut self, other: &Self) {
        self.placed += other.placed;
        self.kept += other.kept;
        self.returned_orders += other.returned_orders;
        self.gross += other.gross;
        self.refunded += other.refunded;
        self.cancelled += other.cancelled;
    }
}
