//! One Apache Kafka node, broker and controller in one process, on free loopback ports in a temporary folder.

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use tempfile::TempDir;

use super::client::Client;
use super::jars::{self, Kafka};
use super::tools::Tools;
use crate::process::{Process, Signal, run_to_end, tail};

/// A node is up in 2 to 4 s; a busy machine may take a multiple.
const START_PATIENCE: Duration = Duration::from_secs(90);
const FORMAT_PATIENCE: Duration = Duration::from_secs(60);
const TOOL_PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two questions whether a starting node is up; it ends early if the node ends.
const READY_POLL: Duration = Duration::from_millis(20);

const LOG4J: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"#;

/// Whether a setting of several nodes would be needed decides most of these: one node, small, quick to start.
///
/// Retention is off because tests append records with the times of years ago, which the default of 7 days would
/// delete at once. Timed-out transactions are looked for every second instead of every ten. Short session timeouts
/// are allowed, so that a test of a lost member need not take long. A node that was killed is only let in again when
/// the session of its predecessor is over, and it counts as up with its first heartbeat: both are short.
const FIXED_SETTINGS: &str = "\
process.roles=broker,controller
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.threads=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=250
num.io.threads=4
num.network.threads=2
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
";

/// How a node differs from the usual single one.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The node's number in its cluster.
    pub node_id: u16,
    /// The cluster that a node formats its folder for; another one is drawn for each call of `default`.
    pub cluster_id: String,
    /// Every controller of the cluster, this node's included; empty: this node alone.
    pub voters: Vec<Voter>,
    /// A port for one more listener, named SASL, for clients that must say who they are.
    pub sasl_port: Option<u16>,
    /// Appended to the server's properties; a later line wins over an earlier one of the same name.
    pub extra: Vec<(String, String)>,
}

/// A controller of the cluster and the port on loopback that it listens on.
#[derive(Clone, Copy, Debug)]
pub struct Voter {
    pub node_id: u16,
    pub port: u16,
}

impl Default for NodeSettings {
    fn default() -> NodeSettings {
        NodeSettings {
            node_id: 1,
            cluster_id: random_cluster_id(),
            voters: Vec::new(),
            sasl_port: None,
            extra: Vec::new(),
        }
    }
}

impl NodeSettings {
    /// With one more line of server properties.
    pub fn set(mut self, key: &str, value: &str) -> NodeSettings {
        self.extra.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running node. Dropped, its process is killed and its folder removed.
///
/// What disturbs a node takes `&mut self`: the node that all tests share cannot be killed by one of them.
#[derive(Debug)]
pub struct KafkaNode {
    kafka: Kafka,
    folder: TempDir,
    process: Process,
    client: Client,
}

impl KafkaNode {
    /// Formats and starts a single node, and returns when it answers.
    pub fn start() -> Result<KafkaNode> {
        KafkaNode::start_with(NodeSettings::default())
    }

    /// Formats and starts a node and returns when it answers and leads every partition that it should.
    pub fn start_with(settings: NodeSettings) -> Result<KafkaNode> {
        let node = KafkaNode::launch(settings)?;
        node.wait_until_ready()?;
        Ok(node)
    }

    /// Formats and starts a node, and does not wait for it: one of several is ready with the others only.
    pub(super) fn launch(settings: NodeSettings) -> Result<KafkaNode> {
        let kafka = jars::kafka().map_err(|reason| anyhow!("{reason}"))?.clone();
        let folder = tempfile::Builder::new().prefix("kafka-node-").tempdir()?;
        let broker_port = free_port()?;
        fs::write(folder.path().join("log4j2.xml"), LOG4J)?;
        fs::write(
            folder.path().join("server.properties"),
            server_properties(&settings, broker_port, folder.path())?,
        )?;
        format_folder(&kafka, &settings, folder.path())?;

        let process = spawn_node(&kafka, folder.path())?;
        let client = Client::new(&format!("127.0.0.1:{broker_port}"));
        Ok(KafkaNode { kafka, folder, process, client })
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        self.client.bootstrap_servers()
    }

    /// Topics, records, offsets of this node.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// SIGKILL: connections break, nothing is flushed, the folder stays for [`KafkaNode::restart`].
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }

    /// Starts the node again, on the same ports and folder, killing it first if it still runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = spawn_node(&self.kafka, self.folder.path())?;
        self.wait_until_ready()
    }

    /// SIGSTOP: the node is silent from now on, its connections stay open.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// SIGCONT, after [`KafkaNode::pause`].
    pub fn resume(&mut self) {
        self.process.signal(Signal::Resume);
    }

    /// Runs one of Kafka's own command-line tools against this node.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.kafka.java);
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.folder.path().join("log4j2.xml").display()))
            .args(["-cp", &self.kafka.class_path, class, "--bootstrap-server", self.bootstrap_servers()])
            .args(arguments);
        run_to_end("kafka-tool", command, self.folder.path(), TOOL_PATIENCE)?;
        Ok(())
    }

    /// Kafka's own command-line tools in one process, for many runs of them.
    pub fn tools(&self) -> Result<Tools> {
        Tools::start(&self.kafka, self.folder.path())
    }

    /// Bytes that a topic's first partition takes on disk, as they were sent: compressed or not.
    pub fn bytes_on_disk(&self, topic: &str) -> Result<u64> {
        let folder = self.folder.path().join("data").join(format!("{topic}-0"));
        let mut bytes = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                bytes += entry.metadata()?.len();
            }
        }
        Ok(bytes)
    }

    /// The last lines of the node's log, of all its starts, for a failure's message.
    pub fn log_tail(&self) -> String {
        format!("--- Kafka node log, last lines ---\n{}", tail(&self.process.stdout(), 60))
    }

    /// The last warnings and errors of the node's log, of all its starts.
    pub fn log_warnings(&self) -> String {
        let log = self.process.stdout();
        let is_warning = |line: &&str| matches!(line.split(' ').nth(1), Some("WARN" | "ERROR" | "FATAL"));
        // Some name every partition that they are about.
        let short = |line: &str| line.chars().take(300).collect::<String>();
        let warnings: Vec<String> = log.lines().filter(is_warning).map(short).collect();
        format!("--- Kafka node log, last warnings ---\n{}", tail(&warnings.join("\n"), 20))
    }

    /// Kills the shared node when all trials are over; its `drop` never comes.
    pub(super) fn end_with_test_run(&self) {
        let outcome = self.process.kill().and_then(|_| Ok(fs::remove_dir_all(self.folder.path())?));
        if let Err(error) = outcome {
            eprintln!("could not clean up the shared Kafka node: {error:#}");
        }
    }

    pub(super) fn wait_until_ready(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let missing = match self.client.missing_leaders() {
                Ok(missing) if missing.is_empty() => return Ok(()),
                Ok(missing) => format!("no leader of {missing:?}"),
                Err(error) => format!("{error:#}"),
            };
            if let Some(status) = self.process.exits_within(READY_POLL) {
                bail!("the Kafka node ended with {status}\n{}", self.log_tail());
            }
            if start.elapsed() > START_PATIENCE {
                bail!("the Kafka node is not ready after {START_PATIENCE:?}: {missing}\n{}", self.log_tail());
            }
        }
    }
}

fn spawn_node(kafka: &Kafka, folder: &Path) -> Result<Process> {
    let mut command = Command::new(&kafka.java);
    command
        // The quick compiler alone: a start takes 4 s of CPU time instead of 7, and no test is about the broker's speed.
        .args([
            "-Xms64m",
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
        ])
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.xml").display()))
        .args(["-cp", &kafka.class_path, "kafka.Kafka"])
        .arg(folder.join("server.properties"))
        .current_dir(folder);
    Process::spawn("kafka", command, folder)
}

fn format_folder(kafka: &Kafka, settings: &NodeSettings, folder: &Path) -> Result<()> {
    let mut command = Command::new(&kafka.java);
    command
        // It runs for a second: compiling well would cost more than it saves.
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.xml").display()))
        .args([
            "-cp",
            &kafka.class_path,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            &settings.cluster_id,
            "-c",
        ])
        .arg(folder.join("server.properties"));
    run_to_end("kafka-format", command, folder, FORMAT_PATIENCE).context("format the Kafka node's folder")?;
    Ok(())
}

fn server_properties(settings: &NodeSettings, broker_port: u16, folder: &Path) -> Result<String> {
    let voters = match settings.voters.as_slice() {
        [] => vec![Voter { node_id: settings.node_id, port: free_port()? }],
        voters => voters.to_vec(),
    };
    let own = voters
        .iter()
        .find(|voter| voter.node_id == settings.node_id)
        .with_context(|| format!("node {} is not among the voters", settings.node_id))?;
    let quorum: Vec<String> =
        voters.iter().map(|voter| format!("{}@127.0.0.1:{}", voter.node_id, voter.port)).collect();
    let replication = voters.len().min(3);
    let in_sync_min = if replication == 3 { 2 } else { 1 };

    let mut text = FIXED_SETTINGS.to_owned();
    writeln!(text, "node.id={}", settings.node_id)?;
    writeln!(text, "controller.quorum.voters={}", quorum.join(","))?;
    let sasl = settings.sasl_port.map(|port| format!(",SASL://127.0.0.1:{port}")).unwrap_or_default();
    let controller = format!("CONTROLLER://127.0.0.1:{}", own.port);
    writeln!(text, "listeners=BROKER://127.0.0.1:{broker_port},{controller}{sasl}")?;
    writeln!(text, "advertised.listeners=BROKER://127.0.0.1:{broker_port}{sasl}")?;
    writeln!(text, "log.dirs={}", folder.join("data").display())?;
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        writeln!(text, "{topic}.replication.factor={replication}")?;
    }
    for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
        writeln!(text, "{topic}.min.isr={in_sync_min}")?;
    }
    for (key, value) in &settings.extra {
        writeln!(text, "{key}={value}")?;
    }
    Ok(text)
}

/// A port on loopback without a listener, below the ports that the system gives to outgoing connections
/// (from 32,768): a node that was killed must get the same one back, and a client's connection could sit on it.
pub fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on loopback between 20000 and 32000")
}

/// Kafka's ids are 16 bytes in URL-safe Base64. The first byte is 0, since an id that began with a dash would be
/// taken for an option.
fn random_cluster_id() -> String {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    bytes[0] = 0;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
