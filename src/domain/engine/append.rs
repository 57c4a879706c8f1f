//! The usual record: an order that is newer than all others of a customer without returns and cancellations.
//!
//! The visit unpacks no order: it reads them where they lie and puts one more behind them. Every other record, and every doubt,
//! takes the general way, [`CustomerVisit::open`], which comes to the same.

use super::Engine;
use super::scratch::Scratch;
use super::visit::{CustomerVisit, Form};
use crate::domain::customer::entry;
use crate::domain::customer::facts::AddedOrder;
use crate::domain::customer::history::{History, HistoryOrder};
use crate::domain::customer::ledger::Order;
use crate::domain::settings::Settings;
use crate::domain::signals::signal::State;
use crate::domain::store::packed::{self, FixedWidthOrders};
use crate::domain::values::event::Record;
use crate::domain::values::ids::{CustomerKey, ShopIndex};
use crate::domain::values::time::Time;

/// The order that a visit appends.
#[derive(Clone, Copy)]
pub(super) struct Appended {
    order: Order,
    added: AddedOrder,
    /// How many of the oldest orders fold, and how many stay.
    folding: usize,
    staying: usize,
    /// Where the orders begin in the bytes that the store holds.
    head_length: usize,
}

impl<'e> CustomerVisit<'e> {
    /// Opens a customer to whom the record only adds an order. None if it may do more; nothing has changed then.
    #[inline]
    pub(super) fn open_to_append(
        engine: &'e mut Engine,
        key: CustomerKey<'_>,
        shop: ShopIndex,
        record: &Record,
        clock: Time,
    ) -> Option<Self> {
        let Record::Order(order) = record else { return None };
        let slot = engine.find(key)?;
        let at = engine.totals.window_ends.at();
        if engine.is_late(order.placed_at) || engine.totals.window_ends.at_of(slot) != at {
            return None;
        }
        let Engine { settings, store, scratch, .. } = &mut *engine;
        let shop_settings = settings.shops.get(shop);
        let Scratch { customer, entries, totals, totals_cache, .. } = scratch;
        let packed = store.packed(slot);
        let held = packed::unpack_head(packed, customer).expect("packed by this engine");
        let head_length = packed.len() - held.len();
        let skus = order.skus;
        let order = entry(order);
        let orders = FixedWidthOrders::of(held)?.append(&order, entries)?.valued(shop_settings);
        // What has folded is older than what is held, and was refused for its age where nothing is.
        debug_assert!(Some(order.placed_at) > customer.summary.newest_order_at);
        *totals = totals_cache.totals(slot, &customer.summary, orders, at, &shop_settings.zone);
        let folding = folding(orders, settings, clock);
        let staying = orders.orders().len() - folding;
        if !totals.year_lasts_until(clock) || staying == 0 {
            return None;
        }
        let added = AddedOrder::new(orders.orders().next_back()?, at);
        customer.skus = customer.skus.and(skus);
        let form = Form::Appended(Appended { order, added, folding, staying, head_length });
        Some(Self::opened(engine, slot, shop, key.hash, clock, form))
    }

    /// Takes the general way after all: unpacks the customer, puts the record into its ledger, and keeps what was emitted.
    pub(super) fn unpack_appended(mut self, record: &Record) -> Self {
        let Engine { settings, store, totals: partition_totals, scratch, .. } = &mut *self.engine;
        let Scratch { customer, attribution, totals, totals_before, .. } = scratch;
        let shop = settings.shops.get(self.shop);
        let emitted = customer.emitted;
        packed::unpack(store.packed(self.slot), customer).expect("packed by this engine");
        attribution.derive(&customer.ledger, shop, settings.return_window);
        let at = partition_totals.window_ends.at_of(self.slot);
        *totals_before = customer.totals(at, attribution, shop).by_window;
        customer.apply(record, settings.hash);
        customer.emitted = emitted;
        attribution.derive(&customer.ledger, shop, settings.return_window);
        *totals = customer.totals(self.clock, attribution, shop);
        self.form = Form::Held;
        self
    }

    /// Counts the customer anew and saves its bytes, which have changed.
    #[inline]
    pub(super) fn save_appended(&mut self, appended: &Appended) {
        let state = self.engine.scratch.customer.emitted.state();
        if appended.folding == 0 {
            let Engine { totals: partition_totals, scratch, .. } = &mut *self.engine;
            let states = (self.state_before, state);
            partition_totals.recount_added(self.slot, self.shop, states, &appended.added, &scratch.totals);
        } else {
            self.fold_appended(appended, state);
        }
        let Engine { store, totals: partition_totals, scratch, .. } = &mut *self.engine;
        let Scratch { customer, totals, bytes, entries, totals_cache, .. } = scratch;
        let format = FixedWidthOrders::of(entries).expect("appended at the opening").format();
        packed::pack_head(store.key(self.slot), customer, format, bytes);
        store.replace(self.slot, bytes, entries);
        totals_cache.keep(self.slot, appended.staying, partition_totals.window_ends.at(), totals);
    }

    fn fold_appended(&mut self, appended: &Appended, state: State) {
        let Engine { settings, store, totals: partition_totals, effects, scratch, .. } = &mut *self.engine;
        let Scratch { customer, totals, entries, .. } = scratch;
        let shop = settings.shops.get(self.shop);
        let totals_before = totals.without(&appended.added);
        let orders = FixedWidthOrders::of(entries).expect("appended at the opening").valued(shop);
        let folded = orders.first(appended.folding);
        let (clock, horizon) = (self.clock, settings.ledger_horizon());
        let early = folded.orders().filter(|order| clock.since(order.placed_at()) <= horizon);
        effects.folded_early += early.count() as u64;
        customer.summary.add_orders(folded, &shop.zone);
        totals.fold(folded, orders.skip(appended.folding), partition_totals.window_ends.at());
        totals.kept.drop_what_no_summary_holds(&customer.summary.kept);
        let held = &store.packed(self.slot)[appended.head_length..];
        let held = FixedWidthOrders::of(held).expect("as at the opening");
        held.skip(appended.folding).append(&appended.order, entries).expect("as at the opening");
        let before = Some((self.state_before, &totals_before));
        partition_totals.recount(self.slot, self.shop, before, Some((state, totals)));
    }
}

/// How many of the oldest orders fold: as [`Customer::fold`](crate::domain::customer::Customer::fold) decides without returns and cancellations.
fn folding(orders: impl History, settings: &Settings, clock: Time) -> usize {
    let orders = orders.orders();
    let surplus = orders.len().saturating_sub(settings.orders_max);
    let horizon = settings.ledger_horizon();
    let folds = |index: usize, placed_at: Time| index < surplus || clock.since(placed_at) > horizon;
    orders.enumerate().take_while(|(index, order)| folds(*index, order.placed_at())).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Change, Outcome, Progress};
    use super::*;
    use crate::domain::rules::firing::Rulebook;
    use crate::domain::rules::rule::tests::rule;
    use crate::domain::rules::rule::{
        Again, Anchor, Every, HoldoutShare, ProductLife, ProductTrigger, Rule, RuleSet, Trigger,
    };
    use crate::domain::rules::tiers::{Tier, Tiers};
    use crate::domain::settings::{Shop, Shops};
    use crate::domain::signals::kind::SignalType;
    use crate::domain::signals::ratio_signal::RatioSignal;
    use crate::domain::values::event::{
        CancellationRecord, ErasureRecord, OrderRecord, ReturnRecord, SkuVariety, VERSION_LIMIT, WatchedSkus,
    };
    use crate::domain::values::ids::{CustomerSlot, OrderHash, ReturnHash, SkuHash};
    use crate::domain::values::money::{Conversion, Currency, SentAmount};
    use crate::domain::values::number::Decimal;
    use crate::domain::values::time::{Span, Zone};
    use crate::wire::hash::SignalId;

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
        let defaults = Settings::with_defaults(Shops::One(shop), hash, Arc::new(|_| [0; 16]));
        Arc::new(Settings { return_window, lateness, orders_max, ..defaults })
    }

    /// A few, of which some are triggered by an order that is appended.
    fn with_rules(settings: &Settings) -> Arc<Settings> {
        let on = |name: &str, signal_type| rule(name, Trigger::Signal(signal_type));
        let every = Every { days_min: 30, days_max: 90, from: Anchor::LastOrder };
        let rules = vec![
            Rule { after: Span::days(3), ..on("one", SignalType::SecondOrder) },
            Rule { again: Again::Always, ..on("two", SignalType::WonBack) },
            Rule { again: Again::After(Span::days(9)), ..on("three", SignalType::OrderValueRose) },
            Rule { again: Again::Always, ..rule("four", Trigger::Every(every)) },
            Rule { again: Again::Always, ..rule("five", goods(Span::days(20))) },
        ];
        let set = RuleSet::new(rules, Vec::new(), HoldoutShare(0)).expect("different names");
        let rules = Some(Arc::new(Rulebook::new(Arc::new(set), SignalId::as_hash, settings.hash)));
        Arc::new(Settings { rules, ..settings.clone() })
    }

    /// Amounts that some orders reach together, and that time takes away again.
    fn with_tiers(settings: &Settings) -> Arc<Settings> {
        let tier = |(name, from): (&str, u64)| Tier { name: name.into(), from: Decimal::whole(from) };
        let list = [("bronze", 30), ("silver", 100), ("gold", 200)].map(tier);
        let tiers = Tiers::new(list.into(), Decimal::new(8, 1).expect("a decimal")).map(Arc::new);
        Arc::new(Settings { tiers, ..settings.clone() })
    }

    /// The goods that [`record`] orders now and then.
    fn goods(life: Span) -> Trigger {
        let life =
            |number: u64| ProductLife { sku: number.to_string().into(), sku_hash: SkuHash(number), life };
        Trigger::Product(ProductTrigger { lives: [life(0), life(1)].into(), lead: Span::ZERO })
    }

    /// Where versions begin: as a shop counts them, seconds or milliseconds of a clock, on and around what decides about their bytes.
    const VERSIONS: [u64; 8] =
        [0, 1, 62, 100, 1_764_000_000, (1 << 32) - 2, 1_764_000_000_000, VERSION_LIMIT - 3];

    /// Mostly an order; mostly in the order of time.
    fn record(clock: i64, versions: u64, random: &mut fastrand::Rng) -> Record {
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
            0 => Record::Cancellation(CancellationRecord {
                order: OrderHash(id),
                cancelled_at: at,
                version: random.bool().then(|| random.u64(0..3)),
            }),
            1 => Record::Return(ReturnRecord {
                id: ReturnHash(id),
                returned_at: at,
                refund: SentAmount(random.i64(0..3_000)),
                currency: currency(EURO),
                order: random.bool().then_some(OrderHash(id)),
            }),
            _ => Record::Order(OrderRecord {
                watched: watched(random),
                id: OrderHash(id),
                version: if is_rare { random.u64(0..200) } else { versions + random.u64(0..3) },
                placed_at: at,
                total: SentAmount(random.i64(0..3_000)),
                currency: currency(if random.u8(0..10) == 0 { b"JPY" } else { EURO }),
                test: random.u8(0..15) == 0,
                skus: SkuVariety::One(random.u64(0..2)),
            }),
        }
    }

    fn watched(random: &mut fastrand::Rng) -> WatchedSkus {
        let mut watched = WatchedSkus::NONE;
        if random.u8(0..8) == 0 {
            watched.add(random.u16(0..2));
        }
        watched
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
        let (mut appended, mut folded) = ([0; VERSIONS.len()], 0);
        for seed in 0..340 {
            let mut random = fastrand::Rng::with_seed(seed);
            let style = seed as usize % VERSIONS.len();
            let versions = VERSIONS[style];
            let return_window = Span::days(if random.bool() { 100 } else { 400 });
            let lateness = Span::days(if random.bool() { 10 } else { 40 });
            let settings = settings(return_window, lateness, if random.bool() { 6 } else { 200 });
            // Whom rules remember has a section, and takes the general way.
            let settings = if random.u8(0..8) == 0 { with_rules(&settings) } else { settings };
            let settings = if random.bool() { with_tiers(&settings) } else { settings };
            let shop = settings.shops.get(ShopIndex(0));
            let mut short = Engine::new(Arc::clone(&settings));
            let mut long = Engine::new(Arc::clone(&settings));
            for step in 0..150 {
                let name = [b'a' + random.u8(0..3)];
                let key = CustomerKey { bytes: &name, hash: (settings.hash)(&name) };
                let record = record(short.clock.map_or(0, Time::as_millis), versions, &mut random);
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
                appended[style] += usize::from(outcome.is_some());
                let outcome =
                    outcome.map_or_else(|| short.apply(key, ShopIndex(0), &record, clock), Outcome::Applied);
                let at = format!("seed {seed}, step {step}");
                assert_eq!(outcome, apply(&mut long, key, &record), "{at}");
                let effects = [&mut short, &mut long].map(|engine| {
                    let signals: Vec<String> =
                        engine.drain_signals().map(|(key, signal)| format!("{key:?} {signal:?}")).collect();
                    (signals, engine.take_silent_timers(), engine.take_folded_early(), *engine.transitions())
                });
                assert_eq!(effects[0], effects[1], "{at}");
                assert_eq!(short.changes(), long.changes(), "{at}");
                for slot in short.customers().collect::<Vec<CustomerSlot>>() {
                    let packed = short.store.packed(slot);
                    assert_eq!(packed, long.packed(slot), "{at}");
                    let read = short.scratch.read(slot, packed, clock, shop, &settings);
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
        let all_appended = appended.iter().all(|appended| *appended > 500);
        assert!(all_appended && folded > 5_000, "{appended:?} appended, {folded} seen folded");
    }

    /// A return rate was high; the return has folded; then a year passes for all orders but one. Sums stand at the beginning of time,
    /// where all orders are within the year: enough to say that the rate is low again, which at the clock they are not.
    #[test]
    fn what_has_left_the_year_is_not_counted() {
        let settings = settings(Span::days(400), Span::days(10), 6);
        let order = |id, day, total| {
            let placed_at = Time::from_millis(Span::days(day).as_millis()).expect("in range");
            let (id, currency, skus, watched) =
                (OrderHash(id), currency(EURO), SkuVariety::Unknown, WatchedSkus::NONE);
            let total = SentAmount(total);
            Record::Order(OrderRecord {
                id,
                version: 1,
                placed_at,
                total,
                currency,
                test: false,
                skus,
                watched,
            })
        };
        let returned = Record::Return(ReturnRecord {
            id: ReturnHash(1),
            returned_at: Time::from_millis(1).expect("in range"),
            refund: SentAmount(1_000),
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
        assert!(
            customer.ledger.returns.is_empty() && !customer.emitted.armed.is(RatioSignal::ReturnRateHigh)
        );
    }
}
