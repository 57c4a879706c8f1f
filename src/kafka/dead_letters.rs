//! The dead-letter topic as an operator reads it, and records that go to a topic again. Nothing here is on a worker's path.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::admin::Admin;
use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::layout::{Look, failure};
use super::lookup::{number, refused_or, signed};
use super::queue::SharedConsumer;
use super::settings::KafkaSettings;
use crate::exit::{Exit, Failure};
use crate::stream::broker::{BrokerError, Position};
use crate::topic::{Output, Partition, Topic};

/// One question, and one wait for records.
const WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
/// No record came.
const SILENCE: KafkaError = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);

/// A record of the dead-letter topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLetter {
    /// Where it lies in the dead-letter topic.
    pub partition: Partition,
    pub offset: u64,
    /// When it was refused, in milliseconds since 1970.
    pub refused_at_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Reads committed dead letters.
pub struct DeadLetterReader {
    settings: Arc<KafkaSettings>,
    consumer: SharedConsumer,
    partitions: u32,
    patience: Duration,
}

impl DeadLetterReader {
    /// # Errors
    /// The brokers do not answer within `patience`, or there is no such topic.
    pub fn open(settings: &Arc<KafkaSettings>, patience: Duration) -> Result<Self, Failure> {
        let admin = Admin::create(settings).map_err(|error| failure("prepare the Kafka client", error))?;
        let look = Look { settings, admin: &admin, patience };
        let topic = settings.topic_name(Topic::Output(Output::DeadLetters));
        let partitions = look
            .patiently(&format!("look at topic {topic}"), || admin.partition_count(topic, WITHIN))?
            .ok_or_else(|| Failure::message(Exit::Configuration, format!("no such topic: {topic}")))?;
        let callbacks = Callbacks::new("dead-letter reader", None);
        let consumer = BaseConsumer::from_config_and_context(&settings.read_committed_client(), callbacks)
            .map_err(|error| failed(Call::Create, &error))?;
        Ok(Self { settings: Arc::clone(settings), consumer: Arc::new(consumer), partitions, patience })
    }

    pub fn topic(&self) -> &str {
        self.settings.topic_name(Topic::Output(Output::DeadLetters))
    }

    /// Gives every dead letter that is there, those of each partition in their order.
    ///
    /// # Errors
    /// The brokers do not answer within the patience, or refuse; or that of `take`.
    pub fn read(&self, mut take: impl FnMut(StoredLetter) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut open: BTreeSet<i32> = (0..self.partitions).map(Partition).map(number).collect();
        self.assign(open.iter().map(|partition| (*partition, Offset::Beginning)))?;
        let mut heard_at = Instant::now();
        while !open.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    take(letter(&message))?;
                    heard_at = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                    heard_at = Instant::now();
                }
                Some(Err(error)) => self.tolerate(&error, heard_at)?,
                None => self.tolerate(&SILENCE, heard_at)?,
            }
        }
        Ok(())
    }

    /// The dead letter at one place; none if there is none.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_one(&self, partition: Partition, offset: u64) -> Result<Option<StoredLetter>, Failure> {
        if partition.0 >= self.partitions {
            return Ok(None);
        }
        self.assign([(number(partition), Offset::Offset(signed(Position(offset))))])?;
        let asked_at = Instant::now();
        loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let letter = letter(&message);
                    return Ok(Some(letter).filter(|letter| letter.offset == offset));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error))
                    if matches!(
                        error.rdkafka_error_code(),
                        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                    ) =>
                {
                    return Ok(None);
                }
                Some(Err(error)) => self.tolerate(&error, asked_at)?,
                None => self.tolerate(&SILENCE, asked_at)?,
            }
        }
    }

    fn assign(&self, places: impl IntoIterator<Item = (i32, Offset)>) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in places {
            list.add_partition_offset(self.topic(), partition, offset)
                .map_err(|error| failed(Call::Fetch, &error))?;
        }
        self.consumer.assign(&list).map_err(|error| failed(Call::Fetch, &error))
    }

    /// An error that may pass is waited out for the patience.
    fn tolerate(&self, error: &KafkaError, since: Instant) -> Result<(), Failure> {
        // Only the client wants the group: a reader that is no member and commits nothing needs no right on it.
        let is_of_group = error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed);
        let error = refused_or(self.consumer.context(), ClientError::from_kafka(Call::Fetch, error));
        let may_pass = is_of_group || matches!(error, BrokerError::Retry(_));
        if may_pass && since.elapsed() < self.patience {
            return Ok(());
        }
        Err(failure(&format!("read topic {}", self.topic()), error))
    }
}

fn letter(message: &BorrowedMessage<'_>) -> StoredLetter {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    StoredLetter {
        partition: super::context::partition(message.partition()),
        offset: u64::try_from(message.offset()).expect("offsets of records are not negative"),
        refused_at_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Writes records to topics by the murmur2 hash of their keys, each acknowledged by all replicas in sync.
pub struct Requeuer {
    producer: BaseProducer<Callbacks>,
    patience: Duration,
}

/// A record to be written.
pub struct Requeued<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl Requeuer {
    /// # Errors
    /// The brokers do not answer within `patience`, or one of the topics is missing.
    pub fn open(settings: &Arc<KafkaSettings>, topics: &[&str], patience: Duration) -> Result<Self, Failure> {
        let admin = Admin::create(settings).map_err(|error| failure("prepare the Kafka client", error))?;
        let look = Look { settings, admin: &admin, patience };
        for topic in topics {
            let found =
                look.patiently(&format!("look at topic {topic}"), || admin.partition_count(topic, WITHIN))?;
            if found.is_none() {
                return Err(Failure::message(Exit::Configuration, format!("no such topic: {topic}")));
            }
        }
        let config = settings.plain_producer();
        let producer = BaseProducer::from_config_and_context(&config, Callbacks::new("requeue", None));
        Ok(Self { producer: producer.map_err(|error| failed(Call::Create, &error))?, patience })
    }

    /// Takes a record to be written; [`Self::flush`] shows whether it was.
    ///
    /// # Errors
    /// The brokers take nothing within the patience.
    pub fn send(&self, record: &Requeued<'_>) -> Result<(), Failure> {
        let mut outgoing: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(record.topic);
        outgoing.key = record.key;
        outgoing.payload = record.value;
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(*value) })
        });
        outgoing = outgoing.headers(headers);
        let deadline = Instant::now() + self.patience;
        loop {
            match self.producer.send(outgoing) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same))
                    if Instant::now() < deadline =>
                {
                    outgoing = same;
                    self.producer.poll(POLL);
                }
                Err((error, _)) => return Err(failed(Call::Send, &error)),
            }
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Something is not: it is unknown what was written.
    pub fn flush(&self) -> Result<(), Failure> {
        self.producer.flush(self.patience).map_err(|error| failed(Call::Flush, &error))?;
        match self.producer.context().take_failed_delivery() {
            None => Ok(()),
            Some(error) => Err(failure("write records", error.into())),
        }
    }
}

fn failed(call: Call, error: &KafkaError) -> Failure {
    failure("use the dead-letter topic", ClientError::from_kafka(call, error).into())
}
