//! The partitions that this worker owns, each in its phase and in an epoch of its own.

use std::collections::BTreeMap;

use tracing::debug;

use super::Stop;
use super::hub::Hub;
use crate::stream::broker::{Broker, BrokerError, Moment};
use crate::stream::partition::restore::{RestoreEvent, RestoreRequest, Restored};
use crate::stream::partition::{Epoch, Owned, Phase, Running};
use crate::stream::rules::Rules;
use crate::topic::Partition;

/// See the module.
pub(super) struct OwnedPartitions<T> {
    owned: BTreeMap<Partition, Owned<T>>,
    /// The last one that was given to a partition.
    epoch: Epoch,
}

impl<T> Default for OwnedPartitions<T> {
    fn default() -> Self {
        Self { owned: BTreeMap::new(), epoch: Epoch::default() }
    }
}

impl<T> OwnedPartitions<T> {
    pub fn contains(&self, partition: Partition) -> bool {
        self.owned.contains_key(&partition)
    }

    pub fn numbers(&self) -> Vec<Partition> {
        self.owned.keys().copied().collect()
    }

    /// None if the partition is not owned.
    pub fn epoch_of(&self, partition: Partition) -> Option<Epoch> {
        self.owned.get(&partition).map(|owned| owned.epoch)
    }

    pub fn phase_mut(&mut self, partition: Partition) -> Option<&mut Phase<T>> {
        self.owned.get_mut(&partition).map(|owned| &mut owned.phase)
    }

    pub fn set_phase(&mut self, partition: Partition, phase: Phase<T>) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.phase = phase;
        }
    }

    /// A partition that is known to be processed: it was asked for among those, or has a part in the batch.
    pub fn running(&self, partition: Partition) -> &Running<T> {
        match self.owned.get(&partition).map(|owned| &owned.phase) {
            Some(Phase::Running(running)) => running,
            Some(Phase::Restoring(_) | Phase::Restored(_)) | None => {
                panic!("partition {partition} is not processed")
            }
        }
    }

    /// See [`Self::running`].
    pub fn running_mut(&mut self, partition: Partition) -> &mut Running<T> {
        match self.phase_mut(partition) {
            Some(Phase::Running(running)) => running,
            Some(Phase::Restoring(_) | Phase::Restored(_)) | None => {
                panic!("partition {partition} is not processed")
            }
        }
    }

    /// Every partition that is processed.
    pub fn running_mut_all(&mut self) -> impl Iterator<Item = (Partition, &mut Running<T>)> {
        self.owned.iter_mut().filter_map(|(partition, owned)| match &mut owned.phase {
            Phase::Running(running) => Some((*partition, running.as_mut())),
            Phase::Restoring(_) | Phase::Restored(_) => None,
        })
    }

    pub fn remove(&mut self, partition: Partition) -> Option<Owned<T>> {
        self.owned.remove(&partition)
    }

    pub fn take_all(&mut self) -> BTreeMap<Partition, Owned<T>> {
        std::mem::take(&mut self.owned)
    }

    pub fn retain_running(&mut self) {
        self.owned.retain(|_, owned| matches!(owned.phase, Phase::Running(_)));
    }

    // === From assigned to processed ===

    /// Gives the partition a new epoch and starts to restore it. An older restore of it is cancelled by being dropped.
    pub fn start_restore<B: Broker<Batch = T>>(
        &mut self,
        partition: Partition,
        broker: &mut B,
        rules: &Rules,
    ) -> Result<(), Stop> {
        self.epoch = Epoch(self.epoch.0 + 1);
        let request = RestoreRequest {
            partition,
            transactional_id: broker.transactional_id().to_owned(),
            has_transactional_offsets: broker.capabilities().transactional_offsets,
            waker: broker.waker(),
            wall_ms: broker.clocks().wall_ms,
            shop_now: rules.shop_time.at(broker.clocks().wall_ms),
            record_bytes_max: broker.record_bytes_max(),
            rules: rules.restore_rules(),
        };
        let (restoring, task) = request.start(broker.now());
        broker.spawn(&format!("restore-{partition}"), task)?;
        self.owned.insert(partition, Owned { epoch: self.epoch, phase: Phase::Restoring(restoring) });
        Ok(())
    }

    /// The states of restores that have ended, and when these were started.
    pub fn take_restored(&self, hub: &Hub<'_>) -> Result<Vec<(Partition, Moment, Box<Restored>)>, Stop> {
        let mut ended = Vec::new();
        for (partition, owned) in &self.owned {
            let Phase::Restoring(restoring) = &owned.phase else { continue };
            while let Some(event) = restoring.next_event() {
                match event {
                    RestoreEvent::Progress { records, remaining } => {
                        hub.on_restore_progress(*partition, records, remaining);
                    }
                    RestoreEvent::Done(restored) => ended.push((*partition, restoring.started_at, restored)),
                    RestoreEvent::Failed(error) => return Err(Stop::from(error).in_partition(*partition)),
                }
            }
        }
        Ok(ended)
    }

    /// Has restored partitions fetched. A client that has not taken up the assignment yet is asked again in the next turn.
    pub fn start_reading<B: Broker<Batch = T>>(&mut self, broker: &mut B) -> Result<(), Stop>
    where
        T: crate::stream::broker::RecordBatch,
    {
        let mut reading = Vec::new();
        for (partition, owned) in &self.owned {
            let Phase::Restored(running) = &owned.phase else { continue };
            match broker.read_from(*partition, running.next_positions()) {
                Ok(()) => reading.push(*partition),
                Err(BrokerError::Retry(cause)) => {
                    debug!(partition = partition.0, cause = format!("{cause:#}"), "not fetching yet");
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
}
