//! The story that the examples tell, lived through by decoder and engine: what the pages show is what users get.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::{Engine, Outcome};
use retention_signals::domain::rules::tiers::{Tier, Tiers};
use retention_signals::domain::segments::published::CutsInForce;
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::signal::Signal;
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::Time;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::stream::registry::Registry;
use retention_signals::topic::Input;
use retention_signals::wire::encode::{RecordContext, SignalEncoder};
use retention_signals::wire::hash::{SignalId, erasure_hash, hash};
use serde_json::Value;

use crate::examples;

/// Every signal of the story in order: customer, type, instant, states.
const TOLD: &str = "\
c-1042 first_order 2025-01-05T09:30:00.000Z prospect active
c-1042 second_order 2025-02-04T18:15:00.000Z active active
c-2077 first_order 2025-02-11T14:05:00.000Z prospect active
c-2077 order_cancelled 2025-02-12T08:00:00.000Z active prospect
c-2077 became_prospect 2025-02-12T08:00:00.000Z active prospect
c-1042 at_risk 2025-04-05T18:15:00.000Z active at_risk
c-1042 recovered 2025-04-20T06:15:00.000Z at_risk active
c-1042 order_returned 2025-04-29T06:15:00.000Z active active
c-1042 at_risk 2025-07-02T09:15:00.000Z active at_risk
c-2077 first_order 2025-08-20T15:30:00.000Z prospect active
c-3310 first_order 2025-09-12T16:40:00.000Z prospect active
c-1042 lapsed 2025-09-13T12:15:00.000Z at_risk lapsed
c-3310 order_returned 2025-09-22T16:40:00.000Z active prospect
c-3310 became_prospect 2025-09-22T16:40:00.000Z active prospect
c-1042 won_back 2025-09-25T12:15:00.000Z lapsed active
";

/// Every change of a segment, with the cut points of `schemas/examples/story/cuts.jsonl`: customer, instant, names.
const SEGMENTS: &str = "\
c-1042 2025-01-05T09:30:00.000Z none new
c-1042 2025-01-20T09:30:00.000Z new promising
c-1042 2025-02-04T18:15:00.000Z promising potential_loyalist
c-2077 2025-02-11T14:05:00.000Z none new
c-1042 2025-03-09T18:15:00.000Z potential_loyalist about_to_sleep
c-1042 2025-04-17T18:15:00.000Z about_to_sleep hibernating
c-1042 2025-04-20T06:15:00.000Z hibernating potential_loyalist
c-1042 2025-05-23T06:15:00.000Z potential_loyalist need_attention
c-1042 2025-07-01T06:15:00.000Z need_attention slipping
c-2077 2025-08-20T15:30:00.000Z none new
c-2077 2025-09-04T15:30:00.000Z new promising
c-3310 2025-09-12T16:40:00.000Z none new
c-2077 2025-09-22T15:30:00.000Z promising about_to_sleep
c-1042 2025-09-25T12:15:00.000Z slipping champions
";

/// Every change of a tier, with silver from 150.00 on: customer, instant, tiers, net value of the year, id.
const TIERS: &str = "\
c-1042 2025-09-25T12:15:00.000Z none silver 186.70 113a910732a3fb30e2f0bec509f3e34c
c-1042 2026-02-04T18:15:00.000Z silver none 76.20 7d8c2223fbcfe5b6c8781baa076e069c
";

/// A file of the registry.
const CUTS: &str = "schemas/examples/story/cuts.jsonl";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("story::says_the_segments_of_the_examples", says_the_segments_of_the_examples),
        Trial::test("story::says_the_signals_of_the_examples", says_the_signals_of_the_examples),
        Trial::test("story::says_the_tiers_of_the_examples", says_the_tiers_of_the_examples),
        Trial::test("story::counts_as_the_summary_says", counts_as_the_summary_says),
    ]
}

fn says_the_signals_of_the_examples() -> Result<(), Failed> {
    let story = live();
    let told: String = story.signals.iter().map(|told| told.line.clone() + "\n").collect();
    if told != TOLD {
        return Err(format!("told\n{told}expected\n{TOLD}").into());
    }
    let mut compared = 0;
    for example in examples::valid("signals") {
        let signal: Value = serde_json::from_str(&example.text)?;
        let text = |pointer: &str| signal.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let is_of_story = ["c-1042", "c-2077", "c-3310"].contains(&text("/customer_id"));
        // The story is told under the policy `cadence`, without rules, segments and tiers.
        let needs_more = ["segment_changed", "tier_changed", "rule"].contains(&text("/type"));
        if !is_of_story || text("/policy/name") == "model" || needs_more {
            continue;
        }
        let line =
            ["/customer_id", "/type", "/occurred_at", "/state/before", "/state/after"].map(text).join(" ");
        let found = story.signals.iter().find(|told| told.line == line);
        let id = found.map(|told| told.id.as_str());
        if id != Some(text("/id")) {
            return Err(format!("{}: the story's id is {id:?}", example.path).into());
        }
        compared += 1;
    }
    if compared < 8 {
        return Err(format!("only {compared} examples are of the story").into());
    }
    Ok(())
}

/// The same story with segments. All other signals are as without.
fn says_the_segments_of_the_examples() -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CUTS);
    let settings = settings();
    let contents = Registry::read_file(&path)?.contents_of_file(&path, &settings.shops)?;
    let settings = Settings { segments: Some(Arc::new(CutsInForce::new(&contents.cuts))), ..settings };
    let story = live_with(settings);
    let (changes, others): (Vec<&Told>, Vec<&Told>) =
        story.signals.iter().partition(|told| told.json["type"] == "segment_changed");
    let others: String = others.iter().map(|told| told.line.clone() + "\n").collect();
    if others != TOLD {
        return Err(format!("told\n{others}expected\n{TOLD}").into());
    }
    let line = |told: &Told| {
        let Value::Object(signal) = &told.json else { panic!("a signal is an object") };
        let (customer, at, data) = (&signal["customer_id"], &signal["occurred_at"], &signal["data"]);
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        format!("{} {} {} {}\n", text(customer), text(at), text(&data["before"]), text(&data["after"]))
    };
    let told: String = changes.iter().map(|told| line(told)).collect();
    if told != SEGMENTS {
        let json: Vec<String> = changes.iter().map(|told| told.json.to_string()).collect();
        return Err(format!("told\n{told}expected\n{SEGMENTS}{}", json.join("\n")).into());
    }
    let mut compared = 0;
    for example in examples::valid("signals") {
        let signal: Value = serde_json::from_str(&example.text)?;
        if signal["type"] == "segment_changed" {
            if !changes.iter().any(|told| told.json == signal) {
                return Err(format!("{} is not in the story", example.path).into());
            }
            compared += 1;
        }
    }
    if compared < 2 {
        return Err(format!("only {compared} examples").into());
    }
    // The page shows the very record.
    let record = examples::read(CUTS).replace(", ", ",");
    let page = examples::read("docs/SEGMENTS.md").replace(",\n ", ", ").replace(", ", ",");
    if !page.contains(record.trim_end()) {
        return Err(format!("docs/SEGMENTS.md does not show {CUTS}").into());
    }
    Ok(())
}

/// The same story with a tier, and the clock going on: the first order leaves the year on 5 January 2026 and 144.70 remain, which are
/// kept from 120.00 on; the second one on 4 February.
fn says_the_tiers_of_the_examples() -> Result<(), Failed> {
    let silver = Tier { name: "silver".into(), from: Decimal::whole(150) };
    let keep = Decimal::parse("0.8").ok_or("a decimal")?;
    let settings = Settings { tiers: Tiers::new(vec![silver], keep).map(Arc::new), ..settings() };
    let end = time_of("2026-03-01T00:00:00Z")?;
    let story = live_until(settings, Some(end));
    let changes: Vec<&Told> =
        story.signals.iter().filter(|told| told.json["type"] == "tier_changed").collect();
    let line = |told: &&Told| {
        let (signal, data) = (&told.json, &told.json["data"]);
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let (before, after, net) = (text(&data["before"]), text(&data["after"]), text(&data["net"]));
        format!(
            "{} {} {before} {after} {net} {}\n",
            text(&signal["customer_id"]),
            text(&signal["occurred_at"]),
            text(&signal["id"])
        )
    };
    let told: String = changes.iter().map(line).collect();
    if told != TIERS {
        let json: Vec<String> = changes.iter().map(|told| told.json.to_string()).collect();
        return Err(format!("told\n{told}expected\n{TIERS}{}", json.join("\n")).into());
    }
    let mut compared = 0;
    for example in examples::valid("signals") {
        let signal: Value = serde_json::from_str(&example.text)?;
        if signal["type"] == "tier_changed" {
            if !changes.iter().any(|told| told.json == signal) {
                return Err(format!("{} is not in the story", example.path).into());
            }
            compared += 1;
        }
    }
    if compared == 2 { Ok(()) } else { Err(format!("{compared} examples").into()) }
}

fn counts_as_the_summary_says() -> Result<(), Failed> {
    let story = live();
    let summary: Value = serde_json::from_str(&examples::read("schemas/examples/summary/valid/story.json"))?;
    let count = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let read = count("/events/orders") + count("/events/cancellations") + count("/events/returns");
    let found = (story.accepted, story.duplicates, story.refused, story.signals.len() as u64);
    let signals: u64 =
        summary["signals"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    let expected = (read, count("/events/duplicates"), count("/dead_letters/invalid_time"), signals);
    if found != expected {
        return Err(
            format!("accepted, duplicates, refused, signals: {found:?}, expected {expected:?}").into()
        );
    }
    Ok(())
}

#[derive(Default)]
struct Story {
    signals: Vec<Told>,
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

struct Told {
    line: String,
    id: String,
    json: Value,
}

/// Reads the story's files and applies them in the order of their times, as a replay does.
fn live() -> Story {
    live_with(settings())
}

fn live_with(settings: Settings) -> Story {
    live_until(settings, None)
}

/// The clock goes on to this instant in the end.
fn live_until(settings: Settings, end: Option<Time>) -> Story {
    let encoder = SignalEncoder::new(&settings.shops);
    let decoder = Decoder::new(settings.shops.clone(), Limits::default());
    let mut engine = Engine::new(Arc::new(settings));
    let mut story = Story::default();
    let files = [(Input::Orders, "orders"), (Input::Returns, "returns")];
    let lines =
        files.map(|(input, name)| (input, examples::read(&format!("schemas/examples/story/{name}.jsonl"))));
    let mut events = Vec::new();
    for (input, line) in lines.iter().flat_map(|(input, text)| text.lines().map(move |line| (*input, line))) {
        let record: Value = serde_json::from_str(line).expect("the story is JSON");
        let key = record["customer_id"].as_str().map(str::to_owned);
        events.push((input, line, key));
    }
    let mut decoded = Vec::new();
    for (input, line, key) in &events {
        match decoder.decode(*input, key.as_ref().map(String::as_bytes), Some(line.as_bytes())) {
            Ok(event) => decoded.push(event),
            Err(_) => story.refused += 1,
        }
    }
    // Stable: at one instant orders come before returns, and lines in their order.
    decoded.sort_by_key(|event| event.time());
    for event in decoded {
        let outcome = match &event.subject {
            Subject::Customer(customer) => {
                engine.handle_record(customer.key, event.shop, &customer.record, usize::MAX)
            }
            Subject::Erasure { key, record } => engine.handle_erasure(*key, record, usize::MAX),
            Subject::Guest(guest) => engine.handle_guest(event.shop, &guest.record, usize::MAX),
        };
        match outcome {
            Outcome::Applied(_) => story.accepted += 1,
            Outcome::Duplicate => story.duplicates += 1,
            Outcome::Refused(_) | Outcome::TimersPending => story.refused += 1,
        }
        let record = RecordContext::of(&event);
        story.signals.extend(
            engine.drain_signals().map(|(key, signal)| told(&encoder, key, &signal, record.as_ref())),
        );
    }
    if let Some(end) = end {
        engine.advance_clock(end, usize::MAX);
        story.signals.extend(engine.drain_signals().map(|(key, signal)| told(&encoder, key, &signal, None)));
    }
    story
}

fn told(encoder: &SignalEncoder, key: &[u8], signal: &Signal, record: Option<&RecordContext<'_>>) -> Told {
    let mut json = Vec::new();
    encoder.encode(key, signal, record, &mut json);
    let customer = String::from_utf8_lossy(key);
    let (kind, at) = (signal.kind.name(), written(signal.occurred_at));
    Told {
        line: format!("{customer} {kind} {at} {} {}", signal.before.name(), signal.after.name()),
        id: SignalId::of(key, kind, &signal.cause, &mut Vec::new()).to_string(),
        json: serde_json::from_slice(&json).expect("JSON"),
    }
}

fn time_of(text: &str) -> Result<Time, Failed> {
    let millis = chrono::DateTime::parse_from_rfc3339(text)?.timestamp_millis();
    Ok(Time::from_millis(millis).ok_or("within the calendar")?)
}

fn written(time: Time) -> String {
    let time = chrono::DateTime::from_timestamp_millis(time.as_millis()).expect("in range");
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The defaults, in a shop of EUR.
fn settings() -> Settings {
    let euro = Currency::from_code(b"EUR").expect("a currency");
    let shops = Shops::One(Shop::in_currency(euro));
    Settings::with_defaults(shops, hash, erasure_hash(b"a secret of this test"))
}
