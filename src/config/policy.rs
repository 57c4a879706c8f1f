//! The lapse policy and the thresholds of ratio signals.

use super::keys::{self, PolicyName, Setting};
use super::reader::Reader;
use crate::domain::lapse::model::ModelSettings;
use crate::domain::lapse::{Cadence, LapsePolicy};
use crate::domain::settings::Thresholds;
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
    let (frequency_fell, frequency_fell_rearm) =
        fires_above(reader, &keys::SIGNALS_FREQUENCY_FELL, &keys::SIGNALS_FREQUENCY_FELL_REARM);
    let (frequency_rose, frequency_rose_rearm) =
        fires_below(reader, &keys::SIGNALS_FREQUENCY_ROSE, &keys::SIGNALS_FREQUENCY_ROSE_REARM);
    let (order_value_fell, order_value_fell_rearm) =
        fires_below(reader, &keys::SIGNALS_ORDER_VALUE_FELL, &keys::SIGNALS_ORDER_VALUE_FELL_REARM);
    let (order_value_rose, order_value_rose_rearm) =
        fires_above(reader, &keys::SIGNALS_ORDER_VALUE_ROSE, &keys::SIGNALS_ORDER_VALUE_ROSE_REARM);
    let (return_rate_high, return_rate_high_rearm) =
        fires_above(reader, &keys::SIGNALS_RETURN_RATE_HIGH, &keys::SIGNALS_RETURN_RATE_HIGH_REARM);
    Thresholds {
        frequency_fell,
        frequency_fell_rearm,
        frequency_rose,
        frequency_rose_rearm,
        order_value_fell,
        order_value_fell_rearm,
        order_value_rose,
        order_value_rose_rearm,
        return_rate_high,
        return_rate_high_rearm,
        earlier_min: reader.get(&keys::SIGNALS_EARLIER_MIN),
        return_rate_orders_min: reader.get(&keys::SIGNALS_RETURN_RATE_ORDERS_MIN),
    }
}

/// The thresholds of a signal that fires at or above one and is armed again below the other.
fn fires_above(
    reader: &mut Reader<'_>,
    fire: &Setting<Decimal>,
    rearm: &Setting<Decimal>,
) -> (Decimal, Decimal) {
    let (fire_at, rearm_at) = (reader.get(fire), reader.get(rearm));
    apart(reader, fire, rearm, !is_above(rearm_at, fire_at), "at most");
    (fire_at, rearm_at)
}

/// The thresholds of a signal that fires at or below one and is armed again above the other.
fn fires_below(
    reader: &mut Reader<'_>,
    fire: &Setting<Decimal>,
    rearm: &Setting<Decimal>,
) -> (Decimal, Decimal) {
    let (fire_at, rearm_at) = (reader.get(fire), reader.get(rearm));
    apart(reader, fire, rearm, !is_above(fire_at, rearm_at), "at least");
    (fire_at, rearm_at)
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
