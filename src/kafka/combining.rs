//! What the combiner has on Kafka: a transactional producer of its own, and a group that only keeps its position.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::lookup::{QueryClients, committed_of, make, number, refused_or, signed};
use super::producer::{GroupOffsets, Outgoing, TransactionalProducer, Written, offset_list};
use super::queue::{SharedConsumer, serve};
use crate::config::combiner_group;
use crate::stream::broker::{BrokerError, CombinedRecord, Committed, Membership, Unknown};
use crate::topic::{OF_SHARES, Output, Topic};

/// A producer that is not a member of the group: the transactional id alone fences.
const NO_MEMBER: Membership = Membership { generation: -1, member: String::new() };
/// How long a full producer queue is flushed for before the record is offered again.
const DRAIN: Duration = Duration::from_millis(20);

/// Empty until the combiner is opened.
#[derive(Default)]
pub(super) struct Combining {
    /// Made, but perhaps not yet the owner of the transactional id.
    producer: Option<TransactionalProducer>,
    is_open: bool,
    /// Reads what the combiner reads, and asks for the group's offsets; it never joins.
    reader: Option<SharedConsumer>,
}

impl Combining {
    pub fn open(&mut self, clients: &QueryClients, within: Duration) -> Result<(), BrokerError> {
        if std::mem::take(&mut self.is_open) {
            self.producer = None;
        }
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => create(clients)?,
        };
        match producer.init(within) {
            Ok(()) => {
                self.producer = Some(producer);
                self.is_open = true;
                if self.reader.is_none() {
                    let mut config = clients.settings.read_committed_client();
                    config.set("group.id", combiner_group(&clients.settings.application));
                    self.reader = Some(make(&config, "combiner's reader", &clients.troubles)?);
                }
                Ok(())
            }
            Err(error) => {
                let error = refused_or(producer.callbacks(), error);
                if matches!(error, BrokerError::Retry(_)) {
                    // The same call goes on with the same producer.
                    self.producer = Some(producer);
                }
                Err(error)
            }
        }
    }

    /// None until the combiner is open.
    pub fn reader(&self) -> Option<&SharedConsumer> {
        self.reader.as_ref()
    }

    pub fn committed(
        &self,
        clients: &QueryClients,
        within: Duration,
    ) -> Result<Option<Committed>, BrokerError> {
        let settings = &clients.settings;
        let Some(reader) = &self.reader else { return Err(not_open()) };
        // Its logs and errors are taken here: it is not one of the clients that the worker serves.
        let _comes_again = serve(reader);
        let mut list = TopicPartitionList::new();
        list.add_partition(settings.topic_name(Topic::Output(Output::Shares)), number(OF_SHARES));
        let list = reader
            .committed_offsets(list, within)
            .map_err(|error| clients.explain(reader, ClientError::from_kafka(Call::Query, &error)))?;
        let found = committed_of(&list).map_err(|error| clients.explain(reader, error))?;
        Ok(found.into_iter().next().flatten())
    }

    pub fn publish(
        &mut self,
        clients: &QueryClients,
        records: &[CombinedRecord],
        combined: &Committed,
        within: Duration,
    ) -> Result<(), BrokerError> {
        let Some(producer) = self.producer.as_ref().filter(|_| self.is_open) else {
            return Err(not_open());
        };
        let deadline = Instant::now() + within;
        let published = publish(producer, clients, records, combined, deadline);
        published.map_err(|error| refused_or(producer.callbacks(), error))
    }
}

fn create(clients: &QueryClients) -> Result<TransactionalProducer, ClientError> {
    let settings = &clients.settings;
    let id = format!("{}-combiner", settings.application);
    let config = settings.producer(&id, clients.layout.message_bytes_max);
    let callbacks = Callbacks::new("combiner", None).with_troubles(Arc::clone(&clients.troubles));
    let topics = written(clients).into_iter();
    let topics = topics.map(|topic| Written { name: settings.topic_name(topic), compression: None });
    TransactionalProducer::create(&config, callbacks, &topics.collect::<Vec<_>>())
}

/// The topics that the combiner may write to.
fn written(clients: &QueryClients) -> Vec<Topic> {
    let registry = clients.settings.topics.writes_registry.then_some(Topic::Registry);
    std::iter::once(Topic::Output(Output::ShopMetrics)).chain(registry).collect()
}

fn not_open() -> BrokerError {
    BrokerError::OutcomeUnknown(Unknown::Failed, "the combiner is not open".into())
}

fn publish(
    producer: &TransactionalProducer,
    clients: &QueryClients,
    records: &[CombinedRecord],
    combined: &Committed,
    deadline: Instant,
) -> Result<(), ClientError> {
    let left = || deadline.saturating_duration_since(Instant::now());
    producer.begin()?;
    let topics = written(clients);
    for CombinedRecord { topic, key, value } in records {
        let outgoing = Outgoing {
            topic: topics.iter().position(|written| written == topic).expect("a topic of the combiner"),
            partition: Some(number(OF_SHARES)),
            key: Some(key),
            value: Some(value),
            headers: &[],
        };
        while let Err(error) = producer.send(&outgoing) {
            if error.code != RDKafkaErrorCode::QueueFull || left().is_zero() {
                return Err(error);
            }
            // Still full is no failure: there may be room for this record.
            let _full = producer.flush(DRAIN);
        }
    }
    producer.flush(left())?;
    let shares = clients.settings.topic_name(Topic::Output(Output::Shares));
    let list = offset_list(
        [(shares, number(OF_SHARES), signed(combined.position), combined.metadata.as_str())].into_iter(),
    )?;
    let group = combiner_group(&clients.settings.application);
    let offsets = GroupOffsets { group: &group, instance: None, membership: &NO_MEMBER, list: &list };
    producer.send_offsets(&offsets, left())?;
    loop {
        match producer.commit(left()) {
            Err(error) if error.retriable && !left().is_zero() => {}
            ended => return ended,
        }
    }
}
