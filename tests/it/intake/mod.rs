//! The intake on a real Kafka: what a shop sends, with any key, becomes native records exactly once.

mod killed;
mod load;
mod raw;
mod refusals;
mod replayed;
mod secret;
mod webhooks;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::kafka::{self, KafkaNode};
use crate::live::PATIENCE;
use crate::live::shop::time_text;
use crate::service::ServiceProcess;
use raw::RawShop;
use replayed::Replayed;
use webhooks::{Deliveries, Webhooks};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        kafka::on_shared_node("intake::in_order_and_killed", in_order_and_killed),
        kafka::on_shared_node("intake::a_shop_of_webhooks", a_shop_of_webhooks),
    ];
    trials.extend(killed::trials());
    trials.extend(load::trials());
    trials.extend(refusals::trials());
    trials.extend(secret::trials());
    trials
}

/// One raw partition in the order of time, one instance that dies at three steps of a commit: exactly what a replay of the same webhooks
/// makes of them.
fn in_order_and_killed(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open_shopify(node, 3, 1)?;
    let webhooks = Webhooks::random(0x5eed_2200, 400, 400, Deliveries::InOrder);
    shop.append_deliveries(&webhooks)?;
    for step in ["AfterSend:3", "AfterOffsets:2", "AfterCommit:4"] {
        let settings = shop.hurried("one").environment("RETENTION_KILL_AT", step);
        let intake = ServiceProcess::start_command(&settings, &["intake", "--from-beginning"])?;
        let exit = intake.wait_for_end(PATIENCE)?;
        ensure!(exit.code().is_none(), "killed at {step}, not {:?}\n{}", exit.code(), exit.stderr);
    }
    let intake = ServiceProcess::start_command(&shop.hurried("one"), &["intake"])?;
    shop.wait_until_passed_on(&[&intake])?;
    intake.terminate(PATIENCE)?.expect_clean();
    shop.check_headers()?;

    let settings = shop.settings("one").set(&["clock", "at_end"], time_text(webhooks.end));
    let service = ServiceProcess::start(&settings)?;
    shop.native.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    Replayed::of(&shop, &webhooks, &settings)?.check_exactly(&shop)
}

/// Shopify's webhooks through its preset, with a configuration of ten lines: an order of a customer, its touched repetition, a refund and
/// an order of a guest.
fn a_shop_of_webhooks(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open(node, 2, 2)?;
    let order = |updated: &str, refunds: serde_json::Value| {
        serde_json::json!({
            "id": 820_982_911_946_154_508_u64, "created_at": "2025-03-02T09:15:02+01:00", "processed_at": "2025-03-02T09:15:00+01:00",
            "updated_at": updated, "cancelled_at": null, "test": false, "currency": "GBP", "financial_status": "paid",
            "subtotal_price": "42.00", "total_price": "46.90", "customer": {"id": 7_100_000_000_042_u64},
            "line_items": [{"sku": "TEA"}], "refunds": refunds,
        })
    };
    let refund = serde_json::json!([{
        "id": 9, "created_at": "2025-03-05T10:00:00+01:00", "processed_at": "2025-03-05T10:00:00+01:00",
        "refund_line_items": [{"subtotal": "10.00", "subtotal_set": {"shop_money": {"amount": "10.00"}}}], "transactions": [],
    }]);
    let webhooks = [
        order("2025-03-02T09:15:03+01:00", serde_json::json!([])),
        order("2025-03-04T09:15:03+01:00", serde_json::json!([])),
        order("2025-03-05T10:00:01+01:00", refund),
    ];
    shop.append_webhooks(&webhooks, "orders/updated")?;
    let settings = shop.settings_with_map("one", "shopify");
    let intake = ServiceProcess::start_command(&settings, &["intake", "--from-beginning"])?;
    shop.wait_until_passed_on(&[&intake])?;
    let events =
        |event: &str| intake.metric("retention_intake_events_total", &[&format!("event=\"{event}\"")]);
    ensure!(
        events("order")? == Some(3.0) && events("return")? == Some(1.0),
        "{:?} {:?}",
        events("order")?,
        events("return")?
    );
    let lag = intake.metric("retention_intake_lag_records", &[])?;
    ensure!(lag == Some(0.0), "{lag:?}");
    intake.terminate(PATIENCE)?.expect_clean();

    let settings = shop.native.live_settings("one").set(&["clock", "at_end"], "stay");
    let service = ServiceProcess::start(&settings)?;
    shop.native.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    let profiles = shop.native.profiles()?;
    let profile = profiles.get("7100000000042").with_context(|| format!("{profiles:?}"))?;
    ensure!(profile["all_time"]["net"] == "32.00", "{profile}");
    Ok(())
}
