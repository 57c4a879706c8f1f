//! Rules on orders of guests: each fires with its order, and all that it says follows from the order and the settings.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::{Applied, Engine, Outcome, Progress, Refusal};
use retention_signals::domain::rules::rule::{Rule, Trigger, Variant, Variants};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::signal::Signal;
use retention_signals::domain::values::event::GuestRecord;
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ShopIndex};
use retention_signals::domain::values::money::{Currency, SentAmount};
use retention_signals::domain::values::time::Span;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::topic::Input;
use retention_signals::wire::encode::{RecordContext, SignalEncoder};
use retention_signals::wire::hash::hash;
use serde_json::{Value, json};

use super::scenarios::{Scenario, at, order};
use super::{book, rule, working_hours};

pub fn trials() -> Vec<Trial> {
    let scenarios: [(&str, fn() -> Result<(), String>); 6] = [
        ("a_guests_order_fires_at_once", fires_at_once),
        ("only_orders_of_guests_that_count_fire", orders_that_count),
        ("a_guests_order_is_for_the_hours", hours),
        ("a_guests_order_belongs_to_a_group", groups),
        ("history_fires_nothing_for_guests", history),
        ("a_guests_signal_names_the_order", written),
    ];
    let trial = |(name, scenario): (&str, fn() -> Result<(), String>)| {
        Trial::test(format!("rules::{name}"), move || scenario().map_err(Failed::from))
    };
    scenarios.into_iter().map(trial).collect()
}

fn invite() -> Rule {
    Rule { after: Span::days(1), ..rule("invite-guest", Trigger::GuestOrder) }
}

/// An order of 10 EUR at nine on a day.
fn guest(id: u64, day: i64) -> GuestRecord {
    let currency = Currency::from_code(b"EUR").expect("a currency");
    GuestRecord::Order {
        id: OrderHash(id),
        placed_at: at(day, 9),
        total: SentAmount(1_000),
        currency,
        test: false,
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{actual:?}, not {expected:?}")) }
}

impl Scenario {
    fn guest(&mut self, record: &GuestRecord) -> Outcome {
        self.engine.handle_guest(ShopIndex(0), record, usize::MAX)
    }
}

fn fires_at_once() -> Result<(), String> {
    let resting = Rule { enabled: false, ..rule("resting", Trigger::GuestOrder) };
    let mut scenario = Scenario::new(vec![
        invite(),
        Rule { priority: 60, ..rule("hello", Trigger::GuestOrder) },
        resting,
        rule("each", Trigger::Order),
    ]);
    expect(scenario.guest(&guest(1, 100)), Outcome::Applied(Applied::Other))?;
    let both = ["hello fired 100d9h", "invite-guest fired 100d9h due 101d9h"];
    scenario.check(&both)?;
    // Nothing is kept, so a repetition fires the same again, and so does one that comes late.
    scenario.guest(&guest(1, 100));
    scenario.check(&both)?;
    scenario.guest(&guest(2, 110));
    scenario.fired();
    scenario.guest(&guest(1, 100));
    scenario.check(&both)?;
    expect((scenario.planned(), scenario.engine.changes().len()), (0, 0))
}

fn orders_that_count() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![invite()]);
    let currency = Currency::from_code(b"EUR").expect("a currency");
    let (id, placed_at) = (OrderHash(1), at(100, 9));
    for (total, test) in [(0, false), (1_000, true)] {
        scenario.guest(&GuestRecord::Order { id, placed_at, total: SentAmount(total), currency, test });
    }
    scenario.guest(&GuestRecord::Return { returned_at: placed_at, refund: SentAmount(1_000), currency });
    scenario.apply(&order(1, 0, 100));
    scenario.check(&[])?;
    // More than 35 days behind the clock.
    scenario.apply(&order(2, 0, 200));
    expect(scenario.guest(&guest(2, 150)), Outcome::Refused(Refusal::TooOld))?;
    scenario.check(&[])?;
    expect(scenario.engine.guests(ShopIndex(0)).orders, 1)
}

fn hours() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![Rule { send: Some(working_hours()), ..invite() }]);
    // Day 124 is a Tuesday; day 127 a Friday, from which the next day leads to Monday.
    scenario.guest(&guest(1, 124));
    scenario.guest(&guest(2, 127));
    scenario.check(&["invite-guest fired 124d9h due 125d9h", "invite-guest fired 127d9h due 130d9h"])
}

/// By the hash of the order's id, as the numbers are computed here.
fn groups() -> Result<(), String> {
    let variant = |(name, holdout): (&str, bool)| Variant {
        name: name.into(),
        weight: 1,
        holdout,
        say: Some("{}".into()),
    };
    let list = [("a", false), ("b", true)].map(variant);
    let variants = Variants { split: "invite-guest".into(), list: list.into() };
    let rules = vec![Rule { variants, ..invite() }];
    let mut scenario = Scenario::with(book(rules, Vec::new(), 5_000));
    let mut seen = [0; 3];
    for id in 0..200u64 {
        let key = id.to_le_bytes();
        let number = |name: &str, of: u64| hash(&[name.as_bytes(), b"\0", &key].concat()) % of;
        let (is_b, is_held_out) = (number("invite-guest", 2) == 1, number("holdout", 10_000) < 5_000);
        scenario.guest(&guest(id, 100));
        let signals: Vec<Signal> = scenario.engine.drain_signals().map(|(_, signal)| signal).collect();
        let [signal] = &signals[..] else { return Err(format!("{signals:?}")) };
        let rule = signal.kind.rule().expect("a rule's");
        let expected = (if is_b { "b" } else { "a" }, if is_b || is_held_out { "withheld" } else { "fired" });
        expect((rule.variant.as_deref().unwrap_or_default(), rule.action.name()), expected)?;
        expect(rule.say.is_some(), expected.1 == "fired")?;
        seen[usize::from(is_b) + usize::from(is_held_out)] += 1;
    }
    if seen.iter().all(|count| *count > 30) { Ok(()) } else { Err(format!("{seen:?}")) }
}

fn history() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![invite()]);
    scenario.engine.begin_history(usize::MAX);
    scenario.guest(&guest(1, 100));
    scenario.order(1, 100);
    expect(scenario.engine.settle_history(usize::MAX), Progress::Done)?;
    scenario.check(&[])?;
    // What live records cause is always published.
    scenario.engine.hold_back_until(at(200, 0));
    scenario.guest(&guest(2, 110));
    scenario.check(&["invite-guest fired 110d9h due 111d9h"])
}

/// With the id of the bytes that docs/DEFINITIONS.md lists, whatever the record's key is; the signal's key is that, or the order's id.
fn written() -> Result<(), String> {
    let shop = || Shop::in_currency(Currency::from_code(b"EUR").expect("a currency"));
    let stores = Shops::ByStore(vec![("berlin".into(), shop()), ("paris".into(), shop())]);
    for (shops, key, id_key) in [
        (Shops::One(shop()), None, &b""[..]),
        (Shops::One(shop()), Some(&b"session-7"[..]), b""),
        (Shops::One(shop()), Some(b""), b""),
        (stores.clone(), None, b"paris/"),
        (stores, Some(b"paris/"), b"paris/"),
    ] {
        let defaults = Settings::with_defaults(shops.clone(), hash, Arc::new(|_| [0; 16]));
        let settings = Settings { rules: Some(book(vec![invite()], Vec::new(), 0)), ..defaults };
        let value = json!({
            "order_id": "o-5555", "placed_at": "2025-09-14T12:02:11Z", "currency": "EUR", "total": "18.00", "store_id": "paris",
        });
        let bytes = value.to_string();
        let decoder = Decoder::of(&settings, Limits::default());
        let event = decoder
            .decode(Input::Orders, key, Some(bytes.as_bytes()))
            .map_err(|refusal| refusal.detail.to_string())?;
        let record = RecordContext::of(&event).ok_or("it is an order")?;
        let mut engine = Engine::new(Arc::new(settings));
        // Beside a customer, whose timers fire before the guest's order.
        let customer = CustomerKey { bytes: b"paris/c-1", hash: hash(b"paris/c-1") };
        engine.handle_record(customer, event.shop, &order(1, 0, 100), usize::MAX);
        engine.drain_signals().for_each(drop);
        let Subject::Guest(guest) = &event.subject else { return Err(format!("{event:?}")) };
        engine.handle_guest(event.shop, &guest.record, usize::MAX);
        let (mut found, mut others) = (Vec::new(), 0);
        for (key, signal) in engine.drain_signals() {
            let mut bytes = Vec::new();
            SignalEncoder::new(&shops).encode(key, &signal, Some(&record), &mut bytes);
            let json: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            if json["customer_id"].is_null() { found.push(json) } else { others += 1 }
        }
        let cause = [
            &b"R"[..],
            &hash(b"invite-guest").to_le_bytes(),
            &[1, b'g'],
            &hash(b"o-5555").to_le_bytes(),
            &1_757_851_331_000i64.to_le_bytes(),
        ]
        .concat();
        let parts = [id_key, b"rule", &cause].map(|part| [&(part.len() as u32).to_le_bytes(), part].concat());
        let id = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&parts.concat()));
        let [signal] = &found[..] else { return Err(format!("{found:?}")) };
        let fields = ["/id", "/store_id", "/occurred_at", "/cause/id", "/cause/kind", "/data/due_at"];
        let expected =
            [&*id, "paris", "2025-09-14T12:02:11.000Z", "o-5555", "rule", "2025-09-15T12:02:11.000Z"];
        expect(
            fields.map(|field| signal.pointer(field).and_then(Value::as_str).unwrap_or_default()),
            expected,
        )?;
        expect(&signal["state"], &json!({"before": null, "after": null}))?;
        expect(record.guest_key(), key.filter(|key| !key.is_empty()).unwrap_or(b"o-5555"))?;
        if others == 0 {
            return Err("no timer of the customer fired".to_owned());
        }
    }
    Ok(())
}
