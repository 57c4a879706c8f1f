//! What the intake refuses: a start whose offsets nobody knows, records that no map can read, too many of them.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::raw::RawShop;
use crate::kafka::{self, KafkaNode, Record};
use crate::live::PATIENCE;
use crate::service::{ServiceProcess, run_command};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("intake::offsets_that_nobody_knows", offsets_that_nobody_knows),
        kafka::on_shared_node("intake::records_of_no_use", records_of_no_use),
    ]
}

fn order(number: usize) -> serde_json::Value {
    json!({"kind": "order", "value": {
        "order_id": format!("o{number}"), "customer_id": "c1", "placed_at": 1_714_521_600_000_i64, "currency": "GBP", "total": "5.00",
    }})
}

/// The first start on a topic that holds records must say what is to become of them.
fn offsets_that_nobody_knows(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open(node, 1, 1)?;
    let append = |number: usize| {
        shop.native
            .client()
            .produce(&shop.topic, [Record::json(format!("{number}"), &order(number))])
            .map(drop)
    };
    append(1)?;
    let exit = ServiceProcess::start_command(&shop.settings("one"), &["intake"])?.wait_for_end(PATIENCE)?;
    exit.expect_code(78);
    ensure!(
        exit.stderr.contains("--from-beginning") && exit.stderr.contains("--accept-offsets"),
        "{}",
        exit.stderr
    );
    let intake = ServiceProcess::start_command(&shop.settings("one"), &["intake", "--accept-offsets"])?;
    intake.wait_until_ready(PATIENCE)?;
    // Committed at once, though nothing is passed on: the service waits for an offset before wall time moves a clock.
    shop.wait_until_passed_on(&[&intake])?;
    intake.wait_until("reading", PATIENCE, |intake| {
        Ok(intake.metric("retention_intake_assigned_partitions", &[])? == Some(1.0))
    })?;
    append(2)?;
    shop.wait_until_passed_on(&[&intake])?;
    intake.terminate(PATIENCE)?.expect_clean();
    let orders = shop.native.client().read_committed(shop.native.orders_name())?;
    let ids: Vec<String> = orders
        .iter()
        .map(|record| record.value_json()["order_id"].as_str().unwrap_or_default().to_owned())
        .collect();
    ensure!(ids == ["o2"], "{ids:?}");
    // Now the offsets are known.
    append(3)?;
    let intake = ServiceProcess::start_command(&shop.settings("one"), &["intake"])?;
    shop.wait_until_passed_on(&[&intake])?;
    intake.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

/// What the map would refuse again is not written; what is repaired goes back to the raw topic with the headers that it had.
fn written_again(shop: &RawShop) -> Result<()> {
    let settings = shop.settings("one");
    let requeue = |more: &[&str]| -> Result<String> {
        let exit = run_command(&settings, &[&["dead-letters", "requeue", "--yes"], more].concat(), PATIENCE)?;
        exit.expect_code(0);
        Ok(exit.stdout)
    };
    let as_it_is = requeue(&[])?;
    for reason in ["malformed_json", "invalid_event"] {
        ensure!(as_it_is.contains(&format!("1  would be refused again ({reason})")), "{as_it_is}");
    }
    ensure!(as_it_is.contains("nothing to write"), "{as_it_is}");
    let repair = format!("cat > /dev/null; echo '{}'", order(7));
    let repaired = requeue(&["--reason", "malformed_json", "--through", &repair])?;
    ensure!(repaired.contains(&format!("1  to {}", shop.topic)), "{repaired}");
    let raw = shop.native.client().read_committed(&shop.topic)?;
    let last = raw.last().context("a record")?;
    ensure!(last.key_text() == "k" && last.header("X-Shop") == Some("berlin"), "{last:?}");
    ensure!(last.header("dlq_requeued_reason") == Some("malformed_json"), "{last:?}");
    Ok(())
}

/// Dead letters say where they come from and keep their headers; a secret topic keeps digests alone; too many end the intake.
fn records_of_no_use(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open(node, 1, 1)?;
    let bad = |text: &str| Record {
        headers: vec![("X-Shop".to_owned(), b"berlin".to_vec())],
        ..Record::new("k", text.as_bytes())
    };
    let ping = Record::json("p", &json!({"kind": "ping"}));
    shop.native.client().produce(
        &shop.topic,
        [Record::json("a", &order(1)), bad("{\"kind\""), bad("{\"kind\": \"order\"}"), ping],
    )?;
    let intake = ServiceProcess::start_command(&shop.settings("one"), &["intake", "--from-beginning"])?;
    shop.wait_until_passed_on(&[&intake])?;
    for (outcome, expected) in [("mapped", 1.0), ("dead_lettered", 2.0), ("skipped", 1.0)] {
        let found = intake.metric("retention_intake_records_total", &[&format!("outcome=\"{outcome}\"")])?;
        ensure!(found == Some(expected), "{outcome}: {found:?}");
    }
    intake.terminate(PATIENCE)?.expect_clean();
    let letters = shop.native.dead_letters()?;
    ensure!(letters.len() == 2, "{letters:?}");
    let reasons: Vec<&str> = letters.iter().filter_map(|letter| letter.header("dlq_reason")).collect();
    ensure!(reasons == ["malformed_json", "invalid_event"], "{reasons:?}");
    ensure!(letters[0].header("dlq_topic") == Some(shop.topic.as_str()), "{letters:?}");
    ensure!(letters[0].header("dlq_map").is_some_and(|map| map.starts_with("wrapped ")), "{letters:?}");
    ensure!(letters[0].header("X-Shop") == Some("berlin"), "its own headers are kept: {letters:?}");
    ensure!(letters[0].value_text() == "{\"kind\"", "{letters:?}");

    written_again(&shop)?;
    shop.native.client().produce(&shop.topic, [bad("{\"secret\"")])?;
    let settings = shop.settings("one").set(&["intake", "dead_letter_values"], "drop");
    let intake = ServiceProcess::start_command(&settings, &["intake"])?;
    shop.wait_until_passed_on(&[&intake])?;
    intake.terminate(PATIENCE)?.expect_clean();
    let letters = shop.native.dead_letters()?;
    let last = letters.last().expect("three letters");
    ensure!(last.value.is_none() && last.key.is_none() && last.header("X-Shop").is_none(), "{last:?}");
    ensure!(last.header("dlq_value_sha256").is_some(), "{last:?}");

    // A thousand and more of no use: all before the limit are committed.
    shop.native.client().produce(&shop.topic, (0..1_500).map(|_| bad("{")))?;
    let exit = ServiceProcess::start_command(&shop.settings("one"), &["intake"])?.wait_for_end(PATIENCE)?;
    exit.expect_code(65);
    ensure!(
        exit.stderr.contains("999 of the last 999 records") && exit.stderr.contains("malformed_json 999"),
        "{}",
        exit.stderr
    );
    ensure!(shop.native.dead_letters()?.len() == 3 + 999, "committed up to the limit");
    Ok(())
}
