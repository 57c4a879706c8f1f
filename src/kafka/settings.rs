//! Every option of the Kafka client that we depend on, with its reason.
//!
//! Defaults of the client change between versions, so what matters is set here even where it equals today's default.
//! What is called tuned can be overridden in the `[kafka]` section. What is called a guarantee cannot, because exactly once
//! rests on it: the configuration refuses it by name.

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaResult;

use crate::config::{Config, IntakeSettings, KafkaOptions, LogLevel, Topics, environment_name};
use crate::stream::broker::{Capabilities, TRANSACTION_TIMEOUT};
use crate::topic::{Output, Topic};

/// Kafka's own default for `max.poll.interval.ms` is five minutes; a stuck worker must lose its partitions sooner.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// A request of the producer that gets no answer is given up, so that no call blocks for much longer than this.
const PRODUCER_SOCKET_TIMEOUT: Duration = Duration::from_secs(5);

/// Fetched records that wait in the workers of one process, over all partitions. More room made nothing faster.
const FETCH_BUDGET_KIB: u64 = 16 * 1024;

/// The least share of the budget that one queue gets: below it, fetches become too small to be worth their round trip.
const FETCH_QUEUE_KIB_MIN: u64 = 256;

/// Records to be sent that wait in the workers of one process. One takes about twice its size, and more room made nothing faster.
const SEND_BUDGET_KIB: u64 = 16 * 1024;

/// The least share of the budget that one worker gets: some full batches for each of a few partitions.
const SEND_QUEUE_KIB_MIN: u64 = 8 * 1024;

const _: () = assert!(PRODUCER_SOCKET_TIMEOUT.as_millis() < TRANSACTION_TIMEOUT.as_millis());
const _: () = assert!(TRANSACTION_TIMEOUT.as_millis() < POLL_INTERVAL_MAX.as_millis());

/// Off for clients whose statistics no metric shows.
const STATISTICS_INTERVAL: &str = "statistics.interval.ms";

/// For every client. Overridable.
const TUNED: &[(&str, &str)] = &[
    // A firewall drops idle connections silently, and a dead peer should be noticed without sending.
    ("socket.keepalive.enable", "true"),
    // The default of 10 s would eat a third of the commit patience after a broker's restart.
    ("reconnect.backoff.max.ms", "2000"),
    // The service has its own metrics; clients should not push theirs to the cluster unasked.
    ("enable.metrics.push", "false"),
    // Brokers close idle connections every ten minutes; nothing is wrong then.
    ("log.connection.close", "false"),
    // The round trip, queue, retry and timeout metrics.
    (STATISTICS_INTERVAL, "5000"),
];

/// For every client. A topic that does not exist is an error, not a topic to be created.
const GUARANTEES: &[(&str, &str)] = &[("allow.auto.create.topics", "false")];

/// For everything that reads. Overridable.
const CONSUMER_TUNED: &[(&str, &str)] = &[
    // Disks and memory do flip bits; the check costs little with the processor's own CRC32C.
    ("check.crcs", "true"),
    // A full queue pauses fetching for this long; the default is a whole second.
    ("fetch.queue.backoff.ms", "10"),
    // A partition whose queue has room again waits for the fetch in flight to return, and that waits this long if the other
    // partitions have nothing. The default of 500 ms starves a backlog on few partitions.
    ("fetch.wait.max.ms", "50"),
    // Whatever is there is wanted at once.
    ("fetch.min.bytes", "1"),
    // One fetch may bring much although each queue is small, or many partitions would share 1 MB per round trip.
    ("fetch.max.bytes", "16777216"),
    ("fetch.error.backoff.ms", "100"),
    ("queued.min.messages", "100000"),
];

/// For the member of the group. Overridable.
const MEMBER_TUNED: &[(&str, &str)] = &[
    // A crashed instance's partitions move after this long. Not below the broker's `group.min.session.timeout.ms`.
    ("session.timeout.ms", "10000"),
    // A cooperative hand-over takes two rounds, each noticed by a heartbeat: 0.5 s in all with this, 2 to 3 s by default.
    ("heartbeat.interval.ms", "200"),
];

/// For everything that reads.
const CONSUMER_GUARANTEES: &[(&str, &str)] = &[
    // Offsets belong to transactions.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A position outside of the log means lost records or a recreated topic: stop instead of skipping.
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    // An end of partition moves the position by one, and after a rebalance the client resumes from it: a record is lost.
    ("enable.partition.eof", "false"),
];

/// For the member of the group.
const MEMBER_GUARANTEES: &[(&str, &str)] = &[
    // Only partitions that move are taken away.
    ("partition.assignment.strategy", "cooperative-sticky"),
    // The newer protocol has a known defect when a member rejoins, in the version of the client that we build with.
    ("group.protocol", "classic"),
];

/// No dead letter is larger: an input's record may be as large as the outputs take.
const PLAIN_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// For what writes: so much of one partition goes out together. Overridable.
pub(super) const BATCH_SIZE: &str = "batch.size";

/// For what writes. Overridable.
const PRODUCER_TUNED: &[(&str, &str)] = &[
    ("compression.type", "lz4"),
    // A flush does not wait for it, and full batches do not either. What is older than this while as many requests are under way
    // as may be makes the client's thread spin: with 5 ms it took a fifth of the processor's time in a backlog, and records do wait
    // for a second there.
    ("linger.ms", "5000"),
    ("batch.num.messages", "10000"),
    (BATCH_SIZE, "1000000"),
    // Bytes are the bound.
    ("queue.buffering.max.messages", "1000000"),
];

/// For what writes: a share of [`SEND_BUDGET_KIB`]. A transaction may hold far more; the sender waits then. Overridable.
pub(super) const SEND_QUEUE: &str = "queue.buffering.max.kbytes";

/// For what writes.
const PRODUCER_GUARANTEES: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Java's producers hash keys this way; any other choice breaks joins with what they write.
    ("partitioner", "murmur2_random"),
    // Reports of success cost a third of the throughput and 100 ms a commit; the flush shows success.
    ("delivery.report.only.error", "true"),
];

/// What the brokers were found to hold, learned before a worker opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Of every input and of the changelog.
    pub partitions: u32,
    /// The smallest `max.message.bytes` of the outputs.
    pub message_bytes_max: usize,
    pub capabilities: Capabilities,
}

/// Everything that the Kafka clients of one process are made from.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    pub(super) options: KafkaOptions,
    /// Consumer group, and the beginning of every transactional id.
    pub(super) application: String,
    pub(super) instance: String,
    pub(super) topics: Topics,
    pub(super) raw_topics: Vec<String>,
    pub(super) workers: u64,
    pub(super) log_level: RDKafkaLogLevel,
    /// After it the brokers abort a transaction that is open.
    pub(super) transaction_timeout: Duration,
}

impl KafkaSettings {
    pub fn new(config: &Config) -> Self {
        Self {
            options: config.kafka.clone(),
            application: config.application.clone(),
            instance: config.instance.clone(),
            topics: config.topics.clone(),
            raw_topics: config.intake.iter().flat_map(IntakeSettings::topics).cloned().collect(),
            workers: config.workers as u64,
            transaction_timeout: TRANSACTION_TIMEOUT,
            // What `kafka.debug` asks for comes at the client's last level, and is written at ours.
            log_level: match config.log.level {
                LogLevel::Trace => RDKafkaLogLevel::Debug,
                LogLevel::Error | LogLevel::Warn | LogLevel::Info | LogLevel::Debug => RDKafkaLogLevel::Info,
            },
        }
    }

    /// Stable over restarts, so that the next process in the slot ends the transaction that its predecessor left open.
    pub fn transactional_id(&self, slot: usize) -> String {
        format!("{}-{}-{slot}", self.application, self.instance)
    }

    pub fn topic_name(&self, topic: Topic) -> &str {
        self.topics.name(topic)
    }

    /// The client that joins the group and reads the inputs, `queues` of them at most.
    pub(super) fn member(&self, slot: usize, queues: u64) -> ClientConfig {
        let mut config = self.consumer(queues);
        set_all(&mut config, MEMBER_TUNED);
        override_with(&mut config, self.options.for_consumers());
        set(&mut config, "max.poll.interval.ms", POLL_INTERVAL_MAX.as_millis());
        set_all(&mut config, MEMBER_GUARANTEES);
        set_all(&mut config, CONSUMER_GUARANTEES);
        // A static member's name must differ between the workers of a process.
        if let Some(name) = config.get("group.instance.id") {
            let name = format!("{name}-{slot}");
            config.set("group.instance.id", name);
        }
        self.finish(config)
    }

    /// A client that never joins and reads what is committed: the group's offsets, the changelog, the registry. Its ends of
    /// partitions are safe to ask for, because no rebalance ever resumes it.
    pub(super) fn read_committed_client(&self) -> ClientConfig {
        let mut config = self.reader();
        set(&mut config, "enable.partition.eof", true);
        // A restore reads one long run of records.
        set(&mut config, "fetch.message.max.bytes", 8 << 20);
        self.finish(config)
    }

    /// A client that never joins and reads what is there, committed or not.
    pub(super) fn read_uncommitted_client(&self) -> ClientConfig {
        let mut config = self.reader();
        set(&mut config, "isolation.level", "read_uncommitted");
        self.finish(config)
    }

    /// The transactional producer of a slot, or one that ends what another slot left open.
    pub(super) fn producer(&self, transactional_id: &str, message_bytes_max: usize) -> ClientConfig {
        let mut config = ClientConfig::new();
        set_all(&mut config, TUNED);
        set_all(&mut config, PRODUCER_TUNED);
        set(&mut config, SEND_QUEUE, (SEND_BUDGET_KIB / self.workers).max(SEND_QUEUE_KIB_MIN));
        set(&mut config, "socket.timeout.ms", PRODUCER_SOCKET_TIMEOUT.as_millis());
        override_with(&mut config, self.options.for_producers());
        set_all(&mut config, PRODUCER_GUARANTEES);
        set(&mut config, "transactional.id", transactional_id);
        set(&mut config, "transaction.timeout.ms", self.transaction_timeout.as_millis());
        // The smallest limit of the output topics: what they would refuse is found before it is sent.
        set(&mut config, "message.max.bytes", message_bytes_max);
        self.finish(config)
    }

    /// A producer of single records, each acknowledged or given up within `patience`.
    pub(super) fn appender(&self, patience: Duration) -> ClientConfig {
        let mut config = ClientConfig::new();
        set_all(&mut config, TUNED);
        override_with(&mut config, self.options.for_producers());
        set(&mut config, STATISTICS_INTERVAL, 0);
        set_all(&mut config, PRODUCER_GUARANTEES);
        set(&mut config, "delivery.report.only.error", false);
        set(&mut config, "linger.ms", 0);
        set(&mut config, "message.timeout.ms", patience.as_millis());
        self.finish(config)
    }

    /// A producer for records that an operator writes: no transaction, but each record once and in its order.
    pub(super) fn plain_producer(&self) -> ClientConfig {
        let mut config = self.producer("", PLAIN_MESSAGE_BYTES_MAX);
        config.remove("transactional.id");
        config.remove("transaction.timeout.ms");
        config
    }

    /// How an output's records are compressed, where that is not as for the others. A third of a packed customer is hashes: lz4
    /// made 600 B of one a seventh smaller, at 260 MB/s. A compression that is configured applies everywhere.
    pub(super) fn compression_of(&self, output: Output) -> Option<&'static CStr> {
        let mut chosen = self.options.for_producers().map(|(name, _)| name);
        let is_chosen = chosen.any(|name| matches!(name, "compression.type" | "compression.codec"));
        (output == Output::Changelog && !is_chosen).then_some(c"none")
    }

    /// A client that asks about and creates topics.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        set_all(&mut config, TUNED);
        override_with(&mut config, self.options.for_admins());
        set(&mut config, STATISTICS_INTERVAL, 0);
        self.finish(config)
    }

    /// What a log-in lacks, before any broker is asked.
    pub(super) fn missing_credentials(&self) -> Option<String> {
        let get = |name| self.options.get(name);
        let protocol = get("security.protocol").unwrap_or_default().to_ascii_lowercase();
        let mechanism =
            get("sasl.mechanism").or(get("sasl.mechanisms")).unwrap_or_default().to_ascii_uppercase();
        if !protocol.starts_with("sasl") || !(mechanism == "PLAIN" || mechanism.starts_with("SCRAM-")) {
            return None;
        }
        if get("sasl.username").is_none() {
            return Some(format!(
                "kafka.sasl.username is not set; {mechanism} logs in with a name and a password"
            ));
        }
        get("sasl.password").is_none().then(|| {
            format!(
                "kafka.sasl.password is not set; use {}, or name a file that holds it in kafka.sasl.password.file",
                environment_name("kafka.sasl.password")
            )
        })
    }

    /// Who the brokers take us for, as a sentence begins.
    pub(super) fn user(&self) -> String {
        self.options
            .get("sasl.username")
            .map_or_else(|| "this client".to_owned(), |name| format!("user {name}"))
    }

    /// The brokers to ask first, as they were configured.
    pub(super) fn bootstrap_servers(&self) -> &str {
        self.options.bootstrap_servers().unwrap_or_default()
    }

    /// Whether the client takes what the `[kafka]` section sets, as far as that shows without brokers.
    pub(super) fn check(&self) -> KafkaResult<()> {
        for client in [self.member(0, 1), self.producer(&self.transactional_id(0), 1 << 20)] {
            client.create_native_config()?;
        }
        Ok(())
    }

    fn reader(&self) -> ClientConfig {
        let mut config = self.consumer(1);
        override_with(&mut config, self.options.for_consumers());
        config.remove("group.instance.id");
        set(&mut config, STATISTICS_INTERVAL, 0);
        set_all(&mut config, CONSUMER_GUARANTEES);
        config
    }

    fn consumer(&self, queues: u64) -> ClientConfig {
        let mut config = ClientConfig::new();
        set_all(&mut config, TUNED);
        set_all(&mut config, CONSUMER_TUNED);
        // The limit counts for each partition once its queue is split off.
        let queue_kib = (FETCH_BUDGET_KIB / queues.max(1)).max(FETCH_QUEUE_KIB_MIN);
        set(&mut config, "queued.max.messages.kbytes", queue_kib);
        set(&mut config, "fetch.message.max.bytes", (queue_kib * 1024).min(1 << 20));
        set(&mut config, "group.id", &self.application);
        config
    }

    fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        set_all(&mut config, GUARANTEES);
        if config.get("client.id").is_none() {
            set(&mut config, "client.id", format!("{}-{}", self.application, self.instance));
        }
        config.set_log_level(self.log_level);
        config
    }
}

/// Two names of one option: the client takes whichever comes last, and we set only the second.
const ALIASES: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("queue.buffering.max.ms", "linger.ms"),
];

fn override_with<'a>(config: &mut ClientConfig, options: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in options {
        let canonical = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        config.set(canonical, value);
    }
}

fn set_all(config: &mut ClientConfig, options: &[(&str, &str)]) {
    for (name, value) in options {
        config.set(*name, *value);
    }
}

fn set(config: &mut ClientConfig, name: &str, value: impl ToString) {
    config.set(name, value.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Purpose, Sources, load};

    fn sources(assignments: &[&str]) -> Sources {
        let common =
            ["kafka.bootstrap.servers=127.0.0.1:9", "instance=one", "application=shop", "shop.currency=EUR"];
        let assignments = common.iter().chain(assignments).map(|text| (*text).to_owned()).collect();
        Sources { assignments, ..Sources::default() }
    }

    fn settings(assignments: &[&str]) -> KafkaSettings {
        KafkaSettings::new(&load(&sources(assignments), Purpose::Kafka).expect("a valid configuration"))
    }

    fn clients(settings: &KafkaSettings) -> [ClientConfig; 6] {
        [
            settings.member(0, 12),
            settings.read_committed_client(),
            settings.read_uncommitted_client(),
            settings.producer("shop-one-0", 1 << 20),
            settings.admin(),
            settings.appender(Duration::from_secs(30)),
        ]
    }

    #[test]
    fn no_guarantee_can_be_overridden() {
        let tables = [GUARANTEES, CONSUMER_GUARANTEES, MEMBER_GUARANTEES, PRODUCER_GUARANTEES];
        let in_functions = [
            "transactional.id",
            "transaction.timeout.ms",
            "group.id",
            "max.poll.interval.ms",
            "message.max.bytes",
        ];
        let names = tables.into_iter().flatten().map(|(name, _)| *name).chain(in_functions);
        for name in names {
            let error = load(&sources(&[&format!("kafka.{name}=1")]), Purpose::Kafka).expect_err(name);
            assert!(error.to_string().contains("cannot be set"), "{name}: {error}");
        }
    }

    #[test]
    fn only_the_changelog_goes_without_compression_unless_one_is_chosen() {
        let of =
            |assignments: &[&str]| Output::ALWAYS.map(|output| settings(assignments).compression_of(output));
        assert_eq!(of(&[]), [None, None, None, Some(c"none")]);
        assert_eq!(of(&["kafka.compression.level=3"]), of(&[]));
        for name in ["compression.type", "compression.codec"] {
            assert_eq!(of(&[&format!("kafka.{name}=zstd")]), [None; 4], "{name}");
        }
    }

    #[test]
    fn what_is_tuned_can_be_overridden() {
        let tables = [TUNED, CONSUMER_TUNED, MEMBER_TUNED, PRODUCER_TUNED];
        for name in tables.into_iter().flatten().map(|(name, _)| *name).chain([SEND_QUEUE]) {
            let settings = settings(&[&format!("kafka.{name}=17")]);
            assert!(clients(&settings).iter().any(|client| client.get(name) == Some("17")), "{name}");
        }
    }

    #[test]
    fn the_client_accepts_every_setting() {
        settings(&[]).check().expect("what we set");
        for client in clients(&settings(&[])) {
            if let Err(error) = client.create_native_config() {
                panic!("{error}: {client:?}");
            }
        }
    }

    #[test]
    fn a_value_that_the_client_refuses_is_told_before_it_is_made() {
        for option in ["kafka.fetch.min.bytes=many", "kafka.compression.type=best"] {
            let error = settings(&[option]).check().expect_err(option).to_string();
            let name = option.trim_start_matches("kafka.").split('=').next().expect("a name");
            assert!(error.contains(name), "{option}: {error}");
        }
    }

    #[test]
    fn an_alias_replaces_what_it_names() {
        let settings = settings(&["kafka.queue.buffering.max.ms=9", "kafka.max.partition.fetch.bytes=4096"]);
        let [member, _, _, producer, _, _] = clients(&settings);
        assert_eq!((producer.get("linger.ms"), producer.get("queue.buffering.max.ms")), (Some("9"), None));
        assert_eq!(member.get("fetch.message.max.bytes"), Some("4096"));
    }

    #[test]
    fn static_members_of_one_process_have_their_own_names() {
        let settings = settings(&["kafka.group.instance.id=box7"]);
        assert_eq!(settings.member(1, 1).get("group.instance.id"), Some("box7-1"));
        assert_eq!(settings.read_committed_client().get("group.instance.id"), None);
    }

    #[test]
    fn the_fetch_budget_is_shared_by_the_queues() {
        let settings = settings(&[]);
        let queue = |queues| settings.member(0, queues).get("queued.max.messages.kbytes").map(str::to_owned);
        assert_eq!(queue(1).as_deref(), Some("16384"));
        assert_eq!(queue(12).as_deref(), Some("1365"));
        assert_eq!(queue(3000).as_deref(), Some("256"));
    }

    #[test]
    fn the_send_budget_is_shared_by_the_workers() {
        for (workers, room) in [(1, "16384"), (2, "8192"), (8, "8192")] {
            let settings = settings(&[&format!("workers={workers}")]);
            let producer = settings.producer("shop-one-0", 1 << 20);
            assert_eq!(producer.get(SEND_QUEUE), Some(room), "{workers} workers");
        }
    }

    #[test]
    fn encryption_and_authentication_are_built_in() {
        let native = ClientConfig::new().create_native_config().expect("no options");
        let features = native.get("builtin.features").expect("always there");
        for feature in
            ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "oidc", "zstd", "lz4", "gzip", "snappy"]
        {
            assert!(features.split(',').any(|built| built == feature), "{feature} is not in {features}");
        }
    }
}
