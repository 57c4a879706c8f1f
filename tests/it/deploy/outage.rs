//! The only broker is killed while nothing is sold, and a real Prometheus watches.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::prometheus::{self, Prometheus, RULES};
use crate::kafka::{self, KafkaNode};
use crate::live::shop::Shop;
use crate::service::ServiceProcess;

const PATIENCE: Duration = Duration::from_secs(40);
const ALERT: &str = "RetentionBrokersDown";

pub fn trials() -> Vec<Trial> {
    let name = "deploy: an outage with nothing to do fires its alert";
    let is_available = matches!(prometheus::unavailable(), Ok(None));
    let trial = if is_available {
        kafka::on_own_node(name, outage_with_nothing_to_do)
    } else {
        Trial::ignorable_test(name, || Ok(prometheus::unavailable()?.expect("it was not there just now")))
    };
    vec![trial]
}

fn outage_with_nothing_to_do() -> Result<()> {
    let mut node = KafkaNode::start()?;
    let shop = Shop::open(&node, 2)?;
    let service = ServiceProcess::start(&shop.live_settings("one").set(&["commit", "patience"], "50s"))?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("alerts.yml");
    std::fs::write(&rules, in_seconds(&std::fs::read_to_string(format!("{RULES}/alerts.yml"))?)?)?;
    let prometheus = Prometheus::start_with(service.http(), &rules)?;
    prometheus.wait_for_scrapes(|| Ok(()))?;
    let firing = format!("ALERTS{{alertname=\"{ALERT}\",alertstate=\"firing\"}}");
    ensure!(prometheus.ask(&firing)?.is_empty(), "Kafka is there");
    node.kill()?;
    prometheus.wait_until("an alert fires", PATIENCE, || Ok(!prometheus.ask(&firing)?.is_empty()))?;
    let (status, reasons) = service.get("/readyz")?;
    ensure!(status == 503 && reasons.contains("Kafka has not answered since"), "{status}: {reasons}");
    node.restart()?;
    prometheus.wait_until("the alert ends", PATIENCE, || Ok(prometheus.ask(&firing)?.is_empty()))?;
    service.wait_until_ready(PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

/// The rules with the alert's minutes made seconds.
fn in_seconds(rules: &str) -> Result<String> {
    let head = format!("- alert: {ALERT}\n");
    let (before, rest) = rules.split_once(&head).context("the alert")?;
    let (alert, after) = rest.split_once("- alert:").context("another alert behind it")?;
    let hurried = alert.replace("[2m]", "[2s]").replace("for: 1m", "for: 1s");
    ensure!(
        hurried.contains("[2s]") && hurried.contains("for: 1s"),
        "the alert has other spans now: {alert}"
    );
    Ok(format!("{before}{head}{hurried}- alert:{after}"))
}
