//! The worker's membership in its group, and the records of the partitions that it owns.
//!
//! What it reads says its [`Subscription`]: each assigned partition comes with the logs that belong to it, all taken up and given back
//! together. Rebalances are recorded inside the poll and answered by [`Member::assign`] and [`Member::unassign`] after it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::context::{Callbacks, Rebalance, RebalanceKind};
use super::error::{Call, ClientError};
use super::lookup::{group_error, position, signed};
use super::native::{cached_high_watermark, membership, position_of};
use super::queue::{Alarm, MessageBatch, PartitionQueue, SharedConsumer, serve};
use super::subscription::Subscription;
use crate::stream::broker::{FetchProgress, GroupEvent, Membership, Position, RecordBatch};
use crate::topic::Partition;

/// The client's main thread looks at its heartbeats when something wakes it, and sleeps for up to a second if nothing does: a
/// member without records would learn of a rebalance that much later than its heartbeats allow, and the group waits for it.
const NUDGE_EVERY: Duration = Duration::from_millis(50);

/// One round trip, whose answer is not needed.
const METADATA_MAX: Duration = Duration::from_millis(100);

/// Seeks are answered by the client's own threads, in microseconds unless the machine is overloaded.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// One group member.
pub struct Member {
    subscription: Subscription,
    consumer: SharedConsumer,
    alarm: Arc<Alarm>,
    /// The logs of each, in the order of the subscription.
    assigned: BTreeMap<Partition, Vec<Reading>>,
    events: VecDeque<GroupEvent>,
    /// Rebalances that the client waits to have answered, the oldest first.
    unanswered: VecDeque<GroupEvent>,
    nudged_at: Instant,
}

/// One log of an assigned partition.
struct Reading {
    queue: PartitionQueue,
    /// Where the last [`Member::read_from`] began.
    begin: Position,
    /// What the client remembered of the high watermark then: perhaps from before the partition came back.
    remembered: Option<Position>,
    /// Records came since, so what the client remembers is from a fetch since.
    is_fetched: bool,
    /// An error that came behind records, for the next fetch.
    failed: Option<ClientError>,
}

impl Member {
    /// Makes the client; it joins with [`Self::subscribe`].
    pub fn create(
        subscription: Subscription,
        config: &ClientConfig,
        callbacks: Callbacks,
        alarm: Arc<Alarm>,
    ) -> Result<Self, ClientError> {
        let mut consumer = BaseConsumer::from_config_and_context(config, callbacks)
            .map_err(|error| ClientError::from_kafka(Call::Create, &error))?;
        let rung = Arc::clone(&alarm);
        consumer.set_nonempty_callback(move || rung.ring());
        Ok(Self {
            subscription,
            consumer: Arc::new(consumer),
            alarm,
            assigned: BTreeMap::new(),
            events: VecDeque::new(),
            unanswered: VecDeque::new(),
            nudged_at: Instant::now(),
        })
    }

    pub fn subscribe(&self) -> Result<(), ClientError> {
        self.consumer.subscribe(&self.subscription.topics()).map_err(|error| group_error(&error))
    }

    pub fn poll(&mut self) -> Result<Option<GroupEvent>, ClientError> {
        if self.nudged_at.elapsed() >= NUDGE_EVERY {
            // Any question that the main thread answers.
            self.membership()?;
            self.nudged_at = Instant::now();
        }
        let served = serve(&self.consumer);
        for rebalance in self.consumer.context().take_rebalances() {
            let event = self.event(&rebalance);
            self.unanswered.push_back(event.clone());
            self.events.push_back(event);
        }
        served?;
        Ok(self.events.pop_front())
    }

    fn event(&mut self, rebalance: &Rebalance) -> GroupEvent {
        let partitions = rebalance.partitions.iter();
        let partitions =
            partitions.map(|(topic, number)| self.subscription.partition_of(topic, *number)).collect();
        match rebalance.kind {
            RebalanceKind::Assigned => GroupEvent::Assigned(partitions),
            RebalanceKind::Revoked => GroupEvent::Revoked(partitions),
            RebalanceKind::Lost => GroupEvent::Lost(partitions),
        }
    }

    /// The topic and the number of a partition's log.
    pub fn log(&self, partition: Partition, log: usize) -> (&str, i32) {
        self.subscription.log(partition, log)
    }

    /// Takes up all logs of the partitions, paused. The offset is a number, but none that counts: the client's own
    /// "stored" would start at the reset policy if it were interrupted while a transaction is open.
    pub fn assign(&mut self, partitions: &[Partition]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            for (topic, number) in self.subscription.logs(partition) {
                list.add_partition_offset(topic, number, Offset::Offset(0))
                    .map_err(|error| group_error(&error))?;
            }
            let readings = self.split(partition)?;
            self.assigned.insert(partition, readings);
        }
        if list.count() > 0 {
            // Before the assignment, so that nothing is fetched from the offset that does not count.
            self.consumer.pause(&list).map_err(|error| group_error(&error))?;
        }
        self.unanswered.pop_front();
        self.consumer.incremental_assign(&list).map_err(|error| group_error(&error))?;
        self.permit_next_join();
        Ok(())
    }

    /// The client sends two requests to join no sooner than a second after each other, but takes an answer about topics for
    /// a reason to join at once. A hand-over needs two rounds, and the partitions that move stand still in the second.
    fn permit_next_join(&self) {
        if let Err(error) =
            self.consumer.fetch_metadata(self.subscription.topics().first().copied(), METADATA_MAX)
        {
            debug!(%error, "the next rebalance may take a second longer");
        }
    }

    /// Gives all logs of the partitions back.
    pub fn unassign(&mut self, partitions: &[Partition]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            if self.assigned.remove(&partition).is_none() {
                continue;
            }
            for (topic, number) in self.subscription.logs(partition) {
                list.add_partition(topic, number);
            }
        }
        self.unanswered.pop_front();
        self.consumer.incremental_unassign(&list).map_err(|error| group_error(&error))
    }

    /// Commits offsets outside of transactions.
    pub fn commit(&self, offsets: &TopicPartitionList) -> Result<(), ClientError> {
        self.consumer.commit(offsets, CommitMode::Sync).map_err(|error| group_error(&error))
    }

    pub fn membership(&self) -> Result<Membership, ClientError> {
        membership(&self.consumer)
    }

    /// Drops what was fetched and fetches from these positions on, one for each log of the partition.
    pub fn read_from(&mut self, partition: Partition, positions: &[Position]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for ((topic, number), &position) in self.subscription.logs(partition).zip(positions) {
            let offset = Offset::Offset(signed(position));
            list.add_partition_offset(topic, number, offset).map_err(|error| group_error(&error))?;
        }
        self.consumer.pause(&list).map_err(|error| group_error(&error))?;
        let list = self.consumer.seek_partitions(list, SEEK_TIMEOUT).map_err(|error| ClientError {
            message: error.to_string(),
            ..ClientError::timed_out(Call::Group)
        })?;
        for element in list.elements() {
            // "Wrong state" until the client has taken the assignment up: asked again a little later it works.
            element.error().map_err(|error| group_error(&error))?;
        }
        for (log, &begin) in positions.iter().enumerate() {
            let remembered = self.remembered_high_watermark(partition, log);
            let reading = self.reading(partition, log)?;
            reading.begin = begin;
            reading.remembered = remembered;
            reading.is_fetched = false;
            reading.failed = None;
        }
        self.consumer.resume(&list).map_err(|error| group_error(&error))?;
        // Records may have come between a fetch that found none and the seek, without another alarm.
        self.alarm.ring();
        Ok(())
    }

    /// Stops fetching a partition and drops what was fetched.
    pub fn pause(&mut self, partition: Partition) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for (topic, number) in self.subscription.logs(partition) {
            list.add_partition(topic, number);
        }
        self.consumer.pause(&list).map_err(|error| group_error(&error))
    }

    pub fn fetch(
        &mut self,
        partition: Partition,
        log: usize,
        records_max: usize,
    ) -> Result<Option<MessageBatch>, ClientError> {
        let reading = self.reading(partition, log)?;
        if let Some(error) = reading.failed.take() {
            return Err(error);
        }
        let taken = reading.queue.take(records_max, Duration::ZERO);
        if taken.batch.is_empty() {
            return taken.failed.map_or(Ok(None), Err);
        }
        reading.is_fetched = true;
        reading.failed = taken.failed;
        Ok(Some(taken.batch))
    }

    pub fn progress(&mut self, partition: Partition, log: usize) -> Result<FetchProgress, ClientError> {
        let (topic, number) = self.log(partition, log);
        // The position first: an end that is read later can only be further.
        let taken = position_of(&self.consumer, topic, number)?;
        let high_watermark = self.remembered_high_watermark(partition, log);
        let reading = self.reading(partition, log)?;
        Ok(FetchProgress {
            // None until the first record after a seek was taken.
            position: taken.map_or(reading.begin, |taken| position(taken).max(reading.begin)),
            high_watermark: high_watermark
                .filter(|_| reading.is_fetched || high_watermark != reading.remembered),
        })
    }

    /// A rebalance without an answer keeps the client from closing.
    fn answer_all(&mut self) -> Result<(), ClientError> {
        let mut result = Ok(());
        while let Some(event) = self.unanswered.front().cloned() {
            result = result.and(match event {
                GroupEvent::Assigned(_) => self.assign(&[]),
                GroupEvent::Revoked(partitions) | GroupEvent::Lost(partitions) => self.unassign(&partitions),
            });
        }
        result
    }

    fn split(&self, partition: Partition) -> Result<Vec<Reading>, ClientError> {
        let logs = self.subscription.logs(partition);
        logs.map(|(topic, number)| {
            let alarm = Some(Arc::clone(&self.alarm));
            let queue = PartitionQueue::split(&self.consumer, topic, number, alarm)?;
            Ok(Reading { queue, begin: Position(0), remembered: None, is_fetched: false, failed: None })
        })
        .collect()
    }

    fn remembered_high_watermark(&self, partition: Partition, log: usize) -> Option<Position> {
        let (topic, number) = self.log(partition, log);
        cached_high_watermark(&self.consumer, topic, number).map(position)
    }

    fn reading(&mut self, partition: Partition, log: usize) -> Result<&mut Reading, ClientError> {
        self.assigned
            .get_mut(&partition)
            .and_then(|readings| readings.get_mut(log))
            .ok_or_else(|| ClientError::new(Call::Fetch, RDKafkaErrorCode::InvalidArgument))
    }
}

/// Leaves the group. Blocks until the coordinator has answered, or the client gives up. Batches that are still
/// held put that off until they are dropped.
impl Drop for Member {
    fn drop(&mut self) {
        self.consumer.context().set_closing();
        if let Err(error) = self.answer_all() {
            warn!(%error, "rebalance not answered before leaving the group");
        }
        self.assigned.clear();
    }
}
