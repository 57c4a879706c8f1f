//! What happens by time alone: timers and markers fire, and sums over customers are brought to the clock.

use super::engine::{Effects, Engine, Progress};
use super::facts::Facts;
use super::ids::CustomerSlot;
use super::lifecycle::{Teller, next_instant};
use super::packed;
use super::scratch::Scratch;
use super::time::Time;

impl Engine {
    /// Fires everything that is due at or before `to`, in order, and leaves the clock at the last fired instant. Never stops
    /// between two timers of one instant of one customer, but may between customers.
    pub(super) fn fire(&mut self, to: Time, timers_max: usize, effects: &mut Effects) -> Progress {
        for _ in 0..timers_max {
            let marker = self.markers.first_end(to);
            let timer = self.timers.earliest(to, |slot| self.store.key_hash(slot));
            match (timer, marker) {
                (Some(timer), Some((end, hash))) if end < timer.due => self.end_marker(end, hash, effects),
                (Some(timer), _) => {
                    self.move_clock(timer.due);
                    self.fire_customer(timer.customer, timer.key_hash, timer.due, effects);
                }
                (None, Some((end, hash))) => self.end_marker(end, hash, effects),
                (None, None) => return Progress::Done,
            }
        }
        if self.next_due(to).is_some() { Progress::More } else { Progress::Done }
    }

    pub(super) fn move_clock(&mut self, to: Time) {
        self.clock = self.clock.max(Some(to));
    }

    fn fire_customer(&mut self, slot: CustomerSlot, key_hash: u64, instant: Time, effects: &mut Effects) {
        let settings = &*self.settings;
        let packed = self.store.packed(slot);
        let shop_index =
            settings.shops.of_key(packed::key(packed)).expect("only keys of configured shops are held");
        let shop = settings.shops.get(shop_index);
        let standing = self.scratch.standing(slot, packed, instant, shop, settings);
        let facts = Facts::new(&standing, settings);
        let told = &mut self.scratch.customer.told;
        let told_before = *told;
        let signals_before = effects.signals.len();
        let mut teller = Teller {
            customer: slot,
            shop: shop_index,
            settings,
            facts: &facts,
            clock: instant,
            occurred_at: instant,
            before: told_before.state,
            signals: &mut effects.signals,
        };
        let moved = teller.tell_instant(told);
        effects.timers_silent += u64::from(effects.signals.len() == signals_before);
        let told = *told;
        self.timers.schedule(slot, next_instant(told.state, &facts, &settings.thresholds), || key_hash);
        // What leaves the year seldom changes what is held.
        if told == told_before {
            return;
        }
        let Scratch { customer, attribution, .. } = &mut self.scratch;
        packed::unpack(packed, customer).expect("packed by this engine");
        customer.told = told;
        if moved {
            let figures = &mut self.figures[usize::from(shop_index.0)];
            figures.change_state(told_before.state, told.state);
            effects.note_transition(told_before.state, told.state);
            if customer.may_fold(settings, instant) {
                let at = self.window_ends.at_of(slot);
                attribution.derive(&customer.ledger, shop, settings.return_window);
                let blocks_before = customer.standing(at, attribution, shop).blocks;
                customer.fold(shop, settings, instant, attribution);
                attribution.derive(&customer.ledger, shop, settings.return_window);
                figures.change_blocks(&blocks_before, &customer.standing(at, attribution, shop).blocks);
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
        let before = self.scratch.standing(slot, packed, from, shop, &self.settings);
        let standing = self.scratch.standing(slot, packed, to, shop, &self.settings);
        self.scratch.standings.settle(slot, to, &standing);
        self.figures[usize::from(shop_index.0)].change_blocks(&before.blocks, &standing.blocks);
        self.window_ends.schedule(slot, standing.next_end());
    }
}
