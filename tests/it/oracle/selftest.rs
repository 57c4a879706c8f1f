//! The oracle against hand-computed scenarios, the laws, the published schemas and what is known of a real
//! shop.

use std::path::Path;

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};

use super::history::{History, history};
use super::number::{DAY_MS, time_text};
use super::scenario::DAY_ZERO_MS;
use super::{Input, Oracle, OracleConfig, Shop, Shops, Topic, merge_order, online_retail, run, scenario};
use crate::examples;

const HISTORIES: u64 = 1_000;

pub const SCENARIOS: [(&str, &str); 5] = [
    ("lifecycle", include_str!("scenarios/lifecycle.txt")),
    ("attribution", include_str!("scenarios/attribution.txt")),
    ("identity", include_str!("scenarios/identity.txt")),
    ("figures", include_str!("scenarios/figures.txt")),
    ("club", include_str!("scenarios/club.txt")),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (file, text) in SCENARIOS {
        for scenario in scenario::parse(text) {
            let words: Vec<&str> = scenario.title.split(|letter: char| !letter.is_alphanumeric()).collect();
            let title = words.iter().filter(|word| !word.is_empty()).map(|word| word.to_lowercase());
            let name = format!("oracle::{file}::{}", title.collect::<Vec<String>>().join("_"));
            trials.push(Trial::test(name, move || Ok::<(), Failed>(scenario::check(&scenario)?)));
        }
    }
    let mut add = |name: &str, check: fn() -> Result<(), Failed>| {
        trials.push(Trial::test(format!("oracle::{name}"), check));
    };
    add("facts_depend_on_the_set_of_records", facts_depend_on_the_set_of_records);
    add("output_fits_the_schemas", output_fits_the_schemas);
    add("signal_ids_are_as_defined", signal_ids_are_as_defined);
    add("a_line_is_made_at_each_midnight", a_line_is_made_at_each_midnight);
    add("a_replay_reads_by_event_time", a_replay_reads_by_event_time);
    trials.push(Trial::ignorable_test("oracle::online_retail_has_the_known_figures", || {
        match online_retail::path() {
            Ok(path) => online_retail_has_the_known_figures(&path).map(|()| Completion::Completed),
            Err(missing) => Ok(Completion::ignored_with(missing)),
        }
    }));
    trials
}

/// The first law: any order and repetition of the records gives the same facts. The second, that the
/// emitted state is that of the facts, is asserted by the oracle after each step.
fn facts_depend_on_the_set_of_records() -> Result<(), Failed> {
    for seed in 0..HISTORIES {
        let random = history(seed);
        if facts(&random, &random.in_order) == facts(&random, &random.as_arrived) {
            continue;
        }
        let small =
            random.shrunk(|history| facts(history, &history.in_order) != facts(history, &history.as_arrived));
        let lines =
            |inputs: &[Input]| inputs.iter().map(Input::to_string).collect::<Vec<String>>().join("\n");
        return Err(format!(
            "seed {seed}, {:?}:\n{}\ngives\n{:#}\nbut\n{}\ngives\n{:#}",
            small.config,
            lines(&small.in_order),
            facts(&small, &small.in_order),
            lines(&small.as_arrived),
            facts(&small, &small.as_arrived)
        )
        .into());
    }
    Ok(())
}

/// All profiles at the end of a history.
fn facts(history: &History, inputs: &[Input]) -> Value {
    let mut oracle = Oracle::new(&history.config);
    for input in inputs {
        oracle.apply(input);
    }
    oracle.apply(&Input::Clock(history.end));
    let refused = &oracle.log().refused;
    assert!(refused.is_empty(), "nothing is later than the lateness: {refused:?}");
    oracle.profiles_at_clock().into_iter().collect()
}

fn output_fits_the_schemas() -> Result<(), Failed> {
    let validator =
        |name| jsonschema::validator_for(&examples::schema(name)).map_err(|error| error.to_string());
    let signals = validator("signals")?;
    let customers = validator("customers")?;
    let summaries = validator("summary")?;
    let metrics = validator("shop-metrics")?;
    for seed in 0..50 {
        let mut history = history(seed);
        history.config.shop_metrics = true;
        history.as_arrived.push(Input::Clock(history.end));
        let mut output = run(&history.config, &history.as_arrived);
        output.summary["seconds"] = json!(0);
        output.summary["remarks"] = json!({});
        output.summary["input_remarks"] = json!({});
        output.summary["events_per_second"] = json!(0);
        let records = output.signals.iter().map(|signal| (&signals, signal));
        let records = records.chain(output.profiles.values().map(|profile| (&customers, profile)));
        let records = records.chain(output.shop_metrics.iter().map(|line| (&metrics, line)));
        for (validator, record) in records.chain([(&summaries, &output.summary)]) {
            if let Err(error) = validator.validate(record) {
                return Err(format!("seed {seed}: {error} at {}: {record:#}", error.instance_path()).into());
            }
        }
    }
    Ok(())
}

/// The expected ids were computed by another implementation of XXH3 from the bytes that the definitions name.
fn signal_ids_are_as_defined() -> Result<(), Failed> {
    let silence = "\
# Ids
policy fixed 30 60
order c1 o1 day 0 50.00 v2
clock day 36
order c1 o2 day 20 50.00
cancel c1 o2 day 36
return c1 r1 day 37 50.00 of=o1";
    let expected = [
        ("first_order", "787e990f47e97c81bf84a5f94d89fc79"),
        ("at_risk", "ba0ba5dd16598191826d8451252c57c3"),
        ("second_order", "36af83391eb7887d63dc370dee4383ee"),
        ("lapse_retracted", "41695be02747b6bb4dda6b40079de3dc"),
        ("order_cancelled", "85a3289c1968aef104f0529609be911a"),
        ("at_risk", "b090d5de3cecda543f0433e182e997b4"),
        ("order_returned", "353217f8ad8093b4792dd95836556104"),
        ("became_prospect", "b75e7cf5434cbc02bece86b843f49e7f"),
    ];
    let ids = said_ids(silence);
    let expected = expected.map(|(name, id)| (name.to_owned(), id.to_owned()));
    if ids != expected {
        return Err(format!("{ids:#?}").into());
    }
    let expiry = "\
# An expiry
policy fixed 1000 2000
order c1 o1 day 0 100.00
order c1 o2 day 100 10.00
order c1 o3 day 101 10.00
order c1 o4 day 102 10.00
return c1 r1 day 103 15.00
clock day 365";
    let id = said_ids(expiry).pop();
    if id != Some(("return_rate_high".to_owned(), "109e6383111a3033582649816d45deef".to_owned())) {
        return Err(format!("{id:?}").into());
    }
    Ok(())
}

/// (type, id) of all signals of a scenario.
fn said_ids(text: &str) -> Vec<(String, String)> {
    let scenario = scenario::parse(text).pop().expect("a scenario");
    let said = run(&scenario.config, &scenario.inputs()).signals;
    let field = |signal: &Value, field: &str| signal[field].as_str().unwrap_or_default().to_owned();
    said.iter().map(|signal| (field(signal, "type"), field(signal, "id"))).collect()
}

fn a_line_is_made_at_each_midnight() -> Result<(), Failed> {
    let text = "\
# Midnights
order c1 o1 day 0 10.00
order c1 o2 day 1.5 10.00
order c1 o3 day 3 10.00
return guest r1 day 3.25 10.00";
    let mut scenario = scenario::parse(text).pop().expect("a scenario");
    scenario.config.shop_metrics = true;
    let lines = run(&scenario.config, &scenario.inputs()).shop_metrics;
    let found: Vec<(&str, Option<u64>)> = lines
        .iter()
        .map(|line| (line["at"].as_str().unwrap_or_default(), line["all_time"]["orders"]["placed"].as_u64()))
        .collect();
    // A midnight has its line when the clock leaves it, with all that came at it.
    let expected = [
        ("2024-01-01T00:00:00.000Z", Some(1)),
        ("2024-01-02T00:00:00.000Z", Some(1)),
        ("2024-01-03T00:00:00.000Z", Some(2)),
        ("2024-01-04T00:00:00.000Z", Some(3)),
        ("2024-01-04T06:00:00.000Z", Some(3)),
    ];
    if found == expected { Ok(()) } else { Err(format!("{found:?}").into()) }
}

fn a_replay_reads_by_event_time() -> Result<(), Failed> {
    let at = |days: i64| time_text(DAY_ZERO_MS + days * DAY_MS);
    let orders = vec![
        json!({"order_id": "late", "placed_at": at(2)}),
        json!({"order_id": "first", "placed_at": at(1)}),
        json!({"order_id": "gone", "placed_at": null, "cancelled_at": DAY_ZERO_MS + DAY_MS}),
    ];
    let returns = vec![json!({"return_id": "back", "returned_at": "2024-01-02T01:00:00+01:00"})];
    let erasures =
        vec![json!({"customer_id": "forget", "requested_at": at(1)}), json!({"requested_at": at(0)})];
    let merged = merge_order(orders, returns, erasures);
    let found: Vec<Topic> = merged
        .iter()
        .filter_map(|input| match input {
            Input::Record { topic, .. } => Some(*topic),
            Input::Clock(_) => None,
        })
        .collect();
    let ids = merged.iter().map(Input::to_string).collect::<Vec<String>>().join("\n");
    let places = ["first", "gone", "back", "forget", "late"].map(|id| ids.find(id));
    let expected =
        [Topic::Erasures, Topic::Orders, Topic::Orders, Topic::Returns, Topic::Erasures, Topic::Orders];
    if found == expected && places.is_sorted() && places[0].is_some() { Ok(()) } else { Err(ids.into()) }
}

fn online_retail_has_the_known_figures(path: &Path) -> Result<(), Failed> {
    let documents = online_retail::documents(path);
    let mut oracle = Oracle::new(&OracleConfig {
        shops: Shops::One(Shop::new("GBP", "Europe/London")),
        ..OracleConfig::new("GBP")
    });
    for document in &documents {
        oracle.apply(&document.input());
    }
    let output = oracle.output();
    let reversals: Vec<&Value> = output.signals.iter().filter(|signal| is_quick_reversal(signal)).collect();
    let reversed_pence = reversals.iter().map(|signal| pence(&signal["data"]["refund"])).sum::<i64>();
    let returns_first = output.profiles.keys().filter(|customer| {
        let mut own = output.signals.iter().filter(|signal| signal["customer_id"] == **customer);
        own.next().is_some_and(|signal| signal["type"] == "order_returned")
    });
    let summary = &output.summary;
    let checks = [
        // Beside the bad debt of three invoices.
        ("documents", json!(documents.len()), json!(25_897)),
        (
            "events",
            summary["events"].clone(),
            json!({"orders": 22_061, "cancellations": 0, "returns": 3_836, "duplicates": 0}),
        ),
        ("refused", summary["dead_letters"].clone(), json!({})),
        ("customers", summary["customers"]["total"].clone(), json!(4_372)),
        ("customers with orders", summary["customers"]["with_orders"].clone(), json!(4_372 - 33)),
        ("placed", summary["orders"]["placed"].clone(), json!(18_536)),
        ("gross", summary["revenue"]["GBP"]["gross"].clone(), json!("8911407.90")),
        ("refunded", summary["revenue"]["GBP"]["refunded"].clone(), json!("611342.09")),
        ("gross order value", summary["average_order_value"]["GBP"]["gross"].clone(), json!("480.76")),
        ("repeat rate by placed orders", summary["repeat_purchase_rate"]["placed"].clone(), json!(0.655681)),
        ("returns said", summary["signals"]["order_returned"].clone(), json!(3_654)),
        // 143 orders have an equal cancellation document within 30 days, but some share one: each document
        // takes one.
        ("reversals within 30 days", json!(reversals.len()), json!(133)),
        ("their pence", json!(reversed_pence), json!(35_396_491)),
        ("customers who returned first", json!(returns_first.count()), json!(145 + 33)),
        // From 2010-12-02 to 2011-12-09, and the end.
        ("midnights", json!(output.shop_metrics.len()), json!(373 + 1)),
    ];
    let wrong = checks.iter().filter(|(_, found, expected)| found != expected);
    let wrong: Vec<String> =
        wrong.map(|(what, found, expected)| format!("{what}: {found}, not {expected}")).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn is_quick_reversal(signal: &Value) -> bool {
    signal["type"] == "order_returned"
        && signal["data"]["days_since_order"].as_f64().is_some_and(|days| days <= 30.0)
}

fn pence(money: &Value) -> i64 {
    let text = money.as_str().unwrap_or_default().replace('.', "");
    text.parse().unwrap_or_default()
}
