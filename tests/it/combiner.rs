//! The combiner's book: what partitions count adds up to the same for any number of them, each day once, however their records are
//! interleaved and wherever the combiner starts again.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::Trial;
use retention_signals::domain::daily_count::DailyCount;
use retention_signals::domain::daily_count::sample::Sample;
use retention_signals::domain::daily_count::ticks::midnight;
use retention_signals::domain::engine::Engine;
use retention_signals::domain::engine::as_of::AsOf;
use retention_signals::domain::settings::Settings;
use retention_signals::domain::values::event::Record;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::observe::metrics::{IncompleteDay, IncompleteDays};
use retention_signals::stream::broker::{Offset, Position};
use retention_signals::stream::combiner::day_book::{DayBook, FinishedDay, Written};
use retention_signals::wire::hash::hash;
use retention_signals::wire::shares::{self, DayMarker, DayOutcome, Share, ShareRecord};

use crate::{daily_count, laws, rules};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("combiner::shares_are_read_as_written", || {
            laws::over_seeds(shares_are_read_as_written, 200)
        }),
        Trial::test("combiner::each_complete_day_once", || laws::over_seeds(each_complete_day_once, 300)),
    ]
}

const PARTITIONS: [u32; 4] = [1, 2, 4, 7];
const DAYS: i64 = 6;

fn without_sample(count: DailyCount) -> DailyCount {
    DailyCount { sample: Sample::new(0), ..count }
}

/// Shares hold all of a count but its sample, and add up as counts do.
fn shares_are_read_as_written(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let (settings, records) = daily_count::shop(&mut random);
    let (settings, _) = rules::outcomes::with_rules(&mut random, &settings);
    let at = midnight(records[random.usize(..records.len())].1.time()).plus(Span::days(random.i64(0..30)));
    let records: Vec<_> = records.into_iter().filter(|(_, record)| record.time() < at).collect();
    let whole = without_sample(daily_count::count_of(&settings, &records, 1, at)?);
    let engines = engines(&settings, &records, 4, at);
    let mut sum: Option<DailyCount> = None;
    for (partition, engine) in (0..).zip(&engines) {
        let count = engine.counted(AsOf::midnight(at), 0).remove(0);
        let share = Share { partition, store_id: Some("höhle/1\"".into()), count };
        let read = match shares::decode(&share.to_json())? {
            ShareRecord::Share(read) => read,
            ShareRecord::Day(marker) => return Err(format!("{marker:?}")),
        };
        if *read != share {
            return Err(format!("read {read:#?}\nwritten {share:#?}"));
        }
        match &mut sum {
            None => sum = Some(read.count),
            Some(sum) => sum.merge(&read.count),
        }
    }
    if sum.as_ref() == Some(&whole) { Ok(()) } else { Err(format!("{sum:#?}\nwhole {whole:#?}")) }
}

/// One for each partition, with its customers.
fn engines(settings: &Arc<Settings>, records: &[(String, Record)], partitions: u32, to: Time) -> Vec<Engine> {
    let mut engines: Vec<Engine> = (0..partitions).map(|_| Engine::new(Arc::clone(settings))).collect();
    for (key, record) in records {
        daily_count::apply(&mut engines[place(key, partitions)], key, record);
    }
    for engine in &mut engines {
        engine.advance_clock(to, usize::MAX);
    }
    engines
}

fn place(key: &str, partitions: u32) -> usize {
    (hash(key.as_bytes()) % u64::from(partitions)) as usize
}

/// What one partition does with a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Done {
    Counted,
    Skipped,
    /// It goes on to a later day without a word.
    Passed,
    /// It has not come to the day.
    NotYet,
}

fn plan(random: &mut Rng) -> Vec<Done> {
    let reached = if random.u8(..3) == 0 { random.i64(0..=DAYS) } else { DAYS };
    let day = |day| match random.u8(..12) {
        _ if day >= reached => Done::NotYet,
        0 => Done::Skipped,
        1 => Done::Passed,
        _ => Done::Counted,
    };
    (0..DAYS).map(day).collect()
}

fn each_complete_day_once(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let partitions = PARTITIONS[random.usize(..4)];
    let (settings, records) = daily_count::shop(&mut random);
    let first = midnight(records[records.len() / 2].1.time());
    let days: Vec<Time> = (0..DAYS).map(|day| first.plus(Span::days(day))).collect();
    let records: Vec<_> = records.into_iter().filter(|(_, record)| record.time() < days[0]).collect();
    let plans: Vec<Vec<Done>> = (0..partitions).map(|_| plan(&mut random)).collect();
    let engines = engines(&settings, &records, partitions, days[0]);
    let written = engines.iter().zip(&plans).zip(0..).map(|((engine, plan), partition)| {
        let days = days.iter().zip(plan);
        days.flat_map(|(day, done)| written(engine, partition, *day, *done)).collect()
    });
    let log = interleaved(&mut random, written.collect());

    let expected = expected(&plans, &days);
    let found = combined(&mut random, partitions, &log)?;
    let names: Vec<(Time, bool)> =
        found.iter().map(|day| (day.day(), matches!(day, FinishedDay::Complete { .. }))).collect();
    // A dropped day is not named where a later one was dropped before another partition came to it.
    let complete = |days: &[(Time, bool)]| -> Vec<_> { days.iter().copied().filter(|(_, is)| *is).collect() };
    if complete(&names) != complete(&expected) || names.iter().any(|name| !expected.contains(name)) {
        return Err(format!("{partitions} partitions, {plans:?}: {names:?}, not {expected:?}"));
    }
    for day in found {
        let FinishedDay::Complete { day, counts } = day else { continue };
        let whole = without_sample(daily_count::count_of(&settings, &records, 1, day)?);
        let sum = counts.get(&None);
        if sum.map_or(whole.totals.total() > 0, |sum| *sum != whole) {
            return Err(format!("{sum:#?}\nwhole {whole:#?}"));
        }
    }
    Ok(())
}

/// The values that a partition writes about a day, in order.
fn written(engine: &Engine, partition: u32, day: Time, done: Done) -> Vec<Vec<u8>> {
    let marker = |outcome| DayMarker { partition, day, outcome }.to_json();
    match done {
        Done::Counted => {
            let count = engine.counted(AsOf::midnight(day), 0).remove(0);
            if count.totals.total() == 0 {
                return vec![marker(DayOutcome::Counted { stores: Vec::new() })];
            }
            let share = Share { partition, store_id: None, count };
            vec![share.to_json(), marker(DayOutcome::Counted { stores: vec![None] })]
        }
        Done::Skipped => vec![marker(DayOutcome::Skipped)],
        Done::Passed | Done::NotYet => Vec::new(),
    }
}

/// Records of several writers in one log, each writer's in their order.
fn interleaved(random: &mut Rng, writers: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let mut left: Vec<std::vec::IntoIter<Vec<u8>>> = writers.into_iter().map(Vec::into_iter).collect();
    let mut log = Vec::new();
    loop {
        left.retain(|writer| writer.len() > 0);
        if left.is_empty() {
            return log;
        }
        let writer = random.usize(..left.len());
        log.extend(left[writer].next());
    }
}

/// Which days are finished, and which of them complete.
fn expected(plans: &[Vec<Done>], days: &[Time]) -> Vec<(Time, bool)> {
    let mut finished = Vec::new();
    for (index, day) in days.iter().enumerate() {
        let is_passed = |plan: &Vec<Done>| match plan[index] {
            Done::Skipped => true,
            Done::Passed => {
                plan[index + 1..].iter().any(|done| matches!(done, Done::Counted | Done::Skipped))
            }
            Done::Counted | Done::NotYet => false,
        };
        let is_named = plans.iter().any(|plan| matches!(plan[index], Done::Counted | Done::Skipped));
        if plans.iter().any(is_passed) {
            // A day of which no partition has said a word is no day.
            finished.extend(is_named.then_some((*day, false)));
        } else if plans.iter().all(|plan| plan[index] == Done::Counted) {
            finished.push((*day, true));
        } else if is_named {
            break;
        }
    }
    finished
}

type Counts = BTreeMap<Option<Box<str>>, DailyCount>;

/// What is committed by a combiner that crashes now and then.
fn combined(random: &mut Rng, partitions: u32, log: &[Vec<u8>]) -> Result<Vec<FinishedDay>, String> {
    let mut committed = (Position(0), None);
    let mut found: BTreeMap<Time, FinishedDay> = BTreeMap::new();
    for life in 0.. {
        let is_last = life == 5;
        let mut book = DayBook::new(partitions, committed.1);
        let mut next = committed.0;
        let mut to_reread = committed.1.and_then(|day| complete(&found, day));
        while let Some(value) = log.get(next.0 as usize) {
            book.apply(written_at(next.0), shares::decode(value)?);
            next = Position(next.0 + 1);
            while let Some(finished) = book.next_finished() {
                if !is_last && random.u8(..8) == 0 {
                    // It crashes before the commit.
                    break;
                }
                let day = finished.day();
                if let FinishedDay::Known { counts, .. } = &finished {
                    if to_reread.take().as_ref() != Some(counts) {
                        return Err(format!("{day:?} is read again with other figures, or twice"));
                    }
                    continue;
                }
                committed = (book.position(next), Some(day));
                if found.insert(day, finished).is_some() {
                    return Err(format!("{day:?} twice"));
                }
            }
            if book.finished() != committed.1 || !is_last && random.u8(..8) == 0 {
                break;
            }
        }
        if is_last {
            if to_reread.is_some() {
                return Err(format!("{:?} is not read again", committed.1));
            }
            check_incomplete(&book, log)?;
            return Ok(found.into_values().collect());
        }
    }
    unreachable!("the last life returns")
}

fn written_at(offset: u64) -> Written {
    Written { offset: Offset(offset), at_ms: Some(1_000 * offset as i64) }
}

fn complete(found: &BTreeMap<Time, FinishedDay>, day: Time) -> Option<Counts> {
    match found.get(&day)? {
        FinishedDay::Complete { counts, .. } => Some(counts.clone()),
        FinishedDay::Known { .. } | FinishedDay::Dropped { .. } => None,
    }
}

/// Every day behind the last finished one, and when its first record was written.
fn check_incomplete(book: &DayBook, log: &[Vec<u8>]) -> Result<(), String> {
    let mut firsts: BTreeMap<Time, u64> = BTreeMap::new();
    for (offset, value) in (0..).zip(log) {
        let day = match shares::decode(value)? {
            ShareRecord::Share(share) => share.count.at,
            ShareRecord::Day(marker) => marker.day,
        };
        if Some(day) > book.finished() {
            firsts.entry(day).or_insert(offset);
        }
    }
    let oldest = firsts.first_key_value();
    let oldest = oldest.map(|(day, offset)| IncompleteDay { day: *day, since_ms: written_at(*offset).at_ms });
    let expected = IncompleteDays { count: firsts.len(), oldest };
    if book.incomplete() == expected {
        return Ok(());
    }
    Err(format!("incomplete: {:?}, not {expected:?}", book.incomplete()))
}
