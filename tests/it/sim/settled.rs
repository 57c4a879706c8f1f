//! Schedules in which what was there before the first assignment is history: it is read in any order, settled slice by slice, and
//! live records come behind it, whatever happens to the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::config::{HistoryRules, HistorySignals};
use retention_signals::domain::values::time::Time;
use retention_signals::fault::Mutation;
use retention_signals::stream::rules::Rules;
use retention_signals::topic::{Input, Output, PerInput};
use serde_json::Value;

use super::check::{compare_letters, compare_profiles, is_of_rule, json, merge_time, topic_of, visible};
use super::history::Item;
use super::intake;
use super::mutation::Twist;
use super::runs::{Runner, quietly};
use super::schedule::Schedule;
use super::shop::{Meaning, START_MS};
use super::world::World;
use crate::live::history::instant_of;
use crate::oracle::{self, Oracle, OracleConfig};
use crate::settling::{alerts_of_states, comparable, standing_alerts};

/// Seeds that every run tries, and then new ones for so long.
const FIXED: u64 = 300;
const BUDGET: Duration = Duration::from_secs(3);
/// A broken rule that so many schedules do not notice is not noticed.
const SEEDS_OF_MUTATION: u64 = 20_000;
const DAY_MS: i64 = 86_400_000;

/// Rules of histories that are broken on purpose.
const MUTATIONS: [(&str, Mutation); 3] = [
    ("ends_of_history_at_each_assignment", Mutation::TakeHistoryEndsAnew),
    ("read_behind_the_history", Mutation::ReadBehindHistory),
    ("forget_from_when_signals_are_published", Mutation::ForgetSignalsFrom),
];

pub fn trials() -> Vec<Trial> {
    let mutations = MUTATIONS.map(|(name, mutation)| {
        Trial::test(format!("sim::history::mutation::{name}"), move || is_noticed(Twist::Worker(mutation)))
    });
    let mut trials = vec![Trial::test("sim::history::schedules", schedules)];
    trials.extend(mutations);
    trials
}

/// What workers do with a history in a schedule.
pub fn set_history(rules: &mut Rules, signals_from: Option<i64>) {
    if let Some(from) = signals_from {
        let signals_from = Time::from_millis(from);
        rules.history = HistoryRules { signals: HistorySignals::HoldBack, signals_from };
    }
}

fn schedules() -> Result<(), Failed> {
    let mut runner = Runner::new();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("RETENTION_SIM_SEED") {
        return play(&mut runner, seed, None).map_err(|violation| replay(seed, &violation));
    }
    let base = number("RETENTION_SIM_BASE").unwrap_or(FIXED);
    let seeds = number("RETENTION_SIM_SCHEDULES");
    let (started_at, mut played) = (Instant::now(), 0);
    for seed in (0..FIXED).chain(base..) {
        let is_over = match seeds {
            Some(count) => played >= count,
            None => played >= FIXED && started_at.elapsed() >= BUDGET,
        };
        if is_over {
            break;
        }
        play(&mut runner, seed, None).map_err(|violation| replay(seed, &violation))?;
        played += 1;
    }
    eprintln!("simulated {played} histories");
    Ok(())
}

fn replay(seed: u64, violation: &str) -> Failed {
    format!("RETENTION_SIM_SEED={seed} cargo test --test it -- --exact sim::history::schedules\n{violation}")
        .into()
}

fn is_noticed(twist: Twist) -> Result<(), Failed> {
    let mut runner = Runner::new();
    for seed in 0..SEEDS_OF_MUTATION {
        if let Err(violation) = play(&mut runner, seed, Some(twist)) {
            play(&mut runner, seed, None).map_err(|violation| replay(seed, &violation))?;
            let first_line = violation.lines().next().unwrap_or_default();
            eprintln!("{twist:?} is noticed by history {seed}: {first_line:.160}");
            return Ok(());
        }
    }
    Err(format!("{twist:?} is not noticed by {SEEDS_OF_MUTATION} histories").into())
}

fn play(runner: &mut Runner, seed: u64, twist: Option<Twist>) -> Result<(), String> {
    let Runner { stage, stacks } = runner;
    quietly(|| {
        let mut rng = Rng::with_seed(seed);
        let mut schedule = Schedule::random(stage, stacks, seed);
        schedule.signals_from = Some(START_MS + rng.i64(0..400) * DAY_MS);
        schedule.dead_letter_limit = None;
        // What is left of a history that an erasure is part of, the trials of `settling` compare.
        schedule.world.borrow_mut().shop.without_erasures();
        schedule.twist(twist);
        let result = schedule.run();
        schedule.end();
        result.map(drop)
    })
}

/// Whether every partition has come to its live records.
pub fn is_settled(world: &World) -> bool {
    (0..world.partitions).all(|partition| {
        let items = &world.history.past(partition).items;
        items.iter().any(|item| matches!(item, Item::HistorySettled(_)))
    })
}

/// Compares the committed outputs with the oracle, which hears the history live and in order of time.
///
/// # Errors
/// The first difference.
pub fn outputs(world: &World, config: &OracleConfig, from: i64) -> Result<(), String> {
    let mut letters_of = Vec::new();
    for partition in 0..world.partitions {
        let at = |message: String| format!("partition {partition}: {message}");
        let past = world.history.past(partition);
        let settled_at = past.items.iter().position(|item| matches!(item, Item::HistorySettled(_)));
        let settled_at = settled_at.expect("a schedule is over when all are settled");
        let (history, live) = past.items.split_at(settled_at);
        if live[1..].iter().any(|item| matches!(item, Item::HistorySettled(_))) {
            return Err(at("settled twice".to_owned()));
        }
        intake::check_history(world, partition, live).map_err(at)?;
        let history_ends = past.history_ends.expect("a seal that is settled shows the ends");
        if !world.history.may_jump {
            divided_at(&history_ends, history, live).map_err(at)?;
        }
        let mut oracle = Oracle::new(config);
        let mut letters = Vec::new();
        let mut records: Vec<(i64, Input, Value)> = Vec::new();
        for item in history {
            let Item::Applied(input, offset) = item else { continue };
            match &world.shop.meanings[&(*input, partition, *offset)] {
                Meaning::Refused(reason) => letters.push((*input, *offset, (*reason).to_owned())),
                meaning @ Meaning::Valid(value) => {
                    let time = merge_time(meaning).expect("a valid record has a time");
                    records.push((time, *input, Value::clone(value)));
                }
            }
        }
        records.sort_by_key(|(time, input, _)| (*time, *input));
        for (_, input, value) in records {
            oracle.apply(&oracle::Input::Record { topic: topic_of(input), value });
        }
        if let Item::HistorySettled(Some(clock)) = live[0] {
            oracle.apply(&oracle::Input::Clock(clock));
        }
        oracle.publish_all();
        let (settled, heard) = (oracle.profiles_at_clock(), oracle.log().signals.len());
        for item in live {
            match item {
                Item::TimersFired(to) | Item::ClockMoved { to, .. } => {
                    oracle.apply(&oracle::Input::Clock(*to));
                }
                Item::TimersLeft | Item::HistorySettled(_) => {}
                Item::Applied(input, offset) => match &world.shop.meanings[&(*input, partition, *offset)] {
                    Meaning::Refused(reason) => letters.push((*input, *offset, (*reason).to_owned())),
                    Meaning::Valid(value) => {
                        let refused = oracle.log().refused.len();
                        let value = Value::clone(value);
                        oracle.apply(&oracle::Input::Record { topic: topic_of(*input), value });
                        let reason = oracle.log().refused.get(refused);
                        letters.extend(reason.map(|(_, reason)| (*input, *offset, (*reason).to_owned())));
                    }
                },
            }
        }
        compare_signals(world, partition, &settled, &oracle.log().signals[heard..], from).map_err(at)?;
        let published = world.shop.customers.iter().map(|key| (key.clone(), oracle.published_profile(key)));
        let published = published.filter(|(_, profile)| !profile.is_null()).collect();
        compare_profiles(world, partition, &published)?;
        letters_of.push((partition, letters));
    }
    letters_of.into_iter().try_for_each(|(partition, letters)| compare_letters(world, partition, letters))
}

/// History is exactly the records below its ends.
fn divided_at(history_ends: &PerInput<u64>, history: &[Item], live: &[Item]) -> Result<(), String> {
    for (items, is_history) in [(history, true), (live, false)] {
        for item in items {
            if let Item::Applied(input, offset) = item
                && (*offset < history_ends[*input]) != is_history
            {
                return Err(format!("{input:?} {offset} is history: {is_history}, ends {history_ends:?}"));
            }
        }
    }
    Ok(())
}

fn compare_signals(
    world: &World,
    partition: u32,
    settled: &BTreeMap<String, Value>,
    live: &[Value],
    from: i64,
) -> Result<(), String> {
    let is_held_back = |signal: &Value| signal["cause"]["id"].is_null() && instant_of(signal) < from;
    let live = comparable(live.iter().filter(|signal| !is_held_back(signal)).cloned(), true);
    let found: Vec<Value> = visible(world, Output::Signals, partition).map(json).collect();
    // An order of a guest that comes twice has two signals of one id.
    let of_customers = || found.iter().filter(|signal| !signal["customer_id"].is_null());
    let ids: BTreeSet<&str> = of_customers().filter_map(|signal| signal["id"].as_str()).collect();
    if ids.len() != of_customers().count() {
        return Err("an id is there twice".to_owned());
    }
    // What rules emit is compared where there is no history. With records they fire before the instant too.
    let found: Vec<Value> = found.into_iter().filter(|signal| !is_of_rule(signal)).collect();
    if let Some(signal) = found.iter().find(|signal| is_held_back(signal)) {
        return Err(format!("before {from}: {signal}"));
    }
    let mut found = comparable(found.into_iter(), true);
    for signal in &live {
        let Some(index) = found.iter().position(|found| found == signal) else {
            return Err(format!("missing: {signal}"));
        };
        found.remove(index);
    }
    let expected: BTreeSet<_> = standing_alerts(settled)
        .into_iter()
        .filter(|(_, _, deadline)| {
            let deadline = chrono::DateTime::parse_from_rfc3339(deadline.trim_matches('"'));
            deadline.is_ok_and(|deadline| deadline.timestamp_millis() >= from)
        })
        .collect();
    let found = alerts_of_states(&found, settled);
    if found == expected { Ok(()) } else { Err(format!("settled {found:?}, not {expected:?}")) }
}
