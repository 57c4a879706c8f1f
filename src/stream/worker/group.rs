//! Partitions come and go. The callback of the client has only recorded it; here it is acted upon, never inside of a commit.

use std::time::Duration;

use tracing::{info, warn};

use super::commit::CommitEnd;
use super::{Stop, Worker};
use crate::fault::{self, Mutation, Step};
use crate::observe::metrics::RebalanceKind;
use crate::observe::status::WorkerPhase;
use crate::stream::broker::{Broker, BrokerError, GroupEvent};
use crate::stream::partition::restore::Order;
use crate::stream::partition::{Epoch, Owned, Phase};
use crate::topic::Partition;

/// A revoked partition's open batch is tried for so long to be committed; the whole group waits meanwhile.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);

impl<B: Broker> Worker<'_, B> {
    /// Acts on everything that the group's coordinator has decided, in order.
    pub(super) fn handle_group_events(&mut self) -> Result<(), Stop> {
        self.record_group_events()?;
        while let Some(event) = self.group_events.front().cloned() {
            let started_at = self.broker.now();
            self.hub.status.set_phase(WorkerPhase::Rebalancing);
            let kind = match &event {
                GroupEvent::Assigned(partitions) => {
                    self.handle_assigned(partitions)?;
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
            // Kept until now: what a commit on the way drops, it learns from here.
            self.group_events.pop_front();
            self.hub.metrics.on_rebalance(kind, self.broker.now().since(started_at));
            self.hub.status.set_phase(WorkerPhase::Running);
        }
        Ok(())
    }

    fn handle_assigned(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        info!(?partitions, "partitions assigned");
        self.broker.assign(partitions)?;
        if !partitions.is_empty() {
            self.check_partition_counts()?;
        }
        for partition in partitions {
            if fault::is(Mutation::KeepLostState) && self.owned.contains_key(partition) {
                continue;
            }
            self.start_restore(*partition)?;
        }
        if !partitions.is_empty() {
            fault::reach(Step::AfterAssign);
        }
        Ok(())
    }

    fn handle_revoked(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        info!(?partitions, "partitions revoked");
        if fault::is(Mutation::KeepRevokedParts) {
            return Ok(self.broker.unassign(partitions)?);
        }
        self.want_last_snapshots(partitions);
        let is_touched = self.batch.parts.iter().any(|part| partitions.contains(&part.partition));
        if is_touched && self.commit(REVOKE_PATIENCE)? == CommitEnd::GivenUp {
            warn!(
                "the open batch of the revoked partitions could not be committed, their next owner reads it again"
            );
        }
        fault::reach(Step::BeforeGiveUp);
        self.give_up(partitions)
    }

    fn handle_lost(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        warn!(?partitions, "partitions lost");
        if fault::is(Mutation::KeepLostState) {
            return Ok(self.broker.unassign(partitions)?);
        }
        self.give_up(partitions)
    }

    /// Parts, gauges and queues go; the state is dropped, or handed to the writer of snapshots, last, because that may take a while
    /// and the next owner waits.
    fn give_up(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        let dropped = self.batch.drop_parts(|part| partitions.contains(&part.partition));
        self.abort_dropped(dropped)?;
        for partition in partitions {
            self.hub.forget_partition(*partition);
        }
        let given_up: Vec<_> = partitions
            .iter()
            .filter_map(|partition| Some((*partition, self.owned.remove(partition)?)))
            .collect();
        self.broker.unassign(partitions)?;
        for (partition, owned) in given_up {
            match owned.phase {
                Phase::Running(running) => self.hand_over(partition, *running),
                Phase::Restoring(_) | Phase::Restored(_) => {}
            }
        }
        Ok(())
    }

    /// Forgets what is held of a partition that is still owned, and reads it back.
    pub(super) fn restore_again(&mut self, partition: Partition) -> Result<(), Stop> {
        warn!(%partition, "the partition is restored again");
        self.batch.parts.retain(|part| part.partition != partition);
        match self.broker.pause(partition) {
            // What comes meanwhile is dropped when reading starts again.
            Ok(()) | Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.start_restore(partition)
    }

    /// Gives the partition a new epoch and starts to restore it. An older restore of it is cancelled by being dropped.
    fn start_restore(&mut self, partition: Partition) -> Result<(), Stop> {
        self.epoch = Epoch(self.epoch.0 + 1);
        let order = Order {
            partition,
            transactional_id: self.broker.transactional_id().to_owned(),
            has_transactional_offsets: self.broker.capabilities().transactional_offsets,
            waker: self.broker.waker(),
            wall_millis: self.broker.clocks().wall_millis,
            rules: self.rules.restore_rules(),
        };
        let (restoring, task) = order.start(self.broker.now());
        self.broker.spawn(&format!("restore-{partition}"), task)?;
        self.hub.on_restore_started(partition);
        self.owned.insert(partition, Owned { epoch: self.epoch, phase: Phase::Restoring(restoring) });
        Ok(())
    }
}
