//! The JSON of `?explain`: how a customer's profile came about.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence_body::{self, JudgedByBody, RecordsBody, TierBody, UpcomingBody};
use super::rule_evidence_body::{self, RuleBody};
use super::status_body::instant;
use crate::domain::engine::explain::{Explanation, NextChange, Remembered, WindowBounds};
use crate::domain::lapse::model::ModelSettings;
use crate::domain::lapse::{Cadence, LapsePolicy};
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::ratio_signal::RatioSignal;
use crate::domain::signals::signal::OpenAlert;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::{Span, Time};
use crate::stream::query::Explained;
use crate::wire::hash::SignalId;

#[derive(Serialize)]
pub(super) struct ExplanationBody {
    policy: PolicyBody,
    history: Option<HistoryBody>,
    deadlines: Option<DeadlinesBody>,
    next: Option<NextBody>,
    emitted: EmittedBody,
    windows: WindowsBody,
    remembered: RememberedBody,
    records: RecordsBody,
    gaps_days: Vec<i32>,
    judged_by: Option<JudgedByBody>,
    upcoming: Vec<UpcomingBody>,
    tier: Option<TierBody>,
    rules: Vec<RuleBody>,
}

#[derive(Serialize)]
struct PolicyBody {
    name: &'static str,
    version: String,
    parameters: ParametersBody,
}

/// Each under the name of its setting.
#[derive(Serialize)]
#[serde(untagged)]
enum ParametersBody {
    Fixed {
        at_risk_days: f64,
        lapsed_days: f64,
    },
    Cadence {
        prior_gap_days: f64,
        prior_weight: f64,
        at_risk_factor: f64,
        at_risk_days_min: f64,
        at_risk_days_max: f64,
        lapsed_factor: f64,
        lapsed_days_min: f64,
        lapsed_days_max: f64,
    },
    Model {
        horizon_days: f64,
        at_risk_share: f64,
        lapsed_share: f64,
        at_risk_days_min: f64,
        at_risk_days_max: f64,
        lapsed_days_min: f64,
        lapsed_days_max: f64,
    },
}

#[derive(Serialize)]
struct HistoryBody {
    gaps: u32,
    span_days: i32,
    last_order_at: String,
}

#[derive(Serialize)]
struct DeadlinesBody {
    at_risk: String,
    lapsed: String,
}

#[derive(Serialize)]
struct NextBody {
    at: String,
    change: &'static str,
}

#[derive(Serialize)]
struct EmittedBody {
    state: &'static str,
    first_order: bool,
    second_order: bool,
    at_risk: Option<AlertBody>,
    lapsed: Option<AlertBody>,
    armed: BTreeMap<&'static str, bool>,
}

#[derive(Serialize)]
struct AlertBody {
    id: String,
    deadline: String,
    cause: &'static str,
}

#[derive(Serialize)]
struct WindowsBody {
    #[serde(rename = "30d")]
    days_30: WindowBody,
    #[serde(rename = "90d")]
    days_90: WindowBody,
    #[serde(rename = "365d")]
    days_365: WindowBody,
}

#[derive(Serialize)]
struct WindowBody {
    after: String,
    up_to: String,
    next_end: Option<String>,
}

#[derive(Serialize)]
struct RememberedBody {
    orders: usize,
    returns: usize,
    cancellations: usize,
    folded_orders: u32,
    newest_folded_order_at: Option<String>,
}

pub(super) fn explanation(explained: &Explained) -> ExplanationBody {
    let Explained { explanation, at_risk, lapsed, names } = explained;
    let Explanation {
        policy,
        policy_settings,
        history,
        deadlines,
        next,
        windows,
        remembered,
        evidence,
        tier,
        rules,
        ..
    } = explanation;
    ExplanationBody {
        policy: PolicyBody {
            name: policy.name,
            version: format!("{:016x}", policy.version),
            parameters: parameters(policy_settings),
        },
        history: history.map(|history| HistoryBody {
            gaps: history.repeat_days,
            span_days: history.span_days,
            last_order_at: time(history.last_order_at),
        }),
        deadlines: deadlines.map(|deadlines| DeadlinesBody {
            at_risk: time(deadlines.at_risk),
            lapsed: time(deadlines.lapsed),
        }),
        next: next.map(|(at, change)| NextBody {
            at: time(at),
            change: match change {
                NextChange::State(state) => state.name(),
                NextChange::Segment => SignalType::SegmentChanged.name(),
                NextChange::Rule => SignalType::Rule.name(),
                NextChange::ReturnRate => SignalType::ReturnRateHigh.name(),
                NextChange::Tier => SignalType::TierChanged.name(),
            },
        }),
        emitted: emitted(explanation, *at_risk, *lapsed),
        windows: {
            let [days_30, days_90, days_365] = windows.map(window);
            WindowsBody { days_30, days_90, days_365 }
        },
        remembered: remembered_body(remembered),
        records: evidence_body::records(evidence, names),
        gaps_days: evidence.gaps_days.clone(),
        judged_by: evidence.judged_by.as_ref().map(evidence_body::judged_by),
        upcoming: evidence.upcoming.iter().map(evidence_body::upcoming).collect(),
        tier: tier.as_ref().map(|tier| evidence_body::tier(tier, evidence.currency)),
        rules: rules.iter().map(rule_evidence_body::rule).collect(),
    }
}

fn parameters(policy: &LapsePolicy) -> ParametersBody {
    match policy {
        LapsePolicy::Fixed { at_risk, lapsed } => {
            ParametersBody::Fixed { at_risk_days: days(*at_risk), lapsed_days: days(*lapsed) }
        }
        LapsePolicy::Cadence(Cadence {
            prior_gap,
            prior_weight,
            at_risk_factor,
            at_risk_min,
            at_risk_max,
            lapsed_factor,
            lapsed_min,
            lapsed_max,
        }) => ParametersBody::Cadence {
            prior_gap_days: decimal(*prior_gap),
            prior_weight: decimal(*prior_weight),
            at_risk_factor: decimal(*at_risk_factor),
            at_risk_days_min: decimal(*at_risk_min),
            at_risk_days_max: decimal(*at_risk_max),
            lapsed_factor: decimal(*lapsed_factor),
            lapsed_days_min: decimal(*lapsed_min),
            lapsed_days_max: decimal(*lapsed_max),
        },
        LapsePolicy::Model(ModelSettings {
            horizon,
            at_risk_share,
            lapsed_share,
            at_risk_min,
            at_risk_max,
            lapsed_min,
            lapsed_max,
        }) => ParametersBody::Model {
            horizon_days: days(*horizon),
            at_risk_share: decimal(*at_risk_share),
            lapsed_share: decimal(*lapsed_share),
            at_risk_days_min: decimal(*at_risk_min),
            at_risk_days_max: decimal(*at_risk_max),
            lapsed_days_min: decimal(*lapsed_min),
            lapsed_days_max: decimal(*lapsed_max),
        },
    }
}

fn emitted(explanation: &Explanation, at_risk: Option<SignalId>, lapsed: Option<SignalId>) -> EmittedBody {
    let emitted = &explanation.emitted;
    let alert = |id: Option<SignalId>, open: Option<OpenAlert>| {
        id.zip(open).map(|(id, open)| AlertBody {
            id: id.to_string(),
            deadline: time(open.deadline),
            cause: if open.record.is_some() { "record" } else { "deadline" },
        })
    };
    EmittedBody {
        state: emitted.state().name(),
        first_order: emitted.first_order,
        second_order: emitted.second_order,
        at_risk: alert(at_risk, emitted.lifecycle.at_risk()),
        lapsed: alert(lapsed, emitted.lifecycle.lapsed()),
        armed: RatioSignal::ALL.map(|signal| (signal.signal_type().name(), emitted.armed.is(signal))).into(),
    }
}

fn window(bounds: WindowBounds) -> WindowBody {
    let WindowBounds { after, up_to, next_end } = bounds;
    WindowBody { after: time(after), up_to: time(up_to), next_end: next_end.map(time) }
}

fn remembered_body(remembered: &Remembered) -> RememberedBody {
    let Remembered { orders, returns, cancellations, folded_orders, newest_folded_order_at } = *remembered;
    RememberedBody {
        orders,
        returns,
        cancellations,
        folded_orders,
        newest_folded_order_at: newest_folded_order_at.map(time),
    }
}

fn time(time: Time) -> String {
    instant(time.as_millis())
}

fn days(span: Span) -> f64 {
    span.as_millis() as f64 / Span::DAY.as_millis() as f64
}

/// A setting has few digits, so that the nearest float is written as the setting was.
fn decimal(decimal: Decimal) -> f64 {
    decimal.numerator() as f64 / decimal.denominator() as f64
}
