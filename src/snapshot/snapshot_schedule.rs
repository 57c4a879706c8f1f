//! When a partition's snapshot is due, and how far the one that is being taken has come.
//!
//! ```text
//!  Resting ─(due)─► Wanted ─(position asked, before the batch is sent)─► Positioned ─(committed)─► Ready ─► Slicing ─► Resting
//!     ▲                │                                                                            └─(revoked)─► handed over
//!     └────────────────┴── the brokers do not answer, the writer cannot write: later
//! ```

use std::time::Duration;

use super::{SnapshotInProgress, Start};
use crate::stream::broker::{ChangelogIdentity, Moment};

/// A partition without a snapshot gets its first one soon, ...
const FIRST_AFTER: Duration = Duration::from_secs(10);
/// ... and one whose snapshot failed is not tried again at once.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Even if nothing has changed: a snapshot must not grow old.
const AGE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// The snapshots of one owned partition.
pub struct SnapshotSchedule {
    pub changelog: ChangelogIdentity,
    interval: Duration,
    phase: Phase,
    due_at: Moment,
    /// The batch that the last snapshot surely holds, and when that was.
    last: Option<(u64, Moment)>,
}

enum Phase {
    Resting,
    Wanted,
    Positioned(Start),
    Ready(Start),
    SnapshotInProgress(SnapshotInProgress),
}

impl SnapshotSchedule {
    /// Of a partition that was just restored, from a snapshot of this age if any.
    pub fn new(
        changelog: ChangelogIdentity,
        interval: Duration,
        snapshot_age: Option<Duration>,
        now: Moment,
    ) -> Self {
        let wait = snapshot_age.map_or(FIRST_AFTER.min(interval), |age| interval.saturating_sub(age));
        Self { changelog, interval, phase: Phase::Resting, due_at: now.plus(wait), last: None }
    }

    /// Whether a snapshot would hold anything that the last one does not.
    pub fn is_needed(&self, batch_number: u64, now: Moment) -> bool {
        self.last.is_none_or(|(number, at)| number != batch_number || now.since(at) >= AGE_MAX)
    }

    /// Since when a snapshot has been due, if it is.
    pub fn overdue(&self, batch_number: u64, now: Moment) -> Option<Duration> {
        let is_due = self.is_resting() && self.due_at <= now && self.is_needed(batch_number, now);
        is_due.then(|| now.since(self.due_at))
    }

    pub fn is_resting(&self) -> bool {
        matches!(self.phase, Phase::Resting)
    }

    pub fn is_wanted(&self) -> bool {
        matches!(self.phase, Phase::Wanted)
    }

    /// A snapshot is to be taken at the next commit. What was under way is given up.
    pub fn want(&mut self) {
        self.phase = Phase::Wanted;
    }

    /// The changelog's high watermark before the next batch is sent.
    pub fn on_position(&mut self, start: Start) {
        self.phase = Phase::Positioned(start);
    }

    /// The partition's part of a batch is known to be committed: number and time.
    pub fn on_committed(&mut self, batch_number: u64, now: Moment) {
        if let Phase::Positioned(start) = self.phase {
            self.phase = Phase::Ready(start);
            self.last = Some((batch_number, now));
        }
    }

    /// Where a state that may be written starts.
    pub fn ready(&self) -> Option<Start> {
        match &self.phase {
            Phase::Ready(start) => Some(*start),
            Phase::Resting | Phase::Wanted | Phase::Positioned(_) | Phase::SnapshotInProgress(_) => None,
        }
    }

    pub fn on_slicing(&mut self, slicing: SnapshotInProgress) {
        self.phase = Phase::SnapshotInProgress(slicing);
    }

    pub fn slicing(&mut self) -> Option<&mut SnapshotInProgress> {
        match &mut self.phase {
            Phase::SnapshotInProgress(slicing) => Some(slicing),
            Phase::Resting | Phase::Wanted | Phase::Positioned(_) | Phase::Ready(_) => None,
        }
    }

    /// The last slice is with the writer.
    pub fn on_done(&mut self, now: Moment) {
        self.phase = Phase::Resting;
        self.due_at = now.plus(self.interval);
    }

    /// The snapshot failed.
    pub fn on_failed(&mut self, now: Moment) {
        self.phase = Phase::Resting;
        self.due_at = now.plus(AGAIN_AFTER.max(self.interval));
        self.last = None;
    }

    /// No position; retry later.
    pub fn postpone(&mut self, now: Moment) {
        self.phase = Phase::Resting;
        self.due_at = now.plus(AGAIN_AFTER.min(self.interval));
    }
}
