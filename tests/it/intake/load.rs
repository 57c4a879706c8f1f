//! `intake load` on a real Kafka: a history from files is there once, whoever dies, and `run` makes of it what a replay does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::raw::RawShop;
use crate::kafka::{self, KafkaNode};
use crate::live::PATIENCE;
use crate::live::history;
use crate::live::shop::time_text;
use crate::service::{Exit, ServiceProcess, ServiceSettings, run_command};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("intake::a_history_is_loaded_once", loaded_once),
        kafka::on_shared_node("intake::what_is_not_loaded", not_loaded),
    ]
}

fn write_lines(path: &Path, records: &[Value]) -> Result<()> {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    Ok(fs::write(path, lines)?)
}

fn load(settings: &ServiceSettings, files: &[&Path]) -> Result<Exit> {
    let files = files.iter().map(|path| path.to_str().expect("a temporary folder in UTF-8"));
    let arguments: Vec<&str> = ["intake", "load"].into_iter().chain(files).collect();
    run_command(settings, &arguments, PATIENCE)
}

fn expect(exit: &Exit, code: i32, said: &str) -> Result<()> {
    exit.expect_code(code);
    let text = format!("{}{}", exit.stdout, exit.stderr);
    ensure!(text.contains(said), "does not say {said:?}:\n{text}");
    Ok(())
}

/// The file of a shop in two parts, the later one first, with guests and a return that only names its order. Killed before and after the
/// commit, and given again: each record is there once. Then the profiles of `run` are those of `replay`.
fn loaded_once(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open(node, 3, 1)?;
    let history = history::random(0x5eed_2210, 40, 300);
    let mut records = RawShop::wrapped(&history);
    let guest = |number: usize| {
        json!({"kind": "order", "value": {
            "order_id": format!("g{number}"), "placed_at": 1_714_521_600_000_i64, "currency": "GBP", "total": "5.00",
        }})
    };
    records.extend((0..5).map(guest));
    let folder = tempfile::tempdir()?;
    let (early, late) = (folder.path().join("early.jsonl"), folder.path().join("late.jsonl"));
    let (first, second) = records.split_at(records.len() / 2);
    write_lines(&early, first)?;
    write_lines(&late, second)?;
    let files = [late.as_path(), early.as_path()];
    let settings = shop.settings("one");

    for step in ["AfterFlush:1", "AfterCommit:1"] {
        let exit = load(&settings.clone().environment("RETENTION_KILL_AT", step), &files)?;
        ensure!(exit.code().is_none(), "killed at {step}, not {:?}\n{}", exit.code(), exit.stderr);
    }
    // The second one has ended what the first one left open, and has committed its own.
    expect(&load(&settings, &files)?, 0, "loaded already")?;
    expect(&load(&settings, &files[..1])?, 78, "another history of shop")?;
    let found = native_records(&shop)?;
    let places: BTreeSet<_> = found.iter().map(|(place, _)| place).collect();
    ensure!(places.len() == records.len() && found.len() == records.len(), "{} records", found.len());
    ensure!(found.iter().filter(|(_, has_key)| !has_key).count() == 5, "guests have no key");

    let service = ServiceProcess::start(&shop.native.settings("one", history.end))?;
    shop.native.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    expect(&load(&settings, &files)?, 78, "`run` of the application")?;
    compare_with_replay(&shop, &files, folder.path(), history.end)
}

/// Where each record of the inputs came from, and whether it has a key.
fn native_records(shop: &RawShop) -> Result<Vec<((String, String), bool)>> {
    let mut found = Vec::new();
    for name in shop.native.input_names() {
        for record in shop.native.client().read_committed(name)? {
            let header = |name: &str| record.header(name).map(str::to_owned).context("a header");
            ensure!(header("intake_load")?.starts_with("shop "), "{record:?}");
            found.push(((header("intake_file")?, header("intake_line")?), record.key.is_some()));
        }
    }
    Ok(found)
}

fn compare_with_replay(shop: &RawShop, files: &[&Path], folder: &Path, end: i64) -> Result<()> {
    let out = folder.join("out");
    let (map, out_text, until) = (shop.map(), out.display().to_string(), time_text(end));
    let mut arguments = vec!["replay", "--map", map, "--until", &until, "--out", &out_text];
    for file in files {
        arguments.extend(["--orders", file.to_str().expect("as above")]);
    }
    run_command(&shop.native.live_settings("one"), &arguments, PATIENCE)?.expect_code(0);
    let replayed = fs::read_to_string(out.join("customers.jsonl"))?;
    let found = shop.native.profiles()?;
    let mut compared = 0;
    for line in replayed.lines() {
        let mut expected: Value = serde_json::from_str(line)?;
        let key = expected["customer_id"].as_str().context("a customer")?.to_owned();
        let mut profile = found.get(&key).with_context(|| format!("no profile of {key}"))?.clone();
        // When it was last published: at the last deadline in a replay, or when the history was settled.
        for value in [&mut profile, &mut expected] {
            let fields = value.as_object_mut().context("an object")?;
            fields.remove("as_of");
            fields.remove("windows");
        }
        ensure!(profile == expected, "{key}\nfound    {profile}\nexpected {expected}");
        compared += 1;
    }
    ensure!(compared == found.len() && compared > 0, "{compared} customers, not {}", found.len());
    Ok(())
}

/// Too much that cannot be used, an intake that has started, a file that is no history: nothing is written.
fn not_loaded(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open(node, 1, 1)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("orders.jsonl");
    let order = |number: usize| {
        json!({"kind": "order", "value": {
            "order_id": format!("o{number}"), "customer_id": "c1", "placed_at": 1_714_521_600_000_i64, "currency": "GBP", "total": "5.00",
        }})
    };
    write_lines(&path, &[order(1), json!({"kind": "order"})])?;
    let settings = shop.settings("one");
    expect(&load(&settings, &[&path])?, 65, "1 of 2 records are refused")?;
    expect(&load(&settings, &[&path])?, 65, "orders.jsonl:2")?;
    ensure!(native_records(&shop)?.is_empty(), "something was written");
    let none = settings.clone().set(&["intake", "sources", "other", "topics"], "other.webhooks");
    let none = none.set(&["intake", "sources", "other", "map"], "shopify");
    expect(&load(&none, &[&path])?, 64, "say with --source")?;

    write_lines(&path, &[order(1), order(2)])?;
    let intake = ServiceProcess::start_command(&settings, &["intake", "--from-beginning"])?;
    shop.wait_until_passed_on(&[&intake])?;
    shop.native.client().produce(&shop.topic, [crate::kafka::Record::json("k", &order(3))])?;
    shop.wait_until_passed_on(&[&intake])?;
    intake.terminate(PATIENCE)?.expect_clean();
    expect(&load(&settings, &[&path])?, 78, "has started already")
}
