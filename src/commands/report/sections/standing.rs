//! Where the shop stands.

use super::{count, mean_money, money, share};
use crate::commands::numbers::{hundredths, none, percent};
use crate::commands::report::html::{Table, escape, hint, paragraph, put, section};
use crate::commands::report::observed::Part;
use crate::commands::report::stage;
use crate::domain::daily_count::stage::ShopStage;
use crate::domain::engine::shop_totals::WindowTotals;
use crate::domain::signals::signal::State;
use crate::domain::values::number::Ratio;
use crate::domain::values::window::YEAR;

/// From so many kept orders of a customer in a year on, a single shop counts as one with frequent orders.
const FREQUENT_FROM: u64 = 2;

/// The table of more stores than that is folded away.
const STORES_IN_SIGHT: usize = 20;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let year = &part.totals.windows[YEAR];
    let months = part.count.cohorts.first_month().map_or(0, |first| part.count.current.since(first));
    let stage = ShopStage::of(months, part.totals.windows[0].kept, part.totals.windows[2].kept);
    let lead = format!("The shop is at the stage “{}”. {}", stage::title(stage), stage::advice(stage));
    let mut body = tiles(part, year);
    body.push_str(&states(part));
    body.push_str("<h3>Why this stage</h3>\n");
    body.push_str(&paragraph(&format!(
        "The first kept order in the files lies {months} calendar months back, and the last 90 days have {} kept orders: {} a month. \
         If the shop is older than the files, it is further than this says.",
        count(part.totals.windows[2].kept),
        count(part.totals.windows[2].kept / 3),
    )));
    body.push_str(&stage::table(stage).html());
    body.push_str("<h3>Its place in the value matrix</h3>\n");
    body.push_str(&place(part));
    section(id, "Where the shop stands", &lead, &body)
}

fn tiles(part: &Part, year: &WindowTotals) -> String {
    let currency = part.currency;
    let tiles = [
        ("Customers with an order", count(year.customers_placed), "in the last 365 days".to_owned()),
        (
            "Net revenue",
            money(year.net(), currency),
            format!("{} sold, less what was refunded and cancelled", money(year.gross, currency)),
        ),
        (
            "Repeat purchase rate",
            percent(Ratio::new(year.repeat_kept, year.customers_kept)),
            format!(
                "{} of {} customers kept two orders or more",
                count(year.repeat_kept),
                count(year.customers_kept)
            ),
        ),
        (
            "Purchase frequency",
            hundredths(Ratio::new(year.kept, year.customers_kept)),
            "kept orders of a customer in the year".to_owned(),
        ),
        (
            "Average order value",
            mean_money(Ratio::new(year.net(), year.kept), currency),
            "net revenue for each kept order".to_owned(),
        ),
        (
            "Customer value",
            mean_money(Ratio::new(year.net(), year.customers_kept), currency),
            "net revenue of a customer in the year: the two before, multiplied".to_owned(),
        ),
    ];
    let mut out = String::from("<dl class=\"tiles\">\n");
    for (name, figure, about) in tiles {
        put(
            &mut out,
            format_args!(
                "<div><dt>{}</dt><dd><b>{}</b><span class=\"soft\">{}</span></dd></div>\n",
                escape(name),
                escape(&figure),
                escape(&about)
            ),
        );
    }
    out.push_str("</dl>\n");
    out
}

fn states(part: &Part) -> String {
    let total = part.totals.total();
    let mut table =
        Table::new("Customers by state at the end", &["State", "Customers", "Share", "What it means"]);
    for (state, name, meaning) in [
        (State::Active, "Active", "ordered lately, as far as the own rhythm goes"),
        (State::AtRisk, "At risk", "silent for longer than usual: now is the time to write"),
        (State::Lapsed, "Lapsed", "silent for so long that most do not come back by themselves"),
        (State::Prospect, "Prospect", "known, but without an order that was kept"),
    ] {
        let customers = part.totals.customers_of(state);
        table.row([name.to_owned(), count(customers), share(customers, total), meaning.to_owned()]);
    }
    format!("<h3>Customers by state</h3>\n{}", table.html())
}

fn place(part: &Part) -> String {
    let frequency = |of: &WindowTotals| Ratio::new(of.kept, of.customers_kept);
    let value = |of: &WindowTotals| Ratio::new(of.net(), of.kept);
    let year = &part.totals.windows[YEAR];
    if part.stores.len() < 2 {
        let is_frequent = year.kept >= FREQUENT_FROM * year.customers_kept && year.kept > 0;
        let side = if is_frequent { "frequent" } else { "rare" };
        let text = format!(
            "Purchase frequency {} and average order value {}: orders are {side} (the rule: frequent from {FREQUENT_FROM} kept orders of a customer in 365 days on). \
             Whether orders are large or small only shows beside other stores.",
            hundredths(frequency(year)),
            mean_money(value(year), part.currency),
        );
        let meaning = match is_frequent {
            true => {
                "Frequent orders: keep the habit going. Reminders, refills and a reward for the next order do more than discounts."
            }
            false => {
                "Rare orders: the second order is the hurdle. A good reason to come back soon after the first one does most."
            }
        };
        return paragraph(&text) + &hint(meaning);
    }
    let medians = (median(part, frequency), median(part, value));
    let mut table = Table::new(
        "The stores beside their medians, of the last 365 days",
        &["Store", "Purchase frequency", "Average order value", "Place"],
    );
    for store in &part.stores {
        let of = &store.totals.windows[YEAR];
        let (often, large) = (is_above(frequency(of), medians.0), is_above(value(of), medians.1));
        let words = [
            ["rare, small orders", "rare, large orders"],
            ["frequent, small orders", "frequent, large orders"],
        ];
        let place = match (often, large) {
            (Some(often), Some(large)) => words[usize::from(often)][usize::from(large)].to_owned(),
            (None, _) | (_, None) => none(),
        };
        let name = store.name.clone().unwrap_or_default();
        table.row([name, hundredths(frequency(of)), mean_money(value(of), part.currency), place]);
    }
    if part.stores.len() > STORES_IN_SIGHT { table.details() } else { table.html() }
}

/// The lower median of the stores that have the figure.
fn median(part: &Part, figure: impl Fn(&WindowTotals) -> Option<Ratio>) -> Option<Ratio> {
    let mut ratios: Vec<Ratio> =
        part.stores.iter().filter_map(|store| figure(&store.totals.windows[YEAR])).collect();
    ratios.sort_by_key(|ratio| ratio.scaled_half_even(1_000_000));
    ratios.get(ratios.len().saturating_sub(1) / 2).copied()
}

fn is_above(ratio: Option<Ratio>, median: Option<Ratio>) -> Option<bool> {
    ratio
        .zip(median)
        .map(|(ratio, median)| ratio.numerator * median.denominator > median.numerator * ratio.denominator)
}
