//! Cohorts and the retention curve.

use super::{about, count, millionths, share, write_percent};
use crate::commands::numbers::percent;
use crate::commands::report::html::{Table, figure, hint, section};
use crate::commands::report::observed::Part;
use crate::commands::report::svg::{Chart, HeatMap, Kind, Series};
use crate::domain::daily_count::month::Month;
use crate::domain::values::number::Ratio;

/// How many cohorts are shown, the newest last, and up to which age.
const SHOWN: i32 = 12;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let curve = &part.retention.curve;
    let lead = match (curve.get(1), curve.last()) {
        (Some(next), Some(last)) if curve.len() > 2 => format!(
            "Of the customers who first bought in a month, {} order again in the month after, and {} are active {} months later.",
            about(Some(*next)),
            about(Some(*last)),
            curve.len() - 1
        ),
        (Some(next), _) => {
            format!(
                "Of the customers who first bought in a month, {} order again in the month after.",
                about(Some(*next))
            )
        }
        (None, _) => "There is no whole month after a first one yet.".to_owned(),
    };
    let mut body = hint(
        "A cohort is all customers whose first kept order lies in one calendar month. A cell says how many of them had a kept order so many months later. \
         Only whole months count. The first cohorts of a history mix old customers with new ones, so the curve leaves out its first three months once the history has six.",
    );
    body.push_str(&heat_map(part));
    body.push_str(&retention_curve(part));
    section(id, "Cohorts: who comes back later", &lead, &body)
}

fn heat_map(part: &Part) -> String {
    let current = part.count.current;
    let first = part.count.cohorts.first_month().unwrap_or(current).max(current.plus(-SHOWN));
    // The newest cohort has no whole month behind its own yet.
    let cohorts: Vec<Month> = (0..current.since(first) - 1).map(|index| first.plus(index)).collect();
    if cohorts.is_empty() {
        return String::new();
    }
    let columns: Vec<String> = (1..=SHOWN).map(|age| age.to_string()).collect();
    let active = |cohort: Month, age: i32| {
        let month = cohort.plus(age);
        (month < current).then(|| part.rows.get(&(month, cohort)).map_or(0, |row| row.customers))
    };
    let size = |cohort: Month| part.count.cohorts.sizes.get(&cohort).copied().unwrap_or(0);
    let shares = |cohort: Month| {
        let share = |age: i32| Ratio::new(active(cohort, age)?, size(cohort));
        (1..=SHOWN).map(|age| millionths(share(age))).collect::<Vec<_>>()
    };
    let map = HeatMap {
        label: "Share of each cohort that ordered again, by months since the first order",
        columns: columns.clone(),
        rows: cohorts.iter().map(|cohort| (cohort.to_string(), shares(*cohort))).collect(),
    };
    let months = columns.iter().map(|age| format!("month {age}"));
    let mut table = Table::new(
        "Customers of each cohort with a kept order, by months since the first one",
        &["Cohort", "Customers"],
    );
    table.head.extend(months);
    for cohort in &cohorts {
        let cells = (1..=SHOWN).map(|age| match active(*cohort, age) {
            Some(active) => format!("{} ({})", count(active), share(active, size(*cohort))),
            None => String::new(),
        });
        table.row([cohort.to_string(), count(size(*cohort))].into_iter().chain(cells));
    }
    figure(
        "Share of each cohort that ordered again, in percent, by months since the first order",
        &map.html(),
        &table,
    )
}

fn retention_curve(part: &Part) -> String {
    let curve = &part.retention.curve;
    let places: Vec<String> = (1..curve.len()).map(|age| age.to_string()).collect();
    if places.is_empty() {
        return String::new();
    }
    let chart = Chart {
        label: "Retention curve: share of customers active so many months after their first order",
        kind: Kind::Lines,
        places: &places,
        series: vec![Series {
            name: "active customers",
            values: curve.iter().skip(1).map(|share| millionths(Some(*share))).collect(),
        }],
        write: &write_percent,
    };
    let mut table = Table::new("Retention curve", &["Months after the first order", "Active customers"]);
    for (age, share) in curve.iter().enumerate() {
        table.row([age.to_string(), percent(Some(*share))]);
    }
    figure(
        "The retention curve: all cohorts together, by months since the first order",
        &chart.html(),
        &table,
    )
}
