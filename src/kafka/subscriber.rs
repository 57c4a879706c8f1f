//! A consumer of the signals: what `demo` shows is what a subscriber gets.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::lookup::number;
use super::settings::{KafkaSettings, Layout};
use crate::stream::broker::BrokerError;
use crate::topic::{Output, Partition, Topic};

/// A reader of all partitions of the signals topic, from its beginning, in no group.
pub struct Subscriber {
    consumer: BaseConsumer<Callbacks>,
}

impl Subscriber {
    /// # Errors
    /// The client refuses to start.
    pub fn start(
        settings: &KafkaSettings,
        bootstrap_servers: &str,
        layout: &Layout,
    ) -> Result<Self, BrokerError> {
        let failed = |error| ClientError::from_kafka(Call::Create, &error);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers);
        // The client wants a name, although nothing is committed under it.
        config.set("group.id", "demo-subscriber");
        config.set("enable.auto.commit", "false");
        // A consumer needs this to see no signal twice. The mock cluster shows open transactions all the same.
        config.set("isolation.level", "read_committed");
        let consumer: BaseConsumer<Callbacks> =
            BaseConsumer::from_config_and_context(&config, Callbacks::new("subscriber", None))
                .map_err(failed)?;
        let topic = settings.topic_name(Topic::Output(Output::Signals));
        let mut list = TopicPartitionList::new();
        for partition in 0..layout.partitions {
            list.add_partition_offset(topic, number(Partition(partition)), Offset::Beginning)
                .map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        Ok(Self { consumer })
    }

    /// The value of the next signal, if one comes in time. An error of the client is passed over: the client logs it and goes on.
    pub fn next_value(&self, within: Duration) -> Option<Vec<u8>> {
        let record = self.consumer.poll(within)?.ok()?;
        record.payload().map(<[u8]>::to_vec)
    }
}
