//! What an operator may do to a running shop, and what the service must refuse to go on with.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use retention_signals::wire::hash;
use serde_json::{Value, json};

use super::PATIENCE;
use super::history;
use super::shop::Shop;
use super::snapshots::holds;
use crate::kafka::{self, KafkaNode, compacted};
use crate::service::{ServiceProcess, ServiceSettings};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::a_reset_group_stops", a_reset_group_stops),
        kafka::on_shared_node("live::growing_topics_stop", growing_topics_stop),
        kafka::on_shared_node("live::an_erased_customer_stays_erased", an_erased_customer_stays_erased),
        kafka::on_shared_node("live::a_customer_is_erased_by_a_command", a_customer_is_erased_by_a_command),
        kafka::on_shared_node("live::an_erasure_secret_is_added_later", an_erasure_secret_is_added_later),
        kafka::on_shared_node("live::a_state_folder_has_one_owner", a_state_folder_has_one_owner),
        kafka::on_shared_node("live::customers_are_answered_from_committed_state", customers_are_answered),
    ]
}

/// An operator moved the offsets back: going on would apply records twice, silently, against other state.
fn a_reset_group_stops(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let history = history::random(0x5eed_0010, 20, 300);
    shop.load(&history)?;
    let service = shop.start("one", history.end)?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();

    shop.reset_offsets(0)?;
    let refused = shop.start("one", history.end)?.wait_for_end(PATIENCE)?;
    refused.expect_code(78);
    ensure!(refused.stderr.contains("--accept-offsets"), "{}", refused.stderr);
    let signals = shop.signals()?.len();
    // Everything is read once more, and everything is a duplicate or too old.
    let accepting = ServiceProcess::start_with(&shop.settings("one", history.end), &["--accept-offsets"])?;
    shop.wait_until_idle(&[&accepting], PATIENCE)?;
    accepting.terminate(PATIENCE)?.expect_clean();
    ensure!(shop.signals()?.len() == signals, "signals were said again");
    Ok(())
}

/// More partitions would put customers' new orders apart from their state.
fn growing_topics_stop(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    shop.append_orders(&[order("c1", "2024-05-01T00:00:00Z")])?;
    let service = ServiceProcess::start(&shop.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    shop.grow_orders(2)?;
    let refused = ServiceProcess::start(&shop.live_settings("one"))?.wait_for_end(PATIENCE)?;
    refused.expect_code(78);
    ensure!(refused.stderr.contains("partitions"), "{}", refused.stderr);
    Ok(())
}

/// State, waiting return and profile go, late records are refused, a new order begins afresh; no log line and no metric names them.
fn an_erased_customer_stays_erased(node: &KafkaNode) -> Result<()> {
    const ERASED: &str = "erased-customer";
    let shop = Shop::open(node, 1)?;
    shop.append_orders(&[order(ERASED, "2024-05-01T00:00:00Z"), order("c2", "2024-05-02T00:00:00Z")])?;
    // It waits for its order, so it is state too.
    shop.append_returns(&[json!({
        "return_id": "r-early", "order_id": "unseen-order", "customer_id": ERASED, "returned_at": "2024-05-03T00:00:00Z",
        "refund": "1.00", "currency": "GBP",
    })])?;
    let settings =
        shop.live_settings("one").set(&["clock", "at_end"], "stay").set(&["log", "level"], "trace");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    shop.append_erasures(&[json!({"customer_id": ERASED, "requested_at": "2024-06-01T00:00:00Z"})])?;
    shop.wait_until_committed(&service, PATIENCE)?;
    let (status, _) = service.get(&format!("/v1/customers/{ERASED}"))?;
    ensure!(status == 404, "an erased customer is answered with {status}");
    ends_without_naming(service, &[ERASED, "r-early", "unseen-order"])?;
    ensure!(shop.profiles()?.keys().eq(["c2"]), "{:?}", shop.profiles()?.keys());
    let held = compacted(&shop.changelog()?);
    for (key, value) in &held {
        for name in [ERASED, "r-early", "unseen-order"] {
            let name = name.as_bytes();
            ensure!(!holds(key, name) && !holds(value, name), "the changelog holds {key:?}");
        }
    }

    // After a restart the marker stands.
    shop.append_orders(&[order(ERASED, "2024-05-20T00:00:00Z")])?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    ensure!(shop.profiles()?.keys().eq(["c2"]), "a late record brought the customer back");
    ensure!(
        shop.dead_letters()?.iter().all(|letter| letter.header("dlq_reason") == Some("erased")),
        "the reason"
    );
    shop.append_orders(&[order(ERASED, "2024-07-01T00:00:00Z")])?;
    shop.wait_until_committed(&service, PATIENCE)?;
    ends_without_naming(service, &[ERASED])?;
    let profile = shop.profiles()?.remove(ERASED);
    ensure!(profile.is_some_and(|profile| profile["all_time"]["placed"] == 1), "a new order starts afresh");
    Ok(())
}

/// The record lies where the service looks for it, and it asks before it writes.
fn a_customer_is_erased_by_a_command(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 5)?;
    let settings = shop.live_settings("one").set(&["clock", "at_end"], "stay");
    let names = ["ada", "grace", "edsger"];
    shop.append_orders(&names.map(|name| order(name, "2024-05-01T00:00:00Z")))?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("shop.toml");
    std::fs::write(&config, settings.file_text("127.0.0.1:0".parse()?, folder.path())?)?;
    let erase = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_retention-signals"));
        let output = command.args(["erase", "--config"]).arg(&config).args(arguments).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(text)?))
    };
    let (code, text) = erase(&["grace"])?;
    ensure!(code == Some(64) && text.contains("--yes"), "{code:?} {text}");
    let (code, text) = erase(&["grace", "--yes", "--requested-at", "2124-01-01T00:00:00Z"])?;
    ensure!(code == Some(64) && text.contains("in the future"), "{code:?} {text}");
    let (code, text) = erase(&["", "--yes"])?;
    ensure!(code == Some(64) && text.contains("would refuse this customer key"), "{code:?} {text}");
    let (code, text) = erase(&["grace", "--yes", "--requested-at", "2024-06-01T02:00:00+02:00"])?;
    let partition = hash::partition(b"grace", 5);
    let [_, _, erasures] = shop.input_names();
    let expected = format!(
        "written to {erasures}, partition {partition}, offset 0; requested at 2024-06-01T00:00:00.000Z\n"
    );
    ensure!(code == Some(0) && text == expected, "{code:?} {text}");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    ensure!(shop.profiles()?.keys().eq(["ada", "edsger"]), "{:?}", shop.profiles()?.keys());
    ensure!(shop.dead_letters()?.is_empty(), "{:?}", shop.dead_letters()?);
    Ok(())
}

/// A customer who was erased before is recognised under the new secret too; afterwards neither another secret nor none is accepted.
fn an_erasure_secret_is_added_later(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let without = shop.live_settings("one").set(&["clock", "at_end"], "stay");
    let folder = tempfile::tempdir()?;
    let with_secret = |name: &str| -> Result<ServiceSettings> {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{name}-0123456789abcdef"))?;
        Ok(without.clone().set(&["erasure", "secret_file"], path.to_str().unwrap_or_default()))
    };
    let run = |settings: &ServiceSettings| -> Result<()> {
        let service = ServiceProcess::start(settings)?;
        service.wait_until_ready(PATIENCE)?;
        shop.wait_until_committed(&service, PATIENCE)?;
        service.terminate(PATIENCE)?.expect_clean();
        Ok(())
    };
    let erase = |customer: &str| {
        shop.append_erasures(&[json!({"customer_id": customer, "requested_at": "2024-06-01T00:00:00Z"})])
    };
    let names = ["before", "between", "after"];
    shop.append_orders(&names.map(|name| order(name, "2024-05-01T00:00:00Z")))?;
    erase("before")?;
    run(&without)?;
    let secret = with_secret("first")?;
    erase("between")?;
    run(&secret)?;
    erase("after")?;
    run(&secret)?;
    // After all erasures, because records that wait are merged by their times.
    shop.append_orders(&names.map(|name| order(name, "2024-05-20T00:00:00Z")))?;
    run(&secret)?;
    ensure!(shop.profiles()?.is_empty(), "{:?} came back", shop.profiles()?.keys());
    let reasons: Vec<Option<String>> =
        shop.dead_letters()?.iter().map(|letter| letter.header("dlq_reason").map(str::to_owned)).collect();
    ensure!(reasons == vec![Some("erased".to_owned()); 3], "{reasons:?}");
    for other in [without.clone(), with_secret("second")?] {
        let refused = ServiceProcess::start(&other)?.wait_for_end(PATIENCE)?;
        refused.expect_code(78);
        ensure!(refused.stderr.contains("erasure.secret_file or application changed"), "{}", refused.stderr);
    }
    Ok(())
}

/// Ends the service, and looks through its metrics and everything that it has logged.
fn ends_without_naming(service: ServiceProcess, names: &[&str]) -> Result<()> {
    let (_, metrics) = service.get("/metrics")?;
    let ended = service.terminate(PATIENCE)?;
    ended.expect_clean();
    let log = format!("{}{}", ended.stdout, ended.stderr);
    ensure!(log.contains("TRACE") || log.contains("DEBUG"), "the log is not as detailed as it can be");
    for name in names {
        ensure!(!metrics.contains(name), "the metrics name {name}");
        ensure!(!log.contains(name), "the log names {name}");
    }
    Ok(())
}

fn a_state_folder_has_one_owner(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().to_str().unwrap_or_default();
    let settings = shop.live_settings("one").set(&["state_dir"], state);
    let first = ServiceProcess::start(&settings)?;
    first.wait_until_ready(PATIENCE)?;
    let second = ServiceProcess::start(&settings)?.wait_for_end(PATIENCE)?;
    second.expect_code(78);
    ensure!(second.stderr.contains("in use by another process"), "{}", second.stderr);
    first.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

fn customers_are_answered(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    shop.append_orders(&[order("c1", "2024-05-01T00:00:00Z")])?;
    let service = ServiceProcess::start(&shop.live_settings("one").set(&["clock", "at_end"], "stay"))?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    let (status, body) = service.get("/v1/customers/c1")?;
    ensure!(status == 200, "{status}: {body}");
    let answer: Value = serde_json::from_str(&body)?;
    let published = shop.profiles()?.remove("c1");
    ensure!(answer.get("customer") == published.as_ref(), "{answer}\npublished {published:?}");
    ensure!(service.get("/v1/customers/nobody")?.0 == 404, "an unknown customer");
    service.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

fn order(customer: &str, placed_at: &str) -> Value {
    json!({
        "order_id": format!("{customer} {placed_at}"), "customer_id": customer, "placed_at": placed_at, "currency": "GBP",
        "total": "10.00",
    })
}
