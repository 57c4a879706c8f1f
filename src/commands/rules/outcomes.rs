//! What customers did after rules would have fired, as a table.

use super::trial::table;
use crate::commands::numbers::{grouped, none, percent};
use crate::domain::daily_count::outcomes::{Comparison, Outcome, OutcomeGroup, RuleOutcomes};

/// A row for each group; empty without any.
pub(super) fn text(outcomes: &RuleOutcomes) -> String {
    let head =
        ["rule", "did", "customers", "ordered", "share", "against withheld"].map(str::to_owned).to_vec();
    let groups = outcomes.groups().map(|(group, outcome)| row(outcomes, group, outcome));
    let rows: Vec<Vec<String>> = [head].into_iter().chain(groups).collect();
    if rows.len() == 1 {
        return String::new();
    }
    format!(
        "\nwho ordered within `measure` of the last firing (nothing was sent in a history, so that a difference is chance)\n{}",
        table(&rows)
    )
}

fn row(outcomes: &RuleOutcomes, group: OutcomeGroup<'_>, outcome: &Outcome) -> Vec<String> {
    let name = [group.rule, group.variant].join(" ");
    let did = if group.withheld { "withheld" } else { "fired" };
    let compared = match group.withheld {
        true => String::new(),
        false => {
            let Comparison { difference, margin, .. } =
                Comparison::new(outcome, &outcomes.withheld(group.rule));
            if difference.is_none() {
                none()
            } else {
                format!("{} ± {}", percent(difference), percent(margin))
            }
        }
    };
    let numbers = [outcome.customers, outcome.ordered].map(|number| grouped(number.into()));
    let [customers, ordered] = numbers;
    let share = percent(outcome.ordered_share());
    vec![name.trim_end().to_owned(), did.to_owned(), customers, ordered, share, compared]
}
