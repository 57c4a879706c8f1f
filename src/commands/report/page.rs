//! The page as a whole: head, contents, sections, and how it was made.

use super::Report;
use super::html::{Table, escape, hint, put, section};
use super::observed::{Part, utc_date};
use super::sections::{
    cohorts, customers, metrics, projection, returns, revenue, rhythm, segments, standing,
};
use super::settings_file;
use crate::commands::backtest::result::{MeanResult, mean_text};
use crate::commands::numbers::grouped;

pub(crate) const STYLE: &str = include_str!("page.css");

/// Sections of each currency: anchor, what the contents call it, and its markup.
const SECTIONS: [(&str, &str, fn(&Part, &str) -> String); 9] = [
    ("standing", "Where the shop stands", standing::html),
    ("customers", "Who to look after now", customers::html),
    ("metrics", "The four base metrics", metrics::html),
    ("revenue", "New and returning", revenue::html),
    ("cohorts", "Cohorts", cohorts::html),
    ("segments", "Segments", segments::html),
    ("rhythm", "Rhythm", rhythm::html),
    ("returns", "Returns", returns::html),
    ("projection", "What retention is worth", projection::html),
];

/// The whole page.
pub(super) fn html(report: &Report<'_>) -> String {
    let date = utc_date(report.observed.at);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>Retention report, {date}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Retention report</h1><p class=\"soft\">As of {date} (UTC), from {}</p></header>\n",
        escape(&report.files.join(", ")),
    );
    let parts = &report.observed.parts;
    let has_several = parts.len() > 1;
    let anchor = |part: &Part, name: &str| match has_several {
        true => format!("{name}-{}", part.currency),
        false => name.to_owned(),
    };
    out.push_str("<nav aria-label=\"Contents\"><ul>\n");
    for part in parts {
        for (name, title, _) in SECTIONS {
            let suffix = if has_several { format!(", {}", part.currency) } else { String::new() };
            put(&mut out, format_args!("<li><a href=\"#{}\">{title}{suffix}</a></li>\n", anchor(part, name)));
        }
    }
    out.push_str("<li><a href=\"#policy\">Lapse policy</a></li>\n<li><a href=\"#settings\">Settings</a></li>\n</ul></nav>\n<main>\n");
    for part in parts {
        if has_several {
            put(&mut out, format_args!("<h2 class=\"currency\">Stores in {}</h2>\n", part.currency));
        }
        for (name, _, of) in SECTIONS {
            out.push_str(&of(part, &anchor(part, name)));
        }
    }
    out.push_str(&policy(report));
    out.push_str(&settings(report));
    out.push_str(&inputs(report));
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// The backtest in short.
fn policy(report: &Report<'_>) -> String {
    const TITLE: &str = "Would the lapse policy have been right?";
    let Some(backtest) = report.backtest else {
        let lead = "The history is too short to tell: it takes 180 days, and 90 days after them.";
        let body = hint(
            "Until then the lapse policy `model` works with its built-in parameters, and `cadence` with its defaults.",
        );
        return section("policy", TITLE, lead, &body);
    };
    let mut table = Table::new(
        "Customers at risk or lapsed, against who ordered in the 90 days after",
        &["Policy", "Flagged", "Right", "Found", "Cost a customer"],
    );
    for policy in &backtest.policies {
        let percent = |mean: Option<MeanResult>| {
            mean.map_or_else(|| "–".to_owned(), |mean| format!("{:.1} %", 100.0 * mean.mean))
        };
        table.row([
            format!("{}{}", policy.name, if policy.in_use { " (in use)" } else { "" }),
            percent(policy.at_risk.flagged_share),
            percent(policy.at_risk.precision),
            percent(policy.at_risk.recall),
            mean_text(policy.at_risk.cost, 2),
        ]);
    }
    let mut body = table.html();
    body.push_str(&hint(&format!(
        "Right is the share of flags whose customers did not order, found the share of those who did not order that were flagged. A customer who is \
         gone and was not flagged costs {}, one who was flagged and orders anyway {}; `backtest --cost` takes your own, and makes a page of its own.",
        backtest.cost.missed, backtest.cost.wasted
    )));
    section("policy", TITLE, &backtest.verdict, &body)
}

fn settings(report: &Report<'_>) -> String {
    let lead = format!(
        "The file {} beside this page starts the service for this shop, once it names the brokers.",
        settings_file::NAME
    );
    let body = format!("<pre tabindex=\"0\">{}</pre>\n", escape(&settings_file::toml(report)));
    section("settings", "Settings for this shop", &lead, &body)
}

fn inputs(report: &Report<'_>) -> String {
    let summary = report.summary;
    let events = &summary.events;
    let number = |count: u64| grouped(count.into());
    let lead = format!(
        "{} orders, {} cancellations and {} returns were applied; {} records repeated others, and {} could not be used.",
        number(events.orders),
        number(events.cancellations),
        number(events.returns),
        number(events.duplicates),
        number(summary.refused()),
    );
    let mut body = String::new();
    if summary.refused() > 0 {
        body.push_str(&hint("What could not be used is in dead-letters.jsonl, with the reasons."));
    }
    let guests: u64 = summary.shops.iter().map(|(_, _, guests)| guests.orders).sum();
    if guests > 0 {
        body.push_str(&hint(&format!(
            "{} orders name no customer. They are in none of the figures above, because they do not tell which customer came back.",
            number(guests)
        )));
    }
    for paragraph in &report.remarks {
        body.push_str(&hint(&paragraph.join(". ")));
    }
    body.push_str(&hint(
        "A kept order is one that was neither cancelled nor sent back whole. Every figure is computed from whole numbers; a replay of the same files writes the same ones to \
         summary.json, shop-metrics.jsonl and cohorts.jsonl. docs/DEFINITIONS.md defines every word.",
    ));
    section("inputs", "What this report is made from", &lead, &body)
}
