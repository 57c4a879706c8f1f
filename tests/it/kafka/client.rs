//! What a test does with Kafka besides the service: topics, records in, records out, offsets of a group.
//!
//! Every call is bounded and opens its own connection, so nothing is shared between trials and nothing lingers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
    TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long one request to a node that is up may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// How long a question to a node that may be down waits for an answer.
const METADATA_PATIENCE: Duration = Duration::from_millis(500);

/// A partition of a topic.
pub type TopicPartition = (String, i32);

/// An offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// What was committed beside it.
    pub metadata: String,
}

/// Access to the cluster behind one address; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    bootstrap_servers: String,
}

impl Client {
    /// Access to the cluster at `bootstrap_servers`, without asking it yet.
    pub fn new(bootstrap_servers: &str) -> Client {
        Client { bootstrap_servers: bootstrap_servers.to_owned() }
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// `stem` with a number that no other call in this test run gets: for topics, groups and ids on a shared node.
    pub fn unique_name(&self, stem: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The settings that every handle on this cluster starts from; a short reconnection pause, because tests take
    /// nodes down and up.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200")
            .set("topic.metadata.refresh.fast.interval.ms", "50");
        config
    }

    /// A topic with `settings` as the broker names them, for example `("cleanup.policy", "compact")`; back when
    /// every partition can be used.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let admin = self.admin()?;
        check_all(block_on(admin.create_topics([&topic], &AdminOptions::new()))?)
            .with_context(|| format!("create topic {name}"))?;
        self.wait_for_partitions(name, partitions)
    }

    /// Grows a topic to `partitions`.
    pub fn grow_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let count = usize::try_from(partitions)?;
        let admin = self.admin()?;
        check_all(block_on(
            admin.create_partitions([&NewPartitions::new(name, count)], &AdminOptions::new()),
        )?)
        .with_context(|| format!("grow topic {name}"))?;
        self.wait_for_partitions(name, partitions)
    }

    /// Deletes a topic and its records.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        check_all(block_on(self.admin()?.delete_topics(&[name], &AdminOptions::new()))?)
            .with_context(|| format!("delete topic {name}"))
    }

    /// Changes one setting of a topic; its other settings return to their defaults.
    pub fn alter_topic(&self, name: &str, setting: &str, value: &str) -> Result<()> {
        let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(setting, value);
        for result in block_on(self.admin()?.alter_configs([&change], &AdminOptions::new()))? {
            result.map_err(|(_, code)| anyhow!("set {setting}={value} of {name}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes the records of each partition below an offset; −1 stands for the end.
    pub fn delete_records(&self, topic: &str, partitions: u32, before: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions)? {
            let before = if before < 0 { Offset::End } else { Offset::Offset(before) };
            list.add_partition_offset(topic, partition, before)?;
        }
        let left = block_on(self.admin()?.delete_records(&list, &AdminOptions::new()))?;
        left.elements().iter().try_for_each(|element| element.error()).with_context(|| format!("cut {topic}"))
    }

    /// How many partitions a topic has; an error if there is no such topic.
    pub fn partition_count(&self, topic: &str) -> Result<i32> {
        let metadata =
            self.plain_consumer(Isolation::Uncommitted)?.fetch_metadata(Some(topic), REQUEST_PATIENCE)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.with_context(|| format!("topic {topic} is not in the answer"))?;
        ensure!(found.error().is_none(), "topic {topic}: {:?}", found.error());
        Ok(i32::try_from(found.partitions().len())?)
    }

    /// How many replicas of each partition of a topic are in sync, at the least.
    pub fn in_sync_replicas(&self, topic: &str) -> Result<usize> {
        let metadata =
            self.plain_consumer(Isolation::Uncommitted)?.fetch_metadata(Some(topic), REQUEST_PATIENCE)?;
        let partitions = metadata.topics().iter().flat_map(|found| found.partitions());
        partitions.map(|partition| partition.isr().len()).min().with_context(|| format!("no topic {topic}"))
    }

    /// The end of every partition's log, open transactions included.
    pub fn high_watermarks(&self, topic: &str) -> Result<Vec<i64>> {
        self.ends(topic, Isolation::Uncommitted)
    }

    /// Where a read_committed reader of every partition must stop: the first offset of an open transaction, or the
    /// end.
    pub fn last_stable_offsets(&self, topic: &str) -> Result<Vec<i64>> {
        self.ends(topic, Isolation::Committed)
    }

    /// The offsets that `group` has committed for these topics; partitions without one are absent. Waits for transactions that hold
    /// others: also those whose commit was answered, since the broker shows their offsets a moment later.
    ///
    /// # Errors
    /// If a transaction stays open.
    pub fn group_offsets(&self, group: &str, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Committed>> {
        self.offsets(group, topics, Isolation::Committed)
    }

    /// The same without waiting: for those who ask again and again, and while transactions stay open.
    pub fn visible_group_offsets(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<BTreeMap<TopicPartition, Committed>> {
        self.offsets(group, topics, Isolation::Uncommitted)
    }

    fn offsets(
        &self,
        group: &str,
        topics: &[&str],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Committed>> {
        let mut config = self.config();
        config.set("group.id", group).set("isolation.level", isolation.name());
        let consumer: BaseConsumer = config.create()?;
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            wanted.add_partition_range(topic, 0, self.partition_count(topic)? - 1);
        }
        let mut offsets = BTreeMap::new();
        for element in patiently(|| consumer.committed_offsets(wanted.clone(), REQUEST_PATIENCE))?.elements()
        {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let committed = Committed { offset, metadata: element.metadata().to_owned() };
                offsets.insert((element.topic().to_owned(), element.partition()), committed);
            }
        }
        Ok(offsets)
    }

    /// Commits offsets for `group` as an operator's reset does; the group must have no members.
    pub fn reset_group_offsets(&self, group: &str, offsets: &[(&str, i32, i64)]) -> Result<()> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        consumer
            .commit(&offset_list(offsets)?, CommitMode::Sync)
            .with_context(|| format!("reset group {group}"))
    }

    /// The group's state as the broker names it (`Stable`, `Empty`, `PreparingRebalance`, …) and its number of members.
    pub fn group_state(&self, group: &str) -> Result<(String, usize)> {
        let list =
            self.plain_consumer(Isolation::Uncommitted)?.fetch_group_list(Some(group), REQUEST_PATIENCE)?;
        let found = list.groups().iter().find(|found| found.name() == group);
        Ok(found.map_or_else(
            || ("Dead".to_owned(), 0),
            |found| (found.state().to_owned(), found.members().len()),
        ))
    }

    /// Every partition without a leader, of all topics; an error while no node answers.
    pub(super) fn missing_leaders(&self) -> Result<Vec<TopicPartition>> {
        let metadata =
            self.plain_consumer(Isolation::Uncommitted)?.fetch_metadata(None, METADATA_PATIENCE)?;
        ensure!(!metadata.brokers().is_empty(), "no broker has registered");
        let mut missing = Vec::new();
        for topic in metadata.topics() {
            let leaderless = topic.partitions().iter().filter(|partition| partition.leader() < 0);
            missing.extend(leaderless.map(|partition| (topic.name().to_owned(), partition.id())));
        }
        Ok(missing)
    }

    /// A consumer for questions and explicit assignments, of no group that anything commits to.
    pub fn plain_consumer(&self, isolation: Isolation) -> Result<BaseConsumer> {
        let mut config = self.config();
        config
            .set("group.id", "test-harness")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation.name())
            .set("fetch.wait.max.ms", "10");
        Ok(config.create()?)
    }

    fn ends(&self, topic: &str, isolation: Isolation) -> Result<Vec<i64>> {
        let consumer = self.plain_consumer(isolation)?;
        (0..self.partition_count(topic)?)
            .map(|partition| {
                Ok(patiently(|| consumer.fetch_watermarks(topic, partition, REQUEST_PATIENCE))?.1)
            })
            .collect()
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config().create()?)
    }

    /// The controller answers before the brokers know; the same consumer asks until they do.
    fn wait_for_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        let consumer = self.plain_consumer(Isolation::Uncommitted)?;
        let start = Instant::now();
        while start.elapsed() < REQUEST_PATIENCE {
            let metadata = consumer.fetch_metadata(Some(topic), REQUEST_PATIENCE)?;
            let led = metadata.topics().iter().flat_map(|found| found.partitions());
            if i32::try_from(led.filter(|partition| partition.leader() >= 0).count())? == partitions {
                return Ok(());
            }
        }
        bail!("topic {topic} has not got its {partitions} partitions in {REQUEST_PATIENCE:?}")
    }
}

/// What a reader sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// `read_committed`: records of committed transactions, up to the last stable offset.
    Committed,
    /// `read_uncommitted`: everything in the log, up to the high watermark.
    Uncommitted,
}

impl Isolation {
    /// The value of `isolation.level`.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

/// Asks again while leaders and coordinators move, as they do when a node dies.
fn patiently<T>(ask: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Err(error) if is_moving(&error) && start.elapsed() < REQUEST_PATIENCE => {}
            other => return other,
        }
    }
}

fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::BrokerTransportFailure
        )
    )
}

/// A list of (topic, partition, offset) as the client library takes it.
pub fn offset_list(offsets: &[(&str, i32, i64)]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

fn check_all(results: Vec<TopicResult>) -> Result<()> {
    for result in results {
        if let Err((topic, code)) = result {
            bail!("{topic}: {code}");
        }
    }
    Ok(())
}

/// The admin client answers from its own thread; nothing here needs a reactor.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    runtime.block_on(future)
}
