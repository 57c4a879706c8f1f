//! History in any order, settled, against the oracle, which hears the same records live and in order of time. Then both hear what is
//! live. `RETENTION_HISTORY_SEED` replays one history, `RETENTION_HISTORY_SEEDS` sets how many are tried.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::Progress;
use retention_signals::domain::values::time::Time;
use serde_json::Value;

use crate::differential::Service;
use crate::live::history::instant_of;
use crate::oracle::{Input, Oracle, OracleConfig, Topic, history};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("settling::any_order_gives_what_live_records_give", || over_seeds(any_order)),
        Trial::test("settling::a_restored_engine_settles_the_same", || over_seeds(restored_on_the_way)),
        Trial::test("settling::deadlines_before_the_instant_are_held_back", || over_seeds(held_back)),
    ]
}

fn over_seeds(law: fn(u64) -> Result<(), String>) -> Result<(), Failed> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("RETENTION_HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RETENTION_HISTORY_SEEDS").unwrap_or(400),
    };
    for seed in seeds {
        law(seed)
            .map_err(|difference| format!("RETENTION_HISTORY_SEED={seed} replays this\n{difference}"))?;
    }
    Ok(())
}

/// A random history: its records in order of time, and how many of them were there before the partition was first read.
struct Load {
    config: OracleConfig,
    in_order: Vec<Input>,
    history_len: usize,
    /// The instant that the clock comes to at last.
    end: i64,
}

impl Load {
    fn new(seed: u64, rng: &mut Rng) -> Load {
        let random = history(seed);
        let policy_version = Service::new(&random.config).policy_version;
        let config = OracleConfig { policy_version, ..random.config };
        let erasures = random.wild.iter().filter(|input| topic_of(input) == Some(Topic::Erasures));
        let mut in_order: Vec<Input> = random.in_order.iter().chain(erasures).cloned().collect();
        in_order.sort_by_key(|input| (time_of(input), topic_of(input)));
        in_order.dedup_by_key(|input| input.to_string());
        if in_order.iter().any(|input| topic_of(input) == Some(Topic::Erasures)) {
            // Of two statements of one return or cancellation the one that counts may be the one that an erasure has to drop. Live,
            // the other one would have been the only one.
            let mut stated = BTreeSet::new();
            in_order.retain(|input| stated_again(input).is_none_or(|id| stated.insert(id)));
            // Nor does history know what was unknown at the time of a record that came before its order.
            let placed: BTreeMap<String, i64> = in_order
                .iter()
                .rev()
                .filter_map(|input| Some((order_id(input, "placed_at")?, time_of(input))))
                .collect();
            in_order.retain(|input| {
                let named = ["cancelled_at", "returned_at"].iter().find_map(|time| order_id(input, time));
                named.and_then(|id| placed.get(&id)).is_none_or(|placed_at| *placed_at <= time_of(input))
            });
        }
        let history_len = rng.usize(0..=in_order.len());
        Load { config, in_order, history_len, end: random.end }
    }

    /// The history as it was loaded: erasures first, as a partition reads them; the rest in any order, some of it twice.
    fn as_loaded(&self, rng: &mut Rng) -> Vec<Input> {
        let mut loaded: Vec<Input> = self.in_order[..self.history_len].to_vec();
        for _ in 0..rng.usize(0..4) {
            if let Some(again) = rng.choice(&self.in_order[..self.history_len]) {
                loaded.push(again.clone());
            }
        }
        rng.shuffle(&mut loaded);
        loaded.sort_by_key(|input| topic_of(input) != Some(Topic::Erasures));
        loaded
    }
}

fn topic_of(input: &Input) -> Option<Topic> {
    match input {
        Input::Record { topic, .. } => Some(*topic),
        Input::Clock(_) => None,
    }
}

/// The order that a record with this field names.
fn order_id(input: &Input, field: &str) -> Option<String> {
    let Input::Record { value, .. } = input else { return None };
    value.get(field)?;
    Some(format!("{} {}", value["customer_id"], value.get("order_id")?))
}

/// What a return or a cancellation is about.
fn stated_again(input: &Input) -> Option<String> {
    let Input::Record { value, .. } = input else { return None };
    let cancelled = value.get("cancelled_at").and_then(|_| value.get("order_id"));
    Some(format!("{} {}", value["customer_id"], value.get("return_id").or(cancelled)?))
}

/// Of a record that the generator has made.
fn time_of(input: &Input) -> i64 {
    let Input::Record { value, .. } = input else { panic!("only records are loaded") };
    let time =
        ["placed_at", "cancelled_at", "returned_at", "requested_at"].iter().find_map(|name| value.get(name));
    let time = time.expect("every record has a time");
    time.as_i64().unwrap_or_else(|| {
        let text = time.as_str().expect("a time is a number or a text");
        chrono::DateTime::parse_from_rfc3339(text).expect("the generator's own").timestamp_millis()
    })
}

/// What settling has caused.
#[derive(Default, PartialEq, Eq, Debug)]
struct Settled {
    signals: Vec<Value>,
    profiles: BTreeMap<String, Value>,
}

impl Settled {
    fn add(&mut self, service: &mut Service) -> Result<(), String> {
        self.signals.extend(service.emitted(None).iter().map(|signal| parse(signal)));
        for profile in service.changes().iter().filter(|change| change.starts_with('{')) {
            let profile = parse(profile);
            let customer = profile["customer_id"].as_str().unwrap_or_default().to_owned();
            if self.profiles.insert(customer.clone(), profile).is_some() {
                return Err(format!("the profile of {customer} is published twice"));
            }
        }
        Ok(())
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("what is compared is JSON")
}

/// Loads the history and settles it, some customers at a time.
fn settled(service: &mut Service, loaded: &[Input], rng: &mut Rng) -> Result<Settled, String> {
    service.engine.begin_history(usize::MAX);
    load(service, loaded)?;
    settle(service, rng)
}

fn load(service: &mut Service, loaded: &[Input]) -> Result<(), String> {
    for input in loaded {
        let steps = service.apply(input);
        if let Some(step) = steps.iter().find(|step| step.starts_with('{') || step.contains("too_old")) {
            return Err(format!("in history {input} causes {step}"));
        }
    }
    Ok(())
}

fn settle(service: &mut Service, rng: &mut Rng) -> Result<Settled, String> {
    let mut settled = Settled::default();
    while service.engine.settle_history(rng.usize(1..3)) == Progress::More {
        settled.add(service)?;
    }
    settled.add(service)?;
    Ok(settled)
}

fn any_order(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let load = Load::new(seed, &mut rng);
    let loaded = load.as_loaded(&mut rng);
    let mut service = Service::new(&load.config);
    let mut oracle = Oracle::new(&load.config);
    let settled = settled(&mut service, &loaded, &mut rng)?;
    for input in &load.in_order[..load.history_len] {
        oracle.apply(input);
    }
    // A record that settling drops has moved the clock; live, it is refused and moves nothing.
    if let Some(clock) = service.engine.clock() {
        oracle.apply(&Input::Clock(clock.as_millis()));
    }
    let context = || describe(&load, &loaded);
    let expected: BTreeMap<String, Value> = oracle.profiles_at_clock();
    if settled.profiles != expected {
        return Err(format!("{}profiles: {:#?}\noracle: {expected:#?}", context(), settled.profiles));
    }
    let standing = standing_alerts(&expected);
    let published = alerts_of_states(&settled.signals, &expected);
    if published != standing {
        return Err(format!("{}published: {published:#?}\noracle: {standing:#?}", context()));
    }
    let live = load.in_order[load.history_len..].iter().cloned().chain([Input::Clock(load.end)]);
    for input in live {
        let heard = oracle.log().signals.len();
        oracle.apply(&input);
        let expected = comparable(oracle.log().signals[heard..].iter().cloned(), true);
        let found = service.apply(&input);
        let found = comparable(
            found.iter().filter(|step| step.starts_with("{\"cause")).map(|step| parse(step)),
            true,
        );
        if found != expected {
            return Err(format!("{}live {input}: {found:#?}\noracle: {expected:#?}", context()));
        }
    }
    let expected = oracle.profiles_at_clock();
    for (customer, profile) in expected {
        let found = service.profile(&customer);
        if found.as_ref() != Some(&profile) {
            return Err(format!("{}{customer} at the end: {found:#?}\noracle: {profile:#?}", context()));
        }
    }
    Ok(())
}

/// The alerts that stand at the end of a history and name its state, as the profiles say: by customer, type and deadline.
pub fn standing_alerts(profiles: &BTreeMap<String, Value>) -> BTreeSet<(String, String, String)> {
    let standing = profiles.iter().filter_map(|(customer, profile)| {
        let state = profile["state"].as_str().filter(|state| ["at_risk", "lapsed"].contains(state))?;
        Some((customer.clone(), state.to_owned(), profile["since"].to_string()))
    });
    standing.collect()
}

/// The same of what settling has published, which is nothing else but an `at_risk` before each `lapsed`.
pub fn alerts_of_states(
    signals: &[Value],
    profiles: &BTreeMap<String, Value>,
) -> BTreeSet<(String, String, String)> {
    let (of_state, others): (Vec<&Value>, Vec<&Value>) =
        signals.iter().partition(|signal| signal["type"] == profiles[&alert(signal).0]["state"]);
    for other in others {
        let has_lapsed = profiles[&alert(other).0]["state"] == "lapsed";
        assert!(other["type"] == "at_risk" && has_lapsed, "nothing else is published: {other}");
    }
    let alerts: BTreeSet<_> = of_state.iter().copied().map(alert).collect();
    assert_eq!(alerts.len(), of_state.len(), "each once");
    alerts
}

pub fn alert(signal: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&signal["customer_id"]), text(&signal["type"]), signal["data"]["deadline"].to_string())
}

/// Without ratio signals, whose arming history leaves open, without what retracts a signal of history, and without `second_order`
/// where an order of history `is_edited`: of its versions only the last one is in the facts.
pub fn comparable(signals: impl Iterator<Item = Value>, is_edited: bool) -> Vec<Value> {
    let left_out = [
        "frequency_fell",
        "frequency_rose",
        "order_value_fell",
        "order_value_rose",
        "return_rate_high",
        "lapse_retracted",
    ];
    let is_left_out = |signal: &Value| {
        left_out.iter().any(|kind| signal["type"] == **kind)
            || (is_edited && signal["type"] == "second_order")
    };
    signals.filter(|signal| !is_left_out(signal)).collect()
}

fn describe(load: &Load, loaded: &[Input]) -> String {
    let lines = |inputs: &[Input]| inputs.iter().map(|input| format!("  {input}\n")).collect::<String>();
    format!(
        "{:?}\nloaded:\n{}live:\n{}",
        load.config,
        lines(loaded),
        lines(&load.in_order[load.history_len..])
    )
}

/// A process that ends in history or in settling, and one that goes on from what it has committed.
fn restored_on_the_way(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let load_ = Load::new(seed, &mut rng);
    let loaded = load_.as_loaded(&mut rng);
    let mut whole = Service::new(&load_.config);
    let expected = settled(&mut whole, &loaded, &mut Rng::with_seed(seed))?;

    let mut service = Service::new(&load_.config);
    service.engine.begin_history(usize::MAX);
    let cut = rng.usize(0..=loaded.len());
    load(&mut service, &loaded[..cut])?;
    service.restore_in_history();
    load(&mut service, &loaded[cut..])?;
    let mut found = Settled::default();
    while service.engine.settle_history(1) == Progress::More {
        found.signals.extend(service.emitted(None).iter().map(|signal| parse(signal)));
        for profile in service.changes().iter().filter(|change| change.starts_with('{')) {
            // Who has no kept order may be settled twice: with the same profile.
            let profile = parse(profile);
            let customer = profile["customer_id"].as_str().unwrap_or_default().to_owned();
            if let Some(before) = found.profiles.insert(customer, profile.clone())
                && before != profile
            {
                return Err(format!("{before:#?}\nthen {profile:#?}"));
            }
        }
        if rng.bool() {
            service.restore_in_history();
        }
    }
    found.add(&mut service).ok();
    let by_customer = |signals: &mut Vec<Value>| signals.sort_by_key(Value::to_string);
    let mut expected = expected;
    by_customer(&mut expected.signals);
    by_customer(&mut found.signals);
    if found != expected {
        return Err(format!("{}restored: {found:#?}\nwhole: {expected:#?}", describe(&load_, &loaded)));
    }
    let figures = |service: &mut Service| service.summary().to_string();
    let (found, expected) = (figures(&mut service), figures(&mut whole));
    if found != expected {
        return Err(format!("figures: {found}\nwhole: {expected}"));
    }
    Ok(())
}

/// Nothing about an instant before `signals.from` is published, and everything after it is as without it.
fn held_back(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let load = Load::new(seed, &mut rng);
    let loaded = load.as_loaded(&mut rng);
    let run = |from: Option<i64>| -> Result<Vec<Value>, String> {
        let mut service = Service::new(&load.config);
        if let Some(from) = from {
            service.engine.hold_back_until(Time::from_millis(from).expect("a time of the calendar"));
        }
        let mut signals = settled(&mut service, &loaded, &mut Rng::with_seed(seed))?.signals;
        let steps = service.apply(&Input::Clock(load.end));
        signals.extend(steps.iter().filter(|step| step.starts_with("{\"cause")).map(|step| parse(step)));
        signals.sort_by_key(Value::to_string);
        Ok(signals)
    };
    let all = run(None)?;
    let instants: Vec<i64> = all.iter().map(instant_of).collect();
    let some = rng.choice(&instants).copied().unwrap_or(load.end);
    let from = some + rng.i64(-1..=1);
    let found = run(Some(from))?;
    let expected: Vec<Value> = all.into_iter().filter(|signal| instant_of(signal) >= from).collect();
    if found == expected { Ok(()) } else { Err(format!("from {from}: {found:#?}\nexpected: {expected:#?}")) }
}
