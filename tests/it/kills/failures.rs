//! What the service refuses to go on with, and what it must live with: each case once, on a real Kafka.

use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use retention_signals::wire::changelog::SEAL_KEY;
use serde_json::{Value, json};

use super::PATIENCE;
use super::campaign::kills_asked;
use super::fleet::hurried;
use super::verdict::Verdict;
use super::workload::Workload;
use crate::kafka::{self, KafkaNode, Record};
use crate::live::history::{self, History};
use crate::live::shop::Shop;
use crate::service::{Exit, ServiceProcess, ServiceSettings};

const DAY: i64 = 86_400_000;
/// 2024-05-01T00:00:00Z
const MAY: i64 = 1_714_521_600_000;

pub fn trials() -> Vec<Trial> {
    let shared: [(&str, fn(&KafkaNode) -> Result<()>); 11] = [
        ("kills::a_changelog_that_is_missing_stops", changelog_missing),
        ("kills::a_changelog_that_is_not_compacted_stops", changelog_not_compacted),
        ("kills::a_changelog_that_is_made_anew_stops", changelog_made_anew),
        ("kills::a_changelog_that_was_cut_stops", changelog_cut),
        ("kills::a_changelog_of_a_newer_version_stops", changelog_of_a_newer_version),
        ("kills::an_offset_below_the_log_start_stops", offset_below_log_start),
        ("kills::partitions_that_grow_under_a_running_service_stop", partitions_grow),
        ("kills::an_output_above_the_size_limit_stops", output_too_large),
        ("kills::one_far_future_record_lapses_nobody", far_future),
        ("kills::idle_partitions_hold_nobody_up", idle_partitions),
        ("kills::a_hot_customer_is_borne", hot_customer),
    ];
    let mut trials: Vec<Trial> =
        shared.into_iter().map(|(name, test)| kafka::on_shared_node(name, test)).collect();
    trials.push(kafka::on_own_node("kills::full_queues_under_a_slow_broker", slow_broker));
    trials.push(Trial::test("kills::a_state_folder_that_cannot_be_written_stops", || Ok(state_folder()?)));
    trials
}

fn order(customer: &str, number: usize, placed_at: i64) -> Value {
    json!({
        "order_id": format!("{customer}-{number}"), "customer_id": customer, "placed_at": placed_at, "currency": "GBP",
        "total": "10.00",
    })
}

/// Settings of an instance whose clock moves with the records alone.
fn settings(shop: &Shop, name: &str) -> ServiceSettings {
    hurried(shop.live_settings(name)).set(&["clock", "at_end"], "stay")
}

/// A start that must fail, with this code and these words.
fn refuse(settings: &ServiceSettings, code: i32, words: &str) -> Result<Exit> {
    let refused = ServiceProcess::start(settings)?.wait_for_end(PATIENCE)?;
    refused.expect_code(code);
    ensure!(refused.stderr.contains(words), "{words:?} is not in: {}", refused.stderr);
    Ok(refused)
}

/// Everything that is there is read, and the service has ended.
fn read_everything(shop: &Shop, settings: &ServiceSettings) -> Result<()> {
    let service = ServiceProcess::start(settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

/// A shop of two partitions that was in use.
fn used_shop(node: &KafkaNode) -> Result<Shop> {
    let shop = Shop::open(node, 2)?;
    let orders: Vec<Value> = (0..40).map(|n| order(&format!("c{n}"), 1, MAY + n)).collect();
    shop.append_orders(&orders[..20])?;
    read_everything(&shop, &settings(&shop, "one"))?;
    shop.append_orders(&orders[20..])?;
    read_everything(&shop, &settings(&shop, "one"))?;
    Ok(shop)
}

fn changelog_missing(node: &KafkaNode) -> Result<()> {
    let shop = used_shop(node)?;
    shop.client().delete_topic(shop.changelog_name())?;
    while shop.client().partition_count(shop.changelog_name()).is_ok() {}
    refuse(&settings(&shop, "one"), 78, "no such topic")?;
    Ok(())
}

fn changelog_not_compacted(node: &KafkaNode) -> Result<()> {
    let shop = used_shop(node)?;
    shop.client().alter_topic(shop.changelog_name(), "cleanup.policy", "delete")?;
    refuse(&settings(&shop, "one"), 78, "cleanup.policy=delete")?;
    // With the fault removed, no record is lost.
    shop.client().alter_topic(shop.changelog_name(), "cleanup.policy", "compact")?;
    read_everything(&shop, &settings(&shop, "one"))
}

/// Empty, and with the offsets still there: going on would forget every customer.
fn changelog_made_anew(node: &KafkaNode) -> Result<()> {
    let shop = used_shop(node)?;
    shop.client().delete_topic(shop.changelog_name())?;
    while shop.client().partition_count(shop.changelog_name()).is_ok() {}
    shop.client().create_topic(shop.changelog_name(), 2, &[("cleanup.policy", "compact")])?;
    refuse(&settings(&shop, "one"), 78, "changelog holds no state")?;
    Ok(())
}

/// Its first records were deleted, which only its beginning tells: the seal is still there.
fn changelog_cut(node: &KafkaNode) -> Result<()> {
    for before in [1, -1] {
        let shop = used_shop(node)?;
        shop.client().alter_topic(shop.changelog_name(), "cleanup.policy", "delete")?;
        shop.client().delete_records(shop.changelog_name(), shop.partitions, before)?;
        shop.client().alter_topic(shop.changelog_name(), "cleanup.policy", "compact")?;
        refuse(&settings(&shop, "one"), 78, "changelog")?;
    }
    Ok(())
}

/// A newer release has written a seal, and this one is put back: it must not guess.
fn changelog_of_a_newer_version(node: &KafkaNode) -> Result<()> {
    let shop = used_shop(node)?;
    let newer = Record::new(SEAL_KEY, [u8::MAX; 40]).at_partition(0);
    shop.client().produce(shop.changelog_name(), [newer])?;
    refuse(&settings(&shop, "one"), 78, "newer version")?;
    Ok(())
}

/// Retention was faster than the service.
fn offset_below_log_start(node: &KafkaNode) -> Result<()> {
    let shop = used_shop(node)?;
    shop.append_orders(&(0..40).map(|n| order(&format!("c{n}"), 2, MAY + DAY + n)).collect::<Vec<_>>())?;
    shop.client().delete_records(shop.orders_name(), shop.partitions, -1)?;
    refuse(&settings(&shop, "one"), 78, "records were deleted before they were read")?;
    Ok(())
}

/// Found at the rebalance that the new partition brings, before anything of it is applied.
fn partitions_grow(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    shop.append_orders(&[order("c1", 1, MAY)])?;
    let settings = settings(&shop, "one").set(&["kafka", "topic.metadata.refresh.interval.ms"], "200");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    shop.grow_orders(3)?;
    let stopped = service.wait_for_end(PATIENCE)?;
    stopped.expect_code(78);
    ensure!(stopped.stderr.contains("partitions"), "{}", stopped.stderr);
    Ok(())
}

/// One customer's state outgrows what the changelog takes: the service stops before it sends the record, again at every start,
/// and publishes nothing of that batch.
fn output_too_large(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open_on(node.client(), 1, &[("max.message.bytes", "65536")])?;
    let orders: Vec<Value> = (0..6_000).map(|n| order("reseller", n, MAY + n as i64 * 60_000)).collect();
    shop.append_orders(&orders)?;
    let settings = settings(&shop, "one").set(&["records", "max_orders"], 10_000);
    refuse(&settings, 65, "max.message.bytes")?;
    let signals = shop.signals()?.len();
    refuse(&settings, 65, "records.max_orders")?;
    ensure!(shop.signals()?.len() == signals, "signals were said again");
    Ok(())
}

/// A till with a wrong date must not make the whole shop's customers lapse.
fn far_future(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let mut orders: Vec<Value> = (0..20).map(|n| order(&format!("c{n}"), 1, MAY + n)).collect();
    orders.insert(10, order("c5", 2, MAY + 100 * 365 * DAY));
    shop.append_orders(&orders)?;
    read_everything(&shop, &settings(&shop, "one"))?;
    let signals = shop.signals()?;
    let kinds: Vec<&Value> = signals.iter().map(|signal| &signal["type"]).collect();
    ensure!(kinds.len() == 20 && kinds.iter().all(|kind| *kind == "first_order"), "{kinds:?}");
    let letters = shop.dead_letters()?;
    ensure!(letters.len() == 1 && letters[0].header("dlq_reason") == Some("in_future"), "{letters:?}");
    Ok(())
}

/// Three customers in twelve partitions: most have never held a record, and two inputs are empty.
fn idle_partitions(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 12)?;
    let orders: Vec<Value> = (0..3)
        .flat_map(|n| [order(&format!("c{n}"), 1, MAY), order(&format!("c{n}"), 2, MAY + DAY)])
        .collect();
    let end = MAY + 400 * DAY;
    let mut history = History { seed: 0, orders, returns: Vec::new(), erasures: Vec::new(), end };
    history.orders.sort_by_key(|order| order["placed_at"].as_i64());
    shop.load(&history)?;
    let service = ServiceProcess::start(&hurried(shop.settings("one", end)))?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    shop.check(&history)?;
    let lapsed = shop.signals()?.iter().filter(|signal| signal["type"] == "lapsed").count();
    ensure!(lapsed == 3, "{lapsed} of 3 customers have lapsed");
    ensure!(history::partition_of(&history.orders[0], 12) < 12, "a partition of the shop");
    Ok(())
}

/// A reseller orders every few minutes; its ledger is bounded, its counts are not, and other customers do not wait.
fn hot_customer(node: &KafkaNode) -> Result<()> {
    let count = if kills_asked().is_some() { 100_000 } else { 20_000 };
    let shop = Shop::open(node, 1)?;
    let mut orders: Vec<Value> = (0..count).map(|n| order("reseller", n, MAY + n as i64 * 60_000)).collect();
    orders.push(order("somebody else", 1, MAY + count as i64 * 60_000));
    shop.append_orders(&orders)?;
    for _ in 0..2 {
        // The second time from the changelog.
        read_everything(&shop, &settings(&shop, "one").set(&["commit", "backlog_interval"], "1s"))?;
        shop.append_orders(&[order("somebody else", 2, MAY + (count as i64 + 1) * 60_000)])?;
    }
    let profiles = shop.profiles()?;
    ensure!(profiles["reseller"]["all_time"]["placed"] == count, "{}", profiles["reseller"]);
    ensure!(profiles["somebody else"]["all_time"]["placed"] == 2, "{}", profiles["somebody else"]);
    ensure!(shop.dead_letters()?.is_empty(), "nothing of it is unusable");
    Ok(())
}

/// The broker stands still again and again, and the client's queue holds a hundred records: full most of the time.
fn slow_broker() -> Result<()> {
    let mut node = KafkaNode::start()?;
    let shop = Shop::open(&node, 3)?;
    let workload = Workload::complete(0x5eed_0490, 1_000);
    workload.load(&shop)?;
    let settings = hurried(shop.settings("one", workload.history.end))
        .set(&["kafka", "session.timeout.ms"], "10000")
        .set(&["kafka", "queue.buffering.max.messages"], "100");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    for _ in 0..8 {
        node.pause();
        let ended = service.ends_within(Duration::from_millis(400));
        node.resume();
        ensure!(ended.is_none(), "ended with {ended:?}\n{}", service.output_tail());
        let ended = service.ends_within(Duration::from_millis(100));
        ensure!(ended.is_none(), "ended with {ended:?}\n{}", service.output_tail());
    }
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_code(0);
    Verdict::of(&shop, &workload.expected(&shop))?.into_result("a slow broker")?;
    Ok(())
}

/// No client may write there, not even an administrator.
fn state_folder() -> Result<()> {
    let settings =
        ServiceSettings::new("127.0.0.1:9", "shop", "one").set(&["state_dir"], "/proc/retention-signals");
    let refused = ServiceProcess::start(&settings)?.wait_for_end(PATIENCE)?;
    ensure!(matches!(refused.code(), Some(77 | 78)), "{refused:?}");
    ensure!(refused.stderr.contains("cannot use the state folder"), "{}", refused.stderr);
    Ok(())
}
