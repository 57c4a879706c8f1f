//! The port over Apache Kafka: one worker slot with its group member, its producer and its questions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender};
use tracing::warn;

use super::context::Callbacks;
use super::error::ClientError;
use super::lookup::{KafkaLookup, QueryClients, number, refused_or, signed};
use super::member::Member;
use super::native::boot_time;
use super::producer::{GroupOffsets, Outgoing, TransactionalProducer, Written, offset_list};
use super::queue::{Alarm, MessageBatch};
use super::settings::{KafkaSettings, Layout};
use super::trouble::Troubles;
use crate::exit::Exit;
use crate::observe::metrics::{Client, Metrics};
use crate::stream::broker::{
    Broker, BrokerError, Capabilities, Clocks, FetchProgress, GroupEvent, Membership, Moment, NextOffset,
    OutputRecord, Position, Task, TaskStep, Unknown, Waker,
};
use crate::topic::{Input, Output, Partition, PerInput, Topic};

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

/// One worker slot on a Kafka cluster.
pub struct KafkaBroker {
    settings: Arc<KafkaSettings>,
    layout: Layout,
    transactional_id: String,
    incarnation: u64,
    /// The name of a static member.
    group_instance: Option<String>,
    wall: WallClock,
    metrics: Option<Arc<Metrics>>,
    troubles: Arc<Troubles>,
    alarm: Arc<Alarm>,
    member: Member,
    producer: Option<TransactionalProducer>,
    /// Made, but not yet owner of the transactional id.
    opening: Option<TransactionalProducer>,
    lookup: KafkaLookup,
    tasks: Tasks,
}

/// Threads beside the worker.
struct Tasks {
    stop: Arc<AtomicBool>,
    /// Each task holds one until it has ended.
    running: Sender<()>,
    ended: Receiver<()>,
}

impl KafkaBroker {
    /// Makes the slot's clients. They connect by themselves; nothing is asked of the brokers yet.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the client refuses its settings.
    pub fn open(slot: SlotSettings, metrics: Option<Arc<Metrics>>) -> Result<Self, BrokerError> {
        let SlotSettings { settings, layout, slot, wall, troubles } = slot;
        let alarm = Arc::new(Alarm::default());
        let queues = u64::from(layout.partitions) * Input::COUNT as u64;
        let config = settings.member(slot, queues);
        let callbacks =
            Callbacks::new("member", metrics.as_ref().map(|metrics| metrics.client(Client::Consumer)))
                .with_troubles(Arc::clone(&troubles));
        let member = Member::create(Arc::clone(&settings), &config, callbacks, Arc::clone(&alarm))?;
        let clients = QueryClients::create(Arc::clone(&settings), layout, Arc::clone(&troubles))?;
        let (running, ended) = crossbeam_channel::bounded(0);
        Ok(Self {
            transactional_id: settings.transactional_id(slot),
            incarnation: fastrand::u64(..),
            group_instance: config.get("group.instance.id").map(str::to_owned),
            settings,
            layout,
            wall,
            metrics,
            troubles,
            alarm,
            member,
            producer: None,
            opening: None,
            lookup: KafkaLookup::new(Arc::new(clients)),
            tasks: Tasks { stop: Arc::default(), running, ended },
        })
    }

    fn create_producer(&self) -> Result<TransactionalProducer, ClientError> {
        let metrics = self.metrics.as_ref().map(|metrics| metrics.client(Client::Producer));
        let topics = Output::ALL.map(|output| Written {
            name: self.settings.topic_name(Topic::Output(output)),
            compression: self.settings.compression_of(output),
        });
        let config = self.settings.producer(&self.transactional_id, self.layout.message_bytes_max);
        let callbacks = Callbacks::new("producer", metrics).with_troubles(Arc::clone(&self.troubles));
        TransactionalProducer::create(&config, callbacks, &topics)
    }

    fn producer(&self) -> Result<&TransactionalProducer, BrokerError> {
        self.producer
            .as_ref()
            .ok_or_else(|| BrokerError::OutcomeUnknown(Unknown::Failed, "no producer is open".into()))
    }
}

impl Broker for KafkaBroker {
    type Batch = MessageBatch;
    type Lookup = KafkaLookup;

    fn capabilities(&self) -> Capabilities {
        self.layout.capabilities
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn record_bytes_max(&self) -> usize {
        self.layout.message_bytes_max.saturating_sub(BATCH_OVERHEAD_BYTES)
    }

    fn now(&self) -> Moment {
        self.lookup.clients().now()
    }

    fn clocks(&self) -> Clocks {
        Clocks { monotonic: self.now(), boot: boot_time(), wall_ms: (self.wall)() }
    }

    fn wait(&mut self, up_to: Duration) {
        self.alarm.wait(up_to);
    }

    fn waker(&self) -> Waker {
        let alarm = Arc::clone(&self.alarm);
        Arc::new(move || alarm.ring())
    }

    fn subscribe(&mut self) -> Result<(), BrokerError> {
        self.lookup.clients().warm_up();
        Ok(self.member.subscribe()?)
    }

    fn poll(&mut self) -> Result<Option<GroupEvent>, BrokerError> {
        self.lookup.clients().serve();
        if let Some(producer) = &self.producer {
            producer.serve();
        }
        match self.member.poll() {
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
        Ok(self.member.assign(partitions)?)
    }

    fn unassign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError> {
        Ok(self.member.unassign(partitions)?)
    }

    fn membership(&self) -> Result<Membership, BrokerError> {
        Ok(self.member.membership()?)
    }

    fn read_from(&mut self, partition: Partition, positions: PerInput<Position>) -> Result<(), BrokerError> {
        Ok(self.member.read_from(partition, positions)?)
    }

    fn pause(&mut self, partition: Partition) -> Result<(), BrokerError> {
        Ok(self.member.pause(partition)?)
    }

    fn fetch(
        &mut self,
        partition: Partition,
        input: Input,
        records_max: usize,
    ) -> Result<Option<MessageBatch>, BrokerError> {
        Ok(self.member.fetch(partition, input, records_max)?)
    }

    fn progress(&mut self, partition: Partition, input: Input) -> Result<FetchProgress, BrokerError> {
        Ok(self.member.progress(partition, input)?)
    }

    fn open_producer(&mut self, within: Duration) -> Result<(), BrokerError> {
        // The old one first: two living producers of one id fence each other.
        self.producer = None;
        let producer = match self.opening.take() {
            Some(producer) => producer,
            None => self.create_producer()?,
        };
        match producer.init(within) {
            Ok(()) => {
                self.producer = Some(producer);
                Ok(())
            }
            Err(error) => {
                let error = refused_or(producer.callbacks(), error);
                if matches!(error, BrokerError::Retry(_)) {
                    self.opening = Some(producer);
                }
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        Ok(self.producer()?.begin()?)
    }

    fn send(&mut self, record: &OutputRecord<'_>) -> Result<(), BrokerError> {
        let outgoing = Outgoing {
            topic: record.output as usize,
            partition: record.partition.map(number),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        Ok(self.producer()?.send(&outgoing)?)
    }

    fn flush(&mut self, within: Duration) -> Result<(), BrokerError> {
        Ok(self.producer()?.flush(within)?)
    }

    fn send_offsets(
        &mut self,
        offsets: &[NextOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError> {
        if !membership.is_fencing() || offsets.is_empty() {
            // The broker would accept them without looking at the generation, and a zombie's with them.
            return Err(BrokerError::AbortTransaction(
                "offsets without a membership or without partitions fence nothing".into(),
            ));
        }
        let list = offset_list(offsets.iter().map(|next| {
            let topic = self.settings.topic_name(Topic::Input(next.input));
            (topic, number(next.partition), signed(next.position), next.metadata)
        }))?;
        let offsets = GroupOffsets {
            group: &self.settings.application,
            instance: self.group_instance.as_deref(),
            membership,
            list: &list,
        };
        Ok(self.producer()?.send_offsets(&offsets, within)?)
    }

    fn commit(&mut self, within: Duration) -> Result<(), BrokerError> {
        Ok(self.producer()?.commit(within)?)
    }

    fn abort(&mut self, within: Duration) -> Result<(), BrokerError> {
        Ok(self.producer()?.abort(within)?)
    }

    fn lookup(&mut self) -> &mut KafkaLookup {
        &mut self.lookup
    }

    fn spawn(&mut self, name: &str, mut task: Task<KafkaLookup>) -> Result<(), BrokerError> {
        let mut lookup = KafkaLookup::new(Arc::clone(self.lookup.clients()));
        let stop = Arc::clone(&self.tasks.stop);
        let running = self.tasks.running.clone();
        let run = move || {
            while !stop.load(Ordering::Acquire) {
                match task(&mut lookup) {
                    TaskStep::Again => {}
                    TaskStep::Done => break,
                }
            }
            drop((task, lookup, running));
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map(drop)
            .map_err(|error| BrokerError::stop(Exit::Unavailable, error))
    }

    fn close(self, within: Duration) {
        let deadline = Instant::now() + within;
        self.tasks.stop.store(true, Ordering::Release);
        drop(self.tasks.running);
        // Nothing is ever sent: this ends when the last task has dropped its end.
        let tasks_left =
            self.tasks.ended.recv_deadline(deadline) == Err(crossbeam_channel::RecvTimeoutError::Timeout);
        if tasks_left {
            warn!("a task beside the worker did not end in time");
        }
        // Leaving waits for the coordinator, without a bound of its own.
        let (done, closed) = crossbeam_channel::bounded::<()>(0);
        let close = move || {
            drop((self.producer, self.opening));
            drop(self.member);
            drop(self.lookup);
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
