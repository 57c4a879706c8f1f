//! Section by section from the layers to the validated configuration.

use super::keys::KEYS;
use super::layers::{Layers, Path};
use super::problem::Problems;
use super::reader::Reader;
use super::secret::Secret;
use super::{
    ClockRules, CommitPace, Config, DeadLetterLimit, HttpSettings, LogFormat, LogLevel, LogSettings, Purpose,
    RecordBounds, Topics, kafka, policy, shops,
};
use crate::domain::lapse::LapsePolicies;
use crate::domain::settings::Settings;
use crate::domain::values::time::Span;
use crate::topic::{PerInput, PerOutput};
use crate::wire;

/// Nothing folded may still lie in the longest window.
const HORIZON_MIN: Span = Span::days(365);

/// Reads every section; `None` if there were problems.
pub(super) fn read(layers: Layers, purpose: Purpose, problems: &mut Problems) -> Option<Config> {
    let reader = &mut Reader { layers: &layers, problems };
    let application = reader.name("application");
    let instance = reader.name("instance");
    let workers = usize::try_from(reader.count("workers")).expect("bounded by the table");
    let state_dir = reader.path("state_dir");
    let topics = read_topics(reader);
    let registry_file = reader.optional_path("registry.file");
    let is_one = topics.registry.is_none() || registry_file.is_none();
    reader.relation(["registry.file", "topics.registry"], is_one, || {
        "the registry is a topic or a file, not both: leave one of them out".to_owned()
    });
    let erasure_secret = read_erasure_secret(reader, &application);
    let settings = read_settings(reader, &erasure_secret);
    let clock = ClockRules {
        grace: reader.span("clock.grace"),
        at_end: reader.clock_end("clock.at_end"),
        skew: reader.span("clock.skew"),
    };
    let record_bounds = RecordBounds {
        bytes_max: usize::try_from(reader.size("records.max_bytes")).expect("bounded by the table"),
        depth_max: usize::try_from(reader.count("records.max_depth")).expect("bounded by the table"),
    };
    let commit = read_commit(reader);
    let snapshot_interval = reader.duration("snapshots.interval");
    let dead_letters = DeadLetterLimit {
        share_max: reader.decimal("dead_letters.max_share"),
        window: usize::try_from(reader.count("dead_letters.window")).expect("bounded by the table"),
    };
    let http = read_http(reader);
    let log = read_log(reader);
    let kafka = kafka::read(reader);
    match purpose {
        Purpose::Kafka if kafka.bootstrap_servers().is_none() => {
            let path = Path::client("bootstrap.servers");
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
    Some(Config {
        application,
        instance,
        workers,
        state_dir,
        topics,
        registry_file,
        erasure_fingerprint: wire::hash::secret_fingerprint(erasure_secret.expose()),
        settings,
        clock,
        record_bounds,
        commit,
        snapshot_interval,
        dead_letters,
        http,
        kafka,
        log,
        layers,
    })
}

fn read_topics(reader: &mut Reader<'_>) -> Topics {
    let paths: Vec<&str> =
        KEYS.iter().map(|key| key.path).filter(|path| path.starts_with("topics.")).collect();
    let names: Vec<Option<String>> = paths.iter().map(|path| reader.optional_topic(path)).collect();
    for (index, path) in paths.iter().enumerate() {
        for earlier in 0..index {
            let differ = names[index].is_none() || names[earlier] != names[index];
            reader.relation([path, paths[earlier]], differ, || {
                format!(
                    "{:?} is also the topic of {}; every topic has its own name",
                    names[index].as_deref().unwrap_or_default(),
                    paths[earlier]
                )
            });
        }
    }
    Topics {
        inputs: PerInput::from_fn(|input| reader.topic(&format!("topics.{}", input.name()))),
        outputs: PerOutput::from_fn(|output| reader.topic(&format!("topics.{}", output.name()))),
        registry: reader.optional_topic("topics.registry"),
    }
}

fn read_settings(reader: &mut Reader<'_>, erasure_secret: &Secret) -> Option<Settings> {
    let key_form = reader.choice("key");
    let shops = shops::read(reader, key_form);
    let return_window = reader.span("records.return_window");
    let lateness = reader.span("records.lateness");
    let horizon = return_window.plus(lateness);
    reader.relation(["records.return_window", "records.lateness"], horizon >= HORIZON_MIN, || {
        "return_window and lateness must add up to at least 365d, the longest window; raise one of them"
            .to_owned()
    });
    let orders_max = usize::try_from(reader.count("records.max_orders")).expect("bounded by the table");
    let lapse = LapsePolicies::new(policy::read_lapse(reader), wire::hash::hash);
    let thresholds = policy::read_thresholds(reader);
    Some(Settings {
        shops: shops?,
        return_window,
        lateness,
        orders_max,
        lapse,
        thresholds,
        hash: wire::hash::hash,
        erasure_hash: wire::hash::erasure_hash(erasure_secret.expose()),
    })
}

/// Without a secret the application's name is the key: markers of different applications then differ at least.
fn read_erasure_secret(reader: &mut Reader<'_>, application: &str) -> Secret {
    let Some(path) = reader.optional_path("erasure.secret_file") else {
        return Secret::new(application.as_bytes());
    };
    Secret::from_file_of_ours(&path).unwrap_or_else(|message| {
        reader.refuse(Path::of("erasure.secret_file"), message);
        Secret::new(*b"unset")
    })
}

fn read_commit(reader: &mut Reader<'_>) -> CommitPace {
    let commit = CommitPace {
        interval: reader.duration("commit.interval"),
        backlog_interval: reader.duration("commit.backlog_interval"),
        patience: reader.duration("commit.patience"),
    };
    reader.relation(
        ["commit.backlog_interval", "commit.interval"],
        commit.backlog_interval >= commit.interval,
        || {
            "is shorter than commit.interval; a backlog is worked off in longer transactions, so raise it"
                .to_owned()
        },
    );
    commit
}

fn read_http(reader: &mut Reader<'_>) -> HttpSettings {
    let token = reader.optional_path("http.token_file").and_then(|path| {
        let token = Secret::from_file_of_ours(&path).and_then(|token| {
            let is_sendable = token.expose().iter().all(u8::is_ascii_graphic);
            is_sendable.then_some(token).ok_or_else(|| {
                "a bearer token has visible ASCII characters only; make one with `openssl rand -hex 32`"
                    .to_owned()
            })
        });
        token.map_err(|message| reader.refuse(Path::of("http.token_file"), message)).ok()
    });
    HttpSettings { listen: reader.address("http.listen"), token }
}

fn read_log(reader: &mut Reader<'_>) -> LogSettings {
    let level = match reader.choice("log.level") {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    let format = match reader.choice("log.format") {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    LogSettings { level, format }
}
