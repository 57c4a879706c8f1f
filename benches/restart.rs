//! A restart: customers read back from a snapshot, and from changelog records, on one core; and what taking the snapshot cost
//! the worker.
//!
//! `cargo bench --bench restart -- --customers 1000000`. Every customer has four orders, as in `benches/engine.rs`; `--smoke` runs a
//! toy size. With `--rules` the shop has every rule of `deploy/rules`. Both restores are those of the service: the same task, but for a changelog that lies in memory.

mod shop_with_rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use retention_signals::config::{DeadLetterLimit, HistoryRules, HistorySignals};
use retention_signals::domain::engine::Engine;
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::values::event::{OrderRecord, Record, SkuVariety, WatchedSkus};
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ShopIndex};
use retention_signals::domain::values::money::{Currency, SentAmount};
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::snapshot::writer::Step as WriterStep;
use retention_signals::snapshot::{Slice, SnapshotRules, Snapshots, Start};
use retention_signals::stream::broker::{
    BrokerError, ChangelogIdentity, CombinedRecord, Committed, Lookup, Moment, Offset, Position,
    RawPartition, RawProgress, RawSearch, RecordBatch, RecordView, Stability, TaskStep, Watermark,
};
use retention_signals::stream::partition::restore::{
    OnOtherOffsets, RestoreEvent, RestoreRequest, RestoreRules, Restored,
};
use retention_signals::topic::{Output, Partition, PerInput, Topic};
use retention_signals::wire::changelog::{self, Seal};
use retention_signals::wire::hash::hash;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORDERS: i64 = 4;
const START_MS: i64 = 1_700_000_000_000;
/// What one call of a real restore takes at most.
const RECORDS_A_BATCH: usize = 10_000;
/// A slice of a commit interval of 100 ms, as the worker takes it.
const SLICE_MAX: Duration = Duration::from_millis(5);
const PARTITION: Partition = Partition(0);

fn main() {
    let customers = customers();
    let folder = std::env::temp_dir().join(format!("retention-signals-restart-{}", std::process::id()));
    let settings = if has("--rules") { Arc::new(shop_with_rules::settings()) } else { settings() };
    let mut engine = build(&settings, customers);
    println!(
        "{customers} customers with {ORDERS} orders each: {:.0} B of state a customer",
        engine.heap_bytes() as f64 / customers as f64
    );
    let log = Arc::new(Log::of(&engine));
    let (snapshots, path) = take_snapshot(&engine, &folder, log.records() as u64 - 1);
    let figures = format!("{:?}", engine.figures(ShopIndex(0)));
    drop(engine);
    let mut restored = Vec::new();
    for (name, snapshots) in [("changelog", None), ("snapshot", Some(snapshots))] {
        let started_at = Clock::now();
        let mut state = restore(&settings, &log, snapshots);
        report(name, customers, started_at.elapsed());
        assert_eq!(state.engine.customers_len(), customers);
        restored.push(format!("{:?}", state.engine.figures(ShopIndex(0))));
        println!(
            "  {} records read, {:.0} B of state a customer",
            state.records,
            state.engine.heap_bytes() as f64 / customers as f64
        );
    }
    assert!(restored.iter().all(|restored| *restored == figures), "{figures}\n{restored:#?}");
    fs::remove_file(path).expect("written by this run");
    fs::remove_dir_all(folder).expect("made by this run");
}

fn customers() -> usize {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == "--customers");
    let given = place.and_then(|place| arguments.get(place + 1)).map(|text| text.parse().expect("a number"));
    given.unwrap_or(if has("--smoke") { 1_000 } else { 1_000_000 })
}

/// Whether an option was given.
fn has(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

/// Wall time, and this thread's time on a core: on a machine that others use too, only the second says what the work costs.
#[derive(Clone, Copy)]
struct Clock {
    wall: Instant,
    core: Duration,
}

impl Clock {
    fn now() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
        let nanos = text.split(' ').next().and_then(|text| text.parse().ok()).expect("the first is a number");
        Self { wall: Instant::now(), core: Duration::from_nanos(nanos) }
    }

    /// On the wall, on the core.
    fn elapsed(self) -> (Duration, Duration) {
        (self.wall.elapsed(), Self::now().core - self.core)
    }
}

fn report(name: &str, customers: usize, (wall, core): (Duration, Duration)) {
    println!(
        "restore from {name:<10} {:>8.2} s, {:.2} s of a core: {:.0} customers/s of a core",
        wall.as_secs_f64(),
        core.as_secs_f64(),
        customers as f64 / core.as_secs_f64()
    );
}

fn settings() -> Arc<Settings> {
    let currency = Currency::from_code(b"EUR").expect("a currency");
    let shops = Shops::One(Shop::in_currency(currency));
    Arc::new(Settings::with_defaults(shops, hash, Arc::new(|_| [0; 16])))
}

/// Every customer's orders, a week apart.
fn build(settings: &Arc<Settings>, customers: usize) -> Engine {
    let mut engine = Engine::new(Arc::clone(settings));
    let mut random = fastrand::Rng::with_seed(1);
    let currency = Currency::from_code(b"EUR").expect("a currency");
    for round in 0..ORDERS {
        for customer in 0..customers {
            let key = format!("customer-{customer:07}");
            let placed_at = START_MS + round * 7 * Span::DAY.as_millis() + customer as i64 / 100;
            let order = Record::Order(OrderRecord {
                id: OrderHash(random.u64(..)),
                version: 0,
                placed_at: Time::from_millis(placed_at).expect("in range"),
                total: SentAmount(random.i64(500..20_000)),
                currency,
                test: false,
                skus: SkuVariety::One(random.u64(..3)),
                watched: WatchedSkus::NONE,
            });
            let key = CustomerKey { bytes: key.as_bytes(), hash: hash(key.as_bytes()) };
            engine.handle_record(key, ShopIndex(0), &order, usize::MAX);
            engine.drain_signals().for_each(drop);
        }
        engine.changes_committed();
    }
    engine
}

/// Takes a snapshot beside a writer, as the worker does, and tells how long it was held.
fn take_snapshot(engine: &Engine, folder: &Path, position: u64) -> (Snapshots, PathBuf) {
    let rules = SnapshotRules { interval: Duration::from_secs(300), ..snapshot_rules() };
    let (snapshots, mut writer, prepared) = Snapshots::open(folder, rules, || Duration::ZERO);
    prepared.expect("a folder of our own");
    let (written, finished) = crossbeam_channel::bounded(1);
    thread::spawn(move || {
        loop {
            match writer.step(Duration::from_secs(1)) {
                WriterStep::Written(file) => drop(written.send(file)),
                WriterStep::Failed(_, error) => panic!("cannot write the snapshot: {error}"),
                WriterStep::Ended => return,
                WriterStep::Idle | WriterStep::Worked => {}
            }
        }
    });
    let begun_at = Instant::now();
    let start = Start { position: Position(position), at_ms: START_MS };
    let mut slicing = snapshots.begin(PARTITION, &identity(), start, engine);
    let mut holds = Vec::new();
    let mut is_last = false;
    while !is_last {
        let started_at = Clock::now();
        let mut slices = 0;
        loop {
            match slicing.slice(engine) {
                Slice::More if started_at.wall.elapsed() < SLICE_MAX => slices += 1,
                Slice::More => break,
                Slice::NoRoom => {
                    thread::yield_now();
                    break;
                }
                Slice::Last => {
                    is_last = true;
                    break;
                }
                Slice::Failed => panic!("the writer has failed"),
            }
        }
        // One that found no room at all is no boundary.
        if slices > 0 || is_last {
            holds.push(started_at.elapsed());
        }
    }
    let sliced = begun_at.elapsed();
    let file = finished.recv().expect("the writer lives");
    println!(
        "snapshot: {:.1} MB in {:.2} s, slices {:.2} s of it",
        file.bytes as f64 / 1e6,
        begun_at.elapsed().as_secs_f64(),
        sliced.as_secs_f64()
    );
    let (mut walls, mut cores): (Vec<_>, Vec<_>) = holds.into_iter().unzip();
    for (name, holds) in [("wall", &mut walls), ("core", &mut cores)] {
        holds.sort();
        let at = |share: f64| holds[((holds.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "  a worker held at {} boundaries for {:.2} ms (half), {:.2} ms (99 %), {:.2} ms (most) by the {name}",
            holds.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    (snapshots, folder.join("snapshots/0.snapshot"))
}

fn snapshot_rules() -> SnapshotRules {
    SnapshotRules {
        application: "bench".to_owned(),
        secret: [0; 8],
        interval: Duration::from_secs(300),
        block_bytes: SnapshotRules::BLOCK_BYTES,
        waiting_blocks_max: SnapshotRules::WAITING_BLOCKS_MAX,
    }
}

fn identity() -> ChangelogIdentity {
    ChangelogIdentity {
        cluster: "bench".to_owned(),
        topic: [1; 16],
        tombstone_retention: Duration::from_secs(86_400),
    }
}

/// Runs a restore to its end, on this thread.
fn restore(settings: &Arc<Settings>, log: &Arc<Log>, snapshots: Option<Snapshots>) -> Box<Restored> {
    let order = RestoreRequest {
        partition: PARTITION,
        transactional_id: "bench-0".to_owned(),
        has_transactional_offsets: true,
        waker: Arc::new(|| {}),
        wall_ms: START_MS,
        shop_now: Time::from_millis(START_MS).expect("in range"),
        record_bytes_max: 1 << 20,
        rules: RestoreRules {
            raw_topics: [].into(),
            settings: Arc::clone(settings),
            dead_letters: DeadLetterLimit { share_max: Decimal::new(1, 0).expect("a number"), window: 1_000 },
            secret: [0; 8],
            former_secret: None,
            on_other_offsets: OnOtherOffsets::Stop,
            history: HistoryRules { signals: HistorySignals::Publish, signals_from: None },
            counts_days: false,
            snapshots,
        },
    };
    let (restoring, mut task) = order.start(Moment(Duration::ZERO));
    let mut lookup = LogLookup { log: Arc::clone(log) };
    let (mut steps, mut longest) = (0, Duration::ZERO);
    loop {
        let started_at = Instant::now();
        let step = task(&mut lookup);
        steps += 1;
        longest = longest.max(started_at.elapsed());
        if step == TaskStep::Done {
            break;
        }
    }
    println!("  {steps} steps, the longest {:.0} ms", longest.as_secs_f64() * 1e3);
    while let Some(news) = restoring.next_event() {
        match news {
            RestoreEvent::Progress { .. } => {}
            RestoreEvent::Done(restored) => return restored,
            RestoreEvent::Failed(error) => panic!("{error}"),
        }
    }
    panic!("no news of the restore")
}

/// The changelog of one partition in memory: every customer once, then the seal.
struct Log {
    bytes: Vec<u8>,
    /// End of the key, end of the value.
    ends: Vec<(usize, usize)>,
}

impl Log {
    fn of(engine: &Engine) -> Self {
        let mut log = Self { bytes: Vec::new(), ends: Vec::with_capacity(engine.customers_len() + 1) };
        for slot in engine.customers() {
            changelog::encode_customer_key(&mut log.bytes, engine.key(slot));
            let key = log.bytes.len();
            changelog::encode_customer(&mut log.bytes, engine.packed(slot));
            log.ends.push((key, log.bytes.len()));
        }
        log.bytes.extend_from_slice(changelog::SEAL_KEY);
        let key = log.bytes.len();
        let seal = Seal {
            batch: 1,
            inputs: PerInput::default(),
            clock: engine.clock(),
            outcomes: Vec::new(),
            secret: [0; 8],
            history: None,
            signals_from: None,
            counted_through: None,
        };
        seal.encode(&mut log.bytes);
        log.ends.push((key, log.bytes.len()));
        log
    }

    fn records(&self) -> usize {
        self.ends.len()
    }
}

struct LogLookup {
    log: Arc<Log>,
}

struct LogBatch {
    log: Arc<Log>,
    first: usize,
    records: usize,
}

impl RecordBatch for LogBatch {
    fn len(&self) -> usize {
        self.records
    }

    fn has_header(&self, _: usize, _: &std::ffi::CStr) -> bool {
        false
    }

    fn get(&self, index: usize) -> RecordView<'_> {
        let index = self.first + index;
        let start = index.checked_sub(1).map_or(0, |before| self.log.ends[before].1);
        let (key, value) = self.log.ends[index];
        RecordView {
            offset: Offset(index as u64),
            timestamp_ms: Some(START_MS),
            key: Some(&self.log.bytes[start..key]),
            value: Some(&self.log.bytes[key..value]),
        }
    }
}

impl Lookup for LogLookup {
    type Batch = LogBatch;

    fn now(&self) -> Moment {
        Moment(Duration::ZERO)
    }

    fn committed(
        &mut self,
        _: &[Partition],
        _: Stability,
        _: Duration,
    ) -> Result<Vec<PerInput<Option<Committed>>>, BrokerError> {
        Ok(vec![PerInput::default()])
    }

    fn watermarks(
        &mut self,
        watermark: Watermark,
        logs: &[(Topic, Partition)],
        _: Duration,
    ) -> Result<Vec<Position>, BrokerError> {
        let end = |topic| match (topic, watermark) {
            (Topic::Output(Output::Changelog), Watermark::High) => Position(self.log.records() as u64),
            (
                Topic::Output(_) | Topic::Input(_) | Topic::Registry,
                Watermark::Low | Watermark::Stable | Watermark::High,
            ) => Position(0),
        };
        Ok(logs.iter().map(|(topic, _)| end(*topic)).collect())
    }

    fn partition_counts(&mut self, topics: &[Topic], _: Duration) -> Result<Vec<u32>, BrokerError> {
        Ok(vec![1; topics.len()])
    }

    fn changelog_identity(&mut self, _: Duration) -> Result<Option<ChangelogIdentity>, BrokerError> {
        Ok(Some(identity()))
    }

    fn end_transaction_of(&mut self, _: &str, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn read_log(
        &mut self,
        _: Topic,
        _: Partition,
        from: Position,
        _: Duration,
    ) -> Result<(LogBatch, Position), BrokerError> {
        let first = usize::try_from(from.0).expect("a position in memory");
        let records = (self.log.records() - first).min(RECORDS_A_BATCH);
        let batch = LogBatch { log: Arc::clone(&self.log), first, records };
        Ok((batch, Position((first + records) as u64)))
    }

    fn open_combiner(&mut self, _: Duration) -> Result<(), BrokerError> {
        unreachable!("a restore combines nothing")
    }

    fn combined(&mut self, _: Duration) -> Result<Option<Committed>, BrokerError> {
        unreachable!("a restore combines nothing")
    }

    fn publish_combined(
        &mut self,
        _: &[CombinedRecord],
        _: &Committed,
        _: Duration,
    ) -> Result<(), BrokerError> {
        unreachable!("a restore combines nothing")
    }

    fn raw_progress(&mut self, _: Duration) -> Result<Vec<RawProgress>, BrokerError> {
        Ok(Vec::new())
    }

    fn search_raw(
        &mut self,
        _: &RawPartition,
        from: Position,
        _: Position,
        _: Duration,
    ) -> Result<RawSearch, BrokerError> {
        Ok(RawSearch::NoneBelow(from))
    }
}
