//! What every record of a shop has in common, as bytes.

use super::json;
use crate::domain::ids::ShopIndex;
use crate::domain::settings::Shops;

/// The shops by index.
#[derive(Clone, Debug)]
pub(super) struct ShopTexts {
    shops: Box<[ShopText]>,
    keys_name_stores: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ShopText {
    /// In quotes; none where keys name no store.
    pub(super) store_id: Option<Box<[u8]>>,
    /// In quotes.
    pub(super) currency: Box<[u8]>,
    /// After the point, of the currency.
    pub(super) digits: u8,
    /// `,"refunded":"0.00","cancelled":"0.00","unattributed":"0.00"`
    pub(super) nothing_back: Box<[u8]>,
    /// `,"excess":"0.00"`
    pub(super) no_excess: Box<[u8]>,
}

impl ShopTexts {
    pub(super) fn new(shops: &Shops) -> Self {
        let text = |index| {
            let currency = shops.get(index).currency;
            ShopText {
                store_id: shops.store_id(index).map(|id| written(|out| json::string(out, id.as_bytes()))),
                currency: written(|out| json::currency(out, currency)),
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

fn zeros(names: &[&str], digits: u8) -> Box<[u8]> {
    written(|out| {
        for name in names {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::money(out, 0, digits);
        }
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Box<[u8]> {
    let mut out = Vec::new();
    write(&mut out);
    out.into()
}
