//! A real Prometheus scrapes this program's own server, and every query of the boards is asked.
//!
//! What is scraped is a stand-in in which everything happens that can happen (dead letters, restores, rebalances), because
//! a query that finds nothing must mean that the query is wrong.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Completion, Failed, Trial};
use prometheus::Registry;
use retention_signals::{
    config::HttpSettings,
    http::{About, HttpContext, HttpServer},
    metrics::{
        BatchSummary, Client, ClientStatistics, CurrencyLabel, CurrencyValues, InputTopic, Label, LogLevel,
        Metrics, OutputTopic, PartitionGauges, PerLabel, RebalanceKind, TransactionSummary, Vocabulary,
    },
    query::QueryRouter,
    status::{ServiceStatus, WorkerPhase},
    wire::reason::Reason,
};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::dashboards;
use crate::{kafka::free_port, process::Process};

const SCRAPE_INTERVAL: Duration = Duration::from_millis(500);
const SCRAPES_MIN: f64 = 8.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands for Grafana's variables. Rates look at six scrapes.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "3s"),
    ("$__range", "10s"),
    ("$window", "90d"),
    ("$job", ".+"),
    ("$instance", ".+"),
    ("$currency", ".+"),
];

pub fn trials() -> Vec<Trial> {
    vec![Trial::ignorable_test("deploy: Prometheus finds data for every query", every_query)]
}

fn every_query() -> Result<Completion, Failed> {
    let available = Command::new("prometheus").arg("--version").output();
    if available.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        let reason = "prometheus is not installed (Debian: apt-get install prometheus)";
        return match std::env::var_os("RETENTION_REQUIRE_PROMETHEUS") {
            Some(_) => Err(reason.into()),
            None => Ok(Completion::ignored_with(reason)),
        };
    }
    let service = StandIn::start()?;
    let prometheus = Prometheus::start(service.address)?;
    prometheus.wait_for_scrapes()?;
    let mut empty = Vec::new();
    for board in dashboards::NAMES {
        for (title, query) in dashboards::queries(board)? {
            let query = VARIABLES.iter().fold(query, |query, (name, value)| query.replace(name, value));
            if !prometheus.finds(&query)? {
                empty.push(format!("{board}: {title}: {query}"));
            }
        }
    }
    assert!(empty.is_empty(), "nothing is found by\n{}", empty.join("\n"));
    prometheus.check_rules()?;
    Ok(Completion::Completed)
}

/// A server whose metrics move until it is dropped.
struct StandIn {
    address: SocketAddr,
    stop: Option<mpsc::Sender<()>>,
    activity: Option<JoinHandle<()>>,
    _runtime: Runtime,
}

impl StandIn {
    fn start() -> Result<Self> {
        let vocabulary = Vocabulary {
            version: "0",
            revision: "0",
            dead_letter_reasons: Reason::ALL.map(Reason::name).to_vec(),
            currencies: vec![euro()],
        };
        let metrics = Arc::new(Metrics::new(&Registry::new(), &vocabulary)?);
        let (status, pens) = ServiceStatus::new(1, Instant::now());
        let (queries, _questions) = QueryRouter::new(1);
        let about = About { application: "shop".to_owned(), instance: "one".to_owned(), version: "0" };
        let context = HttpContext { metrics: Arc::clone(&metrics), status, queries, about };
        let runtime = Runtime::new()?;
        let settings = HttpSettings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), token: None };
        let server = runtime.block_on(HttpServer::bind(&settings))?;
        let address = server.address();
        runtime.spawn(server.serve(context, std::future::pending()));
        let (stop, stopped) = mpsc::channel();
        let activity = std::thread::spawn(move || {
            pens[0].set_phase(WorkerPhase::Running);
            let client = metrics.client(Client::Producer);
            // The end of the wait is the beat of the work; it ends for good when the sender is dropped.
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(100))
            {
                client.on_statistics(&ClientStatistics::default());
                everything_happens(&metrics);
            }
        });
        Ok(Self { address, stop: Some(stop), activity: Some(activity), _runtime: runtime })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(activity) = self.activity.take() {
            let _ = activity.join();
        }
    }
}

fn euro() -> CurrencyLabel {
    CurrencyLabel::new("EUR", 2).expect("a currency")
}

fn everything_happens(metrics: &Metrics) {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let mut batch = BatchSummary {
        dead_letters: Reason::ALL.iter().map(|reason| ((InputTopic::Orders, reason.name()), 1)).collect(),
        values: [(euro(), CurrencyValues { orders_minor: 500, refunds_minor: 50, guest_orders_minor: 5 })]
            .into(),
        timer_delays: vec![Duration::from_secs(1)],
        outcomes: PerLabel::build(|_| 1),
        signals: PerLabel::build(|_| 1),
        transitions: PerLabel::build(|_| 1),
        output_records: PerLabel::build(|_: OutputTopic| 1),
        ..BatchSummary::default()
    };
    for topic in InputTopic::all() {
        batch.appended_at_ms[topic].push(now_ms - 40);
        batch.happened_at_ms[topic].push(now_ms - 5_000);
    }
    metrics.on_batch(&batch, now_ms);
    metrics.on_transaction_committed(&TransactionSummary {
        records: 4,
        committed_at_ms: now_ms,
        stages: PerLabel::build(|_| Duration::from_millis(2)),
        ..TransactionSummary::default()
    });
    metrics.on_rebalance(RebalanceKind::Assign, Duration::from_millis(300));
    metrics.on_log_message(LogLevel::Info);
    let restore = metrics.restore(0);
    restore.on_records(100, 50);
    restore.finish(Duration::from_secs(2));
    let gauges = PartitionGauges {
        clock_ms: Some(now_ms),
        state_entries: 3,
        state_bytes: 600,
        customers: PerLabel::build(|_| 1),
        window_customers: PerLabel::build(|_| 3),
        window_repeat_customers: PerLabel::build(|_| 2),
        window_orders: PerLabel::build(|_| 9),
        window_revenue_minor: [(euro(), PerLabel::build(|_| 12_345))].into(),
        ..PartitionGauges::default()
    };
    metrics.partition(0).set(&gauges);
}

/// A running Prometheus with this project's rules and one target.
struct Prometheus {
    process: Process,
    url: String,
    folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("prometheus-").tempdir()?;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules/*.yml");
        let interval = format!("{}ms", SCRAPE_INTERVAL.as_millis());
        let configuration = serde_json::json!({
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [target.to_string()]}]}],
        });
        let path = folder.path().join("prometheus.yml");
        fs::write(&path, configuration.to_string())?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let process = Process::spawn("prometheus", command, folder.path())?;
        Ok(Self { process, url: format!("http://{address}"), folder })
    }

    fn wait_for_scrapes(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            // Until it listens, nobody answers.
            let scrapes = self.ask("count_over_time(retention_build_info[5m])").unwrap_or_default();
            if scrapes.iter().any(|value| *value >= SCRAPES_MIN) {
                return Ok(());
            }
            if let Some(status) = self.process.exits_within(SCRAPE_INTERVAL) {
                bail!("prometheus ended with {status}\n{}", self.process.output_tail());
            }
            let data = self.folder.path().display();
            ensure!(start.elapsed() < PATIENCE, "no scrapes in {data}\n{}", self.process.output_tail());
        }
    }

    /// Whether a query has a value that is a number.
    fn finds(&self, query: &str) -> Result<bool> {
        Ok(self.ask(query).with_context(|| query.to_owned())?.iter().any(|value| !value.is_nan()))
    }

    fn ask(&self, query: &str) -> Result<Vec<f64>> {
        let answer = self.get("/api/v1/query", &[("query", query)])?;
        let series = answer["data"]["result"].as_array().context("a vector")?;
        series.iter().map(|series| Ok(series["value"][1].as_str().context("a value")?.parse()?)).collect()
    }

    /// Every rule was evaluated without an error, and what is recorded is there.
    fn check_rules(&self) -> Result<()> {
        let answer = self.get("/api/v1/rules", &[])?;
        let groups = answer["data"]["groups"].as_array().context("groups")?;
        let rules: Vec<&Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        ensure!(rules.len() > 30, "{} rules", rules.len());
        for rule in rules {
            ensure!(rule["health"] == "ok", "{rule}");
            if rule["type"] == "recording" {
                let name = rule["name"].as_str().context("a name")?;
                ensure!(self.finds(name)?, "{name} is not recorded");
            }
        }
        Ok(())
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let request = ureq::get(format!("{}{path}", self.url)).query_pairs(parameters.iter().copied());
        let text = request.call()?.body_mut().read_to_string()?;
        Ok(serde_json::from_str(&text)?)
    }
}
