//! The demo as a newcomer starts it. Its in-process cluster proves wiring only: nothing here is about exactly once.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::kafka::free_port;
use crate::process::{Process, Signal};

const BINARY: &str = env!("CARGO_BIN_EXE_retention-signals");

/// Ten seconds of shop, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks; it ends early if the demo ends.
const POLL: Duration = Duration::from_millis(20);

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("demo::tells_signals_and_ends_with_a_summary", || Ok(ends_by_itself()?)),
        Trial::test("demo::webhooks_go_through_an_intake", || Ok(webhooks_go_through_an_intake()?)),
        Trial::test("demo::an_interrupt_ends_it_with_a_summary", || Ok(interrupt_ends_it()?)),
        Trial::test("demo::a_port_in_use_is_said_at_once", || Ok(port_in_use_is_said()?)),
    ]
}

/// A running demo; it is killed when this is dropped.
pub struct Demo {
    process: Process,
    http: SocketAddr,
    folder: TempDir,
}

impl Demo {
    pub fn start(http: SocketAddr, arguments: &[&str]) -> Result<Demo> {
        let folder = tempfile::Builder::new().prefix("demo-").tempdir()?;
        let mut command = Command::new(BINARY);
        command.arg("demo").arg("--listen").arg(http.to_string()).args(arguments);
        command.current_dir(folder.path()).env("TMPDIR", folder.path());
        // A configuration for a real cluster, which is not for the demo.
        command
            .env("RETENTION_CONFIG", "/nowhere/shop.toml")
            .env("RETENTION_KAFKA__SASL_PASSWORD", "hunter2");
        let process = Process::spawn("demo", command, folder.path())?;
        Ok(Demo { process, http, folder })
    }

    /// Looks until `look` finds something.
    pub fn wait_for<T>(&self, what: &str, look: impl Fn(&Demo) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let ended = self.process.exits_within(POLL);
            ensure!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "no {what} ({ended:?})\n{}",
                self.process.output_tail()
            );
        }
    }

    pub fn get(&self, path: &str) -> Result<String> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
        let url = format!("http://{}{path}", self.http);
        Ok(agent.get(&url).call().context(url)?.body_mut().read_to_string()?)
    }

    /// The output of a demo that ends well and says nothing beside it.
    fn output(&self) -> Result<String> {
        let status = self.process.exits_within(PATIENCE).context("it does not end")?;
        ensure!(status.code() == Some(0), "{status}\n{}", self.process.output_tail());
        ensure!(self.process.stderr().is_empty(), "{}", self.process.stderr());
        let left = std::fs::read_dir(self.folder.path())?.count();
        ensure!(
            left == 2,
            "beside its two outputs there is something left of it in {}",
            self.folder.path().display()
        );
        Ok(self.process.stdout())
    }
}

fn ends_by_itself() -> Result<()> {
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let demo = Demo::start(http, &["--for", "10s"])?;
    // By then records went the whole way, and came out as metrics of committed batches.
    let metrics = demo.wait_for("metric of a second order", |demo| {
        let metrics = demo.get("/metrics").ok()?;
        let is_told = |line: &str| {
            let count = line.strip_prefix("retention_signals_total{signal_type=\"second_order\"} ");
            count.is_some_and(|count| count != "0")
        };
        metrics.lines().any(is_told).then_some(metrics)
    })?;
    ensure!(metrics.contains("\nretention_customers{partition=\"0\",state=\"active\"} "), "{metrics}");
    ensure!(demo.get("/readyz")? == "ok\n");
    ensure!(demo.get("/")?.contains("<title>"));
    let output = demo.output()?;
    ensure!(output.contains(&format!("Live page: http://{http}/ ")), "{output}");
    let (told, summary) =
        output.split_once("\n\n").and_then(|(_, rest)| rest.split_once("\n\n")).context(output.clone())?;
    for signal_type in ["first_order", "second_order", "order_returned"] {
        let is_line = |line: &str| line.get(12..).is_some_and(|rest| rest.starts_with(signal_type));
        ensure!(told.lines().any(is_line), "no {signal_type} in\n{told}");
    }
    ensure!(told.lines().any(|line| line.contains(" active · ")), "no status in\n{told}");
    check_summary(summary)
}

/// Every record was applied, none was refused, and a subscriber has read exactly the emitted signals.
fn check_summary(summary: &str) -> Result<()> {
    let line = |name: &str| {
        let found = summary.lines().find_map(|line| line.trim_start().strip_prefix(name));
        found.with_context(|| format!("no {name} in\n{summary}"))
    };
    let numbers = |text: &str| -> Vec<u64> {
        let words = text.split([' ', ':']).map(|word| word.replace(',', ""));
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let applied = numbers(&line("applied ")?.replace('(', ""));
    let (known, letters) = applied[2..].split_at(applied.len() - 3);
    let used = applied[0] + known.iter().sum::<u64>();
    ensure!(applied[0] > 500 && used == applied[1] && letters == [0], "{summary}");
    let signals = numbers(line("signals ")?);
    ensure!(signals[0] > 500 && signals[0] == signals[1], "{summary}");
    let customers = numbers(line("customers ")?);
    ensure!(customers[0] > 200 && customers[1..].iter().sum::<u64>() == customers[0], "{summary}");
    for name in ["orders ", "came back ", "revenue ", "rules "] {
        line(name)?;
    }
    for name in ["first_order ", "rule ", "news ", "thank-you "] {
        ensure!(summary.contains(&format!(" {name}")), "no {name} in\n{summary}");
    }
    Ok(())
}

/// A shop that sends Shopify webhooks: an intake maps them in the same process. The in-process cluster keeps no offsets of transactions, so
/// how far the intake has come is committed outside of them here: this shows the way of a record, not that it is passed on once.
fn webhooks_go_through_an_intake() -> Result<()> {
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let demo = Demo::start(http, &["--source", "shopify", "--for", "10s"])?;
    demo.wait_for("an alarm", |demo| {
        // The clocks wait for the intake, so its progress is known.
        let metrics = demo.get("/metrics").ok()?;
        let is_there = |start: &str| {
            let count = metrics.lines().find_map(|line| line.strip_prefix(start));
            count.is_some_and(|count| count != "0")
        };
        let is_mapped = is_there("retention_intake_records_total{outcome=\"mapped\",source=\"shop\"} ");
        let has_alarm = is_there("retention_signals_total{signal_type=\"at_risk\"} ");
        (is_mapped && has_alarm).then_some(())
    })?;
    let output = demo.output()?;
    let (_, summary) = output.rsplit_once("\n\n").context(output.clone())?;
    ensure!(summary.contains(" only repeated what was known)"), "{summary}");
    check_summary(summary)
}

fn interrupt_ends_it() -> Result<()> {
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let demo = Demo::start(http, &["--seed", "7", "--set", "lapse.policy=fixed"])?;
    demo.wait_for("signal", |demo| demo.process.stdout().contains("  first_order  ").then_some(()))?;
    demo.process.signal(Signal::Terminate);
    let output = demo.output()?;
    ensure!(output.contains("\n  signals "), "{output}");
    Ok(())
}

fn port_in_use_is_said() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0")?;
    let http = other.local_addr()?;
    let demo = Demo::start(http, &[])?;
    let status = demo.process.exits_within(PATIENCE).context("it does not end")?;
    let told = format!(
        "error: port {} on 127.0.0.1 is in use by another process: stop that one, or choose another port with --listen or http.listen\n",
        http.port()
    );
    ensure!(status.code() == Some(78), "{status}");
    ensure!(demo.process.stderr() == told, "{}", demo.process.stderr());
    ensure!(demo.process.stdout().is_empty(), "{}", demo.process.stdout());
    Ok(())
}
