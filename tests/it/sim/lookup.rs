//! Questions to the brokers, from the worker and from the tasks beside it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use retention_signals::exit::Exit;
use retention_signals::stream::broker::{
    BrokerError, ChangelogIdentity, CombinedRecord, Committed, Lookup, Moment, Position, RawPartition,
    RawProgress, RawSearch, Stability, Watermark,
};
use retention_signals::topic::{Output, Partition, PerInput, Topic};

use super::intake::Intake;
use super::log::{Edge, SimBatch};
use super::mutation::Twist;
use super::script::{self, Call};
use super::transactions::Credentials;
use super::world::{World, is_single};

/// One asker.
#[derive(Clone)]
pub struct SimLookup {
    pub world: Rc<RefCell<World>>,
    pub host: usize,
    /// Time that its calls have taken and that has not passed yet.
    pub cost: Rc<Cell<Duration>>,
    /// The worker's own, and not a restore's.
    pub is_of_worker: bool,
    /// For [`Twist::EndBeforeBarrier`].
    early_end: Option<u64>,
    combiner: Option<Credentials>,
}

impl SimLookup {
    pub fn new(world: Rc<RefCell<World>>, host: usize) -> Self {
        Self { world, host, cost: Rc::default(), is_of_worker: false, early_end: None, combiner: None }
    }

    fn spend(&self, time: Duration) {
        self.cost.set(self.cost.get() + time);
    }

    fn retry<T>(&self, within: Duration, cause: &'static str) -> Result<T, BrokerError> {
        self.spend(within);
        Err(BrokerError::retry(cause))
    }

    /// What else may keep a question from being answered. The world goes on meanwhile.
    fn trouble(&self, within: Duration) -> Result<(), BrokerError> {
        let mut world = self.world.borrow_mut();
        world.settle();
        let fails = world.fails();
        drop(world);
        if fails { self.retry(within, "the broker is slow") } else { Ok(()) }
    }

    fn scripted(&self, call: Call, within: Duration) -> Result<(), BrokerError> {
        let fault = script::next_fault(&mut self.world.borrow_mut().script, call);
        let Some(fault) = fault else { return Ok(()) };
        self.spend(within);
        Err(fault.error(call))
    }
}

impl Lookup for SimLookup {
    type Batch = SimBatch;

    fn now(&self) -> Moment {
        Moment(self.world.borrow().now + self.cost.get())
    }

    fn committed(
        &mut self,
        partitions: &[Partition],
        stability: Stability,
        within: Duration,
    ) -> Result<Vec<PerInput<Option<Committed>>>, BrokerError> {
        self.trouble(within)?;
        self.scripted(Call::Committed, within)?;
        let world = self.world.borrow();
        if world.twist == Some(Twist::EndBeforeBarrier) {
            let changelog = world.log(Topic::Output(Output::Changelog), partitions[0].0);
            self.early_end.get_or_insert(changelog.edge(Edge::High));
        }
        let is_barrier = stability == Stability::Stable && world.twist != Some(Twist::UnstableBarrier);
        if is_barrier && partitions.iter().any(|partition| world.group.is_unstable(partition.0)) {
            return self.retry(within, "a transaction with pending offsets is open");
        }
        Ok(partitions.iter().map(|partition| world.group.committed(partition.0)).collect())
    }

    fn watermarks(
        &mut self,
        watermark: Watermark,
        logs: &[(Topic, Partition)],
        within: Duration,
    ) -> Result<Vec<Position>, BrokerError> {
        self.trouble(within)?;
        let mut world = self.world.borrow_mut();
        let world = &mut *world;
        if self.is_of_worker && logs.iter().any(|(topic, _)| matches!(topic, Topic::Input(_))) {
            let host = &mut world.hosts[self.host];
            host.ends_asked_at = host.clocks_at;
        }
        let positions = logs.iter().map(|(topic, partition)| {
            let log = world.log(*topic, partition.0);
            let is_changelog = *topic == Topic::Output(Output::Changelog);
            let is_of_inputs = self.is_of_worker && matches!(topic, Topic::Input(_));
            Position(match (watermark, world.twist) {
                (Watermark::High, Some(Twist::RestoreBelowStable)) if is_changelog => log.edge(Edge::Stable),
                (Watermark::High, Some(Twist::EndBeforeBarrier)) if is_changelog => {
                    self.early_end.unwrap_or_else(|| log.edge(Edge::High))
                }
                (Watermark::High, Some(Twist::NoEndQuery)) if is_of_inputs => 0,
                (Watermark::Low, _) => log.edge(Edge::Low),
                (Watermark::Stable, _) => log.edge(Edge::Stable),
                (Watermark::High, _) => log.edge(Edge::High),
            })
        });
        Ok(positions.collect())
    }

    fn partition_counts(&mut self, topics: &[Topic], within: Duration) -> Result<Vec<u32>, BrokerError> {
        self.trouble(within)?;
        let partitions = self.world.borrow().partitions;
        let count = |topic: &Topic| if is_single(*topic) { 1 } else { partitions };
        Ok(topics.iter().map(count).collect())
    }

    fn changelog_identity(&mut self, within: Duration) -> Result<Option<ChangelogIdentity>, BrokerError> {
        self.trouble(within)?;
        Ok(self.world.borrow().changelog.clone())
    }

    fn end_transaction_of(&mut self, transactional_id: &str, within: Duration) -> Result<(), BrokerError> {
        self.trouble(within)?;
        let credentials = self.world.borrow_mut().initialise(transactional_id);
        match credentials {
            Some(_) => Ok(()),
            None => self.retry(within, "the producer's transaction is being ended"),
        }
    }

    fn read_log(
        &mut self,
        topic: Topic,
        partition: Partition,
        from: Position,
        within: Duration,
    ) -> Result<(SimBatch, Position), BrokerError> {
        self.trouble(within)?;
        if topic == Topic::Registry && self.world.borrow().is_registry_out {
            return self.retry(within, "the registry is not available");
        }
        let mut world = self.world.borrow_mut();
        let records_max = world.rng.usize(1..=64);
        let log = world.log(topic, partition.0);
        if from.0 < log.edge(Edge::Low) || from.0 > log.edge(Edge::High) {
            return Err(BrokerError::stop(Exit::Configuration, "the position lies outside of the log"));
        }
        let (mut records, mut next) = log.read_committed(from.0, records_max);
        match world.twist {
            Some(Twist::WaitForLastRecord) => next = records.last().map_or(from.0, |last| last.offset + 1),
            Some(Twist::ForgetTombstones) => records.retain(|entry| entry.record.value.is_some()),
            Some(_) | None => {}
        }
        if topic == Topic::Output(Output::Changelog) {
            world.changelog_reads += records.len();
        }
        if next == from.0 {
            self.spend(within);
        }
        Ok((SimBatch(records), Position(next)))
    }

    fn open_combiner(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.trouble(within)?;
        let credentials = self.world.borrow_mut().initialise("combiner");
        if credentials.is_none() {
            return self.retry(within, "the combiner's transaction is being ended");
        }
        self.combiner = credentials;
        Ok(())
    }

    fn combined(&mut self, within: Duration) -> Result<Option<Committed>, BrokerError> {
        self.trouble(within)?;
        Ok(self.world.borrow().combined.clone())
    }

    fn publish_combined(
        &mut self,
        records: &[CombinedRecord],
        combined: &Committed,
        within: Duration,
    ) -> Result<(), BrokerError> {
        let credentials = self.combiner.take().expect("opened before");
        self.scripted(Call::PublishCombined, within)?;
        self.world.borrow_mut().publish_combined(credentials, records, combined)?;
        self.combiner = Some(credentials);
        Ok(())
    }

    fn raw_progress(&mut self, within: Duration) -> Result<Vec<RawProgress>, BrokerError> {
        self.trouble(within)?;
        let mut world = self.world.borrow_mut();
        if self.is_of_worker {
            world.note_raw_question(self.host);
        }
        Ok(world.intake.as_ref().map(Intake::progress).unwrap_or_default())
    }

    fn search_raw(
        &mut self,
        of: &RawPartition,
        from: Position,
        _: Position,
        within: Duration,
    ) -> Result<RawSearch, BrokerError> {
        self.trouble(within)?;
        let mut world = self.world.borrow_mut();
        if world.happens(64) {
            // It takes several looks.
            return Ok(RawSearch::NoneBelow(from));
        }
        Ok(world.intake.as_ref().expect("there are raw topics").search(of, from))
    }
}
