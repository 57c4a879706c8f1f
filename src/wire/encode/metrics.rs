//! The base metrics of a shop as JSON, the same block in the lines of shop metrics and in a replay's summary.

use super::json;
use crate::domain::engine::shop_totals::{ShopTotals, WindowTotals};
use crate::domain::values::money::Currency;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Time;
use crate::domain::values::window::WINDOWS;

/// The figures of one store at one instant.
#[derive(Clone, Copy, Debug)]
pub struct ShopMetrics<'a> {
    /// None where keys name no store.
    pub store_id: Option<&'a str>,
    pub at: Time,
    pub currency: Currency,
    pub figures: &'a ShopTotals,
}

/// Appends a line.
pub fn encode(out: &mut Vec<u8>, metrics: &ShopMetrics<'_>) {
    let figures = [(metrics.currency, metrics.figures)];
    out.extend_from_slice(b"{\"store_id\":");
    json::optional_string(out, metrics.store_id);
    out.extend_from_slice(b",\"at\":");
    json::time(out, metrics.at);
    out.extend_from_slice(b",\"currency\":");
    json::currency(out, metrics.currency);
    out.extend_from_slice(b",\"all_time\":");
    block(out, &figures, 0);
    out.push(b',');
    windows(out, &figures);
    out.extend_from_slice(b"}\n");
}

/// Appends `"windows":{…}`.
pub(super) fn windows(out: &mut Vec<u8>, figures: &[(Currency, &ShopTotals)]) {
    out.extend_from_slice(b"\"windows\":{");
    for (index, (name, _)) in WINDOWS.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        block(out, figures, index + 1);
    }
    out.push(b'}');
}

/// One window, or all time (0), of shops with different currencies: customers and orders are added up, money is not.
fn block(out: &mut Vec<u8>, figures: &[(Currency, &ShopTotals)], window: usize) {
    let windows: Vec<(Currency, &WindowTotals)> =
        figures.iter().map(|(currency, figures)| (*currency, &figures.windows[window])).collect();
    out.extend_from_slice(b"{\"customers\":{\"with_orders\":");
    json::integer(out, total(&windows, |figures| figures.customers_placed));
    out.extend_from_slice(b"},");
    rates(out, &windows);
    out.push(b'}');
}

/// Appends the fields from `orders` to `customer_value`.
pub(super) fn rates(out: &mut Vec<u8>, windows: &[(Currency, &WindowTotals)]) {
    let (placed, kept) = (total(windows, |figures| figures.placed), total(windows, |figures| figures.kept));
    let customers_placed = total(windows, |figures| figures.customers_placed);
    let customers_kept = total(windows, |figures| figures.customers_kept);
    out.extend_from_slice(b"\"orders\":{\"placed\":");
    json::integer(out, placed);
    out.extend_from_slice(b",\"kept\":");
    json::integer(out, kept);
    out.extend_from_slice(b"},\"revenue\":");
    by_currency(out, windows, revenue);
    out.extend_from_slice(b",\"repeat_purchase_rate\":");
    placed_and_kept(
        out,
        Ratio::new(total(windows, |figures| figures.repeat_placed), customers_placed),
        Ratio::new(total(windows, |figures| figures.repeat_kept), customers_kept),
    );
    out.extend_from_slice(b",\"purchase_frequency\":");
    placed_and_kept(out, Ratio::new(placed, customers_placed), Ratio::new(kept, customers_kept));
    out.extend_from_slice(b",\"average_order_value\":");
    by_currency(out, windows, |out, digits, figures| {
        gross_and_net(
            out,
            digits,
            Ratio::new(figures.gross, figures.placed),
            Ratio::new(figures.net(), figures.kept),
        );
    });
    // Purchase frequency × average order value: the orders cancel out, so that only one rounding is left.
    out.extend_from_slice(b",\"customer_value\":");
    by_currency(out, windows, |out, digits, figures| {
        gross_and_net(
            out,
            digits,
            Ratio::new(figures.gross, figures.customers_placed),
            if figures.kept == 0 { None } else { Ratio::new(figures.net(), figures.customers_kept) },
        );
    });
}

fn total(windows: &[(Currency, &WindowTotals)], figure: fn(&WindowTotals) -> u64) -> u64 {
    windows.iter().map(|(_, figures)| figure(figures)).sum()
}

fn by_currency<T>(out: &mut Vec<u8>, values: &[(Currency, T)], write: impl Fn(&mut Vec<u8>, u8, &T)) {
    out.push(b'{');
    for (index, (currency, value)) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::currency(out, *currency);
        out.push(b':');
        write(out, currency.digits(), value);
    }
    out.push(b'}');
}

fn revenue(out: &mut Vec<u8>, digits: u8, figures: &&WindowTotals) {
    out.extend_from_slice(b"{\"gross\":");
    json::money(out, figures.gross, digits);
    out.extend_from_slice(b",\"refunded\":");
    json::money(out, figures.refunded, digits);
    out.extend_from_slice(b",\"cancelled\":");
    json::money(out, figures.cancelled, digits);
    out.extend_from_slice(b",\"net\":");
    json::money(out, figures.net(), digits);
    out.push(b'}');
}

fn placed_and_kept(out: &mut Vec<u8>, placed: Option<Ratio>, kept: Option<Ratio>) {
    out.extend_from_slice(b"{\"placed\":");
    json::optional(out, placed, json::ratio);
    out.extend_from_slice(b",\"kept\":");
    json::optional(out, kept, json::ratio);
    out.push(b'}');
}

fn gross_and_net(out: &mut Vec<u8>, digits: u8, gross: Option<Ratio>, net: Option<Ratio>) {
    let mean = |out: &mut Vec<u8>, mean| json::mean_money(out, mean, digits);
    out.extend_from_slice(b"{\"gross\":");
    json::optional(out, gross, mean);
    out.extend_from_slice(b",\"net\":");
    json::optional(out, net, mean);
    out.push(b'}');
}
