//! The client's own mock cluster, in this process: for `demo`, not for proofs. It keeps no offsets of transactions, aborts
//! nothing and compacts nothing.

#![expect(unsafe_code, reason = "the safe client cannot shorten the wait for a group's members")]

use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka_sys as sys;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::settings::{KafkaSettings, Layout};
use crate::stream::broker::{BrokerError, Capabilities};
use crate::topic::Topic;

/// A cluster of one broker that lives as long as this, and a producer of inputs.
pub struct MockCluster {
    client: BaseProducer<Callbacks>,
}

/// A record for an input, or for a topic of webhooks.
#[derive(Clone, Copy, Debug)]
pub struct InputRecord<'a> {
    pub topic: &'a str,
    /// None for a guest's.
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub header: Option<(&'a str, &'a [u8])>,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

impl MockCluster {
    /// Starts it on free ports of loopback.
    ///
    /// # Errors
    /// The system has no ports or threads left.
    pub fn start() -> Result<Self, BrokerError> {
        let mut config = ClientConfig::new();
        config
            .set("test.mock.num.brokers", "1")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("delivery.report.only.error", "true");
        let client = BaseProducer::from_config_and_context(&config, Callbacks::new("mock cluster", None))
            .map_err(|error| ClientError::from_kafka(Call::Create, &error))?;
        // SAFETY: the cluster belongs to the client, which is alive; a null one is refused below.
        unsafe {
            let cluster = sys::rd_kafka_handle_mock_cluster(client.client().native_ptr());
            if cluster.is_null() {
                return Err(ClientError::new(Call::Create, RDKafkaErrorCode::Fail).into());
            }
            // There is one member, so the group need not wait for others; the default is three seconds.
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
        Ok(Self { client })
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        let cluster = self.client.client().mock_cluster().expect("looked at when it started");
        cluster.bootstrap_servers()
    }

    /// Creates all topics.
    ///
    /// # Errors
    /// One of them is there already.
    pub fn create_topics(&self, settings: &KafkaSettings, partitions: u32) -> Result<Layout, BrokerError> {
        let cluster = self.client.client().mock_cluster().expect("looked at when it started");
        let count =
            i32::try_from(partitions).map_err(|error| BrokerError::stop(crate::exit::Exit::Usage, error))?;
        let raw_topics = settings.raw_topics.iter().map(String::as_str);
        for name in Topic::all().map(|topic| settings.topic_name(topic)).chain(raw_topics) {
            cluster
                .create_topic(name, count, 1)
                .map_err(|error| ClientError::from_kafka(Call::Create, &error))?;
        }
        let capabilities = Capabilities { transactional_offsets: false, topic_configuration: false };
        Ok(Layout { partitions, message_bytes_max: 1_000_000, capabilities })
    }

    /// Queues a record. A full queue is a [`BrokerError::Retry`]: flush, then send again.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn produce(&self, record: &InputRecord<'_>) -> Result<(), BrokerError> {
        let mut outgoing = BaseRecord::to(record.topic).payload(record.value).timestamp(record.timestamp_ms);
        outgoing.key = record.key;
        outgoing.headers =
            record.header.map(|(key, value)| OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        self.client.poll(Duration::ZERO);
        self.client.send(outgoing).map_err(|(error, _)| ClientError::from_kafka(Call::Send, &error).into())
    }

    /// Waits until everything that was produced is there.
    pub fn flush(&self, within: Duration) -> Result<(), BrokerError> {
        self.client.flush(within).map_err(|error| ClientError::from_kafka(Call::Query, &error).into())
    }
}
