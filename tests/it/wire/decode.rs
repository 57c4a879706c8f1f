//! Every example of an input schema, decoded: the valid ones become events, the invalid ones are refused for their reason.

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::money::{Conversion, Currency};
use retention_signals::domain::number::Decimal;
use retention_signals::domain::settings::{Shop, Shops};
use retention_signals::domain::time::Zone;
use retention_signals::wire::Input;
use retention_signals::wire::decode::{Decoder, Limits, Subject};
use serde_json::Value;

use crate::examples::{self, Settings};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
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

fn accepts(input: Input, text: &str) -> Result<(), Failed> {
    let record: Value = serde_json::from_str(text)?;
    let customer = record["customer_id"].as_str();
    let event = decoder(Settings::OneShop)
        .decode(input, customer.map(str::as_bytes), Some(text.as_bytes()))
        .map_err(|refusal| format!("{}: {}", refusal.reason.name(), refusal.detail))?;
    let key = match &event.subject {
        Subject::Customer(event) => Some(event.key.bytes),
        Subject::Guest(_) => None,
    };
    if key != customer.map(str::as_bytes) || event.store_id.as_deref() != record["store_id"].as_str() {
        return Err(format!("decoded as {event:?}").into());
    }
    Ok(())
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

/// The settings that `schemas/README.md` names.
fn decoder(settings: Settings) -> Decoder {
    let shops = match settings {
        Settings::OneShop => Shops::One(shop("EUR", &["USD", "JPY", "KWD"])),
        Settings::Stores => Shops::ByStore(vec![
            ("berlin".into(), shop("EUR", &["USD", "JPY", "KWD"])),
            ("tokyo".into(), shop("JPY", &["EUR", "USD", "KWD"])),
        ]),
    };
    Decoder::new(shops, Limits::default())
}

fn shop(own: &str, others: &[&str]) -> Shop {
    let currency = |code: &str| Currency::from_code(code.as_bytes()).expect("a currency");
    let one = Decimal::whole(1);
    let mut conversions: Vec<Conversion> = others
        .iter()
        .map(|other| Conversion::new(currency(other), one, currency(own), one).expect("a rate"))
        .collect();
    conversions.sort_by_key(|conversion| conversion.from);
    Shop { currency: currency(own), zone: Zone::utc(), conversions }
}
