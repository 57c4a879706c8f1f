//! What every record of a shop has in common.

use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::Currency;

/// The shops by index.
#[derive(Clone, Debug)]
pub(super) struct ShopTexts {
    shops: Box<[ShopText]>,
    keys_name_stores: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ShopText {
    /// None where keys name no store.
    pub(super) store_id: Option<Box<[u8]>>,
    pub(super) currency: Currency,
    /// After the point, of the currency.
    pub(super) digits: u8,
}

impl ShopText {
    /// What stands for the customer's key in the ids of signals about guests: the key of a customer without an id.
    pub(super) fn guest_key(&self) -> Vec<u8> {
        self.store_id.as_ref().map_or_else(Vec::new, |store_id| [store_id, b"/".as_slice()].concat())
    }
}

impl ShopTexts {
    pub(super) fn new(shops: &Shops) -> Self {
        let text = |index| ShopText {
            store_id: shops.store_id(index).map(|store_id| store_id.as_bytes().into()),
            currency: shops.get(index).currency,
            digits: shops.get(index).currency.digits(),
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
