//! What must be in the topics in the end: what the oracle says of what was applied, each signal once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use retention_signals::observe::status::ServiceStatus;
use retention_signals::wire::changelog::{self, StateRecord};
use serde_json::Value;

use super::history::Item;
use super::log::Entry;
use super::shop::{Meaning, Pace, START_MS};
use super::stage::Setup;
use super::world::World;
use crate::differential::Service;
use crate::oracle::{self, Oracle, OracleConfig};
use retention_signals::topic::{Input, Output, Topic};

/// Everything that should have come out of one partition.
#[derive(Default)]
struct Expected {
    signals: Vec<Value>,
    profiles: BTreeMap<String, Value>,
    /// By topic and offset.
    letters: Vec<(Input, u64, String)>,
}

/// Compares the committed outputs with the oracle.
///
/// # Errors
/// The first difference.
pub fn outputs(world: &World, setup: &Setup) -> Result<(), String> {
    for partition in 0..world.partitions {
        let items = &world.history.past(partition).items;
        let mut expected = expected(world, &setup.oracle, partition, items);
        if let Some(book) = &setup.book {
            let service = Service::with_rules(&setup.oracle, Arc::clone(book));
            expected.signals.extend(of_rules(world, service, partition, items));
        }
        compare_signals(world, partition, expected.signals)?;
        compare_profiles(world, partition, &expected.profiles)?;
        compare_letters(world, partition, expected.letters)?;
        compare_merge_order(world, partition)?;
    }
    Ok(())
}

/// Whether a worker shows only signals that are decided to be committed.
///
/// # Errors
/// It shows another one.
pub fn shown(world: &World, status: &ServiceStatus) -> Result<(), String> {
    for signal in status.recent_signals() {
        let Some(customer_id) = &signal.customer_id else { continue };
        let partition = world.shop.partition_of(customer_id);
        let log = world.log(Topic::Output(Output::Signals), partition);
        let kind = format!("\"type\":\"{}\"", signal.signal_type.name());
        let is_of_it = |entry: &&Entry| {
            let value = entry.record.value.as_deref().unwrap_or_default();
            entry.record.key.as_deref() == Some(customer_id.as_bytes())
                && memchr::memmem::find(value, kind.as_bytes()).is_some()
        };
        let is_committed = |entry: &Entry| {
            entry.is_visible() || entry.writer().is_some_and(|writer| world.coordinator.is_committing(writer))
        };
        if !log.entries().iter().filter(is_of_it).any(is_committed) {
            return Err(format!("shown before its commit: {signal:?}"));
        }
    }
    Ok(())
}

/// Whether everything that could be applied was.
pub fn is_read_to_the_end(world: &World) -> bool {
    (0..world.partitions).all(|partition| {
        Input::ALL.iter().all(|input| {
            let next = world.history.past(partition).next[*input];
            !world.log(Topic::Input(*input), partition).has_more(next)
        })
    })
}

fn expected(world: &World, config: &OracleConfig, partition: u32, items: &[Item]) -> Expected {
    let mut oracle = Oracle::new(config);
    let mut expected = Expected::default();
    for item in items {
        let (input, offset) = match item {
            Item::TimersFired(to) | Item::ClockMoved { to, .. } => {
                oracle.apply(&oracle::Input::Clock(*to));
                continue;
            }
            // These schedules have no history; `settled` checks those that do.
            Item::TimersLeft | Item::HistorySettled(_) => continue,
            Item::Applied(input, offset) => (*input, *offset),
        };
        match &world.shop.meanings[&(input, partition, offset)] {
            Meaning::Refused(reason) => expected.letters.push((input, offset, (*reason).to_owned())),
            Meaning::Valid(value) => {
                let refused = oracle.log().refused.len();
                oracle.apply(&oracle::Input::Record { topic: topic_of(input), value: Value::clone(value) });
                if let Some((_, reason)) = oracle.log().refused.get(refused) {
                    expected.letters.push((input, offset, (*reason).to_owned()));
                }
            }
        }
    }
    expected.signals = oracle.log().signals.clone();
    for customer in &world.shop.customers {
        let profile = oracle.published_profile(customer);
        if !profile.is_null() {
            expected.profiles.insert(customer.clone(), profile);
        }
    }
    expected
}

/// What rules emit in an engine that nothing happens to.
fn of_rules(world: &World, mut service: Service, partition: u32, items: &[Item]) -> Vec<Value> {
    let mut signals = Vec::new();
    for item in items {
        let input = match item {
            Item::TimersFired(to) | Item::ClockMoved { to, .. } => oracle::Input::Clock(*to),
            Item::TimersLeft | Item::HistorySettled(_) => continue,
            Item::Applied(input, offset) => match &world.shop.meanings[&(*input, partition, *offset)] {
                Meaning::Refused(_) => continue,
                Meaning::Valid(value) => {
                    oracle::Input::Record { topic: topic_of(*input), value: Value::clone(value) }
                }
            },
        };
        let emitted = service.apply(&input);
        let emitted = emitted.iter().filter_map(|step| serde_json::from_str::<Value>(step).ok());
        signals.extend(emitted.filter(is_of_rule));
    }
    signals
}

pub(super) fn is_of_rule(signal: &Value) -> bool {
    signal["type"] == "rule"
}

pub(super) fn topic_of(input: Input) -> oracle::Topic {
    match input {
        Input::Orders => oracle::Topic::Orders,
        Input::Returns => oracle::Topic::Returns,
        Input::Erasures => oracle::Topic::Erasures,
    }
}

pub(super) fn visible(world: &World, output: Output, partition: u32) -> impl Iterator<Item = &Entry> {
    world.log(Topic::Output(output), partition).entries().iter().filter(|entry| entry.is_visible())
}

pub(super) fn json(entry: &Entry) -> Value {
    serde_json::from_slice(entry.record.value.as_deref().unwrap_or_default()).unwrap_or_default()
}

/// Every id once; only a customer who was erased in between may have the signal of the same return or cancellation again.
fn compare_signals(world: &World, partition: u32, expected: Vec<Value>) -> Result<(), String> {
    let id = |signal: &Value| signal["id"].as_str().unwrap_or_default().to_owned();
    let mut missing: HashMap<String, Vec<Value>> = HashMap::new();
    for signal in expected {
        missing.entry(id(&signal)).or_default().push(signal);
    }
    for entry in visible(world, Output::Signals, partition) {
        let found = json(entry);
        let Some(expected) = missing.get_mut(&id(&found)) else {
            return Err(format!("partition {partition}: not to be said: {found}"));
        };
        let Some(index) = expected.iter().position(|signal| *signal == found) else {
            let expected: Vec<String> = expected.iter().map(Value::to_string).collect();
            return Err(match expected.first() {
                Some(expected) => format!("partition {partition}: found    {found}\nexpected {expected}"),
                None => format!("partition {partition}: said twice: {found}"),
            });
        };
        expected.swap_remove(index);
    }
    match missing.into_values().flatten().min_by_key(Value::to_string) {
        Some(signal) => Err(format!("partition {partition}: missing: {signal}")),
        None => Ok(()),
    }
}

/// The last profile of each customer, and who is held in the state.
pub(super) fn compare_profiles(
    world: &World,
    partition: u32,
    expected: &BTreeMap<String, Value>,
) -> Result<(), String> {
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for entry in visible(world, Output::Customers, partition) {
        let key = String::from_utf8_lossy(entry.record.key.as_deref().unwrap_or_default()).into_owned();
        match &entry.record.value {
            Some(_) => found.insert(key, json(entry)),
            None => found.remove(&key),
        };
    }
    if let Some(key) = world.shop.customers.iter().find(|key| found.get(*key) != expected.get(*key)) {
        let (found, expected) = (found.get(key), expected.get(key));
        return Err(format!(
            "partition {partition}: profile of {key}\nfound    {found:?}\nexpected {expected:?}"
        ));
    }
    let mut held: BTreeMap<String, bool> = BTreeMap::new();
    for entry in visible(world, Output::Changelog, partition) {
        let record = changelog::decode(entry.record.key.as_deref(), entry.record.value.as_deref());
        if let StateRecord::Customer { key, packed } = record.map_err(|error| error.to_string())? {
            held.insert(String::from_utf8_lossy(key).into_owned(), packed.is_some());
        }
    }
    let held: Vec<&String> = held.iter().filter(|(_, is_held)| **is_held).map(|(key, _)| key).collect();
    if held != expected.keys().collect::<Vec<_>>() {
        return Err(format!("partition {partition}: held are {held:?}, not {:?}", expected.keys()));
    }
    Ok(())
}

pub(super) fn compare_letters(
    world: &World,
    partition: u32,
    mut expected: Vec<(Input, u64, String)>,
) -> Result<(), String> {
    let mut found = Vec::new();
    // A letter lies where its key puts it, which need not be where its record lay.
    for entry in (0..world.partitions).flat_map(|place| visible(world, Output::DeadLetters, place)) {
        let header = |name: &str| {
            let value = entry.record.headers.iter().find(|(header, _)| header == name);
            value.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        if header("dlq_partition") != partition.to_string() {
            continue;
        }
        let input = match header("dlq_topic").as_str() {
            "orders" => Input::Orders,
            "returns" => Input::Returns,
            _ => Input::Erasures,
        };
        found.push((input, header("dlq_offset").parse().unwrap_or_default(), header("dlq_reason")));
    }
    found.sort();
    expected.sort();
    if found == expected {
        return Ok(());
    }
    Err(format!("partition {partition}: dead letters\nfound    {found:?}\nexpected {expected:?}"))
}

/// What was there before the start is applied in the order of life, whatever happened to the workers.
fn compare_merge_order(world: &World, partition: u32) -> Result<(), String> {
    if !matches!(world.shop.pace, Pace::Loaded { .. }) || world.has_long_stall || world.history.may_jump {
        return Ok(());
    }
    let items = &world.history.past(partition).items;
    let applied: Vec<(Input, u64)> = items
        .iter()
        .filter_map(|item| match item {
            Item::Applied(input, offset) => Some((*input, *offset)),
            Item::TimersFired(_) | Item::ClockMoved { .. } | Item::TimersLeft | Item::HistorySettled(_) => {
                None
            }
        })
        .collect();
    let mut in_order = applied.clone();
    in_order.sort();
    let mut keys = [i64::MIN; 3];
    let mut keyed: Vec<(i64, Input, u64)> = Vec::new();
    for (input, offset) in in_order {
        let key = &mut keys[input as usize];
        *key = (*key).max(merge_time(&world.shop.meanings[&(input, partition, offset)]).unwrap_or(*key));
        keyed.push((*key, input, offset));
    }
    keyed.sort();
    let expected: Vec<(Input, u64)> = keyed.iter().map(|(_, input, offset)| (*input, *offset)).collect();
    if applied == expected {
        return Ok(());
    }
    Err(format!("partition {partition}: merged as {applied:?}, not as {expected:?}"))
}

/// The time by which a record is merged; none if it is unreadable.
pub(super) fn merge_time(meaning: &Meaning) -> Option<i64> {
    match meaning {
        Meaning::Valid(value) => ["placed_at", "cancelled_at", "returned_at", "requested_at"]
            .iter()
            .find_map(|field| value.get(*field)?.as_i64()),
        Meaning::Refused("wrong_partition") => Some(START_MS),
        Meaning::Refused(_) => None,
    }
}
