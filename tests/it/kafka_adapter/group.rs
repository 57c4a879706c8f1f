//! Membership: siblings move together, kept partitions go on, leaving is announced.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use libtest_mimic::Trial;
use rdkafka::producer::{BaseProducer, Producer};
use retention_signals::exit::Exit;
use retention_signals::kafka::KafkaBroker;
use retention_signals::stream::broker::{Broker, BrokerError, GroupEvent, Position, RecordBatch, Session};
use retention_signals::topic::{Input, Partition, PerInput, Topic};

use super::{PATIENCE, Shop, TURN, fetch, kept, read_from, until_done};
use crate::kafka::{self, KafkaNode, Record};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_adapter::a_sole_member_reads_every_input", sole_member_reads),
        kafka::on_shared_node("kafka_adapter::nothing_is_fetched_before_it_is_asked_for", nothing_before),
        kafka::on_shared_node(
            "kafka_adapter::progress_passes_control_records",
            progress_passes_control_records,
        ),
        kafka::on_shared_node("kafka_adapter::siblings_move_together_and_the_rest_goes_on", siblings_move),
        kafka::on_shared_node("kafka_adapter::a_position_outside_of_the_log_stops", outside_of_the_log),
        kafka::on_shared_node("kafka_adapter::leaving_is_told_at_once", leaving_is_told),
        kafka::on_shared_node("kafka_adapter::the_waker_ends_a_wait", waker_ends_a_wait),
    ]
}

const P0: Partition = Partition(0);

fn produce(shop: &Shop, input: Input, partition: i32, values: &[&str]) -> Result<()> {
    let records = values.iter().map(|&value| Record::new(value, value).at_partition(partition));
    shop.client.produce(shop.name(Topic::Input(input)), records)?;
    Ok(())
}

fn values(records: &[super::Kept]) -> Vec<&str> {
    records.iter().map(|record| record.value.as_str()).collect()
}

fn sole_member_reads(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 2)?;
    produce(&shop, Input::Orders, 0, &["o1", "o2", "o3"])?;
    produce(&shop, Input::Returns, 0, &["r1"])?;
    produce(&shop, Input::Erasures, 1, &["e1", "e2"])?;
    let mut broker = shop.sole_member()?;
    let membership = broker.membership()?;
    assert!(membership.is_fencing(), "{membership:?}");
    let first = fetch(&mut broker, P0, Input::Orders, 2)?;
    assert_eq!((values(&first), first[1].offset), (vec!["o1", "o2"], 1));
    assert_eq!(values(&fetch(&mut broker, P0, Input::Orders, 1)?), ["o3"]);
    assert_eq!(values(&fetch(&mut broker, P0, Input::Returns, 1)?), ["r1"]);
    assert_eq!(values(&fetch(&mut broker, Partition(1), Input::Erasures, 2)?), ["e1", "e2"]);
    let progress = broker.progress(P0, Input::Orders)?;
    assert_eq!((progress.position, progress.high_watermark), (Position(3), Some(Position(3))));

    // Again from the second one: what was fetched does not come.
    produce(&shop, Input::Orders, 0, &["o4"])?;
    read_from(&mut broker, P0, PerInput([Position(1), Position(1), Position(0)]))?;
    assert_eq!(broker.progress(P0, Input::Orders)?.position, Position(1));
    assert_eq!(values(&fetch(&mut broker, P0, Input::Orders, 3)?), ["o2", "o3", "o4"]);

    // What comes while it is paused comes after.
    broker.pause(P0)?;
    produce(&shop, Input::Orders, 0, &["o5"])?;
    read_from(&mut broker, P0, PerInput([Position(4), Position(1), Position(0)]))?;
    assert_eq!(values(&fetch(&mut broker, P0, Input::Orders, 1)?), ["o5"]);
    broker.close(PATIENCE);
    Ok(())
}

fn nothing_before(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    produce(&shop, Input::Orders, 0, &["o1"])?;
    let mut broker = shop.slot(0)?;
    broker.subscribe()?;
    broker_assigned(&mut broker)?;
    // The same client fetches other partitions within milliseconds, so a second is long.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        broker.poll()?;
        assert!(broker.fetch(P0, Input::Orders, 10)?.is_none(), "fetched before it was asked for");
        broker.wait(TURN);
    }
    assert_eq!(broker.progress(P0, Input::Orders)?.high_watermark, None);
    read_from(&mut broker, P0, PerInput([Position(0); 3]))?;
    assert_eq!(values(&fetch(&mut broker, P0, Input::Orders, 1)?), ["o1"]);
    broker.close(PATIENCE);
    Ok(())
}

/// Takes up what is assigned until it is everything of a one-partition shop.
fn broker_assigned(broker: &mut KafkaBroker) -> Result<()> {
    loop {
        if let GroupEvent::Assigned(partitions) = super::next_event(broker)? {
            broker.assign(&partitions)?;
            if !partitions.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The last offset of a transactional input is a control record: no record ever stands there.
fn progress_passes_control_records(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut config = node.client().config();
    config.set("transactional.id", node.client().unique_name("input"));
    let producer: BaseProducer = config.create()?;
    producer.init_transactions(PATIENCE)?;
    for (value, is_committed) in [("kept", true), ("dropped", false)] {
        producer.begin_transaction()?;
        let record = Record::new("k", value).at_partition(0);
        producer.send(record.to(shop.name(Topic::Input(Input::Orders)))).map_err(|(error, _)| error)?;
        producer.flush(PATIENCE)?;
        if is_committed {
            producer.commit_transaction(PATIENCE)?;
        } else {
            producer.abort_transaction(PATIENCE)?;
        }
    }
    let mut broker = shop.sole_member()?;
    assert_eq!(values(&fetch(&mut broker, P0, Input::Orders, 1)?), ["kept"]);
    let start = Instant::now();
    loop {
        broker.poll()?;
        assert!(broker.fetch(P0, Input::Orders, 10)?.is_none(), "an aborted record was fetched");
        let progress = broker.progress(P0, Input::Orders)?;
        if progress.position == Position(4) {
            assert_eq!(progress.high_watermark, Some(Position(4)));
            break;
        }
        assert!(start.elapsed() < PATIENCE, "stuck at {progress:?}");
        broker.wait(TURN);
    }
    broker.close(PATIENCE);
    Ok(())
}

/// One of two members, with what it owns and what it has read.
struct Reader {
    broker: KafkaBroker,
    owned: BTreeSet<Partition>,
    revoked: BTreeSet<Partition>,
    read: Vec<(Partition, Input, String)>,
}

impl Reader {
    fn join(shop: &Shop, slot: usize) -> Result<Self> {
        let mut broker = shop.slot(slot)?;
        broker.subscribe()?;
        Ok(Self { broker, owned: BTreeSet::new(), revoked: BTreeSet::new(), read: Vec::new() })
    }

    /// Acts on rebalances and reads what is at hand.
    fn turn(&mut self) -> Result<()> {
        match self.broker.poll()? {
            Some(GroupEvent::Assigned(partitions)) => {
                self.broker.assign(&partitions)?;
                for &partition in &partitions {
                    read_from(&mut self.broker, partition, PerInput([Position(0); 3]))?;
                }
                self.owned.extend(partitions);
            }
            Some(GroupEvent::Revoked(partitions)) => {
                self.broker.unassign(&partitions)?;
                self.owned.retain(|owned| !partitions.contains(owned));
                self.revoked.extend(partitions);
            }
            Some(GroupEvent::Lost(partitions)) => bail!("lost {partitions:?}"),
            None => {}
        }
        for &partition in &self.owned {
            for input in Input::ALL {
                while let Some(batch) = self.broker.fetch(partition, input, 100)? {
                    let values = (0..batch.len()).map(|index| kept(batch.get(index)).value);
                    self.read.extend(values.map(|value| (partition, input, value)));
                }
            }
        }
        self.broker.wait(TURN);
        Ok(())
    }
}

fn siblings_move(node: &KafkaNode) -> Result<()> {
    const PARTITIONS: u32 = 4;
    let shop = Shop::create(node.client(), PARTITIONS)?;
    let mut first = Reader::join(&shop, 0)?;
    let start = Instant::now();
    while first.owned.len() < 4 {
        first.turn()?;
        assert!(start.elapsed() < PATIENCE, "owns {:?}", first.owned);
    }
    let mut second = Reader::join(&shop, 1)?;
    let start = Instant::now();
    let mut round = 0;
    // Records keep coming while the partitions move, into every input of every partition.
    let producer: BaseProducer = node.client().config().create()?;
    while first.owned.len() != 2 || second.owned.len() != 2 || round < 20 {
        let record = Record::new("k", format!("v{round}"));
        for partition in 0..i32::try_from(PARTITIONS)? {
            let record = record.clone().at_partition(partition);
            for input in Input::ALL {
                producer.send(record.to(shop.name(Topic::Input(input)))).map_err(|(error, _)| error)?;
            }
        }
        producer.flush(PATIENCE)?;
        round += 1;
        first.turn()?;
        second.turn()?;
        assert!(start.elapsed() < PATIENCE, "{:?} and {:?}", first.owned, second.owned);
    }
    assert!(first.owned.is_disjoint(&second.owned));
    assert_eq!(first.revoked, second.owned, "only what moves is revoked");
    assert_eq!(second.revoked, BTreeSet::new());

    // Every owner has every record of its partitions, of all inputs, and a kept one without a gap.
    let missing = |reader: &Reader| {
        let wanted = reader.owned.iter().flat_map(|&partition| {
            Input::ALL
                .into_iter()
                .flat_map(move |input| (0..round).map(move |round| (partition, input, format!("v{round}"))))
        });
        let read: BTreeSet<_> = reader.read.iter().cloned().collect();
        wanted.filter(|record| !read.contains(record)).count()
    };
    let start = Instant::now();
    while missing(&first) + missing(&second) > 0 {
        first.turn()?;
        second.turn()?;
        assert!(start.elapsed() < PATIENCE, "{} and {} records missing", missing(&first), missing(&second));
    }

    // The first one leaves, and the second one takes all over.
    first.broker.close(PATIENCE);
    let start = Instant::now();
    while second.owned.len() < 4 {
        second.turn()?;
        assert!(start.elapsed() < PATIENCE, "owns {:?}", second.owned);
    }
    eprintln!("hand-over after leaving: {:?}", start.elapsed());
    second.broker.close(PATIENCE);
    Ok(())
}

fn outside_of_the_log(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.sole_member()?;
    read_from(&mut broker, P0, PerInput([Position(1_000), Position(0), Position(0)]))?;
    let start = Instant::now();
    let outcome = loop {
        broker.poll()?;
        match broker.fetch(P0, Input::Orders, 10) {
            Ok(None) if start.elapsed() < PATIENCE => broker.wait(TURN),
            other => break other.map(|batch| batch.is_some()),
        }
    };
    assert!(matches!(outcome, Err(BrokerError::Stop(Exit::Configuration, _))), "{outcome:?}");
    broker.close(PATIENCE);
    Ok(())
}

fn leaving_is_told(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let broker = shop.sole_member()?;
    let (state, members) = node.client().group_state(&shop.group)?;
    assert_eq!((state.as_str(), members), ("Stable", 1));
    let start = Instant::now();
    broker.close(PATIENCE);
    eprintln!("left the group in {:?}", start.elapsed());
    assert_eq!(until_done(|| Ok(node.client().group_state(&shop.group).map(|(_, members)| members)))??, 0);
    Ok(())
}

fn waker_ends_a_wait(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node.client(), 1)?;
    let mut broker = shop.slot(0)?;
    let waker = broker.waker();
    waker();
    let start = Instant::now();
    broker.wait(PATIENCE);
    assert!(start.elapsed() < PATIENCE / 2, "the wait did not end");
    broker.close(PATIENCE);
    Ok(())
}
