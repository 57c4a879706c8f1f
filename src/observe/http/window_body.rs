//! The base metrics behind the live page: those of docs/DEFINITIONS.md, over the customers of this instance.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::observe::metrics::{Basis, PartitionTotals, RevenueKind, Window, WindowBasis, WindowRevenue};

/// The trailing windows, by name.
#[derive(Serialize)]
pub(super) struct WindowsBody {
    #[serde(rename = "30d")]
    days_30: BaseMetricsBody,
    #[serde(rename = "90d")]
    days_90: BaseMetricsBody,
    #[serde(rename = "365d")]
    days_365: BaseMetricsBody,
}

/// One window.
#[derive(Serialize)]
pub(super) struct BaseMetricsBody {
    customers: ByBasis<f64>,
    repeat_customers: ByBasis<f64>,
    orders: ByBasis<f64>,
    revenue: BTreeMap<String, RevenueBody>,
    repeat_purchase_rate: ByBasis<Option<f64>>,
    purchase_frequency: ByBasis<Option<f64>>,
    /// Empty where stores count in several currencies: orders are not counted by currency here.
    average_order_value: BTreeMap<String, MoneyBody>,
    /// Empty for the same reason.
    customer_value: BTreeMap<String, MoneyBody>,
}

#[derive(Serialize)]
struct ByBasis<T> {
    placed: T,
    kept: T,
}

#[derive(Serialize)]
struct RevenueBody {
    gross: String,
    net: String,
}

/// Null without an order.
#[derive(Serialize)]
struct MoneyBody {
    gross: Option<String>,
    net: Option<String>,
}

pub(super) fn windows(totals: &PartitionTotals) -> WindowsBody {
    WindowsBody {
        days_30: base_metrics(totals, Window::Days30),
        days_90: base_metrics(totals, Window::Days90),
        days_365: base_metrics(totals, Window::Days365),
    }
}

pub(super) fn base_metrics(totals: &PartitionTotals, window: Window) -> BaseMetricsBody {
    let by_basis = |of: &dyn Fn(WindowBasis) -> f64| ByBasis {
        placed: of(WindowBasis(window, Basis::Placed)),
        kept: of(WindowBasis(window, Basis::Kept)),
    };
    let customers = by_basis(&|basis| totals.window_customers[basis]);
    let repeat_customers = by_basis(&|basis| totals.window_repeat_customers[basis]);
    let orders = by_basis(&|basis| totals.window_orders[basis]);
    let revenue = totals.window_revenue.iter().map(|(currency, revenue)| {
        let amount = |kind| currency.amount(revenue[WindowRevenue(window, kind)]);
        let body = RevenueBody { gross: amount(RevenueKind::Gross), net: amount(RevenueKind::Net) };
        (currency.code().to_owned(), body)
    });
    BaseMetricsBody {
        revenue: revenue.collect(),
        repeat_purchase_rate: share(&repeat_customers, &customers),
        purchase_frequency: share(&orders, &customers),
        average_order_value: money(totals, window, &orders),
        customer_value: money(totals, window, &customers),
        customers,
        repeat_customers,
        orders,
    }
}

/// Rounded to six decimals, as in the records.
fn share(of: &ByBasis<f64>, by: &ByBasis<f64>) -> ByBasis<Option<f64>> {
    let share = |of: f64, by: f64| (by > 0.0).then(|| (of / by * 1e6).round() / 1e6);
    ByBasis { placed: share(of.placed, by.placed), kept: share(of.kept, by.kept) }
}

/// Gross revenue for each placed one, net revenue for each kept one.
fn money(totals: &PartitionTotals, window: Window, by: &ByBasis<f64>) -> BTreeMap<String, MoneyBody> {
    if totals.window_revenue.len() > 1 {
        return BTreeMap::new();
    }
    let bodies = totals.window_revenue.iter().map(|(currency, revenue)| {
        let amount =
            |kind, by: f64| (by > 0.0).then(|| currency.amount(revenue[WindowRevenue(window, kind)] / by));
        let body = MoneyBody {
            gross: amount(RevenueKind::Gross, by.placed),
            net: amount(RevenueKind::Net, by.kept),
        };
        (currency.code().to_owned(), body)
    });
    bodies.collect()
}
