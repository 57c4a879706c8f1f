//! The path of a record through the engine, in events per second of one core: decode, apply, encode, and all of it.
//!
//! `cargo bench --bench engine -- --customers 1000000 --events 2000000`. Every customer has four orders when the clock starts;
//! `--smoke` runs a toy size. With `--rules` the shop has every rule of `deploy/rules` and what they ask for, and at the end one more
//! rule is due for every customer at one instant. Times are the thread's own on its core, as Linux counts them, so that other work on the machine
//! disturbs little; compare figures of one run only.

mod shop_with_rules;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use retention_signals::domain::daily_count::ticks;
use retention_signals::domain::engine::as_of::AsOf;
use retention_signals::domain::engine::daily_count::DailyCounting;
use retention_signals::domain::engine::{Change, Engine, Outcome, Progress};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::formats::native::{Decoder, Event, Limits, Subject};
use retention_signals::topic::Input;
use retention_signals::wire::changelog;
use retention_signals::wire::encode::{OrderText, ProfileEncoder, RecordContext, SignalEncoder};
use retention_signals::wire::hash::hash;

#[global_allocator]
static ALLOCATOR: Counting = Counting { allocator: mimalloc::MiMalloc, count: AtomicU64::new(0) };

/// The service's allocator, counting.
struct Counting {
    allocator: mimalloc::MiMalloc,
    count: AtomicU64,
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts and passes on")]
// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { self.allocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.allocator.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.count.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { self.allocator.realloc(start, layout, bytes) }
    }
}

/// Allocations an event that the whole path may make at toy size: a customer's bytes, whenever they grow. A figure that does not
/// depend on the machine, so that the gate can hold us to it.
const ALLOCATIONS_MAX: f64 = 0.4;

const ORDERS_BEFORE: usize = 4;
/// Customers that a worker counts between two batches.
const SLICE: usize = 20_000;
/// Of a million customers, so many events change nearly as many as one transaction may hold (`CHANGES_MAX` in
/// `processor/pace.rs`): their outputs are encoded once for each.
const BATCH: usize = 200_000;
/// Timers of one batch, as the service bounds them.
const TIMERS_MAX: usize = 10_000;

struct Size {
    customers: usize,
    events: usize,
    is_toy: bool,
    has_rules: bool,
}

struct Bench {
    euro: Currency,
    settings: Arc<Settings>,
    decoder: Decoder,
    signals: SignalEncoder,
    profiles: ProfileEncoder,
}

/// Records one after the other, each with its key.
struct Log {
    bytes: Vec<u8>,
    /// End of the key, end of the value.
    ends: Vec<(usize, usize)>,
}

fn main() {
    let size = size();
    let bench = Bench::new(size.has_rules);
    let mut random = fastrand::Rng::with_seed(1);
    let start = 1_700_000_000_000;
    let mut engine = Engine::new(Arc::clone(&bench.settings));
    bench.load(&mut engine, &size, start, &mut random);
    println!(
        "{} customers with {ORDERS_BEFORE} orders each: {:.0} B of state a customer",
        size.customers,
        engine.heap_bytes() as f64 / size.customers as f64
    );
    let log = bench.log(&size, start + ORDERS_BEFORE as i64 * 7 * Span::DAY.as_millis(), &mut random);
    println!("{} orders of {} B on average", size.events, log.bytes.len() / size.events);

    let decode = seconds(|| log.records().for_each(|(key, value)| drop(black_box(bench.decode(key, value)))));
    report("decode", size.events, decode);

    let events: Vec<Event<'_>> = log.records().map(|(key, value)| bench.decode(key, value)).collect();
    let mut encoding = 0.0;
    let (mut out, mut outputs) = (Vec::new(), 0);
    let apply = seconds(|| {
        for batch in events.chunks(BATCH) {
            for (index, event) in batch.iter().enumerate() {
                engine.look_ahead(index, batch.len(), |index| Some(customer_key(&batch[index])));
                bench.apply(&mut engine, event);
                outputs += bench.encode_signals(&mut engine, event, &mut out);
            }
            encoding += seconds(|| outputs += bench.encode_changes(&mut engine, &mut out));
        }
    }) - encoding;
    report("apply and encode signals", size.events, apply);
    report("encode what changed", size.events, encoding);
    println!("  {:.2} output records an event", outputs as f64 / size.events as f64);

    let last = events.last().expect("at least one event").time();
    let log = bench.log(&size, last.as_millis(), &mut random);
    let allocations = ALLOCATOR.count.load(Ordering::Relaxed);
    let whole = seconds(|| bench.run(&mut engine, &log, &mut out));
    report("decode, apply and encode", size.events, whole);
    let allocations = (ALLOCATOR.count.load(Ordering::Relaxed) - allocations) as f64 / size.events as f64;
    println!("{allocations:.3} allocations an event, {ALLOCATIONS_MAX} are allowed at toy size");
    assert!(
        !size.is_toy || size.has_rules || allocations <= ALLOCATIONS_MAX,
        "more allocations than there were: find out which, or say why"
    );
    bench.count_a_day(&engine, &size);
    if size.has_rules {
        bench.fire_for_everybody(&mut engine, &size);
    }
}

fn size() -> Size {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(place + 1)?.parse().expect("a number"))
    };
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_toy = has("--smoke");
    let (customers, events) = if is_toy { (1_000, 10_000) } else { (1_000_000, 2_000_000) };
    Size {
        customers: value("--customers").unwrap_or(customers),
        events: value("--events").unwrap_or(events),
        is_toy,
        has_rules: has("--rules"),
    }
}

/// Time that this thread spent on a core.
fn seconds(work: impl FnOnce()) -> f64 {
    let begin = on_core_nanos();
    work();
    (on_core_nanos() - begin) as f64 / 1e9
}

fn on_core_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first number")
}

fn report(name: &str, events: usize, seconds: f64) {
    println!(
        "{name:<26} {:>12.0} events/s {:>8.0} ns",
        events as f64 / seconds,
        seconds * 1e9 / events as f64
    );
}

impl Bench {
    fn new(has_rules: bool) -> Self {
        let euro = Currency::from_code(b"EUR").expect("a currency");
        let shops = Shops::One(Shop::in_currency(euro));
        let mut settings = Settings::with_defaults(shops.clone(), hash, Arc::new(|_| [0; 16]));
        if has_rules {
            settings = shop_with_rules::settings();
        }
        Self {
            euro,
            decoder: Decoder::of(&settings, Limits::default()),
            signals: SignalEncoder::new(&shops),
            profiles: ProfileEncoder::new(&shops),
            settings: Arc::new(settings),
        }
    }

    /// Gives every customer its first orders, a week apart.
    fn load(&self, engine: &mut Engine, size: &Size, start: i64, random: &mut fastrand::Rng) {
        let mut bytes = Vec::new();
        for round in 0..ORDERS_BEFORE as i64 {
            for customer in 0..size.customers {
                bytes.clear();
                let at = start + round * 7 * Span::DAY.as_millis() + customer as i64 / 100;
                let key = self.order(&mut bytes, customer, at, random);
                let event = self.decode(key.as_bytes(), &bytes);
                self.apply(engine, &event);
                engine.drain_signals().for_each(drop);
            }
            engine.changes_committed();
        }
    }

    /// Orders of random customers, one every 10 ms.
    fn log(&self, size: &Size, start: i64, random: &mut fastrand::Rng) -> Log {
        let mut log = Log { bytes: Vec::new(), ends: Vec::with_capacity(size.events) };
        for event in 0..size.events {
            let mut value = Vec::new();
            let key =
                self.order(&mut value, random.usize(0..size.customers), start + event as i64 * 10, random);
            log.bytes.extend_from_slice(key.as_bytes());
            let key_end = log.bytes.len();
            log.bytes.extend_from_slice(&value);
            log.ends.push((key_end, log.bytes.len()));
        }
        log
    }

    /// Writes an order of about 300 B with its key and returns the key.
    fn order(&self, value: &mut Vec<u8>, customer: usize, at: i64, random: &mut fastrand::Rng) -> String {
        let customer = format!("customer-{customer:07}");
        let order_id = format!("2026-{:016x}", random.u64(..));
        let skus = ["SKU-0042-BLUE-M", "SKU-0815-RED-XL", "SKU-1234-GREEN-S"];
        OrderText {
            order_id: &order_id,
            placed_at: Time::from_millis(at).expect("in range"),
            currency: self.euro,
            total: random.i64(500..20_000),
            customer_id: Some(&customer),
            store_id: Some("berlin-mitte"),
            version: 0,
            test: false,
            skus: &skus[..random.usize(2..=3)],
        }
        .encode(value);
        customer
    }

    fn decode<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Event<'a> {
        self.decoder.decode(Input::Orders, Some(key), Some(value)).expect("a valid order")
    }

    fn apply(&self, engine: &mut Engine, event: &Event<'_>) {
        let Subject::Customer(customer) = &event.subject else { unreachable!("no guests here") };
        let outcome = engine.handle_record(customer.key, event.shop, &customer.record, usize::MAX);
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    }

    fn encode_signals(&self, engine: &mut Engine, event: &Event<'_>, out: &mut Vec<u8>) -> usize {
        let context = RecordContext::of(event);
        let mut outputs = 0;
        for (key, signal) in engine.drain_signals() {
            out.clear();
            self.signals.encode(key, &signal, context.as_ref(), out);
            black_box(&out);
            outputs += 1;
        }
        outputs
    }

    /// The changelog and profile records of a batch.
    fn encode_changes(&self, engine: &mut Engine, out: &mut Vec<u8>) -> usize {
        let mut outputs = 0;
        for index in 0..engine.changes().len() {
            engine.look_ahead_in_changes(index);
            let Change::Customer { slot, profile_at } = engine.changes()[index] else { continue };
            out.clear();
            changelog::encode_customer_key(out, engine.key(slot));
            changelog::encode_customer(out, engine.packed(slot));
            black_box(&out);
            outputs += 1;
            if let Some(as_of) = profile_at {
                let profile = engine.profile(slot, as_of);
                out.clear();
                self.profiles.encode(engine.key(slot), &profile, out);
                black_box(&out);
                outputs += 1;
            }
        }
        engine.changes_committed();
        outputs
    }

    /// The daily count of all customers, in slices as a worker takes them.
    fn count_a_day(&self, engine: &Engine, size: &Size) {
        let clock = engine.clock().expect("records were applied");
        let as_of = AsOf::midnight(ticks::midnight(clock));
        let mut counting = DailyCounting::new(&self.settings, clock, as_of, 0);
        let (mut whole, mut slowest) = (0.0, 0.0f64);
        let mut progress = Progress::More;
        while progress == Progress::More {
            let slice = seconds(|| progress = engine.count(&mut counting, SLICE));
            whole += slice;
            slowest = slowest.max(slice);
        }
        let counts = counting.into_counts();
        println!(
            "the daily count of {} customers: {whole:.2} s, {:.0} ns a customer; the slowest slice of {SLICE} took {:.1} ms",
            counts[0].totals.total(),
            whole * 1e9 / size.customers as f64,
            slowest * 1e3
        );
    }

    /// One rule more is due for every customer at one instant: batch after batch, as a worker takes them.
    fn fire_for_everybody(&self, engine: &mut Engine, size: &Size) {
        let clock = engine.clock().expect("records were applied");
        // New Year's Day comes three weeks after the last order.
        let (target, name) = (clock.plus(Span::days(25)), "everybody");
        let (mut out, mut fired, mut batches) = (Vec::new(), 0, 0);
        let (mut whole, mut slowest) = (0.0, 0.0f64);
        loop {
            let mut progress = Progress::More;
            let mut at_once = 0;
            let batch = seconds(|| {
                progress = engine.advance_clock(target, TIMERS_MAX);
                for (key, signal) in engine.drain_signals() {
                    at_once += usize::from(signal.kind.rule().is_some_and(|rule| &*rule.rule == name));
                    out.clear();
                    self.signals.encode(key, &signal, None, &mut out);
                    black_box(&out);
                }
                self.encode_changes(engine, &mut out);
            });
            if at_once > 0 {
                (fired, batches) = (fired + at_once, batches + 1);
                (whole, slowest) = (whole + batch, slowest.max(batch));
            }
            if progress == Progress::Done {
                break;
            }
        }
        assert_eq!(fired, size.customers, "each customer once");
        println!(
            "a date for {fired} customers: {whole:.2} s in {batches} batches, {:.0} ns each; the slowest batch took {:.1} ms",
            whole * 1e9 / fired as f64,
            slowest * 1e3
        );
    }

    fn run(&self, engine: &mut Engine, log: &Log, out: &mut Vec<u8>) {
        for (index, (key, value)) in log.records().enumerate() {
            engine.look_ahead(index, log.ends.len(), |index| log.key(index));
            let event = self.decode(key, value);
            self.apply(engine, &event);
            self.encode_signals(engine, &event, out);
            if index % BATCH == BATCH - 1 {
                self.encode_changes(engine, out);
            }
        }
        self.encode_changes(engine, out);
    }
}

fn customer_key<'a>(event: &Event<'a>) -> &'a [u8] {
    event.customer_key().expect("no guests here").bytes
}

impl Log {
    fn key(&self, index: usize) -> Option<&[u8]> {
        let begin = if index == 0 { 0 } else { self.ends.get(index - 1)?.1 };
        Some(&self.bytes[begin..self.ends.get(index)?.0])
    }

    fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        begins
            .zip(&self.ends)
            .map(|(begin, (key_end, end))| (&self.bytes[begin..*key_end], &self.bytes[*key_end..*end]))
    }
}
