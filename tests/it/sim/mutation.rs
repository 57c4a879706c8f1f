//! Rules of the protocol, each broken on purpose.

use retention_signals::fault::Mutation;

/// One rule that is broken, in the worker or between it and its broker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Twist {
    /// In the worker itself.
    Worker(Mutation),
    /// No offsets are sent with a transaction.
    SkipOffsets,
    /// Only those that have moved since the last commit.
    OffsetsOfTouchedInputs,
    /// They are sent without the generation.
    IgnoreGeneration,
    NoClockInSeal,
    /// A restore reads to the last stable offset.
    RestoreBelowStable,
    /// The changelog's end is asked before the committed offsets are stable, and offsets are sent before the records are
    /// flushed: with one of both alone nothing is lost.
    EndBeforeBarrier,
    /// Open transactions with offsets are not waited for.
    UnstableBarrier,
    /// The clock moves at an end that only the client believes in.
    NoEndQuery,
    /// A restore waits for a record at `end - 1`.
    WaitForLastRecord,
    /// A restore passes tombstones over.
    ForgetTombstones,
    /// A producer is opened without ending what its predecessor left open.
    DoNotFence,
}

impl Twist {
    /// Only schedules that flush early can notice it.
    pub fn needs_early_flush(self) -> bool {
        matches!(self, Self::Worker(Mutation::KeepFlushedParts | Mutation::CommitDroppedParts))
    }

    /// One random schedule of half a million notices it, so it has schedules of its own, in which two processes have one name.
    pub fn is_of_namesakes(self) -> bool {
        matches!(self, Self::Worker(Mutation::IgnoreIncarnation))
    }

    /// Only schedules with snapshots can notice it.
    pub fn is_of_snapshots(self) -> bool {
        matches!(
            self,
            Self::Worker(
                Mutation::SnapshotBeforeCommit
                    | Mutation::UseStaleSnapshot
                    | Mutation::UseForeignSnapshot
                    | Mutation::StartOffsetFromSnapshot
                    | Mutation::SliceDroppedBatch
            )
        )
    }
}

/// Every one of them, by the name of its trial, with a schedule that notices it.
pub const ALL: [(&str, Twist, u64); 25] = [
    ("skip_the_offsets", Twist::SkipOffsets, 19),
    ("offsets_of_touched_inputs_only", Twist::OffsetsOfTouchedInputs, 3),
    ("ignore_the_generation", Twist::IgnoreGeneration, 86),
    ("do_not_store_the_clock", Twist::NoClockInSeal, 75),
    ("write_revoked_parts", Twist::Worker(Mutation::KeepRevokedParts), 12),
    ("bound_restore_by_the_last_stable_offset", Twist::RestoreBelowStable, 352),
    ("watermark_before_barrier", Twist::EndBeforeBarrier, 3468),
    ("no_barrier", Twist::UnstableBarrier, 1167),
    ("move_the_clock_unasked", Twist::NoEndQuery, 50),
    ("wait_for_the_last_record", Twist::WaitForLastRecord, 1),
    ("forget_tombstones", Twist::ForgetTombstones, 77),
    ("do_not_end_the_open_transaction", Twist::DoNotFence, 7),
    ("unknown_is_aborted", Twist::Worker(Mutation::UnknownIsAborted), 203),
    ("unknown_is_committed", Twist::Worker(Mutation::UnknownIsCommitted), 4),
    ("ignore_the_batch_number", Twist::Worker(Mutation::IgnoreBatchNumber), 4),
    ("ignore_the_incarnation", Twist::Worker(Mutation::IgnoreIncarnation), 73),
    ("stale_batch_with_fresh_metadata", Twist::Worker(Mutation::KeepLostState), 19),
    ("show_before_commit", Twist::Worker(Mutation::ShowBeforeCommit), 97),
    ("snapshot_before_commit", Twist::Worker(Mutation::SnapshotBeforeCommit), 22_383),
    ("use_a_stale_snapshot", Twist::Worker(Mutation::UseStaleSnapshot), 5103),
    ("use_a_foreign_snapshot", Twist::Worker(Mutation::UseForeignSnapshot), 38_102),
    ("start_offset_from_the_snapshot", Twist::Worker(Mutation::StartOffsetFromSnapshot), 18),
    ("keep_aborted_parts_ahead", Twist::Worker(Mutation::KeepFlushedParts), 16),
    ("commit_dropped_parts_ahead", Twist::Worker(Mutation::CommitDroppedParts), 4327),
    ("slice_of_a_dropped_batch", Twist::Worker(Mutation::SliceDroppedBatch), 2323),
];
