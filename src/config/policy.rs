//! The lapse policy and the thresholds of ratio signals.

use super::reader::Reader;
use crate::domain::lapse::{Cadence, LapsePolicy};
use crate::domain::settings::Thresholds;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::Span;

/// The policy in force; the settings of the other one are checked too.
pub(super) fn read_lapse(reader: &mut Reader<'_>) -> LapsePolicy {
    let fixed = read_fixed(reader);
    let cadence = read_cadence(reader);
    match reader.choice("lapse.policy") {
        "fixed" => fixed,
        _ => LapsePolicy::Cadence(cadence),
    }
}

fn read_fixed(reader: &mut Reader<'_>) -> LapsePolicy {
    let mut span = |path| {
        let days = reader.decimal(path);
        let millis = days.numerator() * i128::from(Span::DAY.as_millis()) / days.denominator();
        Span::from_millis(i64::try_from(millis).expect("bounded by the table"))
    };
    let (at_risk, lapsed) = (span("lapse.fixed.at_risk_days"), span("lapse.fixed.lapsed_days"));
    above(reader, "lapse.fixed.lapsed_days", "lapse.fixed.at_risk_days");
    LapsePolicy::Fixed { at_risk, lapsed }
}

fn read_cadence(reader: &mut Reader<'_>) -> Cadence {
    let path = |name: &str| format!("lapse.cadence.{name}");
    let mut decimal = |name| reader.decimal(&path(name));
    let cadence = Cadence {
        prior_gap: decimal("prior_gap_days"),
        prior_weight: decimal("prior_weight"),
        at_risk_factor: decimal("at_risk_factor"),
        at_risk_min: decimal("at_risk_days_min"),
        at_risk_max: decimal("at_risk_days_max"),
        lapsed_factor: decimal("lapsed_factor"),
        lapsed_min: decimal("lapsed_days_min"),
        lapsed_max: decimal("lapsed_days_max"),
    };
    let names = [
        ("at_risk_days_max", "at_risk_days_min"),
        ("lapsed_days_max", "lapsed_days_min"),
        ("lapsed_factor", "at_risk_factor"),
        ("lapsed_days_min", "at_risk_days_min"),
        ("lapsed_days_max", "at_risk_days_max"),
    ];
    for (greater, lesser) in names {
        let (greater, lesser) = (path(greater), path(lesser));
        above(reader, &greater, &lesser);
    }
    cadence
}

/// When ratio signals fire and are armed again.
pub(super) fn read_thresholds(reader: &mut Reader<'_>) -> Thresholds {
    let path = |name: &str| format!("signals.{name}");
    for (fire, rearm, fires_above) in [
        ("frequency_fell", "frequency_fell_rearm", true),
        ("frequency_rose", "frequency_rose_rearm", false),
        ("order_value_fell", "order_value_fell_rearm", false),
        ("order_value_rose", "order_value_rose_rearm", true),
        ("return_rate_high", "return_rate_high_rearm", true),
    ] {
        let (fire, rearm) = (path(fire), path(rearm));
        let (fire_at, rearm_at) = (reader.decimal(&fire), reader.decimal(&rearm));
        let (holds, bound) = if fires_above {
            (!is_above(rearm_at, fire_at), "at most")
        } else {
            (!is_above(fire_at, rearm_at), "at least")
        };
        reader.relation([&rearm, &fire], holds, || {
            format!("{rearm_at} would arm a signal again that has just fired; give {bound} {fire}, which is {fire_at}")
        });
    }
    let mut decimal = |name| reader.decimal(&path(name));
    Thresholds {
        frequency_fell: decimal("frequency_fell"),
        frequency_fell_rearm: decimal("frequency_fell_rearm"),
        frequency_rose: decimal("frequency_rose"),
        frequency_rose_rearm: decimal("frequency_rose_rearm"),
        order_value_fell: decimal("order_value_fell"),
        order_value_fell_rearm: decimal("order_value_fell_rearm"),
        order_value_rose: decimal("order_value_rose"),
        order_value_rose_rearm: decimal("order_value_rose_rearm"),
        return_rate_high: decimal("return_rate_high"),
        return_rate_high_rearm: decimal("return_rate_high_rearm"),
        earlier_min: u32::try_from(reader.count(&path("earlier_min"))).expect("bounded by the table"),
        return_rate_orders_min: u32::try_from(reader.count(&path("return_rate_orders_min")))
            .expect("bounded by the table"),
    }
}

fn above(reader: &mut Reader<'_>, greater: &str, lesser: &str) {
    let (value, bound) = (reader.decimal(greater), reader.decimal(lesser));
    reader.relation([greater, lesser], is_above(value, bound), || {
        format!("{value} must be above {lesser}, which is {bound}; raise the one or lower the other")
    });
}

fn is_above(left: Decimal, right: Decimal) -> bool {
    left.numerator() * right.denominator() > right.numerator() * left.denominator()
}
