//! `registry list` and `registry withdraw`: what the registry's topic holds, and a record taken back before it counts. `fit --publish` writes
//! to it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::commands::check::state::patiently;
use crate::commands::cli::{self, CommonArguments};
use crate::config::{Config, Purpose};
use crate::domain::settings::Shops;
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};
use crate::kafka::{self, Appended, Appender, KafkaSettings, Role, host_wall_clock};
use crate::stream::broker::BrokerError;
use crate::stream::registry::{PARTITION, Registry, RegistryReader, RegistrySource};
use crate::stream::worker::Stop;
use crate::topic::Topic;
use crate::wire::encode::time_text;
use crate::wire::registry::cuts::{CUTS, CutsRecord};
use crate::wire::registry::{self, MODEL, ModelRecord};

/// Commands about the registry.
#[derive(Subcommand, Clone, Debug)]
pub enum RegistryCommand {
    /// Shows the records: which count, since when or from when on, which are withdrawn, and what is wrong with the others
    #[command(after_long_help = cli::REGISTRY_CODES)]
    List(ListArguments),
    /// Takes a record back that does not count yet. One that counts stays, because its signals are out: publish a newer one
    #[command(after_long_help = cli::REGISTRY_CODES)]
    Withdraw(WithdrawArguments),
}

/// Arguments of `registry list`.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// Prints the records as the lines of a registry file, for `registry.file`
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `registry withdraw`.
#[derive(Args, Clone, Debug)]
pub struct WithdrawArguments {
    /// The key of the record, as `registry list` shows it
    #[arg(value_name = "KEY")]
    pub key: String,
}

/// Carries the command out, and gives what is to be printed.
///
/// # Errors
/// Kafka cannot be reached or refuses, there is no registry, or the record cannot be withdrawn.
pub fn run(common: &CommonArguments, command: &RegistryCommand) -> Result<String, Failure> {
    let config = common.load(Purpose::Kafka)?;
    let topic = RegistryTopic::of(&config)?;
    let registry = topic.read().map_err(|failure| topic.explain(failure))?;
    let now = now();
    match command {
        RegistryCommand::List(ListArguments { json: true }) => Ok(lines(&registry)),
        RegistryCommand::List(ListArguments { json: false }) => {
            Ok(list(&registry, &config.settings.shops, now))
        }
        RegistryCommand::Withdraw(WithdrawArguments { key }) => {
            let Some(value) = registry.get(key.as_bytes()) else {
                let message = format!("the registry has no record {key:?}; `registry list` shows its keys");
                return Err(Failure::message(Exit::Data, message));
            };
            let withdrawn = withdrawn(key, value, now)?;
            let at = topic.append(key, &withdrawn)?;
            Ok(format!("{key} is withdrawn: {at}\n"))
        }
    }
}

/// The instant of this machine.
pub(crate) fn now() -> Time {
    Time::from_millis(host_wall_clock()()).expect("the present lies between 1970 and 9999")
}

/// The topic of a registry.
pub(crate) struct RegistryTopic {
    settings: Arc<KafkaSettings>,
    patience: Duration,
}

impl RegistryTopic {
    /// # Errors
    /// [`Exit::Configuration`] if the registry is no topic.
    pub(crate) fn of(config: &Config) -> Result<Self, Failure> {
        let message = match (&config.topics.registry, &config.registry_file) {
            (Some(_), None) => {
                let settings = Arc::new(KafkaSettings::new(config));
                return Ok(Self { settings, patience: config.commit.patience });
            }
            (_, Some(path)) => {
                format!("the registry is the file {}, which is edited by hand", path.display())
            }
            (None, None) => {
                "there is no registry: name its topic in topics.registry, and `topics apply` creates it"
                    .to_owned()
            }
        };
        Err(Failure::message(Exit::Configuration, message))
    }

    /// Everything that the topic holds now.
    fn read(&self) -> Result<Registry, Failure> {
        kafka::partitions_of(&self.settings, Topic::Registry, self.patience)?;
        let stopped = |error: BrokerError| Stop::from(error).into_failure();
        let mut lookup = kafka::lookup(&self.settings, kafka::Layout::BESIDE).map_err(stopped)?;
        let mut reader = RegistryReader::new(&RegistrySource::Topic);
        while !patiently(|| reader.start(&mut lookup))? {}
        Ok(reader.registry().clone())
    }

    /// Publishes a model, and says where it lies; one that is there already is left as it is. Written again it would count from a later day
    /// on, and move deadlines of silences that it judges already.
    ///
    /// # Errors
    /// Those of [`Self::read`] and [`Self::append`].
    pub(crate) fn publish(&self, record: &ModelRecord) -> Result<String, Failure> {
        let key = record.key();
        let registry = self.read().map_err(|failure| self.explain(failure))?;
        let known = registry.get(key.as_bytes()).and_then(|value| Known::read(key.as_bytes(), value).ok());
        let stands = known.is_some_and(|known| {
            known.withdrawn_at().is_none() && known.effective_at() <= record.effective_at.0
        });
        if stands {
            return Ok(format!("{key} is published already; nothing was written"));
        }
        let at = self.append(&key, &record.to_json())?;
        Ok(match record.effective_at.0 {
            Time::MIN => format!("{at}: it judges every silence from now on"),
            from => format!(
                "{at}: it judges silences that begin on {} or later; until then `registry withdraw {key}` takes it back",
                day(from)
            ),
        })
    }

    /// Appends a record, and says where it lies.
    ///
    /// # Errors
    /// It was refused, or not acknowledged in time.
    fn append(&self, key: &str, value: &str) -> Result<String, Failure> {
        let append = || {
            let appender = Appender::open(&self.settings, Topic::Registry, self.patience)?;
            appender.append(PARTITION.0, key.as_bytes(), value.as_bytes())
        };
        let Appended { offset, .. } = append().map_err(|failure| self.explain(failure))?;
        Ok(format!("written to {}, offset {offset}", self.settings.topic_name(Topic::Registry)))
    }

    fn explain(&self, failure: Failure) -> Failure {
        kafka::explain(&self.settings, &self.settings.required(&Role::Publisher), failure)
    }
}

fn lines(registry: &Registry) -> String {
    let mut text = String::new();
    for (key, value) in registry.records() {
        text.push_str(&registry::file_line(&String::from_utf8_lossy(key), &String::from_utf8_lossy(value)));
    }
    text
}

/// A line a record.
fn list(registry: &Registry, shops: &Shops, now: Time) -> String {
    if registry.is_empty() {
        return "the registry is empty\n".to_owned();
    }
    let rows: Vec<_> = registry
        .records()
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), standing(key, value, shops, now)))
        .collect();
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (key, standing) in rows {
        writeln!(text, "{key:width$}  {standing}").expect("writing to a string");
    }
    text
}

/// A record of a kind that this program knows.
enum Known {
    Model(Box<ModelRecord>),
    Cuts(Box<CutsRecord>),
}

impl Known {
    /// # Errors
    /// Why it is none.
    fn read(key: &[u8], value: &[u8]) -> Result<Self, String> {
        let is_of = |kind: &str| key.starts_with(kind.as_bytes()) && key.get(kind.len()) == Some(&b'/');
        let known = if is_of(MODEL) {
            serde_json::from_slice(value).map(|record| Self::Model(Box::new(record)))
        } else if is_of(CUTS) {
            serde_json::from_slice(value).map(|record| Self::Cuts(Box::new(record)))
        } else {
            return Err("this program does not know the kind".to_owned());
        };
        known.map_err(|error| error.to_string())
    }

    /// Why a service with these shops does not use it.
    fn problem(&self, shops: &Shops) -> Option<String> {
        match self {
            Self::Model(record) => ModelRecord::read(record.to_json().as_bytes(), shops).err(),
            Self::Cuts(record) => CutsRecord::read(record.to_json().as_bytes(), shops).err(),
        }
    }

    fn effective_at(&self) -> Time {
        match self {
            Self::Model(record) => record.effective_at.0,
            Self::Cuts(record) => record.effective_at.0,
        }
    }

    /// Only if it was withdrawn in time.
    fn withdrawn_at(&self) -> Option<Time> {
        let at = match self {
            Self::Model(record) => record.withdrawn_at,
            Self::Cuts(record) => record.withdrawn_at,
        };
        at.map(|at| at.0).filter(|at| *at < self.effective_at())
    }

    fn about(&self) -> String {
        match self {
            Self::Model(record) => {
                format!("fitted on {} customers of {}", record.fitted_on.customers, day(record.fitted_at.0))
            }
            Self::Cuts(record) => {
                format!("cut points of {} customers of {}", record.customers, day(record.day.0))
            }
        }
    }

    /// As it is written again.
    fn withdrawn(self, now: Time) -> String {
        let at = Some(registry::Instant(now));
        match self {
            Self::Model(record) => ModelRecord { withdrawn_at: at, ..*record }.to_json(),
            Self::Cuts(record) => CutsRecord { withdrawn_at: at, ..*record }.to_json(),
        }
    }
}

/// Whether a record counts.
fn standing(key: &[u8], value: &[u8], shops: &Shops, now: Time) -> String {
    let record = match Known::read(key, value) {
        Ok(record) => record,
        Err(problem) => return format!("not used: {problem}"),
    };
    if let Some(problem) = record.problem(shops) {
        return format!("not used: {problem}");
    }
    let about = record.about();
    match (record.effective_at(), record.withdrawn_at()) {
        (_, Some(at)) => format!("withdrawn at {}; {about}", instant(at)),
        (Time::MIN, None) => format!("counts for every silence; {about}"),
        (from, None) if from <= now => format!("counts for silences since {}; {about}", day(from)),
        (from, None) => format!("will count for silences from {} on; {about}", day(from)),
    }
}

/// The record as it is to be written again.
fn withdrawn(key: &str, value: &[u8], now: Time) -> Result<String, Failure> {
    let refused = |message: String| Failure::message(Exit::Data, message);
    let record = Known::read(key.as_bytes(), value)
        .map_err(|problem| refused(format!("{key} cannot be withdrawn: {problem}")))?;
    if let Some(before) = record.withdrawn_at() {
        return Err(refused(format!("{key} is withdrawn already, since {}", instant(before))));
    }
    let effective_at = record.effective_at();
    if now >= effective_at {
        return Err(refused(format!(
            "{key} counts since {}, and a record that counts is not taken back: signals that it decided are out. Publish a newer one",
            instant(effective_at)
        )));
    }
    Ok(record.withdrawn(now))
}

fn instant(at: Time) -> String {
    String::from_utf8_lossy(&time_text(at)).into_owned()
}

/// `2011-06-10`.
fn day(at: Time) -> String {
    instant(at)[..10].to_owned()
}
