//! What time alone causes: timers and markers fire, and the totals of shops are brought to the clock.

use super::visit::CustomerVisit;
use super::{Engine, Progress};
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
        let mut visit = CustomerVisit::open_at_timer(self, slot, key_hash, instant);
        let moved = visit.apply_instant();
        let mut visit = visit.unpack_if_changed();
        if moved {
            visit.fold();
        }
        visit.commit(moved.then_some(instant));
    }

    /// Moves the totals of the shops to the clock; visits about `customers_max` customers at most.
    pub fn settle_figures(&mut self, customers_max: usize) -> Progress {
        let Some(clock) = self.clock else { return Progress::Done };
        for _ in 0..customers_max {
            match self.totals.window_ends.next(clock) {
                Some(slot) => CustomerVisit::settle(self, slot),
                None => return Progress::Done,
            }
        }
        Progress::More
    }
}
