//! `?explain` against docs/DEFINITIONS.md: what a customer's facts and signals follow from.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::explain::{Explanation, NextChange};
use retention_signals::domain::engine::{Engine, Progress};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::signal::State;
use retention_signals::domain::values::ids::{CustomerKey, ShopIndex};
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::Time;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::stream::query::Explained;
use retention_signals::topic::Input;
use retention_signals::wire::encode::{ProfileEncoder, time_text};
use retention_signals::wire::hash;

use crate::examples;
use crate::laws::{self, over_seeds};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("explain: deadlines are those of the definitions", deadlines),
        Trial::test("explain: open signals have the ids that were published", open_signals),
        Trial::test("explain: the end of a window is named where it matters", window_end),
        Trial::test("explain: what is foretold comes", || over_seeds(foretold, 1_500)),
        Trial::test("explain: points, and how far it is to the next tier", tiers),
        Trial::test("explain: a customer of files at six instants", from_files),
    ]
}

/// Of the story, the first two orders of Ida.
const TWO_ORDERS: [(Input, &str); 2] = [
    (
        Input::Orders,
        r#"{"order_id":"o-5001","placed_at":"2025-01-05T09:30:00Z","currency":"EUR","total":"42.00","customer_id":"c-1042"}"#,
    ),
    (
        Input::Orders,
        r#"{"order_id":"o-5077","placed_at":"2025-02-04T18:15:00Z","currency":"EUR","total":"68.50","customer_id":"c-1042"}"#,
    ),
];

/// A customer who placed two orders, at an instant: the profile and its explanation.
pub fn ida(at: &str) -> (Vec<u8>, Explained) {
    explained(&TWO_ORDERS, at)
}

/// The profile of `c-1042` after these records and with the clock at `at`, and how it came about.
fn explained(records: &[(Input, &str)], at: &str) -> (Vec<u8>, Explained) {
    let currency = Currency::from_code(b"EUR").expect("a currency");
    let shops = Shops::One(Shop::in_currency(currency));
    let erasure_hash = hash::erasure_hash(b"the secret of a test");
    let settings = Arc::new(Settings::with_defaults(shops.clone(), hash::hash, erasure_hash));
    let decoder = Decoder::new(shops.clone(), Limits::default());
    let mut engine = Engine::new(settings);
    let key = b"c-1042";
    for (input, value) in records {
        let event = decoder.decode(*input, Some(key), Some(value.as_bytes())).expect("a valid record");
        let Subject::Customer(customer) = event.subject else { panic!("a customer's record") };
        engine.handle_record(customer.key, event.shop, &customer.record, usize::MAX);
    }
    let at = time(at);
    assert_eq!(engine.advance_clock(at, usize::MAX), Progress::Done);
    let slot = engine.find(CustomerKey { bytes: key, hash: hash::hash(key) }).expect("a known customer");
    let mut profile = Vec::new();
    ProfileEncoder::new(&shops).encode(key, &engine.profile(slot, at), &mut profile);
    (profile, Explained::new(key, engine.explain(slot, at)))
}

fn time(text: &str) -> Time {
    let time = chrono::DateTime::parse_from_rfc3339(text).expect("an instant");
    Time::from_millis(time.timestamp_millis()).expect("within the calendar")
}

fn text(time: Time) -> String {
    String::from_utf8(time_text(time).to_vec()).expect("ASCII")
}

fn next(explanation: &Explanation) -> Option<(String, NextChange)> {
    explanation.next.map(|(at, change)| (text(at), change))
}

fn deadlines() -> Result<(), Failed> {
    let (profile, Explained { explanation, at_risk, lapsed, .. }) = ida("2025-03-01T00:00:00Z");
    let deadlines = explanation.deadlines.ok_or("deadlines")?;
    assert_eq!(text(deadlines.at_risk), "2025-04-05T18:15:00.000Z");
    assert_eq!(text(deadlines.lapsed), "2025-06-04T18:15:00.000Z");
    let expected = ("2025-04-05T18:15:00.000Z".to_owned(), NextChange::State(State::AtRisk));
    assert_eq!(next(&explanation), Some(expected));
    assert_eq!((at_risk, lapsed, explanation.emitted.state()), (None, None, State::Active));
    let history = explanation.history.ok_or("a history")?;
    assert_eq!((history.repeat_days, history.span_days), (1, 30));
    let [month, ..] = explanation.windows;
    assert_eq!(text(month.after), "2025-01-30T00:00:00.000Z");
    assert_eq!(month.next_end.map(text).as_deref(), Some("2025-03-06T18:15:00.000Z"));
    assert_eq!((explanation.remembered.orders, explanation.remembered.folded_orders), (2, 0));
    // The explanation is of the very profile.
    let profile: serde_json::Value = serde_json::from_slice(&profile)?;
    assert_eq!(profile["next"]["at"], "2025-04-05T18:15:00.000Z");
    assert_eq!(profile["as_of"], "2025-03-01T00:00:00.000Z");
    Ok(())
}

fn open_signals() -> Result<(), Failed> {
    let published: serde_json::Value =
        serde_json::from_str(&examples::read("schemas/examples/signals/valid/at-risk.json"))?;
    let (_, explained) = ida("2025-04-06T00:00:00Z");
    assert_eq!(explained.explanation.emitted.state(), State::AtRisk);
    assert_eq!(explained.at_risk.map(|id| id.to_string()).as_deref(), published["id"].as_str());
    assert_eq!(explained.lapsed, None);
    let expected = ("2025-06-04T18:15:00.000Z".to_owned(), NextChange::State(State::Lapsed));
    assert_eq!(next(&explained.explanation), Some(expected));
    let (_, explained) = ida("2025-06-05T00:00:00Z");
    assert!(explained.at_risk.is_some() && explained.lapsed.is_some());
    assert_eq!(next(&explained.explanation), None);
    Ok(())
}

/// With three orders and a refund in the year, the return rate may rise when an order leaves it.
fn window_end() -> Result<(), Failed> {
    let third = r#"{"order_id":"o-3","placed_at":"2025-02-05T00:00:00Z","currency":"EUR","total":"30.00","customer_id":"c-1042"}"#;
    let refund = r#"{"return_id":"r-1","returned_at":"2025-02-06T00:00:00Z","currency":"EUR","refund":"30.00","customer_id":"c-1042","order_id":"o-3"}"#;
    let records = [TWO_ORDERS[0], TWO_ORDERS[1], (Input::Orders, third), (Input::Returns, refund)];
    let (_, explained) = explained(&records, "2025-12-24T00:00:00Z");
    let expected = ("2026-01-05T09:30:00.000Z".to_owned(), NextChange::ReturnRate);
    assert_eq!(next(&explained.explanation), Some(expected));
    assert_eq!(explained.explanation.remembered.returns, 1);
    Ok(())
}

/// Of a random history under a random policy: if no record comes, exactly those signals are emitted at exactly those instants.
fn foretold(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = laws::settings(&mut random);
    let mut records = laws::history(&mut random);
    records.sort_by_key(|record| record.time());
    let key = CustomerKey { bytes: b"c", hash: hash::hash(b"c") };
    let mut engine = Engine::new(settings);
    for record in &records {
        engine.handle_record(key, ShopIndex(0), record, usize::MAX);
    }
    let Some(slot) = engine.find(key) else { return Ok(()) };
    drop(engine.drain_signals());
    engine.changes_committed();
    let clock = engine.clock().ok_or("records move the clock")?;
    let upcoming = engine.explain(slot, clock).evidence.upcoming;
    let expected: Vec<(Time, &str)> =
        upcoming.iter().flat_map(|instant| instant.signals.iter().map(|name| (instant.at, *name))).collect();
    let end = if upcoming.len() < 5 { Time::MAX } else { upcoming[4].at };
    engine.advance_clock(end, usize::MAX);
    let found: Vec<(Time, &str)> =
        engine.drain_signals().map(|(_, signal)| (signal.occurred_at, signal.kind.name())).collect();
    if found == expected { Ok(()) } else { Err(format!("foretold {expected:?}\ncame     {found:?}")) }
}

/// The words of `explain` about Ida of the story, at instants between which something happens. `RETENTION_EXPECT=write` writes them anew.
fn from_files() -> Result<(), Failed> {
    for at in ["2025-01-10", "2025-03-01", "2025-04-20", "2025-07-01", "2026-03-01"] {
        from_file(&["--set", "shop.currency=EUR"], at, &format!("ida-{at}.txt"))?;
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/explain/rules.toml");
    from_file(&["--config", rules], "2025-02-05", "ida-with-rules-2025-02-05.txt")
}

fn from_file(settings: &[&str], at: &str, name: &str) -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let story = root.join("schemas/examples/story");
    let folder = root.join("tests/data/explain");
    let output = Command::new(env!("CARGO_BIN_EXE_retention-signals"))
        .args(["explain", "c-1042", "--at", &format!("{at}T00:00:00Z")])
        .args(settings)
        .arg("--orders")
        .arg(story.join("orders.jsonl"))
        .arg("--returns")
        .arg(story.join("returns.jsonl"))
        .env_remove("RETENTION_CONFIG")
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("{at}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let path = folder.join(name);
    if env::var("RETENTION_EXPECT").is_ok_and(|value| value == "write") {
        fs::create_dir_all(&folder)?;
        fs::write(&path, &said)?;
    }
    let expected = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if said != expected {
        return Err(format!("{at}: found\n{said}\nexpected\n{expected}").into());
    }
    Ok(())
}

/// Ida after her fourth order, in a shop with points and tiers: in words, and in the JSON of the same.
fn tiers() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let story = root.join("schemas/examples/story");
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("shop.toml");
    let tier = |name: &str, from: &str| format!("[[tiers]]\nname = \"{name}\"\nfrom = \"{from}\"\n");
    let settings = "shop.currency = \"EUR\"\npoints.per = \"1.00\"\n".to_owned();
    fs::write(&config, settings + &tier("silver", "150.00") + &tier("gold", "500.00"))?;
    let run = |more: &[&str]| -> Result<String, Failed> {
        let output = Command::new(env!("CARGO_BIN_EXE_retention-signals"))
            .args(["explain", "c-1042", "--at", "2025-10-01T00:00:00Z"])
            .args(more)
            .arg("--config")
            .arg(&config)
            .arg("--orders")
            .arg(story.join("orders.jsonl"))
            .arg("--returns")
            .arg(story.join("returns.jsonl"))
            .output()?;
        let told = String::from_utf8(output.stdout)?;
        if output.status.success() { Ok(told) } else { Err(String::from_utf8(output.stderr)?.into()) }
    };
    let told = run(&[])?;
    let expected = "points 186\n\
                    tier silver by 186.70 in 365 days, kept from 120.00 on; gold from 500.00 on\n  \
                    tier none from 2026-02-04T18:15:00.000Z, if no record comes\n";
    if !told.contains(expected) {
        return Err(told.into());
    }
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"])?)?;
    let expected = serde_json::json!({
        "name": "silver", "net": "186.70", "kept_from": "120.00", "next": {"name": "gold", "from": "500.00"},
        "change": {"at": "2026-02-04T18:15:00.000Z", "to": null},
    });
    let found = (&json["explanation"]["tier"], &json["customer"]["tier"], &json["customer"]["points"]);
    let is_right = found == (&expected, &"silver".into(), &186.into());
    if is_right { Ok(()) } else { Err(format!("{found:?}").into()) }
}
