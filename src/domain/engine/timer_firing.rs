//! What happens by time alone: timers and markers fire, and sums over customers are brought to the clock.

use super::scratch::Scratch;
use super::{Engine, Progress};
use crate::domain::customer::facts::Facts;
use crate::domain::signals::lifecycle::{SignalEmitter, next_instant};
use crate::domain::store::packed;
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;

impl Engine {
    /// Fires everything that is due at or before `to`, in order, and leaves the clock at the last fired instant. Never stops
    /// between two timers of one instant of one customer, but may between customers.
    pub(in crate::domain) fn fire(&mut self, to: Time, timers_max: usize) -> Progress {
        for _ in 0..timers_max {
            let marker = self.markers.first_end(to);
            let timer = self.timers.earliest(to, |slot| self.store.key_hash(slot));
            match (timer, marker) {
                (Some(timer), Some((end, hash))) if end < timer.due => self.end_marker(end, hash),
                (Some(timer), _) => {
                    self.move_clock(timer.due);
                    self.fire_customer(timer.customer, timer.key_hash, timer.due);
                }
                (None, Some((end, hash))) => self.end_marker(end, hash),
                (None, None) => return Progress::Done,
            }
        }
        if self.next_due(to).is_some() { Progress::More } else { Progress::Done }
    }

    pub(in crate::domain) fn move_clock(&mut self, to: Time) {
        self.clock = self.clock.max(Some(to));
    }

    fn fire_customer(&mut self, slot: CustomerSlot, key_hash: u64, instant: Time) {
        let settings = &*self.settings;
        let packed = self.store.packed(slot);
        let shop_index =
            settings.shops.of_key(packed::key(packed)).expect("only keys of configured shops are held");
        let shop = settings.shops.get(shop_index);
        let totals = self.scratch.totals(slot, packed, instant, shop, settings);
        let facts = Facts::new(&totals, settings);
        let emitted = &mut self.scratch.customer.emitted;
        let emitted_before = *emitted;
        let signals_before = self.effects.signals.len();
        let mut emitter = SignalEmitter {
            customer: slot,
            shop: shop_index,
            settings,
            facts: &facts,
            clock: instant,
            occurred_at: instant,
            before: emitted_before.state(),
            signals: &mut self.effects.signals,
        };
        let moved = emitter.emit_instant(emitted);
        let emitted = *emitted;
        self.effects.timers_silent += u64::from(self.effects.signals.len() == signals_before);
        self.timers.schedule(slot, next_instant(emitted.state(), &facts, &settings.thresholds), || key_hash);
        // What leaves the year seldom changes what is held.
        if emitted == emitted_before {
            return;
        }
        let Scratch { customer, attribution, .. } = &mut self.scratch;
        packed::unpack(packed, customer).expect("packed by this engine");
        customer.emitted = emitted;
        if moved {
            let figures = &mut self.figures[usize::from(shop_index.0)];
            figures.change_state(emitted_before.state(), emitted.state());
            self.effects.count_transition(emitted_before.state(), emitted.state());
            if customer.may_fold(settings, instant) {
                let at = self.window_ends.at_of(slot);
                attribution.derive(&customer.ledger, shop, settings.return_window);
                let blocks_before = customer.totals(at, attribution, shop).blocks;
                customer.fold(shop, settings, instant, attribution);
                attribution.derive(&customer.ledger, shop, settings.return_window);
                figures.change_blocks(&blocks_before, &customer.totals(at, attribution, shop).blocks);
            }
        }
        if self.save(slot) {
            self.touch(slot, moved.then_some(instant));
        }
    }

    /// Brings the sums over customers to the clock; looks at about `customers_max` customers at most.
    pub fn settle_figures(&mut self, customers_max: usize) -> Progress {
        let Some(clock) = self.clock else { return Progress::Done };
        for _ in 0..customers_max {
            match self.window_ends.next(clock) {
                Some(slot) => self.settle_customer(slot),
                None => return Progress::Done,
            }
        }
        Progress::More
    }

    fn settle_customer(&mut self, slot: CustomerSlot) {
        let packed = self.store.packed(slot);
        let shop_index =
            self.settings.shops.of_key(packed::key(packed)).expect("only keys of configured shops are held");
        let shop = self.settings.shops.get(shop_index);
        let (from, to) = (self.window_ends.at_of(slot), self.window_ends.at());
        let before = self.scratch.totals(slot, packed, from, shop, &self.settings);
        let totals = self.scratch.totals(slot, packed, to, shop, &self.settings);
        self.scratch.totals_cache.settle(slot, to, &totals);
        self.figures[usize::from(shop_index.0)].change_blocks(&before.blocks, &totals.blocks);
        self.window_ends.schedule(slot, totals.next_end());
    }
}
