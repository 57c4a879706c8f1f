//! Silence: who lapses although nothing happens, and who does not although much waits.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode};
use crate::service::{ServiceProcess, ServiceSettings};

pub const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// As configured here: at risk after this much silence.
pub const AT_RISK: i64 = 30 * DAY;

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::silence_is_told_on_time", silence_is_told_on_time),
        kafka::on_shared_node(
            "live::an_outage_lapses_nobody_who_ordered",
            an_outage_lapses_nobody_who_ordered,
        ),
    ]
}

/// No event arrives at the deadline. The clock is wall time less the grace of a minute.
fn silence_is_told_on_time(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let deadline = now() - MINUTE + 4_000;
    shop.append_orders(&(0..4).map(|n| order(n, deadline - AT_RISK)).collect::<Vec<_>>())?;
    let service = ServiceProcess::start(&fixed(shop.live_settings("one")))?;
    service.wait_until_ready(PATIENCE)?;
    let told = |kind: &str| -> Result<usize> {
        Ok(service
            .metric("retention_signals_total", &[&format!("signal_type=\"{kind}\"")])?
            .unwrap_or_default() as usize)
    };
    service.wait_until("telling the first orders", PATIENCE, |_| Ok(told("first_order")? == 4))?;
    if now() - MINUTE < deadline {
        let (first, early) = (told("at_risk")?, now() - MINUTE < deadline);
        ensure!(first == 0 || !early, "{first} customers are at risk before their deadline");
    }
    service.wait_until("telling who is at risk", PATIENCE, |_| Ok(told("at_risk")? == 4))?;
    let delay = now() - MINUTE - deadline;
    ensure!((0..5_000).contains(&delay), "told {delay} ms after the deadline");
    service.terminate(PATIENCE)?.expect_clean();
    for signal in signals(&shop, "at_risk")? {
        let at = chrono::DateTime::parse_from_rfc3339(signal["occurred_at"].as_str().context("an instant")?)?;
        ensure!(at.timestamp_millis() == deadline, "{signal}");
        ensure!(signal["cause"]["kind"] == "deadline", "{signal}");
    }
    Ok(())
}

/// The service was down for a day while a deadline passed. Some customers had ordered before it, and their orders wait.
fn an_outage_lapses_nobody_who_ordered(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let deadline = now() - DAY;
    let customers = 40;
    shop.append_orders(&(0..customers).map(|n| order(n, deadline - AT_RISK)).collect::<Vec<_>>())?;
    let settings = fixed(shop.live_settings("one"));
    let before = ServiceProcess::start(&settings.clone().set(&["clock", "at_end"], "stay"))?;
    before.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&before, PATIENCE)?;
    before.terminate(PATIENCE)?.expect_clean();

    let ordered: Vec<Value> =
        (0..customers).step_by(2).map(|n| order_number(n, 2, deadline - i64::from(n + 1) * MINUTE)).collect();
    shop.append_orders(&ordered)?;
    let after = ServiceProcess::start(&super::slow(settings))?;
    after.wait_until_ready(PATIENCE)?;
    let told = format!("{}", customers / 2);
    after.wait_until("telling who is at risk", PATIENCE, |after| {
        let at_risk = after.metric("retention_signals_total", &["signal_type=\"at_risk\""])?;
        Ok(at_risk.map(|at_risk| at_risk.to_string()) == Some(told.clone()))
    })?;
    shop.wait_until_committed(&after, PATIENCE)?;
    after.terminate(PATIENCE)?.expect_clean();
    let at_risk: BTreeSet<String> =
        signals(&shop, "at_risk")?.iter().map(|signal| signal["customer_id"].to_string()).collect();
    let silent: BTreeSet<String> = (0..customers).skip(1).step_by(2).map(|n| format!("\"c{n}\"")).collect();
    ensure!(at_risk == silent, "at risk are {at_risk:?}, not {silent:?}");
    Ok(())
}

pub fn fixed(settings: ServiceSettings) -> ServiceSettings {
    settings.set(&["lapse", "policy"], "fixed")
}

pub fn order(customer: u32, placed_at: i64) -> Value {
    order_number(customer, 1, placed_at)
}

pub fn order_number(customer: u32, number: u32, placed_at: i64) -> Value {
    json!({
        "order_id": format!("o{customer}-{number}"), "customer_id": format!("c{customer}"), "placed_at": placed_at,
        "currency": "GBP", "total": "10.00",
    })
}

pub fn signals(shop: &Shop, kind: &str) -> Result<Vec<Value>> {
    let signals = shop.signals()?;
    Ok(signals.into_iter().filter(|signal| signal["type"] == kind).collect())
}

pub fn now() -> i64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("this era")
}
