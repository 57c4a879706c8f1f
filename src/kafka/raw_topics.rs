//! The topics that the intake reads: how far its group has come in them, and whether a record is left.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Call, ClientError};
use super::log_reading::LogReading;
use super::lookup::{QueryClients, committed_of, edges, number, partition_count};
use crate::stream::broker::{
    BrokerError, Committed, Moment, Position, RawPartition, RawProgress, RawSearch, RecordBatch,
};
use crate::topic::Partition;

/// Partitions that were added to a raw topic are known after this.
const PARTITIONS_AGE_MAX: Duration = Duration::from_secs(10);

/// What one asker knows of them.
#[derive(Default)]
pub(super) struct RawTopics {
    partitions: Option<(Moment, Vec<RawPartition>)>,
    /// A look into a partition that has come to no end yet.
    search: Option<(RawPartition, LogReading)>,
    /// It went on since the last question for progress.
    is_searched: bool,
}

impl RawTopics {
    pub fn progress(
        &mut self,
        clients: &QueryClients,
        within: Duration,
    ) -> Result<Vec<RawProgress>, BrokerError> {
        // The asker has not come back to it, and records would only pile up.
        if !std::mem::take(&mut self.is_searched) {
            self.search = None;
        }
        let partitions = self.partitions(clients, within)?;
        let committed = committed(partitions, clients, within)?;
        let client = &clients.read_uncommitted;
        let logs = partitions.iter().map(|of| (&*of.topic, of.partition));
        let ends =
            edges(client, Offset::End, logs, within).map_err(|error| clients.explain(client, error))?;
        let progress = partitions.iter().zip(committed).zip(ends);
        let progress = progress.map(|((of, committed), end)| RawProgress {
            of: of.clone(),
            committed: committed.map(|committed| committed.position),
            end,
        });
        Ok(progress.collect())
    }

    /// What the intake's group has committed, with what stands beside it.
    pub fn committed(
        &mut self,
        clients: &QueryClients,
        within: Duration,
    ) -> Result<Vec<(RawPartition, Option<Committed>)>, BrokerError> {
        let partitions = self.partitions(clients, within)?;
        let committed = committed(partitions, clients, within)?;
        Ok(partitions.iter().cloned().zip(committed).collect())
    }

    pub fn search(
        &mut self,
        clients: &QueryClients,
        of: &RawPartition,
        from: Position,
        end: Position,
        within: Duration,
    ) -> Result<RawSearch, BrokerError> {
        let client = &clients.read_committed;
        self.is_searched = true;
        let started =
            self.search.take().filter(|(started, reading)| started == of && reading.position() >= from);
        let mut reading = match started {
            Some((_, reading)) => reading,
            None => {
                let low = [(&*of.topic, of.partition)].into_iter();
                let low = edges(&clients.read_uncommitted, Offset::Beginning, low, within)
                    .map_err(|error| clients.explain(&clients.read_uncommitted, error))?;
                LogReading::start(client, &of.topic, of.partition, from.max(low[0]))?
            }
        };
        let batch = reading.take(1, within).map_err(|error| clients.explain(client, error))?;
        if !batch.is_empty() {
            return Ok(RawSearch::Record(batch.get(0).offset));
        }
        let position = reading.position();
        if position < end {
            self.search = Some((of.clone(), reading));
        }
        Ok(RawSearch::NoneBelow(position))
    }

    fn partitions(
        &mut self,
        clients: &QueryClients,
        within: Duration,
    ) -> Result<&[RawPartition], BrokerError> {
        let now = clients.now();
        let known = self.partitions.take().filter(|(at, _)| now.since(*at) < PARTITIONS_AGE_MAX);
        let known = match known {
            Some(known) => known,
            None => {
                let client = &clients.read_uncommitted;
                let mut partitions = Vec::new();
                for topic in &clients.settings.raw_topics {
                    let count = partition_count(client, topic, within)
                        .map_err(|error| clients.explain(client, not_there(topic, error)))?;
                    let topic: Arc<str> = topic.as_str().into();
                    partitions.extend((0..count).map(|number| RawPartition {
                        topic: Arc::clone(&topic),
                        partition: Partition(number),
                    }));
                }
                (now, partitions)
            }
        };
        Ok(&self.partitions.insert(known).1)
    }
}

/// Of each partition, in their order.
fn committed(
    partitions: &[RawPartition],
    clients: &QueryClients,
    within: Duration,
) -> Result<Vec<Option<Committed>>, BrokerError> {
    let intake = clients.intake()?;
    let mut list = TopicPartitionList::new();
    for RawPartition { topic, partition } in partitions {
        list.add_partition(topic, number(*partition));
    }
    intake
        .committed_offsets(list, within)
        .map_err(|error| ClientError::from_kafka(Call::Query, &error))
        .and_then(|list| committed_of(&list))
        .map_err(|error| clients.explain(intake, error))
}

fn not_there(topic: &str, error: ClientError) -> ClientError {
    let unknown = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
    if !unknown.contains(&error.code) {
        return error;
    }
    let message = format!("topic {topic} of [intake] does not exist: create it, or correct `intake.sources`");
    ClientError { message, ..error }
}
