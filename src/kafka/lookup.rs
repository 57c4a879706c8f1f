//! Queries to the brokers, and records of the changelog and of the registry, by clients that never join the group.
//!
//! The worker and its restores share two clients: one reads what is committed (read_committed, and committed offsets only once no
//! transaction with pending offsets is open), the other also what is not. The group's own client is not used here, so a restore
//! cannot disturb its positions. A third one asks for the offsets of the intake's group, where there is an intake.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::combining::Combining;
use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::identity::identity;
use super::log_reading::LogReading;
use super::producer::TransactionalProducer;
use super::queue::{MessageBatch, SharedConsumer, serve};
use super::raw_topics::RawTopics;
use super::settings::{KafkaSettings, Layout};
use super::trouble::Troubles;
use crate::stream::broker::{
    BrokerError, Capabilities, ChangelogIdentity, CombinedRecord, Committed, Lookup, Moment, Position,
    RawPartition, RawProgress, RawSearch, Stability, Watermark,
};
use crate::topic::{Input, Output, Partition, PerInput, Topic};

/// Records that one call of a restore takes at most: enough to be fast, few enough to keep a step short.
const LOG_RECORDS_MAX: usize = 10_000;

/// The longest that each question of a warm-up may take: an open transaction may hold the committed offsets back.
const WARM_UP_MAX: Duration = Duration::from_millis(250);

/// The clients behind every [`KafkaLookup`] of one worker.
pub struct QueryClients {
    pub(super) settings: Arc<KafkaSettings>,
    pub(super) layout: Layout,
    pub(super) read_committed: SharedConsumer,
    pub(super) read_uncommitted: SharedConsumer,
    /// Asks for the offsets of the intake's group. Made with the first question.
    intake: OnceLock<SharedConsumer>,
    pub(super) troubles: Arc<Troubles>,
    /// Moment zero of the worker and of its tasks.
    origin: Instant,
}

impl QueryClients {
    /// Makes the clients; they connect by themselves.
    pub fn create(
        settings: Arc<KafkaSettings>,
        layout: Layout,
        troubles: Arc<Troubles>,
    ) -> Result<Self, ClientError> {
        let make = |config, name| make(&config, name, &troubles);
        Ok(Self {
            read_committed: make(settings.read_committed_client(), "read-committed reader")?,
            read_uncommitted: make(settings.read_uncommitted_client(), "read-uncommitted reader")?,
            settings,
            layout,
            intake: OnceLock::new(),
            troubles,
            origin: Instant::now(),
        })
    }

    /// The time since they were made.
    pub fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    /// Has both clients find the group's coordinator and the changelog's leaders, and connect to them: a restore would pay for
    /// that while its partition stands still. What does not work fails again in the query that needs it.
    pub(super) fn warm_up(self: &Arc<Self>) {
        let changelog: Vec<_> = (0..self.layout.partitions)
            .map(|number| (Topic::Output(Output::Changelog), Partition(number)))
            .collect();
        let mut lookup = KafkaLookup::new(Arc::clone(self));
        for (stability, watermark) in
            [(Stability::Stable, Watermark::Stable), (Stability::Unstable, Watermark::High)]
        {
            let _comes_again = lookup.committed(&[Partition(0)], stability, WARM_UP_MAX);
            let _comes_again = lookup.watermarks(watermark, &changelog, WARM_UP_MAX);
        }
    }

    /// The client that asks for the offsets of the intake's group; it never joins.
    pub(super) fn intake(&self) -> Result<&SharedConsumer, ClientError> {
        if self.intake.get().is_none() {
            let mut config = self.settings.read_uncommitted_client();
            config.set("group.id", format!("{}-intake", self.settings.application));
            // Another task may have been faster; then this one goes.
            let _ = self.intake.set(make(&config, "intake reader", &self.troubles)?);
        }
        Ok(self.intake.get().expect("just made"))
    }

    /// Takes their logs, errors and statistics. An error here comes again in the query that it affects.
    pub fn serve(&self) {
        for client in [&self.read_committed, &self.read_uncommitted].into_iter().chain(self.intake.get()) {
            let _comes_again = serve(client);
        }
    }

    /// A passing error is a refusal if the brokers do not take our credentials, or do not let us use the group: the client reports the
    /// one in a callback, the other as an event, and the query itself only times out.
    pub(super) fn explain(&self, client: &SharedConsumer, error: ClientError) -> BrokerError {
        match serve(client) {
            Err(event) if error.is_passing() && event.is_refusal() => event.into(),
            Ok(()) | Err(_) => refused_or(client.context(), error),
        }
    }
}

pub(super) fn make(
    config: &ClientConfig,
    name: &'static str,
    troubles: &Arc<Troubles>,
) -> Result<SharedConsumer, ClientError> {
    let callbacks = Callbacks::new(name, None).with_troubles(Arc::clone(troubles));
    BaseConsumer::from_config_and_context(config, callbacks)
        .map(Arc::new)
        .map_err(|error| ClientError::from_kafka(Call::Create, &error))
}

/// See [`QueryClients::explain`].
pub(super) fn refused_or(callbacks: &Callbacks, error: ClientError) -> BrokerError {
    if error.is_passing()
        && let Some(reason) = callbacks.take_refusal()
    {
        let refusal =
            ClientError { message: reason, ..ClientError::new(error.call, RDKafkaErrorCode::Authentication) };
        return refusal.into();
    }
    error.into()
}

/// Asks beside a service, without being a part of it.
///
/// # Errors
/// The client refuses its settings.
pub fn lookup(settings: &Arc<KafkaSettings>, layout: Layout) -> Result<KafkaLookup, BrokerError> {
    Ok(KafkaLookup::new(Arc::new(QueryClients::create(Arc::clone(settings), layout, Arc::default())?)))
}

impl Layout {
    /// For commands that ask beside the service, and neither restore nor write outputs.
    pub const BESIDE: Self = Self {
        partitions: 1,
        message_bytes_max: 1_000_000,
        capabilities: Capabilities { transactional_offsets: true, topic_configuration: true },
    };
}

/// One asker: the worker or a task beside it.
pub struct KafkaLookup {
    clients: Arc<QueryClients>,
    logs: BTreeMap<(Topic, Partition), LogReading>,
    /// A producer that is taking a transactional id over.
    takeover: Option<(String, TransactionalProducer)>,
    raw: RawTopics,
    combining: Combining,
}

impl KafkaLookup {
    pub fn new(clients: Arc<QueryClients>) -> Self {
        Self {
            clients,
            logs: BTreeMap::new(),
            takeover: None,
            raw: RawTopics::default(),
            combining: Combining::default(),
        }
    }

    pub fn clients(&self) -> &Arc<QueryClients> {
        &self.clients
    }

    /// What the intake's group has committed of each raw partition, with what stands beside it.
    ///
    /// # Errors
    /// The brokers do not answer within this time, or refuse.
    pub fn raw_committed(
        &mut self,
        within: Duration,
    ) -> Result<Vec<(RawPartition, Option<Committed>)>, BrokerError> {
        self.raw.committed(&self.clients, within)
    }

    fn changelog_topic(&self) -> &str {
        self.clients.settings.topic_name(Topic::Output(Output::Changelog))
    }
}

impl Lookup for KafkaLookup {
    type Batch = MessageBatch;

    fn now(&self) -> Moment {
        self.clients.now()
    }

    fn committed(
        &mut self,
        partitions: &[Partition],
        stability: Stability,
        within: Duration,
    ) -> Result<Vec<PerInput<Option<Committed>>>, BrokerError> {
        let clients = &self.clients;
        let client = match stability {
            Stability::Stable => &clients.read_committed,
            Stability::Unstable => &clients.read_uncommitted,
        };
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            for input in Input::ALL {
                list.add_partition(clients.settings.topic_name(Topic::Input(input)), number(partition));
            }
        }
        let list = client
            .committed_offsets(list, within)
            .map_err(|error| clients.explain(client, ClientError::from_kafka(Call::Query, &error)))?;
        let found = committed_of(&list).map_err(|error| clients.explain(client, error))?;
        Ok(PerInput::chunks(&found).collect())
    }

    fn watermarks(
        &mut self,
        watermark: Watermark,
        logs: &[(Topic, Partition)],
        within: Duration,
    ) -> Result<Vec<Position>, BrokerError> {
        let clients = &self.clients;
        let (client, edge) = match watermark {
            Watermark::Low => (&clients.read_uncommitted, Offset::Beginning),
            Watermark::Stable => (&clients.read_committed, Offset::End),
            Watermark::High => (&clients.read_uncommitted, Offset::End),
        };
        let logs = logs.iter().map(|(topic, partition)| (clients.settings.topic_name(*topic), *partition));
        edges(client, edge, logs, within).map_err(|error| clients.explain(client, error))
    }

    fn partition_counts(&mut self, topics: &[Topic], within: Duration) -> Result<Vec<u32>, BrokerError> {
        let clients = &self.clients;
        let client = &clients.read_uncommitted;
        topics
            .iter()
            .map(|&topic| {
                let name = clients.settings.topic_name(topic);
                partition_count(client, name, within).map_err(|error| clients.explain(client, error))
            })
            .collect()
    }

    fn changelog_identity(&mut self, within: Duration) -> Result<Option<ChangelogIdentity>, BrokerError> {
        if !self.clients.layout.capabilities.topic_configuration {
            return Ok(None);
        }
        let client = &self.clients.read_uncommitted;
        identity(client, self.changelog_topic(), within).map_err(|error| self.clients.explain(client, error))
    }

    fn end_transaction_of(&mut self, transactional_id: &str, within: Duration) -> Result<(), BrokerError> {
        let producer = match self.takeover.take() {
            Some((id, producer)) if id == transactional_id => producer,
            Some(_) | None => {
                let config =
                    self.clients.settings.producer(transactional_id, self.clients.layout.message_bytes_max);
                let callbacks =
                    Callbacks::new("takeover", None).with_troubles(Arc::clone(&self.clients.troubles));
                TransactionalProducer::create(&config, callbacks, &[])?
            }
        };
        match producer.init(within) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = refused_or(producer.callbacks(), error);
                if matches!(error, BrokerError::Retry(_)) {
                    self.takeover = Some((transactional_id.to_owned(), producer));
                }
                Err(error)
            }
        }
    }

    fn read_log(
        &mut self,
        topic: Topic,
        partition: Partition,
        from: Position,
        within: Duration,
    ) -> Result<(MessageBatch, Position), BrokerError> {
        let clients = &self.clients;
        let log = (topic, partition);
        // A client reads a partition once, and the worker reads the registry too.
        let client = self.combining.reader().unwrap_or(&clients.read_committed);
        if self.logs.get(&log).is_none_or(|reading| reading.position() != from) {
            // The old one first: it would give the partition back behind the new one's back.
            self.logs.remove(&log);
            let name = clients.settings.topic_name(topic);
            self.logs.insert(log, LogReading::start(client, name, partition, from)?);
        }
        let reading = self.logs.get_mut(&log).expect("just started");
        let batch = reading.take(LOG_RECORDS_MAX, within).map_err(|error| clients.explain(client, error))?;
        Ok((batch, reading.position()))
    }

    fn open_combiner(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.combining.open(&self.clients, within)
    }

    fn combined(&mut self, within: Duration) -> Result<Option<Committed>, BrokerError> {
        self.combining.committed(&self.clients, within)
    }

    fn publish_combined(
        &mut self,
        records: &[CombinedRecord],
        combined: &Committed,
        within: Duration,
    ) -> Result<(), BrokerError> {
        self.combining.publish(&self.clients, records, combined, within)
    }

    fn raw_progress(&mut self, within: Duration) -> Result<Vec<RawProgress>, BrokerError> {
        self.raw.progress(&self.clients, within)
    }

    fn search_raw(
        &mut self,
        of: &RawPartition,
        from: Position,
        end: Position,
        within: Duration,
    ) -> Result<RawSearch, BrokerError> {
        self.raw.search(&self.clients, of, from, end, within)
    }
}

/// An edge of each log, in their order.
pub(super) fn edges<'a>(
    client: &BaseConsumer<Callbacks>,
    edge: Offset,
    logs: impl Iterator<Item = (&'a str, Partition)>,
    within: Duration,
) -> Result<Vec<Position>, ClientError> {
    let failed = |error: &KafkaError| ClientError::from_kafka(Call::Query, error);
    let mut list = TopicPartitionList::new();
    for (name, partition) in logs {
        list.add_partition_offset(name, number(partition), edge).map_err(|error| failed(&error))?;
    }
    let list = client.offsets_for_times(list, within).map_err(|error| failed(&error))?;
    list.elements()
        .iter()
        .map(|element| {
            element.error().map_err(|error| failed(&error))?;
            match element.offset() {
                Offset::Offset(offset) => Ok(position(offset)),
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => {
                    Err(ClientError::new(Call::Query, RDKafkaErrorCode::OffsetNotAvailable))
                }
            }
        })
        .collect()
}

/// How many partitions a topic has.
pub(super) fn partition_count(
    client: &BaseConsumer<Callbacks>,
    name: &str,
    within: Duration,
) -> Result<u32, ClientError> {
    let failed =
        |error: ClientError| ClientError { message: format!("topic {name}: {}", error.message), ..error };
    let metadata = client
        .fetch_metadata(Some(name), within)
        .map_err(|error| failed(ClientError::from_kafka(Call::Query, &error)))?;
    let topic =
        metadata.topics().iter().find(|topic| topic.name() == name).ok_or_else(|| {
            failed(ClientError::new(Call::Query, RDKafkaErrorCode::UnknownTopicOrPartition))
        })?;
    match topic.error() {
        Some(error) => Err(failed(ClientError::new(Call::Query, error.into()))),
        None => Ok(u32::try_from(topic.partitions().len()).expect("partition numbers are 32 bits")),
    }
}

/// The offsets and texts of a list that was asked for, in its order.
pub(super) fn committed_of(list: &TopicPartitionList) -> Result<Vec<Option<Committed>>, ClientError> {
    list.elements()
        .iter()
        .map(|element| {
            element.error().map_err(|error| ClientError::from_kafka(Call::Query, &error))?;
            Ok(match element.offset() {
                Offset::Offset(offset) => {
                    Some(Committed { position: position(offset), metadata: element.metadata().to_owned() })
                }
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            })
        })
        .collect()
}

/// An error of assigning, which the safe client gives as text only.
pub(super) fn group_error(error: &KafkaError) -> ClientError {
    ClientError::from_kafka(Call::Group, error)
}

/// A partition as the client numbers it.
pub(super) fn number(partition: Partition) -> i32 {
    i32::try_from(partition.0).expect("brokers number partitions with 31 bits")
}

/// A position as the client counts it.
pub(super) fn signed(position: Position) -> i64 {
    i64::try_from(position.0).expect("brokers count offsets with 63 bits")
}

/// A position as the client gave it.
pub(super) fn position(offset: i64) -> Position {
    Position(u64::try_from(offset).expect("logical offsets are told apart before"))
}
