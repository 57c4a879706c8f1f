//! Appends single records for commands that people give. Nothing here is on a worker's path.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::admin::Admin;
use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::layout::failure;
use super::lookup::refused_or;
use super::settings::KafkaSettings;
use crate::exit::{Exit, Failure};
use crate::stream::broker::BrokerError;
use crate::topic::Topic;

/// One question to the brokers.
const WITHIN: Duration = Duration::from_secs(5);

/// How long one wait for the acknowledgement lasts before it is looked for.
const SLICE: Duration = Duration::from_millis(50);

const PREPARED: &str = "prepare the Kafka client";

/// How many partitions a topic has that must be there.
///
/// # Errors
/// No broker answers within `patience`, refuses, or has no such topic.
pub fn partitions_of(settings: &KafkaSettings, topic: Topic, patience: Duration) -> Result<u32, Failure> {
    let name = settings.topic_name(topic);
    let admin = Admin::create(settings).map_err(|error| failure(PREPARED, error))?;
    let look = super::layout::Look { settings, admin: &admin, patience };
    look.patiently(&format!("look at topic {name}"), || admin.partition_count(name, WITHIN))?.ok_or_else(
        || {
            let message = format!("no such topic: {name}; `topics apply` creates it");
            Failure::message(Exit::Configuration, message)
        },
    )
}

/// Where a record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    pub partition: u32,
    pub offset: u64,
}

/// A topic to which records are appended one by one.
pub struct Appender {
    topic: String,
    partitions: u32,
    patience: Duration,
    producer: BaseProducer<Receipts>,
}

impl Appender {
    /// Asks how many partitions the topic has; nothing is written yet.
    ///
    /// # Errors
    /// No broker answers within `patience`, refuses, or has no such topic.
    pub fn open(settings: &KafkaSettings, topic: Topic, patience: Duration) -> Result<Self, Failure> {
        let name = settings.topic_name(topic);
        let partitions = partitions_of(settings, topic, patience)?;
        let receipts = Receipts { callbacks: Callbacks::new("appender", None), last: Mutex::default() };
        let producer = BaseProducer::from_config_and_context(&settings.appender(patience), receipts)
            .map_err(|error| failure(PREPARED, ClientError::from_kafka(Call::Create, &error).into()))?;
        Ok(Self { topic: name.to_owned(), partitions, patience, producer })
    }

    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Appends a record and waits until the brokers have acknowledged it.
    ///
    /// # Errors
    /// It was refused, or not acknowledged in time: then it may be there or not.
    pub fn append(&self, partition: u32, key: &[u8], value: &[u8]) -> Result<Appended, Failure> {
        let failed = |error| failure(&format!("write to topic {}", self.topic), self.explain(error));
        let partition = i32::try_from(partition).expect("partition numbers are 32 bits");
        let record = BaseRecord::to(&self.topic).partition(partition).key(key).payload(value);
        self.producer
            .send(record)
            .map_err(|(error, _)| failed(ClientError::from_kafka(Call::Send, &error)))?;
        // The client's own time-out ends the wait; a little longer, so that it is the one that does.
        let deadline = Instant::now() + self.patience + WITHIN;
        loop {
            self.producer.poll(SLICE);
            if let Some(receipt) = self.producer.context().take() {
                return receipt.map_err(failed);
            }
            if Instant::now() >= deadline {
                return Err(failed(ClientError::timed_out(Call::Flush)));
            }
        }
    }

    fn explain(&self, error: ClientError) -> BrokerError {
        refused_or(&self.producer.context().callbacks, error)
    }
}

/// Records what became of the last record.
struct Receipts {
    callbacks: Callbacks,
    last: Mutex<Option<Result<Appended, ClientError>>>,
}

impl Receipts {
    fn take(&self) -> Option<Result<Appended, ClientError>> {
        self.last.lock().expect("no panic under this lock").take()
    }
}

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let receipt = match result {
            Ok(record) => Ok(Appended {
                partition: u32::try_from(record.partition()).expect("an acknowledged record has a partition"),
                offset: u64::try_from(record.offset()).expect("an acknowledged record has an offset"),
            }),
            Err((error, _)) => Err(ClientError::from_kafka(Call::Flush, error)),
        };
        *self.last.lock().expect("no panic under this lock") = Some(receipt);
    }
}
