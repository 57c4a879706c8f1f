//! Signals in the words of the metrics.

use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{Cause, Signal};
use crate::observe::metrics::{SignalType, TimerOutcome};

pub fn signal_type(kind: &SignalKind) -> SignalType {
    match kind {
        SignalKind::FirstOrder { .. } => SignalType::FirstOrder,
        SignalKind::SecondOrder { .. } => SignalType::SecondOrder,
        SignalKind::AtRisk(_) => SignalType::AtRisk,
        SignalKind::Lapsed(_) => SignalType::Lapsed,
        SignalKind::Recovered { .. } => SignalType::Recovered,
        SignalKind::WonBack { .. } => SignalType::WonBack,
        SignalKind::LapseRetracted { .. } => SignalType::LapseRetracted,
        SignalKind::FrequencyFell(_) => SignalType::FrequencyFell,
        SignalKind::FrequencyRose(_) => SignalType::FrequencyRose,
        SignalKind::OrderValueFell(_) => SignalType::OrderValueFell,
        SignalKind::OrderValueRose(_) => SignalType::OrderValueRose,
        SignalKind::ReturnRateHigh { .. } => SignalType::ReturnRateHigh,
        SignalKind::OrderCancelled { .. } => SignalType::OrderCancelled,
        SignalKind::OrderReturned { .. } => SignalType::OrderReturned,
        SignalKind::BecameProspect => SignalType::BecameProspect,
    }
}

/// Which timer fired, if one caused the signal.
pub fn timer_outcome(signal: &Signal) -> Option<TimerOutcome> {
    match (&signal.cause, signal_type(&signal.kind)) {
        (Cause::Deadline(_), SignalType::Lapsed) => Some(TimerOutcome::Lapsed),
        (Cause::Deadline(_), _) => Some(TimerOutcome::AtRisk),
        (Cause::Expiry(_), _) => Some(TimerOutcome::ReturnRateHigh),
        (
            Cause::Record(_)
            | Cause::DeadlineByRecord(..)
            | Cause::Cancelled(_)
            | Cause::Returned(_)
            | Cause::Retraction(..),
            _,
        ) => None,
    }
}
