//! The files of `tests/data/state-v1`; its README says what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use retention_signals::config::{self, Config, Purpose, Sources};
use retention_signals::stream::broker::Position;
use retention_signals::topic::Input;
use serde::Deserialize;
use serde_json::Value;

pub struct Fixture {
    folder: PathBuf,
    pub facts: Value,
}

/// Before the seals, or what came afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Before,
    Afterwards,
}

/// A record of any topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub partition: u32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// The partition's offsets of the group.
pub struct Offsets {
    pub partition: u32,
    pub positions: [(Input, Option<Position>); 3],
    pub metadata: String,
}

#[derive(Deserialize)]
struct InputLine {
    topic: String,
    partition: u32,
    offset: u64,
    key: Option<String>,
    key_hex: Option<String>,
    value: Option<String>,
    value_hex: Option<String>,
}

#[derive(Deserialize)]
struct ChangelogLine {
    partition: u32,
    offset: u64,
    key: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct OutputLine {
    partition: u32,
    key: Option<String>,
    key_hex: Option<String>,
    value: Option<Value>,
    profile: Option<Value>,
}

impl Fixture {
    /// The names of all.
    pub fn names() -> [&'static str; 8] {
        ["corners", "random-cadence", "random-fixed", "random-quick", "shop", "slow", "stores", "story"]
    }

    pub fn open(name: &str) -> Result<Fixture> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state-v1").join(name);
        let facts = serde_json::from_str(&text(&folder.join("fixture.json"))?)?;
        Ok(Fixture { folder, facts })
    }

    pub fn number(&self, name: &str) -> Result<i64> {
        self.facts[name].as_i64().with_context(|| format!("{name} is a number"))
    }

    pub fn partitions(&self) -> Result<u32> {
        Ok(u32::try_from(self.number("partitions")?)?)
    }

    /// Where the clock goes at the ends of the inputs.
    pub fn clock_at_end(&self) -> Result<&str> {
        self.facts["clock_at_end"]["afterwards"].as_str().context("a text")
    }

    /// None: the application's name takes its place.
    pub fn secret_file(&self) -> Option<String> {
        let name = self.facts["erasure_secret_file"].as_str()?;
        Some(self.folder.join(name).display().to_string())
    }

    pub fn configuration(&self) -> Result<String> {
        text(&self.folder.join("config.toml"))
    }

    pub fn config(&self) -> Result<Config> {
        let mut assignments = vec![
            format!("clock.at_end={}", self.clock_at_end()?),
            "commit.interval=10ms".to_owned(),
            "commit.backlog_interval=10ms".to_owned(),
        ];
        assignments.extend(self.secret_file().map(|file| format!("erasure.secret_file={file}")));
        let sources = Sources {
            host_name: Some("host".to_owned()),
            file_text: Some(self.configuration()?),
            assignments,
            ..Sources::default()
        };
        Ok(config::load(&sources, Purpose::Offline)?)
    }

    pub fn snapshots(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.folder.join("snapshots"))?;
        Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
    }

    pub fn inputs(&self, part: Part) -> Result<Vec<(Input, Line)>> {
        let lines: Vec<InputLine> = self.lines(part, "inputs")?;
        lines
            .into_iter()
            .map(|line| {
                let input = match line.topic.as_str() {
                    "orders" => Input::Orders,
                    "returns" => Input::Returns,
                    "erasures" => Input::Erasures,
                    other => anyhow::bail!("no input: {other}"),
                };
                let key = bytes(line.key, line.key_hex)?;
                let value = bytes(line.value, line.value_hex)?;
                Ok((input, Line { partition: line.partition, offset: line.offset, key, value }))
            })
            .collect()
    }

    pub fn changelog(&self) -> Result<Vec<Line>> {
        let lines: Vec<ChangelogLine> = self.lines(Part::Before, "changelog")?;
        let line = |line: ChangelogLine| {
            let (key, value) = (bytes(None, Some(line.key))?, bytes(None, line.value)?);
            Ok(Line { partition: line.partition, offset: line.offset, key, value })
        };
        lines.into_iter().map(line).collect()
    }

    pub fn committed(&self) -> Result<Vec<Offsets>> {
        let rows = self.facts["committed_offsets"].as_array().context("a list")?;
        let offsets = |row: &Value| -> Result<Offsets> {
            let position = |name: &str| row[name].as_u64().map(Position);
            Ok(Offsets {
                partition: u32::try_from(row["partition"].as_u64().context("a number")?)?,
                positions: [
                    (Input::Orders, position("orders")),
                    (Input::Returns, position("returns")),
                    (Input::Erasures, position("erasures")),
                ],
                metadata: row["metadata"].as_str().unwrap_or_default().to_owned(),
            })
        };
        rows.iter().map(offsets).collect()
    }

    /// The signals of a partition, in their order.
    pub fn signals(&self, part: Part, partition: u32) -> Result<Vec<Value>> {
        let lines: Vec<OutputLine> = self.lines(part, "signals")?;
        let mine = lines.into_iter().filter(|line| line.partition == partition);
        mine.map(|line| line.value.context("a signal has a value")).collect()
    }

    /// What stays of the profiles that were published, by key.
    pub fn profiles(&self, part: Part) -> Result<BTreeMap<Vec<u8>, Value>> {
        let mut profiles = BTreeMap::new();
        for line in self.lines::<OutputLine>(part, "profiles")? {
            let key = bytes(line.key, line.key_hex)?.context("a profile has a key")?;
            match line.value {
                Some(value) => profiles.insert(key, value),
                None => profiles.remove(&key),
            };
        }
        Ok(profiles)
    }

    /// The profiles of a partition's customers at the clock of its seal, by key.
    pub fn restored(&self, part: Part, partition: u32) -> Result<BTreeMap<Vec<u8>, Value>> {
        let mut profiles = BTreeMap::new();
        for line in self.lines::<OutputLine>(part, "restored")? {
            let key = bytes(line.key, line.key_hex)?;
            if let (Some(key), Some(profile), true) = (key, line.profile, line.partition == partition) {
                profiles.insert(key, profile);
            }
        }
        Ok(profiles)
    }

    /// Customers with a return that was stated twice with different content. Version 1 let the later time win, and now the greater
    /// refund wins: of these customers facts and signals may differ, of all others they may not.
    pub fn with_conflicting_returns(&self) -> Result<BTreeSet<Vec<u8>>> {
        let mut contents: BTreeMap<(Vec<u8>, String), Value> = BTreeMap::new();
        let mut customers = BTreeSet::new();
        for part in [Part::Before, Part::Afterwards] {
            for (input, line) in self.inputs(part)? {
                let (Input::Returns, Some(key), Some(value)) = (input, line.key, line.value) else {
                    continue;
                };
                let Ok(record) = serde_json::from_slice::<Value>(&value) else { continue };
                let content =
                    ["returned_at", "refund", "currency", "order_id"].map(|name| record[name].clone());
                let content = Value::from(content.to_vec());
                let id = (key.clone(), record["return_id"].to_string());
                if contents.insert(id, content.clone()).is_some_and(|before| before != content) {
                    customers.insert(key);
                }
            }
        }
        Ok(customers)
    }

    fn lines<T: for<'a> Deserialize<'a>>(&self, part: Part, name: &str) -> Result<Vec<T>> {
        let folder = match part {
            Part::Before => self.folder.clone(),
            Part::Afterwards => self.folder.join("afterwards"),
        };
        let path = folder.join(format!("{name}.jsonl"));
        let line = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
        text(&path)?.lines().map(line).collect()
    }
}

/// Whether a record has all fields of version 1 with their values: later versions may add fields.
pub fn says(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, expected)| found.get(name).is_some_and(|found| says(found, expected)))
        }
        (found, expected) => found == expected,
    }
}

/// The key of the customer of a signal.
fn key_of(signal: &Value) -> Vec<u8> {
    let customer_id = signal["customer_id"].as_str().unwrap_or_default();
    match signal["store_id"].as_str() {
        Some(store_id) => format!("{store_id}/{customer_id}").into_bytes(),
        None => customer_id.as_bytes().to_vec(),
    }
}

/// Whether the signals of one partition are those of version 1, those of some customers aside.
pub fn compare_signals(
    mut found: Vec<Value>,
    mut expected: Vec<Value>,
    without: &BTreeSet<Vec<u8>>,
) -> Result<()> {
    for signals in [&mut found, &mut expected] {
        signals.retain(|signal| !without.contains(&key_of(signal)));
    }
    for (found, expected) in found.iter().zip(&expected) {
        anyhow::ensure!(says(found, expected), "{found}\nnot {expected}");
    }
    anyhow::ensure!(found.len() == expected.len(), "{} signals, not {}", found.len(), expected.len());
    Ok(())
}

/// Whether two tables hold the same keys, with all fields of version 1, some customers aside.
pub fn compare(
    found: &BTreeMap<Vec<u8>, Value>,
    expected: &BTreeMap<Vec<u8>, Value>,
    without: &BTreeSet<Vec<u8>>,
) -> Result<()> {
    let others = |table: &BTreeMap<Vec<u8>, Value>| {
        let mut table = table.clone();
        table.retain(|key, _| !without.contains(key));
        table
    };
    let (found, expected) = (others(found), others(expected));
    let keys = |table: &BTreeMap<Vec<u8>, Value>| {
        table.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
    };
    anyhow::ensure!(found.keys().eq(expected.keys()), "{:?}, not {:?}", keys(&found), keys(&expected));
    for (found, expected) in found.values().zip(expected.values()) {
        anyhow::ensure!(says(found, expected), "{found}\nnot {expected}");
    }
    Ok(())
}

/// The content of a file, or of one of this name that is compressed.
fn text(path: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(path) {
        return Ok(text);
    }
    let path = path.with_extension("jsonl.gz");
    let file = fs::File::open(&path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
    Ok(text)
}

fn bytes(text: Option<String>, hex: Option<String>) -> Result<Option<Vec<u8>>> {
    let Some(hex) = hex else { return Ok(text.map(String::into_bytes)) };
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).context("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect::<Result<_>>().map(Some)
}
