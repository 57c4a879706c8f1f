//! Segments by recency and frequency, and the value matrix.

use super::{count, money, share};
use crate::commands::numbers;
use crate::commands::report::html::{Table, escape, hint, put, section};
use crate::commands::report::observed::{Part, StorePart};
use crate::domain::segments::cuts::{CUSTOMERS_MIN, CutPoints};
use crate::domain::segments::names::{Segment, ValueMatrix};
use crate::domain::values::money::ShopAmount;

/// So many stores with cut points of their own have a sentence each; more of them stand in a table.
const STORES_IN_WORDS: usize = 3;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let counts = &part.retention.segments;
    let total: u64 = counts.segments.iter().sum();
    let best = counts.segments[Segment::Champions as usize];
    let lost = counts.segments[Segment::Hibernating as usize];
    let lead = format!(
        "{} of {} customers are champions: they order often and have done so lately. {} hibernate: few orders, long ago.",
        count(best),
        count(total),
        count(lost)
    );
    let mut body = String::from("<h3>Recency and frequency</h3>\n");
    body.push_str(&grid(part));
    body.push_str(&cut_points(part));
    body.push_str(&scores(part));
    body.push_str(&names(part, total));
    body.push_str("<h3>The value matrix of customers</h3>\n");
    body.push_str(&matrix(part));
    section(id, "Segments: which customers call for the same letter", &lead, &body)
}

fn grid(part: &Part) -> String {
    let mut out = String::from(
        "<p class=\"caption\" aria-hidden=\"true\">Customers by recency (R, 5: ordered lately) and frequency (F, 5: many orders)</p>\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Customers by recency and frequency\"><table class=\"grid\">\
         <caption>Customers by recency (R, 5: ordered lately) and frequency (F, 5: many orders)</caption><thead><tr><th scope=\"col\">R</th>",
    );
    (1..=5).for_each(|f| put(&mut out, format_args!("<th scope=\"col\">F {f}</th>")));
    out.push_str("</tr></thead><tbody>\n");
    let cells = &part.retention.segments.cells;
    let greatest = cells.iter().flatten().map(|cell| cell.customers).max().unwrap_or(0).max(1);
    for r in (1..=5u8).rev() {
        put(&mut out, format_args!("<tr><th scope=\"row\">{r}</th>"));
        for f in 1..=5u8 {
            let cell = cells[usize::from(r) - 1][usize::from(f) - 1];
            let step = cell.customers * 10 / greatest;
            let name = words(Segment::of(r, f));
            put(
                &mut out,
                format_args!("<td class=\"h{step}\"><b>{}</b> {}</td>", count(cell.customers), escape(name)),
            );
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// The cut points of each store; those with too few customers share the fixed ones.
fn cut_points(part: &Part) -> String {
    let (own, fixed): (Vec<&StorePart>, Vec<&StorePart>) =
        part.stores.iter().partition(|store| store.cuts.money.is_some());
    let mut out = String::new();
    if own.len() <= STORES_IN_WORDS {
        own.iter().for_each(|store| out.push_str(&hint(&in_words(store, part))));
    } else {
        let mut table = Table::new(
            "Cut points",
            &["Store", "R falls beyond days", "F rises above kept orders", "M rises above"],
        );
        for store in own {
            let CutPoints { r, f, money } = &store.cuts;
            let amounts = money.map(|money| amounts(&money.m, part)).unwrap_or_default();
            table.row([store.name.clone().unwrap_or_default(), list(r), list(f), amounts]);
        }
        out.push_str(&table.details());
    }
    match &fixed[..] {
        [] => {}
        [store] => out.push_str(&hint(&format!(
            "{} These are fixed, because the store has fewer than {CUSTOMERS_MIN} customers with a kept order.",
            in_words(store, part)
        ))),
        [store, ..] => out.push_str(&hint(&format!(
            "{} stores have fewer than {CUSTOMERS_MIN} customers with a kept order. For them cut points are fixed: R falls by one when the silence \
             exceeds {} days; F rises by one above {} kept orders.",
            count(fixed.len() as u64),
            list(&store.cuts.r),
            list(&store.cuts.f)
        ))),
    }
    out
}

fn in_words(store: &StorePart, part: &Part) -> String {
    let CutPoints { r, f, money } = &store.cuts;
    let which = store.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let amounts = money.map(|money| {
        format!("; M rises by one above {} for all kept orders together", amounts(&money.m, part))
    });
    format!(
        "{which}R falls by one when the silence exceeds {} days; F rises by one above {} kept orders{}.",
        list(r),
        list(f),
        amounts.unwrap_or_default()
    )
}

fn list(cuts: &[u64; 4]) -> String {
    cuts.map(count).join(", ")
}

fn amounts(cuts: &[u64; 4], part: &Part) -> String {
    let cuts = cuts.map(|cut| numbers::money(cut.into(), part.currency)).join(", ");
    format!("{cuts} {}", part.currency)
}

fn scores(part: &Part) -> String {
    let mut table = Table::new("Customers by score", &["Score", "1", "2", "3", "4", "5"]);
    for (name, counts) in ["R", "F", "M"].iter().zip(&part.retention.segments.scores) {
        table.row([(*name).to_owned()].into_iter().chain(counts.iter().map(|of| count(*of))));
    }
    table.details()
}

fn names(part: &Part, total: u64) -> String {
    let mut table = Table::new(
        "Segments, from the best on",
        &["Segment", "Customers", "Share", "Net value of all their orders", "What to do"],
    );
    let counts = &part.retention.segments;
    for segment in Segment::ALL {
        let customers = counts.segments[segment as usize];
        let mut net = ShopAmount::ZERO;
        for r in 1..=5u8 {
            for f in (1..=5u8).filter(|f| Segment::of(r, *f) == segment) {
                net += counts.cells[usize::from(r) - 1][usize::from(f) - 1].net;
            }
        }
        table.row([
            words(segment).to_owned(),
            count(customers),
            share(customers, total),
            money(net, part.currency),
            advice(segment).to_owned(),
        ]);
    }
    table.html()
}

/// The name in words.
pub(super) const fn words(segment: Segment) -> &'static str {
    match segment {
        Segment::Champions => "champions",
        Segment::Loyal => "loyal",
        Segment::PotentialLoyalist => "potential loyalist",
        Segment::New => "new",
        Segment::Promising => "promising",
        Segment::NeedAttention => "need attention",
        Segment::AboutToSleep => "about to sleep",
        Segment::CantLose => "can’t lose",
        Segment::Slipping => "slipping",
        Segment::Hibernating => "hibernating",
    }
}

const fn advice(segment: Segment) -> &'static str {
    match segment {
        Segment::Champions => "thank them, show them new things first; no discount is needed",
        Segment::Loyal => "reward the habit, ask for a recommendation",
        Segment::PotentialLoyalist => "lead them to the next order; a club or points fit here",
        Segment::New => "welcome them and help with the first purchase",
        Segment::Promising => "remind them of what goes with their first order",
        Segment::NeedAttention => "an offer for a limited time, from what they bought before",
        Segment::AboutToSleep => "write before they are gone: what is new since their last order",
        Segment::CantLose => "call or write by name: these were among the best",
        Segment::Slipping => "a personal letter with a reason to come back",
        Segment::Hibernating => "one try to win them back, then leave them alone",
    }
}

fn matrix(part: &Part) -> String {
    let counts = &part.retention.segments.matrix;
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return hint("There is none before a store has 100 customers with a kept order.");
    }
    let mut table = Table::new(
        "Customers beside the medians of their store",
        &["Place", "Customers", "Share", "What it means"],
    );
    for place in ValueMatrix::ALL {
        let (name, meaning) = match place {
            ValueMatrix::FrequentLarge => {
                ("frequent, large orders", "the core of the shop: keep them by service")
            }
            ValueMatrix::FrequentSmall => {
                ("frequent, small orders", "raise the order: bundles, a threshold for free delivery")
            }
            ValueMatrix::RareLarge => {
                ("rare, large orders", "raise the frequency: a reminder when the next purchase is due")
            }
            ValueMatrix::RareSmall => ("rare, small orders", "the second order first; do not spend much"),
        };
        let customers = counts[place as usize];
        table.row([name.to_owned(), count(customers), share(customers, total), meaning.to_owned()]);
    }
    let medians = part.stores.iter().filter_map(|store| Some((store.name.as_ref(), store.cuts.money?)));
    let medians = medians.map(|(name, cuts)| {
        let which = name.map(|name| format!("{name}: ")).unwrap_or_default();
        hint(&format!(
            "{which}Frequent means more than {} kept orders, large a mean order value above {}.",
            count(cuts.f_median),
            money(cuts.value_median, part.currency)
        ))
    });
    table.html() + &medians.collect::<String>()
}
