//! Timers under other records of the registry.
//!
//! A record usually counts from a later time than all last orders, and moves no timer. One that reaches back does: then each customer gets its
//! timer anew, in slices between which the engine may go on. A restore does the same, so how far it has come is not part of the state.

use std::sync::Arc;

use super::settling::is_unsettled;
use super::visit::CustomerVisit;
use super::{Engine, Progress};
use crate::domain::settings::Settings;
use crate::domain::store::packed;
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;

impl Engine {
    /// Goes on under other settings. Only records of the registry may differ. If they reach back, [`Self::reschedule`] has to be called.
    pub fn use_settings(&mut self, settings: Arc<Settings>) {
        let clock = self.clock.unwrap_or(Time::MIN);
        if !self.settings.judges_same_until(&settings, clock) {
            self.rescheduled = Some(0);
        }
        self.settings = settings;
    }

    /// Gives about `customers_max` customers more their timers anew, if they need them.
    pub fn reschedule(&mut self, customers_max: usize) -> Progress {
        let (Some(first), Some(clock)) = (self.rescheduled, self.clock) else {
            self.rescheduled = None;
            return Progress::Done;
        };
        let end = first.saturating_add(customers_max).min(self.store.slots_len());
        for index in first..end {
            let bytes = self.store.packed_at(index);
            if bytes.is_empty() {
                continue;
            }
            packed::unpack_head(bytes, &mut self.scratch.customer).expect("packed by this engine");
            // Settling gives it its timer.
            if !self.is_live() && is_unsettled(&self.scratch.customer) {
                continue;
            }
            let slot = CustomerSlot(u32::try_from(index).expect("checked at insertion"));
            CustomerVisit::reschedule(self, slot, clock);
        }
        self.rescheduled = (end < self.store.slots_len()).then_some(end);
        if self.rescheduled.is_some() { Progress::More } else { Progress::Done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::in_force::Effect;
    use crate::domain::segments::cuts::CutPoints;
    use crate::domain::segments::published::{CutsInForce, CutsVersion, PublishedCuts};
    use crate::domain::settings::{Shop, Shops};
    use crate::domain::store::packed::Format;
    use crate::domain::values::event::{OrderRecord, Record, SkuVariety, WatchedSkus};
    use crate::domain::values::ids::{CustomerKey, OrderHash, ShopIndex};
    use crate::domain::values::money::{Currency, SentAmount};
    use crate::domain::values::time::Span;

    fn day(day: i64) -> Time {
        Time::MIN.plus(Span::days(day))
    }

    fn settings(cuts: &[PublishedCuts]) -> Arc<Settings> {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let shops = Shops::One(Shop::in_currency(currency));
        let defaults = Settings::with_defaults(shops, |_| 1, Arc::new(|_| [0; 16]));
        Arc::new(Settings { segments: Some(Arc::new(CutsInForce::new(cuts))), ..defaults })
    }

    fn cuts(effective_day: i64) -> PublishedCuts {
        let (version, effective_at) = (CutsVersion(7), day(effective_day));
        let effect = Effect { shop: None, effective_at, published_at: effective_at, version };
        PublishedCuts { effect, points: CutPoints::FIXED }
    }

    fn order(at: Time) -> Record {
        let (id, currency) = (OrderHash(1), Currency::from_code(b"EUR").expect("a currency"));
        let (total, skus, watched) = (SentAmount(100), SkuVariety::Unknown, WatchedSkus::NONE);
        Record::Order(OrderRecord {
            id,
            version: 0,
            placed_at: at,
            total,
            currency,
            test: false,
            skus,
            watched,
        })
    }

    fn changes(engine: &mut Engine) -> Vec<(String, Time)> {
        let signals = engine.drain_signals().filter(|(_, signal)| signal.kind.name() == "segment_changed");
        signals.map(|(_, signal)| (format!("{:?}", signal.kind), signal.occurred_at)).collect()
    }

    #[test]
    fn the_first_cut_points_reach_back_and_later_ones_do_not() {
        let mut engine = Engine::new(settings(&[]));
        let key = CustomerKey { bytes: b"a", hash: 1 };
        engine.handle_record(key, ShopIndex(0), &order(day(100)), usize::MAX);
        engine.advance_clock(day(120), usize::MAX);
        assert!(changes(&mut engine).is_empty());
        let deadline = engine.next_due(Time::MAX);
        assert_eq!(deadline, Some(day(100).plus(Span::from_millis(67 * 86_400_000 + 43_200_000))));
        assert_eq!(engine.format(), Format::V1);

        engine.use_settings(settings(&[cuts(101)]));
        assert_eq!(engine.reschedule(1), Progress::Done);
        assert_eq!(engine.next_due(Time::MAX), deadline, "the silence began before they count");

        engine.use_settings(settings(&[cuts(0)]));
        assert_eq!(engine.reschedule(1), Progress::Done);
        // R falls to 4 after 31 days and to 3 after 61. The first name is taken over without a signal.
        assert_eq!(engine.next_due(Time::MAX), Some(day(131)));
        engine.advance_clock(day(131), usize::MAX);
        assert!(changes(&mut engine).is_empty());
        assert_eq!(engine.format(), Format::V3);
        engine.advance_clock(day(700), usize::MAX);
        let changes = changes(&mut engine);
        let instants: Vec<Time> = changes.iter().map(|(_, at)| *at).collect();
        assert_eq!(instants, [day(161), day(221)], "{changes:?}");
        assert!(changes[0].0.contains("before: Some(Promising)"), "{changes:?}");
    }

    #[test]
    fn customers_are_taken_in_slices() {
        let mut engine = Engine::new(settings(&[]));
        for name in [b"a", b"b", b"c"] {
            let key = CustomerKey { bytes: name, hash: 1 };
            engine.handle_record(key, ShopIndex(0), &order(day(100)), usize::MAX);
        }
        engine.use_settings(settings(&[cuts(0)]));
        assert_eq!(engine.reschedule(2), Progress::More);
        assert_eq!(engine.next_due(Time::MAX), Some(day(131)));
        assert_eq!(engine.reschedule(2), Progress::Done);
        assert_eq!(engine.reschedule(2), Progress::Done);
        engine.use_settings(settings(&[cuts(0)]));
        assert_eq!(engine.rescheduled, None, "nothing has changed");
        let timers: Vec<Time> = engine.customers().map(|slot| engine.timers.due(slot)).collect();
        assert_eq!(timers, [day(131); 3]);
    }
}
