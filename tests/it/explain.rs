//! `?explain` against docs/DEFINITIONS.md: what a customer's facts and signals follow from.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::explain::{Explanation, NextChange};
use retention_signals::domain::engine::{Engine, Progress};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::signal::State;
use retention_signals::domain::values::ids::CustomerKey;
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::Time;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::stream::query::Explained;
use retention_signals::topic::Input;
use retention_signals::wire::encode::{ProfileEncoder, time_text};
use retention_signals::wire::hash;

use crate::examples;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("explain: deadlines are those of the definitions", deadlines),
        Trial::test("explain: open signals have the ids that were published", open_signals),
        Trial::test("explain: the end of a window is named where it matters", window_end),
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
    let (profile, Explained { explanation, at_risk, lapsed }) = ida("2025-03-01T00:00:00Z");
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
