//! The daily count: the same for any number of partitions and whenever it is made, and the sample of the story's customers.

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::daily_count::DailyCount;
use retention_signals::domain::daily_count::sample::sample_hash;
use retention_signals::domain::engine::Engine;
use retention_signals::domain::engine::as_of::AsOf;
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::signal::State;
use retention_signals::domain::values::event::Record;
use retention_signals::domain::values::ids::{CustomerKey, ShopIndex};
use retention_signals::domain::values::time::{Span, Time, Zone};
use retention_signals::wire::hash::hash;

use crate::laws;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("daily_count::partitions_add_up", || laws::over_seeds(partitions_add_up, 400)),
        Trial::test("daily_count::a_later_count_is_the_same", || {
            laws::over_seeds(a_later_count_is_the_same, 400)
        }),
        Trial::test("daily_count::a_count_in_slices_is_the_same", || {
            laws::over_seeds(a_count_in_slices_is_the_same, 100)
        }),
        Trial::test("daily_count::the_sample_takes_the_smallest_hashes", the_sample_takes_the_smallest),
    ]
}

const CUSTOMERS: usize = 12;

/// Random histories of some customers by time, and the settings of a store far from UTC.
pub fn shop(random: &mut Rng) -> (Arc<Settings>, Vec<(String, Record)>) {
    let settings = laws::settings(random);
    let Shops::One(shop) = &settings.shops else { unreachable!("one shop") };
    let zone = Zone::new(-36_000, vec![(365 * Span::DAY.as_millis() + 1, 36_000)]);
    let shop = Shop { zone, ..shop.clone() };
    let defaults = Settings::with_defaults(Shops::One(shop), hash, settings.erasure_hash.clone());
    let settings = Settings { lapse: settings.lapse.clone(), ..defaults };
    let mut records: Vec<(String, Record)> = (0..CUSTOMERS)
        .flat_map(|customer| {
            let history = laws::history(random);
            history.into_iter().map(move |record| (format!("c-{customer}"), record))
        })
        .collect();
    records.sort_by_key(|(_, record)| record.time());
    (Arc::new(settings), records)
}

pub fn apply(engine: &mut Engine, key: &str, record: &Record) {
    let key = CustomerKey { bytes: key.as_bytes(), hash: hash(key.as_bytes()) };
    engine.handle_record(key, ShopIndex(0), record, usize::MAX);
    engine.drain_signals().for_each(drop);
    engine.changes_committed();
}

/// The counts of so many partitions, added up from the last to the first.
pub fn count_of(
    settings: &Arc<Settings>,
    records: &[(String, Record)],
    partitions: u64,
    at: Time,
) -> Result<DailyCount, String> {
    let mut engines: Vec<Engine> = (0..partitions).map(|_| Engine::new(settings.clone())).collect();
    for (key, record) in records {
        apply(&mut engines[(hash(key.as_bytes()) % partitions) as usize], key, record);
    }
    let counts = engines.iter_mut().rev().map(|engine| {
        engine.advance_clock(at, usize::MAX);
        engine.counted(AsOf::midnight(at), 5).remove(0)
    });
    let sum = counts.reduce(|mut sum, count| {
        sum.merge(&count);
        sum
    });
    sum.ok_or_else(|| "no partition".to_owned())
}

fn midnight(random: &mut Rng) -> Time {
    Time::from_millis(Span::days(random.i64(200..1_600)).as_millis()).expect("in range")
}

fn partitions_add_up(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let (settings, mut records) = shop(&mut random);
    let at = midnight(&mut random);
    records.retain(|(_, record)| record.time() < at);
    let one = count_of(&settings, &records, 1, at)?;
    for partitions in [2, 4, 7] {
        let sum = count_of(&settings, &records, partitions, at)?;
        if sum != one {
            return Err(format!("{partitions} partitions:\n{sum:#?}\none:\n{one:#?}"));
        }
    }
    Ok(())
}

/// What edits a record from before an instant is a late record.
pub fn leave_out_edits(records: &mut Vec<(String, Record)>, at: Time) {
    let until = records.partition_point(|(_, record)| record.time() < at);
    let identity = |(key, record): &(String, Record)| match record {
        Record::Order(order) => (key.clone(), 0, order.id.0),
        Record::Cancellation(cancellation) => (key.clone(), 1, cancellation.order.0),
        Record::Return(returned) => (key.clone(), 2, returned.id.0),
    };
    let known: BTreeSet<_> = records[..until].iter().map(identity).collect();
    records.retain(|record| record.1.time() < at || !known.contains(&identity(record)));
}

fn a_later_count_is_the_same(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let (settings, mut records) = shop(&mut random);
    let at = midnight(&mut random);
    let end = at.plus(Span::days(random.i64(0..35)));
    records.retain(|(_, record)| record.time() < end);
    leave_out_edits(&mut records, at);
    let until = records.partition_point(|(_, record)| record.time() < at);
    let in_time = count_of(&settings, &records[..until], 1, at)?;
    let mut engine = Engine::new(Arc::clone(&settings));
    for (key, record) in &records {
        apply(&mut engine, key, record);
    }
    engine.advance_clock(end, usize::MAX);
    let mut later = engine.counted(AsOf::midnight(at), 5).remove(0);
    // By then the first months of a year may have left the ledgers, and no rows are made of what is left.
    let mut in_time = in_time;
    in_time.rows_from = later.rows_from;
    in_time.months.retain(|month, _| *month >= later.rows_from);
    in_time.cohorts.rows.retain(|(month, _), _| *month >= later.rows_from);
    // Of who has only placed a test order, or sent what names no known order, nothing is left once that has left the ledger.
    let prospects = State::Prospect as usize;
    let has_left = |(_, record): &(String, Record)| record.time().plus(settings.ledger_horizon()) <= end;
    if records.iter().any(has_left) && later.totals.customers[prospects] < in_time.totals.customers[prospects]
    {
        in_time.totals.customers[prospects] = later.totals.customers[prospects];
    }
    // Rows of the sample look back by 90 days more.
    later.sample = in_time.sample.clone();
    if later == in_time { Ok(()) } else { Err(format!("later:\n{later:#?}\nin time:\n{in_time:#?}")) }
}

fn a_count_in_slices_is_the_same(seed: u64) -> Result<(), String> {
    use retention_signals::domain::engine::Progress;
    use retention_signals::domain::engine::daily_count::DailyCounting;
    let mut random = Rng::with_seed(seed);
    let (settings, records) = shop(&mut random);
    let mut engine = Engine::new(settings.clone());
    records.iter().for_each(|(key, record)| apply(&mut engine, key, record));
    let Some(clock) = engine.clock() else { return Ok(()) };
    let as_of = AsOf::including(clock);
    let mut counting = DailyCounting::new(&settings, clock, as_of, 5);
    let mut slices = 1;
    while engine.count(&mut counting, 3) == Progress::More {
        slices += 1;
    }
    let whole = engine.counted(as_of, 5);
    if counting.into_counts() == whole && slices == engine.customers_len().div_ceil(3) {
        return Ok(());
    }
    Err(format!("{slices} slices differ from {whole:#?}"))
}

fn the_sample_takes_the_smallest() -> Result<(), Failed> {
    let mut keys = ["c-1042", "c-2077", "c-3310"];
    keys.sort_by_key(|key| sample_hash(key.as_bytes(), hash));
    if keys == ["c-2077", "c-1042", "c-3310"] { Ok(()) } else { Err(format!("{keys:?}").into()) }
}
