//! The four base metrics by month.

use super::{mean_amount, millionths, write_percent, write_units};
use crate::commands::numbers::{hundredths, percent};
use crate::commands::report::html::{Table, figure, hint, section};
use crate::commands::report::observed::Part;
use crate::commands::report::svg::{Chart, Kind, Series};
use crate::domain::engine::shop_totals::WindowTotals;
use crate::domain::values::money::Currency;
use crate::domain::values::number::Ratio;

/// The trailing windows by their index in the totals, the longest first.
const WINDOWS: [(usize, &str); 3] = [(3, "last 365 days"), (2, "last 90 days"), (1, "last 30 days")];

/// A base metric by kept orders.
struct Metric {
    name: &'static str,
    about: &'static str,
    figure: fn(&WindowTotals) -> Option<Ratio>,
    /// What a chart counts in one unit of the figure.
    scale: i128,
    axis: fn(i64, Currency) -> String,
    cell: fn(Option<Ratio>, Currency) -> String,
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "Repeat purchase rate",
        about: "of the customers with a kept order in the window, the share with more than one",
        figure: |of| Ratio::new(of.repeat_kept, of.customers_kept),
        scale: 1_000_000,
        axis: |value, _| write_percent(value),
        cell: |ratio, _| percent(ratio),
    },
    Metric {
        name: "Purchase frequency",
        about: "kept orders of a customer in the window",
        figure: |of| Ratio::new(of.kept, of.customers_kept),
        scale: 100,
        axis: |value, _| format!("{}.{:02}", value / 100, value % 100),
        cell: |ratio, _| hundredths(ratio),
    },
    Metric {
        name: "Average order value",
        about: "net revenue for each kept order",
        figure: |of| Ratio::new(of.net(), of.kept),
        scale: 1,
        axis: write_units,
        cell: mean_amount,
    },
    Metric {
        name: "Customer value",
        about: "net revenue of a customer in the window: frequency times order value",
        figure: |of| Ratio::new(of.net(), of.customers_kept),
        scale: 1,
        axis: write_units,
        cell: mean_amount,
    },
];

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let places: Vec<String> = part.months.iter().map(|(month, _)| month.clone()).collect();
    let lead = lead(part);
    let mut body = hint(
        "Each point is the end of a calendar month (UTC), the last one the end of the files. A window that is longer than the history before it \
         grows with the history: read the 365 days only once a year lies behind them. Test orders and orders that were cancelled or sent back whole do not count.",
    );
    for metric in &METRICS {
        body.push_str(&chart(part, metric, &places));
    }
    section(id, "The four base metrics by month", &lead, &body)
}

/// How the repeat purchase rate of the last 90 days has developed over a year, or since that window was full.
fn lead(part: &Part) -> String {
    let rate = |index: usize| {
        let (month, totals) = part.months.get(index)?;
        Some((month, millionths((METRICS[0].figure)(&totals.windows[2]))?))
    };
    let last = part.months.len().saturating_sub(1);
    let before = last.saturating_sub(12).max(3);
    match (rate(before), rate(last)) {
        (Some((month, before)), Some((_, now))) if last > 3 => format!(
            "The repeat purchase rate of the last 90 days was {} at the end of {month} and is {} now.",
            write_percent(before),
            write_percent(now)
        ),
        (_, _) => "There is too little history to see a development.".to_owned(),
    }
}

fn chart(part: &Part, metric: &Metric, places: &[String]) -> String {
    let currency = part.currency;
    let series = WINDOWS.map(|(window, name)| Series {
        name,
        values: part
            .months
            .iter()
            .map(|(_, totals)| {
                let ratio = (metric.figure)(&totals.windows[window]);
                ratio.and_then(|ratio| i64::try_from(ratio.scaled_half_even(metric.scale)).ok())
            })
            .collect(),
    });
    let label = format!("{} by month, for three windows", metric.name);
    let chart = Chart {
        label: &label,
        kind: Kind::Lines,
        places,
        series: series.into(),
        write: &|value| (metric.axis)(value, currency),
    };
    let head = [&["Month"], &WINDOWS.map(|(_, name)| name)[..]].concat();
    let mut table = Table::new(&format!("{}: {}", metric.name, metric.about), &head);
    for (month, totals) in &part.months {
        let cells =
            WINDOWS.map(|(window, _)| (metric.cell)((metric.figure)(&totals.windows[window]), currency));
        table.row([month.clone()].into_iter().chain(cells));
    }
    let unit = if metric.scale == 1 { format!(", {currency}") } else { String::new() };
    figure(&format!("{}{unit}: {}", metric.name, metric.about), &chart.html(), &table)
}
