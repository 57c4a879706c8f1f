//! One transaction for the open batch, and what is done when it does not go as it should.
//!
//! ```text
//!             ┌──────────────────────────── again, with back-off ◄───────────────────────────┐
//!             ▼                                                                              │
//!  poll ─► drop stale parts ─► begin ─► send ─► flush ─► offsets ─► commit ─► committed      │
//!                                └────────┴───────┴─────────┴── error ─► abort ─► aborted ───┤
//!                                                           commit, abort ─► unknown outcome │
//!                                  poll ─► new producer ─► committed offsets ─► batch number ┘
//! ```
//!
//! Nothing is applied until the outcome is known. Between the slices of a long call the client is polled; the group events that it
//! gives are only recorded, and acted upon after the commit.
//!
//! The signals of a backlog are flushed early, before their commit is due. A batch may then be long without being held in memory, and
//! the longer it is, the more events one profile and one changelog record stand for; meanwhile the client's threads write.
//!
//! ```text
//!  apply ─(many bytes)─► begin ─► send signals and dead letters, and forget them ─► apply … ─► commit
//!                                     └── error, or a part is dropped ─► abort ─► its flushed parts are restored
//! ```
//!
//! The price of an abort is then a restore. Batches of a worker that keeps up with its inputs are too small to be flushed early.

mod early_flush;
mod outcome;
mod send;

use std::time::Duration;

use tracing::{debug, warn};

use super::context::Context;
use super::owned::OwnedPartitions;
use super::{Stop, snapshot};
use crate::fault::{self, Milestone, Mutation};
use crate::observe::metrics::{FatalKind, PerLabel, Stage};
use crate::stream::broker::{Broker, BrokerError, Lookup, Moment, NextOffset, Stability, Unknown};
use crate::stream::partition::{BatchName, Epoch};
use crate::stream::session::{Attempt, AttemptError, Fencings};
use crate::topic::{Input, Partition};

use early_flush::EarlyFlushes;
use outcome::{Verdict, verdict};
use send::Scratch;

/// The pause before an aborted batch is written again; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A worker that ends takes so long, at most, to abort a transaction that it leaves open.
const ABANDON_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Transaction {
    batch: Batch,
    fencings: Fencings,
    early_flushes: EarlyFlushes,
    scratch: Scratch,
}

/// The open batch: which partitions have a part in it, and since when.
#[derive(Default)]
struct Batch {
    opened_at: Option<Moment>,
    /// Since when its transaction is open: during the commit, or before it if something was flushed early.
    transaction_since: Option<Moment>,
    /// The broker was asked to commit it.
    is_ending: bool,
    parts: Vec<BatchPart>,
    stages: PerLabel<Stage, Duration>,
}

/// A partition's part of the open batch; its content is with the partition.
#[derive(Clone, Copy)]
pub(super) struct BatchPart {
    pub partition: Partition,
    /// The part is dropped if the partition is owned in another one by now.
    epoch: Epoch,
    pub batch_number: u64,
    /// Some of its signals and dead letters are in the open transaction already, and held nowhere else.
    is_flushed_early: bool,
}

/// How much the open batch holds, and since when.
#[derive(Clone, Copy, Default)]
pub(super) struct BatchFill {
    pub opened_at: Option<Moment>,
    pub transaction_since: Option<Moment>,
    /// An input was read to its end since the batch was opened: its latest records are to be answered soon.
    pub was_at_end: bool,
    pub has_timers_left: bool,
    pub records: usize,
    pub changes: usize,
    pub bytes: usize,
}

/// How a commit ended, if it did not stop the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CommitEnd {
    /// Known to be committed, or nothing was left to commit.
    Committed,
    /// Known not to be: it could not be done in time, and the batch is still open.
    GivenUp,
}

/// A batch that is known to be committed.
pub(super) struct CommittedBatch {
    pub started_at: Moment,
    pub parts: Vec<BatchPart>,
    pub stages: PerLabel<Stage, Duration>,
}

/// How an early flush ended.
pub(super) enum FlushEnd {
    /// The batch goes on, whether anything was sent or not.
    GoesOn,
    /// Its transaction has failed: partitions may be in restore, or have left the batch. Or it is found to be committed.
    Undone(Option<CommittedBatch>),
}

/// Whether parts that were dropped from the batch have left records in the open transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DroppedParts {
    NoneFlushed,
    SomeFlushed,
}

impl Transaction {
    pub fn is_empty(&self) -> bool {
        self.batch.parts.is_empty()
    }

    pub fn touches(&self, partition: Partition) -> bool {
        self.batch.parts.iter().any(|part| part.partition == partition)
    }

    pub fn add_time(&mut self, stage: Stage, duration: Duration) {
        self.batch.stages[stage] += duration;
    }

    /// The partition has a part in the open batch from now on.
    pub fn open_part<B: Broker>(&mut self, ctx: &Context<'_, B>, partition: Partition) {
        self.batch.opened_at.get_or_insert(ctx.broker.now());
        if !self.touches(partition) {
            let epoch = ctx.partitions.epoch_of(partition).expect("a partition that is processed is owned");
            let batch_number = ctx.partitions.running(partition).committed.batch_number + 1;
            self.batch.parts.push(BatchPart { partition, epoch, batch_number, is_flushed_early: false });
        }
    }

    pub fn fill<T>(&self, partitions: &OwnedPartitions<T>) -> BatchFill {
        let Batch { opened_at, transaction_since, .. } = self.batch;
        let mut fill = BatchFill { opened_at, transaction_since, ..BatchFill::default() };
        for part in &self.batch.parts {
            let running = partitions.running(part.partition);
            fill.was_at_end |= running.part.was_at_end;
            fill.has_timers_left |= running.part.has_timers_left;
            fill.records += running.part.records;
            fill.changes += running.engine.changes().len();
            fill.bytes += running.part.bytes();
        }
        fill
    }

    // === Commit ===

    /// Commits the open batch, trying for `patience` to.
    pub fn commit<B: Broker>(
        &mut self,
        ctx: &mut Context<'_, B>,
        patience: Duration,
    ) -> Result<(CommitEnd, Option<CommittedBatch>), Stop> {
        let started_at = ctx.broker.now();
        let deadline = started_at.plus(patience);
        let mut backoff = BACKOFF_MIN;
        loop {
            ctx.record_group_events()?;
            let dropped = self.drop_stale_parts(ctx);
            self.abort_dropped(ctx, dropped)?;
            if self.batch.parts.is_empty() {
                self.batch = Batch::default();
                return Ok((CommitEnd::Committed, None));
            }
            snapshot::position_wanted(ctx);
            let attempt = self.attempt(ctx, deadline)?;
            if self.settle(ctx, attempt)? {
                return Ok((CommitEnd::Committed, Some(self.take_committed(started_at))));
            }
            if ctx.broker.now() >= deadline {
                return Ok((CommitEnd::GivenUp, None));
            }
            ctx.pause(backoff)?;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn take_committed(&mut self, started_at: Moment) -> CommittedBatch {
        let Batch { parts, stages, .. } = std::mem::take(&mut self.batch);
        self.early_flushes.on_committed(parts.iter().any(|part| part.is_flushed_early));
        CommittedBatch { started_at, parts, stages }
    }

    fn attempt<B: Broker>(&mut self, ctx: &mut Context<'_, B>, deadline: Moment) -> Result<Attempt, Stop> {
        match self.write(ctx, deadline) {
            Ok(()) => Ok(Attempt::Committed),
            Err(error) => ctx.undo(error),
        }
    }

    /// Begins the batch's transaction, unless it is open.
    fn begin<B: Broker>(&mut self, ctx: &mut Context<'_, B>) -> Result<(), AttemptError> {
        if self.batch.transaction_since.is_none() {
            fault::reach(Milestone::BeforeBegin);
            ctx.broker.begin()?;
            self.batch.transaction_since = Some(ctx.broker.now());
            fault::reach(Milestone::AfterBegin);
        }
        Ok(())
    }

    fn write<B: Broker>(&mut self, ctx: &mut Context<'_, B>, deadline: Moment) -> Result<(), AttemptError> {
        self.begin(ctx)?;
        let encode_started_at = ctx.broker.now();
        for part in &self.batch.parts {
            send::send_part(ctx, part, deadline, &mut self.scratch)?;
        }
        fault::reach(Milestone::AfterSend);
        let flush_started_at = ctx.broker.now();
        self.batch.stages[Stage::Encode] += flush_started_at.since(encode_started_at);
        ctx.bounded(deadline, B::flush)?;
        fault::reach(Milestone::AfterFlush);
        self.send_offsets(ctx, deadline)?;
        fault::reach(Milestone::AfterOffsets);
        if fault::is(Mutation::ShowBeforeCommit) {
            for part in &self.batch.parts {
                ctx.hub.on_part_committed(&ctx.partitions.running(part.partition).part, 0);
            }
        }
        self.batch.is_ending = true;
        // A commit has no error that says "not committed" and can be trusted.
        let committed = ctx.bounded(deadline, B::commit).map_err(|error| match error {
            AttemptError::Abort(cause) => AttemptError::Unknown(Unknown::Failed, cause),
            AttemptError::Unknown(unknown, cause) => AttemptError::Unknown(unknown, cause),
            AttemptError::Stop(stop) => AttemptError::Stop(stop),
        });
        fault::reach(Milestone::AfterCommit);
        self.batch.stages[Stage::Commit] += ctx.broker.now().since(flush_started_at);
        committed
    }

    /// Sends the next offsets of all inputs of every part: only offsets that are really sent are fenced by the generation.
    fn send_offsets<B: Broker>(
        &self,
        ctx: &mut Context<'_, B>,
        deadline: Moment,
    ) -> Result<(), AttemptError> {
        let membership = ctx.broker.membership()?;
        if !membership.is_fencing() {
            return Err(AttemptError::Abort("the worker is not a member of its group".into()));
        }
        let parts = &self.batch.parts;
        let metadata: Vec<String> =
            parts.iter().map(|part| batch_name(&ctx.broker, part.batch_number).to_string()).collect();
        let mut offsets = Vec::with_capacity(Input::COUNT * metadata.len());
        for (part, metadata) in parts.iter().zip(&metadata) {
            let positions = ctx.partitions.running(part.partition).next_positions();
            offsets.extend(positions.iter().map(|(input, position)| NextOffset {
                input,
                partition: part.partition,
                position: *position,
                metadata: if input == Input::Orders { metadata } else { "" },
            }));
        }
        ctx.bounded(deadline, |broker, within| broker.send_offsets(&offsets, &membership, within))
    }

    // === Outcome ===

    /// Whether the batch is committed, once that is known. If not, no transaction is open any more, and what is still in the
    /// batch can be written again.
    fn settle<B: Broker>(&mut self, ctx: &mut Context<'_, B>, attempt: Attempt) -> Result<bool, Stop> {
        let is_committed = match attempt {
            Attempt::Committed => true,
            Attempt::Aborted(cause) => {
                warn!(cause = format!("{cause:#}"), "transaction aborted");
                false
            }
            Attempt::Unknown(unknown, cause) => {
                warn!(cause = format!("{cause:#}"), "outcome of the transaction is unknown");
                self.resolve(ctx, unknown)?
            }
        };
        if !is_committed {
            self.batch.transaction_since = None;
            self.batch.is_ending = false;
            ctx.hub.metrics.on_transaction_aborted();
            self.early_flushes.on_aborted();
            self.restore_flushed_parts(ctx)?;
        }
        Ok(is_committed)
    }

    /// Asks the broker whether the batch was committed. Parts of which neither is true are dropped and restored.
    fn resolve<B: Broker>(&mut self, ctx: &mut Context<'_, B>, unknown: Unknown) -> Result<bool, Stop> {
        fault::reach(Milestone::BeforeResolve);
        if unknown == Unknown::Fenced {
            ctx.hub.metrics.on_producer_fenced();
            self.fencings.add(&ctx.broker, self.batch.transaction_since)?;
        }
        if !ctx.broker.capabilities().transactional_offsets {
            return Err(Stop::new(
                FatalKind::OutcomeUnknown,
                "the outcome of a commit is unknown and cannot be asked",
            ));
        }
        let deadline = ctx.broker.now().plus(ctx.rules.commit.patience);
        ctx.record_group_events()?;
        ctx.bounded(deadline, B::open_producer).map_err(AttemptError::unresolved)?;
        self.drop_stale_parts(ctx);
        if self.batch.parts.is_empty() {
            return Ok(false);
        }
        let partitions: Vec<Partition> = self.batch.parts.iter().map(|part| part.partition).collect();
        let mut offsets = Vec::new();
        ctx.bounded(deadline, |broker, within| {
            offsets = broker.lookup().committed(&partitions, Stability::Stable, within)?;
            Ok(())
        })
        .map_err(AttemptError::unresolved)?;
        let parts = self.batch.parts.iter().zip(&offsets);
        let verdicts: Vec<(Partition, Verdict)> = parts
            .map(|(part, offsets)| {
                let metadata = offsets[Input::Orders].as_ref().map(|committed| committed.metadata.as_str());
                (part.partition, verdict(batch_name(&ctx.broker, part.batch_number), metadata))
            })
            .collect();
        let is_committed = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Committed);
        debug!(is_committed, "outcome of the transaction is known");
        // One transaction is committed as a whole: a part that says otherwise was written by another process since.
        let expected = if is_committed { Verdict::Committed } else { Verdict::NotCommitted };
        for (partition, _) in verdicts.into_iter().filter(|(_, verdict)| *verdict != expected) {
            self.restore_again(ctx, partition)?;
        }
        Ok(is_committed)
    }

    /// Drops the state of a partition that is still owned, and restores it.
    fn restore_again<B: Broker>(
        &mut self,
        ctx: &mut Context<'_, B>,
        partition: Partition,
    ) -> Result<(), Stop> {
        warn!(partition = partition.0, "the partition is restored again");
        self.batch.parts.retain(|part| part.partition != partition);
        match ctx.broker.pause(partition) {
            // Records that are fetched meanwhile are dropped when reading starts again.
            Ok(()) | Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        ctx.start_restore(partition)
    }

    // === Parts that leave the batch ===

    /// Drops the parts whose partition is not owned any more in the epoch in which they were begun: fresh group metadata
    /// would make a stale batch acceptable again.
    fn drop_stale_parts<B: Broker>(&mut self, ctx: &Context<'_, B>) -> DroppedParts {
        self.drop_parts(|part| {
            ctx.partitions.epoch_of(part.partition) != Some(part.epoch)
                || ctx.membership.events().has_lost(part.partition)
        })
    }

    /// These partitions are given up.
    pub fn drop_parts_of<B: Broker>(
        &mut self,
        ctx: &mut Context<'_, B>,
        partitions: &[Partition],
    ) -> Result<(), Stop> {
        let dropped = self.drop_parts(|part| partitions.contains(&part.partition));
        self.abort_dropped(ctx, dropped)
    }

    fn drop_parts(&mut self, is_dropped: impl Fn(&BatchPart) -> bool) -> DroppedParts {
        let parts = &mut self.batch.parts;
        let is_any_flushed = parts.iter().any(|part| part.is_flushed_early && is_dropped(part));
        parts.retain(|part| !is_dropped(part));
        if is_any_flushed { DroppedParts::SomeFlushed } else { DroppedParts::NoneFlushed }
    }

    /// What dropped parts have flushed early must not be committed with the others.
    fn abort_dropped<B: Broker>(
        &mut self,
        ctx: &mut Context<'_, B>,
        dropped: DroppedParts,
    ) -> Result<(), Stop> {
        if dropped == DroppedParts::NoneFlushed || fault::is(Mutation::CommitDroppedParts) {
            return Ok(());
        }
        let attempt = ctx.undo(AttemptError::Abort("a partition was lost whose signals it holds".into()))?;
        self.settle(ctx, attempt).map(drop)
    }

    /// Aborts the open transaction of a worker that ends: its readers would have to wait for its timeout. One whose commit has just
    /// failed for good is left as it is: the reason is its producer, or the brokers.
    pub fn abandon<B: Broker>(&mut self, ctx: &mut Context<'_, B>) {
        let is_open = self.batch.transaction_since.is_some() && !self.batch.is_ending;
        if is_open && self.batch.parts.iter().any(|part| part.is_flushed_early) {
            // The worker ends for another reason; the broker ends what is left open at its timeout.
            let _ = ctx.bounded(ctx.broker.now().plus(ABANDON_MAX), B::abort);
        }
    }

    // === Early flush ===

    /// To be called after records were applied.
    pub fn flush_early<B: Broker>(&mut self, ctx: &mut Context<'_, B>) -> Result<FlushEnd, Stop> {
        let is_begun =
            self.batch.transaction_since.is_some() || self.early_flushes.may_begin(|| self.bytes_held(ctx));
        if !is_begun {
            return Ok(FlushEnd::GoesOn);
        }
        let started_at = ctx.broker.now();
        let flushed = self.flush_parts(ctx);
        self.batch.stages[Stage::Encode] += ctx.broker.now().since(started_at);
        let Err(error) = flushed else { return Ok(FlushEnd::GoesOn) };
        let attempt = ctx.undo(error)?;
        let is_committed = self.settle(ctx, attempt)?;
        Ok(FlushEnd::Undone(is_committed.then(|| self.take_committed(started_at))))
    }

    fn flush_parts<B: Broker>(&mut self, ctx: &mut Context<'_, B>) -> Result<(), AttemptError> {
        let deadline = ctx.broker.now().plus(ctx.rules.commit.patience);
        self.begin(ctx)?;
        for part in &mut self.batch.parts {
            if ctx.partitions.running(part.partition).part.bytes() > 0 {
                send::flush_part_early(ctx, part, deadline)?;
                part.is_flushed_early = true;
            }
        }
        fault::reach(Milestone::AfterEarlyFlush);
        Ok(())
    }

    fn bytes_held<B: Broker>(&self, ctx: &Context<'_, B>) -> usize {
        self.batch.parts.iter().map(|part| ctx.partitions.running(part.partition).part.bytes()).sum()
    }

    /// The transaction was aborted: partitions whose signals were flushed early, and are held no more, are restored.
    fn restore_flushed_parts<B: Broker>(&mut self, ctx: &mut Context<'_, B>) -> Result<(), Stop> {
        if fault::is(Mutation::KeepFlushedParts) {
            return Ok(());
        }
        let flushed: Vec<_> = self.batch.parts.iter().filter(|part| part.is_flushed_early).copied().collect();
        for part in flushed {
            self.restore_again(ctx, part.partition)?;
        }
        Ok(())
    }
}

/// The name at the broker of a part with that number.
fn batch_name<B: Broker>(broker: &B, number: u64) -> BatchName<'_> {
    BatchName { transactional_id: broker.transactional_id(), incarnation: broker.incarnation(), number }
}
