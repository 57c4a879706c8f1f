//! The laws of the domain, over random histories with few ids, values and times, so that everything collides. First: any permutation
//! and any repetition of the records gives the same facts, if none comes later than the lateness. Second: the emitted state equals the
//! facts'. Also, a restored engine goes on as if it had never stopped. `RETENTION_LAW_SEED` replays one, `RETENTION_LAW_SEEDS` are tried.

mod long_histories;

use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::customer::Customer;
use retention_signals::domain::engine::restore::Restore;
use retention_signals::domain::engine::{Engine, Outcome, Progress};
use retention_signals::domain::lapse::{LapsePolicies, LapsePolicy};
use retention_signals::domain::rules::points::{Points, PointsPer};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::signal::{Profile, ProfileSegment, ProfileTier, Signal};
use retention_signals::domain::store::packed;
use retention_signals::domain::values::event::{
    CancellationRecord, ErasureRecord, OrderRecord, Record, ReturnRecord, SkuVariety, WatchedSkus,
};
use retention_signals::domain::values::ids::{CustomerKey, CustomerSlot, OrderHash, ReturnHash, ShopIndex};
use retention_signals::domain::values::money::{Conversion, Currency, SentAmount};
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::hash;

const RETURN_WINDOW: Span = Span::days(350);
const LATENESS: Span = Span::days(20);

pub fn trials() -> Vec<Trial> {
    let laws: [(&str, fn(u64) -> Result<(), String>); 5] = [
        ("laws::facts_depend_on_the_set_of_records", facts_depend_on_the_set),
        ("laws::the_told_state_is_the_facts_state", told_state_is_the_facts_state),
        ("laws::a_restored_engine_goes_on_the_same", restored_engine_goes_on),
        ("laws::sums_are_those_of_the_customers", sums_are_those_of_the_customers),
        ("laws::long_histories_go_on_as_if_derived_anew", long_histories::go_on_as_if_derived_anew),
    ];
    let silent = Trial::test("laws::timers_that_say_nothing_are_counted", silent_timers);
    let erased = Trial::test("laws::signals_outlive_an_erasure", signals_outlive_an_erasure);
    let laws = laws.into_iter().map(|(name, law)| Trial::test(name, move || over_seeds(law, 4_000)));
    let marker = Trial::test("laws::a_timer_fires_before_a_marker_ends", a_timer_fires_before_a_marker_ends);
    laws.chain([silent, erased, marker]).collect()
}

pub fn over_seeds(law: fn(u64) -> Result<(), String>, count: u64) -> Result<(), Failed> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("RETENTION_LAW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RETENTION_LAW_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        law(seed).map_err(|difference| format!("RETENTION_LAW_SEED={seed} replays this\n{difference}"))?;
    }
    Ok(())
}

pub fn currency(code: &str) -> Currency {
    Currency::from_code(code.as_bytes()).expect("a currency")
}

pub fn settings(random: &mut Rng) -> Arc<Settings> {
    let euro = currency("EUR");
    let rate = Decimal::parse("0.85").expect("a decimal");
    let conversion = Conversion::new(currency("USD"), rate, euro, Decimal::whole(1)).expect("a rate");
    let shop = Shop { conversions: vec![conversion], ..Shop::in_currency(euro) };
    let erasure_hash =
        Arc::new(|key: &[u8]| std::array::from_fn(|index| key.get(index).copied().unwrap_or(0)));
    let defaults = Settings::with_defaults(Shops::One(shop), hash, erasure_hash);
    Arc::new(Settings {
        return_window: RETURN_WINDOW,
        lateness: LATENESS,
        lapse: crate::policies::random(random),
        segments: crate::segments::random(random),
        rules: crate::rules::random(random),
        points: random.bool().then_some(Points { per: PointsPer::Order, factor: 1 }),
        tiers: crate::tiers::random(random),
        ..defaults
    })
}

fn without_rules() -> Arc<Settings> {
    Arc::new(Settings { rules: None, ..(*settings(&mut Rng::with_seed(0))).clone() })
}

/// Records of one customer over one to four years. Those with one identity lie within the lateness, as the law requires.
pub fn history(random: &mut Rng) -> Vec<Record> {
    let years = random.i64(1..=4);
    let orders = random.u64(1..=12);
    let grain = [1, 7, 86_400_000, 21_600_000][random.usize(0..4)];
    let times: Vec<i64> = (0..orders).map(|_| random.i64(0..years * 365) * Span::DAY.as_millis()).collect();
    let near = |random: &mut Rng, base: i64, days: i64| {
        let offset = random.i64(-days..=days) * Span::DAY.as_millis() + random.i64(-3..=3) * grain;
        Time::from_millis((base + offset).max(0)).expect("a few years after 1970")
    };
    let mut records = Vec::new();
    for _ in 0..random.usize(1..=30) {
        let (order, currency) = (random.u64(0..orders), currency(["EUR", "EUR", "USD"][random.usize(0..3)]));
        let base = times[order as usize];
        let apart = [0, 0, 0, 5][random.usize(0..4)];
        records.push(match random.u8(0..10) {
            0..5 => Record::Order(OrderRecord {
                id: OrderHash(order),
                version: random.u64(0..3),
                placed_at: near(random, base, apart),
                total: SentAmount([0, 5, 10, 15][random.usize(0..4)]),
                currency,
                test: random.u8(0..12) == 0,
                skus: [SkuVariety::Unknown, SkuVariety::One(1), SkuVariety::One(2)][random.usize(0..3)],
                watched: watched(random),
            }),
            5 => Record::Cancellation(CancellationRecord {
                order: OrderHash(order),
                // Of some orders on the very bound of what touches them.
                cancelled_at: match order % 3 {
                    0 => near(random, base + RETURN_WINDOW.as_millis(), 0),
                    _ => near(random, base, 9),
                },
                version: random.bool().then(|| random.u64(0..3)),
            }),
            6.. => {
                let distance = [3, 3, 40, 349, 350, 352][random.usize(0..6)];
                let id = random.u64(0..8);
                // Returns of one id stay together in time, wherever their orders lie.
                let base = times[(id % orders) as usize] + distance * Span::DAY.as_millis();
                Record::Return(ReturnRecord {
                    id: ReturnHash(id * 1_000 + distance as u64),
                    returned_at: near(random, base, if distance == 350 { 0 } else { 2 }),
                    refund: SentAmount([0, 5, 10, 7, 15][random.usize(0..5)]),
                    currency,
                    order: random.bool().then_some(OrderHash(order)),
                })
            }
        });
    }
    records
}

/// None, one or several of the goods that random rules watch.
fn watched(random: &mut Rng) -> WatchedSkus {
    let mut watched = WatchedSkus::NONE;
    for _ in 0..[0, 0, 1, 2][random.usize(0..4)] {
        watched.add(random.u16(0..3));
    }
    watched
}

/// The records in an order in which none comes later than the lateness, some of them twice.
pub fn arrivals(random: &mut Rng, records: &[Record]) -> Vec<Record> {
    let mut arrivals = Vec::new();
    for record in records {
        for _ in 0..random.usize(1..=2) {
            let delay = random.i64(0..=LATENESS.as_millis());
            arrivals.push((record.time().as_millis() + delay, *record));
        }
    }
    random.shuffle(&mut arrivals);
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals.into_iter().map(|(_, record)| record).collect()
}

pub fn key() -> CustomerKey<'static> {
    key_of(b"c1")
}

fn key_of(bytes: &[u8]) -> CustomerKey<'_> {
    CustomerKey { bytes, hash: hash(bytes) }
}

pub fn apply(engine: &mut Engine, record: &Record) -> Result<(), String> {
    match engine.handle_record(key(), ShopIndex(0), record, usize::MAX) {
        Outcome::Applied(_) | Outcome::Duplicate => Ok(()),
        refused @ (Outcome::Refused(_) | Outcome::TimersPending) => Err(format!("{record:?}: {refused:?}")),
    }
}

pub fn end_of(records: &[Record]) -> Time {
    let last = records.iter().map(Record::time).max().expect("a history has records");
    last.plus(LATENESS).plus(Span::days(7))
}

/// Everything that follows from the set of records at the end: the profile, but for the tier, and the shop's figures.
fn facts(settings: &Arc<Settings>, arrivals: &[Record], end: Time) -> Result<String, String> {
    let mut engine = Engine::new(Arc::clone(settings));
    for record in arrivals {
        apply(&mut engine, record)?;
    }
    engine.advance_clock(end, usize::MAX);
    let slot = engine.find(key()).expect("the customer is held");
    // A tier is kept below the amount that reaches it, so it depends on what was reached before.
    let profile = Profile { tier: ProfileTier::LeftOut, ..engine.profile(slot, end) };
    Ok(format!("{profile:#?}\n{:#?}", engine.figures(ShopIndex(0))))
}

fn facts_depend_on_the_set(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = settings(&mut random);
    let records = history(&mut random);
    let end = end_of(&records);
    let (one, other) = (arrivals(&mut random, &records), arrivals(&mut random, &records));
    let (facts_of_one, facts_of_other) = (facts(&settings, &one, end)?, facts(&settings, &other, end)?);
    if facts_of_one == facts_of_other {
        return Ok(());
    }
    let differing = facts_of_one.lines().zip(facts_of_other.lines()).filter(|(one, other)| one != other);
    let differing: Vec<String> = differing.map(|(one, other)| format!("{one} / {other}")).collect();
    Err(format!("{}\n{one:?}\n{other:?}", differing.join("\n")))
}

fn unpacked(engine: &Engine, slot: CustomerSlot) -> Customer {
    let mut customer = Customer::default();
    packed::unpack(engine.packed(slot), &mut customer).expect("packed by the engine");
    customer
}

fn told_state_is_the_facts_state(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = settings(&mut random);
    let records = history(&mut random);
    let mut engine = Engine::new(Arc::clone(&settings));
    for record in arrivals(&mut random, &records) {
        // One timer at a time, so that the law is checked after each.
        while engine.handle_record(key(), ShopIndex(0), &record, 1) == Outcome::TimersPending {
            check_told(&mut engine)?;
        }
        check_told(&mut engine)?;
    }
    while engine.advance_clock(end_of(&records), 1) == Progress::More {
        check_told(&mut engine)?;
    }
    check_told(&mut engine)?;
    check_signals(&signals(&mut engine))
}

fn signals(engine: &mut Engine) -> Vec<Signal> {
    engine.drain_signals().map(|(_, signal)| signal).collect()
}

fn check_told(engine: &mut Engine) -> Result<(), String> {
    let Some(slot) = engine.find(key()) else { return Ok(()) };
    let clock = engine.clock().expect("a record was applied");
    let (emitted, profile) = (unpacked(engine, slot).emitted, engine.profile(slot, clock));
    let segment = match profile.segment {
        ProfileSegment::LeftOut | ProfileSegment::Unknown => None,
        ProfileSegment::Known(segment) => Some(segment.name),
    };
    let (emitted, facts) = ((emitted.state(), emitted.segment), (profile.lifecycle.state(), segment));
    if emitted == facts {
        Ok(())
    } else {
        Err(format!("at {clock:?} {emitted:?} was emitted, {facts:?} is so"))
    }
}

/// No cause occurs twice for one type, and each signal begins where the one before it ended.
fn check_signals(signals: &[Signal]) -> Result<(), String> {
    for (index, signal) in signals.iter().enumerate() {
        let (name, cause) = (signal.kind.name(), signal.cause);
        if signals[..index].iter().any(|other| other.kind.name() == name && other.cause == cause) {
            return Err(format!("said twice: {signal:?}"));
        }
        let previous = index.checked_sub(1).map(|previous| &signals[previous]);
        let continues = previous
            .is_none_or(|previous| signal.before == previous.after || signal.before == previous.before);
        if !continues {
            return Err(format!("{previous:?} does not lead to {signal:?}"));
        }
    }
    Ok(())
}

fn restored_engine_goes_on(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = settings(&mut random);
    let records = history(&mut random);
    let arrivals = arrivals(&mut random, &records);
    let (mut whole, mut stopped) = (Engine::new(Arc::clone(&settings)), Engine::new(Arc::clone(&settings)));
    let mut emitted_after_stops = Vec::new();
    for record in &arrivals {
        apply(&mut whole, record)?;
        apply(&mut stopped, record)?;
        if random.bool() {
            emitted_after_stops.extend(signals(&mut stopped));
            stopped = restored(&stopped, &settings)?;
        }
    }
    let end = end_of(&records);
    whole.advance_clock(end, usize::MAX);
    // Two at a time: the timer that fired last before the stop fires again, and emits nothing.
    while stopped.advance_clock(end, 2) == Progress::More {
        emitted_after_stops.extend(signals(&mut stopped));
        stopped = restored(&stopped, &settings)?;
    }
    let state = |engine: &mut Engine| {
        let slot = engine.find(key()).expect("the customer is held");
        let profile = engine.profile(slot, end);
        (
            engine.packed(slot).to_vec(),
            format!("{profile:?}"),
            *engine.figures(ShopIndex(0)),
            engine.timers_len(),
        )
    };
    emitted_after_stops.extend(signals(&mut stopped));
    let signals = (format!("{:?}", signals(&mut whole)), format!("{emitted_after_stops:?}"));
    let states = (state(&mut whole), state(&mut stopped));
    if signals.0 != signals.1 {
        return Err(format!("{}\n{}", signals.0, signals.1));
    }
    if states.0 != states.1 {
        return Err(format!("{:?}\n{:?}", states.0, states.1));
    }
    Ok(())
}

/// Sums follow by differences; restored ones are added up anew. Ledgers are so short that orders fold while in windows.
fn sums_are_those_of_the_customers(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let mut settings = (*settings(&mut random)).clone();
    settings.orders_max = [2, 3, 1_000][random.usize(0..3)];
    let settings = Arc::new(settings);
    let (mut arriving, mut erasures) = (Vec::new(), Vec::new());
    for customer in [b"c1", b"c2", b"c3"] {
        let records = history(&mut random);
        arriving.extend(arrivals(&mut random, &records).into_iter().map(|record| (customer, record)));
        if random.u8(0..4) == 0 {
            let requested_at = records[random.usize(0..records.len())].time();
            erasures.push((customer, ErasureRecord { requested_at }));
        }
    }
    arriving.sort_by_key(|(_, record)| record.time());
    erasures.sort_by_key(|(_, erasure)| erasure.requested_at);
    let mut erasures = erasures.into_iter().peekable();
    let mut engine = Engine::new(Arc::clone(&settings));
    for (customer, record) in arriving {
        while let Some((erased, erasure)) = erasures.next_if(|(_, it)| it.requested_at <= record.time()) {
            engine.handle_erasure(key_of(erased), &erasure, usize::MAX);
        }
        engine.handle_record(key_of(customer), ShopIndex(0), &record, usize::MAX);
        if random.bool() {
            engine.settle_figures(random.usize(0..3));
        }
        if random.u8(0..8) == 0 {
            let clock = engine.clock().expect("a record was handled");
            engine.advance_clock(clock.plus(Span::days(random.i64(0..120))), usize::MAX);
        }
        if random.u8(0..4) == 0 {
            let (kept, anew) =
                (*engine.figures(ShopIndex(0)), *restored(&engine, &settings)?.figures(ShopIndex(0)));
            if kept != anew {
                return Err(format!("after {record:?}\n{kept:#?}\n{anew:#?}"));
            }
        }
    }
    Ok(())
}

/// The end of an erasure's marker emits nothing, and neither does the end of a year that does not raise the return rate.
fn silent_timers() -> Result<(), Failed> {
    let settings = without_rules();
    let mut engine = Engine::new(Arc::clone(&settings));
    let time = |day: i64| Time::MIN.plus(Span::days(day));
    let order = |id: u64, day: i64| {
        let (total, currency, skus, watched) =
            (SentAmount(10), currency("EUR"), SkuVariety::Unknown, WatchedSkus::NONE);
        let placed_at = time(day);
        Record::Order(OrderRecord {
            id: OrderHash(id),
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
        returned_at: time(5),
        refund: SentAmount(1),
        currency: currency("EUR"),
        order: Some(OrderHash(4)),
    });
    let orders = (1..=4).map(|id| order(id, id as i64));
    for record in orders.chain([returned]) {
        apply(&mut engine, &record)?;
    }
    engine.handle_erasure(key_of(b"c2"), &ErasureRecord { requested_at: time(6) }, usize::MAX);
    engine.take_silent_timers();
    signals(&mut engine);
    engine.advance_clock(time(1_000), usize::MAX);
    let (emitted, timers_silent) = (signals(&mut engine).len(), engine.take_silent_timers());
    // At risk and lapsed; of four orders the first two leave the year before there are too few for a rate.
    if (emitted, timers_silent) != (2, 3) {
        return Err(format!("{emitted} signals, {timers_silent} silent timers").into());
    }
    Ok(())
}

/// At one instant the timer comes first, so a batch that stops between the two has the signal.
fn a_timer_fires_before_a_marker_ends() -> Result<(), Failed> {
    let mut settings = (*without_rules()).clone();
    let (at_risk, lapsed) = (Span::days(5), Span::days(9));
    settings.lapse = LapsePolicies::new(LapsePolicy::Fixed { at_risk, lapsed }, hash);
    let end = Time::MIN.plus(RETURN_WINDOW).plus(LATENESS);
    let mut engine = Engine::new(Arc::new(settings));
    engine.handle_erasure(key_of(b"c2"), &ErasureRecord { requested_at: Time::MIN }, usize::MAX);
    let order = OrderRecord {
        id: OrderHash(1),
        version: 0,
        placed_at: end.minus(at_risk),
        total: SentAmount(10),
        currency: currency("EUR"),
        test: false,
        skus: SkuVariety::Unknown,
        watched: WatchedSkus::NONE,
    };
    apply(&mut engine, &Record::Order(order))?;
    signals(&mut engine);
    let mut fired = Vec::new();
    while engine.advance_clock(end, 1) == Progress::More {
        fired.push((signals(&mut engine).len(), engine.take_silent_timers()));
    }
    fired.push((signals(&mut engine).len(), engine.take_silent_timers()));
    if fired == [(1, 0), (0, 1)] { Ok(()) } else { Err(format!("{fired:?}").into()) }
}

/// Signals of timers that an erasure fires name the customer, however late they are drained: no other gets the slot until then.
fn signals_outlive_an_erasure() -> Result<(), Failed> {
    let mut engine = Engine::new(without_rules());
    let order = |day: i64| {
        let (id, currency, skus, watched) =
            (OrderHash(1), currency("EUR"), SkuVariety::Unknown, WatchedSkus::NONE);
        let total = SentAmount(10);
        let placed_at = Time::MIN.plus(Span::days(day));
        Record::Order(OrderRecord { id, version: 1, placed_at, total, currency, test: false, skus, watched })
    };
    engine.handle_record(key_of(b"c1"), ShopIndex(0), &order(1), usize::MAX);
    let requested_at = Time::MIN.plus(Span::days(500));
    engine.handle_erasure(key_of(b"c1"), &ErasureRecord { requested_at }, usize::MAX);
    engine.handle_record(key_of(b"c2"), ShopIndex(0), &order(501), usize::MAX);
    let emitted: Vec<String> = engine
        .drain_signals()
        .map(|(key, signal)| format!("{} {}", String::from_utf8_lossy(key), signal.kind.name()))
        .collect();
    if emitted != ["c1 first_order", "c1 at_risk", "c1 lapsed", "c2 first_order"] {
        return Err(format!("{emitted:?}").into());
    }
    engine.changes_committed();
    let slots = [b"c2", b"c3"].map(|name| {
        engine.handle_record(key_of(name), ShopIndex(0), &order(502), usize::MAX);
        engine.find(key_of(name)).expect("held")
    });
    if slots != [CustomerSlot(1), CustomerSlot(0)] {
        return Err(format!("{slots:?}: the slot is free again after the commit").into());
    }
    Ok(())
}

fn restored(engine: &Engine, settings: &Arc<Settings>) -> Result<Engine, String> {
    let mut restore = Restore::new(Arc::clone(settings));
    for slot in engine.customers() {
        restore
            .customer(key_of(engine.key(slot)), engine.packed(slot))
            .map_err(|error| format!("{error:?}"))?;
    }
    restore.finish(engine.clock()).map_err(|error| format!("{error:?}"))
}
