//! When things are done: commits, gauges, and how long an idle worker waits.

use std::time::Duration;

use super::{Worker, report, running};
use crate::fault;
use crate::stream::broker::{Broker, Moment, TRANSACTION_TIMEOUT};
use crate::stream::partition::Phase;
use crate::topic::Partition;

/// A batch is committed when it has so many records, which a crash would have read again, ...
const RECORDS_MAX: usize = 2_000_000;
/// ... so many changed customers, which take a second or two to write, of the transaction's ten, ...
const CHANGES_MAX: usize = 200_000;
/// ... or so many bytes of signals, unless they are sent ahead.
const BYTES_MAX: usize = 32 << 20;
/// After a commit the broker still writes its markers, and turns the next transaction's first request away meanwhile; the client
/// then asks again up to 100 ms later.
const MARKERS_SPAN: Duration = Duration::from_millis(20);
/// A transaction that is open for so long is committed: writing the changes comes on top, and the broker ends it at twice that.
const TRANSACTION_AGE_MAX: Duration = TRANSACTION_TIMEOUT.checked_div(2).expect("not by zero");
/// Offsets of topics outside of the subscription expire by the age of their commit.
const OFFSET_AGE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Gauges that move without a commit.
const GAUGES_AGE_MAX: Duration = Duration::from_secs(1);
/// An idle worker looks up so often: at its questions, and whether something is due by wall time.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Leaving the group may take so long.
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(
    crate::config::COMMIT_INTERVAL_MS_MAX as u128 <= TRANSACTION_AGE_MAX.as_millis(),
    "a batch is open for an interval, and so may its transaction be"
);

/// When each of the recurring things was done last.
pub(super) struct Pace {
    /// Whose turn it is to read first.
    pub(super) next_partition: Partition,
    ahead: Ahead,
    gauges_at: Moment,
    last_commit: Option<CommitSpan>,
}

/// When a commit was begun, and when its outcome was known.
#[derive(Clone, Copy)]
struct CommitSpan {
    begun_at: Moment,
    ended_at: Moment,
}

/// Whether batches may be sent ahead of their commits. After an abort the next ones are short, and can be written again without a
/// restore; the more aborts in a row, the more of them: brokers may be too slow for long transactions.
#[derive(Default)]
struct Ahead {
    commits_to_wait: u32,
    /// For how many commits the last abort made it wait.
    last_wait: u32,
}

/// The most commits that are waited for after an abort.
const AHEAD_WAIT_MAX: u32 = 1_024;

impl Pace {
    pub(super) fn may_send_ahead(&self) -> bool {
        self.ahead.commits_to_wait == 0
    }

    pub(super) fn on_committed(&mut self, begun_at: Moment, ended_at: Moment, was_ahead: bool) {
        self.last_commit = Some(CommitSpan { begun_at, ended_at });
        self.ahead.commits_to_wait = self.ahead.commits_to_wait.saturating_sub(1);
        if was_ahead {
            self.ahead.last_wait = 0;
        }
    }

    /// When somebody is served who waits since a batch was opened: as soon as the interval since the last commit allows. The time that
    /// commits take is part of it.
    fn serve_at(&self, opened_at: Moment, interval: Duration) -> Moment {
        self.last_commit.map_or(opened_at, |CommitSpan { begun_at, ended_at }| {
            opened_at.max(begun_at.plus(interval)).max(ended_at.plus(MARKERS_SPAN))
        })
    }

    pub(super) fn on_aborted(&mut self) {
        self.ahead.last_wait = (2 * self.ahead.last_wait).clamp(1, AHEAD_WAIT_MAX);
        self.ahead.commits_to_wait = self.ahead.last_wait;
    }

    pub(super) fn new(now: Moment) -> Self {
        Self { next_partition: Partition(0), ahead: Ahead::default(), gauges_at: now, last_commit: None }
    }
}

impl<B: Broker> Worker<'_, B> {
    /// Whether nothing more may be added before a commit.
    pub(super) fn is_batch_full(&self) -> bool {
        let (mut records, mut changes, mut bytes) = (0, 0, 0);
        for part in &self.batch.parts {
            let running = running(&self.owned, part.partition);
            if running.part.has_timers_left {
                return true;
            }
            records += running.part.records;
            changes += running.engine.changes().len();
            bytes += running.part.bytes();
        }
        records >= fault::bound(RECORDS_MAX) || changes >= CHANGES_MAX || bytes >= BYTES_MAX
    }

    /// While a backlog is worked off its latency is lost anyway, and one record of a customer stands for more events the
    /// longer a batch is open.
    pub(super) fn is_commit_due(&self) -> bool {
        let now = self.broker.now();
        let is_old = |since: Moment| now.since(since) >= TRANSACTION_AGE_MAX;
        self.commit_at().is_some_and(|at| now >= at)
            || self.batch.transaction_since.is_some_and(is_old)
            || self.is_batch_full()
    }

    /// When the open batch is to be committed, if nothing else makes it due.
    fn commit_at(&self) -> Option<Moment> {
        let opened_at = self.batch.opened_at?;
        let mut parts = self.batch.parts.iter().map(|part| &running(&self.owned, part.partition).part);
        let somebody_waits = parts.any(|part| part.was_at_end);
        Some(if somebody_waits {
            self.pace.serve_at(opened_at, self.rules.commit.interval)
        } else {
            opened_at.plus(self.rules.commit.backlog_interval)
        })
    }

    /// How long there is nothing to do unless something comes.
    pub(super) fn idle_for(&self) -> Duration {
        self.commit_at().map_or(WAIT_MAX, |at| at.since(self.broker.now()).min(WAIT_MAX))
    }

    /// Opens a part without content for partitions whose offsets grow old.
    pub(super) fn keep_offsets_alive(&mut self) {
        let now = self.broker.now();
        let old = self.running_partitions().filter(|(_, running)| {
            running.committed.batch_number > 0 && now.since(running.committed.at) >= OFFSET_AGE_MAX
        });
        for partition in old.map(|(partition, _)| partition).collect::<Vec<_>>() {
            self.open_part(partition);
        }
    }

    // === Gauges ===

    /// Lag, and what else moves while nothing is committed.
    pub(super) fn refresh_gauges_now_and_then(&mut self) {
        let clocks = self.broker.clocks();
        if clocks.monotonic.since(self.pace.gauges_at) < GAUGES_AGE_MAX {
            return;
        }
        self.pace.gauges_at = clocks.monotonic;
        let target = self.clock_target(clocks.wall_millis);
        for (partition, owned) in &mut self.owned {
            let Phase::Running(running) = &mut owned.phase else { continue };
            let exported = self.hub.metrics.partition(*partition);
            for (input, (records, seconds)) in report::lags(running, clocks.wall_millis).iter() {
                exported.set_lag(input, *records, *seconds);
            }
            // Figures of an open batch are not to be seen.
            if self.batch.parts.iter().all(|part| part.partition != *partition) {
                exported.set(&report::gauges(running, &self.rules, target, clocks.monotonic));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_aborts_nothing_is_sent_ahead_for_longer_and_longer() {
        let now = Moment(Duration::ZERO);
        let mut pace = Pace::new(now);
        let mut commits_until_ahead = || {
            pace.on_aborted();
            let mut commits = 0;
            while !pace.may_send_ahead() {
                pace.on_committed(now, now, false);
                commits += 1;
            }
            commits
        };
        assert_eq!([1, 2, 4, 8], [(); 4].map(|()| commits_until_ahead()));
        assert_eq!(Some(AHEAD_WAIT_MAX), (0..20).map(|_| commits_until_ahead()).last());
        pace.on_committed(now, now, true);
        pace.on_aborted();
        pace.on_committed(now, now, false);
        assert!(pace.may_send_ahead(), "one that was committed is as good as none aborted");
    }

    #[test]
    fn commits_are_spaced_from_begin_to_begin() {
        let at = |millis| Moment(Duration::from_millis(millis));
        let interval = Duration::from_millis(100);
        let mut pace = Pace::new(at(0));
        assert_eq!(pace.serve_at(at(1_000), interval), at(1_000), "nothing was committed yet");
        for (begun, ended, opened, expected) in [
            (1_000, 1_030, 1_031, 1_100), // The commit's time is part of the interval.
            (1_000, 1_095, 1_096, 1_115), // The broker writes its markers.
            (1_000, 1_400, 1_401, 1_420), // ... also after a slow commit.
            (1_000, 1_030, 5_000, 5_000), // After a silence there is nothing to wait for.
        ] {
            pace.on_committed(at(begun), at(ended), false);
            assert_eq!(pace.serve_at(at(opened), interval), at(expected), "{begun} {ended} {opened}");
        }
    }
}
