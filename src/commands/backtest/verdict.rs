//! What follows from a backtest: the settings that would have cost least, and one sentence about the policy in use.

use super::result::{CostPoint, MeanResult, PolicyResult, Recommended};
use crate::analysis::measures::Mean;

/// A policy that flags so many rightly may call customers lapsed.
const LAPSED_PRECISION_MIN: f64 = 0.9;

/// The share with the least cost, and below it the greatest one whose flags were right nine times in ten. Where none was so sure, lapsed
/// stays in its usual proportion to at risk.
pub(super) fn recommended(curve: &[CostPoint]) -> Recommended {
    let at_risk =
        curve[1..].iter().min_by(|one, other| one.cost.total_cmp(&other.cost)).expect("a curve has points");
    let below = || curve.iter().take_while(|point| point.share < at_risk.share);
    let is_sure =
        |point: &&CostPoint| point.precision.is_some_and(|precision| precision >= LAPSED_PRECISION_MIN);
    let in_proportion = |point: &&CostPoint| point.share <= at_risk.share * 0.4 / 0.75;
    let lapsed =
        below().filter(is_sure).last().or_else(|| below().filter(in_proportion).last()).unwrap_or(&curve[0]);
    Recommended {
        at_risk_share: at_risk.share,
        lapsed_share: lapsed.share,
        at_risk_flagged: at_risk.flagged_share,
        lapsed_flagged: lapsed.lapsed_flagged_share,
        cost: at_risk.cost,
    }
}

/// One sentence: a policy is better only if its cost is lower by more than two standard errors of the difference.
pub(super) fn verdict(policies: &[PolicyResult], cuts: usize) -> String {
    let in_use = policies.iter().find(|policy| policy.in_use).map_or("", |policy| &policy.name);
    let better = |policy: &&PolicyResult| {
        let difference =
            policy.cost_against_in_use.map(|mean| Mean { mean: mean.mean, error: mean.standard_error });
        difference.is_some_and(Mean::is_below_zero)
    };
    let difference = |policy: &PolicyResult| policy.cost_against_in_use.map_or(0.0, |mean| mean.mean);
    let best =
        policies.iter().filter(better).min_by(|one, other| difference(one).total_cmp(&difference(other)));
    match best {
        Some(best) => format!(
            "The policy {} would have cost {} a customer less than {in_use}, the policy in use, over {cuts} cuts: it is better.",
            best.name,
            best.cost_against_in_use
                .map_or(String::new(), |mean| MeanResult { mean: -mean.mean, ..mean }.text(2))
        ),
        None if cuts < 2 => format!(
            "One cut shows how {in_use}, the policy in use, did, but not whether another one is better."
        ),
        None => format!(
            "No policy would have cost less than {in_use}, the policy in use, by more than chance explains ({cuts} cuts)."
        ),
    }
}
