//! Scores that rank customers by whether they order.

use super::Judged;
use super::result::{MeanResult, RocResult, ScoreResult};
use crate::analysis::cut::CustomerAtCut;
use crate::analysis::measures::{Scored, auc, bins, brier, calibration_error, mean_log_loss, roc};
use crate::domain::lapse::model::Model;
use crate::domain::lapse::{Cadence, LapsePolicies, LapsePolicy};
use crate::domain::values::time::Span;
use crate::wire::hash;

/// Baselines rank too, but give no probability.
pub(super) fn scores(judged: &[Judged], horizon: Span) -> Vec<ScoreResult> {
    let cadence = LapsePolicies::new(LapsePolicy::Cadence(Cadence::default()), hash::hash);
    let by = |name, is_probability: bool, score: &dyn Fn(&Judged) -> Vec<Scored>| {
        let scored: Vec<Vec<Scored>> = judged.iter().map(score).collect();
        let aucs: Vec<Option<f64>> = scored.iter().map(|scored| auc(scored)).collect();
        let mean = |measure: &dyn Fn(&[Scored]) -> f64| {
            is_probability
                .then(|| MeanResult::of(scored.iter().map(|scored| Some(measure(scored)))))
                .flatten()
        };
        ScoreResult {
            name,
            auc: MeanResult::of(aucs.clone()),
            auc_by_cut: aucs,
            brier: mean(&brier),
            log_loss: mean(&mean_log_loss),
            calibration_error: mean(&|scored| calibration_error(&bins(scored))),
        }
    };
    let each = |judged: &Judged, score: &dyn Fn(&CustomerAtCut) -> f64| -> Vec<Scored> {
        let scored =
            |customer: &CustomerAtCut| Scored { score: score(customer), ordered: customer.after.placed };
        judged.cut.customers.iter().map(scored).collect()
    };
    let silence = |judged: &Judged, customer: &CustomerAtCut| {
        judged.cut.at.since(customer.history.last_order_at).as_millis() as f64
    };
    vec![
        by("silence", false, &|judged| each(judged, &|customer| -silence(judged, customer))),
        by("purchase days", false, &|judged| {
            each(judged, &|customer| f64::from(customer.values.purchase_days))
        }),
        by("silence by rhythm", false, &|judged| {
            each(judged, &|customer| {
                let gap = cadence.expected_gap(&customer.history).expect("cadence expects a gap");
                -silence(judged, customer) * gap.denominator as f64 / gap.numerator as f64
            })
        }),
        by("model, prior", true, &|judged| judged.cut.scored(&Model::PRIOR, horizon)),
        by("model, fitted", true, &|judged| {
            let plain = Model { correction: None, ..judged.model.clone() };
            judged.cut.scored(&plain, horizon)
        }),
        by("model, fitted, by value", true, &|judged| judged.cut.scored(&judged.model, horizon)),
    ]
}

/// The curves of the plainest and the best score at a cut.
pub(super) fn curves(judged: &Judged, horizon: Span) -> Vec<RocResult> {
    let silence = judged.cut.customers.iter().map(|customer| Scored {
        score: -(judged.cut.at.since(customer.history.last_order_at).as_millis() as f64),
        ordered: customer.after.placed,
    });
    let scored = [
        ("silence", silence.collect::<Vec<_>>()),
        ("model, prior", judged.cut.scored(&Model::PRIOR, horizon)),
        ("model, fitted, by value", judged.cut.scored(&judged.model, horizon)),
    ];
    let curve = |(name, scored): (&'static str, Vec<Scored>)| Some(RocResult { name, found: roc(&scored)? });
    scored.into_iter().filter_map(curve).collect()
}
