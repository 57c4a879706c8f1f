//! What an error of the Kafka client means to the caller: one table.
//!
//! The client gives three properties with an error of a transactional call (retriable, requires abort, fatal) and everywhere
//! a code. The first row of [`TABLE`] that fits decides.

use std::ffi::CStr;
use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka_sys as sys;

use crate::exit::Exit;
use crate::stream::broker::{BrokerError, Unknown};

/// What was called. The same error means another thing to another call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Making a client from its settings.
    Create,
    /// Asking about topics, offsets or the group.
    Query,
    /// Joining, assigning, giving back, polling.
    Group,
    /// Reading records.
    Fetch,
    /// `init_transactions`: ends what the predecessor left open.
    OpenProducer,
    Begin,
    Send,
    /// What the delivery of a sent record came to.
    Flush,
    SendOffsets,
    Commit,
    Abort,
}

/// An error of the client, with its own message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientError {
    pub call: Call,
    pub code: Code,
    pub retriable: bool,
    pub requires_abort: bool,
    pub fatal: bool,
    /// The client's words.
    pub message: String,
}

/// What a row does with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Retry,
    Abort,
    Unknown(Unknown),
    Stop(Exit),
}

/// One line of the table: these calls, these errors, this verdict.
struct Row {
    calls: &'static [Call],
    errors: Errors,
    verdict: Verdict,
}

enum Errors {
    Codes(&'static [Code]),
    Retriable,
    RequiresAbort,
    Fatal,
    Any,
}

const EVERY_CALL: &[Call] = &[
    Call::Create,
    Call::Query,
    Call::Group,
    Call::Fetch,
    Call::OpenProducer,
    Call::Begin,
    Call::Send,
    Call::Flush,
    Call::SendOffsets,
    Call::Commit,
    Call::Abort,
];

const OF_THE_PRODUCER: &[Call] =
    &[Call::OpenProducer, Call::Begin, Call::Send, Call::Flush, Call::SendOffsets];

const FENCED: &[Code] = &[Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch];

const FORBIDDEN: &[Code] = &[
    Code::Authentication,
    Code::SaslAuthenticationFailed,
    Code::TopicAuthorizationFailed,
    Code::GroupAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::TransactionalIdAuthorizationFailed,
];

/// What the client retries itself or the next call may find better.
const PASSING: &[Code] = &[
    Code::OperationTimedOut,
    Code::TimedOutQueue,
    Code::RequestTimedOut,
    Code::BrokerTransportFailure,
    Code::AllBrokersDown,
    Code::Resolve,
    Code::WaitingForCoordinator,
    Code::InProgress,
    Code::PreviousInProgress,
    Code::State,
    Code::WaitCache,
    Code::Retry,
    Code::LeaderNotAvailable,
    Code::NotLeaderForPartition,
    Code::BrokerNotAvailable,
    Code::ReplicaNotAvailable,
    Code::NetworkException,
    Code::CoordinatorLoadInProgress,
    Code::CoordinatorNotAvailable,
    Code::NotCoordinator,
    Code::FencedLeaderEpoch,
    Code::UnknownLeaderEpoch,
    Code::OffsetNotAvailable,
    Code::UnstableOffsetCommit,
    Code::KafkaStorageError,
];

/// The order matters: the first row that fits decides.
const TABLE: &[Row] = &[
    // The client goes on in the background; the same call picks its result up.
    Row { calls: &[Call::Commit, Call::Abort], errors: Errors::Retriable, verdict: Verdict::Retry },
    // A stall beyond the transaction timeout reads "fenced" without any rival, and a commit that is reported as failed may
    // have succeeded: only the broker knows.
    Row {
        calls: &[Call::Commit, Call::Abort],
        errors: Errors::Codes(FENCED),
        verdict: Verdict::Unknown(Unknown::Fenced),
    },
    Row {
        calls: &[Call::Commit, Call::Abort],
        errors: Errors::Any,
        verdict: Verdict::Unknown(Unknown::Failed),
    },
    Row { calls: &[Call::Create], errors: Errors::Any, verdict: Verdict::Stop(Exit::Configuration) },
    Row { calls: EVERY_CALL, errors: Errors::Codes(FORBIDDEN), verdict: Verdict::Stop(Exit::Permission) },
    // Topics, partitions and broker versions do not change by asking again.
    Row {
        calls: EVERY_CALL,
        errors: Errors::Codes(&[
            Code::UnknownTopic,
            Code::UnknownPartition,
            Code::UnknownTopicOrPartition,
            Code::UnknownTopicId,
            Code::InvalidTopic,
            Code::InvalidPartitions,
            Code::InvalidReplicationFactor,
            Code::InvalidConfig,
            Code::PolicyViolation,
            Code::InvalidGroupId,
            Code::InvalidSessionTimeout,
            Code::InvalidTransactionTimeout,
            Code::InconsistentGroupProtocol,
            Code::FencedInstanceId,
            Code::UnsupportedVersion,
            Code::UnsupportedFeature,
            Code::UnsupportedForMessageFormat,
            Code::UnsupportedSASLMechanism,
            Code::SecurityDisabled,
        ]),
        verdict: Verdict::Stop(Exit::Configuration),
    },
    // The position lies outside of the log: records were deleted unread, or the topic is another one.
    Row {
        calls: &[Call::Fetch, Call::Query],
        errors: Errors::Codes(&[Code::AutoOffsetReset, Code::OffsetOutOfRange, Code::LogTruncation]),
        verdict: Verdict::Stop(Exit::Configuration),
    },
    // Sent again it would be refused again.
    Row {
        calls: OF_THE_PRODUCER,
        errors: Errors::Codes(&[
            Code::MessageSizeTooLarge,
            Code::MessageBatchTooLarge,
            Code::InvalidMessageSize,
            Code::InvalidMessage,
            Code::InvalidRecord,
            Code::InvalidTimestamp,
            Code::OffsetMetadataTooLarge,
        ]),
        verdict: Verdict::Stop(Exit::Data),
    },
    Row { calls: OF_THE_PRODUCER, errors: Errors::Codes(FENCED), verdict: Verdict::Unknown(Unknown::Fenced) },
    Row { calls: OF_THE_PRODUCER, errors: Errors::Fatal, verdict: Verdict::Unknown(Unknown::Failed) },
    Row { calls: OF_THE_PRODUCER, errors: Errors::RequiresAbort, verdict: Verdict::Abort },
    Row { calls: &[Call::Send], errors: Errors::Codes(&[Code::QueueFull]), verdict: Verdict::Retry },
    // The client takes no more records because the transaction has failed already.
    Row { calls: &[Call::Send], errors: Errors::Codes(&[Code::State]), verdict: Verdict::Abort },
    Row {
        calls: &[Call::OpenProducer, Call::Begin, Call::Flush, Call::SendOffsets],
        errors: Errors::Retriable,
        verdict: Verdict::Retry,
    },
    // Records that the client purged or gave up; the transaction lacks them.
    Row { calls: &[Call::Flush], errors: Errors::Any, verdict: Verdict::Abort },
    Row { calls: &[Call::OpenProducer], errors: Errors::Codes(PASSING), verdict: Verdict::Retry },
    Row { calls: OF_THE_PRODUCER, errors: Errors::Any, verdict: Verdict::Unknown(Unknown::Failed) },
    Row {
        calls: &[Call::Query, Call::Group, Call::Fetch],
        errors: Errors::Codes(PASSING),
        verdict: Verdict::Retry,
    },
    Row { calls: &[Call::Group], errors: Errors::Fatal, verdict: Verdict::Stop(Exit::Unavailable) },
    // Wrong arguments are our defect.
    Row {
        calls: EVERY_CALL,
        errors: Errors::Codes(&[Code::InvalidArgument, Code::Conflict, Code::NotImplemented]),
        verdict: Verdict::Stop(Exit::Internal),
    },
    Row { calls: EVERY_CALL, errors: Errors::Any, verdict: Verdict::Retry },
];

impl ClientError {
    /// An error that has a code alone.
    pub fn new(call: Call, code: Code) -> Self {
        Self {
            call,
            code,
            retriable: false,
            requires_abort: false,
            // The one code for it.
            fatal: code == Code::Fatal,
            message: code.to_string(),
        }
    }

    /// An error of the safe client.
    pub fn from_kafka(call: Call, error: &KafkaError) -> Self {
        let code = if let KafkaError::AdminOp(code) = error {
            *code
        } else {
            error.rdkafka_error_code().unwrap_or(Code::Fail)
        };
        Self {
            fatal: matches!(error, KafkaError::MessageConsumptionFatal(_)),
            message: error.to_string(),
            ..Self::new(call, code)
        }
    }

    /// Takes over an error that a function of librdkafka returned; none if it is null.
    ///
    /// # Safety
    /// `error` is null or an error that only this call owns.
    #[expect(unsafe_code, reason = "librdkafka hands errors over as owned pointers")]
    pub unsafe fn from_native(call: Call, error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the pointer is not null and, as the caller promises, valid; it is destroyed once, here, and the text is
        // copied before.
        unsafe {
            let found = Self {
                call,
                code: sys::rd_kafka_error_code(error).into(),
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                message: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            };
            sys::rd_kafka_error_destroy(error);
            Err(found)
        }
    }

    /// A call that did not end within its time.
    pub fn timed_out(call: Call) -> Self {
        Self { retriable: true, ..Self::new(call, Code::OperationTimedOut) }
    }

    /// Whether this may be no more than a connection that did not come about.
    pub fn is_passing(&self) -> bool {
        PASSING.contains(&self.code)
    }

    /// Whether the brokers refuse what was asked, or who asks.
    pub fn is_refusal(&self) -> bool {
        FORBIDDEN.contains(&self.code)
    }

    /// Whether the brokers refuse the log-in itself.
    pub fn is_of_log_in(&self) -> bool {
        matches!(self.code, Code::Authentication | Code::SaslAuthenticationFailed)
    }

    /// Whether something has failed before that is worth more: records were purged, or no more are taken.
    pub fn is_consequence(&self) -> bool {
        matches!(self.code, Code::PurgeQueue | Code::PurgeInflight | Code::State)
    }

    /// By what the caller must do.
    pub fn into_broker_error(self) -> BrokerError {
        match self.verdict() {
            Verdict::Retry => BrokerError::retry(self),
            Verdict::Abort => BrokerError::AbortTransaction(Box::new(self)),
            Verdict::Unknown(unknown) => BrokerError::OutcomeUnknown(unknown, Box::new(self)),
            Verdict::Stop(kind) => BrokerError::stop(kind, self),
        }
    }

    fn verdict(&self) -> Verdict {
        TABLE
            .iter()
            .find(|row| row.calls.contains(&self.call) && row.errors.contain(self))
            .expect("the last row fits every error")
            .verdict
    }
}

impl From<ClientError> for BrokerError {
    fn from(error: ClientError) -> Self {
        error.into_broker_error()
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.call, self.message)
    }
}

impl std::error::Error for ClientError {}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create the Kafka client",
            Self::Query => "ask the brokers",
            Self::Group => "take part in the group",
            Self::Fetch => "fetch records",
            Self::OpenProducer => "open the transactional producer",
            Self::Begin => "begin a transaction",
            Self::Send => "send a record",
            Self::Flush => "deliver records",
            Self::SendOffsets => "send offsets",
            Self::Commit => "commit the transaction",
            Self::Abort => "abort the transaction",
        })
    }
}

impl Errors {
    fn contain(&self, error: &ClientError) -> bool {
        match self {
            Self::Codes(codes) => codes.contains(&error.code),
            Self::Retriable => error.retriable,
            Self::RequiresAbort => error.requires_abort,
            Self::Fatal => error.fatal,
            Self::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(call: Call, code: Code) -> ClientError {
        ClientError::new(call, code)
    }

    fn retriable(call: Call, code: Code) -> ClientError {
        ClientError { retriable: true, ..error(call, code) }
    }

    fn abortable(call: Call, code: Code) -> ClientError {
        ClientError { requires_abort: true, ..error(call, code) }
    }

    fn fatal(call: Call, code: Code) -> ClientError {
        ClientError { fatal: true, ..error(call, code) }
    }

    /// Which row applies, and its class.
    fn check(error: ClientError, row: usize, verdict: Verdict) {
        let found =
            TABLE.iter().position(|row| row.calls.contains(&error.call) && row.errors.contain(&error));
        assert_eq!((found, error.verdict()), (Some(row), verdict), "{error:?}");
    }

    macro_rules! rows {
        ($($name:ident: $($error:expr),+ => $row:literal, $verdict:expr;)+) => {$(
            #[test]
            fn $name() {
                $(check($error, $row, $verdict);)+
            }
        )+
            /// One test a row, so that a new row comes with its own.
            #[test]
            fn every_row_has_its_test() {
                let tested = [$($row),+];
                assert_eq!(tested.to_vec(), (0..TABLE.len()).collect::<Vec<_>>());
            }
        };
    }

    const UNKNOWN: Verdict = Verdict::Unknown(Unknown::Failed);
    const FENCED_OFF: Verdict = Verdict::Unknown(Unknown::Fenced);

    rows! {
        a_slice_of_a_commit_is_made_again:
            retriable(Call::Commit, Code::OperationTimedOut), retriable(Call::Abort, Code::Conflict)
            => 0, Verdict::Retry;
        a_fenced_commit_is_unknown:
            fatal(Call::Commit, Code::Fenced), fatal(Call::Abort, Code::InvalidProducerEpoch) => 1, FENCED_OFF;
        any_other_end_of_a_commit_is_unknown:
            abortable(Call::Commit, Code::Inconsistent), fatal(Call::Commit, Code::TransactionalIdAuthorizationFailed),
            error(Call::Abort, Code::State) => 2, UNKNOWN;
        a_client_that_cannot_be_made_is_a_setting:
            error(Call::Create, Code::Fail) => 3, Verdict::Stop(Exit::Configuration);
        a_refused_permission_stops:
            abortable(Call::SendOffsets, Code::GroupAuthorizationFailed), error(Call::Query, Code::Authentication),
            error(Call::Flush, Code::TopicAuthorizationFailed),
            fatal(Call::OpenProducer, Code::TransactionalIdAuthorizationFailed) => 4, Verdict::Stop(Exit::Permission);
        a_missing_topic_stops:
            error(Call::Query, Code::UnknownTopicOrPartition), error(Call::Send, Code::UnknownPartition),
            fatal(Call::Group, Code::FencedInstanceId) => 5, Verdict::Stop(Exit::Configuration);
        a_position_outside_of_the_log_stops:
            error(Call::Fetch, Code::AutoOffsetReset), error(Call::Query, Code::OffsetOutOfRange)
            => 6, Verdict::Stop(Exit::Configuration);
        a_record_that_no_topic_takes_stops:
            error(Call::Send, Code::MessageSizeTooLarge), error(Call::Flush, Code::InvalidRecord),
            abortable(Call::SendOffsets, Code::OffsetMetadataTooLarge) => 7, Verdict::Stop(Exit::Data);
        a_fenced_producer_is_replaced:
            fatal(Call::SendOffsets, Code::Fenced), error(Call::Flush, Code::ProducerFenced),
            fatal(Call::OpenProducer, Code::Fenced) => 8, FENCED_OFF;
        a_dead_producer_is_replaced:
            error(Call::Send, Code::Fatal), fatal(Call::SendOffsets, Code::InvalidTransactionalState) => 9, UNKNOWN;
        a_zombie_generation_aborts:
            abortable(Call::SendOffsets, Code::IllegalGeneration), abortable(Call::SendOffsets, Code::UnknownMemberId)
            => 10, Verdict::Abort;
        a_full_queue_is_waited_for: error(Call::Send, Code::QueueFull) => 11, Verdict::Retry;
        a_failed_transaction_takes_no_records: error(Call::Send, Code::State) => 12, Verdict::Abort;
        a_retriable_call_is_made_again:
            retriable(Call::SendOffsets, Code::BrokerTransportFailure), retriable(Call::OpenProducer, Code::Conflict),
            ClientError::timed_out(Call::Flush) => 13, Verdict::Retry;
        an_undelivered_record_aborts:
            error(Call::Flush, Code::MessageTimedOut), error(Call::Flush, Code::PurgeQueue) => 14, Verdict::Abort;
        a_producer_that_does_not_open_in_time_is_tried_again:
            error(Call::OpenProducer, Code::OperationTimedOut) => 15, Verdict::Retry;
        what_the_client_says_nothing_about_ends_the_producer:
            error(Call::Begin, Code::State), error(Call::SendOffsets, Code::State) => 16, UNKNOWN;
        an_unreachable_broker_is_asked_again:
            error(Call::Query, Code::AllBrokersDown), error(Call::Fetch, Code::BrokerTransportFailure),
            error(Call::Query, Code::UnstableOffsetCommit) => 17, Verdict::Retry;
        a_dead_member_stops: fatal(Call::Group, Code::Fatal) => 18, Verdict::Stop(Exit::Unavailable);
        a_wrong_argument_is_our_defect: error(Call::Query, Code::InvalidArgument) => 19, Verdict::Stop(Exit::Internal);
        anything_else_is_tried_again: error(Call::Query, Code::Fail), error(Call::Group, Code::Unknown) => 20, Verdict::Retry;
    }

    #[test]
    fn an_error_tells_what_was_attempted() {
        let error = error(Call::Commit, Code::Fenced);
        assert!(error.to_string().starts_with("commit the transaction: Fenced"), "{error}");
    }
}
