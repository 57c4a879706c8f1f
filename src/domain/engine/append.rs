//! The usual record: an order later than all others of a customer of whom nothing was taken back.
//!
//! Such orders need not be unpacked: they are read where they lie, and one more is put behind them. Everything else, and whatever
//! is not certain here, goes the long way, `Engine::apply`, which comes to the same.

use super::scratch::Scratch;
use super::{Applied, Engine, emit};
use crate::domain::customer::facts::{Added, Facts};
use crate::domain::customer::history::{Entry, History};
use crate::domain::customer::{Change as LedgerChange, entry};
use crate::domain::settings::Settings;
use crate::domain::signals::lifecycle::SignalEmitter;
use crate::domain::store::packed::{self, FixedWidthOrders};
use crate::domain::values::event::Record;
use crate::domain::values::ids::{CustomerKey, ShopIndex};
use crate::domain::values::time::Time;

impl Engine {
    /// Applies a record that only adds an order. None if it may do more; nothing has changed then.
    pub(in crate::domain) fn append(
        &mut self,
        key: CustomerKey<'_>,
        shop_index: ShopIndex,
        record: &Record,
        clock: Time,
    ) -> Option<Applied> {
        let Record::Order(order) = record else { return None };
        let slot = self.find(key)?;
        let at = self.window_ends.at();
        if self.is_late(order.placed_at) || self.window_ends.at_of(slot) != at {
            return None;
        }
        let settings = &*self.settings;
        let shop = settings.shops.get(shop_index);
        let Scratch { customer, attribution, entries, bytes, totals_cache } = &mut self.scratch;
        let held = packed::unpack_head(self.store.packed(slot), customer).expect("packed by this engine");
        let held = FixedWidthOrders::of(held)?;
        let orders = held.append(&entry(order), entries)?.valued(shop);
        // What has folded is older than what is held, and was refused for its age where nothing is.
        debug_assert!(Some(order.placed_at) > customer.summary.newest_order_at);
        let totals = totals_cache.totals(slot, &customer.summary, orders, at, &shop.zone);
        let folding = folding(orders, settings, clock);
        if !totals.year_lasts_until(clock) || folding == orders.entries().len() {
            return None;
        }
        let added = Added::new(orders.entries().next_back()?, at);
        let orders_left = orders.entries().len() - folding;
        let facts = Facts::new(&totals, settings);
        let state_before = customer.emitted.state();
        customer.skus = customer.skus.and(order.skus);
        let emitter = SignalEmitter {
            customer: slot,
            shop: shop_index,
            settings,
            facts: &facts,
            clock,
            occurred_at: order.placed_at,
            before: state_before,
            signals: &mut self.effects.signals,
        };
        let applied = emit(emitter, customer, attribution, record, LedgerChange::New);
        let state = customer.emitted.state();
        let figures = &mut self.figures[usize::from(shop_index.0)];
        figures.change_state(state_before, state);
        let mut counted = totals;
        if folding == 0 {
            figures.add_order(&added, &counted.blocks);
        } else {
            let folded = orders.first(folding);
            customer.summary.add_orders(folded, &shop.zone);
            counted.fold(folded, orders.skip(folding), at);
            counted.kept.forget_what_no_summary_tells(&customer.summary.kept);
            held.skip(folding).append(&entry(order), entries).expect("as before");
            figures.change_blocks(&totals.blocks_without(&added), &counted.blocks);
        }
        self.effects.count_transition(state_before, state);
        packed::pack_head(key.bytes, customer, bytes);
        self.store.replace(slot, bytes, entries);
        totals_cache.keep(slot, orders_left, at, &counted);
        self.schedule(slot, key, state, &counted, &facts);
        self.touch(slot, Some(clock));
        Some(applied)
    }
}

/// How many of the oldest orders fold: as [`Customer::fold`](crate::domain::customer::Customer::fold) decides where nothing was taken back.
fn folding(orders: impl History, settings: &Settings, clock: Time) -> usize {
    let entries = orders.entries();
    let surplus = entries.len().saturating_sub(settings.orders_max);
    let horizon = settings.ledger_horizon();
    let folds = |index: usize, placed_at: Time| index < surplus || clock.since(placed_at) > horizon;
    entries.enumerate().take_while(|(index, order)| folds(*index, order.placed_at())).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Change, Outcome, Progress};
    use super::*;
    use crate::domain::lapse::{Cadence, LapsePolicies, LapsePolicy};
    use crate::domain::settings::{Shop, Shops, Thresholds};
    use crate::domain::values::event::{
        CancellationRecord, ErasureRecord, OrderRecord, ReturnRecord, SkuVariety,
    };
    use crate::domain::values::ids::{CustomerSlot, OrderHash, ReturnHash};
    use crate::domain::values::money::{Conversion, Currency};
    use crate::domain::values::number::Decimal;
    use crate::domain::values::time::{Span, Zone};

    const EURO: &[u8] = b"EUR";

    fn currency(code: &[u8]) -> Currency {
        Currency::from_code(code).expect("a currency")
    }

    fn settings(return_window: Span, lateness: Span, orders_max: usize) -> Arc<Settings> {
        let rate = |text| Decimal::parse(text).expect("a decimal");
        let yen = Conversion::new(currency(b"JPY"), rate("0.0001"), currency(EURO), rate("1"));
        let zone = Zone::new(
            3_600,
            vec![(Span::days(400).as_millis(), 7_200), (Span::days(700).as_millis(), 3_600)],
        );
        let shop = Shop { currency: currency(EURO), zone, conversions: vec![yen.expect("rates")] };
        let hash =
            |bytes: &[u8]| bytes.iter().fold(7, |hash: u64, byte| hash.wrapping_mul(31) ^ u64::from(*byte));
        Arc::new(Settings {
            shops: Shops::One(shop),
            return_window,
            lateness,
            orders_max,
            lapse: LapsePolicies::new(LapsePolicy::Cadence(Cadence::default()), hash),
            thresholds: Thresholds::default(),
            hash,
            erasure_hash: Arc::new(|_| [0; 16]),
        })
    }

    /// Mostly an order; mostly in the order of time.
    fn record(clock: i64, random: &mut fastrand::Rng) -> Record {
        // In steps of twelve hours, so that something is due at the very instant now and then.
        let mut within = |days: i64| random.i64(0..2 * days) * Span::DAY.as_millis() / 2;
        let at = match within(5) * 2 / Span::DAY.as_millis() {
            0 => clock - within(45),
            1 => clock,
            2 => clock + within(200),
            _ => clock + within(12),
        };
        let at = Time::from_millis(at.max(0)).expect("in range");
        let (id, is_rare) = (random.u64(0..400), random.u8(0..20) == 0);
        match random.u8(0..60) {
            0 => Record::Cancellation(CancellationRecord { order: OrderHash(id), cancelled_at: at }),
            1 => Record::Return(ReturnRecord {
                id: ReturnHash(id),
                returned_at: at,
                refund: random.i64(0..3_000),
                currency: currency(EURO),
                order: random.bool().then_some(OrderHash(id)),
            }),
            _ => Record::Order(OrderRecord {
                id: OrderHash(id),
                version: if is_rare { random.u32(0..200) } else { 1 },
                placed_at: at,
                total: random.i64(0..3_000),
                currency: currency(if random.u8(0..10) == 0 { b"JPY" } else { EURO }),
                test: random.u8(0..15) == 0,
                skus: SkuVariety::One(random.u64(0..2)),
            }),
        }
    }

    /// [`Engine::handle_record`] without the short cut.
    fn apply(engine: &mut Engine, key: CustomerKey<'_>, record: &Record) -> Outcome {
        let clock = engine.clock.unwrap_or(Time::MIN).max(record.time());
        assert_eq!(engine.fire(clock, usize::MAX), Progress::Done);
        engine.clock = Some(clock);
        engine.apply(key, ShopIndex(0), record, clock)
    }

    #[test]
    fn what_is_appended_is_what_would_be_applied() {
        let (mut appended, mut folded) = (0, 0);
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let return_window = Span::days(if random.bool() { 100 } else { 400 });
            let lateness = Span::days(if random.bool() { 10 } else { 40 });
            let settings = settings(return_window, lateness, if random.bool() { 6 } else { 200 });
            let shop = settings.shops.get(ShopIndex(0));
            let mut short = Engine::new(Arc::clone(&settings));
            let mut long = Engine::new(Arc::clone(&settings));
            for step in 0..150 {
                let name = [b'a' + random.u8(0..3)];
                let key = CustomerKey { bytes: &name, hash: (settings.hash)(&name) };
                let record = record(short.clock.map_or(0, Time::as_millis), &mut random);
                if random.u8(0..60) == 0 {
                    let requested_at = short.clock.unwrap_or(Time::MIN);
                    for engine in [&mut short, &mut long] {
                        engine.handle_erasure(key, &ErasureRecord { requested_at }, usize::MAX);
                    }
                }
                let clock = short.clock.unwrap_or(Time::MIN).max(record.time());
                assert_eq!(short.fire(clock, usize::MAX), Progress::Done);
                short.clock = Some(clock);
                let outcome = short.append(key, ShopIndex(0), &record, clock);
                appended += usize::from(outcome.is_some());
                let outcome =
                    outcome.map_or_else(|| short.apply(key, ShopIndex(0), &record, clock), Outcome::Applied);
                let at = format!("seed {seed}, step {step}");
                assert_eq!(outcome, apply(&mut long, key, &record), "{at}");
                let effects = [&mut short, &mut long].map(|engine| {
                    let signals: Vec<String> =
                        engine.drain_signals().map(|(key, signal)| format!("{key:?} {signal:?}")).collect();
                    (signals, engine.take_silent_timers(), *engine.transitions())
                });
                assert_eq!(effects[0], effects[1], "{at}");
                assert_eq!(short.changes(), long.changes(), "{at}");
                for slot in short.customers().collect::<Vec<CustomerSlot>>() {
                    let packed = short.store.packed(slot);
                    assert_eq!(packed, long.packed(slot), "{at}");
                    let read = short.scratch.totals(slot, packed, clock, shop, &settings);
                    let Scratch { customer, attribution, .. } = &mut short.scratch;
                    packed::unpack(packed, customer).expect("packed by this engine");
                    attribution.derive(&customer.ledger, shop, settings.return_window);
                    assert_eq!(read, customer.totals(clock, attribution, shop), "{at}");
                    folded += usize::from(!customer.summary.is_empty());
                }
                let soon = clock.plus(Span::days(20));
                assert_eq!(short.next_due(soon), long.next_due(soon), "{at}");
                assert_eq!(short.settled_figures(ShopIndex(0)), long.settled_figures(ShopIndex(0)), "{at}");
                if random.u8(0..10) == 0 {
                    assert_eq!(short.settle_figures(1), long.settle_figures(1), "{at}");
                }
                if random.u8(0..10) == 0 {
                    for change in short.changes().to_vec() {
                        let Change::Customer { slot, profile_at: Some(as_of) } = change else { continue };
                        let profiles = [&mut short, &mut long].map(|engine| engine.profile(slot, as_of));
                        let [short, long] = profiles.map(|profile| format!("{profile:?}"));
                        assert_eq!(short, long, "{at}");
                    }
                }
                if random.u8(0..20) == 0 {
                    assert_eq!(short.figures(ShopIndex(0)), long.figures(ShopIndex(0)), "{at}");
                }
            }
        }
        assert!(appended > 5_000 && folded > 5_000, "{appended} appended, {folded} seen folded");
    }

    /// A return rate was high; the return has folded; then a year passes for all orders but one. Sums stand at the beginning of time,
    /// where all orders are within the year: enough to say that the rate is low again, which at the clock they are not.
    #[test]
    fn what_has_left_the_year_is_not_counted() {
        let settings = settings(Span::days(400), Span::days(10), 6);
        let order = |id, day, total| {
            let placed_at = Time::from_millis(Span::days(day).as_millis()).expect("in range");
            let (id, currency, skus) = (OrderHash(id), currency(EURO), SkuVariety::Unknown);
            Record::Order(OrderRecord { id, version: 1, placed_at, total, currency, test: false, skus })
        };
        let returned = Record::Return(ReturnRecord {
            id: ReturnHash(1),
            returned_at: Time::from_millis(1).expect("in range"),
            refund: 1_000,
            currency: currency(EURO),
            order: Some(OrderHash(1)),
        });
        let mut records = vec![order(1, 0, 1_000)];
        records.extend((2..=6).map(|id| order(id, 0, 1)));
        records.extend([returned, order(7, 364, 1), order(8, 366, 1)]);
        let key = CustomerKey { bytes: b"a", hash: (settings.hash)(b"a") };
        let (mut short, mut long) = (Engine::new(Arc::clone(&settings)), Engine::new(Arc::clone(&settings)));
        for record in &records {
            short.handle_record(key, ShopIndex(0), record, usize::MAX);
            apply(&mut long, key, record);
        }
        let slot = short.find(key).expect("held");
        assert_eq!(short.packed(slot), long.packed(slot));
        let Scratch { customer, .. } = &mut long.scratch;
        packed::unpack(short.packed(slot), customer).expect("packed by this engine");
        assert!(customer.ledger.returns.is_empty() && !customer.emitted.armed.return_rate_high);
    }
}
