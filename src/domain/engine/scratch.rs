//! The memory in which customers are visited, reused for all of them.

use crate::domain::customer::Customer;
use crate::domain::customer::facts::CustomerTotals;
use crate::domain::customer::ledger::Attribution;
use crate::domain::settings::{Settings, Shop};
use crate::domain::store::Store;
use crate::domain::store::packed::{self, FixedWidthOrders};
use crate::domain::store::totals_cache::TotalsCache;
use crate::domain::values::ids::{CustomerKey, CustomerSlot};
use crate::domain::values::time::Time;
use crate::domain::values::window::TotalsByWindow;

/// The customer that is visited, and what is derived from it.
#[derive(Default)]
pub(in crate::domain) struct Scratch {
    pub(in crate::domain) customer: Customer,
    pub(in crate::domain) attribution: Attribution,
    /// What the customer adds up to with the change of the visit.
    pub(in crate::domain) totals: CustomerTotals,
    /// How the customer counted in the totals of its shop before.
    pub(in crate::domain) totals_before: TotalsByWindow,
    pub(in crate::domain) bytes: Vec<u8>,
    /// The end of a packed customer, behind `bytes`.
    pub(in crate::domain) entries: Vec<u8>,
    pub(in crate::domain) totals_cache: TotalsCache,
}

impl Scratch {
    /// What a packed customer adds up to at an instant. `customer` gets all but the ledger, which stays packed where possible.
    pub(in crate::domain) fn read(
        &mut self,
        slot: CustomerSlot,
        packed: &[u8],
        at: Time,
        shop: &Shop,
        settings: &Settings,
    ) -> CustomerTotals {
        let Self { customer, attribution, totals_cache, .. } = self;
        let entries = packed::unpack_head(packed, customer).expect("packed by this engine");
        if let Some(orders) = FixedWidthOrders::of(entries) {
            return totals_cache.totals(slot, &customer.summary, orders.valued(shop), at, &shop.zone);
        }
        packed::unpack_entries(entries, customer).expect("packed by this engine");
        attribution.derive(&customer.ledger, shop, settings.return_window);
        customer.totals(at, attribution, shop)
    }

    /// A slot for a new customer of whom nothing is known yet.
    pub(in crate::domain) fn insert(&mut self, store: &mut Store, key: CustomerKey<'_>) -> CustomerSlot {
        packed::pack(key.bytes, &Customer::default(), &mut self.bytes);
        store.insert(key, &self.bytes)
    }
}
