//! Why a worker ends the service.

use crate::exit::{Exit, Failure};
use crate::observe::metrics::FatalKind;
use crate::stream::broker::{BrokerError, Cause, Unknown};
use crate::stream::partition::apply::LimitCrossed;
use crate::topic::Partition;

/// The end of a worker, and with it of the service.
#[derive(Debug)]
pub struct Stop {
    /// For the metric.
    pub kind: FatalKind,
    exit: Exit,
    error: anyhow::Error,
}

impl Stop {
    pub fn new(kind: FatalKind, message: impl Into<String>) -> Self {
        Self { kind, exit: exit(kind), error: anyhow::Error::msg(message.into()) }
    }

    pub(super) fn caused(kind: FatalKind, cause: Cause, context: &'static str) -> Self {
        Self { kind, exit: exit(kind), error: anyhow::Error::from_boxed(cause).context(context) }
    }

    /// An output that no topic would take.
    pub(super) fn too_large(message: String) -> Self {
        Self { exit: Exit::Data, ..Self::new(FatalKind::Configuration, message) }
    }

    pub(super) fn dead_letters(partition: Partition, crossed: LimitCrossed) -> Self {
        let LimitCrossed { dead_letters, records } = crossed;
        Self::new(
            FatalKind::DeadLetterLimit,
            format!(
                "{dead_letters} of the last {records} records of partition {partition} are dead letters, more than \
                 `dead_letters.max_share` allows: look at the topic of dead letters, mend what writes them, and start again"
            ),
        )
    }

    pub(super) fn in_partition(self, partition: Partition) -> Self {
        Self { error: self.error.context(format!("partition {partition}")), ..self }
    }

    /// As the process ends.
    pub fn into_failure(self) -> Failure {
        Failure::new(self.exit, self.error)
    }

    /// The whole chain, for logs.
    pub fn message(&self) -> String {
        format!("{:#}", self.error)
    }
}

impl From<BrokerError> for Stop {
    /// For calls whose failure nothing can be done about.
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Stop(exit, cause) => {
                Self { kind: kind(exit), exit, error: anyhow::Error::from_boxed(cause) }
            }
            BrokerError::Retry(cause) => Self::caused(FatalKind::Unavailable, cause, "reach the brokers"),
            BrokerError::OutcomeUnknown(Unknown::Fenced | Unknown::Failed, cause)
            | BrokerError::AbortTransaction(cause) => {
                Self::caused(FatalKind::Internal, cause, "use the client outside of a transaction")
            }
        }
    }
}

fn exit(kind: FatalKind) -> Exit {
    match kind {
        FatalKind::Configuration | FatalKind::Fenced => Exit::Configuration,
        FatalKind::Permission => Exit::Permission,
        FatalKind::Unavailable | FatalKind::OutcomeUnknown => Exit::Unavailable,
        FatalKind::DeadLetterLimit => Exit::Data,
        FatalKind::Internal => Exit::Internal,
    }
}

fn kind(exit: Exit) -> FatalKind {
    match exit {
        Exit::Usage | Exit::Data | Exit::Configuration => FatalKind::Configuration,
        Exit::Unavailable => FatalKind::Unavailable,
        Exit::Internal => FatalKind::Internal,
        Exit::Permission => FatalKind::Permission,
    }
}
