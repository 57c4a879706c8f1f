//! Facts about transactions and their producers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{PATIENCE, append, classified, transaction_error, transactional_producer};
use crate::kafka::{self, Client, Consumed, Isolation, KafkaNode, Record};

const MINUTE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_facts::control_records_take_offsets", control_records_take_offsets),
        kafka::on_shared_node(
            "kafka_facts::an_open_transaction_hides_what_lies_behind",
            open_transaction_hides,
        ),
        kafka::on_shared_node("kafka_facts::a_newer_producer_fences_the_older", newer_producer_fences),
        kafka::on_shared_node(
            "kafka_facts::a_timeout_looks_like_fencing_without_a_rival",
            timeout_looks_like_fencing,
        ),
        kafka::on_own_node(
            "kafka_facts::a_commit_in_slices_outlives_a_silent_broker",
            commit_outlives_silence,
        ),
    ]
}

fn values(records: &[Consumed]) -> Vec<(i64, &str)> {
    records.iter().map(|record| (record.offset, record.value_text())).collect()
}

fn control_records_take_offsets(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("signals");
    client.create_topic(&topic, 1, &[])?;
    let producer = transactional_producer(client, &client.unique_name("slot"), MINUTE)?;
    for (value, is_committed) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        producer.begin_transaction()?;
        append(&producer, &topic, 0, value)?;
        if is_committed {
            producer.commit_transaction(PATIENCE)?;
        } else {
            producer.abort_transaction(PATIENCE)?;
        }
    }

    assert_eq!(values(&client.read_committed(&topic)?), [(0, "a"), (4, "c")]);
    assert_eq!(values(&client.read_uncommitted(&topic)?), [(0, "a"), (2, "b"), (4, "c"), (6, "d")]);
    // The end is behind the last control record: no record `end - 1` will ever be read.
    assert_eq!(client.high_watermarks(&topic)?, [8]);
    Ok(())
}

/// A restore bounded by the last stable offset would miss the committed record.
fn open_transaction_hides(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("changelog");
    client.create_topic(&topic, 1, &[])?;
    let crashed = transactional_producer(client, &client.unique_name("crashed"), MINUTE)?;
    crashed.begin_transaction()?;
    append(&crashed, &topic, 0, "open")?;
    let other = transactional_producer(client, &client.unique_name("other"), MINUTE)?;
    other.begin_transaction()?;
    append(&other, &topic, 0, "committed")?;
    other.commit_transaction(PATIENCE)?;

    assert_eq!(client.high_watermarks(&topic)?, [3]);
    assert_eq!(client.last_stable_offsets(&topic)?, [0]);
    // One request for the ends of many partitions follows the isolation level in the same way.
    assert_eq!(end_by_time(client, &topic, Isolation::Uncommitted)?, Offset::Offset(3));
    assert_eq!(end_by_time(client, &topic, Isolation::Committed)?, Offset::Offset(0));

    crashed.abort_transaction(PATIENCE)?;
    assert_eq!(values(&client.read_committed(&topic)?), [(1, "committed")]);
    Ok(())
}

fn end_by_time(client: &Client, topic: &str, isolation: Isolation) -> Result<Offset> {
    let mut ends = TopicPartitionList::new();
    ends.add_partition_offset(topic, 0, Offset::End)?;
    let ends = client.plain_consumer(isolation)?.offsets_for_times(ends, PATIENCE)?;
    Ok(ends.elements()[0].offset())
}

fn newer_producer_fences(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("signals");
    let slot = client.unique_name("slot");
    client.create_topic(&topic, 1, &[])?;
    let older = transactional_producer(client, &slot, MINUTE)?;
    older.begin_transaction()?;
    append(&older, &topic, 0, "of the older")?;

    let start = Instant::now();
    let newer = transactional_producer(client, &slot, MINUTE)?;
    // What the older left open is aborted at once, long before its timeout.
    ensure!(start.elapsed() < MINUTE / 4, "initialising took {:?}", start.elapsed());
    assert_eq!(client.last_stable_offsets(&topic)?, client.high_watermarks(&topic)?);

    let error = transaction_error(older.commit_transaction(PATIENCE))?;
    assert_eq!(classified(&error), (RDKafkaErrorCode::Fenced, false, false, true));

    newer.begin_transaction()?;
    append(&newer, &topic, 0, "of the newer")?;
    newer.commit_transaction(PATIENCE)?;
    assert_eq!(values(&client.read_committed(&topic)?), [(2, "of the newer")]);
    Ok(())
}

/// The reason why an error that says "fenced" is an unknown outcome and not the sign of another process.
fn timeout_looks_like_fencing(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let topic = client.unique_name("signals");
    client.create_topic(&topic, 1, &[])?;
    let producer = transactional_producer(client, &client.unique_name("slot"), Duration::from_secs(1))?;
    producer.begin_transaction()?;
    append(&producer, &topic, 0, "too slow")?;

    // Returns when the broker has aborted the transaction by itself.
    assert_eq!(values(&client.read_committed(&topic)?), []);
    let error = transaction_error(producer.commit_transaction(PATIENCE))?;
    assert_eq!(classified(&error), (RDKafkaErrorCode::Fenced, false, false, true));
    Ok(())
}

/// The same call, repeated while its error is retriable, resumes; the record is there once.
fn commit_outlives_silence() -> Result<()> {
    let mut node = KafkaNode::start()?;
    let client = node.client().clone();
    client.create_topic("signals", 1, &[])?;
    let producer = transactional_producer(&client, "slot", MINUTE)?;
    producer.begin_transaction()?;
    append(&producer, "signals", 0, "late")?;

    node.pause();
    for _ in 0..3 {
        let error = transaction_error(producer.commit_transaction(Duration::from_millis(200)))?;
        assert_eq!(classified(&error), (RDKafkaErrorCode::OperationTimedOut, true, false, false));
    }
    node.resume();
    producer.commit_transaction(PATIENCE)?;
    assert_eq!(values(&client.read_committed("signals")?), [(0, "late")]);

    producer.begin_transaction()?;
    producer.send(Record::new("key", "next").to("signals")).map_err(|(error, _)| error)?;
    producer.commit_transaction(PATIENCE)?;
    assert_eq!(values(&client.read_committed("signals")?), [(0, "late"), (2, "next")]);
    Ok(())
}
