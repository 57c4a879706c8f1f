//! Memory that is reused for every record, and what customers add up to, derived in it.

use super::customer::Customer;
use super::facts::Standing;
use super::ids::{CustomerKey, CustomerSlot};
use super::ledger::Attribution;
use super::packed::{self, UsualOrders};
use super::settings::{Settings, Shop};
use super::standings::Standings;
use super::store::Store;
use super::time::Time;

/// Memory that is reused for every record.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) customer: Customer,
    pub(super) attribution: Attribution,
    pub(super) bytes: Vec<u8>,
    /// The end of a packed customer, behind `bytes`.
    pub(super) entries: Vec<u8>,
    pub(super) standings: Standings,
}

impl Scratch {
    /// What a packed customer adds up to at an instant; `customer` gets all but the ledger.
    pub(super) fn standing(
        &mut self,
        slot: CustomerSlot,
        packed: &[u8],
        at: Time,
        shop: &Shop,
        settings: &Settings,
    ) -> Standing {
        let Self { customer, attribution, standings, .. } = self;
        let entries = packed::unpack_head(packed, customer).expect("packed by this engine");
        if let Some(orders) = UsualOrders::of(entries) {
            return standings.standing(slot, &customer.summary, orders.valued(shop), at, &shop.zone);
        }
        packed::unpack_entries(entries, &mut customer.ledger).expect("packed by this engine");
        attribution.derive(&customer.ledger, shop, settings.return_window);
        customer.standing(at, attribution, shop)
    }

    /// A slot for a new customer of whom nothing is known yet.
    pub(super) fn insert(&mut self, store: &mut Store, key: CustomerKey<'_>) -> CustomerSlot {
        packed::pack(key.bytes, &Customer::default(), &mut self.bytes);
        store.insert(key, &self.bytes)
    }
}
