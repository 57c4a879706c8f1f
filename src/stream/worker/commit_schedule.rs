//! When the open batch is committed, and how long an idle worker waits.

use std::time::Duration;

use super::transaction::BatchFill;
use crate::config::CommitPace;
use crate::fault;
use crate::stream::broker::{Moment, TRANSACTION_TIMEOUT};

/// A batch is committed when it has so many records, which a crash would have read again, ...
const RECORDS_MAX: usize = 2_000_000;
/// ... so many changed customers, which take a second or two to write, of the transaction's ten, ...
const CHANGES_MAX: usize = 200_000;
/// ... or so many bytes of signals, unless they are flushed early.
const BYTES_MAX: usize = 32 << 20;
/// After a commit the broker still writes its markers, and turns the next transaction's first request away meanwhile; the client
/// then asks again up to 100 ms later.
const MARKERS_SPAN: Duration = Duration::from_millis(20);
/// A transaction that is open for so long is committed: writing the changes comes on top, and the broker ends it at twice that.
const TRANSACTION_AGE_MAX: Duration = TRANSACTION_TIMEOUT.checked_div(2).expect("not by zero");
/// Offsets of topics outside of the subscription expire by the age of their commit.
pub(super) const OFFSET_AGE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// An idle worker looks up so often: at its queries, and whether something is due by wall time.
const WAIT_MAX: Duration = Duration::from_millis(50);

const _: () = assert!(
    crate::config::COMMIT_INTERVAL_MS_MAX as u128 <= TRANSACTION_AGE_MAX.as_millis(),
    "a batch is open for an interval, and so may its transaction be"
);

/// See the module.
#[derive(Default)]
pub(super) struct CommitSchedule {
    last_commit: Option<CommitSpan>,
}

/// When a commit was begun, and when its outcome was known.
#[derive(Clone, Copy)]
struct CommitSpan {
    begun_at: Moment,
    ended_at: Moment,
}

impl CommitSchedule {
    pub fn on_committed(&mut self, begun_at: Moment, ended_at: Moment) {
        self.last_commit = Some(CommitSpan { begun_at, ended_at });
    }

    /// While a backlog is processed its latency is lost anyway, and one record of a customer stands for more events the
    /// longer a batch is open.
    pub fn is_due(&self, batch: &BatchFill, pace: &CommitPace, now: Moment) -> bool {
        let is_old = |since: Moment| now.since(since) >= TRANSACTION_AGE_MAX;
        self.commit_at(batch, pace).is_some_and(|at| now >= at)
            || batch.transaction_since.is_some_and(is_old)
            || is_full(batch)
    }

    /// How long there is nothing to do unless something comes.
    pub fn idle_for(&self, batch: &BatchFill, pace: &CommitPace, now: Moment) -> Duration {
        self.commit_at(batch, pace).map_or(WAIT_MAX, |at| at.since(now).min(WAIT_MAX))
    }

    /// When the open batch is to be committed, if nothing else makes it due.
    fn commit_at(&self, batch: &BatchFill, pace: &CommitPace) -> Option<Moment> {
        let opened_at = batch.opened_at?;
        Some(if batch.was_at_end {
            self.serve_at(opened_at, pace.interval)
        } else {
            opened_at.plus(pace.backlog_interval)
        })
    }

    /// When a batch that was read at the end of its inputs is committed: as soon as the interval since the last commit allows. The
    /// time that commits take is part of it.
    fn serve_at(&self, opened_at: Moment, interval: Duration) -> Moment {
        self.last_commit.map_or(opened_at, |CommitSpan { begun_at, ended_at }| {
            opened_at.max(begun_at.plus(interval)).max(ended_at.plus(MARKERS_SPAN))
        })
    }
}

/// Whether nothing more may be added before a commit.
fn is_full(batch: &BatchFill) -> bool {
    batch.has_timers_left
        || batch.records >= fault::bound(RECORDS_MAX)
        || batch.changes >= CHANGES_MAX
        || batch.bytes >= BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_spaced_from_begin_to_begin() {
        let at = |millis| Moment(Duration::from_millis(millis));
        let interval = Duration::from_millis(100);
        let mut schedule = CommitSchedule::default();
        assert_eq!(schedule.serve_at(at(1_000), interval), at(1_000), "nothing was committed yet");
        for (begun, ended, opened, expected) in [
            (1_000, 1_030, 1_031, 1_100), // The commit's time is part of the interval.
            (1_000, 1_095, 1_096, 1_115), // The broker writes its markers.
            (1_000, 1_400, 1_401, 1_420), // ... also after a slow commit.
            (1_000, 1_030, 5_000, 5_000), // After a silence there is nothing to wait for.
        ] {
            schedule.on_committed(at(begun), at(ended));
            assert_eq!(schedule.serve_at(at(opened), interval), at(expected), "{begun} {ended} {opened}");
        }
    }
}
