//! The port of the service over Apache Kafka: one slot, and its questions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tracing::warn;

use super::lookup::{KafkaLookup, QueryClients, number, signed};
use super::producer::{Outgoing, Written, offset_list};
use super::queue::MessageBatch;
use super::settings::{KafkaSettings, Layout};
use super::slot::{HasSlot, KafkaSlot, SlotSettings};
use super::subscription::Subscription;
use crate::exit::Exit;
use crate::observe::metrics::Metrics;
use crate::stream::broker::{
    Broker, BrokerError, Capabilities, FetchProgress, Membership, Moment, NextOffset, OutputRecord, Position,
    Task, TaskStep,
};
use crate::topic::{Input, Output, Partition, PerInput, Topic};

/// One worker of the service on a Kafka cluster.
pub struct KafkaBroker {
    slot: KafkaSlot,
    layout: Layout,
    lookup: KafkaLookup,
    tasks: Tasks,
}

/// Threads beside the worker.
struct Tasks {
    stop: Arc<AtomicBool>,
    /// Each task holds one until it has ended.
    running: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl KafkaBroker {
    /// Makes the slot's clients. They connect by themselves; nothing is asked of the brokers yet.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the client refuses its settings.
    pub fn open(slot: SlotSettings, metrics: Option<Arc<Metrics>>) -> Result<Self, BrokerError> {
        let layout = slot.layout;
        let queues = u64::from(layout.partitions) * Input::COUNT as u64;
        let clients = QueryClients::create(Arc::clone(&slot.settings), layout, Arc::clone(&slot.troubles))?;
        let subscription = Subscription::Inputs(Arc::clone(&slot.settings));
        let slot = KafkaSlot::create(slot, subscription, queues, outputs, metrics)?;
        let (running, ended) = crossbeam_channel::bounded(0);
        Ok(Self {
            slot,
            layout,
            lookup: KafkaLookup::new(Arc::new(clients)),
            tasks: Tasks { stop: Arc::default(), running: Some(running), ended },
        })
    }
}

fn outputs(settings: &KafkaSettings) -> Vec<Written<'_>> {
    // In the order of the outputs: a record names its topic by that. Shop metrics are the combiner's.
    let outputs = settings.topics.outputs().filter(|output| *output != Output::ShopMetrics);
    let written = |output| Written {
        name: settings.topic_name(Topic::Output(output)),
        compression: settings.compression_of(output),
    };
    outputs.map(written).collect()
}

impl HasSlot for KafkaBroker {
    fn slot(&self) -> &KafkaSlot {
        &self.slot
    }

    fn slot_mut(&mut self) -> &mut KafkaSlot {
        &mut self.slot
    }

    fn now(&self) -> Moment {
        self.lookup.clients().now()
    }

    fn warm_up(&mut self) {
        self.lookup.clients().warm_up();
    }

    fn serve(&mut self) {
        self.lookup.clients().serve();
    }

    fn stop_tasks(&mut self, deadline: Instant) {
        self.tasks.stop.store(true, Ordering::Release);
        self.tasks.running = None;
        // Nothing is ever sent: this ends when the last task has dropped its end.
        if self.tasks.ended.recv_deadline(deadline) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            warn!("a task beside the worker did not end in time");
        }
    }
}

impl Broker for KafkaBroker {
    type Batch = MessageBatch;
    type Lookup = KafkaLookup;

    fn capabilities(&self) -> Capabilities {
        self.layout.capabilities
    }

    fn read_from(&mut self, partition: Partition, positions: PerInput<Position>) -> Result<(), BrokerError> {
        Ok(self.slot.member.read_from(partition, &positions.0)?)
    }

    fn pause(&mut self, partition: Partition) -> Result<(), BrokerError> {
        Ok(self.slot.member.pause(partition)?)
    }

    fn fetch(
        &mut self,
        partition: Partition,
        input: Input,
        records_max: usize,
    ) -> Result<Option<MessageBatch>, BrokerError> {
        Ok(self.slot.member.fetch(partition, input.index(), records_max)?)
    }

    fn progress(&mut self, partition: Partition, input: Input) -> Result<FetchProgress, BrokerError> {
        Ok(self.slot.member.progress(partition, input.index())?)
    }

    fn send(&mut self, record: &OutputRecord<'_>) -> Result<(), BrokerError> {
        let outgoing = Outgoing {
            topic: record.output as usize,
            partition: record.partition.map(number),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        Ok(self.slot.producer()?.send(&outgoing)?)
    }

    fn send_offsets(
        &mut self,
        offsets: &[NextOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError> {
        let list = offset_list(offsets.iter().map(|next| {
            let topic = self.slot.settings.topic_name(Topic::Input(next.input));
            (topic, number(next.partition), signed(next.position), next.metadata)
        }))?;
        self.slot.send_offsets(&list, membership, within)
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
            // The task last but one: its end is what a worker may see, and the readings are given back by then.
            drop(lookup);
            drop((task, running));
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map(drop)
            .map_err(|error| BrokerError::stop(Exit::Unavailable, error))
    }
}
