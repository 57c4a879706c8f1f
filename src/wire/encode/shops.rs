//! What every record of a shop has in common, as bytes.

use super::json;
use super::text::Word;
use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;

/// The shops by index.
#[derive(Clone, Debug)]
pub(super) struct ShopTexts {
    shops: Box<[ShopText]>,
    keys_name_stores: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ShopText {
    /// `","store_id":"…"`, with the quote that ends a customer id; none where keys name no store.
    pub(super) store: Option<Box<[u8]>>,
    /// In quotes.
    pub(super) currency: [u8; 5],
    /// `,"currency":"…","state":`
    pub(super) currency_then_state: Word<32>,
    /// After the point, of the currency.
    pub(super) digits: u8,
    /// `,"refunded":"0.00","cancelled":"0.00","unattributed":"0.00"`
    pub(super) nothing_back: Word<72>,
    /// `,"excess":"0.00"`
    pub(super) no_excess: Word,
}

impl ShopTexts {
    pub(super) fn new(shops: &Shops) -> Self {
        let text = |index| {
            let currency = shops.get(index).currency;
            let [a, b, c] = currency.code();
            ShopText {
                store: shops.store_id(index).map(store),
                currency: [b'"', a, b, c, b'"'],
                currency_then_state: Word::new(",\"currency\":\"", &currency.to_string(), "\",\"state\":"),
                digits: currency.digits(),
                nothing_back: zeros(&["refunded", "cancelled", "unattributed"], currency.digits()),
                no_excess: zeros(&["excess"], currency.digits()),
            }
        };
        Self {
            shops: shops.indexes().map(text).collect(),
            keys_name_stores: matches!(shops, Shops::ByStore(_)),
        }
    }

    pub(super) fn get(&self, index: ShopIndex) -> &ShopText {
        &self.shops[usize::from(index.0)]
    }

    /// The customer id in a customer's key: all of it, or what stands behind the store.
    pub(super) fn customer_id<'k>(&self, customer_key: &'k [u8]) -> &'k [u8] {
        if !self.keys_name_stores {
            return customer_key;
        }
        let slash = customer_key.iter().position(|byte| *byte == b'/');
        slash.map_or(customer_key, |index| &customer_key[index + 1..])
    }
}

fn store(store_id: &str) -> Box<[u8]> {
    let mut out = b"\",\"store_id\":".to_vec();
    json::string(&mut out, store_id.as_bytes());
    out.into()
}

fn zeros<const N: usize>(names: &[&str], digits: u8) -> Word<N> {
    let mut out = Vec::new();
    for name in names {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        json::money(&mut out, 0, digits);
    }
    Word::new("", &String::from_utf8(out).expect("names and digits"), "")
}
