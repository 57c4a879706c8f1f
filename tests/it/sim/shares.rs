//! Schedules in which partitions count days and a combiner publishes them: each complete day once, as recomputed from the input, whatever
//! happens to the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::topic::{Input, Output};
use retention_signals::wire::shares::{self, DayOutcome, ShareRecord, day_text};
use serde_json::Value;

use super::check::{json, visible};
use super::log::Entry;
use super::runs::{Runner, quietly};
use super::schedule::Schedule;
use super::shop::{Pace, Shop};
use super::world::{Chaos, WALL_START_MS, World};
use crate::live::history::{self, History, time_of};
use crate::oracle::{self, OracleConfig};

/// Seeds that every run tries, and then new ones for so long.
const FIXED: u64 = 40;
const BUDGET: Duration = Duration::from_secs(2);
/// So many days of the fixed ones must be published, or the trial shows nothing.
const PUBLISHED_MIN: usize = 400;
const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 20;
/// Where clocks go in the end: within the last day that is counted.
const END_MS: i64 = WALL_START_MS - 3 * 3_600_000;
/// Without segments, by the default policy.
const SETUP: usize = 0;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("sim::shares::schedules", schedules)]
}

fn schedules() -> Result<(), Failed> {
    let mut runner = Runner::new();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut try_seed = |seed: u64| {
        play(&mut runner, seed).map_err(|violation| {
            let variable = format!("RETENTION_SIM_SEED={seed}");
            Failed::from(format!(
                "{variable} cargo test --test it -- --exact sim::shares::schedules\n{violation}"
            ))
        })
    };
    if let Some(seed) = number("RETENTION_SIM_SEED") {
        return try_seed(seed).map(drop);
    }
    let mut published = 0;
    for seed in 0..FIXED {
        published += try_seed(seed)?;
    }
    let (started_at, mut seed) = (Instant::now(), number("RETENTION_SIM_BASE").unwrap_or(FIXED));
    while started_at.elapsed() < BUDGET {
        try_seed(seed)?;
        seed += 1;
    }
    eprintln!("{published} days published by the fixed schedules");
    if published < PUBLISHED_MIN { Err(format!("{published} days are hardly any").into()) } else { Ok(()) }
}

/// Plays a schedule. Gives the number of days that were published.
fn play(runner: &mut Runner, seed: u64) -> Result<usize, String> {
    let Runner { stage, stacks } = runner;
    let config = OracleConfig { shop_metrics: true, ..stage.setups[SETUP].oracle.clone() };
    quietly(|| {
        let mut rng = Rng::with_seed(seed);
        let history = shop_history(seed);
        let chaos = Chaos {
            switch: [0, 4, 12, 40][rng.usize(..4)],
            fail: [0, 3, 10, 30][rng.usize(..4)],
            slow: [0, 8, 40][rng.usize(..3)],
            faults_left: rng.u32(..20),
            laziness: rng.u32(1..30),
            stingy: [16, 64, 128][rng.usize(..3)],
            fetch_max: rng.usize(1..=12),
        };
        let world = World::new(rng.fork(), chaos, shop(&history, rng.u32(1..=4)));
        let mut schedule = Schedule::new(stage, stacks, SETUP, world, rng.fork());
        schedule.world.borrow_mut().has_long_stall = chaos.stingy >= 128 && chaos.laziness > 4;
        schedule.counts_days = true;
        schedule.instances = rng.usize(1..=3);
        for instance in 0..schedule.instances {
            let delay = if instance == 0 { 0 } else { rng.u64(0..6_000) };
            schedule.to_start.push((Duration::from_millis(delay), instance));
        }
        let result = schedule.run().and_then(|_| outputs(&schedule.world.borrow(), &config, &history));
        schedule.end();
        result
    })
}

/// Some weeks up to the day on which the world begins.
fn shop_history(seed: u64) -> History {
    let history = history::random(seed, 12, DAYS);
    let shift = END_MS / DAY_MS * DAY_MS - (DAYS - 1) * DAY_MS - history::START_MILLIS;
    let moved = |records: Vec<Value>| -> Vec<Value> {
        let moved = records.into_iter().map(|mut record| {
            for field in ["placed_at", "cancelled_at", "returned_at"] {
                if let Some(time) = record[field].as_i64() {
                    record[field] = (time + shift).into();
                }
            }
            if record["currency"].is_string() {
                record["currency"] = "EUR".into();
            }
            record
        });
        moved.filter(|record| time_of(record) < END_MS).collect()
    };
    History { orders: moved(history.orders), returns: moved(history.returns), end: END_MS, ..history }
}

/// Everything was written before the workers start; clocks go to the end of the history.
fn shop(history: &History, partitions: u32) -> Shop {
    let mut shop = Shop::empty(partitions, Pace::Loaded { end: Some(END_MS) }, 0);
    let customers: BTreeSet<String> =
        history.orders.iter().map(|order| history::key_of(order).to_owned()).collect();
    shop.customers = customers.into_iter().collect();
    for (input, records) in [(Input::Orders, &history.orders), (Input::Returns, &history.returns)] {
        for record in records {
            let arrival = shop.record(input, record.clone());
            shop.push(Duration::ZERO, arrival);
        }
    }
    shop
}

/// Whether every complete day is published. Asked at each step of the end, so no figures are read.
pub fn is_combined(world: &World) -> bool {
    let published: BTreeSet<String> = visible(world, Output::ShopMetrics, 0).map(text_of_key).collect();
    complete_days(world).iter().all(|day| published.contains(&key_of(*day)))
}

/// Each complete day is there once, in the order of time, with the figures of the records before its midnight. Gives how many there are.
fn outputs(world: &World, config: &OracleConfig, history: &History) -> Result<usize, String> {
    let days = complete_days(world);
    let published = published(world);
    let names: Vec<&String> = published.iter().map(|(key, _)| key).collect();
    let expected: Vec<String> = days.iter().map(|day| key_of(*day)).collect();
    if names != expected.iter().collect::<Vec<_>>() {
        return Err(format!("published {names:?}, not {expected:?}"));
    }
    // A merge that gave up waiting may have counted a day before its last records.
    if world.has_long_stall || world.history.may_jump {
        return Ok(published.len());
    }
    for (day, (key, found)) in days.iter().zip(&published) {
        let expected = recomputed(config, history, *day);
        if *found != expected {
            return Err(format!("{key}: {found:#}\nnot {expected:#}"));
        }
    }
    Ok(published.len())
}

/// Shop metrics without cohorts, with every repetition.
fn published(world: &World) -> Vec<(String, Value)> {
    let entries = visible(world, Output::ShopMetrics, 0);
    let metrics = entries.filter(|entry| !text_of_key(entry).contains("/cohort/"));
    metrics.map(|entry| (text_of_key(entry), json(entry))).collect()
}

fn text_of_key(entry: &Entry) -> String {
    String::from_utf8_lossy(entry.record.key.as_deref().unwrap_or_default()).into_owned()
}

/// Midnights that every partition has counted.
fn complete_days(world: &World) -> Vec<i64> {
    let mut counted: BTreeMap<i64, BTreeSet<u32>> = BTreeMap::new();
    // A marker's key names no store, and shares are long.
    let markers = visible(world, Output::Shares, 0).filter(|entry| text_of_key(entry).contains("//"));
    for entry in markers {
        let record = shares::decode(entry.record.value.as_deref().unwrap_or_default());
        if let Ok(ShareRecord::Day(marker)) = record
            && matches!(marker.outcome, DayOutcome::Counted { .. })
        {
            counted.entry(marker.day.as_millis()).or_default().insert(marker.partition);
        }
    }
    counted.retain(|_, partitions| partitions.len() == world.partitions as usize);
    counted.into_keys().collect()
}

fn key_of(midnight: i64) -> String {
    format!("shop/{}", day_text(Time::MIN.plus(Span::from_millis(midnight))))
}

/// What the records before a midnight come to at it.
fn recomputed(config: &OracleConfig, history: &History, midnight: i64) -> Value {
    let before = |records: &[Value]| -> Vec<Value> {
        records.iter().filter(|record| time_of(record) < midnight).cloned().collect()
    };
    let mut inputs = oracle::merge_order(before(&history.orders), before(&history.returns), Vec::new());
    inputs.push(oracle::Input::Clock(midnight));
    oracle::run(config, &inputs).shop_metrics.pop().expect("a line at the end")
}
