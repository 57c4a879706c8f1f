//! A real Prometheus scrapes the real service on a real Kafka while a shop sells.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::prometheus::{self, Prometheus};
use crate::kafka::{self, KafkaNode};
use crate::live::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(30);

/// Panels of what does not happen in half a minute: a restore, a rebalance or a snapshot while it is looked at, a deadline, and with
/// it a customer who moves from one state to another. And the topics of the tests keep their records for ever.
const QUIET_TITLES: [&str; 8] = [
    "Restore ETA",
    "Restore duration",
    "Rebalance duration",
    "Snapshot duration",
    "Timer delay",
    "State transitions",
    "marks: Rebalances",
    "Lag as a share of the retention",
];

pub fn trials() -> Vec<Trial> {
    let name = "deploy: Prometheus finds data of the service itself";
    let is_available = matches!(prometheus::unavailable(), Ok(None));
    let trial = if is_available {
        kafka::on_shared_node(name, boards_of_the_service)
    } else {
        Trial::ignorable_test(name, || Ok(prometheus::unavailable()?.expect("it was not there just now")))
    };
    vec![trial]
}

fn boards_of_the_service(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 3)?;
    let settings = shop.settings("one", 0).set(&["clock", "at_end"], "wall").set(&["log", "level"], "debug");
    let service = crate::service::ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    let prometheus = Prometheus::start(service.http())?;
    let mut rounds = 0;
    prometheus.wait_for_scrapes(|| {
        rounds += 1;
        shop.append_orders(&orders(rounds))?;
        shop.append_returns(&[goods_back(rounds)])
    })?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    // No shares are combined here: `live::shares` compares the gauges with what is published.
    let is_of_days =
        |query: &str| query.contains("retention_shop_") || query.contains("retention_daily_counts_");
    prometheus.check_boards(|title, query| QUIET_TITLES.contains(&title) || is_of_days(query))?;
    prometheus.check_rules("job:retention_timers_late")?;
    for (series, labels, expected) in [
        ("retention_records_total", "applied", 3 * rounds),
        ("retention_records_total", "duplicate", 0),
        ("retention_dead_letter_records_total", "invalid_amount", rounds),
        ("retention_signals_total", "first_order", 2),
        ("retention_signals_total", "second_order", 2),
        ("retention_signals_total", "order_returned", rounds),
        ("retention_customers", "active", 2),
        ("retention_orders_total", "first", 2),
        ("retention_returns_total", "", rounds),
        ("retention_consumer_lag_records", "", 0),
    ] {
        let found =
            service.metric(series, &[labels])?.with_context(|| format!("{series} is not exported"))?;
        ensure!(found == f64::from(expected), "{series} {labels}: {found}, expected {expected}");
    }
    let (_, metrics) = service.get("/metrics")?;
    let exit = service.terminate(PATIENCE)?;
    exit.expect_clean();
    // Ids may stand in a log at level trace only, and in a label never.
    for text in [metrics, exit.stdout, exit.stderr] {
        ensure!(!text.contains("canary"), "tells a customer or an order:\n{text}");
    }
    Ok(())
}

/// Two that are used, and one that cannot be.
fn orders(round: u32) -> [Value; 3] {
    let order = |customer: &str, total: &str| {
        json!({
            "order_id": format!("{customer}-{round}"), "customer_id": customer, "placed_at": now_millis(),
            "currency": "GBP", "total": total,
        })
    };
    [order("canary-1", "12.50"), order("canary-2", "8.00"), order("canary-3", "1.234")]
}

fn goods_back(round: u32) -> Value {
    json!({
        "return_id": format!("canary-r-{round}"), "order_id": format!("canary-1-{round}"), "customer_id": "canary-1",
        "returned_at": now_millis(), "currency": "GBP", "refund": "2.50",
    })
}

fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("this era")
}
