//! How one attempt to write a transaction ends.

use crate::observe::metrics::FatalKind;
use crate::stream::broker::{BrokerError, Cause, Unknown};
use crate::stream::worker::Stop;

/// How one attempt ended.
pub(in crate::stream) enum Attempt {
    Committed,
    Aborted(Cause),
    Unknown(Unknown, Cause),
}

/// Why one attempt was given up.
pub(in crate::stream) enum AttemptError {
    /// Nothing of it was written.
    Abort(Cause),
    Unknown(Unknown, Cause),
    Stop(Stop),
}

impl AttemptError {
    /// The outcome of a commit could not be learned.
    pub(in crate::stream) fn unresolved(self) -> Stop {
        match self {
            Self::Stop(stop) => stop,
            Self::Abort(cause) | Self::Unknown(_, cause) => Stop::caused(
                FatalKind::OutcomeUnknown,
                cause,
                "Kafka did not answer; the last commit's outcome is unknown and is resolved at the next start",
            ),
        }
    }
}

impl From<BrokerError> for AttemptError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Retry(cause) | BrokerError::AbortTransaction(cause) => Self::Abort(cause),
            BrokerError::OutcomeUnknown(unknown, cause) => Self::Unknown(unknown, cause),
            BrokerError::Stop(..) => Self::Stop(error.into()),
        }
    }
}
