//! Cut points that the combiner publishes while the service runs: in time, and days late because a partition stood.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::PATIENCE;
use super::history;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode};
use crate::replay::Folder;
use crate::service::ServiceProcess;

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// In each of the two partitions: enough of them for computed cut points.
const CUSTOMERS: usize = 12;
/// The day on which both clocks are when the first cut points come, the day to which partition 0 goes on alone, and the last one.
const TOGETHER: i64 = 5;
const AHEAD: i64 = 16;
const END: i64 = 17;
/// Mondays, at whose midnights cut points are refreshed, in days of the history.
const REFRESHED: i64 = 9;
const LAST_REFRESHED: i64 = 16;
const SETTINGS: [(&[&str], &str); 3] = [
    (&["segments", "enabled"], "true"),
    (&["segments", "customers_min"], "20"),
    (&["segments", "refresh"], "weekly"),
];

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_shared_node("live::published_cut_points_come_late", published_cut_points_come_late)]
}

/// The history begins on a Saturday about a month ago, so that its days are counted and the third and the tenth are Mondays.
fn start_ms() -> i64 {
    // The trial may run over midnight.
    static START_MS: OnceLock<i64> = OnceLock::new();
    *START_MS.get_or_init(|| {
        let latest = chrono::Utc::now().timestamp_millis() / DAY_MS - 30;
        // 1970-01-01 was a Thursday.
        (latest - (latest - 2).rem_euclid(7)) * DAY_MS
    })
}

/// An order of a customer on a day of the history. Minutes keep instants apart.
fn order(customer: &str, day: i64, minute: i64) -> Value {
    json!({
        "order_id": format!("{customer}-{day}-{minute}"), "customer_id": customer,
        "placed_at": start_ms() + day * DAY_MS + minute * MINUTE_MS, "currency": "GBP", "total": "10.00",
    })
}

/// The first customers of a partition of two.
fn customers_of(partition: u32) -> Vec<String> {
    let all = (0..).map(|number| format!("c-{number}"));
    let here = all.filter(|id| history::partition_of(&json!({ "customer_id": id }), 2) == partition);
    here.take(CUSTOMERS).collect()
}

fn sorted(orders: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut orders: Vec<Value> = orders.collect();
    orders.sort_by_key(history::time_of);
    orders
}

fn published_cut_points_come_late(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let topic = |role: &str| format!("{}.{role}", shop.application);
    let [shares, metrics, registry] = ["shares", "shop-metrics", "registry"].map(topic);
    shop.client().create_topic(&shares, 1, &[("cleanup.policy", "compact,delete")])?;
    shop.client().create_topic(&metrics, 1, &[("cleanup.policy", "compact")])?;
    shop.client().create_topic(&registry, 1, &[("cleanup.policy", "compact")])?;
    let settings = shop
        .settings("one", start_ms())
        .set(&["topics", "shares"], shares.as_str())
        .set(&["topics", "shop_metrics"], metrics.as_str())
        .set(&["topics", "registry"], registry.as_str())
        .set(&["metrics", "shares"], "true")
        .set(&["signals", "history"], "publish");
    let settings = SETTINGS.iter().fold(settings, |settings, (key, value)| settings.set(key, *value));
    let (first, second) = (customers_of(0), customers_of(1));
    let mut all = Vec::new();
    let mut append = |orders: Vec<Value>| -> Result<()> {
        all.extend(orders.iter().cloned());
        shop.append_orders(&orders)
    };

    // All customers order on the first day, every other one once more; then the clocks go on.
    for customers in [&first, &second] {
        let mut orders: Vec<Value> = customers.iter().zip(0..).map(|(id, at)| order(id, 0, at)).collect();
        orders.extend(customers.iter().zip(0..).step_by(2).map(|(id, at)| order(id, 1 + at % 3, at)));
        orders.push(order(&customers[0], TOGETHER, 0));
        append(sorted(orders.into_iter()))?;
    }
    let service = ServiceProcess::start(&settings)?;
    let cuts = || cuts_by_day(&shop, &registry);
    service.wait_until("publishing the first cut points", PATIENCE, |_| Ok(cuts()?.len() == 2))?;
    // They reach customers who have been there before, over HTTP at once.
    wait_for_cuts(&service, &first[1], &cuts()?[&day_text(1)])?;

    // Partition 1 stands, and partition 0 goes on.
    let goes_on = |at: i64| TOGETHER + 1 + at % (AHEAD - TOGETHER);
    append(sorted(first.iter().zip(0..).map(|(id, at)| order(id, goes_on(at), at))))?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    let waiting = (AHEAD - TOGETHER) as f64;
    service.wait_until("waiting for days", PATIENCE, |service| {
        Ok(service.metric("retention_daily_counts_incomplete", &[])? == Some(waiting))
    })?;
    let oldest = service.metric("retention_oldest_incomplete_day_timestamp_seconds", &[])?;
    ensure!(oldest == Some((start_ms() + (TOGETHER + 1) * DAY_MS) as f64 / 1_000.0), "{oldest:?}");
    ensure!(cuts()?.len() == 2, "a day is complete without partition 1");

    // Its records come, and with them the days: cut points that count from two days after their Monday on are five days late.
    append(sorted(second.iter().zip(0..).map(|(id, at)| order(id, END - at % 3, at))))?;
    service.wait_until("publishing late cut points", PATIENCE, |_| {
        Ok(cuts()?.contains_key(&day_text(LAST_REFRESHED)))
    })?;
    let late = cuts()?[&day_text(REFRESHED)].clone();
    let ordered_since = first.iter().zip(0..).find(|(_, at)| goes_on(*at) > REFRESHED + 2);
    wait_for_cuts(&service, ordered_since.context("a customer")?.0, &late)?;

    // Each profile is written once more.
    let last = first.iter().chain(&second).zip(0..).map(|(id, at)| order(id, END, 12 * 60 + at));
    append(last.collect())?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();

    check_signals(&shop.signals()?, [&cuts()?[&day_text(2)], &late])?;
    let replayed = replayed(&shop, &registry, &all)?;
    let published = shop.profiles()?;
    ensure!(published.len() == 2 * CUSTOMERS && replayed.len() == published.len(), "{}", replayed.len());
    for (id, profile) in &published {
        ensure!(replayed.get(id) == Some(profile), "{id}: {profile:#}\nreplayed {:#?}", replayed.get(id));
    }
    Ok(())
}

/// As in records: the date of a day of the history.
fn day_text(day: i64) -> String {
    let date =
        chrono::DateTime::from_timestamp_millis(start_ms() + day * DAY_MS).expect("a time of this era");
    date.format("%Y-%m-%d").to_string()
}

/// Versions of the cut points in the registry, by the day that they were counted at.
fn cuts_by_day(shop: &Shop, registry: &str) -> Result<BTreeMap<String, String>> {
    let records = shop.client().read_committed(registry)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    records
        .iter()
        .map(|record| {
            let value = record.value_json();
            Ok((text(&value["day"])?, text(&value["version"])?))
        })
        .collect()
}

/// Waits until the service judges a customer by cut points of this version.
fn wait_for_cuts(service: &ServiceProcess, customer: &str, version: &str) -> Result<()> {
    service.wait_until("judging by the cut points", PATIENCE, |service| {
        let (status, body) = service.get(&format!("/v1/customers/{customer}"))?;
        ensure!(status == 200, "{status}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        Ok(answer["customer"]["segment"]["cuts"] == version)
    })
}

/// Silences change segments by the cut points that came in time, orders by the late ones too, and each signal is there once.
fn check_signals(signals: &[Value], [in_time, late]: [&str; 2]) -> Result<()> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for signal in signals.iter().filter(|signal| signal["type"] == "segment_changed") {
        let kind = signal["cause"]["kind"].as_str().context("a kind")?;
        let cuts = signal["data"]["cuts"].as_str().context("a version")?;
        *counts.entry((kind, cuts)).or_default() += 1;
    }
    for expected in [("boundary", in_time), ("order", late)] {
        ensure!(counts.contains_key(&expected), "{expected:?} is not in {counts:?}");
    }
    let ids = history::by_id(signals);
    ensure!(ids.values().all(|signals| signals.len() == 1), "a signal is there twice");
    Ok(())
}

/// The profiles that a replay of all orders gives with the records of the registry.
fn replayed(shop: &Shop, registry: &str, orders: &[Value]) -> Result<BTreeMap<String, Value>> {
    let lines = |lines: Vec<String>| lines.join("\n") + "\n";
    let records = shop.client().read_committed(registry)?;
    let records = records.iter().map(|record| {
        let key = String::from_utf8(record.key.clone().unwrap_or_default())?;
        Ok(json!({"key": key, "value": record.value_json()}).to_string())
    });
    let folder = Folder::new();
    let registry = folder.write("registry.jsonl", lines(records.collect::<Result<_>>()?));
    let orders = sorted(orders.iter().cloned()).iter().map(Value::to_string).collect();
    let orders = folder.write("orders.jsonl", lines(orders));
    let mut arguments =
        vec!["--orders".to_owned(), orders, "--set".to_owned(), "shop.currency=GBP".to_owned()];
    let settings = SETTINGS.iter().map(|(key, value)| format!("{}={value}", key.join(".")));
    for setting in settings.chain([format!("registry.file={registry}")]) {
        arguments.extend(["--set".to_owned(), setting]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let results = folder.replay(&arguments).map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let key = |profile: &Value| profile["customer_id"].as_str().map(str::to_owned).context("a customer");
    results.customers.into_iter().map(|profile| Ok((key(&profile)?, profile))).collect()
}
