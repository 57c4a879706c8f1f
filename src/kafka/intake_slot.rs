//! The port of the intake over Apache Kafka: one slot whose group reads the raw topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::lookup::{committed_of, edges, number, partition_count, refused_or, signed};
use super::producer::{Outgoing, Written, offset_list};
use super::queue::{MessageBatch, SharedConsumer, serve};
use super::settings::KafkaSettings;
use super::slot::{HasSlot, KafkaSlot, SlotSettings};
use super::subscription::{RawPartitions, Subscription};
use crate::exit::Exit;
use crate::observe::metrics::Metrics;
use crate::stream::broker::{
    BrokerError, Capabilities, Committed, FetchProgress, Membership, Moment, Position, RecordBatch,
};
use crate::stream::intake::port::{
    IntakeOutput, NativeOutput, RawBatch, RawBroker, RawExtent, RawOffset, RawRecord,
};
use crate::topic::{Input, Output, Partition, Topic};

/// Partitions of raw topics that one worker's memory for fetches is shared by, at least.
const QUEUES: u64 = 16;

/// One worker of the intake on a Kafka cluster.
pub struct KafkaIntake {
    slot: KafkaSlot,
    /// Asks for offsets; it never joins the group.
    reader: SharedConsumer,
    origin: Instant,
    capabilities: Capabilities,
    /// Offsets of the open transaction, for a cluster that does not keep them.
    unkept: Option<TopicPartitionList>,
}

impl KafkaIntake {
    /// Makes the slot's clients for a group that reads `topics`. `slot.settings` are those of [`KafkaSettings::of_intake`].
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the client refuses its settings.
    pub fn open(
        slot: SlotSettings,
        topics: Vec<String>,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<Self, BrokerError> {
        let callbacks = Callbacks::new("offset reader", None).with_troubles(Arc::clone(&slot.troubles));
        let config = slot.settings.read_committed_client();
        let reader = BaseConsumer::from_config_and_context(&config, callbacks)
            .map_err(|error| ClientError::from_kafka(Call::Create, &error))?;
        let subscription = Subscription::Raw(RawPartitions::new(topics));
        let capabilities = slot.layout.capabilities;
        let slot = KafkaSlot::create(slot, subscription, QUEUES, written, metrics)?;
        Ok(Self { slot, reader: Arc::new(reader), origin: Instant::now(), capabilities, unkept: None })
    }

    fn explain(&self, error: ClientError) -> BrokerError {
        let _already_logged = serve(&self.reader);
        refused_or(self.reader.context(), error)
    }

    /// What the group has committed of each log, once no transaction with offsets of it is open.
    fn committed(
        &self,
        logs: &[(String, i32)],
        within: Duration,
    ) -> Result<Vec<Option<Committed>>, ClientError> {
        let mut list = TopicPartitionList::new();
        for (topic, number) in logs {
            list.add_partition(topic, *number);
        }
        let list = self.reader.committed_offsets(list, within);
        committed_of(&list.map_err(|error| ClientError::from_kafka(Call::Query, &error))?)
    }

    /// The topics of which the group has committed any offset.
    fn known_topics(
        &self,
        topics: &[String],
        within: Duration,
    ) -> Result<BTreeMap<String, bool>, ClientError> {
        let mut known = BTreeMap::new();
        for topic in topics {
            let count = partition_count(&self.reader, topic, within)?;
            let logs: Vec<(String, i32)> =
                (0..count).map(|index| (topic.clone(), number(Partition(index)))).collect();
            known.insert(topic.clone(), self.committed(&logs, within)?.iter().any(Option::is_some));
        }
        Ok(known)
    }

    fn try_extents(&self, partitions: &[Partition], within: Duration) -> Result<Vec<RawExtent>, ClientError> {
        let logs: Vec<(String, i32)> = partitions
            .iter()
            .map(|partition| {
                let (topic, number) = self.slot.member.log(*partition, 0);
                (topic.to_owned(), number)
            })
            .collect();
        let committed = self.committed(&logs, within)?;
        let edges = |edge| {
            let logs = logs.iter().map(|(topic, number)| (topic.as_str(), partition(*number)));
            edges(&self.reader, edge, logs, within)
        };
        let (low, high) = (edges(Offset::Beginning)?, edges(Offset::End)?);
        let mut unknown: Vec<String> = logs
            .iter()
            .zip(&committed)
            .filter(|(_, committed)| committed.is_none())
            .map(|((topic, _), _)| topic.clone())
            .collect();
        unknown.dedup();
        let known = self.known_topics(&unknown, within)?;
        let extents = logs.iter().zip(committed).zip(low.into_iter().zip(high));
        Ok(extents
            .map(|(((topic, _), committed), (low, high))| RawExtent {
                low,
                high,
                committed: committed.as_ref().map(|committed| committed.position),
                metadata: committed.map(|committed| committed.metadata).unwrap_or_default(),
                is_topic_known: known.get(topic).copied().unwrap_or(true),
            })
            .collect())
    }
}

/// A partition as the client numbered it.
fn partition(number: i32) -> Partition {
    Partition(u32::try_from(number).expect("assigned partitions are not negative"))
}

fn written(settings: &KafkaSettings) -> Vec<Written<'_>> {
    let names = IntakeOutput::ALL.map(|output| match output {
        IntakeOutput::Input(input) => settings.topic_name(Topic::Input(input)),
        IntakeOutput::DeadLetters => settings.topic_name(Topic::Output(Output::DeadLetters)),
    });
    names.into_iter().map(|name| Written { name, compression: None }).collect()
}

impl HasSlot for KafkaIntake {
    fn slot(&self) -> &KafkaSlot {
        &self.slot
    }

    fn slot_mut(&mut self) -> &mut KafkaSlot {
        &mut self.slot
    }

    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn serve(&mut self) {
        let _comes_again = serve(&self.reader);
    }

    /// The service must learn how far the intake has come, also from the in-process cluster of the demo. The next commit says more than
    /// one that fails.
    fn after_commit(&mut self) {
        if let Some(offsets) = self.unkept.take()
            && let Err(error) = self.slot.member.commit(&offsets)
        {
            tracing::debug!(%error, "offsets were not committed");
        }
    }
}

impl RawBroker for KafkaIntake {
    type Batch = MessageBatch;

    fn log_of(&self, partition: Partition) -> (&str, u32) {
        let (topic, number) = self.slot.member.log(partition, 0);
        (topic, u32::try_from(number).expect("assigned partitions are not negative"))
    }

    fn input_partitions(&mut self, within: Duration) -> Result<u32, BrokerError> {
        let counts = Input::ALL.map(|input| {
            let name = self.slot.settings.topic_name(Topic::Input(input));
            partition_count(&self.reader, name, within).map(|count| (name.to_owned(), count))
        });
        let counts: Vec<(String, u32)> =
            counts.into_iter().collect::<Result<_, _>>().map_err(|error| self.explain(error))?;
        let (first_name, first) = &counts[0];
        match counts.iter().find(|(_, count)| count != first) {
            None => Ok(*first),
            Some((name, count)) => Err(BrokerError::stop(
                Exit::Configuration,
                format!(
                    "topic {name} has {count} partitions and {first_name} {first}: a customer's records must lie in partitions of one \
                     number, so the inputs need equally many"
                ),
            )),
        }
    }

    fn extents(&mut self, partitions: &[Partition], within: Duration) -> Result<Vec<RawExtent>, BrokerError> {
        self.try_extents(partitions, within).map_err(|error| self.explain(error))
    }

    fn read_from(&mut self, partition: Partition, position: Position) -> Result<(), BrokerError> {
        Ok(self.slot.member.read_from(partition, &[position])?)
    }

    fn fetch(
        &mut self,
        partition: Partition,
        records_max: usize,
    ) -> Result<Option<MessageBatch>, BrokerError> {
        Ok(self.slot.member.fetch(partition, 0, records_max)?)
    }

    fn progress(&mut self, partition: Partition) -> Result<FetchProgress, BrokerError> {
        Ok(self.slot.member.progress(partition, 0)?)
    }

    fn send(&mut self, record: &NativeOutput<'_>) -> Result<(), BrokerError> {
        let outgoing = Outgoing {
            topic: record.output.index(),
            partition: None,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        Ok(self.slot.producer()?.send(&outgoing)?)
    }

    fn send_offsets(
        &mut self,
        offsets: &[RawOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError> {
        let list = offset_list(offsets.iter().map(|RawOffset { partition, position, metadata }| {
            let (topic, number) = self.slot.member.log(*partition, 0);
            (topic, number, signed(*position), *metadata)
        }))?;
        self.slot.send_offsets(&list, membership, within)?;
        if !self.capabilities.transactional_offsets {
            self.unkept = Some(list);
        }
        Ok(())
    }
}

impl RawBatch for MessageBatch {
    fn len(&self) -> usize {
        RecordBatch::len(self)
    }

    fn timestamp_ms(&self, index: usize) -> Option<i64> {
        RecordBatch::get(self, index).timestamp_ms
    }

    fn get(&self, index: usize) -> RawRecord<'_> {
        let view = RecordBatch::get(self, index);
        RawRecord {
            offset: view.offset,
            timestamp_ms: view.timestamp_ms,
            key: view.key,
            value: view.value,
            headers: self.headers(index),
        }
    }
}
