//! The built service as a process of its own: started with a configuration in a temporary folder, asked over HTTP,
//! ended by signals.
//!
//! ```ignore
//! let settings = ServiceSettings::new(node.bootstrap_servers(), &client.unique_name("shop"), "one")
//!     .set(&["topics", "orders"], orders.as_str())
//!     .set(&["clock", "at_end"], "stay");
//! let service = ServiceProcess::start(&settings)?;
//! service.wait_until_ready(Duration::from_secs(20))?;
//! let (status, body) = service.get("/v1/customers/c1")?;
//! let exit = service.terminate(Duration::from_secs(10))?;
//! exit.expect_clean();
//! ```

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;
use retention_signals::config::{self, Purpose, Sources};
use tempfile::TempDir;
use toml::{Table, Value};

use crate::kafka::free_port;
use crate::process::{Process, Signal, tail};

const BINARY: &str = env!("CARGO_BIN_EXE_retention-signals");
const HTTP_PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two questions over HTTP; it ends early if the service ends.
const POLL: Duration = Duration::from_millis(10);

/// A configuration: everything that a run needs and a test does not care for, and what the test sets.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    file: Table,
    environment: Vec<(String, String)>,
}

impl ServiceSettings {
    /// One worker of this application and instance, with default topic names, HTTP on a free port (drawn at each start)
    /// and its state in the process's temporary folder unless set.
    pub fn new(bootstrap_servers: &str, application: &str, instance: &str) -> ServiceSettings {
        ServiceSettings { file: Table::new(), environment: Vec::new() }
            .set(&["application"], application)
            .set(&["instance"], instance)
            .set(&["workers"], 1)
            .set(&["shop", "currency"], "GBP")
            // Most trials compare every signal.
            .set(&["signals", "history"], "publish")
            .set(&["kafka", "bootstrap.servers"], bootstrap_servers)
    }

    /// With the key that `path` leads to, table by table, set to `value`.
    pub fn set(mut self, path: &[&str], value: impl Into<Value>) -> ServiceSettings {
        let (last, tables) = path.split_last().expect("a path names a key");
        let mut table = &mut self.file;
        for name in tables {
            let entry = table.entry(*name).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().unwrap_or_else(|| panic!("{name} in {path:?} is not a table"));
        }
        table.insert((*last).to_owned(), value.into());
        self
    }

    /// Without the key or table of this name.
    pub fn without(mut self, name: &str) -> ServiceSettings {
        self.file.remove(name);
        self
    }

    /// With a variable in the environment of the process.
    pub fn environment(mut self, name: &str, value: &str) -> ServiceSettings {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where HTTP is to be served, if that was set.
    fn http(&self) -> Option<SocketAddr> {
        self.file.get("http")?.get("listen")?.as_str()?.parse().ok()
    }

    /// The program with its configuration file, in that file's folder.
    fn command(&self, arguments: &[&str], config: &Path) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--config").arg(config);
        command.current_dir(config.parent().expect("a file lies in a folder"));
        // The user's environment may hold settings.
        let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in inherited.filter(|name| name.starts_with("RETENTION_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The configuration file of a process that serves HTTP at `http` and may write to `folder`.
    pub fn file_text(&self, http: SocketAddr, folder: &Path) -> Result<String> {
        let mut settings = self.clone();
        if self.http().is_none() {
            settings = settings.set(&["http", "listen"], http.to_string());
        }
        if !settings.file.contains_key("state_dir") {
            let state = folder.join("state");
            settings = settings.set(&["state_dir"], state.to_str().context("a temporary folder in UTF-8")?);
        }
        Ok(settings.file.to_string())
    }
}

/// Runs another command of the program to its end.
pub fn run_command(settings: &ServiceSettings, arguments: &[&str], patience: Duration) -> Result<Exit> {
    let folder = tempfile::Builder::new().prefix("command-").tempdir()?;
    let config = folder.path().join("service.toml");
    fs::write(&config, settings.file_text(SocketAddr::from(([127, 0, 0, 1], 9)), folder.path())?)?;
    let process = Process::spawn("command", settings.command(arguments, &config), folder.path())?;
    match process.exits_within(patience) {
        Some(status) => Ok(Exit { status, stdout: process.stdout(), stderr: process.stderr() }),
        None => bail!("{arguments:?} has not ended after {patience:?}\n{}", process.output_tail()),
    }
}

/// A running service; it is killed when this is dropped.
#[derive(Debug)]
pub struct ServiceProcess {
    process: Process,
    http: SocketAddr,
    folder: TempDir,
}

impl ServiceProcess {
    /// Starts `run --config FILE`; it need not be ready when this returns.
    pub fn start(settings: &ServiceSettings) -> Result<ServiceProcess> {
        Self::start_with(settings, &[])
    }

    /// The same with more arguments.
    pub fn start_with(settings: &ServiceSettings, arguments: &[&str]) -> Result<ServiceProcess> {
        Self::start_command(settings, &[&["run"][..], arguments].concat())
    }

    /// Starts any command that serves HTTP and runs until it is ended.
    pub fn start_command(settings: &ServiceSettings, arguments: &[&str]) -> Result<ServiceProcess> {
        let folder = tempfile::Builder::new().prefix("service-").tempdir()?;
        let http = settings.http().unwrap_or(SocketAddr::from(([127, 0, 0, 1], free_port()?)));
        let config = folder.path().join("service.toml");
        fs::write(&config, settings.file_text(http, folder.path())?)?;

        let command = settings.command(arguments, &config);
        let process = Process::spawn("service", command, folder.path())?;
        Ok(ServiceProcess { process, http, folder })
    }

    /// Where HTTP is served.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The process's temporary folder: configuration, outputs, and the state unless that was set.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until `/readyz` answers 200: what is owned by then is restored.
    pub fn wait_until_ready(&self, patience: Duration) -> Result<()> {
        self.wait_until("ready", patience, |service| Ok(matches!(service.get("/readyz"), Ok((200, _)))))
    }

    /// Asks `condition` again and again until it holds; fails, with the service's last output, when that takes longer
    /// than `patience`, when the service ends, or when `condition` does.
    pub fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        condition: impl Fn(&ServiceProcess) -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let asked = condition(self).with_context(|| format!("wait until the service is {what}"));
            if matches!(asked, Ok(true)) {
                return Ok(());
            }
            // A request to a service that has just ended fails with an error of the connection, which says less.
            if let Some(status) = self.process.exits_within(POLL) {
                bail!("the service ended with {status} before it was {what}\n{}", self.process.output_tail());
            }
            asked?;
            if start.elapsed() > patience {
                bail!("the service is not {what} after {patience:?}\n{}", self.process.output_tail());
            }
        }
    }

    /// Status and body of a GET; an error if the service does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(HTTP_PATIENCE))
            .build()
            .new_agent();
        let url = format!("http://{}{path}", self.http);
        let mut response = agent.get(&url).call().with_context(|| format!("get {url}"))?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
    }

    /// The sum of all series of a metric whose line contains each of `labels` (for example `topic="orders"`); none if
    /// there is no such series.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<Option<f64>> {
        let (status, text) = self.get("/metrics")?;
        anyhow::ensure!(status == 200, "/metrics answers {status}: {text}");
        let values: Vec<f64> = text.lines().filter_map(|line| series_value(line, name, labels)).collect();
        Ok(if values.is_empty() { None } else { Some(values.iter().sum()) })
    }

    /// Sends a signal, and does not wait for what it does.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end, for `patience` at most; none if the process still runs then.
    pub fn ends_within(&self, patience: Duration) -> Option<ExitStatus> {
        self.process.exits_within(patience)
    }

    /// Whether the process stands still after SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        self.process.is_stopped()
    }

    /// Whether a text stands in what it wrote so far.
    pub fn has_logged(&self, text: &str) -> bool {
        self.process.stdout().contains(text) || self.process.stderr().contains(text)
    }

    /// The last lines of what it wrote, for a failure's message.
    pub fn output_tail(&self) -> String {
        self.process.output_tail()
    }

    /// SIGTERM, and how the service ended.
    pub fn terminate(self, patience: Duration) -> Result<Exit> {
        self.process.signal(Signal::Terminate);
        self.wait_for_end(patience)
    }

    /// SIGKILL. The state folder is gone too, unless it was set.
    pub fn kill(self) -> Result<Exit> {
        self.process.signal(Signal::Kill);
        self.wait_for_end(HTTP_PATIENCE)
    }

    /// Waits for the service to end by itself.
    pub fn wait_for_end(self, patience: Duration) -> Result<Exit> {
        match self.process.exits_within(patience) {
            Some(status) => Ok(Exit { status, stdout: self.process.stdout(), stderr: self.process.stderr() }),
            None => bail!("the service has not ended after {patience:?}\n{}", self.process.output_tail()),
        }
    }
}

/// How a service ended, and all that it wrote.
#[derive(Clone, Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Exit {
    /// The exit code; none after a signal that was not handled.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The lines that were logged as errors, in either form of the log.
    pub fn error_lines(&self) -> Vec<&str> {
        let all = self.stdout.lines().chain(self.stderr.lines());
        all.filter(|line| line.contains("\"level\":\"ERROR\"") || line.contains(" ERROR ")).collect()
    }

    /// Panics unless the code is 0 and nothing was logged as an error.
    #[track_caller]
    pub fn expect_clean(&self) {
        self.expect_code(0);
        assert!(self.error_lines().is_empty(), "logged as errors: {:#?}", self.error_lines());
    }

    /// Panics unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(&self, code: i32) {
        assert!(
            self.code() == Some(code),
            "the service ended with {:?} (signal {:?}), not {code}\n{}\n{}",
            self.code(),
            self.status.signal(),
            tail(&self.stdout, 40),
            tail(&self.stderr, 40)
        );
    }
}

/// The value of a line of the Prometheus text format, if it is of this metric and has all these labels.
fn series_value(line: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    if !rest.starts_with(['{', ' ']) || !labels.iter().all(|label| rest.contains(label)) {
        return None;
    }
    rest.rsplit_once(' ')?.1.parse().ok()
}

/// Trials of this wrapper itself.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("service::an_early_end_is_told_with_its_output", || Ok(early_end_is_told()?)),
        Trial::test("service::its_settings_are_a_valid_configuration", || Ok(settings_are_valid()?)),
        Trial::test("service::series_are_picked_by_name_and_labels", || Ok(series_are_picked()?)),
    ]
}

fn early_end_is_told() -> Result<()> {
    let settings =
        ServiceSettings::new("127.0.0.1:1", "shop", "one").set(&["no_such_table", "no_such_key"], true);
    let service = ServiceProcess::start(&settings)?;
    assert!(service.folder().join("service.toml").exists());
    let error = service.wait_until_ready(HTTP_PATIENCE).expect_err("an unknown key stops it");
    assert!(error.to_string().contains("before it was ready"), "{error:#}");
    assert!(error.to_string().contains("\"level\":\"ERROR\""), "{error:#}");
    let exit = service.wait_for_end(HTTP_PATIENCE)?;
    assert_ne!(exit.code(), Some(0));
    Ok(())
}

fn settings_are_valid() -> Result<()> {
    let settings = ServiceSettings::new("127.0.0.1:9", "shop", "one")
        .set(&["topics", "orders"], "orders-1")
        .set(&["clock", "at_end"], "stay");
    let http = SocketAddr::from(([127, 0, 0, 1], 8080));
    let sources = Sources {
        file_text: Some(settings.file_text(http, Path::new("/state-of-a-test"))?),
        ..Sources::default()
    };
    let config = config::load(&sources, Purpose::Kafka)?;
    assert_eq!(config.kafka.bootstrap_servers(), Some("127.0.0.1:9"));
    Ok(())
}

fn series_are_picked() -> Result<()> {
    let line = "a_total{topic=\"orders\",partition=\"0\"} 3";
    assert_eq!(series_value(line, "a_total", &["topic=\"orders\""]), Some(3.0));
    assert_eq!(series_value(line, "a_total", &["topic=\"returns\""]), None);
    assert_eq!(series_value(line, "a", &[]), None);
    assert_eq!(series_value("a_total 2.5", "a_total", &[]), Some(2.5));
    Ok(())
}
