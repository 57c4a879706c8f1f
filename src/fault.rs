//! Where the tests look into the program, end it, or break one rule of its protocol to see that they notice.
//!
//! Only with the feature `faults`, which the tests switch on for themselves. Without it every function here is empty, and
//! the program that is shipped holds nothing of it.
//!
//! ```text
//!  is(rule)     whether a rule is broken on this thread          reach(step)   a worker has come so far
//!  note(..)     what was applied, in which order                 bound(max)    small bounds make many batches
//! ```

use crate::domain::values::time::Time;
use crate::stream::broker::Offset;
#[cfg(not(feature = "faults"))]
use crate::stream::registry::Registry;
use crate::topic::{Input, Partition};

#[cfg(feature = "faults")]
mod armed;
#[cfg(feature = "faults")]
mod interrupt;

#[cfg(feature = "faults")]
pub use armed::{
    bound, drain_notes, early_flush_bytes, is, note, note_registry, set_bound, set_early_flush_bytes,
    set_mutation, set_noting,
};
#[cfg(feature = "faults")]
pub use interrupt::reach;

/// A rule of the protocol that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutation {
    /// A commit whose outcome is unknown is taken for aborted.
    UnknownIsAborted,
    /// ... or for committed.
    UnknownIsCommitted,
    /// The writer of the last batch is compared, its number is not.
    IgnoreBatchNumber,
    /// ... nor which of the processes with one id has written it.
    IgnoreIncarnation,
    /// What was begun before the partition was lost is written once it is owned again.
    KeepLostState,
    /// Signals are shown before their commit.
    ShowBeforeCommit,
    /// Revoked partitions are given back with their part of the open batch still to be written.
    KeepRevokedParts,
    /// A snapshot is taken of a batch before it is committed.
    SnapshotBeforeCommit,
    /// The age of a snapshot is not looked at.
    UseStaleSnapshot,
    /// ... nor is the topic whose state it holds.
    UseForeignSnapshot,
    /// Inputs are read from where the snapshot stood, not from the seal and the offsets.
    StartOffsetFromSnapshot,
    /// A snapshot is taken as soon as it is due, without a commit that shows whose the partition is.
    SnapshotWithoutCommit,
    /// A slice is taken of what a batch has changed that was dropped, because its partition is lost.
    SliceDroppedBatch,
    /// Records whose early flush was aborted are not read again.
    KeepFlushedParts,
    /// What a part has flushed early is committed, although the part was dropped.
    CommitDroppedParts,
    /// The ends of a history are taken anew at each assignment.
    TakeHistoryEndsAnew,
    /// Records behind the ends of a history are applied before its customers are settled.
    ReadBehindHistory,
    /// Wall time moves the clocks although the intake has records to pass on.
    IgnoreIntake,
    /// A history does not wait for what lies in the raw topics when it begins.
    ForgetRawEnds,
    /// The seal does not hold from when on signals are published.
    ForgetSignalsFrom,
}

/// How far a worker has come: with a transaction, or with partitions that come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Milestone {
    BeforeBegin,
    AfterBegin,
    /// Records were flushed early, in a transaction whose commit is not due yet.
    AfterEarlyFlush,
    AfterSend,
    AfterFlush,
    AfterOffsets,
    AfterCommit,
    BeforeAbort,
    BeforeResolve,
    /// Partitions were assigned, their restores have begun.
    AfterAssign,
    /// The last batch of revoked partitions is committed, they are not given back.
    BeforeGiveUp,
    /// The last batch of a process that ends is committed, it has not left the group.
    BeforeClose,
}

#[cfg(feature = "faults")]
impl Milestone {
    pub const ALL: [Self; 12] = [
        Self::BeforeBegin,
        Self::AfterBegin,
        Self::AfterEarlyFlush,
        Self::AfterSend,
        Self::AfterFlush,
        Self::AfterOffsets,
        Self::AfterCommit,
        Self::BeforeAbort,
        Self::BeforeResolve,
        Self::AfterAssign,
        Self::BeforeGiveUp,
        Self::BeforeClose,
    ];
}

/// What was done to a partition, in order, and to its snapshots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    Applied(Input, Offset),
    /// Wall time has moved the clock.
    ClockMoved(Time),
    /// ... and more timers are due, perhaps at that very instant, than one batch takes.
    TimersLeft,
    /// Every customer of the history is settled, at this clock.
    HistorySettled(Option<Time>),
    /// More timers are due before the next record than one batch takes; those of this batch have moved the clock.
    TimersFired(Time),
    /// The worker has taken in records of the registry: the greatest version of the kind `trial` that it has now.
    RegistryRead(Option<u64>),
    /// It was restored from a snapshot.
    SnapshotUsed,
    /// ... or not, and why.
    SnapshotDiscarded(&'static str),
}

/// Whether a rule is broken on this thread.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn is(_: Mutation) -> bool {
    false
}

/// A worker has come so far.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn reach(_: Milestone) {}

/// Something was applied to a partition.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn note(_: Partition, _: Noted) {}

/// Records of the registry were taken in.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn note_registry(_: &Registry) {}

/// A bound as it is used.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn bound(max: usize) -> usize {
    max
}

/// From how many bytes on a batch is flushed early.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn early_flush_bytes(min: usize) -> usize {
    min
}
