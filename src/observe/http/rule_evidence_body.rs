//! The part of `?explain` that says where each rule stands.

use serde::Serialize;

use super::status_body::instant;
use crate::config::format_duration;
use crate::domain::engine::rule_evidence::{Hindrance, RuleEvidence};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::time::Time;

#[derive(Serialize)]
pub(super) struct RuleBody {
    rule: String,
    on: &'static str,
    variant: Option<String>,
    action: &'static str,
    planned: Vec<String>,
    cancel_on: Vec<&'static str>,
    next_turn: Option<String>,
    last: Option<LastBody>,
    hindrance: Option<HindranceBody>,
}

#[derive(Serialize)]
struct LastBody {
    at: String,
    number: u64,
}

#[derive(Serialize)]
struct HindranceBody {
    reason: &'static str,
    detail: Option<String>,
}

pub(super) fn rule(evidence: &RuleEvidence) -> RuleBody {
    let RuleEvidence { rule, trigger, variant, action, planned, cancel_on, next_turn, last, hindrance } =
        evidence;
    RuleBody {
        rule: rule.to_string(),
        on: trigger,
        variant: variant.as_deref().map(str::to_owned),
        action: action.name(),
        planned: planned.iter().copied().map(time).collect(),
        cancel_on: cancel_on.iter().map(SignalType::name).collect(),
        next_turn: next_turn.map(time),
        last: last.map(|(at, number)| LastBody { at: time(at), number }),
        hindrance: hindrance.as_ref().map(self::hindrance),
    }
}

fn hindrance(hindrance: &Hindrance) -> HindranceBody {
    let (reason, detail) = match hindrance {
        Hindrance::SwitchedOff => ("switched_off", None),
        Hindrance::FiredOnce => ("fired_once", None),
        Hindrance::CoolDown { until } => ("cool_down", Some(format!("until {}", time(*until)))),
        Hindrance::Condition { part, value: None } => ("condition", Some(part.clone())),
        Hindrance::Condition { part, value: Some(value) } => {
            ("condition", Some(format!("{part}, is {value}")))
        }
        Hindrance::Cap { name, fired, per } => (
            "cap",
            Some(format!("{fired} of {name} within {}", format_duration(per.as_millis().unsigned_abs()))),
        ),
    };
    HindranceBody { reason, detail }
}

fn time(time: Time) -> String {
    instant(time.as_millis())
}
