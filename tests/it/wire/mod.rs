//! What goes in and out as bytes: the decoder against the schemas' examples, the encoders against schemas and examples.

mod decode;
mod encode;
mod from_json;
mod whole_path;

use libtest_mimic::Trial;
use retention_signals::domain::settings::{Shop, Shops};
use retention_signals::domain::values::money::{Conversion, Currency};
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::Zone;

use crate::examples::Settings;

pub fn trials() -> Vec<Trial> {
    [decode::trials(), encode::trials(), whole_path::trials()].into_iter().flatten().collect()
}

/// The shops that `schemas/README.md` names.
fn shops(settings: Settings) -> Shops {
    match settings {
        Settings::OneShop => Shops::One(shop("EUR", &["USD", "JPY", "KWD"])),
        Settings::Stores => Shops::ByStore(vec![
            ("berlin".into(), shop("EUR", &["USD", "JPY", "KWD"])),
            ("tokyo".into(), shop("JPY", &["EUR", "USD", "KWD"])),
        ]),
    }
}

fn shop(own: &str, others: &[&str]) -> Shop {
    let one = Decimal::whole(1);
    let mut conversions: Vec<Conversion> = others
        .iter()
        .map(|other| Conversion::new(currency(other), one, currency(own), one).expect("a rate"))
        .collect();
    conversions.sort_by_key(|conversion| conversion.from);
    Shop { currency: currency(own), zone: Zone::utc(), conversions }
}

fn currency(code: &str) -> Currency {
    Currency::from_code(code.as_bytes()).expect("a currency")
}
