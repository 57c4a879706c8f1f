//! The port: what one worker slot needs from a log, and its errors by what the caller must do.
//!
//! Two implementations exist: `kafka` and the strict simulated broker of the tests. The worker knows neither. Time and
//! waiting come through here too, so that a simulation owns them: nothing behind the port may read a clock or sleep.
//!
//! ```text
//!  worker thread:   poll ─► group events ─► assign / unassign          wait ◄─ records, group events, waker
//!                   fetch ─► batches of records
//!                   begin ─► send ─► flush ─► send_offsets ─► commit   (or abort; open_producer starts afresh)
//!  beside it:       spawn(task) ─► a Lookup of its own: committed offsets, watermarks, changelog
//! ```
//!
//! **Bounded calls.** Every call that may block takes `within`, the longest that it may take. When that passes it fails with
//! [`BrokerError::Retry`]: the same call, made again, goes on where it was. `Duration::ZERO` asks without waiting. A call does not
//! fail so before, so a caller that repeats it at once does not spin.

use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::exit::Exit;
use crate::topic::{Input, Output, Partition, PerInput, Topic};

/// The broker aborts a transaction that is open for longer. No other bound on a commit may come near it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed, for the log; what to do about it is in [`BrokerError`].
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed call, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Make the same call again; it goes on where it was.
    #[error("not done yet")]
    Retry(#[source] Cause),
    /// Nothing of the open transaction was written: abort it, then write it again.
    #[error("the transaction must be aborted")]
    AbortTransaction(#[source] Cause),
    /// The producer cannot be used any more, and whether its last transaction was committed is unknown: open a new one and ask.
    #[error("the outcome of the transaction is unknown")]
    OutcomeUnknown(Unknown, #[source] Cause),
    /// Repeating does not help: end the service.
    #[error("the service cannot go on")]
    Stop(Exit, #[source] Cause),
}

impl BrokerError {
    pub fn retry(cause: impl Into<Cause>) -> Self {
        Self::Retry(cause.into())
    }

    pub fn stop(exit: Exit, cause: impl Into<Cause>) -> Self {
        Self::Stop(exit, cause.into())
    }
}

/// What ended a producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// The broker holds a newer producer with this transactional id, or has given this one up after its timeout.
    Fenced,
    Failed,
}

/// Where a record lies in its partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Offset(pub u64);

impl Offset {
    /// The position after this record.
    pub const fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

/// The next offset to read; every record below it was read. Also the end of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What the group's coordinator decided about partitions of `orders`. Only recorded when it happens, acted upon after the poll.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupEvent {
    /// To be answered by [`Session::assign`], also when empty.
    Assigned(Vec<Partition>),
    /// To be answered by [`Session::unassign`], after the last commit for these partitions.
    Revoked(Vec<Partition>),
    /// Others may own these already: to be answered by [`Session::unassign`], without a commit.
    Lost(Vec<Partition>),
}

/// A monotonic instant, from an origin of the implementation's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(pub Duration);

impl Moment {
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Zero if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The host's clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    pub monotonic: Moment,
    /// CLOCK_BOOTTIME: goes on while the machine sleeps.
    pub boot: Duration,
    /// Wall time, milliseconds since 1970.
    pub wall_ms: i64,
}

/// A record as it lies in a batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub offset: Offset,
    /// Milliseconds since 1970, of the producer or of the broker as the topic is configured; none in old formats.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// Records of one partition in the order of their offsets, held without a copy until it is dropped.
pub trait RecordBatch {
    fn len(&self) -> usize;

    /// # Panics
    /// If `index` is not below [`Self::len`].
    fn get(&self, index: usize) -> RecordView<'_>;

    /// Whether a record has a header of this name. Not for every record: it may have to be parsed.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`].
    fn has_header(&self, index: usize, name: &CStr) -> bool;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far an input was taken, as the client knows without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchProgress {
    /// Behind the last record that [`Broker::fetch`] gave and the control records after it.
    pub position: Position,
    /// From the last answer to a fetch; none before the first.
    pub high_watermark: Option<Position>,
}

/// A record to write in the open transaction.
#[derive(Clone, Copy, Debug)]
pub struct OutputRecord<'a> {
    pub output: Output,
    /// None: by the key (murmur2); without a key, any.
    pub partition: Option<Partition>,
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A record that the combiner writes, to shop metrics or to the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CombinedRecord {
    pub topic: Topic,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// The worker's membership in its group, as the client knows it at one moment. It fences the offsets of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// Negative while not a member.
    pub generation: i32,
    /// Empty while not a member.
    pub member: String,
}

impl Membership {
    /// Whether a broker would check the generation at all: one without a member is accepted blindly.
    pub fn is_fencing(&self) -> bool {
        self.generation >= 0 && !self.member.is_empty()
    }
}

/// The next position of one input, to be committed with a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextOffset<'a> {
    pub input: Input,
    pub partition: Partition,
    pub position: Position,
    /// Kept with the offset by the broker.
    pub metadata: &'a str,
}

/// An offset that the group has committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    pub position: Position,
    pub metadata: String,
}

/// How committed offsets are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stability {
    /// As a member of the group, not before every transaction with pending offsets has ended: until then [`BrokerError::Retry`].
    Stable,
    /// The last committed ones at once, from outside of the group.
    Unstable,
}

/// An edge of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watermark {
    /// The first offset that was not deleted.
    Low,
    /// The end of what is committed or aborted: the first record of the oldest open transaction, or the high watermark.
    Stable,
    /// The end, open transactions included (asked read_uncommitted).
    High,
}

/// A partition of a topic that the intake reads: records in the form of shops, in front of the inputs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RawPartition {
    pub topic: Arc<str>,
    pub partition: Partition,
}

impl fmt::Display for RawPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// Where a raw partition ended at some moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawEnd {
    pub of: RawPartition,
    pub end: Position,
}

/// How far the intake has come in a raw partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawProgress {
    pub of: RawPartition,
    /// Up to where its group has committed; none if it never did.
    pub committed: Option<Position>,
    /// The high watermark, asked after it.
    pub end: Position,
}

/// What a look into a raw partition has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RawSearch {
    /// The first committed record.
    Record(Offset),
    /// There is none below; what lies from here on is not known yet.
    NoneBelow(Position),
}

/// What the broker behind the port can do. Only `demo`'s in-process cluster lacks any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Offsets of a committed transaction can be read back.
    pub transactional_offsets: bool,
    /// Topic configurations can be read.
    pub topic_configuration: bool,
}

/// Which changelog this is, and how long it keeps tombstones: what local state must agree with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangelogIdentity {
    pub cluster: String,
    /// Another one for each topic that was ever created, under one name too.
    pub topic: [u8; 16],
    /// Compaction may forget that something was deleted after so long.
    pub tombstone_retention: Duration,
}

/// Whether a task beside the worker wants to be called again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskStep {
    Again,
    Done,
}

/// Ends the current or next [`Session::wait`] from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Work beside the worker: called until it is done. A step makes a few bounded calls, a second at most.
pub type Task<L> = Box<dyn FnMut(&mut L) -> TaskStep + Send>;

/// Questions to the brokers. The worker has one; so has every task beside it.
pub trait Lookup {
    type Batch: RecordBatch;

    /// By the same clock as [`Session::now`].
    fn now(&self) -> Moment;

    /// The group's committed offsets of all inputs of each partition, in the order of `partitions`.
    fn committed(
        &mut self,
        partitions: &[Partition],
        stability: Stability,
        within: Duration,
    ) -> Result<Vec<PerInput<Option<Committed>>>, BrokerError>;

    /// An edge of each of `logs`, in their order, as it was at some moment after the call began.
    fn watermarks(
        &mut self,
        watermark: Watermark,
        logs: &[(Topic, Partition)],
        within: Duration,
    ) -> Result<Vec<Position>, BrokerError>;

    /// How many partitions each of `topics` has, in their order.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if a topic does not exist.
    fn partition_counts(&mut self, topics: &[Topic], within: Duration) -> Result<Vec<u32>, BrokerError>;

    /// Which changelog this is; none where the brokers cannot identify topics. Then there can be no local state.
    fn changelog_identity(&mut self, _within: Duration) -> Result<Option<ChangelogIdentity>, BrokerError> {
        Ok(None)
    }

    /// Takes a transactional id over with a throw-away producer, so that whatever was open under it is aborted.
    fn end_transaction_of(&mut self, transactional_id: &str, within: Duration) -> Result<(), BrokerError>;

    /// Reads committed records of a partition of the changelog or of the registry from `from` on: those at hand, perhaps none. Gives the
    /// position behind them and behind control records, to be passed as `from` next.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if `from` is below the low watermark or above the end.
    fn read_log(
        &mut self,
        topic: Topic,
        partition: Partition,
        from: Position,
        within: Duration,
    ) -> Result<(Self::Batch, Position), BrokerError>;

    /// Takes the combiner's transactional id over: what is open under it is aborted, and its former owner can commit no more.
    fn open_combiner(&mut self, within: Duration) -> Result<(), BrokerError>;

    /// Up to where the open combiner's group has committed the shares, with what stands beside it; none if it never did.
    fn combined(&mut self, within: Duration) -> Result<Option<Committed>, BrokerError>;

    /// Writes records, and up to where the shares are combined, in one transaction of the open combiner. After an error, whatever it
    /// is, the outcome is unknown: to be opened again and asked.
    fn publish_combined(
        &mut self,
        records: &[CombinedRecord],
        combined: &Committed,
        within: Duration,
    ) -> Result<(), BrokerError>;

    /// How far the intake's group has committed in every partition of the raw topics, and then where these end, open transactions
    /// included. Offsets of an open transaction do not count; those of a committed one do at once, because the records that it has
    /// written to the inputs are committed with them.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if a raw topic does not exist.
    fn raw_progress(&mut self, within: Duration) -> Result<Vec<RawProgress>, BrokerError>;

    /// Looks for a committed record in a raw partition, from `from` up to `end`. Where `from` was deleted it begins with what was not.
    /// What it has found none below of is passed as `from` next.
    fn search_raw(
        &mut self,
        of: &RawPartition,
        from: Position,
        end: Position,
        within: Duration,
    ) -> Result<RawSearch, BrokerError>;
}

/// What every worker needs, whatever it reads and writes: time, a membership in a group, a transactional producer.
///
/// What the group assigns is a [`Partition`]: one number of all inputs, or one partition of the topics that an intake reads.
pub trait Session {
    /// The id under which this slot's transactions are written.
    fn transactional_id(&self) -> &str;

    /// Distinguishes this slot from every other one that was ever opened under its transactional id, at the same time or before.
    fn incarnation(&self) -> u64;

    /// The most bytes that key, value and headers of a written record may have together.
    fn record_bytes_max(&self) -> usize;

    // === Time

    fn now(&self) -> Moment;

    fn clocks(&self) -> Clocks;

    /// Returns when records can be fetched that no fetch has found missing since, when a group event or an error can be
    /// polled, when the waker is called, or at the latest after `up_to`.
    fn wait(&mut self, up_to: Duration);

    fn waker(&self) -> Waker;

    // === Group

    /// Joins the group. Called once.
    fn subscribe(&mut self) -> Result<(), BrokerError>;

    /// Serves the client without waiting and gives the oldest group event that was not given yet. The membership lasts only
    /// while this is called.
    fn poll(&mut self) -> Result<Option<GroupEvent>, BrokerError>;

    /// Takes up all logs of these partitions, paused: nothing is fetched before they are told where to begin.
    fn assign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError>;

    /// Gives all logs of these partitions back.
    fn unassign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError>;

    fn membership(&self) -> Result<Membership, BrokerError>;

    // === Transactions

    /// Drops the producer, if there is one, and opens another under the same id: whatever was open under it is aborted, and its
    /// outcome is settled when this returns.
    fn open_producer(&mut self, within: Duration) -> Result<(), BrokerError>;

    fn begin(&mut self) -> Result<(), BrokerError>;

    /// Waits until everything that was sent is acknowledged.
    fn flush(&mut self, within: Duration) -> Result<(), BrokerError>;

    fn commit(&mut self, within: Duration) -> Result<(), BrokerError>;

    fn abort(&mut self, within: Duration) -> Result<(), BrokerError>;

    /// Leaves the group (a static member stays) and gives everything up. Group events that are still under way are answered here.
    fn close(self, within: Duration);
}

/// A log with transactions and consumer groups, as one worker of the service sees it.
pub trait Broker: Session {
    type Batch: RecordBatch;
    type Lookup: Lookup + 'static;

    fn capabilities(&self) -> Capabilities;

    // === Records

    /// Drops what was fetched of an assigned partition and fetches all of its inputs from these positions on.
    fn read_from(&mut self, partition: Partition, positions: PerInput<Position>) -> Result<(), BrokerError>;

    /// Stops fetching a partition and drops what was fetched.
    fn pause(&mut self, partition: Partition) -> Result<(), BrokerError>;

    /// The next records of an input that are at hand, at most `records_max`; none if there are none yet. Records from before the
    /// last position may come again after a rebalance.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the position lies outside of the log.
    fn fetch(
        &mut self,
        partition: Partition,
        input: Input,
        records_max: usize,
    ) -> Result<Option<Self::Batch>, BrokerError>;

    fn progress(&mut self, partition: Partition, input: Input) -> Result<FetchProgress, BrokerError>;

    // === Transactions

    /// Queues a record. A full queue is a [`BrokerError::Retry`]: flush for a while, then send again.
    fn send(&mut self, record: &OutputRecord<'_>) -> Result<(), BrokerError>;

    /// Adds offsets to the transaction, fenced by `membership`.
    fn send_offsets(
        &mut self,
        offsets: &[NextOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError>;

    // === Beside the worker

    fn lookup(&mut self) -> &mut Self::Lookup;

    /// Runs a task on a thread of its own (or in turns with everything else, in a simulation) until it is done. The worker is
    /// not woken by it.
    fn spawn(&mut self, name: &str, task: Task<Self::Lookup>) -> Result<(), BrokerError>;
}
