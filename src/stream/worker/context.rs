//! What all parts of a worker work with: the log, the rules, the membership, the partitions, and where to report.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::combining::CombinerSlot;
use super::hub::Hub;
use super::membership::Membership;
use super::owned::OwnedPartitions;
use super::query::WaitingQueries;
use super::{Stop, report, snapshot};
use crate::domain::engine::Progress;
use crate::fault::{self, Milestone, Mutation};
use crate::stream::broker::{Broker, BrokerError, Moment};
use crate::stream::partition::{Phase, Running};
use crate::stream::registry::{RegistryContents, RegistryReader};
use crate::stream::rules::Rules;
use crate::stream::session::{self, Attempt, AttemptError, GroupEvents};
use crate::topic::{Partition, listed};

/// Customers whose timers one partition sets anew before it goes on with its records.
const RESCHEDULED_A_TURN: usize = 20_000;

/// See the module.
pub(super) struct Context<'m, B: Broker> {
    pub broker: B,
    pub rules: Rules,
    pub hub: Hub<'m>,
    pub membership: Membership,
    pub partitions: OwnedPartitions<B::Batch>,
    pub registry: RegistryReader,
    pub queries: WaitingQueries,
    pub combiner: CombinerSlot,
}

impl<'m, B: Broker> Context<'m, B> {
    pub fn new(broker: B, rules: Rules, hub: Hub<'m>, now: Moment) -> Self {
        Self {
            registry: RegistryReader::new(&rules.registry),
            broker,
            rules,
            hub,
            membership: Membership::new(now),
            partitions: OwnedPartitions::default(),
            queries: WaitingQueries::default(),
            combiner: CombinerSlot::default(),
        }
    }

    /// Polls the client until it has no more group events, and only records them.
    pub fn record_group_events(&mut self) -> Result<(), Stop> {
        self.hub.tick();
        self.membership.record_events(&mut self.broker)
    }

    /// See [`session::bounded`]; queries are answered in between.
    pub fn bounded(
        &mut self,
        deadline: Moment,
        call: impl FnMut(&mut B, Duration) -> Result<(), BrokerError>,
    ) -> Result<(), AttemptError> {
        let (broker, events, between) = self.parts();
        session::bounded(broker, events, deadline, call, between)
    }

    /// See [`session::undo`].
    pub fn undo(&mut self, error: AttemptError) -> Result<Attempt, Stop> {
        let (broker, events, between) = self.parts();
        session::undo(broker, events, error, between)
    }

    /// Lets time pass, whatever else may wake the worker, and keeps the membership alive.
    pub fn pause(&mut self, span: Duration) -> Result<(), Stop> {
        let Self { broker, hub, membership, .. } = self;
        session::pause(broker, membership.events_mut(), span, |_| hub.tick())
    }

    /// The session, what its group has decided, and what must not wait while a call takes long.
    fn parts(&mut self) -> (&mut B, &mut GroupEvents, impl FnMut(&mut B)) {
        let Self { broker, rules, hub, membership, partitions, queries, .. } = self;
        let count = membership.partitions();
        let between = move |broker: &mut B| {
            hub.tick();
            queries.answer(&hub.queries, count, partitions, rules, || broker.clocks().wall_ms);
        };
        (broker, membership.events_mut(), between)
    }

    pub fn answer_queries(&mut self) {
        let Self { broker, rules, hub, membership, partitions, queries, .. } = self;
        let wall_ms = || broker.clocks().wall_ms;
        queries.answer(&hub.queries, membership.partitions(), partitions, rules, wall_ms);
    }

    // === Group ===

    /// Takes the next step of joining. Whether the worker is a member.
    pub fn join(&mut self) -> Result<bool, Stop> {
        self.membership.join(&mut self.broker, &self.rules, &self.hub, &mut self.registry)
    }

    /// Takes in what the registry's topic has got since.
    pub fn follow_registry(&mut self) {
        if self.registry.is_due(self.broker.now()) {
            self.registry.follow(self.broker.lookup());
        }
        self.use_new_records();
    }

    /// Lets every partition judge by the records of the registry once they have changed.
    fn use_new_records(&mut self) {
        let Some(registry) = self.registry.take_news() else { return };
        let settings = &*self.rules.settings;
        let RegistryContents { models, cuts, unusable } = registry.contents(&settings.shops);
        for problem in unusable {
            warn!(problem, "a record of the registry is not used");
        }
        info!(models = models.len(), cuts = cuts.len(), "records taken from the registry");
        self.rules.settings = Arc::new(settings.with_registry(models, &cuts));
        for (_, running) in self.partitions.running_mut_all() {
            running.engine.use_settings(Arc::clone(&self.rules.settings));
        }
    }

    /// Sets the timers of some customers anew where records of the registry reach back. Whether there are more.
    pub fn reschedule_timers(&mut self) -> bool {
        let progress = self
            .partitions
            .running_mut_all()
            .map(|(_, running)| running.engine.reschedule(fault::bound(RESCHEDULED_A_TURN)));
        progress.fold(false, |has_more, progress| has_more | (progress == Progress::More))
    }

    pub fn check_partition_counts_now_and_then(&mut self) -> Result<(), Stop> {
        self.membership.check_partition_counts_now_and_then(&mut self.broker, &self.rules)
    }

    pub fn handle_assigned(&mut self, partitions: &[Partition]) -> Result<(), Stop> {
        self.broker.assign(partitions)?;
        if !partitions.is_empty() {
            info!(partitions = listed(partitions), "partitions assigned");
            self.membership.check_partition_counts(&mut self.broker, &self.rules)?;
        }
        for partition in partitions {
            if fault::is(Mutation::KeepLostState) && self.partitions.contains(*partition) {
                continue;
            }
            self.start_restore(*partition)?;
        }
        if !partitions.is_empty() {
            fault::reach(Milestone::AfterAssign);
        }
        Ok(())
    }

    /// Gives partitions back to the group. Returns the states of those that were processed.
    pub fn give_back(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, Running<B::Batch>)>, Stop> {
        let mut processed = Vec::new();
        for partition in partitions {
            self.hub.forget_partition(*partition);
            match self.partitions.remove(*partition).map(|owned| owned.phase) {
                Some(Phase::Running(running)) => processed.push((*partition, *running)),
                Some(Phase::Restoring(_) | Phase::Restored(_)) | None => {}
            }
        }
        self.broker.unassign(partitions)?;
        Ok(processed)
    }

    // === Restores ===

    pub fn start_restore(&mut self, partition: Partition) -> Result<(), Stop> {
        self.partitions.start_restore(partition, &mut self.broker, &self.rules)?;
        self.hub.on_restore_started(partition);
        Ok(())
    }

    /// Takes in the partitions whose restores have ended since the last turn.
    pub fn handle_restored(&mut self) -> Result<(), Stop> {
        for (partition, started_at, restored) in self.partitions.take_restored(&self.hub)? {
            let now = self.broker.now();
            let duration = now.since(started_at);
            let (records, batch, seconds) = (restored.records, restored.batch_number, duration.as_secs_f64());
            info!(partition = partition.0, records, batch, seconds, "partition restored");
            self.hub.on_restore_progress(partition, restored.records_unreported, 0);
            self.hub.on_restored(partition, duration);
            let snapshots = snapshot::schedule(self, partition, &restored, now);
            let mut running = Running::new(*restored, snapshots, now);
            // Records of the registry may have come while it was restored.
            running.engine.use_settings(Arc::clone(&self.rules.settings));
            self.hub.status.in_history(partition, report::history(&running, None));
            self.partitions.set_phase(partition, Phase::Restored(Box::new(running)));
        }
        Ok(())
    }
}
