//! Rules on a real Kafka: a firing is planned, the process is killed, and it comes once.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode};
use crate::service::ServiceProcess;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_600_000_000_000 / DAY_MS * DAY_MS;

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::a_planned_firing_outlives_a_kill", a_planned_firing_outlives_a_kill),
        kafka::on_shared_node("live::rules_change_under_planned_firings", rules_change_under_planned_firings),
    ]
}

fn day(number: i64) -> i64 {
    START_MS + number * DAY_MS
}

fn a_planned_firing_outlives_a_kill(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let rules = toml::toml! {
        [[rule]]
        name = "thank-you"
        on = "first_order"
        after = "7d"
        [[rule]]
        name = "each"
        on = "order"
        again = "always"
    };
    let settings = |until: i64| {
        shop.settings("one", until)
            .set(&["rule"], rules["rule"].clone())
            .set(&["signals", "history"], "publish")
    };
    let order = |customer: &str, at: i64| json!({"order_id": format!("o-{customer}"), "customer_id": customer, "placed_at": at, "currency": "GBP", "total": "10.00"});
    let service = ServiceProcess::start(&settings(day(3)))?;
    service.wait_until_ready(PATIENCE)?;
    shop.append_orders(&[order("ida", day(1))])?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    let planned = service.metric("retention_rule_firings_planned", &[])?;
    ensure!(planned == Some(1.0), "{planned:?} planned");
    service.kill()?;

    // While it is due, the next process is killed as well.
    let service = ServiceProcess::start(&settings(day(20)))?;
    service.wait_until_ready(PATIENCE)?;
    service.wait_until("past the firing", PATIENCE, |service| {
        Ok(service.metric("retention_rule_firings_total", &["rule=\"thank-you\""])? == Some(1.0))
    })?;
    service.kill()?;
    let service = ServiceProcess::start(&settings(day(40)))?;
    service.wait_until_ready(PATIENCE)?;
    shop.append_orders(&[order("mara", day(30))])?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();

    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = shop.client().read_committed(shop.signals_name())?;
    let mut fired = Vec::new();
    for record in records.iter().filter(|record| record.value_json()["type"] == "rule") {
        let signal = record.value_json();
        let header = record.headers.iter().find(|(name, _)| name == "rs_rule");
        let (_, header) = header.context("a signal of a rule has the header rs_rule")?;
        ensure!(*header == text(&signal["data"]["rule"]).into_bytes(), "{signal}");
        fired.push([&signal["customer_id"], &signal["data"]["rule"], &signal["occurred_at"]].map(text));
    }
    fired.sort();
    let expected = [
        ["ida", "each", "2020-09-14T00:00:00.000Z"],
        ["ida", "thank-you", "2020-09-21T00:00:00.000Z"],
        ["mara", "each", "2020-10-13T00:00:00.000Z"],
        ["mara", "thank-you", "2020-10-20T00:00:00.000Z"],
    ];
    ensure!(fired == expected, "{fired:?}");
    Ok(())
}

/// An instance with changed rules takes over: what the other has planned keeps its instant, the new text decides, and a rule that is
/// missing drops what is due.
fn rules_change_under_planned_firings(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let rules = |texts: &[(&str, &str)]| -> toml::Value {
        let rule = |(name, template): &(&str, &str)| {
            let say =
                toml::Value::from(toml::Table::from_iter([("template".to_owned(), (*template).into())]));
            let keys = [
                ("name", (*name).into()),
                ("on", "first_order".into()),
                ("after", "7d".into()),
                ("say", say),
            ];
            toml::Value::from(toml::Table::from_iter(keys.map(|(key, value)| (key.to_owned(), value))))
        };
        texts.iter().map(rule).collect::<Vec<_>>().into()
    };
    let settings = |instance: &str, until: i64, texts: &[(&str, &str)]| {
        shop.settings(instance, until).set(&["rule"], rules(texts))
    };
    let order = |customer: &str, at: i64| json!({"order_id": format!("o-{customer}"), "customer_id": customer, "placed_at": at, "currency": "GBP", "total": "10.00"});
    let one = ServiceProcess::start(&settings("one", day(3), &[("thank-you", "old"), ("gone", "old")]))?;
    one.wait_until_ready(PATIENCE)?;
    let before: Vec<String> = (0..8).map(|number| format!("before-{number}")).collect();
    shop.append_orders(&before.iter().map(|customer| order(customer, day(1))).collect::<Vec<_>>())?;
    shop.wait_until_idle(&[&one], PATIENCE)?;
    ensure!(
        one.metric("retention_rule_firings_planned", &[])? == Some(16.0),
        "each rule plans for each customer"
    );
    let version = |service: &ServiceProcess| service.metric("retention_rules_info", &[]);

    // Beside it for a while: a partition follows the rules of its owner.
    let two = ServiceProcess::start(&settings("two", day(40), &[("thank-you", "new")]))?;
    two.wait_until_ready(PATIENCE)?;
    two.wait_until("sharing", PATIENCE, |two| {
        Ok(two.metric("retention_assigned_partitions", &[])? == Some(1.0))
    })?;
    ensure!(version(&one)? == Some(1.0) && version(&two)? == Some(1.0), "both export a version");
    one.terminate(PATIENCE)?.expect_clean();
    shop.wait_until_idle(&[&two], PATIENCE)?;
    two.terminate(PATIENCE)?.expect_clean();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let signals = shop.signals()?;
    let mut fired: Vec<[String; 4]> = signals
        .iter()
        .filter(|signal| signal["type"] == "rule")
        .map(|signal| {
            let data = &signal["data"];
            [&signal["customer_id"], &data["rule"], &data["say"]["template"], &signal["occurred_at"]]
                .map(text)
        })
        .collect();
    fired.sort();
    let firing =
        |customer: &String| [customer, "thank-you", "new", "2020-09-21T00:00:00.000Z"].map(str::to_owned);
    let expected: Vec<[String; 4]> = before.iter().map(firing).collect();
    ensure!(fired == expected, "{fired:#?}");
    Ok(())
}
