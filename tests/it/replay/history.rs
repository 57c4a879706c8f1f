//! Whole histories: the UCI Online Retail file and its extract, random ones, and the story of the examples; every signal,
//! profile, line of metrics and the summary, record for record.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jsonschema::Validator;
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

use super::{EXTRACT, Folder, ONLINE_RETAIL_MAP, Results, plain_summary};
use crate::oracle::online_retail::{self, Document, Kind};
use crate::oracle::{self, OracleConfig, OracleOutput, Shop, Shops};
use crate::{differential, examples};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("replay::online_retail_is_as_known_and_as_the_oracle_says", || {
            match online_retail::path() {
                Ok(path) => online_retail_is_as_known(&path).map(|()| Completion::Completed),
                Err(reason) => Ok(Completion::ignored_with(reason)),
            }
        }),
        Trial::test("replay::an_extract_is_as_the_oracle_says", an_extract_is_as_the_oracle_says),
        Trial::test("replay::random_histories_are_as_the_oracle_says", random_histories_agree),
        Trial::test("replay::lines_may_stand_in_any_order", lines_may_stand_in_any_order),
        Trial::test("replay::the_story_comes_out_as_told", the_story_comes_out_as_told),
        Trial::test("replay::results_are_as_their_schemas_say", results_are_as_their_schemas_say),
    ]
}

/// The facts of the file, computed by others.
fn online_retail_is_as_known(path: &Path) -> Result<(), Failed> {
    let path = path.to_str().ok_or("a path in UTF-8")?;
    let results = Folder::new().replay(&["--orders", path, "--map", ONLINE_RETAIL_MAP])?;
    let known = [
        ("/orders/placed", Value::from(18_536)),
        ("/customers/total", Value::from(4_372)),
        ("/events/returns", Value::from(3_836)),
        ("/revenue/GBP/gross", Value::from("8911407.90")),
        ("/revenue/GBP/refunded", Value::from("611342.09")),
        ("/repeat_purchase_rate/placed", Value::from(0.655681)),
        ("/average_order_value/GBP/gross", Value::from("480.76")),
    ];
    for (pointer, expected) in known {
        let found = results.summary.pointer(pointer);
        if found != Some(&expected) {
            return Err(format!("{pointer} is {found:?}, known is {expected}").into());
        }
    }
    agrees_with_oracle(&results, &online_retail::documents(Path::new(path)))
}

fn an_extract_is_as_the_oracle_says() -> Result<(), Failed> {
    let folder = Folder::new();
    let path = folder.write("extract.csv.gz", gzip(&fs::read(EXTRACT)?));
    let documents = online_retail::documents(Path::new(&path));
    let returns = documents.iter().filter(|document| document.kind == Kind::Return).count();
    let guests = documents.iter().filter(|document| document.customer_id.is_none()).count();
    if (documents.len(), returns, guests) != (336, 55, 40) {
        let found = (documents.len(), returns, guests);
        return Err(format!("documents, returns and guests of the extract are {found:?}").into());
    }
    let results = folder.replay(&["--orders", &path, "--map", ONLINE_RETAIL_MAP])?;
    if !results.report.contains("skipped             bad debt 3\n") {
        return Err(format!("bad debt is not passed over:\n{}", results.report).into());
    }
    agrees_with_oracle(&results, &documents)
}

/// Random records of all kinds as lines in any order; `RETENTION_ORACLE_SEED` replays one history.
fn random_histories_agree() -> Result<(), Failed> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("RETENTION_ORACLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RETENTION_ORACLE_SEEDS").unwrap_or(100),
    };
    for seed in seeds {
        random_history_agrees(seed).map_err(|failed| {
            format!("RETENTION_ORACLE_SEED={seed} replays this\n{}", failed.message().unwrap_or_default())
        })?;
    }
    Ok(())
}

fn random_history_agrees(seed: u64) -> Result<(), Failed> {
    let history = oracle::history(seed);
    let mut files: [Vec<Value>; 3] = Default::default();
    for input in &history.wild {
        if let oracle::Input::Record { topic, value } = input {
            files[*topic as usize].push(value.clone());
        }
    }
    // A replay counts a repeated order of a guest once, which the engine and the oracle cannot.
    let mut guests = BTreeSet::new();
    files[0].retain(|order| !order["customer_id"].is_null() || guests.insert(order["placed_at"].to_string()));
    fastrand::Rng::with_seed(seed).shuffle(&mut files[0]);
    let folder = Folder::new();
    let [orders, returns, erasures] =
        [("orders", &files[0]), ("returns", &files[1]), ("erasures", &files[2])].map(|(name, records)| {
            let lines: Vec<String> = records.iter().map(Value::to_string).collect();
            folder.write(name, lines.join("\n"))
        });
    let until = history_end(history.end)?;
    let config = folder.write("shop.toml", differential::toml(&history.config));
    let results = folder.replay(&[
        "--orders",
        &orders,
        "--returns",
        &returns,
        "--erasures",
        &erasures,
        "--config",
        &config,
        "--until",
        &until,
    ])?;
    let [orders, returns, erasures] = files;
    let mut inputs = oracle::merge_order(orders, returns, erasures);
    inputs.push(oracle::Input::Clock(history.end));
    let config =
        OracleConfig { shop_metrics: true, policy_version: policy_version(&results), ..history.config };
    agrees(&results, &oracle::run(&config, &inputs))
}

fn history_end(millis: i64) -> Result<String, Failed> {
    let end = chrono::DateTime::from_timestamp_millis(millis).ok_or("a time of the calendar")?;
    Ok(end.to_rfc3339())
}

/// Documents are grouped over the whole file and take the time of their earliest line.
fn lines_may_stand_in_any_order() -> Result<(), Failed> {
    let text = fs::read_to_string(EXTRACT)?;
    let folder = Folder::new();
    let expected = folder.replay(&["--orders", EXTRACT, "--map", ONLINE_RETAIL_MAP])?;
    let (header, rows) = text.split_once('\n').ok_or("a file with column names")?;
    let mut rows: Vec<&str> = rows.lines().collect();
    for seed in 0..5 {
        fastrand::Rng::with_seed(seed).shuffle(&mut rows);
        let path = folder.write("shuffled.csv", format!("{header}\r\n{}\r\n", rows.join("\r\n")));
        let found = folder.replay(&["--orders", &path, "--map", ONLINE_RETAIL_MAP, "--force"])?;
        same("profiles", &found.customers, &expected.customers)?;
        same("shop metrics", &found.shop_metrics, &expected.shop_metrics)?;
        if found.plain_summary() != expected.plain_summary() {
            return Err(format!("seed {seed}: {:#}", found.summary).into());
        }
    }
    Ok(())
}

fn agrees_with_oracle(results: &Results, documents: &[Document]) -> Result<(), Failed> {
    let config = OracleConfig {
        shops: Shops::One(Shop::new("GBP", "Europe/London")),
        policy_version: policy_version(results),
        ..OracleConfig::new("GBP")
    };
    let inputs: Vec<oracle::Input> = documents.iter().map(Document::input).collect();
    agrees(results, &oracle::run(&config, &inputs))
}

fn agrees(results: &Results, oracle: &OracleOutput) -> Result<(), Failed> {
    same("signals", &in_defined_order(&results.signals), &in_defined_order(&oracle.signals))?;
    let profiles: Vec<Value> = oracle.profiles.values().cloned().collect();
    same("profiles", &results.customers, &profiles)?;
    same("shop metrics", &results.shop_metrics, &oracle.shop_metrics)?;
    let (found, expected) = (results.plain_summary(), plain_summary_of(oracle));
    if found != expected {
        return Err(format!("the summary is\n{found:#}\nexpected is\n{expected:#}").into());
    }
    Ok(())
}

fn plain_summary_of(oracle: &OracleOutput) -> Value {
    plain_summary(oracle.summary.clone())
}

/// The version of the policy is a hash of settings whose text only the service knows.
fn policy_version(results: &Results) -> String {
    let version = results.signals.first().and_then(|signal| signal["policy"]["version"].as_str());
    version.unwrap_or_default().to_owned()
}

/// Which of two customers with the same deadline comes first is not defined.
fn in_defined_order(signals: &[Value]) -> Vec<Value> {
    let mut signals = signals.to_vec();
    let by_clock = |signal: &Value| signal["cause"]["id"].is_null();
    let order = |signal: &Value| [&signal["occurred_at"], &signal["customer_id"]].map(Value::to_string);
    for run in signals.chunk_by_mut(|one, other| by_clock(one) && by_clock(other)) {
        run.sort_by_key(order);
    }
    signals
}

fn same(what: &str, found: &[Value], expected: &[Value]) -> Result<(), Failed> {
    let pairs = found.iter().zip(expected).enumerate();
    for (index, (found, expected)) in pairs {
        if found != expected {
            return Err(format!("{what}, record {index}:\n{found}\nexpected is\n{expected}").into());
        }
    }
    if found.len() != expected.len() {
        return Err(format!("{} {what}, expected are {}", found.len(), expected.len()).into());
    }
    Ok(())
}

/// `schemas/README.md` promises that the examples are what comes of the story.
fn the_story_comes_out_as_told() -> Result<(), Failed> {
    let story = |name: &str| format!("{}/schemas/examples/story/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let (orders, returns) = (story("orders"), story("returns"));
    let folder = Folder::new();
    let results = folder.replay(&["--orders", &orders, "--returns", &returns])?;
    let expected = serde_json::from_str(&examples::read("schemas/examples/summary/valid/story.json"))?;
    if results.plain_summary() != plain_summary(expected) {
        return Err(format!("the summary is {:#}", results.summary).into());
    }
    let mut compared = 0;
    let until =
        ["--orders", &orders, "--returns", &returns, "--until", "2025-10-01T02:00:00+02:00", "--force"];
    let later = folder.replay(&until)?;
    let examples = ["signals", "customers", "shop-metrics", "cohorts"].map(examples::valid);
    let told = [&results.signals, &results.customers, &later.shop_metrics, &later.cohorts];
    for (example, told) in examples
        .iter()
        .zip(told)
        .flat_map(|(examples, told)| examples.iter().map(move |example| (example, told)))
    {
        let expected: Value = serde_json::from_str(&example.text)?;
        let identity = ["id", "customer_id", "as_of", "at", "store_id", "month", "cohort"];
        let same_one = |found: &&Value| identity.iter().all(|field| found[field] == expected[field]);
        if let Some(found) = told.iter().find(same_one) {
            compared += 1;
            if *found != expected {
                return Err(format!("{}: the story says {found:#}", example.path).into());
            }
        }
    }
    if compared < 10 {
        return Err(format!("only {compared} examples are of the story").into());
    }
    Ok(())
}

fn results_are_as_their_schemas_say() -> Result<(), Failed> {
    let validators: BTreeMap<&str, Validator> = examples::SCHEMAS
        .into_iter()
        .map(|name| (name, jsonschema::validator_for(&examples::schema(name)).expect("a schema")))
        .collect();
    let folder = Folder::new();
    let broken = folder.write("broken.csv", fs::read_to_string(EXTRACT)? + "C1,x,y\n");
    let results = folder.replay(&["--orders", &broken, "--map", ONLINE_RETAIL_MAP])?;
    let written = [
        ("signals", &results.signals),
        ("customers", &results.customers),
        ("shop-metrics", &results.shop_metrics),
        ("cohorts", &results.cohorts),
        ("dead-letters", &results.dead_letters),
        ("summary", &vec![results.summary.clone()]),
    ];
    for (name, records) in written {
        if records.is_empty() {
            return Err(format!("no {name}").into());
        }
        for record in records {
            if let Err(error) = validators[name].validate(record) {
                return Err(format!("{name}: {error}: {record}").into());
            }
        }
    }
    Ok(())
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("in memory");
    encoder.finish().expect("in memory")
}
