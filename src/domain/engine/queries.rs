//! Queries of an engine. No state changes.

use super::shop_totals::{GuestTotals, ShopTotals};
use super::{Engine, Progress};
use crate::domain::customer::facts::{CustomerTotals, Facts};
use crate::domain::segments::names::Segment;
use crate::domain::signals::signal::Profile;
use crate::domain::store::packed::Format;
use crate::domain::values::ids::{CustomerKey, CustomerSlot, ShopIndex};
use crate::domain::values::time::Time;

impl Engine {
    /// The customer of a key, if any is held.
    pub fn find(&self, key: CustomerKey<'_>) -> Option<CustomerSlot> {
        self.store.find(key)
    }

    /// Whether the open batch changed this customer.
    pub fn is_touched(&self, slot: CustomerSlot) -> bool {
        self.store.mark(slot) > 0
    }

    /// The customer's key.
    pub fn key(&self, slot: CustomerSlot) -> &[u8] {
        self.store.key(slot)
    }

    /// The lowest format that expresses every customer, those that the open batch has changed included.
    pub fn format(&self) -> Format {
        self.store.format()
    }

    /// The customer's state as bytes: see [`packed`](crate::domain::store::packed).
    pub fn packed(&self, slot: CustomerSlot) -> &[u8] {
        self.store.packed(slot)
    }

    /// The customer's facts at `as_of`, which may not lie before the customer's last change.
    pub fn profile(&mut self, slot: CustomerSlot, as_of: Time) -> Profile {
        let index = self.shop_of(slot);
        let (settings, bytes) = (&*self.settings, self.store.packed(slot));
        let totals = self.scratch.read(slot, bytes, as_of, settings.shops.get(index), settings);
        Facts::new(&totals, index, settings).profile(index, &self.scratch.customer, as_of, settings)
    }

    /// What the customer's orders add up to at `as_of`, which may not lie before the customer's last change.
    pub fn totals(&mut self, slot: CustomerSlot, as_of: Time) -> CustomerTotals {
        let shop = self.settings.shops.get(self.shop_of(slot));
        let bytes = self.store.packed(slot);
        self.scratch.read(slot, bytes, as_of, shop, &self.settings)
    }

    /// Every customer, in no particular order.
    pub fn customers(&self) -> impl Iterator<Item = CustomerSlot> + '_ {
        self.store.iter()
    }

    pub fn customers_len(&self) -> usize {
        self.store.len()
    }

    /// Timers that are set: customers with a deadline ahead, and erasure markers.
    pub fn timers_len(&self) -> usize {
        self.timers.len() + self.markers.len()
    }

    /// Firings of rules that wait for their instant.
    pub fn firings_planned(&self) -> usize {
        self.firings_planned
    }

    /// The totals of one shop at the clock.
    pub fn figures(&mut self, shop: ShopIndex) -> &ShopTotals {
        while self.settle_figures(usize::MAX) == Progress::More {}
        self.settled_figures(shop)
    }

    /// The totals of one shop at the instant of the last [`Self::settle_figures`].
    pub fn settled_figures(&self, shop: ShopIndex) -> &ShopTotals {
        self.totals.shop(shop)
    }

    /// Customers by the segment that was emitted last.
    pub fn customers_in(&self, segment: Segment) -> u64 {
        self.totals.customers_in(segment)
    }

    /// What guests did since this engine was made.
    pub fn guests(&self, shop: ShopIndex) -> &GuestTotals {
        &self.guests[usize::from(shop.0)]
    }

    /// Bytes held for customers, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.store.heap_bytes()
            + self.timers.heap_bytes()
            + self.totals.window_ends.heap_bytes()
            + self.scratch.totals_cache.heap_bytes()
    }
}
