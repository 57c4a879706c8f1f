//! The adapter on the in-process mock cluster, as `demo` uses it. This proves the wiring only: the mock's transactions do
//! not abort, and it forgets their offsets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use libtest_mimic::Trial;
use retention_signals::kafka::{InputRecord, MockCluster};
use retention_signals::stream::broker::{
    Broker, Lookup, Position, RecordBatch, Session, Stability, Watermark,
};
use retention_signals::topic::{Input, Output, Partition, Topic};

use super::{PATIENCE, Shop, edge, fetch, offsets, settings, to_changelog, transact, until_done};
use crate::kafka::Client;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("kafka_adapter::a_slot_works_on_the_mock_cluster", || Ok(slot_on_mock()?))]
}

const P1: Partition = Partition(1);

fn slot_on_mock() -> Result<()> {
    let cluster = MockCluster::start()?;
    let client = Client::new(&cluster.bootstrap_servers());
    let settings = Arc::new(settings(&client, "demo", "one", &[])?);
    let layout = cluster.create_topics(&settings, 4)?;
    let shop = Shop { client, group: "demo".to_owned(), settings, layout };
    let orders = shop.name(Topic::Input(Input::Orders));
    // Java's murmur2 of "21" is −973,932,308, as Kafka's own test has it.
    let record = InputRecord {
        topic: orders,
        key: Some(b"21"),
        value: b"{}",
        header: None,
        timestamp_ms: 1_291_191_900_000,
    };
    cluster.produce(&record)?;
    cluster.flush(PATIENCE)?;
    let partition = Partition(u32::try_from((-973_932_308_i32 & i32::MAX) % 4)?);

    let start = Instant::now();
    let mut broker = shop.sole_member()?;
    eprintln!("the only member had everything after {:?}", start.elapsed());
    assert!(!broker.capabilities().transactional_offsets && !broker.capabilities().topic_configuration);
    let records = fetch(&mut broker, partition, Input::Orders, 1)?;
    assert_eq!((records[0].key.as_str(), records[0].value.as_str()), ("21", "{}"));

    transact(&mut broker, &[to_changelog(P1, "k", "v")], &offsets(P1, [1, 0, 0], "demo-one-0 1"))?;
    let changelog = Topic::Output(Output::Changelog);
    let end = edge(&mut broker, Watermark::High, changelog, P1)?;
    let mut position = Position(0);
    let mut values = Vec::new();
    while position.0 < end {
        let lookup = broker.lookup();
        let (batch, behind) = until_done(|| {
            lookup.read_log(Topic::Output(Output::Changelog), P1, position, Duration::from_millis(50))
        })?;
        values.extend((0..batch.len()).map(|index| super::kept(batch.get(index)).value));
        position = behind;
    }
    assert_eq!(values, ["v"]);
    let committed = until_done(|| broker.lookup().committed(&[P1], Stability::Unstable, PATIENCE))?;
    assert_eq!(committed[0].0, [None, None, None], "if the mock keeps them now, demo may start from them");
    broker.close(PATIENCE);
    Ok(())
}
