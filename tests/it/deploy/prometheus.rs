//! A real Prometheus with this project's rules, and the queries of the boards asked there.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Completion, Failed};
use serde_json::Value;

use super::dashboards;
use crate::{kafka::free_port, process::Process};

/// What stands for Grafana's variables. Rates look at six scrapes.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "3s"),
    ("$__range", "10s"),
    ("$window", "90d"),
    ("$job", ".+"),
    ("$instance", ".+"),
    ("$currency", ".+"),
];

const SCRAPE_INTERVAL: Duration = Duration::from_millis(500);
const SCRAPES_MIN: f64 = 8.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a trial cannot run, if it cannot: ignored, or failed where Prometheus is required.
pub fn unavailable() -> Result<Option<Completion>, Failed> {
    let version = Command::new("prometheus").arg("--version").output();
    if !version.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let reason = "prometheus is not installed (Debian: apt-get install prometheus)";
    match std::env::var_os("RETENTION_REQUIRE_PROMETHEUS") {
        Some(_) => Err(reason.into()),
        None => Ok(Some(Completion::ignored_with(reason))),
    }
}

/// A running Prometheus with this project's rules and one target.
pub struct Prometheus {
    process: Process,
    url: String,
    folder: tempfile::TempDir,
}

/// This project's rules.
pub const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules");

impl Prometheus {
    pub fn start(target: SocketAddr) -> Result<Self> {
        Self::start_with(target, &Path::new(RULES).join("*.yml"))
    }

    /// The same with rules of one's own.
    pub fn start_with(target: SocketAddr, rules: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("prometheus-").tempdir()?;
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

    /// Waits until the target was scraped often enough for rates; calls `meanwhile` before each look.
    pub fn wait_for_scrapes(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        loop {
            meanwhile()?;
            // Until it listens, requests fail.
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

    /// Asks `condition` again and again until it holds.
    pub fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        condition: impl Fn() -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        while !condition()? {
            if let Some(status) = self.process.exits_within(SCRAPE_INTERVAL) {
                bail!("prometheus ended with {status}\n{}", self.process.output_tail());
            }
            ensure!(start.elapsed() < patience, "{what} not after {patience:?}");
        }
        Ok(())
    }

    /// Every query of the boards finds a number, but for those that have nothing to show, by the title of their panel and the query.
    pub fn check_boards(&self, is_quiet: impl Fn(&str, &str) -> bool) -> Result<()> {
        let mut empty = Vec::new();
        for board in dashboards::NAMES {
            let queries = dashboards::queries(board).map_err(|error| anyhow::anyhow!("{error:?}"))?;
            // No intake runs in these trials; `dashboards` checks its panels against its metrics.
            let of_run = queries.into_iter().filter(|(_, query)| !query.contains("retention_intake_"));
            for (title, query) in of_run {
                let query = VARIABLES.iter().fold(query, |query, (name, value)| query.replace(name, value));
                if !self.finds(&query)? && !is_quiet(&title, &query) {
                    empty.push(format!("{board}: {title}: {query}"));
                }
            }
        }
        ensure!(empty.is_empty(), "nothing is found by\n{}", empty.join("\n"));
        Ok(())
    }

    /// Whether a query has a value that is a number.
    fn finds(&self, query: &str) -> Result<bool> {
        Ok(self.ask(query).with_context(|| query.to_owned())?.iter().any(|value| !value.is_nan()))
    }

    pub fn ask(&self, query: &str) -> Result<Vec<f64>> {
        let answer = self.get("/api/v1/query", &[("query", query)])?;
        let series = answer["data"]["result"].as_array().context("a vector")?;
        series.iter().map(|series| Ok(series["value"][1].as_str().context("a value")?.parse()?)).collect()
    }

    /// Every rule was evaluated without an error, and what is recorded is there, but for names that begin like this.
    pub fn check_rules(&self, quiet_names: &str) -> Result<()> {
        let answer = self.get("/api/v1/rules", &[])?;
        let groups = answer["data"]["groups"].as_array().context("groups")?;
        let rules: Vec<&Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        ensure!(rules.len() > 30, "{} rules", rules.len());
        for rule in rules {
            ensure!(rule["health"] == "ok", "{rule}");
            if rule["type"] == "recording" {
                let name = rule["name"].as_str().context("a name")?;
                let is_quiet = !quiet_names.is_empty() && name.starts_with(quiet_names);
                ensure!(is_quiet || self.finds(name)?, "{name} is not recorded");
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
