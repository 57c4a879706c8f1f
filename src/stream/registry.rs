//! The registry: records that all partitions need, such as models and cut points, in one compacted topic with one partition.
//!
//! ```text
//!  start ─► read to the end that it has now ─► the worker joins its group
//!                                              every second: records that came since; an outage changes nothing
//! ```
//!
//! Registry records are not merged with the inputs, and nothing of them is in a seal: each record names the time from
//! which it counts (`effective_at`, at least a day after it is written), so it does not matter when a worker reads it. That is why a worker
//! goes on with the records that it has while the registry is not available. Without a registry nothing is read.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Config;
use crate::domain::lapse::model::Model;
use crate::domain::segments::published::PublishedCuts;
use crate::domain::settings::Shops;
use crate::exit::{Exit, Failure};
use crate::fault;
use crate::stream::broker::{BrokerError, Lookup, Moment, Position, RecordBatch, Watermark};
use crate::topic::{Partition, Topic};
use crate::wire::registry::cuts::{CUTS, CutsRecord};
use crate::wire::registry::{MODEL, ModelRecord};

/// The only one.
pub const PARTITION: Partition = Partition(0);
/// One call of the start.
const CALL_MAX: Duration = Duration::from_millis(500);
/// New records are looked for so often.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The latest record of each key, `kind/store/version`.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    records: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Registry {
    /// Takes a record in. Without a value it deletes the key; without a key it is no record of a registry.
    pub fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Some(key) = key else { return };
        match value {
            Some(value) => drop(self.records.insert(key.into(), value.into())),
            None => drop(self.records.remove(key)),
        }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What the records mean for the shops that are configured.
    pub fn contents(&self, shops: &Shops) -> RegistryContents {
        let mut unusable = Vec::new();
        let models = self.usable(MODEL, |value| ModelRecord::read(value, shops), &mut unusable);
        let cuts = self.usable(CUTS, |value| CutsRecord::read(value, shops), &mut unusable);
        RegistryContents { models, cuts, unusable }
    }

    fn usable<R>(
        &self,
        kind: &str,
        read: impl Fn(&[u8]) -> Result<Option<R>, String>,
        unusable: &mut Vec<String>,
    ) -> Vec<R> {
        let mut usable = Vec::new();
        for (key, value) in self.of_kind(kind) {
            match read(value) {
                Ok(record) => usable.extend(record),
                Err(problem) => unusable.push(format!("{}: {problem}", String::from_utf8_lossy(key))),
            }
        }
        usable
    }

    /// All records, by key.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.records.iter().map(|(key, value)| (&**key, &**value))
    }

    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.get(key).map(|value| &**value)
    }

    /// The records of a kind, by key.
    pub fn of_kind<'r>(&'r self, kind: &'r str) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.records
            .range::<[u8], _>((Bound::Included(kind.as_bytes()), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(kind.as_bytes()))
            .filter(|(key, _)| key.get(kind.len()) == Some(&b'/'))
            .map(|(key, value)| (&**key, &**value))
    }
}

/// The records of a registry that count for the configured shops, and why others cannot be used, by key.
#[derive(Default, Debug)]
pub struct RegistryContents {
    pub models: Vec<Model>,
    pub cuts: Vec<PublishedCuts>,
    pub unusable: Vec<String>,
}

/// Where the registry is.
#[derive(Clone, Debug)]
pub enum RegistrySource {
    /// There is none.
    None,
    Topic,
    File(Arc<Registry>),
}

impl RegistrySource {
    /// The configured source. A file is read at once.
    ///
    /// # Errors
    /// Those of [`Registry::read_file`].
    pub fn open(config: &Config) -> Result<Self, Failure> {
        match (&config.registry_file, &config.topics.registry) {
            (Some(path), _) => {
                let registry = Registry::read_file(path)?;
                registry.contents_of_file(path, &config.settings.shops)?;
                info!(records = registry.len(), file = %path.display(), "registry read");
                Ok(Self::File(Arc::new(registry)))
            }
            (None, Some(_)) => Ok(Self::Topic),
            (None, None) => Ok(Self::None),
        }
    }
}

/// What one line of a registry's file holds.
#[derive(serde::Deserialize)]
struct FileRecord {
    key: String,
    /// None deletes the key.
    value: Option<Box<serde_json::value::RawValue>>,
}

impl Registry {
    /// Reads a file of JSON Lines, `{"key": …, "value": …}`: the records of a registry in their order.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if it cannot be read, with the line.
    pub fn read_file(path: &Path) -> Result<Self, Failure> {
        let refused = |message: String| Failure::message(Exit::Configuration, message);
        let text = fs::read_to_string(path)
            .map_err(|error| refused(format!("read the registry {}: {error}", path.display())))?;
        let mut registry = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let record: FileRecord = serde_json::from_str(line).map_err(|error| {
                refused(format!("registry {}, line {}: {error}", path.display(), index + 1))
            })?;
            let value = record.value.as_ref().map(|value| value.get().as_bytes());
            registry.apply(Some(record.key.as_bytes()), value);
        }
        Ok(registry)
    }

    /// What the records of a file mean.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if one of them cannot be used: the operator is there to mend a file.
    pub fn contents_of_file(&self, path: &Path, shops: &Shops) -> Result<RegistryContents, Failure> {
        let contents = self.contents(shops);
        if contents.unusable.is_empty() {
            return Ok(contents);
        }
        let message = format!("registry {}: {}", path.display(), contents.unusable.join("; "));
        Err(Failure::message(Exit::Configuration, message))
    }
}

/// Has the records of the registry, and reads its topic if it is one.
pub struct RegistryReader {
    registry: Arc<Registry>,
    stage: Stage,
    /// Whether records came since [`Self::take_news`].
    has_news: bool,
    /// An outage is logged once.
    is_out: bool,
}

/// How far the topic was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is no topic to read.
    Off,
    Unread,
    /// Up to the end that was found at the start.
    Reading {
        next: Position,
        end: Position,
    },
    Following {
        next: Position,
        read_at: Moment,
    },
}

impl RegistryReader {
    pub fn new(source: &RegistrySource) -> Self {
        let (registry, stage) = match source {
            RegistrySource::None => (Arc::default(), Stage::Off),
            RegistrySource::Topic => (Arc::default(), Stage::Unread),
            RegistrySource::File(registry) => (Arc::clone(registry), Stage::Off),
        };
        Self { has_news: !registry.is_empty(), registry, stage, is_out: false }
    }

    /// The registry, if it has changed since the last call.
    pub fn take_news(&mut self) -> Option<&Registry> {
        std::mem::take(&mut self.has_news).then_some(&self.registry)
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes in a record that the caller has written itself.
    pub fn apply(&mut self, key: &[u8], value: &[u8]) {
        Arc::make_mut(&mut self.registry).apply(Some(key), Some(value));
    }

    /// Takes one step of the start. Whether the topic was read to its end.
    pub fn start<L: Lookup>(&mut self, lookup: &mut L) -> Result<bool, BrokerError> {
        match self.stage {
            Stage::Unread => {
                let partitions = lookup.partition_counts(&[Topic::Registry], CALL_MAX)?[0];
                if partitions != 1 {
                    let message =
                        format!("the registry has {partitions} partitions; create the topic with one");
                    return Err(BrokerError::stop(Exit::Configuration, message));
                }
                let log = [(Topic::Registry, PARTITION)];
                let next = lookup.watermarks(Watermark::Low, &log, CALL_MAX)?[0];
                // Records behind an open transaction may never be committed; they are read when they are.
                let end = lookup.watermarks(Watermark::Stable, &log, CALL_MAX)?[0];
                self.stage = Stage::Reading { next, end };
                Ok(false)
            }
            Stage::Reading { next, end } if next >= end => {
                self.stage = Stage::Following { next, read_at: lookup.now() };
                info!(records = self.registry.len(), "registry read to its end");
                Ok(true)
            }
            Stage::Reading { next, end } => {
                let next = self.read(lookup, next, CALL_MAX)?;
                self.stage = Stage::Reading { next, end };
                Ok(false)
            }
            Stage::Off | Stage::Following { .. } => Ok(true),
        }
    }

    /// Whether records may have come that were not looked for yet.
    pub fn is_due(&self, now: Moment) -> bool {
        match self.stage {
            Stage::Following { read_at, .. } => now.since(read_at) >= READ_EVERY,
            Stage::Off | Stage::Unread | Stage::Reading { .. } => false,
        }
    }

    /// Takes in the records that have come since the last call. Never waits and never fails: without the topic the worker goes on
    /// with the records that it has.
    pub fn follow<L: Lookup>(&mut self, lookup: &mut L) {
        let Stage::Following { next, .. } = self.stage else { return };
        let next = match self.read(lookup, next, Duration::ZERO) {
            Ok(next) => {
                self.is_out = false;
                next
            }
            Err(BrokerError::Retry(_)) => next,
            Err(error) => {
                if !self.is_out {
                    warn!(error = format!("{:#}", anyhow::Error::from(error)), "the registry cannot be read");
                }
                self.is_out = true;
                next
            }
        };
        self.stage = Stage::Following { next, read_at: lookup.now() };
    }

    fn read<L: Lookup>(
        &mut self,
        lookup: &mut L,
        from: Position,
        within: Duration,
    ) -> Result<Position, BrokerError> {
        let (batch, next) = lookup.read_log(Topic::Registry, PARTITION, from, within)?;
        let registry = Arc::make_mut(&mut self.registry);
        for index in 0..batch.len() {
            let record = batch.get(index);
            registry.apply(record.key, record.value);
        }
        if !batch.is_empty() {
            self.has_news = true;
            fault::note_registry(&self.registry);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(registry: &Registry, kind: &str) -> Vec<String> {
        registry.of_kind(kind).map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    #[test]
    fn the_latest_record_of_a_key_counts_until_it_is_deleted() {
        let mut registry = Registry::default();
        registry.apply(Some(b"cuts/*/1"), Some(b"a"));
        registry.apply(Some(b"model/*/1"), Some(b"b"));
        registry.apply(Some(b"model/*/2"), Some(b"c"));
        registry.apply(Some(b"models/*/3"), Some(b"another kind"));
        registry.apply(None, Some(b"no key"));
        assert_eq!(kinds(&registry, "model"), ["model/*/1", "model/*/2"]);
        registry.apply(Some(b"model/*/1"), Some(b"newer"));
        assert_eq!(registry.of_kind("model").next(), Some((&b"model/*/1"[..], &b"newer"[..])));
        registry.apply(Some(b"model/*/1"), None);
        assert_eq!(kinds(&registry, "model"), ["model/*/2"]);
        assert!(kinds(&registry, "lives").is_empty());
    }

    #[test]
    fn a_file_holds_a_record_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.jsonl");
        let lines = "{\"key\":\"cuts/*/1\",\"value\":{\"kind\":\"cuts\"}}\n\n{\"key\":\"cuts/*/1\",\"value\":null}\n\
                     {\"key\":\"model/*/1\",\"value\":{\"kind\": \"mbg_nbd\"}}\n";
        fs::write(&path, lines).expect("written");
        let registry = Registry::read_file(&path).expect("read");
        let records: Vec<_> = registry.of_kind("model").collect();
        assert_eq!(records, [(&b"model/*/1"[..], &b"{\"kind\": \"mbg_nbd\"}"[..])]);
        assert_eq!(registry.len(), 1);
        fs::write(&path, "{\"key\":\"cuts/*/1\"}\nno JSON\n").expect("written");
        let refused = Registry::read_file(&path).expect_err("a line that is no record");
        assert_eq!(refused.exit, Exit::Configuration);
        assert!(refused.to_string().contains("line 2"), "{refused}");
    }
}
