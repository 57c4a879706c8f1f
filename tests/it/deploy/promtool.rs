//! Prometheus's own tool reads what is meant for Prometheus.

use std::{
    fs,
    io::{ErrorKind, Seek, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use libtest_mimic::{Completion, Failed, Trial};

use super::{dashboards, registry};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::ignorable_test("deploy: promtool accepts the configuration and the rules", configuration),
        Trial::ignorable_test("deploy: promtool accepts every query of the boards", queries),
        Trial::ignorable_test("deploy: promtool accepts names and help of every metric", metrics),
        Trial::ignorable_test("deploy: populations stay up while a partition moves", steady),
    ];
    for name in ["health", "objectives", "days"] {
        trials.push(Trial::ignorable_test(format!("deploy: promtool runs the cases of {name}"), move || {
            let path = prometheus().join(format!("tests/{name}.yml"));
            promtool(&["test", "rules", &path.display().to_string()])
        }));
    }
    trials
}

fn prometheus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

/// Runs promtool with nothing to read.
fn promtool(arguments: &[&str]) -> Result<Completion, Failed> {
    run(Command::new("promtool").args(arguments).stdin(Stdio::null()))
}

/// Without promtool the trial is ignored and says so, unless it is required.
fn run(command: &mut Command) -> Result<Completion, Failed> {
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let reason = "promtool is not installed (Debian: apt-get install prometheus)";
            return match std::env::var_os("RETENTION_REQUIRE_PROMTOOL") {
                Some(_) => Err(reason.into()),
                None => Ok(Completion::ignored_with(reason)),
            };
        }
        output => output?,
    };
    assert!(output.status.success(), "{}", said(&output));
    Ok(Completion::Completed)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn configuration() -> Result<Completion, Failed> {
    promtool(&["check", "config", &prometheus().join("prometheus.yml").display().to_string()])
}

/// As recording rules, since promtool reads those; JSON is YAML.
fn queries() -> Result<Completion, Failed> {
    let mut rules = Vec::new();
    for name in dashboards::NAMES {
        for (_, query) in dashboards::queries(name)? {
            let query = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
            let record = format!("{name}:query{}", rules.len());
            rules.push(serde_json::json!({ "record": record, "expr": query }));
        }
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("queries.yml");
    fs::write(&path, serde_json::json!({ "groups": [{ "name": "queries", "rules": rules }] }).to_string())?;
    promtool(&["check", "rules", &path.display().to_string()])
}

/// A partition moves between instances, and nobody exports it for a while: the customers board shows what it showed.
fn steady() -> Result<Completion, Failed> {
    let query = |title: &str| -> Result<String, Failed> {
        let queries = dashboards::queries("customers")?;
        let query = queries.into_iter().find(|(found, _)| found == title).ok_or("no such panel")?.1;
        Ok(query.replace("$job", ".+").replace("$instance", ".+").replace("$window", "90d"))
    };
    let gauges = |name: &str, labels: &str| {
        let series = |instance: &str, partition: u32, values: &str| {
            let series =
                format!("{name}{{job=\"shop\",instance=\"{instance}\",partition=\"{partition}\",{labels}}}");
            serde_json::json!({ "series": series, "values": values })
        };
        [series("a", 0, "7x10 stale"), series("b", 0, "_x13 8x20"), series("b", 1, "3x40")]
    };
    let series = [
        gauges("retention_customers", "state=\"active\""),
        gauges("retention_window_customers", "window=\"90d\",basis=\"kept\""),
        gauges("retention_window_orders", "window=\"90d\",basis=\"kept\""),
    ]
    .concat();
    let mut cases = Vec::new();
    for (title, values) in [("Active", [10, 10, 11]), ("Purchase frequency", [1, 1, 1])] {
        let query = query(title)?;
        for (at, value) in ["9m", "12m", "15m"].into_iter().zip(values) {
            let samples = serde_json::json!([{ "labels": "{}", "value": value }]);
            cases.push(serde_json::json!({ "expr": query, "eval_time": at, "exp_samples": samples }));
        }
    }
    let test = serde_json::json!({ "interval": "1m", "input_series": series, "promql_expr_test": cases });
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("steady.yml");
    fs::write(&path, serde_json::json!({ "evaluation_interval": "1m", "tests": [test] }).to_string())?;
    promtool(&["test", "rules", &path.display().to_string()])
}

/// It reads standard input, and says what goes against Prometheus's conventions.
fn metrics() -> Result<Completion, Failed> {
    let mut exported = tempfile::tempfile()?;
    exported.write_all(registry::exported().as_bytes())?;
    exported.rewind()?;
    run(Command::new("promtool").args(["check", "metrics"]).stdin(exported))
}
