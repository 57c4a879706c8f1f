//! Facts about where the client library starts to read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{PATIENCE, transactional_producer};
use crate::kafka::{self, Client, KafkaNode, Record, offset_list};

const POLL: Duration = Duration::from_millis(10);

/// How long an assignment stands in which the first answer about its offsets may come.
const ASSIGNED: Duration = Duration::from_millis(300);

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node(
            "kafka_facts::split_queues_are_paused_sought_and_resumed",
            paused_sought_resumed,
        ),
        kafka::on_shared_node(
            "kafka_facts::a_stored_start_behind_an_open_transaction_is_lost",
            stored_start_is_lost,
        ),
    ]
}

/// A topic of `partitions` with ten records in each.
fn topic_of_tens(client: &Client, partitions: i32) -> Result<String> {
    let topic = client.unique_name("orders");
    client.create_topic(&topic, partitions, &[])?;
    let record = |n| Record::new("key", "value").at_partition(n % partitions);
    client.produce(&topic, (0..10 * partitions).map(record))?;
    Ok(topic)
}

fn consumer(client: &Client, group: &str, settings: &[(&str, &str)]) -> Result<BaseConsumer> {
    let mut config = client.config();
    config.set("group.id", group).set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    Ok(config.create()?)
}

/// The way into a restored partition: assigned and paused at some offset, sought to the seal's, resumed. Nothing from
/// before is seen, and nothing leaks to the main queue.
fn paused_sought_resumed(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = topic_of_tens(client, 2)?;
    let consumer = Arc::new(consumer(client, "unused", &[("auto.offset.reset", "error")])?);
    let queues = [0, 1].map(|partition| consumer.split_partition_queue(&topic, partition));
    let assigned = offset_list(&[(&topic, 0, 0), (&topic, 1, 0)])?;
    consumer.assign(&assigned)?;
    consumer.pause(&assigned)?;
    let sought = consumer.seek_partitions(offset_list(&[(&topic, 0, 3), (&topic, 1, 5)])?, PATIENCE)?;
    for element in sought.elements() {
        element.error()?;
    }
    consumer.resume(&assigned)?;

    let mut read = [Vec::new(), Vec::new()];
    let deadline = Instant::now() + PATIENCE;
    while read[0].last() != Some(&9) || read[1].last() != Some(&9) {
        ensure!(Instant::now() < deadline, "read only {read:?}");
        for (offsets, queue) in read.iter_mut().zip(&queues) {
            let queue = queue.as_ref().context("a queue for each partition")?;
            if let Some(message) = queue.poll(POLL) {
                offsets.push(message?.offset());
            }
        }
        ensure!(consumer.poll(Duration::ZERO).is_none(), "a record leaked to the main queue");
    }
    assert_eq!(read, [(3..10).collect::<Vec<i64>>(), (5..10).collect()]);
    Ok(())
}

/// The reason why the service assigns at explicit offsets and never at the stored ones: a committed offset behind which
/// a transaction is open is not waited for once the assignment changes, and the reset policy takes its place.
fn stored_start_is_lost(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = topic_of_tens(client, 2)?;
    let group = client.unique_name("group");
    client.reset_group_offsets(&group, &[(&topic, 0, 5), (&topic, 1, 5)])?;
    let predecessor = transactional_producer(client, &client.unique_name("slot"), Duration::from_secs(60))?;
    predecessor.begin_transaction()?;
    let metadata = consumer(client, &group, &[])?.group_metadata().context("metadata of a group")?;
    predecessor.send_offsets_to_transaction(&offset_list(&[(&topic, 0, 7)])?, &metadata, PATIENCE)?;

    let settings = [("isolation.level", "read_committed"), ("auto.offset.reset", "earliest")];
    let successor = consumer(client, &group, &settings)?;
    let (mut one, mut both) = (TopicPartitionList::new(), TopicPartitionList::new());
    one.add_partition_offset(&topic, 0, Offset::Stored)?;
    both.add_partition_offset(&topic, 0, Offset::Stored)?;
    both.add_partition_offset(&topic, 1, Offset::Stored)?;

    // The assignment has to change while the question about the offset is unanswered, so it changes until it did.
    let deadline = Instant::now() + PATIENCE;
    let first = 'assigned: loop {
        ensure!(Instant::now() < deadline, "the stored offset is waited for");
        for assignment in [&one, &both] {
            successor.assign(assignment)?;
            let slice = Instant::now() + ASSIGNED;
            while Instant::now() < slice {
                match successor.poll(POLL).transpose()? {
                    Some(message) if message.partition() == 0 => break 'assigned message.offset(),
                    Some(_) | None => {}
                }
            }
        }
    };
    assert_eq!(first, 0, "neither the committed 5 nor the pending 7");
    predecessor.abort_transaction(PATIENCE)?;
    Ok(())
}
