//! Snapshots as a worker takes them: when one is due, where it starts, and a slice of it between two batches.

use std::time::Duration;

use tracing::{debug, warn};

use super::{Worker, running_mut};
use crate::fault::{self, Mutation, Noted};
use crate::snapshot::snapshot_schedule::SnapshotSchedule;
use crate::snapshot::{Slice, Snapshots, Start};
use crate::stream::broker::{Broker, Lookup, Moment, RecordBatch, Watermark};
use crate::stream::partition::restore::Restored;
use crate::stream::partition::{Phase, Running};
use crate::topic::{Output, Partition, Topic};

/// The longest that the worker waits for a high watermark; without one there is no snapshot this time.
const ANSWER_MAX: Duration = Duration::from_millis(250);
/// Slices may take this part of the time between two commits.
const SHARE_OF_INTERVAL: u32 = 20;

impl<B: Broker> Worker<'_, B> {
    /// The snapshots of a partition that was just restored.
    pub(super) fn keep_snapshots(
        &self,
        partition: Partition,
        restored: &Restored,
        now: Moment,
    ) -> Option<SnapshotSchedule> {
        let interval = self.rules.snapshots.as_ref()?.rules().interval;
        let changelog = restored.changelog.clone()?;
        let age = restored.snapshot_created_at_ms.map(|created_at_ms| {
            fault::note(partition, Noted::SnapshotUsed);
            self.hub.on_snapshot_restored(partition, created_at_ms);
            let age_ms = self.broker.clocks().wall_millis.saturating_sub(created_at_ms);
            Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
        });
        Some(SnapshotSchedule::new(changelog, interval, age, now))
    }

    /// Opens a part for the partition whose snapshot is most overdue: a position is known to be ours by a commit only. One at a
    /// time, so that slices stay few.
    pub(super) fn want_snapshot(&mut self) {
        if self.rules.snapshots.is_none() {
            return;
        }
        let now = self.broker.now();
        let mut most_overdue = None;
        for (partition, running) in self.running_partitions() {
            let Some(keeping) = &running.snapshots else { continue };
            if !keeping.is_resting() {
                return;
            }
            most_overdue = most_overdue
                .max(keeping.overdue(running.committed.batch_number, now).map(|span| (span, partition)));
        }
        let Some((_, partition)) = most_overdue else { return };
        if fault::is(Mutation::SnapshotWithoutCommit) {
            return self.take_unproven(partition);
        }
        if let Some(keeping) = &mut running_mut(&mut self.owned, partition).snapshots {
            keeping.want();
        }
        self.open_part(partition);
    }

    /// Before the first send of a batch: asks where the snapshots that are wanted start.
    pub(super) fn position_snapshots(&mut self) {
        let wanted: Vec<Partition> = self
            .running_partitions()
            .filter(|(_, running)| running.snapshots.as_ref().is_some_and(|keeping| keeping.is_wanted()))
            .map(|(partition, _)| partition)
            .collect();
        if !wanted.is_empty() && self.ask_positions(&wanted) && fault::is(Mutation::SnapshotBeforeCommit) {
            self.take_uncommitted(&wanted);
        }
    }

    /// What a rule that is broken on purpose does.
    fn take_uncommitted(&mut self, partitions: &[Partition]) {
        let Some(snapshots) = self.rules.snapshots.clone() else { return };
        let now = self.broker.now();
        for partition in partitions {
            let running = running_mut(&mut self.owned, *partition);
            if let Some(keeping) = &mut running.snapshots {
                keeping.on_committed(running.committed.batch_number + 1, now);
            }
            begin(*partition, running, &snapshots);
            take_slices(running, now, || Moment(Duration::ZERO));
        }
    }

    /// What another one does: see [`Mutation::SnapshotWithoutCommit`].
    fn take_unproven(&mut self, partition: Partition) {
        let running = running_mut(&mut self.owned, partition);
        if !running.engine.changes().is_empty() || !self.ask_positions(&[partition]) {
            return;
        }
        let now = self.broker.now();
        let running = running_mut(&mut self.owned, partition);
        if let Some(keeping) = &mut running.snapshots {
            keeping.on_committed(running.committed.batch_number, now);
        }
    }

    /// Whether the brokers have answered.
    fn ask_positions(&mut self, partitions: &[Partition]) -> bool {
        let at_ms = self.broker.clocks().wall_millis;
        let logs: Vec<_> =
            partitions.iter().map(|partition| (Topic::Output(Output::Changelog), *partition)).collect();
        let answer = self.broker.lookup().watermarks(Watermark::High, &logs, ANSWER_MAX);
        let now = self.broker.now();
        let positions = match answer {
            Ok(positions) => positions,
            Err(error) => {
                // Whatever it is, a call that matters will tell.
                debug!(error = format!("{:#}", anyhow::Error::from(error)), "no position for a snapshot");
                for partition in partitions {
                    if let Some(keeping) = &mut running_mut(&mut self.owned, *partition).snapshots {
                        keeping.postpone(now);
                    }
                }
                return false;
            }
        };
        for (partition, position) in partitions.iter().zip(positions) {
            if let Some(keeping) = &mut running_mut(&mut self.owned, *partition).snapshots {
                keeping.on_position(Start { position, at_ms });
            }
        }
        true
    }

    /// Hands slices of committed state to the writer, for a small part of the time between two commits.
    pub(super) fn take_slices(&mut self) {
        let Some(snapshots) = self.rules.snapshots.clone() else { return };
        let started_at = self.broker.now();
        let until = started_at.plus(self.rules.commit.interval / SHARE_OF_INTERVAL);
        let broker = &self.broker;
        for (partition, owned) in &mut self.owned {
            let Phase::Running(running) = &mut owned.phase else { continue };
            // Also without a part in the batch: one is dropped when its partition is lost, before anybody acts upon that.
            let has_part = self.batch.parts.iter().any(|part| part.partition == *partition);
            let is_committed = running.engine.changes().is_empty() || fault::is(Mutation::SliceDroppedBatch);
            if has_part || !is_committed {
                continue;
            }
            begin(*partition, running, &snapshots);
            take_slices(running, until, || broker.now());
        }
    }

    // === The state goes ===

    /// Before a last commit: opens parts for partitions whose state is worth keeping, if the brokers answer at once.
    pub(super) fn want_last_snapshots(&mut self, partitions: &[Partition]) {
        if self.rules.snapshots.is_none() {
            return;
        }
        let now = self.broker.now();
        let wanted: Vec<Partition> = self
            .running_partitions()
            .filter(|(partition, _)| partitions.contains(partition))
            .filter(|(_, running)| is_worth_keeping(running, now))
            .map(|(partition, _)| partition)
            .collect();
        if wanted.is_empty() || !self.ask_positions(&wanted) {
            return;
        }
        for partition in wanted {
            self.open_part(partition);
        }
    }

    pub(super) fn hand_over_all(&mut self) {
        for (partition, owned) in std::mem::take(&mut self.owned) {
            self.hub.metrics.remove_partition(partition);
            match owned.phase {
                Phase::Running(running) => self.hand_over(partition, *running),
                Phase::Restoring(_) | Phase::Restored(_) => {}
            }
        }
    }

    /// Hands the state of a partition to the writer, if it is committed as it is and its start is known.
    pub(super) fn hand_over(&self, partition: Partition, running: Running<B::Batch>) {
        let Some(snapshots) = &self.rules.snapshots else { return };
        let Running { engine, snapshots: Some(keeping), .. } = running else { return };
        let Some(start) = keeping.ready() else { return };
        if engine.changes().is_empty() {
            snapshots.hand_over(partition, &keeping.changelog, start, Box::new(engine));
        } else {
            warn!(%partition, "no snapshot of a state that is not committed");
        }
    }
}

fn is_worth_keeping<T: RecordBatch>(running: &Running<T>, now: Moment) -> bool {
    running.snapshots.as_ref().is_some_and(|keeping| {
        let is_touched = running.part.records > 0 || !running.engine.changes().is_empty();
        is_touched || !keeping.is_resting() || keeping.is_needed(running.committed.batch_number, now)
    })
}

fn begin<T: RecordBatch>(partition: Partition, running: &mut Running<T>, snapshots: &Snapshots) {
    let Some(keeping) = &mut running.snapshots else { return };
    let Some(start) = keeping.ready() else { return };
    let slicing = snapshots.begin(partition, &keeping.changelog, start, &running.engine);
    keeping.on_slicing(slicing);
}

fn take_slices<T: RecordBatch>(running: &mut Running<T>, until: Moment, now: impl Fn() -> Moment) {
    let Some(keeping) = &mut running.snapshots else { return };
    let Some(slicing) = keeping.slicing() else { return };
    loop {
        match slicing.slice(&running.engine) {
            Slice::More if now() < until => {}
            Slice::More | Slice::NoRoom => return,
            Slice::Last => return keeping.on_done(now()),
            Slice::Failed => return keeping.on_failed(now()),
        }
    }
}
