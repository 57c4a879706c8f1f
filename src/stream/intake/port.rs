//! What the intake needs of a log: the raw topics of shops to read, the inputs of the service to write.

use std::time::Duration;

use crate::stream::broker::{BrokerError, FetchProgress, Membership, Offset, Position, Session};
use crate::topic::{Input, Partition};

/// A record in the form of a shop, as it lies in a batch.
#[derive(Clone, Debug)]
pub struct RawRecord<'a> {
    pub offset: Offset,
    /// Milliseconds since 1970, of the producer or of the broker as the topic is configured; none in old formats.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, &'a [u8])>,
}

/// Records of one raw partition in the order of their offsets.
pub trait RawBatch {
    fn len(&self) -> usize;

    /// When a record was written, in milliseconds since 1970.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`].
    fn timestamp_ms(&self, index: usize) -> Option<i64>;

    /// # Panics
    /// As above.
    fn get(&self, index: usize) -> RawRecord<'_>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the intake writes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntakeOutput {
    Input(Input),
    DeadLetters,
}

/// A record to write in the open transaction. An input's record goes to the partition of its key.
#[derive(Clone, Copy, Debug)]
pub struct NativeOutput<'a> {
    pub output: IntakeOutput,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Where a raw partition begins and ends, and how far the group has committed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawExtent {
    pub low: Position,
    pub high: Position,
    pub committed: Option<Position>,
    /// What was committed beside the offset.
    pub metadata: String,
    /// The group has committed an offset of another partition of this topic: this one was added later.
    pub is_topic_known: bool,
}

/// The position to commit for a raw partition.
#[derive(Clone, Copy, Debug)]
pub struct RawOffset<'a> {
    pub partition: Partition,
    pub position: Position,
    /// Given back with [`RawBroker::extents`].
    pub metadata: &'a str,
}

/// The port of the intake. A [`Partition`] is one partition of one raw topic, numbered by the implementation.
pub trait RawBroker: Session {
    type Batch: RawBatch;

    /// The topic, and the partition's number in it.
    fn log_of(&self, partition: Partition) -> (&str, u32);

    /// How many partitions the inputs have; all equally many.
    ///
    /// # Errors
    /// [`Exit::Configuration`](crate::exit::Exit::Configuration) if they differ, or one does not exist.
    fn input_partitions(&mut self, within: Duration) -> Result<u32, BrokerError>;

    /// Extents in the order of `partitions`, once no transaction with offsets of the group is open.
    fn extents(&mut self, partitions: &[Partition], within: Duration) -> Result<Vec<RawExtent>, BrokerError>;

    /// Drops what was fetched of an assigned partition and fetches from this position on.
    fn read_from(&mut self, partition: Partition, position: Position) -> Result<(), BrokerError>;

    /// The next records at hand, at most `records_max`; none if there are none yet.
    fn fetch(&mut self, partition: Partition, records_max: usize)
    -> Result<Option<Self::Batch>, BrokerError>;

    fn progress(&mut self, partition: Partition) -> Result<FetchProgress, BrokerError>;

    /// Queues a record. A full queue is a [`BrokerError::Retry`]: flush for a while, then send again.
    fn send(&mut self, record: &NativeOutput<'_>) -> Result<(), BrokerError>;

    /// Adds the next positions to the transaction, fenced by `membership`.
    fn send_offsets(
        &mut self,
        offsets: &[RawOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError>;
}
