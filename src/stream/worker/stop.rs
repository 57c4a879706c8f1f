//! Why a worker ends the service.

use crate::exit::{Exit, Failure};
use crate::observe::metrics::FatalKind;
use crate::stream::broker::{BrokerError, Cause, Unknown};
use crate::stream::partition::dead_letters::LimitReached;
use crate::stream::rules::Rules;
use crate::topic::{Output, Partition, Topic};

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

    pub(in crate::stream) fn caused(kind: FatalKind, cause: Cause, context: &'static str) -> Self {
        Self { kind, exit: exit(kind), error: anyhow::Error::from_boxed(cause).context(context) }
    }

    /// An output that no topic would take.
    pub(in crate::stream) fn too_large(message: String) -> Self {
        Self { exit: Exit::Data, ..Self::new(FatalKind::Configuration, message) }
    }

    /// Everything before the record that would cross the limit is committed.
    pub(super) fn dead_letters(partition: Partition, reached: &LimitReached, rules: &Rules) -> Self {
        Self::new(FatalKind::DeadLetterLimit, explain(partition, reached, rules))
    }

    pub(super) fn in_partition(self, partition: Partition) -> Self {
        Self { error: self.error.context(format!("partition {partition}")), ..self }
    }

    /// What cannot be used although it was checked before.
    pub fn from_failure(failure: Failure) -> Self {
        Self { kind: kind(failure.exit), exit: failure.exit, error: failure.error }
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
            BrokerError::Retry(cause) => Self::caused(FatalKind::Unavailable, cause, "Kafka does not answer"),
            BrokerError::OutcomeUnknown(Unknown::Fenced | Unknown::Failed, cause)
            | BrokerError::AbortTransaction(cause) => {
                Self::caused(FatalKind::Internal, cause, "use the client outside of a transaction")
            }
        }
    }
}

/// What was refused, how far the partition is committed, and what an operator should do.
fn explain(partition: Partition, reached: &LimitReached, rules: &Rules) -> String {
    let LimitReached { input, offset, refusal, dead_letters, records, by_reason, offsets } = reached;
    let reason = refusal.reason;
    let known: u32 = by_reason.values().sum();
    let mut details: Vec<String> =
        by_reason.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
    let earlier = dead_letters - known;
    if earlier > 0 {
        details.push(format!("{earlier} before the last start"));
    }
    details.extend(offsets.iter().map(|(input, (first, last))| {
        format!("offsets {} to {} of {}", first.0, last.0, rules.topic_name(Topic::Input(*input)))
    }));
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    format!(
        "{dead_letters} of the last {records} records of partition {partition} were refused{details}; the record at offset \
         {offset} of {topic} ({reason}: {detail}) would cross `dead_letters.max_share` ({share}). Everything before it is committed, \
         and what was refused is in {letters}: `retention-signals dead-letters list --partition {partition}` shows it. {advice}, \
         then start again; to pass over what was appended before, start with --accept-dead-letters-before and the time at which \
         that was mended (docs/RUNBOOK.md, The dead-letter limit)",
        offset = offset.0,
        topic = rules.topic_name(Topic::Input(*input)),
        reason = reason.name(),
        detail = refusal.detail,
        share = rules.dead_letters.share_max,
        letters = rules.topic_name(Topic::Output(Output::DeadLetters)),
        advice = reason.advice(),
    )
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
        // No worker ends with a plan, or unhealthy.
        Exit::Unhealthy | Exit::Pending | Exit::Internal => FatalKind::Internal,
        Exit::Permission => FatalKind::Permission,
    }
}
