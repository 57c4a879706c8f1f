//! What more retention is worth.

use super::{count, mean_money, money};
use crate::commands::numbers::hundredths;
use crate::commands::report::html::{Table, hint, section};
use crate::commands::report::observed::Part;
use crate::domain::daily_count::projection::MONTHS;
use crate::domain::values::number::Ratio;

pub(in crate::commands::report) fn html(part: &Part, id: &str) -> String {
    let title = "What more retention is worth";
    let (Some(basis), Some(five)) = (part.count.projection_basis(), part.retention.projections.get(1)) else {
        return section(id, title, "There is no whole month to start from yet.", "");
    };
    let lead = format!(
        "If in every month {} of 100 earlier customers more came back, the next year would bring {} more.",
        five.points,
        money(five.year().1, part.currency)
    );
    let mut table = Table::new(
        "Net revenue of the next twelve months, from new customers at the pace of the last three months",
        &["Points more", "Month 12 as it is", "Month 12, more", "Year as it is", "Year, more", "More"],
    );
    for projection in &part.retention.projections {
        let last = MONTHS - 1;
        let (base, extra) = projection.year();
        let growth = Ratio::new(extra, base).filter(|_| base.minor() > 0);
        table.row([
            projection.points.to_string(),
            money(projection.base[last], part.currency),
            money(projection.extra[last], part.currency),
            money(base, part.currency),
            money(extra, part.currency),
            growth.map_or_else(crate::commands::numbers::none, |growth| {
                format!("{} %", growth.scaled_half_even(100))
            }),
        ]);
    }
    let about = hint(&format!(
        "It takes {} new customers a month, {} from an active customer in a month, and {} customers whose first order lies in the last 365 days. \
         “As it is” are only the customers still to come, returning by the retention curve; “more” are the points, of these and of the customers of the last year. \
         It is arithmetic, not a forecast: seasons and prices are left out.",
        hundredths(Some(basis.new_customers)),
        mean_money(Some(basis.value), part.currency),
        count(basis.earlier_customers),
    ));
    section(id, title, &lead, &(table.html() + &about))
}
