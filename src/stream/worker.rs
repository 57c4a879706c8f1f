//! The path of a worker, top to bottom: poll → fetch → decode → engine → effects → one transaction.
//!
//! ```text
//!  turn:  group events ─► restores ─► queries ─► read and apply ─► clocks at idle ends ─► commit, when it is due ─► wait
//! ```
//!
//! One worker is one thread, one group member and one producer; it owns its partitions' state alone. Nothing is shown to
//! anyone before the commit that holds it is known; until then nothing more is applied. Together with `partition` this is the
//! only place that knows both the domain and the broker.

pub mod clock;
mod commit;
mod commit_schedule;
mod early_flush;
mod group;
pub mod hub;
mod join;
mod query;
pub mod report;
pub mod rules;
mod send;
mod snapshot;
mod stop;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tracing::{debug, info};

use crate::domain::values::time::Time;
use crate::fault;
use crate::observe::metrics::{FatalKind, PerLabel, Stage, TransactionSummary};
use crate::stream::broker::{Broker, BrokerError, GroupEvent, Moment};
use crate::stream::partition::apply::{Decoding, Pause, Tools};
use crate::stream::partition::restore::News;
use crate::stream::partition::{Epoch, Owned, Phase, Running};
use crate::stream::query::CustomerQuery;
use crate::topic::Partition;

use clock::WallGuard;
use commit::CommitEnd;
use early_flush::EarlyFlush;
use hub::Hub;
use join::Joining;
use rules::Rules;
use send::Scratch;

pub use stop::Stop;

/// Records that one partition applies before the next one has its turn.
const RECORDS_A_TURN: usize = 4_096;
/// Records of one input that are held ahead of the merge.
const LOOK_AHEAD: usize = 1_024;

/// A worker.
pub struct Worker<'m, B: Broker> {
    broker: B,
    rules: Rules,
    hub: Hub<'m>,
    joining: Joining,
    owned: BTreeMap<Partition, Owned<B::Batch>>,
    /// Recorded, and not acted upon yet.
    group_events: VecDeque<GroupEvent>,
    batch: Batch,
    epoch: Epoch,
    wall_guard: WallGuard,
    /// When the producer was fenced lately.
    fencings: VecDeque<Moment>,
    waiting_queries: Vec<CustomerQuery>,
    pace: commit_schedule::Pace,
    record_bytes_max: usize,
    scratch: Scratch,
}

/// The open batch: which partitions have a part in it, and since when.
#[derive(Default)]
struct Batch {
    opened_at: Option<Moment>,
    /// Since when its transaction is open: during the commit, or before it if something was sent ahead.
    transaction_since: Option<Moment>,
    /// The broker was asked to commit it.
    is_ending: bool,
    parts: Vec<BatchPart>,
    stages: PerLabel<Stage, Duration>,
}

/// A partition's part of the open batch; its content is with the partition.
#[derive(Clone, Copy)]
struct BatchPart {
    partition: Partition,
    /// The part is dropped if the partition is owned in another one by now.
    epoch: Epoch,
    batch_number: u64,
    /// Some of what it says is in the open transaction already, and held nowhere else.
    is_ahead: bool,
}

impl<'m, B: Broker> Worker<'m, B> {
    /// A worker that has done nothing yet; its first turns check the topics, open the producer and join the group.
    pub fn new(broker: B, rules: Rules, hub: Hub<'m>) -> Self {
        let clocks = broker.clocks();
        Self {
            joining: Joining::Topics { since: clocks.monotonic },
            record_bytes_max: broker.record_bytes_max(),
            pace: commit_schedule::Pace::new(clocks.monotonic),
            wall_guard: WallGuard::new(clocks),
            broker,
            rules,
            hub,
            owned: BTreeMap::new(),
            group_events: VecDeque::new(),
            batch: Batch::default(),
            epoch: Epoch::default(),
            fencings: VecDeque::new(),
            waiting_queries: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// One turn of the loop. Waits if there was nothing to do.
    pub fn turn(&mut self) -> Result<(), Stop> {
        if !self.join()? {
            return Ok(());
        }
        self.handle_group_events()?;
        self.hear_of_restores()?;
        self.start_reading()?;
        self.answer_queries();
        let has_read = self.read_and_apply()?;
        self.move_clocks()?;
        self.keep_offsets_alive();
        self.want_snapshot();
        self.check_partition_counts_now_and_then()?;
        if self.is_commit_due() && self.commit(self.rules.commit.patience)? == CommitEnd::GivenUp {
            return Err(Stop::new(
                FatalKind::Unavailable,
                "a batch could not be committed within `commit.patience`",
            ));
        }
        self.take_slices();
        self.refresh_gauges_now_and_then();
        if !has_read {
            self.broker.wait(self.idle_for());
        }
        Ok(())
    }

    /// Commits the open batch, within bounds, and leaves the group.
    ///
    /// # Errors
    /// If the outcome of the last commit is not known.
    pub fn shut_down(mut self) -> Result<(), Stop> {
        self.owned.retain(|_, owned| matches!(owned.phase, Phase::Running(_)));
        let partitions: Vec<Partition> = self.owned.keys().copied().collect();
        self.want_last_snapshots(&partitions);
        let patience = self.rules.commit.patience;
        let end = if self.batch.parts.is_empty() { Ok(CommitEnd::Committed) } else { self.commit(patience) };
        if matches!(end, Ok(CommitEnd::Committed)) {
            self.hand_over_all();
        }
        fault::reach(fault::Step::BeforeClose);
        self.close();
        end.map(|end| info!(is_committed = end == CommitEnd::Committed, "worker has left the group"))
    }

    /// Leaves the group without a commit, after an error.
    pub fn close(mut self) {
        self.leave_transaction();
        for partition in self.owned.keys() {
            self.hub.metrics.remove_partition(*partition);
        }
        self.broker.close(commit_schedule::CLOSE_MAX);
    }

    // === Read and apply ===

    /// Gives every partition its turn, until a commit is due. Whether there may be more to read.
    fn read_and_apply(&mut self) -> Result<bool, Stop> {
        let mut partitions: Vec<Partition> =
            self.running_partitions().map(|(partition, _)| partition).collect();
        // Whoever came too late in the last turn is first in this one.
        let first = partitions.partition_point(|partition| *partition < self.pace.next_partition);
        partitions.rotate_left(first);
        let mut has_applied = false;
        for partition in partitions {
            if self.is_commit_due() {
                self.pace.next_partition = partition;
                return Ok(true);
            }
            if self.read_and_apply_one(partition)? {
                has_applied = true;
                if self.send_ahead()? == EarlyFlush::Undone {
                    break;
                }
            }
        }
        Ok(has_applied)
    }

    fn read_and_apply_one(&mut self, partition: Partition) -> Result<bool, Stop> {
        let clocks = self.broker.clocks();
        let running = running_mut(&mut self.owned, partition);
        let (records_before, was_closed) = (running.part.records, running.part.is_closed);
        let started_at = clocks.monotonic;
        let mut decoding = Decoding::default();
        loop {
            let left = fault::bound(RECORDS_A_TURN).saturating_sub(running.part.records - records_before);
            if running.part.is_closed || left == 0 {
                break;
            }
            match running.streams.refill(&mut self.broker, partition, LOOK_AHEAD) {
                Ok(()) => {}
                Err(BrokerError::Retry(_)) => break,
                Err(error) => return Err(error.into()),
            }
            running.part.was_at_end |= running.streams.is_at_end();
            let broker = &self.broker;
            let mut tools = Tools {
                rules: &self.rules,
                partition,
                shop_now: self.rules.shop_time.at(clocks.wall_millis),
                wall_millis: clocks.wall_millis,
                record_bytes_max: self.record_bytes_max,
                moment: &|| broker.now(),
                decoding: &mut decoding,
            };
            let pause =
                running.apply(&mut tools, left).map_err(|crossed| Stop::dead_letters(partition, crossed))?;
            running.is_waiting = matches!(pause, Pause::Wait(_));
            match pause {
                Pause::Fetch => {}
                Pause::Wait(input) => {
                    if running.streams.wait_for(input, clocks.monotonic) {
                        self.hub.metrics.on_merge_wait_timeout();
                    }
                    break;
                }
                Pause::Empty | Pause::Full | Pause::Closed => break,
            }
        }
        let has_applied = running.part.records > records_before || running.part.is_closed != was_closed;
        let is_starved = !has_applied && running.streams.is_empty() && !running.streams.is_at_end();
        running.starved_since = is_starved.then(|| running.starved_since.unwrap_or(started_at));
        if has_applied {
            running.end_check.is_frozen = false;
            let elapsed = self.broker.now().since(started_at);
            let decode = decoding.estimate().min(elapsed);
            self.batch.stages[Stage::Decode] += decode;
            self.batch.stages[Stage::Apply] += elapsed - decode;
            self.open_part(partition);
        }
        Ok(has_applied)
    }

    /// Moves the clock of a partition whose ends are confirmed.
    fn advance_clock(&mut self, partition: Partition, target: Time) {
        let broker = &self.broker;
        let mut tools = Tools {
            rules: &self.rules,
            partition,
            shop_now: target,
            wall_millis: broker.clocks().wall_millis,
            record_bytes_max: self.record_bytes_max,
            moment: &|| broker.now(),
            decoding: &mut Decoding::default(),
        };
        let running = running_mut(&mut self.owned, partition);
        running.end_check = clock::EndCheck::default();
        running.advance_clock(&mut tools, target);
        self.open_part(partition);
    }

    /// The partition has a part in the open batch from now on.
    fn open_part(&mut self, partition: Partition) {
        self.batch.opened_at.get_or_insert(self.broker.now());
        if self.batch.parts.iter().all(|part| part.partition != partition) {
            let epoch = self.owned[&partition].epoch;
            let batch_number = running(&self.owned, partition).committed.batch_number + 1;
            self.batch.parts.push(BatchPart { partition, epoch, batch_number, is_ahead: false });
        }
    }

    // === After a commit ===

    /// What a rule that is broken on purpose does: see [`crate::fault::Mutation::ShowBeforeCommit`].
    fn show_parts(&mut self) {
        for part in &self.batch.parts {
            self.hub.on_part_committed(&running(&self.owned, part.partition).part, 0);
        }
    }

    /// The open batch is known to be committed: only now it is shown, counted, and made room for the next.
    fn on_committed(&mut self, started_at: Moment) {
        let clocks = self.broker.clocks();
        let target = self.clock_target(clocks.wall_millis);
        let was_ahead = self.batch.parts.iter().any(|part| part.is_ahead);
        self.pace.on_committed(started_at, clocks.monotonic, was_ahead);
        let mut records = 0;
        for part in std::mem::take(&mut self.batch.parts) {
            let running = running_mut(&mut self.owned, part.partition);
            report::add_transitions(&mut running.part.summary, running.engine.transitions());
            records += running.part.summary.output_records.iter().map(|(_, count)| count).sum::<u64>();
            self.hub.on_part_committed(&running.part, clocks.wall_millis);
            running.on_committed(part.batch_number, clocks.monotonic);
            let gauges = report::gauges(running, &self.rules, target, clocks.monotonic);
            self.hub.metrics.partition(part.partition).set(&gauges);
        }
        self.hub.metrics.on_transaction_committed(&TransactionSummary {
            duration: clocks.monotonic.since(started_at),
            records,
            stages: std::mem::take(&mut self.batch.stages),
            committed_at_ms: clocks.wall_millis,
        });
        self.batch = Batch::default();
        self.answer_queries();
    }

    // === Restored partitions ===

    fn hear_of_restores(&mut self) -> Result<(), Stop> {
        let mut restored = Vec::new();
        for (partition, owned) in &self.owned {
            let Phase::Restoring(restoring) = &owned.phase else { continue };
            while let Some(news) = restoring.next_news() {
                match news {
                    News::Progress { records, remaining } => {
                        self.hub.on_restore_progress(*partition, records, remaining);
                    }
                    News::Done(state) => restored.push((*partition, restoring.started_at, state)),
                    News::Failed(error) => return Err(Stop::from(error).in_partition(*partition)),
                }
            }
        }
        for (partition, started_at, state) in restored {
            let now = self.broker.now();
            let duration = now.since(started_at);
            info!(%partition, records = state.records, ?duration, batch = state.batch_number, "partition restored");
            self.hub.on_restore_progress(partition, state.records_untold, 0);
            self.hub.on_restored(partition, duration);
            let snapshots = self.keep_snapshots(partition, &state, now);
            let owned = self.owned.get_mut(&partition).expect("its restore was just heard of");
            owned.phase = Phase::Restored(Box::new(Running::new(*state, snapshots, now)));
        }
        Ok(())
    }

    /// Has restored partitions fetched. A client that has not taken up the assignment yet is asked again in the next turn.
    fn start_reading(&mut self) -> Result<(), Stop> {
        let mut reading = Vec::new();
        for (partition, owned) in &self.owned {
            let Phase::Restored(running) = &owned.phase else { continue };
            match self.broker.read_from(*partition, running.next_positions()) {
                Ok(()) => reading.push(*partition),
                Err(BrokerError::Retry(cause)) => {
                    debug!(%partition, cause = format!("{cause:#}"), "not fetching yet");
                }
                Err(error) => return Err(error.into()),
            }
        }
        for partition in reading {
            if let Some(Owned { epoch, phase: Phase::Restored(running) }) = self.owned.remove(&partition) {
                self.owned.insert(partition, Owned { epoch, phase: Phase::Running(running) });
            }
        }
        Ok(())
    }

    fn running_partitions(&mut self) -> impl Iterator<Item = (Partition, &mut Running<B::Batch>)> {
        self.owned.iter_mut().filter_map(|(partition, owned)| match &mut owned.phase {
            Phase::Running(running) => Some((*partition, running.as_mut())),
            Phase::Restoring(_) | Phase::Restored(_) => None,
        })
    }

    /// Where wall time would put the clocks.
    fn clock_target(&self, wall_millis: i64) -> Option<Time> {
        clock::target(&self.rules.clock, self.rules.shop_time.at(wall_millis))
    }
}

/// A partition that is known to be processed: it was asked for among those, or has a part in the batch.
fn running<T>(owned: &BTreeMap<Partition, Owned<T>>, partition: Partition) -> &Running<T> {
    match &owned[&partition].phase {
        Phase::Running(running) => running,
        Phase::Restoring(_) | Phase::Restored(_) => panic!("partition {partition} is not processed yet"),
    }
}

/// See [`running`].
fn running_mut<T>(owned: &mut BTreeMap<Partition, Owned<T>>, partition: Partition) -> &mut Running<T> {
    match owned.get_mut(&partition).map(|owned| &mut owned.phase) {
        Some(Phase::Running(running)) => running,
        Some(Phase::Restoring(_) | Phase::Restored(_)) | None => {
            panic!("partition {partition} is not processed")
        }
    }
}
