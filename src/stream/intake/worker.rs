//! The path of an intake worker, top to bottom.
//!
//! ```text
//!  turn:  group events ─► where to begin ─► fetch ─► the oldest record first: map, write ─► commit, when it is due ─► wait
//! ```
//!
//! | part | owns |
//! |---|---|
//! | `Lanes` | the raw partitions: where each begins, whose record is next |
//! | `Mapper` | the sources and their maps |
//! | `IntakeTransaction` | what is written and not committed, and what happens when that fails |

use std::time::Duration;

use tracing::info;

use super::counts::Counts;
use super::lane::Reading;
use super::lanes::Lanes;
use super::mapping::{MappedRaw, Mapper, RefusedRaw};
use super::port::{IntakeOutput, RawBroker};
use super::rules::{IntakeRules, MappedSource};
use super::transaction::{self, IntakeTransaction};
use crate::observe::metrics::{
    FatalKind, IntakeMetrics, Metrics, PerLabel, RebalanceKind, TransactionSummary,
};
use crate::observe::status::{ServiceStatus, WorkerPhase, WorkerStatus};
use crate::stream::broker::{BrokerError, GroupEvent, Moment};
use crate::stream::partition::dead_letters::{Counting, LimitReached, RefusedRecord};
use crate::stream::session::{AttemptError, GroupEvents};
use crate::stream::worker::Stop;
use crate::topic::Partition;
use crate::wire::changelog::Outcome;

/// One step of joining; in between, the thread that runs the worker may want to stop it.
const STEP_MAX: Duration = Duration::from_secs(1);
/// The whole group waits while the open transaction of a revoked partition is committed.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);
/// Leaving the group may take so long.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// Records that are mapped before group events are looked at again.
const RECORDS_A_TURN: usize = 256;
/// An idle worker looks up so often.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Control records at the end of a partition are passed over by a commit of their own, not more often than that.
const IDLE_COMMIT_AGE: Duration = Duration::from_secs(1);

/// Where an intake worker reports to.
pub struct IntakeHub<'m> {
    pub metrics: &'m Metrics,
    pub intake: &'m IntakeMetrics,
    pub service: ServiceStatus,
    pub status: WorkerStatus,
    /// Notes that the loop has turned. The caller of the worker gives this function, because it reads a clock.
    pub tick: fn(&WorkerStatus),
}

/// See the module.
pub struct IntakeWorker<'m, B: RawBroker> {
    broker: B,
    rules: IntakeRules,
    hub: IntakeHub<'m>,
    events: GroupEvents,
    stage: JoinStage,
    mapper: Mapper,
    lanes: Lanes<B::Batch>,
    transaction: IntakeTransaction,
    /// A record of this partition would cross the limit on dead letters.
    limit: Option<(Partition, LimitReached<()>)>,
    idle_commit_at: Moment,
}

/// How far the worker has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum JoinStage {
    Inputs { since: Moment },
    Producer { since: Moment },
    Member,
}

impl<'m, B: RawBroker> IntakeWorker<'m, B> {
    /// A worker that has done nothing yet; its first turns check the inputs, open the producer and join the group.
    pub fn new(broker: B, rules: IntakeRules, sources: Vec<MappedSource>, hub: IntakeHub<'m>) -> Self {
        let now = broker.now();
        Self {
            mapper: Mapper::new(&rules, sources),
            lanes: Lanes::new(rules.dead_letters),
            broker,
            rules,
            hub,
            events: GroupEvents::default(),
            stage: JoinStage::Inputs { since: now },
            transaction: IntakeTransaction::new(),
            limit: None,
            idle_commit_at: now,
        }
    }

    /// One turn of the loop. Waits if there was nothing to do.
    pub fn turn(&mut self) -> Result<(), Stop> {
        (self.hub.tick)(&self.hub.status);
        if !self.join()? {
            return Ok(());
        }
        self.events.record(&mut self.broker)?;
        self.handle_group_events()?;
        self.lanes.locate(&mut self.broker, &self.rules, &self.mapper.sources)?;
        self.lanes.start_reading(&mut self.broker)?;
        self.lanes.fetch(&mut self.broker)?;
        let has_read = self.map_records()?;
        if self.is_commit_due() {
            self.commit(self.rules.commit.patience)?;
        }
        self.stop_at_limit()?;
        self.export_lag();
        if !has_read {
            self.broker.wait(WAIT_MAX);
        }
        Ok(())
    }

    /// Commits what is open, and leaves the group.
    ///
    /// # Errors
    /// The outcome of the last commit is not known.
    pub fn shut_down(mut self) -> Result<(), Stop> {
        let ended = if self.transaction.is_open() { self.commit(self.rules.commit.patience) } else { Ok(()) };
        self.close();
        ended
    }

    /// Leaves the group without a commit, after an error.
    pub fn close(mut self) {
        self.transaction.abandon(&mut self.broker, &mut self.events);
        for partition in self.lanes.partitions() {
            let (topic, number) = self.broker.log_of(partition);
            self.hub.intake.forget_partition(topic, number);
        }
        self.broker.close(CLOSE_MAX);
    }

    // === Joining ===

    fn join(&mut self) -> Result<bool, Stop> {
        let (since, step) = match self.stage {
            JoinStage::Member => return Ok(true),
            JoinStage::Inputs { since } => {
                let counts = self.broker.input_partitions(STEP_MAX);
                (since, counts.map(|_| JoinStage::Producer { since: self.broker.now() }))
            }
            JoinStage::Producer { since } => (since, self.open_producer_and_subscribe()),
        };
        match step {
            Ok(next) => self.stage = next,
            Err(BrokerError::Retry(cause))
                if self.broker.now().since(since) >= self.rules.commit.patience =>
            {
                let context = "Kafka did not let the intake join within `commit.patience`";
                return Err(Stop::caused(FatalKind::Unavailable, cause, context));
            }
            Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.stage == JoinStage::Member)
    }

    fn open_producer_and_subscribe(&mut self) -> Result<JoinStage, BrokerError> {
        self.broker.open_producer(STEP_MAX)?;
        self.broker.subscribe()?;
        self.hub.status.set_phase(WorkerPhase::Running);
        Ok(JoinStage::Member)
    }

    // === Partitions come and go ===

    fn handle_group_events(&mut self) -> Result<(), Stop> {
        while let Some(event) = self.events.first() {
            let started_at = self.broker.now();
            self.hub.status.set_phase(WorkerPhase::Rebalancing);
            let kind = match &event {
                GroupEvent::Assigned(partitions) => {
                    self.broker.assign(partitions)?;
                    for partition in partitions {
                        self.add_lane(*partition);
                    }
                    RebalanceKind::Assign
                }
                GroupEvent::Revoked(partitions) => {
                    if self.is_open_in(partitions) {
                        self.commit(REVOKE_PATIENCE)?;
                    }
                    self.remove_lanes(partitions)?;
                    RebalanceKind::Revoke
                }
                GroupEvent::Lost(partitions) => {
                    self.remove_lanes(partitions)?;
                    RebalanceKind::Lost
                }
            };
            self.events.remove_first();
            self.hub.metrics.on_rebalance(kind, self.broker.now().since(started_at));
            self.hub.status.set_phase(WorkerPhase::Running);
        }
        Ok(())
    }

    fn add_lane(&mut self, partition: Partition) {
        let (topic, number) = self.broker.log_of(partition);
        info!(topic, partition = number, "partition assigned");
        self.lanes.add(partition, self.mapper.source_of(topic));
    }

    /// A transaction that holds records of a partition that is gone must not be committed.
    fn remove_lanes(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        if self.is_open_in(partitions) {
            self.give_up_transaction(AttemptError::Abort(
                "a partition was lost whose records it holds".into(),
            ))?;
        }
        for partition in partitions {
            self.lanes.remove(*partition);
            let (topic, number) = self.broker.log_of(*partition);
            info!(topic, partition = number, "partition given up");
            self.hub.intake.forget_partition(topic, number);
        }
        Ok(self.broker.unassign(partitions)?)
    }

    fn is_open_in(&self, partitions: &[Partition]) -> bool {
        self.transaction.is_open()
            && self.lanes.moved().any(|(partition, ..)| partitions.contains(&partition))
    }

    // === Read and map ===

    /// Whether anything was mapped.
    fn map_records(&mut self) -> Result<bool, Stop> {
        let mut has_read = false;
        for _ in 0..RECORDS_A_TURN {
            if self.limit.is_some() || self.is_commit_due() {
                return Ok(true);
            }
            let Some(partition) = self.lanes.next(self.broker.now()) else { break };
            match self.map_head(partition) {
                Ok(()) => has_read = true,
                Err(error) => {
                    self.give_up_transaction(error)?;
                    return Ok(true);
                }
            }
        }
        Ok(has_read)
    }

    fn map_head(&mut self, partition: Partition) -> Result<(), AttemptError> {
        let Some(mapped) = self.mapped_head(partition) else { return Ok(()) };
        let Self { broker, events, mapper, transaction, lanes, .. } = self;
        let counts = transaction.begin(broker)?;
        let written = mapper.write(&mapped, |record| transaction::send(broker, events, record))?;
        counts.add(&mapped, written);
        if let Some(reading) = lanes.get_mut(partition).and_then(|lane| lane.reading_mut()) {
            reading.take_head();
        }
        Ok(())
    }

    /// The record at hand of a partition, mapped and remembered in its window; none if it would cross the limit on dead letters.
    fn mapped_head(&mut self, partition: Partition) -> Option<MappedRaw> {
        let (topic, number) = self.broker.log_of(partition);
        let lane = self.lanes.get(partition).expect("the next partition is owned");
        let raw = lane.reading().and_then(Reading::head).expect("the next partition has a record at hand");
        let mapped =
            self.mapper.map(&self.rules, lane.source, topic, number, &raw, self.broker.record_bytes_max());
        let lane = self.lanes.get_mut(partition).expect("as above");
        let outcome = match &mapped.content {
            Ok(_) => Some(Outcome::Passed),
            Err(RefusedRaw { refusal, .. }) => {
                let record = RefusedRecord { input: (), offset: mapped.place.offset, reason: refusal.reason };
                let before = self.rules.dead_letters_accepted_before_ms;
                let is_accepted =
                    before.zip(mapped.place.timestamp_ms).is_some_and(|(before, written)| written < before);
                let counting = if is_accepted { Counting::Accepted } else { Counting::Counts };
                let outcome = lane.window.admit(record, counting);
                if outcome.is_none() {
                    self.limit = Some((partition, lane.window.limit_reached(record, refusal)));
                }
                outcome
            }
        };
        lane.window.push(outcome?);
        Some(mapped)
    }

    // === Commits ===

    /// Whether all that is at hand is mapped, or the transaction is old or full; or only control records were passed.
    fn is_commit_due(&self) -> bool {
        let now = self.broker.now();
        let commit = &self.rules.commit;
        let pace = if self.lanes.are_behind() { commit.backlog_interval } else { commit.interval };
        let is_idle = || {
            !self.transaction.is_open() && now >= self.idle_commit_at && self.lanes.moved().next().is_some()
        };
        self.limit.is_some() || self.transaction.is_due(pace, now) || is_idle()
    }

    /// Commits what is open. Whatever fails, the records are read again.
    fn commit(&mut self, patience: Duration) -> Result<(), Stop> {
        let started_at = self.broker.now();
        self.idle_commit_at = started_at.plus(IDLE_COMMIT_AGE);
        if !self.transaction.is_open() && self.lanes.moved().next().is_none() {
            return Ok(());
        }
        let Self { broker, events, lanes, transaction, hub, mapper, .. } = self;
        let tick = || (hub.tick)(&hub.status);
        match transaction.commit(broker, events, lanes, mapper, started_at.plus(patience), tick) {
            Ok(counts) => {
                self.on_committed(&counts, started_at);
                Ok(())
            }
            Err(error) => self.give_up_transaction(error),
        }
    }

    fn on_committed(&mut self, counts: &Counts, started_at: Moment) {
        self.lanes.on_committed();
        counts.export(&self.mapper, self.hub.intake);
        let clocks = self.broker.clocks();
        self.hub.metrics.on_transaction_committed(&TransactionSummary {
            duration: clocks.monotonic.since(started_at),
            records: counts.outputs,
            stages: PerLabel::default(),
            committed_at_ms: clocks.wall_ms,
        });
    }

    fn give_up_transaction(&mut self, error: AttemptError) -> Result<(), Stop> {
        let Self { broker, events, transaction, hub, rules, .. } = self;
        let tick = || (hub.tick)(&hub.status);
        transaction.give_up(broker, events, error, rules.commit.patience, hub.metrics, tick)?;
        self.limit = None;
        self.lanes.rewind();
        Ok(())
    }

    // === Reports ===

    fn stop_at_limit(&mut self) -> Result<(), Stop> {
        let Some((partition, reached)) = self.limit.take() else { return Ok(()) };
        let (topic, number) = self.broker.log_of(partition);
        Err(Stop::new(FatalKind::DeadLetterLimit, explain(topic, number, &reached, &self.rules)))
    }

    fn export_lag(&self) {
        for (partition, reading) in self.lanes.readings() {
            let (topic, number) = self.broker.log_of(partition);
            let lag = reading.end.map(|end| end.0.saturating_sub(reading.committed.0));
            self.hub.intake.set_lag(topic, number, lag);
        }
    }
}

/// What was refused, how far the partition is committed, and what an operator should do.
fn explain(topic: &str, number: u32, reached: &LimitReached<()>, rules: &IntakeRules) -> String {
    let LimitReached { offset, refusal, dead_letters, records, by_reason, offsets, .. } = reached;
    let mut details: Vec<String> =
        by_reason.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
    details.extend(offsets.values().map(|(first, last)| format!("offsets {} to {}", first.0, last.0)));
    format!(
        "{dead_letters} of the last {records} records of {topic}, partition {number}, were refused ({details}); the record at offset \
         {offset} ({reason}: {detail}) would cross `dead_letters.max_share` ({share}). Everything before it is committed, and what was \
         refused is in {letters}. Try the map on such a record (`retention-signals maps try`), mend the map or the producer, then start \
         again; to pass over what was appended before, start with --accept-dead-letters-before and the time at which that was mended",
        details = details.join(", "),
        offset = offset.0,
        reason = refusal.reason.name(),
        detail = refusal.detail,
        share = rules.dead_letters.share_max,
        letters = rules.output_name(IntakeOutput::DeadLetters),
    )
}
