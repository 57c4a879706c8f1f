//! Where a worker reports to, and where questions come from.

use std::collections::BTreeMap;

use crossbeam_channel::Receiver;
use tracing::warn;

use crate::observe::metrics::{BatchSummary, Metrics, RestoreInProgress};
use crate::observe::status::{RecentSignal, ServiceRemark, ServiceStatus, WorkerStatus};
use crate::stream::partition::partition_batch::PartitionBatch;
use crate::stream::query::CustomerQuery;
use crate::topic::Partition;

/// Signals of one commit that the live page may show.
const RECENT_SIGNALS_MAX: usize = 40;

/// See the module.
pub struct Hub<'m> {
    pub metrics: &'m Metrics,
    pub service: ServiceStatus,
    pub status: WorkerStatus,
    pub queries: Receiver<CustomerQuery>,
    /// Notes that the loop has turned. The caller of the worker gives this function, because it reads a clock.
    pub tick: fn(&WorkerStatus),
    restores: BTreeMap<Partition, RestoreInProgress<'m>>,
}

impl<'m> Hub<'m> {
    pub fn new(
        metrics: &'m Metrics,
        service: ServiceStatus,
        status: WorkerStatus,
        queries: Receiver<CustomerQuery>,
        tick: fn(&WorkerStatus),
    ) -> Self {
        Self { metrics, service, status, queries, tick, restores: BTreeMap::new() }
    }

    /// Records come through an intake, and no `[intake]` is configured.
    pub(super) fn warn_of_unknown_intake(&self) {
        if self.service.remark(ServiceRemark::UnknownIntake) {
            warn!("{}", ServiceRemark::UnknownIntake);
        }
    }

    pub(super) fn tick(&self) {
        (self.tick)(&self.status);
    }

    pub(super) fn on_restore_started(&mut self, partition: Partition) {
        self.restores.insert(partition, self.metrics.restore(partition));
        self.status.restoring(partition, None);
    }

    pub(super) fn on_restore_progress(&self, partition: Partition, records: u64, remaining: u64) {
        if let Some(restore) = self.restores.get(&partition) {
            restore.on_records(records, remaining);
        }
        self.status.restoring(partition, Some(remaining));
    }

    pub(super) fn on_restored(&mut self, partition: Partition, duration: std::time::Duration) {
        if let Some(restore) = self.restores.remove(&partition) {
            restore.finish(duration);
        }
        self.status.not_restoring(partition);
    }

    /// A partition was restored from a snapshot of this time.
    pub(super) fn on_snapshot_restored(&self, partition: Partition, created_at_ms: i64) {
        self.metrics.partition(partition).set_snapshot_time(created_at_ms);
    }

    /// The partition is not owned any more: its gauges must not be exported beside the next owner's.
    pub(super) fn forget_partition(&mut self, partition: Partition) {
        self.restores.remove(&partition);
        self.status.not_restoring(partition);
        self.status.in_history(partition, None);
        self.status.remark(partition, None);
        self.metrics.remove_partition(partition);
    }

    /// A part of a batch is known to be committed.
    pub(super) fn on_part_committed(&self, part: &PartitionBatch, committed_at_ms: i64) {
        let summary: &BatchSummary = &part.summary;
        self.metrics.on_batch(summary, committed_at_ms);
        let first = part.signals.len().saturating_sub(RECENT_SIGNALS_MAX);
        self.service.on_signals(part.signals.iter().skip(first).map(|signal| RecentSignal {
            signal_type: signal.kind,
            rule: signal.rule.cloned(),
            occurred_at_ms: signal.occurred_at.as_millis(),
            customer_id: (!signal.is_about_guest).then(|| String::from_utf8_lossy(signal.key).into_owned()),
        }));
    }
}
