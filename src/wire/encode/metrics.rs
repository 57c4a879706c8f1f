//! The base metrics of a shop as JSON, the same in the lines of shop metrics and in a replay's summary.

use super::fields::{
    ByCurrency, Count, Currency, Field, FieldType, MeanMoney, Money, Nullable, Share, SignedMeanMoney,
    SignedMoney, StoreId, Time, record,
};
use super::outcomes::{self, OutcomeList, ShopOutcomes};
use super::retention::{KeptByWindow, MatrixPlace, Projections, Retention, RetentionCurve, ReturnRates};
use super::text::append;
use crate::domain::engine::shop_totals::{ShopTotals, WindowTotals};
use crate::domain::signals::signal::State;
use crate::domain::values::money;
use crate::domain::values::number::Ratio;
use crate::domain::values::time;

/// The figures of one store at one instant.
#[derive(Clone, Copy, Debug)]
pub struct ShopMetrics<'a> {
    /// None where keys name no store.
    pub store_id: Option<&'a str>,
    pub at: time::Time,
    pub currency: money::Currency,
    pub figures: &'a ShopTotals,
    /// None where no count was taken.
    pub retention: Option<&'a Retention>,
    pub outcomes: ShopOutcomes<'a>,
}

record! {
    /// The base metrics of one store at one instant, up to what rules brought.
    ShopMetricsRecord(of: &'v ShopMetrics<'v>) {
        /// The store; null with the key form 'customer_id', where there is one shop.
        "store_id": Nullable<StoreId> = of.store_id.map(str::as_bytes);
        /// The instant. The windows are measured back from here. What is written of it is never corrected for records that come later.
        "at": Time = of.at;
        /// The store's currency.
        "currency": Currency = of.currency;
        /// Customers with any accepted record.
        "customers": Customers = of.figures;
        /// All time.
        "all_time": BaseMetrics = &window(&[(of.currency, of.figures)], 0);
        /// The same metrics for trailing windows.
        "windows": Windows = &[(of.currency, of.figures)];
        /// Orders that are their customers' first kept ones; null where no count was taken.
        "new": Nullable<KeptByWindow> = of.retention.map(|of| &of.new);
        /// All other kept orders; null where no count was taken.
        "returning": Nullable<KeptByWindow> = of.retention.map(|of| &of.returning);
        /// Customers with a returning order / customers with a kept order; null where no count was taken.
        "customer_return_rate": Nullable<ReturnRates> = of.retention.map(|of| &of.return_rates);
        /// The place of the shop among others by frequency and value; null where no count was taken.
        "matrix": Nullable<MatrixPlace> = of.retention.map(|of| &of.year);
        /// Of customers whose first kept order is 0, 1, 2 … calendar months old, the share with a kept order in that month; null where no count was taken.
        "retention_curve": Nullable<RetentionCurve> = of.retention.map(|of| of.curve.as_slice());
        /// What 1, 5 and 10 points of retention more are worth in twelve months; null where no count was taken.
        "projection": Nullable<Projections> = of.retention.map(|of| of.projections.as_slice());
    }
}

record! {
    /// Customers with any accepted record.
    Customers(of: &'v ShopTotals) {
        /// How many.
        "total": Count = of.total();
        /// By lifecycle state.
        "by_state": ByState = of;
    }
}

record! {
    /// Customers by state.
    ByState(of: &'v ShopTotals) {
        /// Customers without a kept order.
        "prospect": Count = of.customers_of(State::Prospect);
        /// Active customers.
        "active": Count = of.customers_of(State::Active);
        /// Customers at risk.
        "at_risk": Count = of.customers_of(State::AtRisk);
        /// Lapsed customers.
        "lapsed": Count = of.customers_of(State::Lapsed);
    }
}

record! {
    /// The base metrics by trailing window.
    Windows(shops: &'v [(money::Currency, &'v ShopTotals)]) {
        /// The last 30 days of 24 hours.
        "30d": BaseMetrics = &window(shops, 1);
        /// The last 90 days of 24 hours.
        "90d": BaseMetrics = &window(shops, 2);
        /// The last 365 days of 24 hours.
        "365d": BaseMetrics = &window(shops, 3);
    }
}

record! {
    /// The base metrics of one window. Customers and orders of shops with different currencies are added up, money is not.
    BaseMetrics(shops: &'v [(money::Currency, &'v WindowTotals)]) {
        /// Customers with an identity.
        "customers": CustomersWithOrders = shops;
        /// How many orders.
        "orders": Orders = shops;
        /// Revenue by currency, as decimal strings.
        "revenue": ByCurrency<Revenue, WindowTotals> = shops;
        /// The share of customers that came back, 0 to 1.
        "repeat_purchase_rate": RepeatPurchaseRate = shops;
        /// Orders per customer.
        "purchase_frequency": PurchaseFrequency = shops;
        /// Revenue per order, by currency.
        "average_order_value": ByCurrency<AverageOrderValue, WindowTotals> = shops;
        /// Revenue per customer, by currency.
        "customer_value": ByCurrency<CustomerValue, WindowTotals> = shops;
    }
}

record! {
    /// Customers of one window.
    CustomersWithOrders(shops: &'v [(money::Currency, &'v WindowTotals)]) {
        /// Customers with a placed order.
        "with_orders": Count = total(shops, |of| of.customers_placed);
    }
}

record! {
    /// Orders of customers with an identity.
    Orders(shops: &'v [(money::Currency, &'v WindowTotals)]) {
        /// Accepted orders in their latest version, test orders aside.
        "placed": Count = total(shops, |of| of.placed);
        /// Those not cancelled and of a net value above zero.
        "kept": Count = total(shops, |of| of.kept);
        /// Placed orders to which at least one return is attributed.
        "returned": Count = total(shops, |of| of.returned_orders);
    }
}

record! {
    /// Revenue in one currency.
    Revenue(of: &'v WindowTotals) {
        /// The totals of the placed orders.
        "gross": Money = of.gross;
        /// Refunds: of each order no more than its total, and all refunds that stand without an order.
        "refunded": Money = of.refunded;
        /// What cancellations took back beyond the refunds.
        "cancelled": Money = of.cancelled;
        /// gross − refunded − cancelled.
        "net": SignedMoney = of.net();
    }
}

record! {
    /// The share of customers that came back.
    RepeatPurchaseRate(shops: &'v [(money::Currency, &'v WindowTotals)]) {
        /// Customers with more than one placed order / customers with a placed order; null without one.
        "placed": Nullable<Share> =
            Ratio::new(total(shops, |of| of.repeat_placed), total(shops, |of| of.customers_placed));
        /// Customers with more than one kept order / customers with a kept order; null without one.
        "kept": Nullable<Share> =
            Ratio::new(total(shops, |of| of.repeat_kept), total(shops, |of| of.customers_kept));
    }
}

record! {
    /// Orders per customer.
    PurchaseFrequency(shops: &'v [(money::Currency, &'v WindowTotals)]) {
        /// Placed orders / customers with a placed order; null without one.
        "placed": Nullable<Share> =
            Ratio::new(total(shops, |of| of.placed), total(shops, |of| of.customers_placed));
        /// Kept orders / customers with a kept order; null without one.
        "kept": Nullable<Share> =
            Ratio::new(total(shops, |of| of.kept), total(shops, |of| of.customers_kept));
    }
}

record! {
    /// Average order value in one currency.
    AverageOrderValue(of: &'v WindowTotals) {
        /// Gross revenue / placed orders; null without one.
        "gross": Nullable<MeanMoney> = Ratio::new(of.gross, of.placed);
        /// Net revenue / kept orders; null without one.
        "net": Nullable<SignedMeanMoney> = Ratio::new(of.net(), of.kept);
    }
}

record! {
    /// Purchase frequency × average order value in one currency: the orders cancel out, so that only one rounding is left.
    CustomerValue(of: &'v WindowTotals) {
        /// Gross revenue / customers with a placed order; null without one.
        "gross": Nullable<MeanMoney> = Ratio::new(of.gross, of.customers_placed);
        /// Net revenue / customers with a kept order; null without one.
        "net": Nullable<SignedMeanMoney> =
            if of.kept == 0 { None } else { Ratio::new(of.net(), of.customers_kept) };
    }
}

/// The fields of a line of shop metrics.
pub fn fields() -> Vec<Field> {
    [ShopMetricsRecord::FIELDS, &[outcomes::FIELD]].concat()
}

/// Appends a line.
pub fn encode(out: &mut Vec<u8>, metrics: &ShopMetrics<'_>) {
    let room = room(1) + 6 * metrics.store_id.map_or(0, str::len) + outcomes::room(&metrics.outcomes);
    let digits = metrics.currency.digits();
    append(out, room, |text| {
        let text = ShopMetricsRecord::put_fields(text, metrics, digits);
        let rules = match metrics.outcomes {
            ShopOutcomes::LeftOut => return text.put(b"}\n"),
            ShopOutcomes::Unknown => None,
            ShopOutcomes::Known(outcomes) => Some(outcomes),
        };
        Nullable::<OutcomeList>::put(text.put(b",\"rules\":"), rules, digits).put(b"}\n")
    });
}

/// More than the metrics of so many currencies take.
pub(super) const fn room(currencies: usize) -> usize {
    6_144 + 8_192 * currencies
}

/// One window of each shop, or all time (0).
pub(super) fn window<'v>(
    shops: &[(money::Currency, &'v ShopTotals)],
    window: usize,
) -> Vec<(money::Currency, &'v WindowTotals)> {
    shops.iter().map(|(currency, figures)| (*currency, &figures.windows[window])).collect()
}

fn total(shops: &[(money::Currency, &WindowTotals)], figure: fn(&WindowTotals) -> u64) -> u64 {
    shops.iter().map(|(_, figures)| figure(figures)).sum()
}
