//! The shops that the targets know, and settings around them.

use std::sync::Arc;

use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::values::money::{Conversion, Currency};
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::Zone;
use retention_signals::wire::hash::{erasure_hash, hash};

/// One shop that takes several currencies.
pub fn one_shop() -> Shops {
    Shops::One(shop("EUR", &["JPY", "KWD", "USD"]))
}

/// Two stores with different currencies.
pub fn stores() -> Shops {
    Shops::ByStore(vec![
        ("berlin".into(), shop("EUR", &["JPY", "KWD", "USD"])),
        ("tokyo".into(), shop("JPY", &["EUR", "KWD", "USD"])),
    ])
}

/// The default settings with these shops.
pub fn settings(shops: Shops) -> Arc<Settings> {
    Arc::new(Settings::with_defaults(shops, hash, erasure_hash(b"a secret of the tests")))
}

/// `others` are sorted and worth half as much each.
fn shop(own: &str, others: &[&str]) -> Shop {
    let half = Decimal::new(5, 1).expect("one digit");
    let conversion = |other: &&str| Conversion::new(currency(other), half, currency(own), Decimal::whole(1));
    let conversions = others.iter().map(conversion).collect::<Option<_>>().expect("small rates");
    Shop { currency: currency(own), zone: Zone::utc(), conversions }
}

fn currency(code: &str) -> Currency {
    Currency::from_code(code.as_bytes()).expect("a currency")
}
