//! When things are done: commits, checks, gauges, and how long an idle worker waits.

use std::time::Duration;

use super::{Processor, Stop, report, running};
use crate::broker::{Broker, BrokerError, Input, Lookup, Moment, Output, TRANSACTION_TIMEOUT, Topic};
use crate::metrics::FatalKind;

use super::hub;

/// A batch is committed when it has so many records, ...
const RECORDS_MAX: usize = 200_000;
/// ... so many changed customers, ...
const CHANGES_MAX: usize = 100_000;
/// ... or so many bytes of signals.
const BYTES_MAX: usize = 32 << 20;
/// Offsets of topics outside of the subscription expire by the age of their commit.
const OFFSET_AGE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Partition counts are read again after so long.
const COUNTS_AGE_MAX: Duration = Duration::from_secs(60);
const COUNTS_CALL_MAX: Duration = Duration::from_secs(1);
/// Gauges that move without a commit.
const GAUGES_AGE_MAX: Duration = Duration::from_secs(1);
/// An idle worker looks up so often: at its questions, and whether something is due by wall time.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Leaving the group may take so long.
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(
    crate::config::COMMIT_INTERVAL_MS_MAX as u128 <= TRANSACTION_TIMEOUT.as_millis(),
    "a batch is open for an interval, and its transaction for the commit only"
);

/// When each of the recurring things was done last.
pub(super) struct Pace {
    counts_at: Moment,
    gauges_at: Moment,
}

impl Pace {
    pub(super) fn new(now: Moment) -> Self {
        Self { counts_at: now, gauges_at: now }
    }
}

impl<B: Broker> Processor<'_, B> {
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
        records >= RECORDS_MAX || changes >= CHANGES_MAX || bytes >= BYTES_MAX
    }

    /// While a backlog is worked off its latency is lost anyway, and one record of a customer stands for more events the
    /// longer a batch is open.
    pub(super) fn is_commit_due(&self) -> bool {
        self.batch.opened_at.is_some_and(|opened_at| {
            self.broker.now().since(opened_at) >= self.commit_interval() || self.is_batch_full()
        })
    }

    fn commit_interval(&self) -> Duration {
        let mut parts = self.batch.parts.iter().map(|part| &running(&self.owned, part.partition).part);
        let somebody_waits = parts.any(|part| part.was_at_end);
        if somebody_waits { self.rules.commit.interval } else { self.rules.commit.backlog_interval }
    }

    /// How long there is nothing to do unless something comes.
    pub(super) fn idle_for(&self) -> Duration {
        let until_commit = self
            .batch
            .opened_at
            .map(|opened_at| self.commit_interval().saturating_sub(self.broker.now().since(opened_at)));
        until_commit.map_or(WAIT_MAX, |left| left.min(WAIT_MAX))
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

    // === Topics ===

    /// Learns how many partitions there are, and that all topics which belong together have as many.
    pub(super) fn learn_partition_counts(&mut self) -> Result<(), Stop> {
        let deadline = self.broker.now().plus(self.rules.commit.patience);
        let mut counts = Vec::new();
        self.bounded(deadline, |broker, within| {
            let mut topics = co_partitioned().to_vec();
            topics.push(Topic::Output(Output::Customers));
            counts = broker.lookup().partition_counts(&topics, within)?;
            Ok(())
        })
        .map_err(|setback| setback.into_stop("reach the brokers"))?;
        let (customers, inputs) = counts.split_last().expect("as many counts as topics");
        self.rules.partitions = inputs[0];
        self.rules.profiles_follow = *customers == inputs[0];
        self.compare_partition_counts(inputs)
    }

    /// Reads the counts again; growth stops the service before anything is put into the wrong partition.
    pub(super) fn check_partition_counts(&mut self) -> Result<(), Stop> {
        self.pace.counts_at = self.broker.now();
        match self.broker.lookup().partition_counts(&co_partitioned(), COUNTS_CALL_MAX) {
            Ok(counts) => self.compare_partition_counts(&counts),
            // Brokers that do not answer have not grown a topic that anybody could read.
            Err(BrokerError::Retry(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn check_partition_counts_now_and_then(&mut self) -> Result<(), Stop> {
        if self.broker.now().since(self.pace.counts_at) < COUNTS_AGE_MAX {
            return Ok(());
        }
        self.check_partition_counts()
    }

    fn compare_partition_counts(&self, counts: &[u32]) -> Result<(), Stop> {
        let expected = self.rules.partitions;
        let topics = co_partitioned();
        let Some((topic, count)) = topics.iter().zip(counts).find(|(_, count)| **count != expected) else {
            return Ok(());
        };
        let name = match topic {
            Topic::Input(input) => self.rules.topic_name(*input),
            Topic::Output(_) => self.rules.changelog_name(),
        };
        let message = format!(
            "topic {name} has {count} partitions where {expected} are expected: a customer's orders, returns and state must lie in \
             partitions of the same number, so these topics need the same count, and it must not change while there is state"
        );
        Err(Stop::new(FatalKind::Configuration, message))
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
        let (metrics, rules) = (self.hub.metrics, self.rules.clone());
        let open: Vec<_> = self.batch.parts.iter().map(|part| part.partition).collect();
        for (partition, running) in self.running_partitions() {
            let exported = metrics.partition(hub::label(partition));
            for (input, (records, seconds)) in report::lags(running, clocks.wall_millis).iter() {
                exported.set_lag(report::input_topic(input), *records, *seconds);
            }
            // Figures of an open batch are not to be seen.
            if !open.contains(&partition) {
                exported.set(&report::gauges(running, &rules, target));
            }
        }
    }
}

/// The topics that must have the same number of partitions.
fn co_partitioned() -> [Topic; 4] {
    [
        Topic::Input(Input::Orders),
        Topic::Input(Input::Returns),
        Topic::Input(Input::Erasures),
        Topic::Output(Output::Changelog),
    ]
}
