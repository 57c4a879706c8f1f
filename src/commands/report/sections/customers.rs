//! Who to look after now.

use super::segments::words;
use super::{count, money};
use crate::commands::numbers;
use crate::commands::report::html::{Table, hint, section};
use crate::commands::report::observed::{Part, utc_date};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::time::Span;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let title = "Who to look after now";
    if part.watched.is_empty() {
        return section(id, title, "No customer is at risk at the end of the files.", "");
    }
    let value: ShopAmount = part.watched.iter().map(|customer| customer.values.kept_net).sum();
    let lead = format!(
        "{} customers are at risk. The {} of most value are below: their orders so far are worth {}.",
        count(part.at_risk),
        part.watched.len(),
        money(value, part.currency)
    );
    let mut table = Table::new(
        "Customers at risk, by the net value of all their orders",
        &[
            "Customer",
            "Net value",
            "Kept orders",
            "Last order",
            "Days silent",
            "Counts as lapsed from",
            "Segment",
        ],
    );
    for customer in &part.watched {
        let days = customer.values.silence.as_millis() / Span::DAY.as_millis();
        table.row([
            customer.key.clone(),
            money(customer.values.kept_net, part.currency),
            count(customer.values.kept.into()),
            utc_date(customer.last_order_at).to_string(),
            days.to_string(),
            customer.lapses_at.map_or_else(numbers::none, |at| utc_date(at).to_string()),
            words(customer.segment).to_owned(),
        ]);
    }
    let about = hint(
        "A customer is at risk when the silence since the last kept order exceeds what the own rhythm lets expect. \
         The list holds ids only; dates are in UTC.",
    );
    section(id, title, &lead, &(about + &table.html()))
}
