//! `replay`, from its arguments to its files: against the independent oracle, and with input that is broken.

mod arguments;
mod broken;
mod cases;
mod counts;
mod csv_files;
mod history;
mod inputs;
mod mapped_json;
mod rules;
mod segments;
mod shop_cases;
mod tactics;

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use retention_signals::commands::cli::{self, Command, Parsed};
use retention_signals::exit::Failure;
use serde_json::Value;

pub fn trials() -> Vec<Trial> {
    let mut trials = history::trials();
    trials.extend(inputs::trials());
    trials.extend(broken::trials());
    trials.extend(cases::trials());
    trials.extend(counts::trials());
    trials.extend(shop_cases::trials());
    trials.extend(csv_files::trials());
    trials.extend(mapped_json::trials());
    trials.extend(arguments::trials());
    trials.extend(segments::trials());
    trials.extend(rules::trials());
    trials.extend(tactics::trials());
    trials
}

/// The column map that ships.
const ONLINE_RETAIL_MAP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/maps/online-retail.toml");

/// A few hundred invoices of the UCI file.
const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/online_retail_extract.csv");

/// What a replay wrote.
#[derive(Debug, PartialEq)]
pub struct Results {
    report: String,
    signals: Vec<Value>,
    pub customers: Vec<Value>,
    shop_metrics: Vec<Value>,
    cohorts: Vec<Value>,
    dead_letters: Vec<Value>,
    summary: Value,
}

/// A temporary folder with inputs.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.path().join(name), content).expect("a writable folder");
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a temporary folder in UTF-8").to_owned()
    }

    /// Replays into the folder `out` below this one; more may be refused than the limit allows.
    pub fn replay(&self, arguments: &[&str]) -> Result<Results, Failure> {
        self.replay_all(arguments).map(|(_, results)| results)
    }

    /// The same with the exit code; results are written although too many records are refused.
    fn replay_all(&self, arguments: &[&str]) -> Result<(u8, Results), Failure> {
        let out = self.path("out");
        match replay(&[arguments, &["--out", &out]].concat()) {
            Ok(report) => Ok((0, Results::read(report, Path::new(&out)))),
            Err(failure) if failure.to_string().contains("\nreplayed ") => {
                Ok((failure.exit.code(), Results::read(failure.to_string(), Path::new(&out))))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Replays inputs of which more is refused than the limit allows.
    fn replay_refused(&self, arguments: &[&str]) -> Result<Results, Failed> {
        match self.replay_all(arguments)? {
            (65, results) => Ok(results),
            (code, results) => Err(format!("the exit code is {code}\n{}", results.report).into()),
        }
    }
}

impl Results {
    fn read(report: String, folder: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(folder.join(name)).expect("a result");
        let lines = |name: &str| {
            text(name).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
        };
        Self {
            report,
            signals: lines("signals.jsonl"),
            customers: lines("customers.jsonl"),
            shop_metrics: lines("shop-metrics.jsonl"),
            cohorts: lines("cohorts.jsonl"),
            dead_letters: lines("dead-letters.jsonl"),
            summary: serde_json::from_str(&text("summary.json")).expect("the summary is JSON"),
        }
    }

    /// The summary without measured values, and without types of which no signal was emitted.
    fn plain_summary(&self) -> Value {
        plain_summary(self.summary.clone())
    }

    /// Line, reason and original of each dead letter.
    fn refused(&self) -> Vec<(u64, String, String)> {
        self.dead_letters.iter().map(refused).collect()
    }
}

fn plain_summary(mut summary: Value) -> Value {
    let fields = summary.as_object_mut().expect("the summary is an object");
    fields.remove("seconds");
    fields.remove("events_per_second");
    // The oracle makes none; `replay::cases` tests them.
    fields.remove("remarks");
    fields.remove("input_remarks");
    let signals = fields["signals"].as_object_mut().expect("signals by type");
    signals.retain(|_, count| *count != 0);
    summary
}

fn refused(letter: &Value) -> (u64, String, String) {
    use base64::Engine as _;
    let text = |field: &str| letter[field].as_str().expect("a text").to_owned();
    let original =
        base64::engine::general_purpose::STANDARD.decode(text("value_base64")).expect("base64 as promised");
    (
        letter["line"].as_u64().expect("a line"),
        text("reason"),
        String::from_utf8_lossy(&original).into_owned(),
    )
}

/// Runs `replay` in this process.
fn replay(arguments: &[&str]) -> Result<String, Failure> {
    let arguments = [&["retention-signals", "replay"], arguments].concat();
    let Parsed::Arguments(arguments) = cli::parse(arguments)? else { panic!("no help was asked for") };
    let Command::Replay(replay) = &arguments.command else { panic!("replay was asked for") };
    retention_signals::commands::replay::run(&arguments.common, replay)
}
