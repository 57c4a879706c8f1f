//! Section by section from the layers to the validated configuration.

use std::sync::Arc;

use super::keys::{self, Setting};
use super::layers::{Layers, Path};
use super::problem::Problems;
use super::reader::Reader;
use super::secret::Secret;
use super::{
    ClockRules, CommitPace, Config, DeadLetterLimit, HistoryRules, HttpSettings, LogSettings, Purpose,
    RecordBounds, SegmentSettings, Topics, intake, kafka, policy, rules, shops,
};
use crate::domain::lapse::LapsePolicies;
use crate::domain::rules::firing::Rulebook;
use crate::domain::segments::published::CutsInForce;
use crate::domain::settings::Settings;
use crate::domain::values::time::Span;
use crate::topic::{Input, Output, PerInput, PerOutput};
use crate::wire::{self, hash::secret_fingerprint};

/// Nothing folded may still lie in the longest window.
const HORIZON_MIN: Span = Span::days(365);

/// Reads every section; `None` if there were problems.
pub(super) fn read(mut layers: Layers, purpose: Purpose, problems: &mut Problems) -> Option<Config> {
    let reader = &mut Reader { layers: &layers, problems };
    let application = reader.get(&keys::APPLICATION);
    let instance = reader.get(&keys::INSTANCE);
    let workers = reader.get(&keys::WORKERS);
    let state_dir = reader.get(&keys::STATE_DIR);
    let mut topics = read_topics(reader);
    let registry_file = reader.optional(&keys::REGISTRY_FILE);
    let is_one = topics.registry.is_none() || registry_file.is_none();
    reader.relation([&keys::REGISTRY_FILE.key, &keys::TOPICS_REGISTRY.key], is_one, || {
        "the registry is a topic or a file, not both: leave one of them out".to_owned()
    });
    let erasure = ErasureSecrets::read(reader, &application);
    let segments = read_segments(reader);
    topics.writes_registry = topics.has_shares && topics.registry.is_some() && segments.is_some();
    let settings = read_settings(reader, &erasure, segments.as_ref());
    let clock = read_clock(reader);
    let record_bounds = RecordBounds {
        bytes_max: reader.get(&keys::RECORDS_MAX_BYTES),
        depth_max: reader.get(&keys::RECORDS_MAX_DEPTH),
    };
    let commit = read_commit(reader);
    let snapshot_interval = reader.get(&keys::SNAPSHOTS_INTERVAL);
    let dead_letters = DeadLetterLimit {
        share_max: reader.get(&keys::DEAD_LETTERS_MAX_SHARE),
        window: reader.get(&keys::DEAD_LETTERS_WINDOW),
    };
    let history = read_history(reader);
    let intake = intake::read(reader, &topics, &application, &instance);
    let http = read_http(reader);
    let log = read_log(reader);
    let kafka = kafka::read(reader);
    match purpose {
        Purpose::Kafka if kafka.bootstrap_servers().is_none() => {
            let path = Path::of(keys::KAFKA_BOOTSTRAP_SERVERS.key.path);
            if !reader.problems.concern(&path) {
                reader.missing(&path);
            }
        }
        Purpose::Kafka | Purpose::Offline => {}
    }
    if !reader.problems.is_empty() {
        return None;
    }
    let settings = settings?;
    layers.add_rules(settings.rules.as_ref().map(|rules| rules.set()));
    Some(Config {
        application,
        instance,
        workers,
        state_dir,
        topics,
        registry_file,
        erasure_fingerprint: secret_fingerprint(erasure.secret.expose()),
        former_erasure_fingerprint: erasure.former.map(|former| secret_fingerprint(former.expose())),
        settings,
        clock,
        record_bounds,
        commit,
        snapshot_interval,
        dead_letters,
        history,
        segments,
        intake,
        http,
        kafka,
        log,
        layers,
    })
}

fn read_history(reader: &mut Reader<'_>) -> HistoryRules {
    HistoryRules {
        signals: reader.get(&keys::SIGNALS_HISTORY),
        signals_from: reader.optional(&keys::SIGNALS_FROM),
    }
}

fn read_segments(reader: &mut Reader<'_>) -> Option<SegmentSettings> {
    let settings = SegmentSettings {
        customers_min: reader.get(&keys::SEGMENTS_CUSTOMERS_MIN),
        refresh: reader.get(&keys::SEGMENTS_REFRESH),
    };
    reader.get(&keys::SEGMENTS_ENABLED).then_some(settings)
}

fn read_topics(reader: &mut Reader<'_>) -> Topics {
    let settings = [
        keys::TOPICS_ORDERS,
        keys::TOPICS_RETURNS,
        keys::TOPICS_ERASURES,
        keys::TOPICS_SIGNALS,
        keys::TOPICS_CUSTOMERS,
        keys::TOPICS_DEAD_LETTERS,
        keys::TOPICS_CHANGELOG,
        keys::TOPICS_SHARES,
        keys::TOPICS_SHOP_METRICS,
        keys::TOPICS_REGISTRY,
    ];
    let names = settings.each_ref().map(|setting| reader.optional(setting));
    for (index, Setting { key, .. }) in settings.iter().enumerate() {
        let Some(name) = &names[index] else { continue };
        for (Setting { key: earlier, .. }, other) in settings.iter().zip(&names).take(index) {
            reader.relation([key, earlier], other.as_ref() != Some(name), || {
                format!("{name:?} is also the topic of {}; every topic has its own name", earlier.path)
            });
        }
    }
    Topics {
        inputs: PerInput::from_fn(|input| {
            reader.get(match input {
                Input::Orders => &keys::TOPICS_ORDERS,
                Input::Returns => &keys::TOPICS_RETURNS,
                Input::Erasures => &keys::TOPICS_ERASURES,
            })
        }),
        outputs: PerOutput::from_fn(|output| {
            reader.get(match output {
                Output::Signals => &keys::TOPICS_SIGNALS,
                Output::Customers => &keys::TOPICS_CUSTOMERS,
                Output::DeadLetters => &keys::TOPICS_DEAD_LETTERS,
                Output::Changelog => &keys::TOPICS_CHANGELOG,
                Output::Shares => &keys::TOPICS_SHARES,
                Output::ShopMetrics => &keys::TOPICS_SHOP_METRICS,
            })
        }),
        registry: reader.optional(&keys::TOPICS_REGISTRY),
        has_shares: reader.get(&keys::METRICS_SHARES),
        writes_registry: false,
    }
}

fn read_settings(
    reader: &mut Reader<'_>,
    erasure: &ErasureSecrets,
    segments: Option<&SegmentSettings>,
) -> Option<Settings> {
    let key_form = reader.get(&keys::KEY);
    let shops = shops::read(reader, key_form);
    let orders_max = reader.get(&keys::RECORDS_MAX_ORDERS);
    let return_window = reader.get(&keys::RECORDS_RETURN_WINDOW);
    let lateness = reader.get(&keys::RECORDS_LATENESS);
    let horizon = return_window.plus(lateness);
    let keys = [&keys::RECORDS_RETURN_WINDOW.key, &keys::RECORDS_LATENESS.key];
    reader.relation(keys, horizon >= HORIZON_MIN, || {
        "return_window and lateness must add up to at least 365d, the longest window; raise one of them"
            .to_owned()
    });
    let lapse = LapsePolicies::new(policy::read_lapse(reader), wire::hash::hash);
    let thresholds = policy::read_thresholds(reader);
    let tactics = rules::read(reader);
    Some(Settings {
        shops: shops?,
        return_window,
        lateness,
        orders_max,
        lapse,
        // Cut points come with the registry.
        segments: segments.map(|_| Arc::new(CutsInForce::new(&[]))),
        thresholds,
        rules: tactics
            .rules
            .map(|set| Arc::new(Rulebook::new(set, wire::hash::SignalId::as_hash, wire::hash::hash))),
        points: tactics.points,
        tiers: tactics.tiers,
        hash: wire::hash::hash,
        erasure_hash: wire::hash::erasure_hash(erasure.secret.expose()),
        former_erasure_hash: erasure.former.as_ref().map(|former| wire::hash::erasure_hash(former.expose())),
    })
}

/// The keys under which erased customers are remembered.
struct ErasureSecrets {
    secret: Secret,
    /// What was in force before a secret was configured; None without one.
    former: Option<Secret>,
}

impl ErasureSecrets {
    /// Without a secret the application's name is the key: markers of different applications then differ at least.
    fn read(reader: &mut Reader<'_>, application: &str) -> Self {
        let name = Secret::new(application.as_bytes());
        let Some(path) = reader.optional(&keys::ERASURE_SECRET_FILE) else {
            return Self { secret: name, former: None };
        };
        let secret = Secret::from_file_of_ours(&path).unwrap_or_else(|message| {
            reader.refuse(Path::of(keys::ERASURE_SECRET_FILE.key.path), message);
            Secret::new(*b"unset")
        });
        Self { secret, former: Some(name) }
    }
}

fn read_commit(reader: &mut Reader<'_>) -> CommitPace {
    let commit = CommitPace {
        interval: reader.get(&keys::COMMIT_INTERVAL),
        backlog_interval: reader.get(&keys::COMMIT_BACKLOG_INTERVAL),
        patience: reader.get(&keys::COMMIT_PATIENCE),
    };
    reader.relation(
        [&keys::COMMIT_BACKLOG_INTERVAL.key, &keys::COMMIT_INTERVAL.key],
        commit.backlog_interval >= commit.interval,
        || {
            "is shorter than commit.interval; a backlog is worked off in longer transactions, so raise it"
                .to_owned()
        },
    );
    commit
}

fn read_clock(reader: &mut Reader<'_>) -> ClockRules {
    ClockRules {
        grace: reader.get(&keys::CLOCK_GRACE),
        at_end: reader.get(&keys::CLOCK_AT_END),
        skew: reader.get(&keys::CLOCK_SKEW),
    }
}

fn read_http(reader: &mut Reader<'_>) -> HttpSettings {
    let token = reader.optional(&keys::HTTP_TOKEN_FILE).and_then(|path| {
        let token = Secret::from_file_of_ours(&path).and_then(|token| {
            let is_sendable = token.expose().iter().all(u8::is_ascii_graphic);
            is_sendable.then_some(token).ok_or_else(|| {
                "a bearer token has visible ASCII characters only; make one with `openssl rand -hex 32`"
                    .to_owned()
            })
        });
        token.map_err(|message| reader.refuse(Path::of(keys::HTTP_TOKEN_FILE.key.path), message)).ok()
    });
    HttpSettings { listen: reader.get(&keys::HTTP_LISTEN), token }
}

pub(super) fn read_log(reader: &mut Reader<'_>) -> LogSettings {
    LogSettings { level: reader.get(&keys::LOG_LEVEL), format: reader.get(&keys::LOG_FORMAT) }
}
