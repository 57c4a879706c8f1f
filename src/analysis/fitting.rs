//! A model from a cut: its parameters, how sure they are, and what it would have been worth earlier.

use crate::analysis::cut::{CustomerAtCut, Cut};
use crate::analysis::measures::{Scored, auc, brier};
use crate::domain::lapse::model::{Model, ModelVersion};
use crate::domain::model::correction::{self, Correction, Outcome};
use crate::domain::model::fit::{self, Fit, Prior};
use crate::domain::model::gamma_gamma::GammaGamma;
use crate::domain::values::time::{Span, Time};
use crate::wire::registry::{Check, CorrectionRecord, FittedOn, Instant, ModelRecord, Number, Params, Value};

/// Fewer repeaters than this, and the values of orders are not modelled.
const REPEATERS_MIN: usize = 100;

/// What was found at a cut.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    pub(crate) fit: Fit,
    pub(crate) value: Option<GammaGamma>,
    pub(crate) correction: Option<Correction>,
    /// What the gate of the correction saw: by how much it lowered the mean log-loss of the last complete cut, and the standard error.
    pub(crate) gain: Option<(f64, f64)>,
}

/// Fits everything to a cut. `complete` are earlier cuts of which all is known that followed, oldest first.
pub(crate) fn fitted(cut: &Cut, complete: &[&Cut], horizon: Span, prior: Prior) -> Fitted {
    let fit = fit::fit(&cut.rows(), prior);
    let value = fit::fit_values(&cut.value_rows(), REPEATERS_MIN);
    let plain = Model { orders: fit.model, value, ..Model::PRIOR };
    let (correction, gain) = correction_of(&plain, complete, horizon);
    Fitted { fit, value, correction, gain }
}

impl Fitted {
    /// As a model that counts from `effective_at` on.
    pub(crate) fn model(&self, version: ModelVersion, effective_at: Time) -> Model {
        Model {
            version,
            shop: None,
            effective_at,
            published_at: effective_at,
            orders: self.fit.model,
            value: self.value,
            correction: self.correction,
        }
    }
}

/// Fits the correction on all complete cuts but the last one and keeps it only if the mean log-loss of that one falls by more than two
/// standard errors; then it is fitted on all of them.
fn correction_of(
    model: &Model,
    complete: &[&Cut],
    horizon: Span,
) -> (Option<Correction>, Option<(f64, f64)>) {
    let outcomes: Vec<Vec<Outcome>> = complete.iter().map(|cut| outcomes(model, cut, horizon)).collect();
    let Some((last, earlier)) =
        outcomes.split_last().filter(|(last, earlier)| last.len() > 1 && !earlier.is_empty())
    else {
        return (None, None);
    };
    let Some(trial) = correction::fit(earlier) else { return (None, None) };
    let (gain, error) = correction::gain(&trial, last);
    let kept = if gain > 2.0 * error { correction::fit(&outcomes) } else { None };
    (kept, Some((gain, error)))
}

fn outcomes(model: &Model, cut: &Cut, horizon: Span) -> Vec<Outcome> {
    let plain = Model { correction: None, ..model.clone() };
    let scored = cut.scored(&plain, horizon);
    let outcome = |(customer, scored): (&CustomerAtCut, Scored)| {
        let values = customer.values.logs()?;
        Some(Outcome { probability: scored.score, values, ordered: scored.ordered })
    };
    cut.customers.iter().zip(scored).filter_map(outcome).collect()
}

/// How a model of a cut did in the horizon after it; none if all or none ordered.
pub(crate) fn check(model: &Model, cut: &Cut, horizon: Span) -> Option<Check> {
    let scored = cut.scored(model, horizon);
    Some(Check {
        horizon_days: u32::try_from(horizon.as_millis() / Span::DAY.as_millis()).unwrap_or(u32::MAX),
        auc: Number(auc(&scored)?),
        brier: Number(brier(&scored)),
        expected: Number(scored.iter().map(|row| row.score).sum()),
        seen: scored.iter().filter(|row| row.ordered).count() as u64,
    })
}

/// The record of a fit.
pub(crate) fn record(
    fitted: &Fitted,
    cut: &Cut,
    store_id: Option<String>,
    times: Times,
    check: Option<Check>,
) -> ModelRecord {
    let Fit { model, log_likelihood, log_errors, .. } = fitted.fit;
    let count = |is: fn(&&CustomerAtCut) -> bool| cut.customers.iter().filter(is).count() as u64;
    ModelRecord::new(ModelRecord {
        kind: String::new(),
        version: String::new(),
        math: 0,
        store_id,
        fitted_at: Instant(times.fitted_at),
        effective_at: Instant(times.effective_at),
        params: Params::of([model.r, model.alpha_days, model.a, model.b]),
        log_se: log_errors.map(Params::of),
        value: fitted.value.map(|value| Value { p: Number(value.p), q: Number(value.q), v: Number(value.v) }),
        correction: fitted.correction.map(|correction| CorrectionRecord {
            mean: Number(correction.mean),
            last: Number(correction.last),
            mean_centre: Number(correction.mean_centre),
            last_centre: Number(correction.last_centre),
            shift: Number(correction.shift),
        }),
        fitted_on: FittedOn {
            customers: cut.customers.len() as u64,
            repeaters: count(|customer| customer.values.purchase_days > 1),
            orders: cut.customers.iter().map(|customer| u64::from(customer.values.orders)).sum(),
            from: Instant(times.from),
            to: Instant(cut.at),
        },
        log_likelihood: Number(log_likelihood),
        check,
        withdrawn_at: None,
    })
}

/// When things happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The first record of the history.
    pub(crate) from: Time,
    pub(crate) fitted_at: Time,
    pub(crate) effective_at: Time,
}

/// The first UTC midnight that is at least a day after `published_at`: by then every partition has the record.
pub(crate) fn effective_after(published_at: Time) -> Time {
    let day_later = published_at.plus(Span::DAY);
    if day_later.as_millis() % Span::DAY.as_millis() == 0 { day_later } else { day_later.next_midnight() }
}
