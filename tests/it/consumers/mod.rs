//! What consumers build on: the examples, each run on a topic that holds an aborted transaction and repeated signals; the documents that
//! describe the topics; and the schemas that readers use.

mod asyncapi;
mod documents;
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;
use tempfile::TempDir;

use crate::examples;
use crate::fetched;
use crate::kafka::{self, Client, KafkaNode, Record, free_port};
use crate::process::{Process, run_to_end};
use crate::python;

const REQUIREMENTS: &str = "examples/python/requirements.txt";
const POM: &str = include_str!("../../consumers/pom.xml");

/// A consumer reads some thirty records; a virtual machine that starts on a busy one takes most of it.
const PATIENCE: Duration = Duration::from_secs(240);
const FETCH_PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(100);

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        kafka::on_shared_node("consumers: Flink SQL counts each signal once", flink),
        kafka::on_shared_node("consumers: Kafka Connect writes what was committed", connect),
        kafka::on_shared_node("consumers: the example in Java handles each signal once", in_java),
        python::trial("consumers: the example in Python says how it is started", REQUIREMENTS, python_help),
        kafka::on_shared_node_unless(
            missing_python,
            "consumers: the example in Python handles each signal once",
            in_python,
        ),
        kafka::on_shared_node_unless(
            missing_example,
            "consumers: the example in Rust handles each signal once",
            in_rust,
        ),
    ];
    trials.extend(asyncapi::trials());
    trials.extend(documents::trials());
    trials.extend(readers::trials());
    trials
}

/// A topic with every kind of signal, three signals of an aborted transaction, and three that stand there twice.
struct Published {
    topic: String,
    ids: BTreeSet<String>,
    /// Distinct ids by type.
    by_type: BTreeMap<String, usize>,
    /// Committed records.
    records: usize,
}

fn published(client: &Client) -> Result<Published> {
    let topic = client.unique_name("signals");
    client.create_topic(&topic, 2, &[])?;
    let signals: Vec<Value> = examples::valid("signals")
        .iter()
        .map(|example| serde_json::from_str(&example.text))
        .collect::<Result<_, _>>()?;
    let aborted: Vec<Value> = (0..3)
        .map(|number| {
            let mut signal = signals[number].clone();
            signal["id"] = Value::from(format!("{number:032x}"));
            signal
        })
        .collect();
    let mut config = client.config();
    let producer: BaseProducer = config.set("transactional.id", &topic).create()?;
    producer.init_transactions(PATIENCE)?;
    for (signals, is_committed) in [(&signals[..], true), (&aborted[..], false), (&signals[..3], true)] {
        producer.begin_transaction()?;
        for signal in signals {
            producer.send(record(signal)?.to(&topic)).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
        if is_committed {
            producer.commit_transaction(PATIENCE)?;
        } else {
            producer.abort_transaction(PATIENCE)?;
        }
    }
    let mut by_type = BTreeMap::new();
    for signal in &signals {
        *by_type.entry(text(signal, "type")?).or_default() += 1;
    }
    let ids = signals.iter().map(|signal| text(signal, "id")).collect::<Result<BTreeSet<_>>>()?;
    ensure!(ids.len() == signals.len(), "the examples have ids of their own");
    Ok(Published { topic, ids, by_type, records: signals.len() + 3 })
}

fn record(signal: &Value) -> Result<Record> {
    let headers = vec![("ce_id".to_owned(), text(signal, "id")?.into_bytes())];
    // A guest's has the key of its order, or the order's id.
    let key = text(signal, "customer_id").or_else(|_| text(&signal["cause"], "id"))?;
    Ok(Record { headers, ..Record::json(key, signal) })
}

fn text(signal: &Value, field: &str) -> Result<String> {
    Ok(signal[field].as_str().with_context(|| format!("{field} of {signal}"))?.to_owned())
}

/// Runs a consumer that prints a line with the id of each signal that it handles: first on all records, then, under another group that
/// begins at the first record too, with what it has remembered.
fn handles_each_once(
    client: &Client,
    consumer: impl Fn(&Published, &str, &Path) -> Result<Command>,
) -> Result<()> {
    let published = published(client)?;
    let folder = tempfile::Builder::new().prefix("consumer-").tempdir()?;
    let handled = |group: &str| -> Result<Vec<String>> {
        let group = format!("{}-{group}", published.topic);
        let output =
            run_to_end(&group, consumer(&published, &group, folder.path())?, folder.path(), PATIENCE)?;
        let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let ids = output.lines().filter_map(|line| line.split(' ').next()).filter(is_id);
        Ok(ids.map(str::to_owned).collect())
    };
    let mut first = handled("first")?;
    first.sort();
    ensure!(first.iter().eq(&published.ids), "handled {first:?}\nof {:?}", published.ids);
    let again = handled("again")?;
    ensure!(again.is_empty(), "handled again: {again:?}");
    Ok(())
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

// === The examples ===

fn missing_python() -> Option<String> {
    let error = python::interpreter(REQUIREMENTS).err().filter(|_| !python::is_required())?;
    format!("{error:#}").lines().next().map(str::to_owned)
}

fn python_help(python: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(python);
    command.arg(example("python/signals.py")).arg("--help");
    let output = run_to_end("python", command, folder.path(), PATIENCE)?;
    ensure!(output.contains("--bootstrap-servers"), "{output}");
    Ok(())
}

fn in_python(node: &KafkaNode) -> Result<()> {
    let python = python::interpreter(REQUIREMENTS)?;
    handles_each_once(node.client(), |published, group, folder| {
        let mut command = Command::new(&python);
        command.arg(example("python/signals.py"));
        command.args(["--bootstrap-servers", node.bootstrap_servers(), "--topic", &published.topic]);
        command.args(["--group", group, "--once", "--store"]).arg(folder.join("signals.sqlite"));
        Ok(command)
    })
}

fn in_java(node: &KafkaNode) -> Result<()> {
    let kafka = kafka::installation().map_err(anyhow::Error::msg)?;
    handles_each_once(node.client(), |published, group, folder| {
        let mut command = java(&kafka.java, &kafka.class_path);
        command.arg(example("java/Signals.java"));
        command.args([node.bootstrap_servers(), &published.topic, group]);
        command.arg(folder.join("signals.jsonl")).arg("once");
        Ok(command)
    })
}

/// A virtual machine that is soon up: what it runs is short.
fn java(program: &Path, class_path: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path]);
    command
}

/// Where cargo puts examples: beside the program.
fn rust_example() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_retention-signals")).with_file_name("examples").join("signals")
}

fn missing_example() -> Option<String> {
    let reason = "the example is not built (cargo build --example signals; a whole cargo test builds it)";
    (!rust_example().exists() && !kafka::is_required()).then(|| reason.to_owned())
}

fn in_rust(node: &KafkaNode) -> Result<()> {
    handles_each_once(node.client(), |published, group, folder| {
        let mut command = Command::new(rust_example());
        command.args([node.bootstrap_servers(), &published.topic, group]);
        command.arg(folder.join("signals.jsonl")).arg("once");
        Ok(command)
    })
}

// === Kafka Connect and Flink ===

/// The jars of a profile of the pom as a class path, copied on first use.
fn jars(profile: &str) -> Result<String> {
    let libs = fetched::once(&format!("{profile}-libs"), POM, |into| {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("mvn");
        command.args(["-q", "-B", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers/pom.xml")]);
        command.args(["-P", profile, "dependency:copy-dependencies", "-DincludeScope=runtime"]);
        command.arg(format!("-DoutputDirectory={}", into.display()));
        run_to_end("mvn", command, folder.path(), FETCH_PATIENCE).context("fetch jars with Maven")?;
        Ok(())
    })?;
    Ok(format!("{}/*", libs.display()))
}

/// A copy of an example's file with other values for what it names.
fn adapted(path: &str, folder: &TempDir, changes: &[(&str, &str)]) -> Result<PathBuf> {
    let mut content = fs::read_to_string(example(path))?;
    for (from, to) in changes {
        ensure!(content.contains(from), "{path} does not say {from}");
        content = content.replace(from, to);
    }
    let copy = folder.path().join(Path::new(path).file_name().context("a file")?);
    fs::write(&copy, content)?;
    Ok(copy)
}

fn connect(node: &KafkaNode) -> Result<()> {
    let kafka = kafka::installation().map_err(anyhow::Error::msg)?;
    let published = published(node.client())?;
    let folder = tempfile::Builder::new().prefix("connect-").tempdir()?;
    let file = folder.path().join("signals.jsonl");
    let listener = format!("plugin.discovery=service_load\nlisteners=http://127.0.0.1:{}\n", free_port()?);
    let worker =
        [("localhost:9092", node.bootstrap_servers()), ("plugin.discovery=service_load\n", &listener)];
    let topic = format!("topics={}", published.topic);
    let target = format!("file={}", file.display());
    let name = format!("name={}", published.topic);
    let sink = [
        ("name=signals-to-file", name.as_str()),
        ("topics=retention.signals", &topic),
        ("file=signals.jsonl", &target),
    ];
    let mut command = java(&kafka.java, &jars("connect")?);
    command.arg("org.apache.kafka.connect.cli.ConnectStandalone").current_dir(folder.path());
    command.arg(adapted("connect/worker.properties", &folder, &worker)?);
    command.arg(adapted("connect/signals-to-file.properties", &folder, &sink)?);
    let process = Process::spawn("connect", command, folder.path())?;
    let start = Instant::now();
    let written = || fs::read_to_string(&file).unwrap_or_default();
    while written().matches('\n').count() < published.records {
        let ended = process.exits_within(POLL);
        ensure!(ended.is_none() && start.elapsed() < PATIENCE, "{ended:?}\n{}", process.output_tail());
    }
    let written = written();
    let ids = written
        .lines()
        .map(|line| text(&serde_json::from_str(line)?, "id"))
        .collect::<Result<BTreeSet<_>>>()?;
    ensure!(
        written.lines().count() == published.records && ids == published.ids,
        "{ids:?}\nof {:?}",
        published.ids
    );
    Ok(())
}

fn flink(node: &KafkaNode) -> Result<()> {
    let kafka = kafka::installation().map_err(anyhow::Error::msg)?;
    let published = published(node.client())?;
    let folder = tempfile::Builder::new().prefix("flink-").tempdir()?;
    let topic = format!("'{}'", published.topic);
    let changes = [("localhost:9092", node.bootstrap_servers()), ("'retention.signals'", topic.as_str())];
    let mut command = java(&kafka.java, &jars("flink")?);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers/RunSql.java"));
    command.arg(adapted("flink/signals.sql", &folder, &changes)?);
    let output = run_to_end("flink", command, folder.path(), PATIENCE)?;
    let rows = output.lines().filter_map(|line| line.strip_prefix("row ")?.split_once(' '));
    let counted = rows
        .map(|(signal_type, count)| Ok((signal_type.to_owned(), count.parse()?)))
        .collect::<Result<BTreeMap<String, usize>>>()?;
    ensure!(counted == published.by_type, "counted {counted:?}\nof {:?}", published.by_type);
    Ok(())
}
