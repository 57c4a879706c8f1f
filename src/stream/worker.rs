//! The path of a worker, top to bottom: poll → fetch → decode → engine → effects → one transaction.
//!
//! ```text
//!  turn:  group events ─► restores ─► queries ─► read and apply ─► clocks at idle ends ─► commit, when it is due ─► wait
//! ```
//!
//! One worker is one thread, one group member and one producer; it owns its partitions' state alone. It
//! publishes a batch in metrics and queries only after its commit is known, and applies no further record until then. Each part is
//! a type that owns its data, and gets the rest as a `Context`:
//!
//! | part | owns |
//! |---|---|
//! | `Transaction` | the open batch: its contents, how it is written, what happens when that fails |
//! | `Membership` | how far the worker has joined, the group events that it has not acted upon |
//! | `OwnedPartitions` | the partitions and their epochs, restores |
//! | `ClockGate` | whether wall time is believed, and may move the clocks; what the intake has still to pass on |
//! | `CommitSchedule` | when the next commit is due |

mod clock_gate;
mod combining;
mod commit_schedule;
mod context;
pub mod hub;
mod intake_gate;
mod membership;
mod owned;
mod query;
mod refusals;
mod report;
mod shares;
mod snapshot;
mod stop;
mod transaction;

use std::time::Duration;

use tracing::{info, warn};

use crate::domain::values::time::Time;
use crate::fault::{self, Milestone, Mutation};
use crate::observe::metrics::{FatalKind, RebalanceKind, Stage, TransactionSummary};
use crate::observe::status::WorkerPhase;
use crate::stream::broker::{Broker, BrokerError, GroupEvent};
use crate::stream::partition::apply::{Decoding, Pause, Tools};
use crate::stream::partition::{EndCheck, Phase, Running};
use crate::stream::rules::Rules;
use crate::topic::{Partition, listed};

use clock_gate::ClockGate;
use combining::CombinerSlot;
use commit_schedule::CommitSchedule;
use context::Context;
use hub::Hub;
use refusals::RefusalLog;
use report::GaugeRefresh;
use transaction::{CommitEnd, CommittedBatch, FlushEnd, Transaction};

pub use stop::Stop;

/// Records that one partition applies before the next one has its turn.
const RECORDS_A_TURN: usize = 4_096;
/// Records of one input that are held ahead of the merge.
const LOOK_AHEAD: usize = 1_024;
/// The whole group waits while a revoked partition's open batch is committed.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);
/// Leaving the group may take so long.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub struct Worker<'m, B: Broker> {
    ctx: Context<'m, B>,
    transaction: Transaction,
    clock_gate: ClockGate,
    schedule: CommitSchedule,
    gauges: GaugeRefresh,
    refusals: RefusalLog,
    /// Reads first in the next turn, because a commit was due before it could in the last one.
    reads_first: Partition,
}

impl<'m, B: Broker> Worker<'m, B> {
    /// A worker that has done nothing yet; its first turns check the topics, open the producer and join the group.
    pub fn new(broker: B, rules: Rules, hub: Hub<'m>) -> Self {
        let clocks = broker.clocks();
        Self {
            ctx: Context::new(broker, rules, hub, clocks.monotonic),
            transaction: Transaction::default(),
            clock_gate: ClockGate::new(clocks),
            schedule: CommitSchedule::default(),
            gauges: GaugeRefresh::new(clocks.monotonic),
            refusals: RefusalLog::default(),
            reads_first: Partition(0),
        }
    }

    /// One turn of the loop. Waits if there was nothing to do.
    pub fn turn(&mut self) -> Result<(), Stop> {
        if !self.ctx.join()? {
            return Ok(());
        }
        self.ctx.follow_registry();
        CombinerSlot::follow(&mut self.ctx)?;
        self.handle_group_events()?;
        self.ctx.handle_restored()?;
        self.ctx.partitions.start_reading(&mut self.ctx.broker)?;
        self.begin_histories();
        self.end_histories_behind_intake()?;
        self.ctx.answer_queries();
        let has_read = self.read_and_apply()?;
        let has_more_timers = self.ctx.reschedule_timers();
        self.stop_at_limit()?;
        self.move_clocks()?;
        let is_counting = shares::count_days(&mut self.ctx, &mut self.transaction);
        self.refresh_old_offsets();
        self.start_snapshot();
        self.ctx.check_partition_counts_now_and_then()?;
        if self.is_commit_due() && self.commit(self.ctx.rules.commit.patience)? == CommitEnd::GivenUp {
            return Err(not_committed());
        }
        snapshot::take_slices(&mut self.ctx, &self.transaction);
        self.gauges.refresh_now_and_then(&mut self.ctx, &self.transaction, &self.clock_gate.intake);
        self.refusals.log(&self.ctx.rules, self.ctx.broker.now());
        if !has_read && !has_more_timers && !is_counting {
            let idle_for =
                self.schedule.idle_for(&self.fill(), &self.ctx.rules.commit, self.ctx.broker.now());
            self.ctx.broker.wait(idle_for);
        }
        Ok(())
    }

    /// Commits the open batch, within bounds, and leaves the group.
    ///
    /// # Errors
    /// If the outcome of the last commit is not known.
    pub fn shut_down(mut self) -> Result<(), Stop> {
        self.ctx.partitions.retain_running();
        let partitions = self.ctx.partitions.numbers();
        let kept = snapshot::position_last(&mut self.ctx, &partitions);
        self.open_parts(kept);
        let end = if self.transaction.is_empty() {
            Ok(CommitEnd::Committed)
        } else {
            self.commit(self.ctx.rules.commit.patience)
        };
        if matches!(end, Ok(CommitEnd::Committed)) {
            for (partition, owned) in self.ctx.partitions.take_all() {
                self.ctx.hub.metrics.remove_partition(partition);
                match owned.phase {
                    Phase::Running(running) => snapshot::hand_over(&self.ctx.rules, partition, *running),
                    Phase::Restoring(_) | Phase::Restored(_) => {}
                }
            }
        }
        fault::reach(Milestone::BeforeClose);
        self.close();
        end.map(|end| info!(is_committed = end == CommitEnd::Committed, "worker has left the group"))
    }

    /// Leaves the group without a commit, after an error.
    pub fn close(mut self) {
        self.refusals.log_rest(&self.ctx.rules, self.ctx.broker.now());
        self.transaction.abandon(&mut self.ctx);
        for partition in self.ctx.partitions.numbers() {
            self.ctx.hub.metrics.remove_partition(partition);
        }
        self.ctx.broker.close(CLOSE_MAX);
    }

    // === Partitions come and go ===

    /// Acts on everything that the group's coordinator has decided, in order. The callback of the client has only recorded it.
    fn handle_group_events(&mut self) -> Result<(), Stop> {
        self.ctx.record_group_events()?;
        while let Some(event) = self.ctx.membership.events().first() {
            let started_at = self.ctx.broker.now();
            self.ctx.hub.status.set_phase(WorkerPhase::Rebalancing);
            let kind = match &event {
                GroupEvent::Assigned(partitions) => {
                    self.ctx.handle_assigned(partitions)?;
                    RebalanceKind::Assign
                }
                GroupEvent::Revoked(partitions) => {
                    self.handle_revoked(partitions)?;
                    RebalanceKind::Revoke
                }
                GroupEvent::Lost(partitions) => {
                    self.handle_lost(partitions)?;
                    RebalanceKind::Lost
                }
            };
            // Kept until now: a commit on the way learns from it which parts to drop.
            self.ctx.membership.events_mut().remove_first();
            self.ctx.hub.metrics.on_rebalance(kind, self.ctx.broker.now().since(started_at));
            self.ctx.hub.status.set_phase(WorkerPhase::Running);
        }
        Ok(())
    }

    fn handle_revoked(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        info!(partitions = listed(partitions), "partitions revoked");
        if fault::is(Mutation::KeepRevokedParts) {
            return Ok(self.ctx.broker.unassign(partitions)?);
        }
        let kept = snapshot::position_last(&mut self.ctx, partitions);
        self.open_parts(kept);
        let is_touched = partitions.iter().any(|partition| self.transaction.touches(*partition));
        if is_touched && self.commit(REVOKE_PATIENCE)? == CommitEnd::GivenUp {
            warn!(
                "the open batch of the revoked partitions could not be committed, their next owner reads it again"
            );
        }
        fault::reach(Milestone::BeforeGiveUp);
        self.give_up(partitions)
    }

    fn handle_lost(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        warn!(partitions = listed(partitions), "partitions lost");
        if fault::is(Mutation::KeepLostState) {
            return Ok(self.ctx.broker.unassign(partitions)?);
        }
        self.give_up(partitions)
    }

    /// Parts, gauges and queues go; the state is dropped, or handed to the writer of snapshots, last, because that may take a while
    /// and the next owner waits.
    fn give_up(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        self.transaction.drop_parts_of(&mut self.ctx, partitions)?;
        for (partition, running) in self.ctx.give_back(partitions)? {
            snapshot::hand_over(&self.ctx.rules, partition, running);
        }
        Ok(())
    }

    // === Read and apply ===

    /// Gives every partition its turn, until a commit is due. Whether there may be more to read.
    fn read_and_apply(&mut self) -> Result<bool, Stop> {
        let mut partitions: Vec<Partition> =
            self.ctx.partitions.running_mut_all().map(|(partition, _)| partition).collect();
        let first = partitions.partition_point(|partition| *partition < self.reads_first);
        partitions.rotate_left(first);
        let mut has_applied = false;
        for partition in partitions {
            if self.is_commit_due() {
                self.reads_first = partition;
                return Ok(true);
            }
            if self.read_and_apply_one(partition)? {
                has_applied = true;
                match self.transaction.flush_early(&mut self.ctx)? {
                    FlushEnd::GoesOn => {}
                    FlushEnd::Undone(committed) => {
                        if let Some(batch) = committed {
                            self.on_committed(batch);
                        }
                        break;
                    }
                }
            }
        }
        Ok(has_applied)
    }

    fn read_and_apply_one(&mut self, partition: Partition) -> Result<bool, Stop> {
        let Context { broker, rules, hub, membership, partitions, .. } = &mut self.ctx;
        let clocks = broker.clocks();
        let running = partitions.running_mut(partition);
        let (records_before, was_closed) = (running.part.records, running.part.is_closed);
        let started_at = clocks.monotonic;
        let mut decoding = Decoding::default();
        loop {
            let left = fault::bound(RECORDS_A_TURN).saturating_sub(running.part.records - records_before);
            if running.part.is_closed || left == 0 {
                break;
            }
            match running.streams.refill(broker, partition, LOOK_AHEAD) {
                Ok(()) => {}
                Err(BrokerError::Retry(_)) => break,
                Err(error) => return Err(error.into()),
            }
            if running.streams.has_come_through_intake() && rules.raw_topics.is_empty() {
                hub.warn_of_unknown_intake();
            }
            running.part.was_at_end |= running.streams.is_at_end();
            running.limit = None;
            let broker = &*broker;
            let mut tools = Tools {
                rules,
                partition,
                partitions: membership.partitions(),
                shop_now: rules.shop_time.at(clocks.wall_ms),
                wall_ms: clocks.wall_ms,
                record_bytes_max: broker.record_bytes_max(),
                moment: &|| broker.now(),
                decoding: &mut decoding,
            };
            let pause = running.apply(&mut tools, left);
            running.is_waiting = matches!(pause, Pause::Wait(_));
            match pause {
                Pause::Fetch => {}
                Pause::Wait(input) => {
                    if running.streams.wait_for(input, clocks.monotonic) {
                        hub.metrics.on_merge_wait_timeout();
                    }
                    break;
                }
                Pause::Empty | Pause::Full | Pause::Closed | Pause::Limit => break,
            }
        }
        let has_applied = running.part.records > records_before || running.part.is_closed != was_closed;
        let is_starved = !has_applied && running.streams.is_empty() && !running.streams.is_at_end();
        running.starved_since = is_starved.then(|| running.starved_since.unwrap_or(started_at));
        if has_applied {
            running.end_check.is_frozen = false;
            let elapsed = broker.now().since(started_at);
            let decode = decoding.estimate().min(elapsed);
            self.transaction.add_time(Stage::Decode, decode);
            self.transaction.add_time(Stage::Apply, elapsed - decode);
            self.transaction.open_part(&self.ctx, partition);
        }
        Ok(has_applied)
    }

    /// Ends the worker if the next record of a partition would cross the limit on dead letters, once everything before it is
    /// committed. A partition that turns out to be lost is left to its next owner.
    fn stop_at_limit(&mut self) -> Result<(), Stop> {
        let mut running = self.ctx.partitions.running_mut_all();
        let Some((partition, _)) = running.find(|(_, running)| running.limit.is_some()) else {
            return Ok(());
        };
        drop(running);
        if self.commit(self.ctx.rules.commit.patience)? == CommitEnd::GivenUp {
            return Err(not_committed());
        }
        let is_lost = self.ctx.membership.events().has_lost(partition);
        let reached = match self.ctx.partitions.phase_mut(partition) {
            // Its positions may be beyond what is committed: control records alone are no reason for a commit.
            Some(Phase::Running(running)) if running.part.records == 0 && !is_lost => running.limit.take(),
            Some(Phase::Running(_) | Phase::Restored(_) | Phase::Restoring(_)) | None => None,
        };
        let stop = reached.map(|reached| Stop::dead_letters(partition, &reached, &self.ctx.rules));
        stop.map_or(Ok(()), Err)
    }

    // === Wall time ===

    /// Moves the clocks of partitions that have something due and are read to their ends, if the brokers confirm these ends.
    fn move_clocks(&mut self) -> Result<(), Stop> {
        let Some(asked) = self.clock_gate.confirm_ends(&mut self.ctx)? else { return Ok(()) };
        for partition in asked.at_end {
            self.advance_clock(partition, asked.target);
        }
        clock_gate::check_open_transactions(&mut self.ctx, &asked.behind, asked.asked_at)
    }

    /// Moves the clock of a partition whose ends are confirmed.
    fn advance_clock(&mut self, partition: Partition, target: Time) {
        let Context { broker, rules, membership, partitions, .. } = &mut self.ctx;
        let broker = &*broker;
        let mut tools = Tools {
            rules,
            partition,
            partitions: membership.partitions(),
            shop_now: target,
            wall_ms: broker.clocks().wall_ms,
            record_bytes_max: broker.record_bytes_max(),
            moment: &|| broker.now(),
            decoding: &mut Decoding::default(),
        };
        let running = partitions.running_mut(partition);
        running.end_check = EndCheck::default();
        running.advance_clock(&mut tools, target);
        self.transaction.open_part(&self.ctx, partition);
    }

    // === Commits ===

    fn fill(&self) -> transaction::BatchFill {
        self.transaction.fill(&self.ctx.partitions)
    }

    fn is_commit_due(&self) -> bool {
        self.schedule.is_due(&self.fill(), &self.ctx.rules.commit, self.ctx.broker.now())
    }

    fn commit(&mut self, patience: Duration) -> Result<CommitEnd, Stop> {
        let (end, committed) = self.transaction.commit(&mut self.ctx, patience)?;
        if let Some(batch) = committed {
            self.on_committed(batch);
        }
        Ok(end)
    }

    /// A batch is known to be committed: only now it is shown, counted, and made room for the next.
    fn on_committed(&mut self, batch: CommittedBatch) {
        let Context { broker, rules, hub, partitions, .. } = &mut self.ctx;
        let clocks = broker.clocks();
        let target = rules.clock_target(clocks.wall_ms);
        self.schedule.on_committed(batch.started_at, clocks.monotonic);
        let mut records = 0;
        for part in batch.parts {
            let running = partitions.running_mut(part.partition);
            report::add_transitions(&mut running.part.summary, running.engine.transitions());
            records += running.part.summary.output_records.iter().map(|(_, count)| count).sum::<u64>();
            hub.on_part_committed(&running.part, clocks.wall_ms);
            self.refusals.add(part.partition, &running.part);
            hub.status.remark(
                part.partition,
                running.window.too_old_remark(part.partition, rules.settings.lateness),
            );
            running.on_committed(part.batch_number, clocks.monotonic);
            let gauges = report::gauges(running, rules, target, clocks.monotonic);
            hub.metrics.partition(part.partition).set(&gauges);
        }
        hub.metrics.on_transaction_committed(&TransactionSummary {
            duration: clocks.monotonic.since(batch.started_at),
            records,
            stages: batch.stages,
            committed_at_ms: clocks.wall_ms,
        });
        self.ctx.answer_queries();
    }

    /// Opens a part without content for partitions without a seal: their first one says where their history ends, whatever may
    /// happen before a record of it can be read.
    fn begin_histories(&mut self) {
        let unsealed = self
            .ctx
            .partitions
            .running_mut_all()
            .filter(|(_, running)| running.history.is_some() && running.committed.batch_number == 0);
        let unsealed: Vec<Partition> = unsealed.map(|(partition, _)| partition).collect();
        self.open_parts(unsealed);
    }

    /// Opens a part without content for partitions whose history has got its end: the intake has passed on what belongs to it.
    fn end_histories_behind_intake(&mut self) -> Result<(), Stop> {
        let ended = self.clock_gate.intake.end_histories(&mut self.ctx)?;
        self.open_parts(ended);
        Ok(())
    }

    /// Opens a part without content for partitions whose committed offsets grow old: offsets of topics outside of the subscription
    /// expire by the age of their commit.
    fn refresh_old_offsets(&mut self) {
        let now = self.ctx.broker.now();
        let old = self.ctx.partitions.running_mut_all().filter(|(_, running)| has_old_offsets(running, now));
        let old: Vec<Partition> = old.map(|(partition, _)| partition).collect();
        self.open_parts(old);
    }

    /// Opens a part for the partition whose snapshot is most overdue: only a commit proves that the position is this worker's own.
    fn start_snapshot(&mut self) {
        if let Some(partition) = snapshot::want_most_overdue(&mut self.ctx) {
            self.transaction.open_part(&self.ctx, partition);
        }
    }

    fn open_parts(&mut self, partitions: Vec<Partition>) {
        for partition in partitions {
            self.transaction.open_part(&self.ctx, partition);
        }
    }
}

fn not_committed() -> Stop {
    Stop::new(
        FatalKind::Unavailable,
        "Kafka took no commit within `commit.patience`; nothing is lost, the batch is written anew after a start",
    )
}

fn has_old_offsets<T>(running: &Running<T>, now: crate::stream::broker::Moment) -> bool {
    running.committed.batch_number > 0 && now.since(running.committed.at) >= commit_schedule::OFFSET_AGE_MAX
}
