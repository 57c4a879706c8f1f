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
        let mut visit = visit.unpack_if_changed().run_rules_at_instant();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::settings::{Settings, Shop, Shops};
    use crate::domain::values::event::{ErasureRecord, OrderRecord, Record, SkuVariety, WatchedSkus};
    use crate::domain::values::ids::{CustomerKey, OrderHash, ShopIndex};
    use crate::domain::values::money::{Currency, SentAmount};
    use crate::domain::values::time::{Span, Zone};

    /// An engine that has a timer, a marker that ends so many milliseconds before it, and nothing left to hand over; and when the
    /// timer is due.
    fn with_timer_and_marker(earlier: i64) -> (Engine, Time) {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let shop = Shop { currency, zone: Zone::new(0, Vec::new()), conversions: Vec::new() };
        let settings = Settings::with_defaults(Shops::One(shop), |_| 1, Arc::new(|_| [0; 16]));
        let horizon = settings.ledger_horizon();
        let mut engine = Engine::new(Arc::new(settings));
        let placed_at = Time::MIN.plus(horizon);
        let order = Record::Order(OrderRecord {
            id: OrderHash(1),
            version: 0,
            placed_at,
            total: SentAmount(100),
            currency,
            test: false,
            skus: SkuVariety::One(1),
            watched: WatchedSkus::NONE,
        });
        engine.handle_record(CustomerKey { bytes: b"a", hash: 1 }, ShopIndex(0), &order, usize::MAX);
        let due = engine.next_due(placed_at.plus(Span::days(400))).expect("silence");
        let requested_at = due.minus(horizon).minus(Span::from_millis(earlier));
        let erased = CustomerKey { bytes: b"b", hash: 1 };
        engine.handle_erasure(erased, &ErasureRecord { requested_at }, usize::MAX);
        let emitted = engine.drain_signals().count();
        assert_eq!((emitted, engine.markers.len()), (1, 1), "the first order, and what is to come");
        (engine, due)
    }

    /// What one step hands over: signals, and the markers that are left.
    fn step(engine: &mut Engine, to: Time) -> (Progress, usize, usize) {
        let progress = engine.advance_clock(to, 1);
        (progress, engine.drain_signals().count(), engine.markers.len())
    }

    #[test]
    fn of_one_instant_a_timer_fires_before_a_marker_ends() {
        let (mut engine, due) = with_timer_and_marker(0);
        assert!(!engine.markers.is_empty());
        assert_eq!(step(&mut engine, due), (Progress::More, 1, 1));
        assert_eq!(step(&mut engine, due), (Progress::Done, 0, 0));
        assert!(engine.markers.is_empty());
    }

    #[test]
    fn a_marker_that_ends_earlier_ends_first() {
        let (mut engine, due) = with_timer_and_marker(1);
        assert_eq!(step(&mut engine, due), (Progress::More, 0, 0));
        assert_eq!(step(&mut engine, due), (Progress::Done, 1, 0));
    }

    #[test]
    fn a_marker_that_would_end_at_the_clock_is_not_set() {
        for (later, expected) in [(0, false), (1, true)] {
            let (mut engine, due) = with_timer_and_marker(0);
            engine.advance_clock(due, usize::MAX);
            let requested_at = due.minus(engine.settings.ledger_horizon()).plus(Span::from_millis(later));
            let other = CustomerKey { bytes: b"c", hash: 2 };
            engine.handle_erasure(other, &ErasureRecord { requested_at }, usize::MAX);
            assert_eq!(!engine.markers.is_empty(), expected, "{later} ms later");
        }
    }
}
