//! Every example of an input schema, decoded: the valid ones become events, the invalid ones are refused for their reason. And
//! bytes that are nearly records.

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::topic::Input;
use retention_signals::wire::reason::Reason;
use retention_signals::wire::remark::Remark;
use serde_json::Value;

use super::shops;
use crate::examples::{self, Settings};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("wire::refuses_huge_keys", refuses_huge_keys),
        Trial::test("wire::remarks_on_returns_that_name_an_order_and_no_customer", remarks_on_returns),
        Trial::test("wire::reads_as_many_bytes_as_are_allowed", reads_as_many_bytes_as_are_allowed),
        Trial::test("wire::decodes_nothing_but_json", decodes_nothing_but_json),
    ];
    for input in Input::ALL {
        for example in examples::valid(input.name()) {
            let name = format!("wire::decodes::{}", example.path);
            trials.push(Trial::test(name, move || accepts(input, &example.text)));
        }
        for example in examples::invalid(input.name()) {
            let name = format!("wire::refuses::{}", example.path);
            trials.push(Trial::test(name, move || refuses(input, &example)));
        }
    }
    trials
}

fn decoder(settings: Settings) -> Decoder {
    Decoder::new(shops(settings), Limits::default())
}

fn accepts(input: Input, text: &str) -> Result<(), Failed> {
    let record: Value = serde_json::from_str(text)?;
    let [customer, store] = ["customer_id", "store_id"].map(|field| examples::id(&record[field]));
    let customer = customer.as_deref().map(str::as_bytes);
    let event = decoder(Settings::OneShop)
        .decode(input, customer, Some(text.as_bytes()))
        .map_err(|refusal| format!("{}: {}", refusal.reason.name(), refusal.detail))?;
    let key = event.customer_key().map(|key| key.bytes);
    if key != customer || event.store_id.as_deref() != store.as_deref() {
        return Err(format!("decoded as {event:?}").into());
    }
    // As a client of a schema registry writes it: the schema's id makes no difference.
    let prefixed = [b"\0\0\x01\x86\xa3", text.trim_start().as_bytes()].concat();
    match decoder(Settings::OneShop).decode(input, customer, Some(&prefixed)) {
        Ok(read) if read == event => Ok(()),
        other => Err(format!("behind a registry's prefix: {other:?}").into()),
    }
}

fn refuses(input: Input, example: &examples::InvalidExample) -> Result<(), Failed> {
    let decoder = decoder(example.settings);
    match decoder.decode(input, example.key.as_deref(), example.value.as_deref()) {
        Ok(event) => Err(format!("decoded as {event:?}").into()),
        Err(refusal) if Some(refusal.reason.name()) != example.reason.as_deref() => {
            Err(format!("{}: {}", refusal.reason.name(), refusal.detail).into())
        }
        Err(_) => Ok(()),
    }
}

fn reads_as_many_bytes_as_are_allowed() -> Result<(), Failed> {
    let text = r#"{"customer_id":"c-1","requested_at":"2025-04-05T18:15:00Z"}"#;
    for (over, expected) in [(0, None), (1, Some(Reason::TooLarge))] {
        let limits = Limits { bytes_max: "c-1".len() + text.len() - over, ..Limits::default() };
        let decoder = Decoder::new(shops(Settings::OneShop), limits);
        assert_eq!(decoder.limits(), limits);
        let decoded = decoder.decode(Input::Erasures, Some(b"c-1"), Some(text.as_bytes()));
        assert_eq!(decoded.map_err(|refusal| refusal.reason).err(), expected);
    }
    Ok(())
}

fn remarks_on_returns() -> Result<(), Failed> {
    let order = r#""order_id":"o-1","placed_at":"2025-04-05T18:15:00Z","currency":"EUR","total":"1""#;
    let returned = r#""return_id":"r-1","returned_at":"2025-04-05T18:15:00Z","currency":"EUR","refund":"1""#;
    for (input, fields, customer, expected) in [
        (Input::Orders, order.to_owned(), None, false),
        (Input::Orders, order.to_owned(), Some("c-1"), false),
        (Input::Returns, returned.to_owned(), None, false),
        (Input::Returns, format!(r#"{returned},"order_id":"o-1""#), Some("c-1"), false),
        (Input::Returns, format!(r#"{returned},"order_id":"o-1""#), None, true),
    ] {
        let id = customer.map_or("null".to_owned(), |customer| format!("\"{customer}\""));
        let text = format!(r#"{{"customer_id":{id},{fields}}}"#);
        let key = customer.or((input == Input::Orders).then_some("o-1"));
        let event = decoder(Settings::OneShop)
            .decode(input, key.map(str::as_bytes), Some(text.as_bytes()))
            .map_err(|refusal| format!("{text}: {}", refusal.detail))?;
        let remarked = event.remarks().any(|remark| remark == Remark::ReturnWithoutCustomer);
        assert_eq!((remarked, event.is_return_without_customer()), (expected, expected), "{text}");
    }
    Ok(())
}

fn refuses_huge_keys() -> Result<(), Failed> {
    let key = vec![b'k'; 10_000_000];
    for value in [None, Some(&b"{}"[..])] {
        let decoded = decoder(Settings::OneShop).decode(Input::Orders, Some(&key), value);
        let reason = decoded.map_err(|refusal| refusal.reason);
        if reason != Err(Reason::TooLarge) {
            return Err(format!("{reason:?}").into());
        }
    }
    Ok(())
}

/// Changes a few bytes of each valid example, many times. What is then no JSON object to a common parser is never accepted, and
/// what is accepted has the ids that such a parser reads.
fn decodes_nothing_but_json() -> Result<(), Failed> {
    const SEED: u64 = 11;
    const BYTES: &[u8] = b"{}[]\",:\\u0/ eE+-.19naltrus\x00\x80\xff\xc3\xa9\n";
    let mut random = Rng::with_seed(SEED);
    let (mut accepted, mut refused) = (0, [0u32; Reason::ALL.len()]);
    for input in Input::ALL {
        for example in examples::valid(input.name()) {
            let customer = examples::id(&serde_json::from_str::<Value>(&example.text)?["customer_id"]);
            for round in 0..500 {
                let mut value = example.text.clone().into_bytes();
                for _ in 0..random.usize(1..3) {
                    let (index, byte) = (random.usize(..value.len()), BYTES[random.usize(..BYTES.len())]);
                    match random.u8(..3) {
                        0 => value[index] = byte,
                        1 => value.insert(index, byte),
                        _ => _ = value.remove(index),
                    }
                }
                let key = customer.as_deref().map(str::as_bytes);
                let json = serde_json::from_slice::<Value>(&value).ok();
                let name = input.name();
                let context =
                    || format!("seed {SEED}, {name}, round {round}: {}", String::from_utf8_lossy(&value));
                match decoder(Settings::OneShop).decode(input, key, Some(&value)) {
                    Err(refusal) => refused[refusal.reason.index()] += 1,
                    Ok(event) => {
                        accepted += 1;
                        let json = json.ok_or_else(context)?;
                        let id = match &event.subject {
                            Subject::Customer(event) => Some(&*event.id),
                            Subject::Erasure { .. } | Subject::Guest(_) => None,
                        };
                        let ids = [&json["order_id"], &json["return_id"]].map(examples::id);
                        if id.is_some() && !ids.iter().any(|other| other.as_deref() == id) {
                            return Err(context().into());
                        }
                    }
                }
            }
        }
    }
    let seen = refused.iter().filter(|count| **count > 0).count();
    if accepted < 1_000 || seen < 10 {
        return Err(format!("seed {SEED}: {accepted} accepted, refused {refused:?}").into());
    }
    Ok(())
}
