//! Settings: read in layers, validated once at the start, then passed as values; nothing reads the environment again.
//!
//! Every key is described in `docs/CONFIGURATION.md`; a test compares that page with the table the code reads from.

mod intake;
mod kafka;
mod kafka_names;
mod keys;
mod layers;
mod policy;
mod problem;
mod reader;
pub mod rules;
mod secret;
mod sections;
mod shops;
mod sources;
pub mod suggest;
mod text;
mod values;
mod zone;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::settings::Settings;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::{Span, Time};
use crate::topic::{Output, PerInput, PerOutput, Topic};
use crate::wire::hash::hash;

pub use intake::{IntakeSettings, IntakeSource, combiner_group, intake_group};
pub use kafka::{KafkaOptions, accepted_options};
pub use kafka_names::{REFUSED_OPTIONS, SECRET_OPTIONS};
pub use keys::{
    COMMIT_INTERVAL_MS_MAX, COMMIT_PATIENCE_MS_MAX, KEYS, Key, KeyDefault, Kind, LOG_FORMATS, LOG_LEVELS,
    SNAPSHOT_INTERVAL_MS_MAX,
};
pub use layers::{ENVIRONMENT_CONFIG, Origin, environment_name};
pub use problem::ConfigError;
pub use secret::Secret;
pub use sources::Sources;
pub use text::{format_duration, parse_duration};

/// Everything that a user can set, validated.
pub struct Config {
    /// Name of the service: consumer group, prefix of transactional ids, `ce_source`.
    pub application: String,
    /// Name of this process among those of the application, unique and the same after a restart.
    pub instance: String,
    /// Threads, each a member of the consumer group.
    pub workers: usize,
    /// Folder for the lock and the snapshots of this instance. Relative to the working directory.
    pub state_dir: PathBuf,
    pub topics: Topics,
    /// Instead of the topic of the registry.
    pub registry_file: Option<PathBuf>,
    /// What facts and signals depend on: shops, windows, lapse policy, thresholds, hashes.
    pub settings: Settings,
    pub clock: ClockRules,
    pub record_bounds: RecordBounds,
    pub commit: CommitPace,
    /// Time between two local snapshots of a partition.
    pub snapshot_interval: Duration,
    pub dead_letters: DeadLetterLimit,
    pub history: HistoryRules,
    /// None: there are no segments.
    pub segments: Option<SegmentSettings>,
    /// None: the inputs get their records from elsewhere.
    pub intake: Option<IntakeSettings>,
    /// Distinguishes erasure secrets without showing them: a restart with another secret must be noticed.
    pub erasure_fingerprint: [u8; 8],
    /// Of what was in force before a secret was configured; None without one.
    pub former_erasure_fingerprint: Option<[u8; 8]>,
    pub http: HttpSettings,
    pub kafka: KafkaOptions,
    pub log: LogSettings,
    layers: layers::Layers,
}

/// What the configuration is for, and so what it must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Commands that talk to Kafka: the brokers must be given.
    Kafka,
    /// Commands without Kafka, or with one of their own.
    Offline,
}

/// Topic names; all different.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topics {
    pub inputs: PerInput<String>,
    pub outputs: PerOutput<String>,
    /// None: there is no registry, or it is a file.
    pub registry: Option<String>,
    /// Whether days are counted, so that there are topics of [`Output::OF_SHARES`].
    pub has_shares: bool,
    /// Whether the service writes to the registry: cut points, where it has segments, shares and a registry.
    pub writes_registry: bool,
}

impl Topics {
    /// Every topic that this service has.
    pub fn all(&self) -> impl Iterator<Item = Topic> {
        let of_shares = Output::OF_SHARES.into_iter().filter(|_| self.has_shares).map(Topic::Output);
        Topic::all().chain(of_shares).chain(self.registry.as_ref().map(|_| Topic::Registry))
    }

    /// The outputs that this service writes.
    pub fn outputs(&self) -> impl Iterator<Item = Output> {
        let of_shares = Output::OF_SHARES.into_iter().filter(|_| self.has_shares);
        Output::ALWAYS.into_iter().chain(of_shares)
    }

    pub fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Input(input) => &self.inputs[input],
            Topic::Output(output) => &self.outputs[output],
            Topic::Registry => self.registry.as_deref().expect("only a registry that is configured is used"),
        }
    }
}

/// Where a partition's clock goes beyond the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockRules {
    /// Subtracted from wall time at a confirmed end.
    pub grace: Span,
    pub at_end: AtEnd,
    /// How far a record's time may lie after the earlier of its broker timestamp and wall time.
    pub skew: Span,
}

/// Where the clock goes once all inputs of a partition are read to their ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// To wall time minus the grace.
    Wall,
    /// Nowhere: it stays at the last record.
    Stay,
    /// To this instant, without grace, never backwards.
    At(Time),
}

/// What a record may measure before it is a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordBounds {
    /// Key and value together.
    pub bytes_max: usize,
    /// Nesting of JSON.
    pub depth_max: usize,
}

/// How often transactions are committed and how long one is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitPace {
    pub interval: Duration,
    /// The interval while a backlog is processed; at least [`Self::interval`].
    pub backlog_interval: Duration,
    /// How long one commit, or an unreachable cluster, is waited for.
    pub patience: Duration,
}

/// The share of dead letters at which the service stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetterLimit {
    /// 0 to 1.
    pub share_max: Decimal,
    /// Records of a partition that the share is taken of.
    pub window: usize,
}

/// What is done with records that were there before a partition was first read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryRules {
    pub signals: HistorySignals,
    /// None: the shop's time at the partition's first assignment.
    pub signals_from: Option<Time>,
}

/// How cut points of segments are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentSettings {
    /// With fewer customers who have a kept order, a store's cut points are fixed ones.
    pub customers_min: u64,
    pub refresh: SegmentRefresh,
}

/// When cut points are computed anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentRefresh {
    /// At the first midnight (UTC) of each month.
    Monthly,
    /// At that of each Monday.
    Weekly,
    Never,
}

/// Whether signals about a partition's history are published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistorySignals {
    /// History gives facts; what stands at its end and what comes later is published.
    HoldBack,
    /// There is no history: every record is taken as live, with every signal that it causes.
    Publish,
}

/// What is kept of a record that no map could read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLetterValues {
    /// All of it.
    Keep,
    /// Its place, the reason and a digest of it: raw records hold names and addresses.
    Drop,
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    /// Bearer token for customer data; without one it is served to loopback only.
    pub token: Option<Secret>,
}

/// How logs are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
}

/// The least severe level that is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The form of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// Reads, merges and validates; every problem is found in one go.
pub fn load(sources: &Sources, purpose: Purpose) -> Result<Config, ConfigError> {
    let mut problems = problem::Problems::default();
    let layers = layers::Layers::merge(sources, &mut problems);
    sections::read(layers, purpose, &mut problems)
        .ok_or_else(|| ConfigError::new(sources.file_name.clone(), problems))
}

/// How to log although other settings, or the file as a whole, may be wrong.
pub fn log_settings(sources: &Sources) -> LogSettings {
    // They are reported when the configuration is loaded.
    let mut problems = problem::Problems::default();
    let layers = layers::Layers::merge(sources, &mut problems);
    sections::read_log(&mut reader::Reader { layers: &layers, problems: &mut problems })
}

/// The key under which the intake hashes identities, if a file of it is configured and can be read.
pub fn intake_secret(sources: &Sources) -> Option<Secret> {
    // Problems are reported when the configuration is loaded.
    let mut problems = problem::Problems::default();
    let layers = layers::Layers::merge(sources, &mut problems);
    intake::read_secret(&mut reader::Reader { layers: &layers, problems: &mut problems })
}

impl Config {
    /// Tells configurations apart in logs: 16 hexadecimal digits over every setting that has a value. Instances of one application
    /// have the same if they differ in their names only. No secret is part of it.
    pub fn digest(&self) -> String {
        let mut lines = String::new();
        for (path, value, _) in self.effective().filter(|(path, ..)| path != "instance") {
            lines += &format!("{path}={value}\n");
        }
        format!("{:016x}", hash(lines.as_bytes()))
    }

    /// Every key that has a value: key, value (secrets redacted), where it comes from.
    pub fn effective(&self) -> impl Iterator<Item = (String, String, &Origin)> {
        self.layers.entries.iter().map(|(path, entry)| {
            let value = match &entry.value {
                layers::Raw::Scalar(text) => text.clone(),
                layers::Raw::Secret(secret) => format!("{secret:?}"),
                layers::Raw::Other(what) => (*what).to_owned(),
            };
            (path.to_string(), value, &entry.origin)
        })
    }
}

/// The effective settings, without secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_map().entries(self.effective().map(|(path, value, _)| (path, value))).finish()
    }
}

#[cfg(test)]
mod tests;
