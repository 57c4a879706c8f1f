//! Input that cannot be used: each record becomes a dead letter with its reason, and the partition goes on.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use retention_signals::wire::hash;
use serde_json::{Value, json};

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode, Record};
use crate::service::{ServiceProcess, run_command};

const PARTITIONS: u32 = 2;

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::poison_of_every_kind", poison_of_every_kind),
        kafka::on_shared_node("live::default_partitioner_of_librdkafka", default_partitioner_of_librdkafka),
        kafka::on_shared_node("live::what_looks_wrong_is_counted", what_looks_wrong_is_counted),
    ]
}

/// A reason, and a record that has it.
fn poison() -> Vec<(&'static str, Record)> {
    let order = |change: Value| {
        let mut order = json!({
            "order_id": "o1", "customer_id": "c1", "placed_at": "2024-05-01T00:00:00Z", "currency": "GBP", "total": "1.00",
        });
        for (name, value) in change.as_object().expect("changes are fields") {
            order[name] = value.clone();
        }
        Record::json("c1", &order)
    };
    let raw = |value: &[u8]| Record::new("c1", value);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let elsewhere = i32::try_from(1 - hash::partition(b"c1", PARTITIONS)).expect("0 or 1");
    let long_key = vec![b'k'; 2_000_000];
    vec![
        ("null_value", Record::tombstone("c1")),
        ("invalid_utf8", raw(b"{\"order_id\": \"\xff\"}")),
        ("malformed_json", raw(b"{\"order_id\": ")),
        ("malformed_json", raw(b"")),
        ("too_deep", raw(deep.as_bytes())),
        ("too_large", raw(&vec![b' '; 10_000_000])),
        ("too_large", Record::new(long_key, "{}")),
        ("missing_field", order(json!({"currency": null}))),
        ("invalid_type", order(json!({"order_id": 7.5}))),
        ("invalid_field", order(json!({"order_id": ""}))),
        ("invalid_event", order(json!({"cancelled_at": "2024-05-01T00:00:00Z"}))),
        ("invalid_time", order(json!({"placed_at": "2024-05-01T00:00:00"}))),
        ("invalid_amount", order(json!({"total": "1.005"}))),
        ("out_of_range", order(json!({"total": "-1.00"}))),
        ("out_of_range", order(json!({"version": 9_007_199_254_740_992_u64}))),
        ("unknown_currency", order(json!({"currency": "XXX"}))),
        ("key_mismatch", order(json!({"customer_id": "c2"}))),
        ("key_mismatch", Record { key: None, ..order(json!({})) }),
        ("wrong_partition", order(json!({})).at_partition(elsewhere)),
        ("in_future", order(json!({"placed_at": "2100-01-01T00:00:00Z"}))),
        ("too_old", order(json!({"placed_at": "2020-01-01T00:00:00Z"}))),
    ]
}

fn poison_of_every_kind(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, PARTITIONS)?;
    let order = |id: &str| json!({"order_id": id, "customer_id": "c1", "placed_at": "2024-06-01T00:00:00Z", "currency": "GBP", "total": "5.00"});
    shop.append_orders(&[order("first")])?;
    let poison = poison();
    let mut letters = BTreeMap::new();
    for (index, (reason, record)) in poison.iter().enumerate() {
        // Found again by its timestamp, since bytes may be cut.
        let timestamp = 1_717_200_000_000 + index as i64;
        shop.append_records([record.clone().at_timestamp(timestamp)])?;
        letters.insert(timestamp.to_string(), (*reason, record));
    }
    shop.append_orders(&[order("last")])?;
    let service = ServiceProcess::start(&shop.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    let counted = service.metric("retention_records_total", &["outcome=\"dead_lettered\""])?;
    ensure!(counted == Some(letters.len() as f64), "counted are {counted:?} of {}", letters.len());
    service.terminate(PATIENCE)?.expect_clean();

    let profile = shop.profiles()?.remove("c1").context("the customer's good orders count")?;
    ensure!(profile["all_time"]["placed"] == 2, "{profile}");
    for letter in shop.dead_letters()? {
        let header =
            |name: &str| letter.header(name).with_context(|| format!("{name} in {:?}", letter.headers));
        let (reason, record) = letters.remove(header("dlq_timestamp")?).context("each once")?;
        ensure!(header("dlq_reason")? == reason, "{reason}: {:?}", letter.headers);
        ensure!(header("dlq_topic")? == shop.orders_name(), "{:?}", letter.headers);
        ensure!(
            header("dlq_offset")?.parse::<u64>().is_ok()
                && header("dlq_partition")?.parse::<u32>()? < PARTITIONS,
            "{reason}"
        );
        match letter.header("dlq_value_bytes").or(letter.header("dlq_key_bytes")) {
            None => ensure!(letter.key == record.key && letter.value == record.value, "{reason}: {letter:?}"),
            Some(_) => {
                let value = record.value.clone().unwrap_or_default();
                ensure!(
                    value.starts_with(letter.value.as_deref().unwrap_or_default()),
                    "{reason}: not the original"
                );
                ensure!(reason == "too_large", "{reason} was cut");
            }
        }
    }
    ensure!(
        letters.is_empty(),
        "missing: {:?}",
        letters.values().map(|(reason, _)| reason).collect::<Vec<_>>()
    );
    Ok(())
}

/// The commonest mistake: half of the records are in the wrong partition. At each start everything before the record that would cross
/// the limit is committed, and the message says what to do; then what was appended before the producer was mended is passed over.
fn default_partitioner_of_librdkafka(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, PARTITIONS)?;
    // Young enough to be written again once the clock follows the wall.
    let placed_at = (chrono::Utc::now() - chrono::TimeDelta::days(1)).to_rfc3339();
    let order = |n: usize| {
        Record::json(
            format!("c{n}"),
            &json!({"order_id": format!("o{n}"), "customer_id": format!("c{n}"), "placed_at": placed_at,
                "currency": "GBP", "total": "5.00"}),
        )
    };
    let wrong = [("partitioner", "consistent_random")];
    shop.client().produce_with(shop.orders_name(), (0..5_000).map(order), &wrong)?;
    let mut letters = 0;
    for start in 0..2 {
        let service = ServiceProcess::start(&shop.live_settings("one"))?;
        let exit = service.wait_for_end(PATIENCE)?;
        exit.expect_code(65);
        let said = exit.stderr.lines().last().unwrap_or_default();
        let expected = [
            "wrong_partition",
            "partitioner=murmur2_random",
            "Everything before it is committed",
            "dead-letters list",
        ];
        ensure!(expected.iter().all(|words| said.contains(words)), "start {start}: {said}");
        if start == 0 {
            ensure!(said.contains("refused (wrong_partition "), "{said}");
            ensure!(
                exit.stdout.contains("records refused") || exit.stderr.contains("records refused"),
                "logged"
            );
        }
        // The other partition may have come further.
        let found = shop.dead_letters()?;
        ensure!(found.len() >= 400 && found.len() >= letters, "{} dead letters", found.len());
        ensure!(
            found.iter().all(|letter| letter.header("dlq_reason") == Some("wrong_partition")),
            "no others"
        );
        letters = found.len();
    }
    let mended_at = chrono::Utc::now();
    shop.append_records((5_000..6_000).map(order))?;
    let mended_at = (mended_at + chrono::TimeDelta::milliseconds(1)).to_rfc3339();
    let pass = ["--accept-dead-letters-before", mended_at.as_str()];
    let service = ServiceProcess::start_with(&shop.live_settings("one"), &pass)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    let (letters, profiles) = (shop.dead_letters()?.len(), shop.profiles()?);
    requeue_all(&shop, letters, profiles.len())?;
    ensure!(letters + profiles.len() == 6_000, "{letters} dead letters and {} customers", profiles.len());
    ensure!((5_000..6_000).all(|n| profiles.contains_key(&format!("c{n}"))), "what came later is applied");
    Ok(())
}

/// What was refused for its partition alone is good once it is written again.
fn requeue_all(shop: &Shop, letters: usize, customers: usize) -> Result<()> {
    let settings = shop.live_settings("one");
    let run = |arguments: &[&str], code: i32| {
        let exit = run_command(&settings, &[&["dead-letters"][..], arguments].concat(), PATIENCE)?;
        exit.expect_code(code);
        anyhow::Ok(exit)
    };
    let listed: Value = serde_json::from_str(&run(&["list", "--json", "--rows", "3"], 0)?.stdout)?;
    let counted: u64 = listed["counts"]
        .as_array()
        .context("counts")?
        .iter()
        .filter_map(|group| group["count"].as_u64())
        .sum();
    ensure!(listed["count"] == letters && counted == letters as u64, "{listed}");
    ensure!(listed["rows"].as_array().is_some_and(|rows| rows.len() == 3), "{listed}");
    ensure!(!listed.to_string().contains("\"c1"), "no customer is named");
    let row = &listed["rows"][0];
    let place = [row["partition"].to_string(), row["offset"].to_string()];
    let shown: Value = serde_json::from_str(&run(&["show", &place[0], &place[1], "--json"], 0)?.stdout)?;
    let source_offset = row["record"]["offset"].as_u64().context("an offset")?.to_string();
    let is_it = shown["headers"]["dlq_offset"].as_str() == Some(source_offset.as_str());
    ensure!(is_it && shown["headers"]["dlq_reason"] == "wrong_partition", "{shown}");
    ensure!(shown["value"].as_str().is_some_and(|value| value.contains("order_id")), "{shown}");
    run(&["show", "0", "999999"], 65)?;
    let none = run(&["requeue", "--reason", "too_old", "--yes"], 0)?.stdout;
    ensure!(none == "nothing to write\n", "{none}");

    let [orders, before] = [shop.orders_name(), "nothing was written: add --yes to write them"];
    let dry = run(&["requeue"], 0)?.stdout;
    ensure!(dry.contains(before) && dry.contains(&format!("{letters}  to {orders}")), "{dry}");
    let elsewhere = shop.client().unique_name("elsewhere");
    shop.client().create_topic(&elsewhere, 2, &[])?;
    // Every second one is declined.
    let through = "value=$(cat); case $DLQ_OFFSET in *[02468]) exit 1;; esac; echo \"$value\"";
    let some =
        run(&["requeue", "--partition", "1", "--to", &elsewhere, "--through", through, "--yes"], 0)?.stdout;
    let odd = shop
        .dead_letters()?
        .iter()
        .filter(|letter| {
            let is =
                |name: &str, wanted: &[char]| letter.header(name).is_some_and(|text| text.ends_with(wanted));
            is("dlq_partition", &['1']) && is("dlq_offset", &['1', '3', '5', '7', '9'])
        })
        .count();
    ensure!(some.contains(&format!("{odd}  to {elsewhere}")) && some.contains("declined"), "{odd}: {some}");
    ensure!(shop.client().read_committed(&elsewhere)?.len() == odd, "as it says");

    run(&["requeue", "--reason", "wrong_partition", "--yes"], 0)?;
    let again = shop.client().read_committed(orders)?;
    let marked =
        again.iter().filter(|record| record.header("dlq_requeued_reason") == Some("wrong_partition"));
    ensure!(marked.count() == letters, "each is marked");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    let profiles = shop.profiles()?.len();
    ensure!(profiles == letters + customers, "{profiles} customers, not {letters} more than {customers}");
    ensure!(shop.dead_letters()?.len() == letters, "none is refused again");
    Ok(())
}

/// Seconds sent as milliseconds, and a return that names an order but no customer: both are applied, and counted as remarks.
fn what_looks_wrong_is_counted(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, PARTITIONS)?;
    let [placed_at, returned_at] = [1_736_069_400, 1_736_155_800];
    shop.append_orders(&[
        json!({"order_id": "o1", "customer_id": "c1", "placed_at": placed_at, "currency": "GBP", "total": "5.00"}),
    ])?;
    shop.append_returns(&[
        json!({"return_id": "r1", "order_id": "o1", "returned_at": returned_at, "currency": "GBP", "refund": "5.00"}),
    ])?;
    let service = ServiceProcess::start(&shop.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    for (remark, expected) in
        [("time_before_2000", 2.0), ("return_without_customer", 1.0), ("conflicting", 0.0)]
    {
        let label = format!("remark=\"{remark}\"");
        let counted = service.metric("retention_record_remarks_total", &[&label])?;
        ensure!(counted == Some(expected), "{remark}: {counted:?}");
    }
    service.terminate(PATIENCE)?.expect_clean();
    let profile = shop.profiles()?.remove("c1").context("the order counts")?;
    ensure!(profile["all_time"]["kept"] == 1, "the return is a guest's: {profile}");
    Ok(())
}
