//! Cut points that are published while the service runs.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use retention_signals::domain::segments::cuts::CutPoints;
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::Time;
use retention_signals::wire::registry::cuts::{CutsContent, CutsRecord};
use serde_json::{Value, json};

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode, Record};
use crate::service::ServiceProcess;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_600_000_000_000 / DAY_MS * DAY_MS;

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_shared_node("live::the_first_cut_points_reach_back", the_first_cut_points_reach_back)]
}

fn day(number: i64) -> Time {
    Time::from_millis(START_MS + number * DAY_MS).expect("a time of this era")
}

/// A customer who has lapsed has no timer any more. The first cut points give one, and the second change of the segment is emitted: the
/// first one gives it its first name.
fn the_first_cut_points_reach_back(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let registry = format!("{}.registry", shop.application);
    shop.client().create_topic(&registry, 1, &[("cleanup.policy", "compact")])?;
    let settings = shop
        .settings("one", day(0).as_millis())
        .set(&["topics", "registry"], registry.as_str())
        .set(&["segments", "enabled"], true)
        .set(&["lapse", "policy"], "fixed")
        .set(&["lapse", "fixed", "at_risk_days"], 5)
        .set(&["lapse", "fixed", "lapsed_days"], 9)
        .set(&["signals", "history"], "publish");
    let order = |customer: &str, at: i64| json!({"order_id": format!("o-{customer}"), "customer_id": customer, "placed_at": day(at).as_millis(), "currency": "GBP", "total": "10.00"});
    let service = ServiceProcess::start(&settings)?;
    shop.append_orders(&[order("old", 0), order("clock", 40)])?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    let record = CutsRecord::first(&CutsContent {
        store_id: None,
        counted_at: day(40),
        customers: 2,
        points: CutPoints::FIXED,
        currency: Currency::from_code(b"GBP").expect("a currency"),
    });
    shop.client().produce(&registry, [Record::new(record.key(), record.to_json())])?;
    service.wait_until("told of the cut points", PATIENCE, |service| {
        Ok(service.has_logged("records taken from the registry"))
    })?;
    shop.append_orders(&[order("new", 70), order("end", 130)])?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();

    let signals = shop.signals()?;
    let changes = |customer: &str| -> Vec<[Value; 3]> {
        let is = |signal: &&Value| signal["customer_id"] == customer && signal["type"] == "segment_changed";
        let change = |signal: &Value| {
            [&signal["cause"]["kind"], &signal["data"]["before"], &signal["data"]["after"]].map(Value::clone)
        };
        signals.iter().filter(is).map(change).collect()
    };
    let expected = [[json!("boundary"), json!("about_to_sleep"), json!("hibernating")]];
    ensure!(changes("old") == expected, "{:?}", changes("old"));
    let expected =
        [[json!("order"), Value::Null, json!("new")], [json!("boundary"), json!("new"), json!("promising")]];
    ensure!(changes("new") == expected, "{:?}", changes("new"));
    Ok(())
}
