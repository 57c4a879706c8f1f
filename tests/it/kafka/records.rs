//! Records into and out of topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::client::{Client, Isolation, offset_list};

/// How long producing or reading all of a topic may take, and how long to wait for an open transaction.
const TOPIC_PATIENCE: Duration = Duration::from_secs(60);
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A record to append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    /// None is a null value: a tombstone in a compacted topic.
    pub value: Option<Vec<u8>>,
    /// None: by the key's hash, murmur2 as Java's default partitioner has it.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; none: now.
    pub timestamp: Option<i64>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A keyed record with any bytes.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Record {
        Record { key: Some(key.into()), value: Some(value.into()), ..Record::default() }
    }

    /// A keyed record with a JSON value, written as briefly as it goes.
    pub fn json(key: impl Into<Vec<u8>>, value: &serde_json::Value) -> Record {
        Record::new(key, value.to_string())
    }

    /// A keyed record with a null value.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Record {
        Record { key: Some(key.into()), ..Record::default() }
    }

    /// In this partition, whatever the key says.
    pub fn at_partition(self, partition: i32) -> Record {
        Record { partition: Some(partition), ..self }
    }

    /// With this append time, in milliseconds since 1970.
    pub fn at_timestamp(self, timestamp: i64) -> Record {
        Record { timestamp: Some(timestamp), ..self }
    }

    /// The form that a producer takes; also for records sent within a transaction of the test's own.
    pub fn to<'a>(&'a self, topic: &'a str) -> BaseRecord<'a, [u8], [u8]> {
        let mut record = BaseRecord::to(topic);
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record.partition = self.partition;
        record.timestamp = self.timestamp;
        if !self.headers.is_empty() {
            let headers = self.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            record = record.headers(headers);
        }
        record
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// In the order of the record; a header without a value is empty.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Consumed {
    /// The key as text; panics where it is not.
    pub fn key_text(&self) -> &str {
        let key = self.key.as_deref().unwrap_or_else(|| panic!("record without a key: {self:?}"));
        std::str::from_utf8(key).unwrap_or_else(|_| panic!("key is not UTF-8: {self:?}"))
    }

    /// The value as text; panics where it is not.
    pub fn value_text(&self) -> &str {
        let value = self.value.as_deref().unwrap_or_else(|| panic!("record without a value: {self:?}"));
        std::str::from_utf8(value).unwrap_or_else(|_| panic!("value is not UTF-8: {self:?}"))
    }

    /// The value as JSON; panics where it is not.
    pub fn value_json(&self) -> serde_json::Value {
        let value = self.value.as_deref().unwrap_or_else(|| panic!("record without a value: {self:?}"));
        serde_json::from_slice(value).unwrap_or_else(|error| panic!("value is not JSON ({error}): {self:?}"))
    }

    /// The value of the first header of this name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// What compaction would leave: the last value of every key, without those that end in a tombstone.
pub fn compacted(records: &[Consumed]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut last = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap_or_default();
        match &record.value {
            Some(value) => last.insert(key, value.clone()),
            None => last.remove(&key),
        };
    }
    last
}

impl Client {
    /// Appends records to a topic, in order within each partition, without a transaction; back when the broker has all
    /// of them. About 200,000 small records a second.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<usize> {
        self.produce_with(topic, records, &[])
    }

    /// The same with other settings of the producer.
    pub fn produce_with(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Record>,
        settings: &[(&str, &str)],
    ) -> Result<usize> {
        let mut config = self.config();
        config
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.max.bytes", "20000000")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .set("delivery.report.only.error", "true");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let producer: BaseProducer<Failures> = config.create_with_context(Failures::default())?;
        let deadline = Instant::now() + TOPIC_PATIENCE;
        let mut count = 0;
        for record in records {
            let mut unsent = record.to(topic);
            loop {
                match producer.send(unsent) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => unsent = same,
                    Err((error, _)) => return Err(error).with_context(|| format!("append to {topic}")),
                }
                ensure!(
                    Instant::now() < deadline,
                    "the broker has not taken {count} records in {TOPIC_PATIENCE:?}"
                );
                producer.poll(POLL);
            }
            count += 1;
        }
        producer.flush(deadline.saturating_duration_since(Instant::now()))?;
        match producer.context().count.load(Ordering::Relaxed) {
            0 => Ok(count),
            failed => bail!("{failed} of {count} records were not appended to {topic}"),
        }
    }

    /// All committed records of a topic up to the high watermark at the time of the call, by partition and offset.
    /// Waits for transactions that are open there; fails if one stays open.
    pub fn read_committed(&self, topic: &str) -> Result<Vec<Consumed>> {
        let ends = self.high_watermarks(topic)?;
        let consumer = self.plain_consumer(Isolation::Committed)?;
        let deadline = Instant::now() + TOPIC_PATIENCE;
        for (partition, end) in (0..).zip(&ends) {
            while consumer.fetch_watermarks(topic, partition, REQUEST_PATIENCE)?.1 < *end {
                ensure!(
                    Instant::now() < deadline,
                    "an open transaction hides the end of {topic}/{partition} for {TOPIC_PATIENCE:?}"
                );
                // Nothing is assigned: this returns when its time is over.
                let _ = consumer.poll(POLL);
            }
        }
        self.read(topic, Isolation::Committed)
    }

    /// All records in a topic's log, those of open and aborted transactions too, by partition and offset.
    pub fn read_uncommitted(&self, topic: &str) -> Result<Vec<Consumed>> {
        self.read(topic, Isolation::Uncommitted)
    }

    /// Reads every partition from its first record to the end that the client library reports. The report says that
    /// the *position* is at the end, so a control record or an aborted one as the last is no obstacle.
    fn read(&self, topic: &str, isolation: Isolation) -> Result<Vec<Consumed>> {
        let consumer = self.plain_consumer(isolation)?;
        let mut unfinished = BTreeSet::new();
        let mut starts = Vec::new();
        for partition in 0..self.partition_count(topic)? {
            starts.push((topic, partition, consumer.fetch_watermarks(topic, partition, REQUEST_PATIENCE)?.0));
            unfinished.insert(partition);
        }
        consumer.assign(&offset_list(&starts)?)?;

        let deadline = Instant::now() + TOPIC_PATIENCE;
        let mut records = Vec::new();
        while !unfinished.is_empty() {
            match consumer.poll(POLL) {
                Some(Ok(message)) => records.push(consumed(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(unfinished.remove(&partition)),
                // One of several nodes may be gone; the others are asked.
                Some(Err(error)) if is_of_a_connection(&error) && Instant::now() < deadline => {}
                Some(Err(error)) => return Err(error).with_context(|| format!("read {topic}")),
                None => ensure!(
                    Instant::now() < deadline,
                    "{topic}: no end of {unfinished:?} in {TOPIC_PATIENCE:?}"
                ),
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }
}

fn is_of_a_connection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
    )
}

fn consumed(message: &impl Message) -> Consumed {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Consumed {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Counts the records that the broker refused.
#[derive(Default)]
struct Failures {
    count: AtomicU64,
}

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
