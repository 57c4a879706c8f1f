//! Restore: from the last state of every customer to an engine that goes on as if nothing had happened.

use std::sync::Arc;

use super::engine::{Engine, Scratch, due, just_before};
use super::ids::CustomerKey;
use super::packed;
use super::settings::Settings;
use super::time::Time;

/// Collects the last state of every customer before an engine is made of them.
pub struct Restore {
    engine: Engine,
}

/// Why a state cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RestoreError {
    /// The bytes are not a customer of this format.
    Corrupt,
    /// The key's store is not configured any more.
    UnknownShop,
    /// A currency in the state has no rate any more.
    UnknownCurrency,
}

impl Restore {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { engine: Engine::new(settings) }
    }

    /// A customer's state replaces the one before.
    pub fn customer(&mut self, key: CustomerKey<'_>, bytes: &[u8]) -> Result<(), RestoreError> {
        if !packed::has_key(bytes, key.bytes) {
            return Err(RestoreError::Corrupt);
        }
        match self.engine.store.find(key) {
            Some(slot) => {
                self.engine.store.replace(slot, bytes);
            }
            None => {
                self.engine.store.insert(key, bytes);
            }
        }
        Ok(())
    }

    /// A customer's state is gone.
    pub fn remove_customer(&mut self, key: CustomerKey<'_>) {
        if let Some(slot) = self.engine.store.find(key) {
            self.engine.store.remove(slot);
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

    /// Makes the engine: checks every state, and derives timers and figures at the clock of the last commit.
    pub fn finish(self, clock: Option<Time>) -> Result<Engine, RestoreError> {
        let mut engine = self.engine;
        engine.clock = clock;
        let settings = Arc::clone(&engine.settings);
        // What leaves a window at the very clock may not have fired yet; firing it again says nothing twice.
        let figures_at = just_before(clock.unwrap_or(Time::MIN));
        for slot in engine.store.iter() {
            let Scratch { customer, attribution, .. } = &mut engine.scratch;
            packed::unpack(engine.store.packed(slot), customer)
                .map_err(|packed::Corrupt| RestoreError::Corrupt)?;
            let key = engine.store.key(slot);
            let shop = settings.shops.of_key(key).ok_or(RestoreError::UnknownShop)?;
            if !customer.ledger.currencies().all(|currency| settings.shops.get(shop).accepts(currency)) {
                return Err(RestoreError::UnknownCurrency);
            }
            let facts = customer.facts(settings.shops.get(shop), &settings, figures_at, attribution);
            engine.figures[usize::from(shop.0)].add(customer.told.state, &facts.blocks);
            let due = due(customer, &facts);
            engine.timers.schedule(slot, due, (settings.hash)(key));
        }
        Ok(engine)
    }
}
