//! What every worker slot on Kafka has: its group member, its transactional producer, time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::warn;

use super::context::Callbacks;
use super::error::ClientError;
use super::lookup::refused_or;
use super::member::Member;
use super::native::boot_time;
use super::producer::{GroupOffsets, TransactionalProducer, Written};
use super::queue::Alarm;
use super::settings::{KafkaSettings, Layout};
use super::subscription::Subscription;
use super::trouble::Troubles;
use crate::observe::metrics::{Client, Metrics};
use crate::stream::broker::{BrokerError, Clocks, GroupEvent, Membership, Moment, Session, Unknown, Waker};
use crate::topic::Partition;

/// What a record adds to the batch that it is alone in, generously: the broker's limit is on batches.
pub(super) const BATCH_OVERHEAD_BYTES: usize = 512;

/// Milliseconds since 1970 as the worker shall see them. The demo lets them run faster.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything that a slot is opened with.
#[derive(Clone)]
pub struct SlotSettings {
    pub settings: Arc<KafkaSettings>,
    pub layout: Layout,
    pub slot: usize,
    pub wall: WallClock,
    /// Where the slot's clients note failed connections.
    pub troubles: Arc<Troubles>,
}

/// The topics that a slot writes to.
pub(super) type WrittenTopics = fn(&KafkaSettings) -> Vec<Written<'_>>;

/// One worker slot on a Kafka cluster.
pub(super) struct KafkaSlot {
    pub settings: Arc<KafkaSettings>,
    message_bytes_max: usize,
    transactional_id: String,
    incarnation: u64,
    /// The name of a static member.
    group_instance: Option<String>,
    wall: WallClock,
    metrics: Option<Arc<Metrics>>,
    troubles: Arc<Troubles>,
    written: WrittenTopics,
    producer: Option<TransactionalProducer>,
    /// Made, but not yet owner of the transactional id.
    opening: Option<TransactionalProducer>,
    pub member: Member,
    alarm: Arc<Alarm>,
}

impl KafkaSlot {
    /// Makes the group member, which may hold `queues` partitions of topics. It connects by itself; nothing is asked of the brokers yet.
    ///
    /// # Errors
    /// The client refuses its settings.
    pub fn create(
        slot: SlotSettings,
        subscription: Subscription,
        queues: u64,
        written: WrittenTopics,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<Self, ClientError> {
        let SlotSettings { settings, layout, slot, wall, troubles } = slot;
        let alarm = Arc::new(Alarm::default());
        let config = settings.member(slot, queues);
        let callbacks =
            Callbacks::new("member", metrics.as_ref().map(|metrics| metrics.client(Client::Consumer)))
                .with_troubles(Arc::clone(&troubles));
        let member = Member::create(subscription, &config, callbacks, Arc::clone(&alarm))?;
        Ok(Self {
            message_bytes_max: layout.message_bytes_max,
            transactional_id: settings.transactional_id(slot),
            incarnation: fastrand::u64(..),
            group_instance: config.get("group.instance.id").map(str::to_owned),
            settings,
            wall,
            metrics,
            troubles,
            written,
            producer: None,
            opening: None,
            member,
            alarm,
        })
    }

    fn create_producer(&self) -> Result<TransactionalProducer, ClientError> {
        let metrics = self.metrics.as_ref().map(|metrics| metrics.client(Client::Producer));
        let config = self.settings.producer(&self.transactional_id, self.message_bytes_max);
        let callbacks = Callbacks::new("producer", metrics).with_troubles(Arc::clone(&self.troubles));
        TransactionalProducer::create(&config, callbacks, &(self.written)(&self.settings))
    }

    pub fn producer(&self) -> Result<&TransactionalProducer, BrokerError> {
        self.producer
            .as_ref()
            .ok_or_else(|| BrokerError::OutcomeUnknown(Unknown::Failed, "no producer is open".into()))
    }

    /// Adds offsets to the transaction: topic, partition, next offset, metadata.
    pub fn send_offsets(
        &self,
        list: &rdkafka::TopicPartitionList,
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError> {
        if !membership.is_fencing() || list.count() == 0 {
            // The broker would accept them without looking at the generation, and a zombie's with them.
            return Err(BrokerError::AbortTransaction(
                "offsets without a membership or without partitions fence nothing".into(),
            ));
        }
        let offsets = GroupOffsets {
            group: &self.settings.application,
            instance: self.group_instance.as_deref(),
            membership,
            list,
        };
        Ok(self.producer()?.send_offsets(&offsets, within)?)
    }
}

/// A worker's port that has a slot: its session is the slot's.
pub(super) trait HasSlot: Send + Sized + 'static {
    fn slot(&self) -> &KafkaSlot;

    fn slot_mut(&mut self) -> &mut KafkaSlot;

    /// By the clock of everything else that the port has.
    fn now(&self) -> Moment;

    /// Has clients beside the slot find the brokers that they will ask.
    fn warm_up(&mut self) {}

    /// Takes logs and errors of clients beside the slot.
    fn serve(&mut self);

    /// What is left to do when a transaction is committed.
    fn after_commit(&mut self) {}

    /// Ends what runs beside the worker, at the latest then.
    fn stop_tasks(&mut self, _deadline: Instant) {}
}

impl<P: HasSlot> Session for P {
    fn transactional_id(&self) -> &str {
        &self.slot().transactional_id
    }

    fn incarnation(&self) -> u64 {
        self.slot().incarnation
    }

    fn record_bytes_max(&self) -> usize {
        self.slot().message_bytes_max.saturating_sub(BATCH_OVERHEAD_BYTES)
    }

    fn now(&self) -> Moment {
        HasSlot::now(self)
    }

    fn clocks(&self) -> Clocks {
        Clocks { monotonic: HasSlot::now(self), boot: boot_time(), wall_ms: (self.slot().wall)() }
    }

    fn wait(&mut self, up_to: Duration) {
        self.slot().alarm.wait(up_to);
    }

    fn waker(&self) -> Waker {
        let alarm = Arc::clone(&self.slot().alarm);
        Arc::new(move || alarm.ring())
    }

    fn subscribe(&mut self) -> Result<(), BrokerError> {
        self.warm_up();
        Ok(self.slot().member.subscribe()?)
    }

    fn poll(&mut self) -> Result<Option<GroupEvent>, BrokerError> {
        self.serve();
        let slot = self.slot_mut();
        if let Some(producer) = &slot.producer {
            producer.serve();
        }
        match slot.member.poll() {
            Ok(event) => Ok(event),
            // A connection that is down comes back; until then the other calls fail with the reason.
            Err(error) if error.is_passing() => {
                tracing::debug!(%error, "group member reports a passing error");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn assign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError> {
        Ok(self.slot_mut().member.assign(partitions)?)
    }

    fn unassign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError> {
        Ok(self.slot_mut().member.unassign(partitions)?)
    }

    fn membership(&self) -> Result<Membership, BrokerError> {
        Ok(self.slot().member.membership()?)
    }

    fn open_producer(&mut self, within: Duration) -> Result<(), BrokerError> {
        let slot = self.slot_mut();
        // The old one first: two living producers of one id fence each other.
        slot.producer = None;
        let producer = match slot.opening.take() {
            Some(producer) => producer,
            None => slot.create_producer()?,
        };
        match producer.init(within) {
            Ok(()) => {
                slot.producer = Some(producer);
                Ok(())
            }
            Err(error) => {
                let error = refused_or(producer.callbacks(), error);
                if matches!(error, BrokerError::Retry(_)) {
                    slot.opening = Some(producer);
                }
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        Ok(self.slot().producer()?.begin()?)
    }

    fn flush(&mut self, within: Duration) -> Result<(), BrokerError> {
        Ok(self.slot().producer()?.flush(within)?)
    }

    fn commit(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.slot().producer()?.commit(within)?;
        self.after_commit();
        Ok(())
    }

    fn abort(&mut self, within: Duration) -> Result<(), BrokerError> {
        Ok(self.slot().producer()?.abort(within)?)
    }

    fn close(mut self, within: Duration) {
        let deadline = Instant::now() + within;
        self.stop_tasks(deadline);
        // Leaving waits for the coordinator, without a bound of its own.
        let (done, closed) = crossbeam_channel::bounded::<()>(0);
        let close = move || {
            drop(self);
            drop(done);
        };
        match thread::Builder::new().name("close".to_owned()).spawn(close) {
            Ok(_) => {
                if closed.recv_deadline(deadline) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                    warn!("the group was not left in time");
                }
            }
            Err(error) => warn!(%error, "no thread to leave the group on"),
        }
    }
}

/// The host's wall time.
pub fn host_wall_clock() -> WallClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).expect("wall time before the year 292 million")
    })
}
