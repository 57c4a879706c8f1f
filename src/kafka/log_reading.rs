//! One partition that a client reads by itself, without a group.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::ClientError;
use super::lookup::{group_error, number, position, signed};
use super::queue::{MessageBatch, PartitionQueue, SharedConsumer};
use crate::stream::broker::{Position, RecordBatch};
use crate::topic::Partition;

/// The partition is given back when this is dropped. A client has one of each partition at most.
pub(super) struct LogReading {
    client: SharedConsumer,
    name: String,
    partition: Partition,
    queue: PartitionQueue,
    position: Position,
    /// An error that came behind records, for the next call.
    failed: Option<ClientError>,
}

impl LogReading {
    pub fn start(
        client: &SharedConsumer,
        name: &str,
        partition: Partition,
        from: Position,
    ) -> Result<Self, ClientError> {
        let queue = PartitionQueue::split(client, name, number(partition), None)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, number(partition), Offset::Offset(signed(from)))
            .and_then(|()| client.incremental_assign(&list))
            .map_err(|error| group_error(&error))?;
        let (client, name) = (SharedConsumer::clone(client), name.to_owned());
        Ok(Self { client, name, partition, queue, position: from, failed: None })
    }

    /// Behind what was taken, and behind control records.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Records that are at hand, or the first that comes within a time; perhaps none.
    pub fn take(&mut self, records_max: usize, within: Duration) -> Result<MessageBatch, ClientError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let taken = self.queue.take(records_max, within);
        match taken.failed {
            Some(error) if taken.batch.is_empty() => return Err(error),
            failed => self.failed = failed,
        }
        if let Some(last) = taken.batch.len().checked_sub(1) {
            self.position = taken.batch.get(last).offset.next();
        }
        // An end lies behind control records, which are not given as records.
        if let Some(end) = taken.end {
            self.position = self.position.max(position(end));
        }
        Ok(taken.batch)
    }
}

impl Drop for LogReading {
    fn drop(&mut self) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, number(self.partition));
        if let Err(error) = self.client.incremental_unassign(&list) {
            tracing::warn!(%error, topic = self.name, partition = self.partition.0, "partition not given back");
        }
    }
}
