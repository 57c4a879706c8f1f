//! The daily count on a real Kafka: each day once, complete, and as recomputed from the input, whatever happens to the processes.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::shares::day_text;
use serde_json::Value;

use super::history::{self, History, partition_of};
use super::shop::Shop;
use crate::kafka::{self, KafkaNode};
use crate::oracle::{self, Input, OracleConfig};
use crate::service::{ServiceProcess, ServiceSettings};

const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::shares::seven_partitions_as_recomputed", |node| {
            days(node, 7, Disturbance::None)
        }),
        kafka::on_shared_node("live::shares::instances_are_killed", |node| days(node, 4, Disturbance::Kill)),
    ]
}

/// What happens while days are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disturbance {
    None,
    /// The instance that combines is killed, and another one goes on.
    Kill,
}

/// A history whose last day is today, with nothing of the last hour.
fn recent(seed: u64) -> History {
    let now = chrono::Utc::now().timestamp_millis();
    let history = history::random(seed, 60, DAYS);
    let shift = now / DAY_MS * DAY_MS - DAY_MS * (DAYS - 1) - history::START_MILLIS;
    let moved = |records: Vec<Value>| -> Vec<Value> {
        let moved = records.into_iter().map(|mut record| {
            for field in ["placed_at", "cancelled_at", "returned_at"] {
                if let Some(time) = record[field].as_i64() {
                    record[field] = (time + shift).into();
                }
            }
            record
        });
        moved.filter(|record| history::time_of(record) < now - 3_600_000).collect()
    };
    History { orders: moved(history.orders), returns: moved(history.returns), end: now, ..history }
}

/// Shop metrics as they are in the topic now.
type Published<'p> = dyn Fn() -> Result<Vec<(String, Value)>> + 'p;

fn days(node: &KafkaNode, partitions: u32, disturbance: Disturbance) -> Result<()> {
    let shop = Shop::open(node, partitions)?;
    let [shares, metrics] = ["shares", "shop-metrics"].map(|role| format!("{}.{role}", shop.application));
    shop.client().create_topic(&shares, 1, &[("cleanup.policy", "compact,delete")])?;
    shop.client().create_topic(&metrics, 1, &[("cleanup.policy", "compact")])?;
    let history = recent(0x5eed_0400 + u64::from(partitions));
    shop.load(&history)?;
    let settings = |instance: &str| -> ServiceSettings {
        shop.live_settings(instance)
            .set(&["topics", "shares"], shares.as_str())
            .set(&["topics", "shop_metrics"], metrics.as_str())
            .set(&["metrics", "shares"], "true")
            .set(&["signals", "history"], "publish")
            .set(&["commit", "interval"], "20ms")
            .set(&["commit", "backlog_interval"], "20ms")
    };
    let today = history.end / DAY_MS * DAY_MS;
    let published = || -> Result<Vec<(String, Value)>> { read(&shop, &metrics) };
    let one = ServiceProcess::start(&settings("one"))?;
    let one = if disturbance == Disturbance::Kill {
        one.wait_until("publishing days", PATIENCE, |_| Ok(published()?.len() > 2))?;
        let two = ServiceProcess::start(&settings("two"))?;
        one.kill()?;
        println!("killed after {} days", published()?.len());
        two
    } else {
        one
    };
    one.wait_until("done with the days", PATIENCE, |_| {
        Ok(published()?.iter().any(|(key, _)| *key == day_key(today)))
    })?;
    show_last_day(&one, &published)?;
    one.terminate(PATIENCE)?.expect_clean();
    // The one that comes next publishes nothing, and shows the day all the same.
    let next = ServiceProcess::start(&settings("next"))?;
    show_last_day(&next, &published)?;
    next.terminate(PATIENCE)?.expect_clean();

    let first_of = |partition: u32| {
        let records = history.orders.iter().chain(&history.returns);
        records.filter(|record| partition_of(record, partitions) == partition).map(history::time_of).min()
    };
    let firsts: Option<Vec<i64>> = (0..partitions).map(first_of).collect();
    let first = firsts.context("records in each partition")?.into_iter().max().context("partitions")?;
    let expected: Vec<String> = (first / DAY_MS..=today / DAY_MS).map(|day| day_key(day * DAY_MS)).collect();
    // It may be tomorrow by now.
    let published: Vec<_> = published()?.into_iter().filter(|(key, _)| *key <= day_key(today)).collect();
    let names: Vec<String> = published.iter().map(|(key, _)| key.clone()).collect();
    ensure!(names == expected, "{names:?}, not {expected:?}");
    for (index, (key, value)) in published.iter().enumerate() {
        let recomputed = recomputed(&history, first / DAY_MS * DAY_MS + index as i64 * DAY_MS);
        ensure!(*value == recomputed, "{key}: {value:#}\nnot {recomputed:#}");
    }
    Ok(())
}

/// The gauges show the newest day, and no failure. It may be tomorrow meanwhile.
fn show_last_day(service: &ServiceProcess, published: &Published<'_>) -> Result<()> {
    let last = RefCell::new(None);
    service.wait_until("showing the last day", PATIENCE, |service| {
        let (key, shop) = published()?.pop().context("a day")?;
        let at = chrono::DateTime::parse_from_rfc3339(shop["at"].as_str().context("a time")?)?.timestamp();
        last.replace(Some((key, shop)));
        Ok(service.metric("retention_shop_day_timestamp_seconds", &[])? == Some(at as f64))
    })?;
    let (key, shop) = last.into_inner().context("a day")?;
    let number = |value: &Value| match value.as_str() {
        Some(decimal) => decimal.parse::<f64>().ok(),
        None => value.as_f64(),
    };
    let window = &shop["windows"]["30d"];
    for (series, labels, expected) in [
        ("customers", vec!["active"], &shop["customers"]["by_state"]["active"]),
        ("customers", vec!["prospect"], &shop["customers"]["by_state"]["prospect"]),
        ("kept_orders", vec!["30d", "new"], &shop["new"]["30d"]["orders"]),
        ("kept_orders", vec!["30d", "returning"], &shop["returning"]["30d"]["orders"]),
        ("kept_net_revenue", vec!["90d", "returning", "GBP"], &shop["returning"]["90d"]["net"]),
        ("placed_orders", vec!["30d"], &window["orders"]["placed"]),
        ("returned_orders", vec!["30d"], &window["orders"]["returned"]),
        ("revenue", vec!["30d", "refunded", "GBP"], &window["revenue"]["GBP"]["refunded"]),
        ("customer_return_ratio", vec!["30d"], &shop["customer_return_rate"]["30d"]),
        ("repeat_purchase_ratio", vec!["30d"], &window["repeat_purchase_rate"]["kept"]),
        ("retention_ratio", vec!["01"], &shop["retention_curve"][1]),
        ("projected_net_revenue", vec!["GBP"], &shop["projection"][0]["base"][11]),
        ("projected_extra_net_revenue", vec!["10", "GBP"], &shop["projection"][2]["extra"][11]),
    ] {
        let found = service.metric(&format!("retention_shop_{series}"), &labels)?;
        let expected = number(expected);
        // Records hold ratios with six digits.
        let is_same = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
            (found, expected) => found == expected,
        };
        ensure!(is_same, "{key}: {series} {labels:?} is {found:?}, not {expected:?}");
    }
    let failures = service.metric("retention_combiner_failures_total", &[])?;
    ensure!(failures == Some(0.0), "{failures:?} failures");
    Ok(())
}

fn day_key(midnight: i64) -> String {
    format!("shop/{}", day_text(Time::MIN.plus(Span::from_millis(midnight))))
}

/// The shop metrics in their order, cohorts aside, with every repetition.
fn read(shop: &Shop, topic: &str) -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for record in shop.client().read_committed(topic)? {
        let key = String::from_utf8(record.key.context("a key")?)?;
        if !key.contains("/cohort/") {
            found.push((key, serde_json::from_slice(&record.value.context("a value")?)?));
        }
    }
    Ok(found)
}

/// What the records before a midnight come to at it.
fn recomputed(history: &History, midnight: i64) -> Value {
    let config = OracleConfig { shop_metrics: true, ..OracleConfig::new("GBP") };
    let before = |records: &[Value]| -> Vec<Value> {
        records.iter().filter(|record| history::time_of(record) < midnight).cloned().collect()
    };
    let mut inputs = oracle::merge_order(before(&history.orders), before(&history.returns), Vec::new());
    inputs.push(Input::Clock(midnight));
    oracle::run(&config, &inputs).shop_metrics.pop().expect("a line at the end")
}
