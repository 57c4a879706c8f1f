//! The port over a real Kafka: that each call does what the port promises, and that none blocks without a bound.

mod group;
mod layout;
mod mock;
mod obstacles;
mod registry;
mod restore;
mod suite;
mod transactions;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;
use retention_signals::config::{Purpose, Sources, load};
use retention_signals::kafka::{KafkaBroker, KafkaSettings, Layout, SlotSettings, host_wall_clock};
use retention_signals::stream::broker::{
    Broker, BrokerError, Capabilities, GroupEvent, Lookup, NextOffset, OutputRecord, Position, RecordBatch,
    RecordView, Session, Watermark,
};
use retention_signals::topic::{Input, Output, Partition, PerInput, Topic};

use crate::kafka::Client;

/// Far above what any call takes that is not meant to block.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one look at the queues waits for something to come.
const TURN: Duration = Duration::from_millis(20);

pub fn trials() -> Vec<Trial> {
    [
        group::trials(),
        layout::trials(),
        mock::trials(),
        obstacles::trials(),
        registry::trials(),
        restore::trials(),
        suite::trials(),
        transactions::trials(),
        trouble::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The seven topics of a shop, and what slots on it are opened with.
struct Shop {
    client: Client,
    group: String,
    settings: Arc<KafkaSettings>,
    layout: Layout,
}

impl Shop {
    /// Creates the topics under names of their own.
    fn create(client: &Client, partitions: u32) -> Result<Self> {
        Self::create_with(client, partitions, &[])
    }

    /// With assignments of the configuration besides.
    fn create_with(client: &Client, partitions: u32, assignments: &[&str]) -> Result<Self> {
        let shop = Self::imagine_with(client, assignments)?.with_partitions(partitions);
        for topic in Topic::all() {
            let compacted = [("cleanup.policy", "compact")];
            let options: &[(&str, &str)] = match topic {
                Topic::Output(Output::Customers | Output::Changelog | Output::ShopMetrics)
                | Topic::Registry => &compacted,
                Topic::Input(_) | Topic::Output(Output::Signals | Output::DeadLetters | Output::Shares) => {
                    &[]
                }
            };
            client.create_topic(shop.name(topic), i32::try_from(partitions)?, options)?;
        }
        Ok(shop)
    }

    /// Without asking anybody whether there are such topics.
    fn imagine(client: &Client) -> Result<Self> {
        Self::imagine_with(client, &[])
    }

    fn imagine_with(client: &Client, assignments: &[&str]) -> Result<Self> {
        let application = client.unique_name("shop");
        let settings = settings(client, &application, "one", assignments)?;
        let capabilities = Capabilities { transactional_offsets: true, topic_configuration: true };
        let layout = Layout { partitions: 1, message_bytes_max: 1 << 20, capabilities };
        Ok(Self { client: client.clone(), group: application, settings: Arc::new(settings), layout })
    }

    fn with_partitions(mut self, partitions: u32) -> Self {
        self.layout.partitions = partitions;
        self
    }

    fn name(&self, topic: Topic) -> &str {
        self.settings.topic_name(topic)
    }

    fn slot(&self, slot: usize) -> Result<KafkaBroker> {
        let slot = SlotSettings {
            settings: Arc::clone(&self.settings),
            layout: self.layout,
            slot,
            wall: host_wall_clock(),
            troubles: Arc::default(),
        };
        Ok(KafkaBroker::open(slot, None)?)
    }

    /// A member that owns all partitions, has a producer and reads from the beginning.
    fn sole_member(&self) -> Result<KafkaBroker> {
        let mut broker = self.slot(0)?;
        open_producer(&mut broker)?;
        broker.subscribe()?;
        let partitions: Vec<_> = (0..self.layout.partitions).map(Partition).collect();
        let mut owned = Vec::new();
        while owned.len() < partitions.len() {
            if let GroupEvent::Assigned(assigned) = next_event(&mut broker)? {
                broker.assign(&assigned)?;
                owned.extend(assigned);
            }
        }
        for partition in partitions {
            read_from(&mut broker, partition, PerInput([Position(0); 3]))?;
        }
        Ok(broker)
    }
}

fn settings(
    client: &Client,
    application: &str,
    instance: &str,
    assignments: &[&str],
) -> Result<KafkaSettings> {
    let mut lines = vec![
        "shop.currency=EUR".to_owned(),
        "signals.history=publish".to_owned(),
        format!("application={application}"),
        format!("instance={instance}"),
        format!("kafka.bootstrap.servers={}", client.bootstrap_servers()),
    ];
    for topic in ["orders", "returns", "erasures", "signals", "customers", "dead_letters", "changelog"] {
        lines.push(format!("topics.{topic}={application}-{topic}"));
    }
    lines.extend(assignments.iter().map(|&line| line.to_owned()));
    let config = load(&Sources { assignments: lines, ..Sources::default() }, Purpose::Kafka)?;
    Ok(KafkaSettings::new(&config))
}

/// Makes the same call until it is done, as the port asks.
fn until_done<T>(mut call: impl FnMut() -> Result<T, BrokerError>) -> Result<T> {
    let start = Instant::now();
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(BrokerError::Retry(cause)) if start.elapsed() > PATIENCE => {
                bail!("still not done: {cause:#}")
            }
            Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn open_producer(broker: &mut KafkaBroker) -> Result<()> {
    until_done(|| broker.open_producer(Duration::from_secs(1))).context("open the producer")
}

fn read_from(broker: &mut KafkaBroker, partition: Partition, positions: PerInput<Position>) -> Result<()> {
    until_done(|| {
        broker.poll()?;
        broker.read_from(partition, positions)
    })
}

/// The next rebalance.
fn next_event(broker: &mut KafkaBroker) -> Result<GroupEvent> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(event) = broker.poll()? {
            return Ok(event);
        }
        broker.wait(TURN);
    }
    bail!("no rebalance in {PATIENCE:?}")
}

/// A record as a test keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    offset: u64,
    key: String,
    value: String,
}

fn kept(record: RecordView<'_>) -> Kept {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    Kept { offset: record.offset.0, key: text(record.key), value: text(record.value) }
}

/// The next `count` records of an input.
fn fetch(broker: &mut KafkaBroker, partition: Partition, input: Input, count: usize) -> Result<Vec<Kept>> {
    let start = Instant::now();
    let mut records = Vec::new();
    while records.len() < count && start.elapsed() < PATIENCE {
        if let Some(event) = broker.poll()? {
            bail!("a rebalance nobody expected: {event:?}");
        }
        match broker.fetch(partition, input, count - records.len())? {
            Some(batch) => records.extend((0..batch.len()).map(|index| kept(batch.get(index)))),
            None => broker.wait(TURN),
        }
    }
    Ok(records)
}

/// A record to the changelog of a partition.
fn to_changelog<'a>(partition: Partition, key: &'a str, value: &'a str) -> OutputRecord<'a> {
    OutputRecord {
        output: Output::Changelog,
        partition: Some(partition),
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
    }
}

/// Offsets of all inputs of a partition.
fn offsets(partition: Partition, positions: [u64; 3], metadata: &str) -> Vec<NextOffset<'_>> {
    let next =
        |input| NextOffset { input, partition, position: Position(positions[input as usize]), metadata };
    Input::ALL.map(next).to_vec()
}

/// A whole transaction: these changelog records and, for their partition, these next offsets.
fn transact(
    broker: &mut KafkaBroker,
    records: &[OutputRecord<'_>],
    next: &[NextOffset<'_>],
) -> Result<(), BrokerError> {
    broker.poll()?;
    broker.begin()?;
    for record in records {
        broker.send(record)?;
    }
    broker.flush(PATIENCE)?;
    let membership = broker.membership()?;
    broker.send_offsets(next, &membership, PATIENCE)?;
    broker.commit(PATIENCE)
}

/// An edge of one log.
fn edge(broker: &mut KafkaBroker, watermark: Watermark, topic: Topic, partition: Partition) -> Result<u64> {
    let edges =
        until_done(|| broker.lookup().watermarks(watermark, &[(topic, partition)], Duration::from_secs(1)))?;
    Ok(edges[0].0)
}
