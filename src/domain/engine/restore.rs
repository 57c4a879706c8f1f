//! Restore: makes an engine of the last state of every customer. It continues as the one that wrote the state would have.

use std::sync::Arc;

use super::Engine;
use super::partition_totals::PartitionTotals;
use super::settling::is_unsettled;
use super::visit::CustomerVisit;
use super::window_ends::WindowEnds;
use crate::domain::customer::Customer;
use crate::domain::settings::Settings;
use crate::domain::store::packed::{self, Format};
use crate::domain::values::ids::{CustomerKey, CustomerSlot, ShopIndex};
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;

/// Collects the last state of every customer before an engine is made of them.
pub struct Restore {
    engine: Engine,
    slots_settled: usize,
}

/// Whether every customer counts in the totals of its shop and has its timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    Some,
    All,
}

/// Why a state cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RestoreError {
    /// The bytes are not a customer.
    Corrupt,
    /// A newer program has written a section that this one does not know.
    NewerSection { tag: u8 },
    /// The key's store is not configured any more.
    UnknownShop,
    /// A currency in the state has no rate in its shop, which counts in another one.
    UnknownCurrency { found: Currency, shop: Currency },
}

impl From<packed::Unreadable> for RestoreError {
    fn from(error: packed::Unreadable) -> Self {
        match error {
            packed::Unreadable::Corrupt => Self::Corrupt,
            packed::Unreadable::NewerSection { tag } => Self::NewerSection { tag },
        }
    }
}

impl Restore {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { engine: Engine::new(settings), slots_settled: 0 }
    }

    /// See [`Engine::look_ahead`].
    pub fn look_ahead<'k>(&self, next: usize, count: usize, key: impl Fn(usize) -> Option<&'k [u8]>) {
        self.engine.look_ahead(next, count, key);
    }

    /// Makes room for customers that are to come.
    pub fn reserve(&mut self, customers: usize) {
        self.engine.store.reserve(customers);
        self.engine.timers.reserve(customers);
    }

    /// A customer's state in a snapshot of a format, found by the key in it; replaces the one before.
    pub fn packed_customer(
        &mut self,
        format: Format,
        bytes: &[u8],
        hash: fn(&[u8]) -> u64,
    ) -> Result<(), packed::Corrupt> {
        let bytes = &*packed::upgrade(bytes, format)?;
        let key = packed::checked_key(bytes).ok_or(packed::Corrupt)?;
        let key = CustomerKey { bytes: key, hash: hash(key) };
        self.put(key, bytes);
        Ok(())
    }

    /// A customer's state in the newest format replaces the one before.
    pub fn customer(&mut self, key: CustomerKey<'_>, bytes: &[u8]) -> Result<(), RestoreError> {
        if !packed::has_key(bytes, key.bytes) {
            return Err(RestoreError::Corrupt);
        }
        self.put(key, bytes);
        Ok(())
    }

    fn put(&mut self, key: CustomerKey<'_>, bytes: &[u8]) {
        match self.engine.store.find(key) {
            Some(slot) => {
                self.engine.store.replace(slot, bytes, &[]);
            }
            None => {
                self.engine.store.insert(key, bytes);
            }
        }
    }

    /// A customer's state is gone.
    pub fn remove_customer(&mut self, key: CustomerKey<'_>) {
        if let Some(slot) = self.engine.store.find(key) {
            self.engine.store.remove(slot);
            self.engine.store.release(slot);
        }
    }

    pub fn marker(&mut self, hash: [u8; 16], requested_at: Time) {
        let horizon = self.engine.settings.ledger_horizon();
        self.engine.markers.set(hash, requested_at, horizon);
    }

    pub fn remove_marker(&mut self, hash: [u8; 16]) {
        let horizon = self.engine.settings.ledger_horizon();
        self.engine.markers.remove(&hash, horizon);
    }

    /// The state is one of a partition in history: see [`Engine::begin_history`].
    pub fn in_history(&mut self, customer_bytes_max: usize) {
        self.engine.begin_history(customer_bytes_max);
    }

    /// Makes the engine: checks every state, and derives timers and totals at the clock of the last commit.
    pub fn finish(mut self, clock: Option<Time>) -> Result<Engine, RestoreError> {
        while self.settle(clock, usize::MAX)? == Settled::Some {}
        Ok(self.into_engine())
    }

    /// Does a part of [`Self::finish`]: at most so many customers. Nothing may be added between two parts.
    pub fn settle(&mut self, clock: Option<Time>, customers_max: usize) -> Result<Settled, RestoreError> {
        let engine = &mut self.engine;
        engine.clock = clock;
        let settings = Arc::clone(&engine.settings);
        // An order that leaves the year at the very clock may not have fired its timer yet. If it has, firing again emits nothing.
        let at = clock.unwrap_or(Time::MIN).just_before();
        if self.slots_settled == 0 {
            let mut window_ends = WindowEnds::new(at);
            window_ends.reserve(engine.store.slots_len());
            engine.totals = PartitionTotals::new(settings.shops.len(), window_ends);
        }
        let end = self.slots_settled.saturating_add(customers_max).min(engine.store.slots_len());
        for index in self.slots_settled..end {
            let bytes = engine.store.packed_at(index);
            if bytes.is_empty() {
                continue;
            }
            let customer = &mut engine.scratch.customer;
            packed::unpack(bytes, customer)?;
            if !customer.summary.leaves_room() || !customer.ledger.has_distinct_ids() {
                return Err(RestoreError::Corrupt);
            }
            let key = packed::key(bytes);
            let shop = shop_of(&settings, key, customer)?;
            // Settling gives it its timer, and a place in the totals.
            if !engine.is_live() && is_unsettled(&engine.scratch.customer) {
                continue;
            }
            let slot = CustomerSlot(u32::try_from(index).expect("checked at insertion"));
            let key_hash = (settings.hash)(key);
            CustomerVisit::restore(engine, slot, shop, key_hash);
        }
        self.slots_settled = end;
        Ok(if end == engine.store.slots_len() { Settled::All } else { Settled::Some })
    }

    /// Whether an engine of these settings could take a customer's state.
    pub fn check(settings: &Settings, bytes: &[u8]) -> Result<(), RestoreError> {
        let key = packed::checked_key(bytes).ok_or(RestoreError::Corrupt)?;
        let mut customer = Customer::default();
        packed::unpack(bytes, &mut customer)?;
        shop_of(settings, key, &customer).map(drop)
    }

    /// The engine, once everything is settled.
    pub fn into_engine(self) -> Engine {
        assert_eq!(self.slots_settled, self.engine.store.slots_len(), "a restore is settled before its end");
        self.engine
    }

    /// How many customers are still to be settled, at most.
    pub fn unsettled(&self) -> usize {
        self.engine.store.slots_len() - self.slots_settled
    }
}

/// The shop of a customer, which must know every currency in the customer's state.
fn shop_of(settings: &Settings, key: &[u8], customer: &Customer) -> Result<ShopIndex, RestoreError> {
    let shop = settings.shops.of_key(key).ok_or(RestoreError::UnknownShop)?;
    let configured = settings.shops.get(shop);
    match customer.ledger.currencies().find(|currency| !configured.accepts(*currency)) {
        None => Ok(shop),
        Some(found) => Err(RestoreError::UnknownCurrency { found, shop: configured.currency }),
    }
}
