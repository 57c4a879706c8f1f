//! Signals in the words of the metrics.

use crate::domain::signals::kind::SignalType;
use crate::domain::signals::signal::{Cause, Signal};
use crate::observe::metrics::TimerOutcome;

/// Which timer fired, if one caused the signal.
pub fn timer_outcome(signal: &Signal) -> Option<TimerOutcome> {
    match (&signal.cause, signal.kind.signal_type()) {
        (Cause::Deadline(_), SignalType::Lapsed) => Some(TimerOutcome::Lapsed),
        (Cause::Deadline(_), _) => Some(TimerOutcome::AtRisk),
        (Cause::Expiry(_), SignalType::TierChanged) => Some(TimerOutcome::TierChanged),
        (Cause::Expiry(_), _) => Some(TimerOutcome::ReturnRateHigh),
        (Cause::Boundary(_), _) => Some(TimerOutcome::SegmentChanged),
        (
            Cause::Record(_)
            | Cause::DeadlineByRecord(..)
            | Cause::Cancelled(_)
            | Cause::Returned(_)
            | Cause::Retraction(..)
            | Cause::Rule(_)
            | Cause::GuestRule(_),
            _,
        ) => None,
    }
}
