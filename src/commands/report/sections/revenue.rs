//! Revenue of new and of returning customers.

use std::collections::BTreeSet;

use super::{about, count, money, positive, share, write_units};
use crate::commands::numbers::{self, percent};
use crate::commands::report::html::{Table, figure, hint, paragraph, section};
use crate::commands::report::observed::Part;
use crate::commands::report::svg::{Chart, Kind, Series};
use crate::domain::daily_count::NewAndReturning;
use crate::domain::daily_count::cohorts::CohortRow;
use crate::domain::daily_count::month::Month;
use crate::domain::values::number::Ratio;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let [.., year] = &part.count.windows;
    let of_all = Ratio::new(year.returning.net, year.returning.net + year.new.net);
    let lead = format!(
        "Of the net revenue of the last 365 days, {} came with orders of customers who had bought before; {} of the customers came back in that time.",
        about(of_all),
        about(year.return_rate()),
    );
    let mut body = hint(
        "An order is new if it is its customer's first kept one; all others are returning ones. At the beginning of a history every customer looks new.",
    );
    body.push_str(&growth(part));
    body.push_str(&by_month(part));
    body.push_str(&by_window(part));
    section(id, "New and returning customers", &lead, &body)
}

/// Net revenue of the last 90 days, beside that of a quarter and of a year before.
fn growth(part: &Part) -> String {
    let net = |back: usize| {
        let index = part.months.len().checked_sub(1 + back)?;
        // Before three whole months the window is not full.
        let (month, totals) = part.months.get(index).filter(|_| index >= 3)?;
        Some((month, totals.windows[2].net()))
    };
    let Some((_, now)) = net(0) else { return String::new() };
    let before = [3, 12].into_iter().filter_map(net).map(|(month, before)| {
        let growth = Ratio::new(now - before, before).map_or_else(numbers::none, |growth| {
            let percent = growth.scaled_half_even(100);
            if percent < 0 { format!("{percent} %") } else { format!("+{percent} %") }
        });
        format!("at the end of {month} it was {}, which makes {growth}", money(before, part.currency))
    });
    let before: Vec<String> = before.collect();
    match before.is_empty() {
        true => String::new(),
        false => paragraph(&format!(
            "Growth: net revenue of the last 90 days is {} now; {}.",
            money(now, part.currency),
            before.join("; ")
        )),
    }
}

fn by_month(part: &Part) -> String {
    let currency = part.currency;
    let months: BTreeSet<Month> = part.rows.keys().map(|(month, _)| *month).collect();
    let places: Vec<String> = months.iter().map(Month::to_string).collect();
    let sums: Vec<(CohortRow, CohortRow)> =
        months.iter().map(|month| new_and_returning(part, *month)).collect();
    let chart = Chart {
        label: "Net revenue by month: the month's new customers, and customers of earlier months",
        kind: Kind::Bars,
        places: &places,
        series: vec![
            Series {
                name: "customers of earlier months",
                values: sums.iter().map(|(_, old)| positive(old.net)).collect(),
            },
            Series {
                name: "the month's new customers",
                values: sums.iter().map(|(new, _)| positive(new.net)).collect(),
            },
        ],
        write: &|value| write_units(value, currency),
    };
    let mut table = Table::new(
        "Kept orders and their net value by month",
        &[
            "Month",
            "New customers",
            "Their orders",
            "Their net value",
            "Earlier customers active",
            "Their orders",
            "Their net value",
            "Share of earlier",
        ],
    );
    for (month, (new, old)) in places.iter().zip(&sums) {
        table.row([
            month.clone(),
            count(new.customers),
            count(new.orders),
            numbers::money(new.net.into(), currency),
            count(old.customers),
            count(old.orders),
            numbers::money(old.net.into(), currency),
            percent(Ratio::new(old.net, new.net + old.net)),
        ]);
    }
    figure(
        &format!("Net revenue by month, {currency}. The last month may not be whole"),
        &chart.html(),
        &table,
    )
}

/// What the customers did whose first kept order lies in the month, and what all others did.
fn new_and_returning(part: &Part, month: Month) -> (CohortRow, CohortRow) {
    let mut sums = (CohortRow::default(), CohortRow::default());
    for ((_, cohort), row) in part.rows.iter().filter(|((of, _), _)| *of == month) {
        if *cohort == month { sums.0.add(row) } else { sums.1.add(row) }
    }
    sums
}

fn by_window(part: &Part) -> String {
    let mut table = Table::new(
        "Orders of new and of returning customers, and how many customers came back",
        &[
            "Window",
            "New orders",
            "Net value",
            "Returning orders",
            "Net value",
            "Customers",
            "Who came back",
            "Return rate",
        ],
    );
    for (name, window) in NewAndReturning::NAMES.iter().zip(&part.count.windows) {
        table.row([
            format!("last {} days", name.trim_end_matches('d')),
            count(window.new.orders),
            money(window.new.net, part.currency),
            count(window.returning.orders),
            money(window.returning.net, part.currency),
            count(window.customers),
            count(window.customers_returning),
            share(window.customers_returning, window.customers),
        ]);
    }
    table.html()
}
