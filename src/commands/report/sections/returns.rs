//! Returns: how much, how late, and in which months.

use super::{about, count, millionths, share, write_percent};
use crate::commands::numbers::{self, percent};
use crate::commands::report::html::{Table, figure, hint, paragraph, section};
use crate::commands::report::observed::Part;
use crate::commands::report::svg::{Chart, Kind, Series};
use crate::domain::daily_count::OrderTotals64;
use crate::domain::values::number::Ratio;
use crate::domain::values::window::YEAR;

/// How many of the worst months are named, and the fewest orders of a month that may be.
const WORST: usize = 3;
const ORDERS_MIN: u64 = 30;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let year = &part.totals.windows[YEAR];
    let title = "Returns and refunds";
    if part.totals.windows[0].refunded.minor() == 0 && part.totals.windows[0].returned_orders == 0 {
        return section(
            id,
            title,
            "The files hold no returns.",
            &hint("Give returns with --returns, or by the map."),
        );
    }
    let lead = format!(
        "Of the sales of the last 365 days, {} were refunded; {} of the orders had a return.",
        about(Ratio::new(year.refunded, year.gross)),
        about(Ratio::new(year.returned_orders, year.placed)),
    );
    let refunded = |of: &OrderTotals64| Ratio::new(of.refunded, of.gross);
    let places: Vec<String> = part.orders.keys().map(ToString::to_string).collect();
    let chart = Chart {
        label: "Share of sales that was refunded, by month of the order",
        kind: Kind::Bars,
        places: &places,
        series: vec![Series {
            name: "refunded",
            values: part.orders.values().map(|of| millionths(refunded(of))).collect(),
        }],
        write: &write_percent,
    };
    let mut table = Table::new(
        &format!("Orders and refunds by month of the order, {}", part.currency),
        &["Month", "Orders", "With a return", "Share", "Sales", "Refunded", "Share of sales", "Cancelled"],
    );
    for (month, of) in &part.orders {
        table.row([
            month.to_string(),
            count(of.placed),
            count(of.returned_orders),
            share(of.returned_orders, of.placed),
            numbers::money(of.gross.into(), part.currency),
            numbers::money(of.refunded.into(), part.currency),
            percent(refunded(of)),
            numbers::money(of.cancelled.into(), part.currency),
        ]);
    }
    let mut body = hint(
        "A refund counts in the month of its order; one that names no order that is known counts in its own month. Returns of the latest months are still to come.",
    );
    if year.unattributed.minor() > 0 {
        body.push_str(&paragraph(&format!(
            "{} of the refunds name no order and send none back whole, so they count in their own month.",
            about(Ratio::new(year.unattributed, year.refunded))
        )));
    }
    body.push_str(&figure("Share of sales that was refunded, by month of the order", &chart.html(), &table));
    body.push_str(&worst(part));
    body.push_str(&delays(part));
    section(id, title, &lead, &body)
}

fn worst(part: &Part) -> String {
    let mut months: Vec<_> = part.orders.iter().filter(|(_, of)| of.placed >= ORDERS_MIN).collect();
    months.sort_by_key(|(month, of)| {
        (std::cmp::Reverse(millionths(Ratio::new(of.refunded, of.gross))), **month)
    });
    let named: Vec<String> = months
        .iter()
        .take(WORST)
        .map(|(month, of)| format!("{month} ({})", percent(Ratio::new(of.refunded, of.gross))))
        .collect();
    if named.is_empty() {
        return String::new();
    }
    paragraph(&format!("The worst months with {ORDERS_MIN} orders or more: {}.", named.join(", ")))
}

fn delays(part: &Part) -> String {
    let delays = &part.count.return_delays;
    if delays.total() == 0 {
        return String::new();
    }
    let mut table = Table::new(
        &format!(
            "Whole days from an order to its return, of the {} returns of the last 365 days that belong to a known order",
            count(delays.total())
        ),
        &["Share of returns", "Within days"],
    );
    for part in [50, 75, 90, 95, 99] {
        let days = delays.quantile(part, 100).map_or_else(numbers::none, |days| days.to_string());
        table.row([format!("{part} %"), days]);
    }
    table.html()
}
