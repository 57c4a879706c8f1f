//! The lapse policy and the thresholds of ratio signals.

use super::keys::{self, PolicyName, Setting};
use super::reader::Reader;
use crate::domain::lapse::model::ModelSettings;
use crate::domain::lapse::{Cadence, LapsePolicy};
use crate::domain::signals::ratio_signal::{Direction, RatioSignal, Thresholds};
use crate::domain::values::number::Decimal;
use crate::domain::values::time::Span;

/// The policy in force; the settings of the others are checked too.
pub(super) fn read_lapse(reader: &mut Reader<'_>) -> LapsePolicy {
    let fixed = read_fixed(reader);
    let cadence = read_cadence(reader);
    let model = read_model(reader);
    match reader.get(&keys::LAPSE_POLICY) {
        PolicyName::Fixed => fixed,
        PolicyName::Cadence => LapsePolicy::Cadence(cadence),
        PolicyName::Model => LapsePolicy::Model(model),
    }
}

fn read_fixed(reader: &mut Reader<'_>) -> LapsePolicy {
    let mut span = |setting: &Setting<Decimal>| {
        let days = reader.get(setting);
        let millis = days.numerator() * i128::from(Span::DAY.as_millis()) / days.denominator();
        Span::from_millis(i64::try_from(millis).expect("bounded by the table"))
    };
    let (at_risk, lapsed) = (span(&keys::LAPSE_FIXED_AT_RISK_DAYS), span(&keys::LAPSE_FIXED_LAPSED_DAYS));
    above(reader, &keys::LAPSE_FIXED_LAPSED_DAYS, &keys::LAPSE_FIXED_AT_RISK_DAYS);
    LapsePolicy::Fixed { at_risk, lapsed }
}

fn read_cadence(reader: &mut Reader<'_>) -> Cadence {
    let cadence = Cadence {
        prior_gap: reader.get(&keys::LAPSE_CADENCE_PRIOR_GAP_DAYS),
        prior_weight: reader.get(&keys::LAPSE_CADENCE_PRIOR_WEIGHT),
        at_risk_factor: reader.get(&keys::LAPSE_CADENCE_AT_RISK_FACTOR),
        at_risk_min: reader.get(&keys::LAPSE_CADENCE_AT_RISK_DAYS_MIN),
        at_risk_max: reader.get(&keys::LAPSE_CADENCE_AT_RISK_DAYS_MAX),
        lapsed_factor: reader.get(&keys::LAPSE_CADENCE_LAPSED_FACTOR),
        lapsed_min: reader.get(&keys::LAPSE_CADENCE_LAPSED_DAYS_MIN),
        lapsed_max: reader.get(&keys::LAPSE_CADENCE_LAPSED_DAYS_MAX),
    };
    above(reader, &keys::LAPSE_CADENCE_AT_RISK_DAYS_MAX, &keys::LAPSE_CADENCE_AT_RISK_DAYS_MIN);
    above(reader, &keys::LAPSE_CADENCE_LAPSED_DAYS_MAX, &keys::LAPSE_CADENCE_LAPSED_DAYS_MIN);
    above(reader, &keys::LAPSE_CADENCE_LAPSED_FACTOR, &keys::LAPSE_CADENCE_AT_RISK_FACTOR);
    above(reader, &keys::LAPSE_CADENCE_LAPSED_DAYS_MIN, &keys::LAPSE_CADENCE_AT_RISK_DAYS_MIN);
    above(reader, &keys::LAPSE_CADENCE_LAPSED_DAYS_MAX, &keys::LAPSE_CADENCE_AT_RISK_DAYS_MAX);
    cadence
}

fn read_model(reader: &mut Reader<'_>) -> ModelSettings {
    let model = ModelSettings {
        horizon: reader.get(&keys::LAPSE_MODEL_HORIZON),
        at_risk_share: reader.get(&keys::LAPSE_MODEL_AT_RISK_SHARE),
        lapsed_share: reader.get(&keys::LAPSE_MODEL_LAPSED_SHARE),
        at_risk_min: reader.get(&keys::LAPSE_MODEL_AT_RISK_DAYS_MIN),
        at_risk_max: reader.get(&keys::LAPSE_MODEL_AT_RISK_DAYS_MAX),
        lapsed_min: reader.get(&keys::LAPSE_MODEL_LAPSED_DAYS_MIN),
        lapsed_max: reader.get(&keys::LAPSE_MODEL_LAPSED_DAYS_MAX),
    };
    above(reader, &keys::LAPSE_MODEL_AT_RISK_SHARE, &keys::LAPSE_MODEL_LAPSED_SHARE);
    above(reader, &keys::LAPSE_MODEL_AT_RISK_DAYS_MAX, &keys::LAPSE_MODEL_AT_RISK_DAYS_MIN);
    above(reader, &keys::LAPSE_MODEL_LAPSED_DAYS_MAX, &keys::LAPSE_MODEL_LAPSED_DAYS_MIN);
    above(reader, &keys::LAPSE_MODEL_LAPSED_DAYS_MIN, &keys::LAPSE_MODEL_AT_RISK_DAYS_MIN);
    above(reader, &keys::LAPSE_MODEL_LAPSED_DAYS_MAX, &keys::LAPSE_MODEL_AT_RISK_DAYS_MAX);
    model
}

/// When ratio signals fire and are armed again.
pub(super) fn read_thresholds(reader: &mut Reader<'_>) -> Thresholds {
    let (earlier_min, orders_min) =
        (reader.get(&keys::SIGNALS_EARLIER_MIN), reader.get(&keys::SIGNALS_RETURN_RATE_ORDERS_MIN));
    Thresholds::new(|signal| read_threshold(reader, signal), earlier_min, orders_min)
}

/// The ratio at which a signal fires, and the one beyond which it is armed again.
fn read_threshold(reader: &mut Reader<'_>, signal: RatioSignal) -> (Decimal, Decimal) {
    let (fires, rearms) = keys::thresholds(signal);
    let (fires_at, rearms_at) = (reader.get(fires), reader.get(rearms));
    match signal.direction() {
        Direction::Rising => apart(reader, fires, rearms, !is_above(rearms_at, fires_at), "at most"),
        Direction::Falling => apart(reader, fires, rearms, !is_above(fires_at, rearms_at), "at least"),
    }
    (fires_at, rearms_at)
}

fn apart(
    reader: &mut Reader<'_>,
    fire: &Setting<Decimal>,
    rearm: &Setting<Decimal>,
    holds: bool,
    bound: &str,
) {
    let (fire_at, rearm_at) = (reader.get(fire), reader.get(rearm));
    reader.relation([&rearm.key, &fire.key], holds, || {
        let fire = fire.key.path;
        format!(
            "{rearm_at} would arm a signal again that has just fired; give {bound} {fire}, which is {fire_at}"
        )
    });
}

fn above(reader: &mut Reader<'_>, greater: &Setting<Decimal>, lesser: &Setting<Decimal>) {
    let (value, bound) = (reader.get(greater), reader.get(lesser));
    reader.relation([&greater.key, &lesser.key], is_above(value, bound), || {
        let lesser = lesser.key.path;
        format!("{value} must be above {lesser}, which is {bound}; raise the one or lower the other")
    });
}

fn is_above(left: Decimal, right: Decimal) -> bool {
    left.numerator() * right.denominator() > right.numerator() * left.denominator()
}
