//! Snapshots as a worker takes them: when one is due, where it starts, and a slice of it between two batches.

use std::time::Duration;

use tracing::{debug, warn};

use super::context::Context;
use super::transaction::Transaction;
use crate::fault::{self, Mutation, Noted};
use crate::snapshot::snapshot_schedule::SnapshotSchedule;
use crate::snapshot::{Slice, Snapshots, Start};
use crate::stream::broker::{Broker, Lookup, Moment, RecordBatch, Watermark};
use crate::stream::partition::Running;
use crate::stream::partition::restore::Restored;
use crate::stream::rules::Rules;
use crate::topic::{Output, Partition, Topic};

/// The longest that the worker waits for a high watermark; without one there is no snapshot this time.
const ANSWER_MAX: Duration = Duration::from_millis(250);
/// Slices may take this part of the time between two commits.
const SHARE_OF_INTERVAL: u32 = 20;

/// When the snapshots of a partition are due that was just restored.
pub(super) fn schedule<B: Broker>(
    ctx: &Context<'_, B>,
    partition: Partition,
    restored: &Restored,
    now: Moment,
) -> Option<SnapshotSchedule> {
    let interval = ctx.rules.snapshots.as_ref()?.rules().interval;
    let changelog = restored.changelog.clone()?;
    let age = restored.snapshot_created_at_ms.map(|created_at_ms| {
        fault::note(partition, Noted::SnapshotUsed);
        ctx.hub.on_snapshot_restored(partition, created_at_ms);
        let age_ms = ctx.broker.clocks().wall_ms.saturating_sub(created_at_ms);
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    });
    Some(SnapshotSchedule::new(changelog, interval, age, now))
}

/// The partition whose snapshot is most overdue: it needs a part in the batch, because only a commit proves that its position is
/// this worker's own. One at a time, so that slices stay few.
pub(super) fn want_most_overdue<B: Broker>(ctx: &mut Context<'_, B>) -> Option<Partition> {
    ctx.rules.snapshots.as_ref()?;
    let now = ctx.broker.now();
    let mut most_overdue = None;
    for (partition, running) in ctx.partitions.running_mut_all() {
        let Some(schedule) = &running.snapshots else { continue };
        if !schedule.is_resting() {
            return None;
        }
        most_overdue = most_overdue
            .max(schedule.overdue(running.committed.batch_number, now).map(|span| (span, partition)));
    }
    let (_, partition) = most_overdue?;
    if fault::is(Mutation::SnapshotWithoutCommit) {
        take_unproven(ctx, partition);
        return None;
    }
    if let Some(schedule) = &mut ctx.partitions.running_mut(partition).snapshots {
        schedule.want();
    }
    Some(partition)
}

/// Before the first send of a batch: asks where the snapshots that are wanted start.
pub(super) fn position_wanted<B: Broker>(ctx: &mut Context<'_, B>) {
    let wanted: Vec<Partition> = ctx
        .partitions
        .running_mut_all()
        .filter(|(_, running)| running.snapshots.as_ref().is_some_and(|schedule| schedule.is_wanted()))
        .map(|(partition, _)| partition)
        .collect();
    if !wanted.is_empty() && ask_positions(ctx, &wanted) && fault::is(Mutation::SnapshotBeforeCommit) {
        take_uncommitted(ctx, &wanted);
    }
}

/// See [`Mutation::SnapshotBeforeCommit`].
fn take_uncommitted<B: Broker>(ctx: &mut Context<'_, B>, partitions: &[Partition]) {
    let Some(snapshots) = ctx.rules.snapshots.clone() else { return };
    let now = ctx.broker.now();
    for partition in partitions {
        let running = ctx.partitions.running_mut(*partition);
        if let Some(schedule) = &mut running.snapshots {
            schedule.on_committed(running.committed.batch_number + 1, now);
        }
        begin(*partition, running, &snapshots);
        take_slices_of(running, now, || Moment(Duration::ZERO));
    }
}

/// See [`Mutation::SnapshotWithoutCommit`].
fn take_unproven<B: Broker>(ctx: &mut Context<'_, B>, partition: Partition) {
    let is_changed = !ctx.partitions.running(partition).engine.changes().is_empty();
    if is_changed || !ask_positions(ctx, &[partition]) {
        return;
    }
    let now = ctx.broker.now();
    let running = ctx.partitions.running_mut(partition);
    if let Some(schedule) = &mut running.snapshots {
        schedule.on_committed(running.committed.batch_number, now);
    }
}

/// Whether the brokers have answered.
fn ask_positions<B: Broker>(ctx: &mut Context<'_, B>, partitions: &[Partition]) -> bool {
    let at_ms = ctx.broker.clocks().wall_ms;
    let logs: Vec<_> =
        partitions.iter().map(|partition| (Topic::Output(Output::Changelog), *partition)).collect();
    let answer = ctx.broker.lookup().watermarks(Watermark::High, &logs, ANSWER_MAX);
    let now = ctx.broker.now();
    let positions = match answer {
        Ok(positions) => positions,
        Err(error) => {
            // Whatever it is, a call that matters will fail too.
            debug!(error = format!("{:#}", anyhow::Error::from(error)), "no position for a snapshot");
            for partition in partitions {
                if let Some(schedule) = &mut ctx.partitions.running_mut(*partition).snapshots {
                    schedule.postpone(now);
                }
            }
            return false;
        }
    };
    for (partition, position) in partitions.iter().zip(positions) {
        if let Some(schedule) = &mut ctx.partitions.running_mut(*partition).snapshots {
            schedule.on_position(Start { position, at_ms });
        }
    }
    true
}

/// Hands slices of committed state to the writer, for a small part of the time between two commits.
pub(super) fn take_slices<B: Broker>(ctx: &mut Context<'_, B>, transaction: &Transaction) {
    let Some(snapshots) = ctx.rules.snapshots.clone() else { return };
    let started_at = ctx.broker.now();
    let until = started_at.plus(ctx.rules.commit.interval / SHARE_OF_INTERVAL);
    let broker = &ctx.broker;
    for (partition, running) in ctx.partitions.running_mut_all() {
        // Also without a part in the batch: one is dropped when its partition is lost, before the worker acts upon that.
        let is_committed = running.engine.changes().is_empty() || fault::is(Mutation::SliceDroppedBatch);
        if transaction.touches(partition) || !is_committed {
            continue;
        }
        begin(partition, running, &snapshots);
        take_slices_of(running, until, || broker.now());
    }
}

// === The state goes ===

/// Before a last commit: asks where the last snapshots start. Returns the partitions whose state is worth keeping, if the brokers
/// answer at once; each needs a part in the batch.
pub(super) fn position_last<B: Broker>(ctx: &mut Context<'_, B>, partitions: &[Partition]) -> Vec<Partition> {
    if ctx.rules.snapshots.is_none() {
        return Vec::new();
    }
    let now = ctx.broker.now();
    let wanted: Vec<Partition> = ctx
        .partitions
        .running_mut_all()
        .filter(|(partition, running)| partitions.contains(partition) && is_worth_keeping(running, now))
        .map(|(partition, _)| partition)
        .collect();
    if wanted.is_empty() || !ask_positions(ctx, &wanted) { Vec::new() } else { wanted }
}

/// Hands the state of a partition to the writer, if it is committed as it is and its start is known.
pub(super) fn hand_over<T>(rules: &Rules, partition: Partition, running: Running<T>) {
    let Some(snapshots) = &rules.snapshots else { return };
    let Running { engine, snapshots: Some(schedule), .. } = running else { return };
    let Some(start) = schedule.ready() else { return };
    if engine.changes().is_empty() {
        snapshots.hand_over(partition, &schedule.changelog, start, Box::new(engine));
    } else {
        warn!(partition = partition.0, "no snapshot of a state that is not committed");
    }
}

fn is_worth_keeping<T>(running: &Running<T>, now: Moment) -> bool {
    running.snapshots.as_ref().is_some_and(|schedule| {
        let is_touched = running.part.records > 0 || !running.engine.changes().is_empty();
        is_touched || !schedule.is_resting() || schedule.is_needed(running.committed.batch_number, now)
    })
}

fn begin<T: RecordBatch>(partition: Partition, running: &mut Running<T>, snapshots: &Snapshots) {
    let Some(schedule) = &mut running.snapshots else { return };
    let Some(start) = schedule.ready() else { return };
    let in_progress = snapshots.begin(partition, &schedule.changelog, start, &running.engine);
    schedule.on_slicing(in_progress);
}

fn take_slices_of<T: RecordBatch>(running: &mut Running<T>, until: Moment, now: impl Fn() -> Moment) {
    let Some(schedule) = &mut running.snapshots else { return };
    let Some(in_progress) = schedule.slicing() else { return };
    loop {
        match in_progress.slice(&running.engine) {
            Slice::More if now() < until => {}
            Slice::More | Slice::NoRoom => return,
            Slice::Last => return schedule.on_done(now()),
            Slice::Failed => return schedule.on_failed(now()),
        }
    }
}
