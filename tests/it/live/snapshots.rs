//! Restarts with local snapshots on a real Kafka: faster, and the same.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::history;
use super::shop::Shop;
use super::{PATIENCE, slow, wait_until_busy};
use crate::kafka::{self, KafkaNode};
use crate::service::{ServiceProcess, ServiceSettings};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node(
            "live::snapshots::a_restart_reads_the_tail_alone",
            a_restart_reads_the_tail_alone,
        ),
        kafka::on_shared_node("live::snapshots::a_kill_between_two", a_kill_between_two),
        kafka::on_shared_node("live::snapshots::of_a_topic_that_was_created_again", of_another_topic),
        kafka::on_shared_node("live::snapshots::erased_customers_stay_away", erased_customers_stay_away),
        kafka::on_shared_node("live::snapshots::a_full_disk_is_no_obstacle", a_full_disk_is_no_obstacle),
    ]
}

/// A state folder that survives its processes.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Place> {
        Ok(Place { folder: tempfile::tempdir()? })
    }

    fn settle(&self, settings: ServiceSettings) -> Result<ServiceSettings> {
        let folder = self.folder.path().to_str().context("a temporary folder in UTF-8")?;
        Ok(settings.set(&["state_dir"], folder))
    }

    fn snapshots(&self) -> PathBuf {
        self.folder.path().join("snapshots")
    }

    fn snapshot(&self, partition: u32) -> PathBuf {
        self.snapshots().join(format!("{partition}.snapshot"))
    }
}

/// Changelog records that a process has read back once it has so many partitions.
fn restored(service: &ServiceProcess, partitions: u32) -> Result<f64> {
    // A member that owns nothing yet is ready too.
    service.wait_until_ready(PATIENCE)?;
    service.wait_until("restored", PATIENCE, |service| {
        let restores = service.metric("retention_restore_duration_seconds_count", &[])?;
        Ok(restores.is_some_and(|restores| restores >= f64::from(partitions)))
    })?;
    service.metric("retention_restored_records_total", &[])?.context("the metric")
}

/// The same figures as without, from a hundredth of the records.
fn a_restart_reads_the_tail_alone(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let place = Place::new()?;
    let history = history::random(0x5eed_0020, 2_000, 300);
    let half = history.orders.len() / 2;
    let settings = place.settle(shop.settings("one", history.end).set(&["clock", "at_end"], "stay"))?;
    shop.append_orders(&history.orders[..half])?;
    let service = ServiceProcess::start(&settings)?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    for partition in 0..shop.partitions {
        ensure!(place.snapshot(partition).exists(), "no snapshot of partition {partition}");
    }
    let records = shop.changelog()?.len() as f64;
    let service = ServiceProcess::start(&settings)?;
    let restored = restored(&service, shop.partitions)?;
    println!("{restored} of {records} changelog records read");
    ensure!(restored > 0.0 && restored < records / 4.0, "{restored} of {records} changelog records read");
    let time = service.metric("retention_snapshot_last_success_timestamp_seconds", &["partition=\"0\""])?;
    ensure!(time.is_some_and(|time| time > 1_700_000_000.0), "the time of the snapshot is {time:?}");
    shop.append_orders(&history.orders[half..])?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    shop.check_without_end(&history::History { returns: Vec::new(), ..history })
}

/// Snapshots every second, and the process dies without a word while one is under way or not.
fn a_kill_between_two(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let place = Place::new()?;
    let history = history::random(0x5eed_0021, 3_000, 400);
    shop.load(&history)?;
    let settings =
        slow(place.settle(shop.settings("one", history.end))?).set(&["snapshots", "interval"], "1s");
    let service = ServiceProcess::start(&settings)?;
    wait_until_busy(&service)?;
    service.wait_until("writing snapshots", PATIENCE, |_| Ok(place.snapshot(0).exists()))?;
    service.kill()?;
    let service = ServiceProcess::start(&settings)?;
    let restored = restored(&service, shop.partitions)?;
    println!("{restored} changelog records read after a kill");
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    shop.check(&history)
}

/// A name is no identity: the state of the topic that was deleted must not come back.
fn of_another_topic(node: &KafkaNode) -> Result<()> {
    let old = Shop::open(node, 1)?;
    let place = Place::new()?;
    old.append_orders(&[order("old", "2024-05-01T00:00:00Z")])?;
    let settings = place.settle(old.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    old.wait_until_committed(&service, PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    ensure!(place.snapshot(0).exists(), "a snapshot");

    // Another shop that uses the same folder, by mistake.
    let new = Shop::open(node, 1)?;
    new.append_orders(&[order("new", "2024-05-02T00:00:00Z")])?;
    let settings = place.settle(new.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    new.wait_until_committed(&service, PATIENCE)?;
    ensure!(service.get("/v1/customers/old")?.0 == 404, "a customer of another topic's state");
    ensure!(service.get("/v1/customers/new")?.0 == 200, "the customer of this one");
    let ended = service.terminate(PATIENCE)?;
    ensure!(ended.stderr.contains("snapshot discarded"), "{}", ended.stderr);
    Ok(())
}

/// Neither the snapshot after the erasure nor what is restored from it knows the customer.
fn erased_customers_stay_away(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let place = Place::new()?;
    let settings = place.settle(shop.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    let settings = settings.set(&["snapshots", "interval"], "1s");
    shop.append_orders(&[
        order("erased-customer", "2024-05-01T00:00:00Z"),
        order("c2", "2024-05-02T00:00:00Z"),
    ])?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    let knows = || Ok(holds(&fs::read(place.snapshot(0)).unwrap_or_default(), b"erased-customer"));
    service.wait_until("writing a snapshot", PATIENCE, |_| knows())?;
    shop.append_erasures(&[
        json!({"customer_id": "erased-customer", "requested_at": "2024-06-01T00:00:00Z"}),
    ])?;
    shop.wait_until_committed(&service, PATIENCE)?;
    service.wait_until("writing it again", PATIENCE, |_| Ok(place.snapshot(0).exists() && !knows()?))?;
    service.kill()?;

    let service = ServiceProcess::start(&settings)?;
    restored(&service, 1)?;
    ensure!(service.get("/v1/customers/erased-customer")?.0 == 404, "the erased customer is back");
    ensure!(service.get("/v1/customers/c2")?.0 == 200, "the other one is gone");
    // The marker came with the snapshot.
    shop.append_orders(&[order("erased-customer", "2024-05-20T00:00:00Z")])?;
    shop.wait_until_committed(&service, PATIENCE)?;
    ensure!(
        service.get("/v1/customers/erased-customer")?.0 == 404,
        "a late record brought the customer back"
    );
    service.terminate(PATIENCE)?.expect_clean();
    for entry in fs::read_dir(place.snapshots())? {
        let path = entry?.path();
        ensure!(!holds(&fs::read(&path)?, b"erased-customer"), "{} holds the customer", path.display());
    }
    Ok(())
}

/// The folder cannot be written: one warning, and everything else as ever.
fn a_full_disk_is_no_obstacle(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let place = Place::new()?;
    // A file in the place of the folder refuses every user, root too.
    fs::write(place.snapshots(), "")?;
    let settings = place.settle(shop.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    let settings = settings.set(&["snapshots", "interval"], "1s");
    shop.append_orders(&[order("c1", "2024-05-01T00:00:00Z")])?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    let time = service.metric("retention_snapshot_last_success_timestamp_seconds", &["partition=\"0\""])?;
    ensure!(time == Some(0.0), "a snapshot at {time:?}");
    let ended = service.terminate(PATIENCE)?;
    let warnings = ended.stderr.matches("no snapshot can be written").count();
    ensure!(warnings == 1, "{warnings} warnings:\n{}", ended.stderr);
    ensure!(shop.profiles()?.contains_key("c1"), "the work was done");
    Ok(())
}

pub(super) fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn order(customer: &str, placed_at: &str) -> Value {
    json!({
        "order_id": format!("{customer} {placed_at}"), "customer_id": customer, "placed_at": placed_at, "currency": "GBP",
        "total": "10.00",
    })
}
