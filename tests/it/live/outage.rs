//! Kafka goes away while nothing is to be done, and before anything could begin.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode, free_port};
use crate::service::{Exit, ServiceProcess, ServiceSettings};

pub fn trials() -> Vec<Trial> {
    let at_start = "live::outage::probes_are_answered_while_the_start_waits_for_kafka";
    vec![
        kafka::on_own_node("live::outage::an_idle_service_says_that_kafka_is_away", idle),
        kafka::on_shared_node("live::outage::trace_writes_a_line_for_each_record", trace),
        Trial::test(at_start, || Ok(start_without_kafka()?)),
    ]
}

/// The lines of a JSON log.
fn lines(log: &str) -> Result<Vec<Value>> {
    log.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
}

/// It must end with this code, and its last line must be an error in the chosen format that says this.
fn expect_last_line(exit: &Exit, code: i32, words: &[&str]) -> Result<()> {
    exit.expect_code(code);
    let lines = lines(&exit.stderr)?;
    let last = lines.last().context("a log")?;
    ensure!(last["level"] == "ERROR" && last["exit_code"] == code, "{last}");
    let message = last["message"].as_str().context("a message")?;
    for word in words {
        ensure!(message.contains(word), "{word:?} is not in {message:?}");
    }
    Ok(())
}

/// One instance waits long, the other one as long as it must; neither has a record to process.
fn idle() -> Result<()> {
    let mut node = KafkaNode::start()?;
    let shop = Shop::open(&node, 2)?;
    let settings = |name: &str, patience: &str| {
        shop.live_settings(name)
            .set(&["commit", "patience"], patience)
            .set(&["kafka", "session.timeout.ms"], 6_000)
    };
    let patient = ServiceProcess::start(&settings("one", "50s"))?;
    let hasty = ServiceProcess::start(&settings("two", "3s"))?;
    for service in [&patient, &hasty] {
        service.wait_until_ready(PATIENCE)?;
        // Ready is asked for again: the second one to join takes a partition from the first, and restores it.
        service.wait_until("ready, with a partition", PATIENCE, |service| {
            let owned = service.metric("retention_assigned_partitions", &[])? == Some(1.0);
            Ok(owned && service.get("/readyz")?.0 == 200)
        })?;
        ensure!(service.metric("retention_brokers_up", &[])? == Some(1.0), "Kafka is there");
    }
    node.kill()?;
    let bootstrap_servers = node.bootstrap_servers().to_owned();
    patient.wait_until("not ready", PATIENCE, |service| Ok(service.get("/readyz")?.0 == 503))?;
    let (_, reasons) = patient.get("/readyz")?;
    let refused = format!("{bootstrap_servers}: connection refused");
    ensure!(reasons.starts_with("Kafka has not answered since 2") && reasons.contains(&refused), "{reasons}");
    ensure!(patient.metric("retention_brokers_up", &[])? == Some(0.0), "the gauge");
    let last_answer = patient.metric("retention_brokers_last_answer_timestamp_seconds", &[])?;
    ensure!(last_answer.is_some_and(|seconds| seconds > 1.7e9), "{last_answer:?}");
    ensure!(patient.get("/livez")?.0 == 200, "a restart would not help");
    let status: Value = serde_json::from_str(&patient.get("/v1/status")?.1)?;
    ensure!(status["unready_reasons"][0] == reasons.trim_end(), "{status}");

    let ended = hasty.wait_for_end(PATIENCE)?;
    expect_last_line(
        &ended,
        69,
        &[&format!("cannot reach Kafka at {bootstrap_servers}: connection refused (tried for ")],
    )?;

    node.restart()?;
    shop.append_orders(&[json!({
        "order_id": "o1", "customer_id": "c1", "placed_at": 1_714_521_600_000i64, "currency": "GBP", "total": "10.00",
    })])?;
    shop.wait_until_idle(&[&patient], PATIENCE)?;
    ensure!(patient.metric("retention_brokers_up", &[])? == Some(1.0), "Kafka is back");
    let exit = patient.terminate(PATIENCE)?;
    exit.expect_clean();
    let lines = lines(&exit.stderr)?;
    let count = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    ensure!(count("Kafka does not answer") == 1 && count("Kafka answers again") == 1, "{}", exit.stderr);
    // The partitions may be lost meanwhile, which is another line.
    let warnings: Vec<&Value> =
        lines.iter().filter(|line| line["level"] == "WARN" && line["message"] != "partitions lost").collect();
    ensure!(warnings.len() == 1, "{warnings:#?}");
    Ok(())
}

fn start_without_kafka() -> Result<()> {
    let nowhere = format!("127.0.0.1:{}", free_port()?);
    let settings = ServiceSettings::new(&nowhere, "shop", "one").set(&["commit", "patience"], "8s");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until("serving HTTP", PATIENCE, |service| Ok(service.get("/livez").is_ok()))?;
    ensure!(service.get("/livez")? == (200, "ok\n".to_owned()), "it waits, and is well");
    let refused = format!("Kafka has not answered since the start: {nowhere}: connection refused");
    service.wait_until("sure that Kafka is away", PATIENCE, |service| {
        let (status, reasons) = service.get("/readyz")?;
        Ok(status == 503 && reasons.contains(&refused))
    })?;
    ensure!(service.get("/livez")?.0 == 200, "it waits, and is well");
    ensure!(service.metric("retention_brokers_up", &[])? == Some(0.0), "the gauge");
    ensure!(service.metric("retention_state", &["starting"])? == Some(1.0), "the state");
    let ended = service.wait_for_end(PATIENCE)?;
    expect_last_line(
        &ended,
        69,
        &[&format!("cannot reach Kafka at {nowhere}: connection refused (tried for ")],
    )?;
    let first = &lines(&ended.stderr)?[0];
    let digest = first["configuration"].as_str().unwrap_or_default();
    ensure!(first["message"] == "starting" && first["version"] == env!("CARGO_PKG_VERSION"), "{first}");
    ensure!(digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    Ok(())
}

/// One that counts, one that repeats it, one that cannot be used.
fn trace(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let order = |customer: &str, total: &str| {
        json!({
            "order_id": "o1", "customer_id": customer, "placed_at": 1_714_521_600_000i64, "currency": "GBP", "total": total,
        })
    };
    shop.append_orders(&[order("canary-1", "5.00"), order("canary-1", "5.00"), order("canary-2", "1.234")])?;
    let settings = shop.live_settings("one").set(&["log", "level"], "trace");
    let service = ServiceProcess::start(&settings)?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    let exit = service.terminate(Duration::from_secs(30))?;
    exit.expect_clean();
    let records: Vec<Value> =
        lines(&exit.stderr)?.into_iter().filter(|line| line["message"] == "record").collect();
    let found: Vec<_> = records
        .iter()
        .map(|line| {
            (
                line["level"].as_str(),
                line["topic"].as_str(),
                line["offset"].as_u64(),
                line["outcome"].as_str(),
            )
        })
        .collect();
    let expected = [(0, "applied"), (1, "duplicate"), (2, "dead_lettered")]
        .map(|(offset, outcome)| (Some("TRACE"), Some("orders"), Some(offset), Some(outcome)));
    ensure!(found == expected, "{records:#?}");
    ensure!(!exit.stderr.contains("canary"), "an id in the log");
    Ok(())
}
