//! The changelog read back: committed records only, to the high watermark, past whatever a crashed writer left.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;
use retention_signals::exit::Exit;
use retention_signals::kafka::KafkaLookup;
use retention_signals::stream::broker::{
    Broker, BrokerError, Lookup, Position, RecordBatch, Session, Stability, TaskStep, Watermark,
};
use retention_signals::stream::partition::BatchName;
use retention_signals::topic::{Output, Partition, Topic};

use super::{PATIENCE, Shop, edge, kept, offsets, open_producer, to_changelog, transact, until_done};
use crate::kafka::{self, KafkaNode};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_adapter::a_restore_passes_aborted_records", passes_aborted_records),
        kafka::on_shared_node(
            "kafka_adapter::a_restore_waits_for_an_open_transaction_to_be_ended",
            open_transaction,
        ),
        kafka::on_shared_node("kafka_adapter::a_restore_reads_every_record_once", reads_every_record_once),
        kafka::on_shared_node("kafka_adapter::a_restore_takes_what_is_at_hand", takes_what_is_at_hand),
        kafka::on_shared_node("kafka_adapter::a_restore_from_outside_of_the_log_stops", outside_of_the_log),
        kafka::on_shared_node("kafka_adapter::a_task_runs_beside_the_worker", task_runs_beside),
        kafka::on_shared_node("kafka_adapter::partitions_are_counted", partitions_are_counted),
    ]
}

const P0: Partition = Partition(0);
const CHANGELOG: Topic = Topic::Output(Output::Changelog);

/// Reads until the position has reached `end`, or until `patience` is over.
fn read_to(
    lookup: &mut KafkaLookup,
    partition: Partition,
    from: u64,
    end: u64,
    patience: Duration,
) -> Result<(Vec<String>, u64)> {
    let start = Instant::now();
    let mut values = Vec::new();
    let mut position = Position(from);
    while position.0 < end && start.elapsed() < patience {
        let step =
            lookup.read_log(Topic::Output(Output::Changelog), partition, position, Duration::from_millis(50));
        let (batch, behind) = match step {
            Err(BrokerError::Retry(_)) => continue,
            other => other?,
        };
        values.extend((0..batch.len()).map(|index| kept(batch.get(index)).value));
        assert!(behind >= position, "the position went back from {position} to {behind}");
        position = behind;
    }
    Ok((values, position.0))
}

fn passes_aborted_records(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 2)?;
    let mut broker = shop.sole_member()?;
    let next = offsets(P0, [0, 0, 0], "");
    transact(&mut broker, &[to_changelog(P0, "k", "first")], &next)?;
    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "aborted"))?;
    broker.flush(PATIENCE)?;
    until_done(|| broker.abort(Duration::from_secs(2)))?;
    transact(&mut broker, &[to_changelog(P0, "k", "second")], &next)?;
    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "aborted at the end"))?;
    broker.flush(PATIENCE)?;
    until_done(|| broker.abort(Duration::from_secs(2)))?;

    // Four records, each with a control record behind it; an abort returns before its own is written.
    let (end, start) = (8, Instant::now());
    while edge(&mut broker, Watermark::High, CHANGELOG, P0)? < end {
        ensure!(start.elapsed() < PATIENCE, "the last control record is not written");
    }
    let restored = read_to(broker.lookup(), P0, 0, end, PATIENCE)?;
    assert_eq!(restored, (vec!["first".to_owned(), "second".to_owned()], end));
    // From the middle, and from the end, where nothing is left to come.
    assert_eq!(read_to(broker.lookup(), P0, 4, end, PATIENCE)?, (vec!["second".to_owned()], end));
    assert_eq!(read_to(broker.lookup(), P0, end, end, PATIENCE)?, (vec![], end));
    broker.close(PATIENCE);
    Ok(())
}

/// The first writer stands for a crashed one: its transaction stays open until its id is initialised, which the
/// metadata of its last committed offset names.
fn open_transaction(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut crashed = shop.sole_member()?;
    let name = BatchName {
        transactional_id: crashed.transactional_id(),
        incarnation: crashed.incarnation(),
        number: 1,
    };
    let metadata = name.to_string();
    transact(&mut crashed, &[to_changelog(P0, "k", "committed")], &offsets(P0, [5, 5, 5], &metadata))?;
    crashed.begin()?;
    crashed.send(&to_changelog(P0, "k", "open"))?;
    crashed.flush(PATIENCE)?;
    let membership = crashed.membership()?;
    crashed.send_offsets(&offsets(P0, [6, 6, 6], "shop 2"), &membership, PATIENCE)?;

    let mut successor = shop.slot(1)?;
    let end = edge(&mut successor, Watermark::High, CHANGELOG, P0)?;
    assert_eq!((edge(&mut successor, Watermark::Stable, CHANGELOG, P0)?, end), (2, 3));
    assert_eq!(edge(&mut successor, Watermark::Low, CHANGELOG, P0)?, 0);
    let (values, position) = read_to(successor.lookup(), P0, 0, end, Duration::from_millis(500))?;
    assert_eq!((values, position), (vec!["committed".to_owned()], 2), "bounded by the last stable offset");

    let start = Instant::now();
    let outcome = successor.lookup().committed(&[P0], Stability::Stable, Duration::from_secs(1));
    assert!(matches!(outcome, Err(BrokerError::Retry(_))), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "blocked for {:?}", start.elapsed());
    let unstable = until_done(|| successor.lookup().committed(&[P0], Stability::Unstable, PATIENCE))?;
    let last = unstable[0].0[0].clone().expect("committed once");
    assert_eq!((last.position, last.metadata.as_str()), (Position(5), metadata.as_str()));

    let start = Instant::now();
    let name = BatchName::parse(&last.metadata).expect("the name of a batch");
    until_done(|| successor.lookup().end_transaction_of(name.transactional_id, Duration::from_secs(1)))?;
    let stable =
        until_done(|| successor.lookup().committed(&[P0], Stability::Stable, Duration::from_secs(1)))?;
    assert_eq!(stable[0].0[0], Some(last));
    let (values, position) = read_to(successor.lookup(), P0, 2, end, PATIENCE)?;
    assert_eq!((values, position >= end), (vec![], true));
    eprintln!("an open transaction was ended and read past in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(8), "the transaction time-out ended it, not the takeover");

    match crashed.commit(PATIENCE) {
        Err(BrokerError::OutcomeUnknown(..)) => {}
        other => bail!("the crashed one came back and got {other:?}"),
    }
    open_producer(&mut successor)?;
    crashed.close(PATIENCE);
    successor.close(PATIENCE);
    Ok(())
}

fn reads_every_record_once(node: &KafkaNode) -> Result<()> {
    const RECORDS: usize = 50_000;
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    let keys: Vec<String> = (0..RECORDS).map(|key| key.to_string()).collect();
    broker.begin()?;
    for key in &keys {
        until_done(|| broker.send(&to_changelog(P0, key, key)))?;
    }
    broker.flush(PATIENCE)?;
    let membership = broker.membership()?;
    broker.send_offsets(&offsets(P0, [0, 0, 0], ""), &membership, PATIENCE)?;
    broker.commit(PATIENCE)?;
    let end = edge(&mut broker, Watermark::High, CHANGELOG, P0)?;
    let start = Instant::now();
    let (values, _) = read_to(broker.lookup(), P0, 0, end, PATIENCE)?;
    eprintln!("{RECORDS} changelog records read in {:?}", start.elapsed());
    assert_eq!(values, keys);
    broker.close(PATIENCE);
    Ok(())
}

/// One record is there: a call that may wait for more gives it at once, and does not wait until it has a thousand.
fn takes_what_is_at_hand(node: &KafkaNode) -> Result<()> {
    const WITHIN: Duration = Duration::from_secs(30);
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    transact(&mut broker, &[to_changelog(P0, "k", "only")], &offsets(P0, [0, 0, 0], "shop 1"))?;
    // The broker writes the marker of a commit after it has answered, and readers see nothing before that.
    read_to(broker.lookup(), P0, 0, 2, PATIENCE)?;
    let start = Instant::now();
    let (batch, _) = broker.lookup().read_log(Topic::Output(Output::Changelog), P0, Position(0), WITHIN)?;
    assert_eq!(batch.len(), 1);
    assert!(start.elapsed() < WITHIN / 2, "one record took {:?}", start.elapsed());
    broker.close(PATIENCE);
    Ok(())
}

fn outside_of_the_log(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    transact(&mut broker, &[to_changelog(P0, "k", "v")], &offsets(P0, [0, 0, 0], ""))?;
    match read_to(broker.lookup(), P0, 100, 101, PATIENCE) {
        Err(error) => {
            let error = error.downcast::<BrokerError>()?;
            assert!(matches!(error, BrokerError::Stop(Exit::Configuration, _)), "{error:?}");
        }
        Ok(read) => bail!("read {read:?} from behind the end"),
    }
    broker.close(PATIENCE);
    Ok(())
}

/// Two restores at once, each with its own lookup, while the worker polls on.
fn task_runs_beside(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 2)?;
    let mut broker = shop.sole_member()?;
    for (partition, value) in [(P0, "of the first"), (Partition(1), "of the second")] {
        transact(&mut broker, &[to_changelog(partition, "k", value)], &offsets(partition, [0, 0, 0], ""))?;
    }
    let (sender, restored) = mpsc::channel();
    for partition in [P0, Partition(1)] {
        let sender = sender.clone();
        let mut position = Position(0);
        let task = move |lookup: &mut KafkaLookup| {
            let (batch, behind) = match lookup.read_log(
                Topic::Output(Output::Changelog),
                partition,
                position,
                Duration::from_millis(50),
            ) {
                Ok(read) => read,
                Err(error) => panic!("{error:?}"),
            };
            for index in 0..batch.len() {
                sender.send((partition, kept(batch.get(index)).value)).expect("the test listens");
            }
            position = behind;
            if position < Position(2) { TaskStep::Again } else { TaskStep::Done }
        };
        broker.spawn("restore", Box::new(task))?;
    }
    // This one never ends by itself: closing ends it.
    broker.spawn("endless", Box::new(|_| TaskStep::Again))?;
    drop(sender);
    let restored: BTreeMap<_, _> = restored.iter().collect();
    assert_eq!(restored[&P0], "of the first");
    assert_eq!(restored[&Partition(1)], "of the second");
    let start = Instant::now();
    broker.close(PATIENCE);
    assert!(start.elapsed() < PATIENCE / 2, "closing took {:?}", start.elapsed());
    Ok(())
}

fn partitions_are_counted(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 3)?;
    let mut broker = shop.slot(0)?;
    let topics: Vec<_> = Topic::all().collect();
    assert_eq!(until_done(|| broker.lookup().partition_counts(&topics, PATIENCE))?, [3; 7]);
    node.client().grow_topic(shop.name(CHANGELOG), 4)?;
    let start = Instant::now();
    while until_done(|| broker.lookup().partition_counts(&[CHANGELOG], PATIENCE))? != [4] {
        assert!(start.elapsed() < PATIENCE, "the growth is not seen");
    }
    node.client().delete_topic(shop.name(CHANGELOG))?;
    let outcome = loop {
        match broker.lookup().partition_counts(&[CHANGELOG], PATIENCE) {
            Ok(_) => assert!(start.elapsed() < PATIENCE, "the deletion is not seen"),
            Err(error) => break error,
        }
    };
    assert!(matches!(outcome, BrokerError::Stop(Exit::Configuration, _)), "{outcome:?}");
    broker.close(PATIENCE);
    Ok(())
}
