//! Models that are published while the service runs.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use retention_signals::domain::values::time::Time;
use retention_signals::wire::registry::{FittedOn, Instant, ModelRecord, Number, Params};
use serde_json::{Value, json};

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode, Record};
use crate::service::{Exit, ServiceProcess, run_command};

const DAY_MS: i64 = 86_400_000;
/// Long ago, so that wall time brings every deadline.
const START_MS: i64 = 1_600_000_000_000 / DAY_MS * DAY_MS;

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::a_model_published_while_running", a_model_published_while_running),
        kafka::on_shared_node("live::a_model_by_command", a_model_by_command),
    ]
}

fn day(number: i64) -> Time {
    Time::from_millis(START_MS + number * DAY_MS).expect("a time of this era")
}

/// Customers who order often: their silences become suspicious early.
fn model(effective_day: i64) -> ModelRecord {
    ModelRecord::new(ModelRecord {
        kind: String::new(),
        version: String::new(),
        math: 0,
        store_id: None,
        fitted_at: Instant(day(effective_day - 2)),
        effective_at: Instant(day(effective_day)),
        params: Params::of([4.0, 20.0, 0.5, 2.0]),
        log_se: None,
        value: None,
        correction: None,
        fitted_on: FittedOn {
            customers: 1,
            repeaters: 0,
            orders: 1,
            from: Instant(day(0)),
            to: Instant(day(effective_day - 2)),
        },
        log_likelihood: Number(-1.0),
        check: None,
        withdrawn_at: None,
    })
}

/// It judges the silences that begin once it is in force, and moves no deadline of one that runs; a restart changes nothing about that.
/// What is no model is passed over.
fn a_model_published_while_running(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let registry = format!("{}.registry", shop.application);
    shop.client().create_topic(&registry, 1, &[("cleanup.policy", "compact")])?;
    let settings = |end: i64| {
        shop.settings("one", day(end).as_millis())
            .set(&["topics", "registry"], registry.as_str())
            .set(&["lapse", "policy"], "model")
            .set(&["signals", "history"], "publish")
    };
    let order = |customer: &str, at: i64| json!({"order_id": format!("o-{customer}-{at}"), "customer_id": customer, "placed_at": day(at).as_millis(), "currency": "GBP", "total": "10.00"});
    shop.append_orders(&[order("early", 0), order("both", 0)])?;
    let service = ServiceProcess::start(&settings(9))?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    let record = model(5);
    shop.client().produce(
        &registry,
        [Record::new("model/*/broken", "{}"), Record::new(record.key(), record.to_json())],
    )?;
    service.wait_until("told of the models", PATIENCE, |service| {
        Ok(service.has_logged("records taken from the registry"))
    })?;
    ensure!(
        service.has_logged("a record of the registry is not used"),
        "the broken one was passed over in silence"
    );
    shop.append_orders(&[order("late", 6), order("both", 6)])?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    let service = ServiceProcess::start(&settings(400))?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();

    let signals = shop.signals()?;
    let at_risk = |customer: &str| -> Result<&Value> {
        let is = |signal: &&Value| signal["customer_id"] == customer && signal["type"] == "at_risk";
        let found: Vec<&Value> = signals.iter().filter(is).collect();
        ensure!(found.len() == 1, "{customer}: {found:?}");
        Ok(found[0])
    };
    let (early, late, both) = (at_risk("early")?, at_risk("late")?, at_risk("both")?);
    let version =
        |signal: &Value| signal["policy"]["version"].as_str().map(str::to_owned).context("a version");
    ensure!(version(early)? != version(late)?, "one model judged both silences");
    ensure!(version(both)? == version(late)?, "a silence that began later was judged by the model before");
    // The prior calls one order at risk after 820 hours; this model is quicker.
    ensure!(early["data"]["silence_days"] == json!(34.166_667), "{early}");
    ensure!(late["data"]["silence_days"].as_f64() < Some(34.0), "{late}");
    Ok(())
}

/// A history in files, `fit --publish`, and what the registry's commands say of it; a running service takes it.
fn a_model_by_command(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let registry = format!("{}.registry", shop.application);
    let settings = shop
        .live_settings("one")
        .set(&["topics", "registry"], registry.as_str())
        .set(&["lapse", "policy"], "model");
    let command = |arguments: &[&str], code: i32| -> Result<Exit> {
        let exit = run_command(&settings, arguments, PATIENCE)?;
        exit.expect_code(code);
        Ok(exit)
    };
    let said = command(&["registry", "list"], 78)?.stderr;
    ensure!(said.contains("partitions") || said.contains("topics apply"), "{said}");
    shop.client().create_topic(&registry, 1, &[("cleanup.policy", "compact")])?;
    ensure!(command(&["registry", "list"], 0)?.stdout == "the registry is empty\n");

    let folder = tempfile::tempdir()?;
    let orders = folder.path().join("orders.jsonl");
    let line = |number: i64| {
        let at = day(number * 2 % 700).as_millis();
        let customer = format!("c{}", number % 90);
        format!(
            "{}\n",
            json!({"order_id": format!("o{number}"), "customer_id": customer, "placed_at": at, "currency": "GBP", "total": "10.00"})
        )
    };
    std::fs::write(&orders, (0..400).map(line).collect::<String>())?;
    let orders = orders.to_str().context("UTF-8")?;
    let several = ["fit", "--orders", orders, "--publish", "--at", "2021-06-01", "--at", "2021-07-01"];
    command(&several, 64)?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    let fitted = command(&["fit", "--orders", orders, "--publish"], 0)?.stdout;
    ensure!(fitted.contains(&format!("written to {registry}, offset 0")), "{fitted}");
    service.wait_until("told of the model", PATIENCE, |service| {
        Ok(service.has_logged("records taken from the registry"))
    })?;
    service.terminate(PATIENCE)?.expect_clean();

    let listed = command(&["registry", "list"], 0)?.stdout;
    let key = listed.split_whitespace().next().context("a key")?;
    ensure!(key.starts_with("model/*/") && listed.contains("  will count for silences from "), "{listed}");
    ensure!(fitted.contains(&format!("registry withdraw {key}")), "{fitted}");
    let lines = command(&["registry", "list", "--json"], 0)?.stdout;
    let file = folder.path().join("registry.jsonl");
    std::fs::write(&file, &lines)?;
    let out = folder.path().join("out");
    let of_file = format!("registry.file={}", file.display());
    let out = out.to_str().context("UTF-8")?;
    run_command(
        &shop.live_settings("one"),
        &["replay", "--orders", orders, "--set", &of_file, "--set", "lapse.policy=model", "--out", out],
        PATIENCE,
    )?
    .expect_code(0);

    let again = command(&["fit", "--orders", orders, "--publish"], 0)?.stdout;
    ensure!(again.contains(&format!("{key} is published already")), "{again}");

    command(&["registry", "withdraw", "model/*/none"], 65)?;
    let withdrawn = command(&["registry", "withdraw", key], 0)?.stdout;
    ensure!(withdrawn == format!("{key} is withdrawn: written to {registry}, offset 1\n"), "{withdrawn}");
    let listed = command(&["registry", "list"], 0)?.stdout;
    ensure!(listed.contains("  withdrawn at "), "{listed}");
    let again = command(&["registry", "withdraw", key], 65)?.stderr;
    ensure!(again.contains("withdrawn already"), "{again}");

    let now = command(&["fit", "--orders", orders, "--publish", "--from-beginning"], 0)?.stdout;
    ensure!(now.contains("it judges every silence from now on"), "{now}");
    let listed = command(&["registry", "list"], 0)?.stdout;
    ensure!(listed.contains("  counts for every silence; fitted on 90 customers"), "{listed}");
    let counts = command(&["registry", "withdraw", key], 65)?.stderr;
    ensure!(counts.contains("counts since 1970-01-01"), "{counts}");
    Ok(())
}
