//! The figures of the newest complete day, where the combiner runs.

use std::collections::BTreeMap;

use prometheus::GaugeVec;

use super::batch::CurrencyLabel;
use super::label::{Label, PerLabel};
use super::labels::{ProjectedPoints, RetentionMonth, ShopRevenue, TrailingWindow, WindowOrigin};
use super::partition::seconds;
use super::registrar::Registrar;
use super::rule_outcomes::{RuleGroup, RuleOutcomeGauges};
use crate::domain::daily_count::stage::ShopStage;
use crate::domain::signals::signal::State;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Time;

/// What a dashboard shows of a complete day: customers and orders of all stores together, money by currency. A ratio is none where its
/// denominator is 0.
#[derive(Debug, Clone)]
pub struct ShopDay {
    /// The midnight up to which the day is counted.
    pub day: Time,
    pub stage: ShopStage,
    pub customers: PerLabel<State, u64>,
    pub kept_orders: PerLabel<WindowOrigin, u64>,
    pub placed_orders: PerLabel<TrailingWindow, u64>,
    /// Placed orders to which a return is attributed.
    pub returned_orders: PerLabel<TrailingWindow, u64>,
    /// Customers with a returning order / customers with a kept order.
    pub customer_return_rate: PerLabel<TrailingWindow, Option<Ratio>>,
    /// Customers with more than one kept order / customers with a kept order.
    pub repeat_purchase_rate: PerLabel<TrailingWindow, Option<Ratio>>,
    /// The retention curve from its second point on.
    pub retention: PerLabel<RetentionMonth, Option<Ratio>>,
    pub money: BTreeMap<CurrencyLabel, ShopMoney>,
    pub rules: Vec<RuleGroup>,
}

/// Money of the stores of one currency, in minor units.
#[derive(Debug, Clone, Default)]
pub struct ShopMoney {
    /// Net value of kept orders.
    pub kept_net: PerLabel<WindowOrigin, i64>,
    pub revenue: PerLabel<ShopRevenue, i64>,
    /// The twelfth month of the projection; none where nothing can be projected.
    pub projected: Option<i64>,
    /// What points of retention more add to it.
    pub projected_extra: PerLabel<ProjectedPoints, Option<i64>>,
}

/// Families without a child while no combiner runs: 40 series where one does, 16 for each currency, and those
/// of [`RuleOutcomeGauges`].
pub(super) struct ShopDayGauges {
    day: GaugeVec,
    stage: GaugeVec,
    customers: GaugeVec,
    kept_orders: GaugeVec,
    placed_orders: GaugeVec,
    returned_orders: GaugeVec,
    customer_return_rate: GaugeVec,
    repeat_purchase_rate: GaugeVec,
    retention: GaugeVec,
    kept_net: GaugeVec,
    revenue: GaugeVec,
    projected: GaugeVec,
    projected_extra: GaugeVec,
    rules: RuleOutcomeGauges,
}

impl ShopDayGauges {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            day: registrar.gauge_family(
                "retention_shop_day_timestamp_seconds",
                "The midnight up to which the newest complete day is counted, as the other metrics of the shop; only where the combiner runs (1 series).",
                &[],
            )?,
            stage: of::<ShopStage>(
                registrar,
                "retention_shop_stage",
                "1 for the stage that the shop has reached by its months and orders, 0 for the rest (5 series).",
            )?,
            customers: of::<State>(
                registrar,
                "retention_shop_customers",
                "Customers by state at the end of the newest complete day (4 series).",
            )?,
            kept_orders: of::<WindowOrigin>(
                registrar,
                "retention_shop_kept_orders",
                "Kept orders in the window: new are the first ones of their customers, returning all others (6 series).",
            )?,
            placed_orders: of::<TrailingWindow>(
                registrar,
                "retention_shop_placed_orders",
                "Placed orders in the window (3 series).",
            )?,
            returned_orders: of::<TrailingWindow>(
                registrar,
                "retention_shop_returned_orders",
                "Those of them of which goods came back (3 series).",
            )?,
            customer_return_rate: of::<TrailingWindow>(
                registrar,
                "retention_shop_customer_return_ratio",
                "Customers with a returning order in the window over customers with a kept order in it; not there without one (3 series).",
            )?,
            repeat_purchase_rate: of::<TrailingWindow>(
                registrar,
                "retention_shop_repeat_purchase_ratio",
                "Customers with two kept orders or more in the window over customers with one; not there without one (3 series).",
            )?,
            retention: of::<RetentionMonth>(
                registrar,
                "retention_shop_retention_ratio",
                "Of customers whose first kept order lies so many months back, the share with a kept order in that month; not there for months that no cohort has reached (12 series).",
            )?,
            kept_net: of_money::<WindowOrigin>(
                registrar,
                "retention_shop_kept_net_revenue",
                "Net value of the kept orders in the window, new and returning (6 a currency).",
            )?,
            revenue: of_money::<ShopRevenue>(
                registrar,
                "retention_shop_revenue",
                "Totals of the placed orders in the window, and what was refunded of them (6 a currency).",
            )?,
            projected: registrar.gauge_family(
                "retention_shop_projected_net_revenue",
                "Net revenue of the twelfth month from now if retention stays as it is and new customers keep coming; not there before the first whole month (1 a currency).",
                &["currency"],
            )?,
            projected_extra: of_money::<ProjectedPoints>(
                registrar,
                "retention_shop_projected_extra_net_revenue",
                "What so many percentage points of retention more add to that month (3 a currency).",
            )?,
            rules: RuleOutcomeGauges::new(registrar)?,
        })
    }

    /// Exports a day. What it has no value for is not exported.
    pub(super) fn show(&mut self, shop: &ShopDay) {
        self.day.with_label_values::<&str>(&[]).set(seconds(shop.day.as_millis()));
        show(&self.stage, None, |stage: ShopStage| Some(f64::from(u8::from(stage == shop.stage))));
        show(&self.customers, None, |state| Some(shop.customers[state] as f64));
        show(&self.kept_orders, None, |window| Some(shop.kept_orders[window] as f64));
        show(&self.placed_orders, None, |window| Some(shop.placed_orders[window] as f64));
        show(&self.returned_orders, None, |window| Some(shop.returned_orders[window] as f64));
        show(&self.customer_return_rate, None, |window| shop.customer_return_rate[window].map(ratio));
        show(&self.repeat_purchase_rate, None, |window| shop.repeat_purchase_rate[window].map(ratio));
        show(&self.retention, None, |month| shop.retention[month].map(ratio));
        for (currency, money) in &shop.money {
            let whole = |minor: i64| currency.whole_units(minor as f64);
            show(&self.kept_net, Some(currency), |window| Some(whole(money.kept_net[window])));
            show(&self.revenue, Some(currency), |window| Some(whole(money.revenue[window])));
            put(&self.projected, &[currency.code()], money.projected.map(whole));
            show(&self.projected_extra, Some(currency), |points| money.projected_extra[points].map(whole));
        }
        self.rules.show(&shop.rules);
    }

    /// Takes all series out of the export.
    pub(super) fn reset(&mut self) {
        self.rules.reset();
        let Self { day, stage, customers, kept_orders, placed_orders, returned_orders, .. } = self;
        let Self { customer_return_rate, repeat_purchase_rate, retention, kept_net, .. } = self;
        let Self { revenue, projected, projected_extra, .. } = self;
        let of_customers = [day, stage, customers, customer_return_rate, repeat_purchase_rate, retention];
        let of_orders = [kept_orders, placed_orders, returned_orders];
        let of_money = [kept_net, revenue, projected, projected_extra];
        let all = of_customers.into_iter().chain(of_orders).chain(of_money);
        all.for_each(|gauge| gauge.reset());
    }
}

fn of<L: Label>(registrar: &Registrar<'_>, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
    registrar.gauge_family(name, help, &L::keys())
}

fn of_money<L: Label>(registrar: &Registrar<'_>, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
    registrar.gauge_family(name, help, &[L::keys(), vec!["currency"]].concat())
}

fn show<L: Label>(family: &GaugeVec, currency: Option<&CurrencyLabel>, value: impl Fn(L) -> Option<f64>) {
    for label in L::all() {
        let mut values = label.values();
        values.extend(currency.map(CurrencyLabel::code));
        put(family, &values, value(label));
    }
}

/// Exports a value, or takes its series out of the export.
pub(super) fn put(family: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => family.with_label_values(labels).set(value),
        // It may never have been there.
        None => drop(family.remove_label_values(labels)),
    }
}

pub(super) fn ratio(ratio: Ratio) -> f64 {
    ratio.numerator as f64 / ratio.denominator as f64
}
