//! The rhythm of the shop: how long customers wait, and when they count as lost.

use super::{count, millionths, share, write_percent};
use crate::commands::report::html::{Table, figure, hint, section};
use crate::commands::report::observed::Part;
use crate::commands::report::svg::{Chart, Kind, Series};
use crate::domain::segments::histogram::Histogram;
use crate::domain::values::number::Ratio;

/// The days of the chart, and those of the table.
const CHART_STEP: u32 = 15;
const DAYS_MAX: u32 = 375;
const TABLE_DAYS: [u32; 10] = [7, 14, 30, 45, 60, 90, 120, 180, 270, 365];

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let gaps = &part.count.gaps;
    let quantile =
        |part: u64| gaps.quantile(part, 100).map_or_else(|| "-".to_owned(), |days| days.to_string());
    let lead = match gaps.total() {
        0 => "No customer has ordered on two different days yet.".to_owned(),
        total => format!(
            "Half of all next orders come within {} days, three quarters within {}, nine of ten within {}. That is of {} gaps between purchase days.",
            quantile(50),
            quantile(75),
            quantile(90),
            count(total)
        ),
    };
    let mut body = hint(
        "Gaps are days between purchase days that follow each other, the later one in the last 365 days; who has not come back yet is in none. A lapse is reported when a silence lasts \
         too long for the customer's own rhythm. Where the line of next orders is high already, a lapse is nearly sure, and late.",
    );
    let (within, lapsed) = (cumulated(gaps), cumulated(&part.lapses));
    let places: Vec<String> =
        (0..=DAYS_MAX).step_by(CHART_STEP as usize).map(|day| day.to_string()).collect();
    let chart = Chart {
        label: "Share of next orders that had come, and share of lapses that were reported, by days since the last order",
        kind: Kind::Lines,
        places: &places,
        series: vec![
            Series { name: "next orders that had come", values: within },
            Series { name: "lapses that were reported", values: lapsed },
        ],
        write: &write_percent,
    };
    let mut table = Table::new(
        "Gaps between purchase days, and lapses, by days since the last order",
        &["Days", "Next orders within", "Share", "Lapses reported by then", "Share"],
    );
    for days in TABLE_DAYS {
        let (next, lapses) = (gaps.up_to(days), part.lapses.up_to(days));
        table.row([
            days.to_string(),
            count(next),
            share(next, gaps.total()),
            count(lapses),
            share(lapses, part.lapses.total()),
        ]);
    }
    body.push_str(&figure("By days since the last order", &chart.html(), &table));
    section(id, "The rhythm of the shop", &lead, &body)
}

/// The share that was counted up to each day of the chart.
fn cumulated(histogram: &Histogram) -> Vec<Option<i64>> {
    let days = (0..=DAYS_MAX).step_by(CHART_STEP as usize);
    days.map(|day| millionths(Ratio::new(histogram.up_to(day), histogram.total()))).collect()
}
