//! Transactions on a healthy broker: what is written, how fast, and who is fenced.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use libtest_mimic::Trial;
use retention_signals::exit::Exit;
use retention_signals::stream::broker::{
    Broker, BrokerError, Committed, Lookup, Membership, OutputRecord, Position, Session, Stability, Unknown,
};
use retention_signals::topic::{Input, Output, Partition, Topic};

use super::{PATIENCE, Shop, offsets, open_producer, to_changelog, transact, until_done};
use crate::kafka::{self, KafkaNode};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_adapter::a_commit_does_not_wait_for_polls", commit_is_fast),
        kafka::on_shared_node("kafka_adapter::records_arrive_as_they_were_sent", records_arrive),
        kafka::on_shared_node("kafka_adapter::offsets_and_their_text_are_read_back", offsets_are_read_back),
        kafka::on_shared_node("kafka_adapter::the_older_of_two_producers_is_fenced", older_is_fenced),
        kafka::on_shared_node("kafka_adapter::a_former_member_aborts", former_member_aborts),
        kafka::on_shared_node("kafka_adapter::offsets_that_fence_nothing_are_refused", fencing_is_required),
        kafka::on_shared_node("kafka_adapter::a_full_queue_is_flushed_and_goes_on", full_queue_goes_on),
        kafka::on_shared_node("kafka_adapter::many_records_are_flushed_to_the_last", many_are_flushed),
        kafka::on_shared_node("kafka_adapter::the_changelog_is_sent_without_compression", changelog_is_plain),
        kafka::on_shared_node("kafka_adapter::what_no_topic_takes_stops_before_it_is_sent", oversize_stops),
        kafka::on_shared_node("kafka_adapter::a_partition_that_is_not_there_stops", missing_partition_stops),
    ]
}

const P0: Partition = Partition(0);

/// The safe client's own commit takes 100 ms and more. Spaced like the service's, and without the first, for which the
/// client looks its coordinators up.
fn commit_is_fast(node: &KafkaNode) -> Result<()> {
    const TRANSACTIONS: usize = 40;
    const RECORDS: usize = 1_000;
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    let value = "v".repeat(200);
    let keys: Vec<String> = (0..RECORDS).map(|key| key.to_string()).collect();
    let mut took = Vec::new();
    for turn in 0..=TRANSACTIONS {
        let begin = Instant::now();
        broker.poll()?;
        broker.begin()?;
        for key in &keys {
            for output in [Output::Changelog, Output::Customers, Output::Signals] {
                let record = OutputRecord { output, ..to_changelog(P0, key, &value) };
                until_done(|| broker.send(&record))?;
            }
        }
        let sent = Instant::now();
        broker.flush(PATIENCE)?;
        let membership = broker.membership()?;
        let flushed = Instant::now();
        broker.send_offsets(&offsets(P0, [0, 0, 0], "t 1"), &membership, PATIENCE)?;
        let with_offsets = Instant::now();
        broker.commit(PATIENCE)?;
        if turn > 0 {
            took.push([flushed - sent, with_offsets - flushed, with_offsets.elapsed(), sent.elapsed()]);
        }
        while begin.elapsed() < Duration::from_millis(100) {
            broker.wait(Duration::from_millis(100).saturating_sub(begin.elapsed()));
        }
    }
    let quantile = |step: usize, per_cent: usize| {
        let mut of_step: Vec<_> = took.iter().map(|times| times[step]).collect();
        of_step.sort_unstable();
        of_step[of_step.len() * per_cent / 100]
    };
    for (step, name) in ["flush", "offsets", "commit", "all three"].into_iter().enumerate() {
        let (p50, p90) = (quantile(step, 50), quantile(step, 90));
        eprintln!("{TRANSACTIONS} transactions of {} records, {name}: p50 {p50:?} p90 {p90:?}", 3 * RECORDS);
    }
    assert!(quantile(3, 50) < Duration::from_millis(80), "p50 {:?}", quantile(3, 50));
    broker.close(PATIENCE);
    Ok(())
}

fn records_arrive(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 4)?;
    let mut broker = shop.sole_member()?;
    let headers: &[(&str, &[u8])] = &[("ce_id", b"1-2-3"), ("empty", b"")];
    let by_key = OutputRecord {
        output: Output::Signals,
        partition: None,
        key: Some(b"abc"),
        value: Some(b"{}"),
        headers,
    };
    let tombstone = OutputRecord { value: None, headers: &[], ..by_key };
    let empty_value = OutputRecord { value: Some(b""), ..tombstone };
    let records =
        [by_key, tombstone, empty_value, to_changelog(Partition(3), "k", "v"), to_changelog(P0, "k", "w")];
    transact(&mut broker, &records, &offsets(P0, [0, 0, 0], ""))?;

    let signals = node.client().read_committed(shop.name(Topic::Output(Output::Signals)))?;
    // Java's murmur2 of "abc" is 479,470,107, as Kafka's own test has it.
    assert!(signals.iter().all(|record| record.partition == 479_470_107 % 4));
    let values: Vec<_> = signals.iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(values, [Some(b"{}".as_slice()), None, Some(b"".as_slice())]);
    let headers: Vec<_> = signals.iter().map(|record| record.headers.len()).collect();
    assert_eq!(headers, [2, 0, 0]);
    assert_eq!((signals[0].header("ce_id"), signals[0].header("empty")), (Some("1-2-3"), Some("")));
    let changelog = node.client().read_committed(shop.name(Topic::Output(Output::Changelog)))?;
    let places: Vec<_> = changelog.iter().map(|record| (record.partition, record.value_text())).collect();
    assert_eq!(places, [(0, "w"), (3, "v")]);
    broker.close(PATIENCE);
    Ok(())
}

fn offsets_are_read_back(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 2)?;
    let mut broker = shop.sole_member()?;
    transact(&mut broker, &[to_changelog(P0, "seal", "1")], &offsets(P0, [7, 8, 9], "shop-one-0 41"))?;
    for stability in [Stability::Stable, Stability::Unstable] {
        let found =
            until_done(|| broker.lookup().committed(&[Partition(1), P0], stability, Duration::from_secs(1)))?;
        assert!(Input::ALL.iter().all(|&input| found[0][input].is_none()), "{stability:?}");
        for (input, position) in Input::ALL.into_iter().zip([7, 8, 9]) {
            let expected = Committed { position: Position(position), metadata: "shop-one-0 41".to_owned() };
            assert_eq!(found[1][input], Some(expected), "{stability:?}");
        }
    }
    broker.close(PATIENCE);
    Ok(())
}

fn older_is_fenced(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut older = shop.sole_member()?;
    older.begin()?;
    older.send(&to_changelog(P0, "k", "older"))?;
    older.flush(PATIENCE)?;

    let mut newer = shop.slot(0)?;
    open_producer(&mut newer)?;
    match older.commit(PATIENCE) {
        Err(BrokerError::OutcomeUnknown(Unknown::Fenced, _)) => {}
        other => bail!("the older one got {other:?}"),
    }
    let committed = node.client().read_committed(shop.name(Topic::Output(Output::Changelog)))?;
    assert_eq!(committed, [], "aborted by whoever took the id over");

    // The older one takes it back, and now the newer one notices while it sends.
    newer.begin()?;
    open_producer(&mut older)?;
    newer.send(&to_changelog(P0, "k", "newer"))?;
    match newer.flush(PATIENCE) {
        Err(BrokerError::OutcomeUnknown(Unknown::Fenced, _)) => {}
        other => bail!("the newer one got {other:?}"),
    }
    transact(&mut older, &[to_changelog(P0, "k", "older again")], &offsets(P0, [0, 0, 0], ""))?;
    newer.close(PATIENCE);
    older.close(PATIENCE);
    Ok(())
}

fn former_member_aborts(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    let stale = Membership { member: "left-long-ago".to_owned(), ..broker.membership()? };
    broker.begin()?;
    broker.send(&to_changelog(P0, "k", "stale"))?;
    broker.flush(PATIENCE)?;
    match broker.send_offsets(&offsets(P0, [1, 1, 1], ""), &stale, PATIENCE) {
        Err(BrokerError::AbortTransaction(_)) => {}
        other => bail!("offsets of a former member: {other:?}"),
    }
    until_done(|| broker.abort(Duration::from_secs(2)))?;
    transact(&mut broker, &[to_changelog(P0, "k", "fresh")], &offsets(P0, [1, 1, 1], ""))?;
    let committed = node.client().read_committed(shop.name(Topic::Output(Output::Changelog)))?;
    assert_eq!(committed.iter().map(|record| record.value_text()).collect::<Vec<_>>(), ["fresh"]);
    broker.close(PATIENCE);
    Ok(())
}

/// A broker accepts all of these without a look at the generation.
fn fencing_is_required(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    let current = broker.membership()?;
    let no_generation = Membership { generation: -1, ..current.clone() };
    let no_member = Membership { member: String::new(), ..current.clone() };
    let all = offsets(P0, [1, 1, 1], "");
    broker.begin()?;
    for (list, membership) in [(&all[..], &no_generation), (&all[..], &no_member), (&[][..], &current)] {
        let outcome = broker.send_offsets(list, membership, PATIENCE);
        assert!(matches!(outcome, Err(BrokerError::AbortTransaction(_))), "{membership:?}: {outcome:?}");
    }
    broker.close(PATIENCE);
    Ok(())
}

fn full_queue_goes_on(node: &KafkaNode) -> Result<()> {
    const RECORDS: usize = 100;
    let shop = Shop::create_with(node.client(), 1, &["kafka.queue.buffering.max.messages=10"])?;
    let mut broker = shop.sole_member()?;
    broker.begin()?;
    let mut full = 0;
    for key in 0..RECORDS {
        let key = key.to_string();
        until_done(|| {
            let outcome = broker.send(&to_changelog(P0, &key, "v"));
            if matches!(outcome, Err(BrokerError::Retry(_))) {
                full += 1;
                broker.flush(Duration::from_millis(100))?;
            }
            outcome
        })?;
    }
    assert!(full > 0, "the queue never filled");
    broker.flush(PATIENCE)?;
    let membership = broker.membership()?;
    broker.send_offsets(&offsets(P0, [0, 0, 0], ""), &membership, PATIENCE)?;
    broker.commit(PATIENCE)?;
    assert_eq!(node.client().read_committed(shop.name(Topic::Output(Output::Changelog)))?.len(), RECORDS);
    broker.close(PATIENCE);
    Ok(())
}

/// So many that they are flushed in moments: all of them wait for it, since no batch is full before.
fn many_are_flushed(node: &KafkaNode) -> Result<()> {
    const RECORDS: usize = 50_001;
    let shop = Shop::create_with(node.client(), 1, &["kafka.batch.num.messages=1000000"])?;
    let mut broker = shop.sole_member()?;
    let keys: Vec<String> = (0..RECORDS).map(|key| key.to_string()).collect();
    let records: Vec<OutputRecord<'_>> = keys.iter().map(|key| to_changelog(P0, key, "value")).collect();
    transact(&mut broker, &records, &offsets(P0, [0, 0, 0], ""))?;
    assert_eq!(node.client().read_committed(shop.name(Topic::Output(Output::Changelog)))?.len(), RECORDS);
    broker.close(PATIENCE);
    Ok(())
}

/// Unless the configuration chooses a compression.
fn changelog_is_plain(node: &KafkaNode) -> Result<()> {
    const BYTES: usize = 100_000;
    let value = "v".repeat(BYTES);
    for (chosen, is_plain) in [(&[][..], true), (&["kafka.compression.codec=lz4"][..], false)] {
        let shop = Shop::create_with(node.client(), 1, chosen)?;
        let mut broker = shop.sole_member()?;
        let outputs = [Output::Changelog, Output::Customers];
        let records = outputs.map(|output| OutputRecord { output, ..to_changelog(P0, "k", &value) });
        transact(&mut broker, &records, &offsets(P0, [0, 0, 0], ""))?;
        let on_disk = |output| node.bytes_on_disk(shop.name(Topic::Output(output)));
        let (changelog, customers) = (on_disk(Output::Changelog)?, on_disk(Output::Customers)?);
        assert_eq!(changelog > BYTES as u64, is_plain, "{chosen:?}: {changelog} B");
        assert!(customers < BYTES as u64 / 10, "{chosen:?}: {customers} B");
        broker.close(PATIENCE);
    }
    Ok(())
}

fn oversize_stops(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    let largest = "x".repeat(broker.record_bytes_max() - 1);
    transact(&mut broker, &[to_changelog(P0, "k", &largest)], &offsets(P0, [0, 0, 0], ""))?;
    broker.begin()?;
    let outcome = broker.send(&to_changelog(P0, "k", &"x".repeat(shop.layout.message_bytes_max)));
    assert!(matches!(outcome, Err(BrokerError::Stop(Exit::Data, _))), "{outcome:?}");
    broker.close(PATIENCE);
    Ok(())
}

fn missing_partition_stops(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    broker.begin()?;
    let outcome = broker.send(&to_changelog(Partition(1), "k", "v")).and_then(|()| broker.flush(PATIENCE));
    assert!(matches!(outcome, Err(BrokerError::Stop(Exit::Configuration, _))), "{outcome:?}");
    broker.close(PATIENCE);
    Ok(())
}
