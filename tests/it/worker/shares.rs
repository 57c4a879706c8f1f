//! The daily count of a worker and its combiner: each day once, as recomputed from the input, whatever crashes.

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::config::{self, Config, Purpose, Sources};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::exit::Exit;
use retention_signals::formats::native::from_rfc3339;
use retention_signals::stream::worker::Worker;
use retention_signals::topic::{Output, Topic};
use retention_signals::wire::shares::day_text;
use serde_json::Value;

use super::{TURNS_MAX, ground, in_process};
use crate::live::history::{self, History, time_of};
use crate::oracle::{self, Input, OracleConfig};
use crate::sim::ground::SimGround;
use crate::sim::log::Record;
use crate::sim::script::{Call, Fault};

const SEED: u64 = 0x5eed_0300;
const DAY_MS: i64 = 86_400_000;
/// Records of so many days, and so many midnights more by wall time.
const DAYS: i64 = 20;
const IDLE_DAYS: i64 = 3;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("worker::shares::each_day_as_recomputed", || check(SEED, &[], 1, 0)),
        Trial::test("worker::shares::an_empty_shop_counts_no_customers", an_empty_shop_counts_no_customers),
        Trial::test("worker::shares::old_days_are_skipped", old_days_are_skipped),
        Trial::test("worker::shares::first_cut_points_come_with_a_day", first_cut_points_come_with_a_day),
        Trial::test("worker::shares::each_day_tells_what_rules_brought", each_day_tells_what_rules_brought),
        Trial::test("worker::shares::off_by_default", off_by_default),
        Trial::test("worker::shares::ends_of_the_combiner_are_counted", ends_of_the_combiner_are_counted),
        Trial::test("worker::shares::random_faults_and_crashes", random_faults_and_crashes),
    ]
}

/// A history of the days up to `end`, an instant of the last one.
fn shop(seed: u64) -> History {
    let mut history = history::random(seed, 30, DAYS);
    let end = history.end - 100 * DAY_MS;
    history.orders.retain(|order| time_of(order) < end);
    history.returns.retain(|returned| time_of(returned) < end);
    History { end, ..history }
}

fn configuration(shares: &str) -> Config {
    let text = format!(
        "commit.interval = \"10ms\"\ncommit.backlog_interval = \"10ms\"\nsignals.history = \"publish\"\nshop.currency = \"GBP\"\n{shares}"
    );
    let sources = Sources { host_name: Some("host".to_owned()), file_text: Some(text), ..Sources::default() };
    config::load(&sources, Purpose::Offline).expect("a valid configuration")
}

fn ground_at(history: &History, wall_ms: i64) -> SimGround {
    let mut ground = ground(history);
    ground.set_wall(wall_ms);
    ground
}

/// Lets processes work one after the other, each a day later than the one before. All but the last crash after some turns.
fn work(config: &Config, ground: &mut SimGround, random: &mut Rng, lives: u64) -> Result<(), Failed> {
    for life in 1..=lives {
        let is_last = life == lives;
        let turns = if is_last { TURNS_MAX } else { random.usize(1..400) };
        let mut outcome = Ok(());
        in_process(config, ground, |broker, hub, rules| {
            let mut worker = Worker::new(broker, rules, hub);
            let mut idle = 0;
            for _ in 0..turns {
                let progress = || (ground.commits(), ground.world.borrow().combined.clone());
                let before = progress();
                outcome = worker.turn();
                let is_quiet = progress() == before && ground.is_done();
                idle = if is_quiet { idle + 1 } else { 0 };
                // Longer than the pause between two combiners.
                if outcome.is_err() || is_last && idle > 200 {
                    break;
                }
            }
            if is_last && outcome.is_ok() {
                outcome = worker.shut_down();
            }
        });
        outcome.map_err(|stop| stop.message())?;
        if !is_last {
            ground.wall_offset_ms += DAY_MS;
        }
    }
    Ok(())
}

fn check(seed: u64, script: &[(Call, Fault)], lives: u64, idle_days: i64) -> Result<(), Failed> {
    let history = shop(seed);
    let wall = history.end / DAY_MS * DAY_MS + (IDLE_DAYS + idle_days) * DAY_MS + 3 * 3_600_000;
    let mut ground = ground_at(&history, wall);
    ground.fetch_little();
    ground.world.borrow_mut().script.extend(script);
    let mut random = Rng::with_seed(seed);
    work(&configuration("metrics.shares = true"), &mut ground, &mut random, lives)?;
    let last_wall = wall + DAY_MS * (lives as i64 - 1);
    let first = history.orders.iter().chain(&history.returns).map(time_of).min().expect("records");
    let days = (first / DAY_MS..=last_wall / DAY_MS).map(|day| day * DAY_MS);
    let expected: Vec<(String, Value)> = days.map(|day| (key(day), recomputed(&history, day))).collect();
    let published: Vec<(String, Value)> = metrics(&ground);
    let names =
        |records: &[(String, Value)]| -> Vec<String> { records.iter().map(|(key, _)| key.clone()).collect() };
    if names(&published) != names(&expected) {
        return Err(format!("published {:?}, not {:?}", names(&published), names(&expected)).into());
    }
    match published.iter().zip(&expected).find(|(published, expected)| published != expected) {
        None => Ok(()),
        Some((published, expected)) => Err(format!("{published:#?}\nnot {expected:#?}").into()),
    }
}

fn key(midnight: i64) -> String {
    format!("shop/{}", day_text(Time::MIN.plus(Span::from_millis(midnight))))
}

/// Shop metrics without the rows of cohorts, in their order.
fn metrics(ground: &SimGround) -> Vec<(String, Value)> {
    let read = ground.output(Output::ShopMetrics).into_iter().map(|record| {
        let value = record.value.as_deref().expect("a value");
        (key_of(&record), serde_json::from_slice(value).expect("JSON"))
    });
    read.filter(|(key, _): &(String, Value)| !key.contains("/cohort/")).collect()
}

fn key_of(record: &Record) -> String {
    String::from_utf8(record.key.as_deref().expect("a key").to_vec()).expect("UTF-8")
}

/// What the records before a midnight come to at it.
fn recomputed(history: &History, midnight: i64) -> Value {
    let config = OracleConfig { shop_metrics: true, ..OracleConfig::new("GBP") };
    let before = |records: &[Value]| -> Vec<Value> {
        records.iter().filter(|record| time_of(record) < midnight).cloned().collect()
    };
    let mut inputs = oracle::merge_order(before(&history.orders), before(&history.returns), Vec::new());
    inputs.push(Input::Clock(midnight));
    let mut lines = oracle::run(&config, &inputs).shop_metrics;
    lines.pop().expect("a line at the end")
}

fn random_faults_and_crashes() -> Result<(), Failed> {
    for seed in SEED..SEED + 40 {
        let mut random = Rng::with_seed(seed);
        let faults = [
            (Call::Flush, Fault::Abort),
            (Call::Commit, Fault::FailedThoughCommitted),
            (Call::Commit, Fault::Failed),
            (Call::SendOffsets, Fault::LostAndFound),
            (Call::Commit, Fault::RevokedAndFound),
        ];
        let script: Vec<_> = (0..random.usize(0..6)).map(|_| faults[random.usize(..faults.len())]).collect();
        let lives = random.u64(1..5);
        check(seed, &script, lives, 0)
            .map_err(|failed| format!("seed {seed:#x}, {lives} lives, {script:?}: {:?}", failed.message()))?;
    }
    Ok(())
}

/// A partition that never had a record counts at its confirmed end, and its clock does not begin by that.
fn an_empty_shop_counts_no_customers() -> Result<(), Failed> {
    let wall = 1_704_067_200_000 + 5 * 3_600_000;
    let mut ground = SimGround::new(1);
    ground.set_wall(wall);
    work(&configuration("metrics.shares = true"), &mut ground, &mut Rng::with_seed(SEED), 2)?;
    let published = metrics(&ground);
    let keys: Vec<&str> = published.iter().map(|(key, _)| key.as_str()).collect();
    if !keys.ends_with(&["shop/2024-01-02"]) || keys.len() > 2 {
        return Err(format!("{keys:?}").into());
    }
    let totals: Vec<&Value> = published.iter().map(|(_, line)| &line["customers"]["total"]).collect();
    if totals.iter().all(|total| **total == 0) { Ok(()) } else { Err(format!("{totals:?}").into()) }
}

/// Days that lie more than 40 back when the service runs again are not counted.
fn old_days_are_skipped() -> Result<(), Failed> {
    let history = shop(SEED);
    let wall = history.end / DAY_MS * DAY_MS + 3 * 3_600_000 + DAY_MS;
    let mut ground = ground_at(&history, wall);
    let config = configuration("metrics.shares = true");
    work(&config, &mut ground, &mut Rng::with_seed(SEED), 1)?;
    let later = wall + 45 * DAY_MS;
    ground.set_wall(later);
    work(&config, &mut ground, &mut Rng::with_seed(SEED), 1)?;
    let published = metrics(&ground);
    let keys: Vec<String> = published.into_iter().map(|(key, _)| key).collect();
    let first = history.orders.iter().map(time_of).min().expect("orders");
    let days = (first / DAY_MS..=wall / DAY_MS).chain(later / DAY_MS - 39..=later / DAY_MS);
    let expected: Vec<String> = days.map(|day| key(day * DAY_MS)).collect();
    if keys == expected { Ok(()) } else { Err(format!("{keys:?}, not {expected:?}").into()) }
}

/// One record, although the worker starts again: it is there by then.
fn first_cut_points_come_with_a_day() -> Result<(), Failed> {
    let history = shop(SEED);
    let wall = history.end / DAY_MS * DAY_MS + 3 * 3_600_000;
    let mut ground = ground_at(&history, wall);
    let config = configuration(
        "metrics.shares = true\nsegments.enabled = true\nsegments.refresh = \"never\"\ntopics.registry = \"registry\"",
    );
    work(&config, &mut ground, &mut Rng::with_seed(SEED), 4)?;
    let registry = ground.records(Topic::Registry, 0);
    let keys: Vec<String> = registry.iter().map(key_of).collect();
    let value: Value = serde_json::from_slice(registry[0].value.as_deref().ok_or("a value")?)?;
    let is_first =
        value["effective_at"] == "1970-01-01T00:00:00.000Z" && value["customers"].as_u64() > Some(0);
    if keys.len() == 1 && keys[0].starts_with("cuts/*/") && is_first {
        return Ok(());
    }
    Err(format!("{keys:?} {value}").into())
}

/// As the signals say who is in which group, through crashes. All else is as without rules.
fn each_day_tells_what_rules_brought() -> Result<(), Failed> {
    const MEASURED_MS: i64 = 2 * DAY_MS;
    let history = shop(SEED);
    let wall = history.end / DAY_MS * DAY_MS + IDLE_DAYS * DAY_MS + 3 * 3_600_000;
    let mut ground = ground_at(&history, wall);
    let rule = "[[rule]]\nname = \"hello\"\non = \"first_order\"\nmeasure = \"2d\"";
    let config = configuration(&format!("metrics.shares = true\nrules.holdout = 0.5\n{rule}"));
    work(&config, &mut ground, &mut Rng::with_seed(SEED), 3)?;
    let mut firings = Vec::new();
    for record in ground.output(Output::Signals) {
        let signal: Value = serde_json::from_slice(record.value.as_deref().ok_or("a value")?)?;
        if signal["type"] == "rule" {
            let at = signal["occurred_at"].as_str().and_then(from_rfc3339).ok_or("a time")?;
            firings.push((at.as_millis(), signal["data"]["action"] == "withheld"));
        }
    }
    let published = metrics(&ground);
    for (key, line) in &published {
        let at = line["at"].as_str().and_then(from_rfc3339).ok_or("a time")?.as_millis();
        for withheld in [false, true] {
            let known =
                firings.iter().filter(|(fired_at, is)| *is == withheld && fired_at + MEASURED_MS < at);
            let groups = line["rules"].as_array().ok_or("a list of groups")?.iter();
            let group: Vec<&Value> = groups.filter(|group| group["withheld"] == withheld).collect();
            let customers: u64 = group.iter().filter_map(|group| group["customers"].as_u64()).sum();
            if customers != known.count() as u64 || group.len() > 1 {
                return Err(format!("{key}: {line:#}\nof {firings:?}").into());
            }
        }
        let mut without_rules = line.clone();
        without_rules.as_object_mut().map(|line| line.remove("rules"));
        if without_rules != recomputed(&history, at) {
            return Err(format!("{key}: {line:#}").into());
        }
    }
    let last = published.last().map(|(_, line)| &line["rules"]).ok_or("a day")?;
    let compared = &last[0]["compared"];
    let is_whole = last.as_array().is_some_and(|groups| groups.len() == 2)
        && compared["customers"] == last[1]["customers"]
        && compared["difference"].is_number()
        && last[0]["ordered"].as_u64() > Some(0);
    if is_whole { Ok(()) } else { Err(format!("{last:#}").into()) }
}

/// Without the setting nothing is counted, and the seals are those of before.
fn off_by_default() -> Result<(), Failed> {
    let history = shop(SEED);
    let mut ground = ground_at(&history, history.end + 3 * DAY_MS);
    work(&configuration(""), &mut ground, &mut Rng::with_seed(SEED), 1)?;
    let changelog = ground.output(Output::Changelog);
    let versions: Vec<Option<u8>> = changelog
        .iter()
        .filter(|record| record.key.as_deref() == Some(b"s"))
        .map(|seal| seal.value.as_ref().and_then(|value| value.first().copied()))
        .collect();
    let is_empty = [Output::Shares, Output::ShopMetrics].iter().all(|of| ground.output(*of).is_empty());
    let are_old = !versions.is_empty() && versions.iter().all(|version| *version == Some(1));
    if is_empty && are_old { Ok(()) } else { Err(format!("{is_empty} {versions:?}").into()) }
}

/// A combiner that ends is followed by another one, and gauges are there only while one runs.
fn ends_of_the_combiner_are_counted() -> Result<(), Failed> {
    let history = shop(SEED);
    let wall = history.end / DAY_MS * DAY_MS + 3 * 3_600_000;
    let ground = ground_at(&history, wall);
    let faults = [
        Fault::Fenced,
        Fault::Failed,
        Fault::Retry,
        Fault::Stop(Exit::Permission),
        Fault::Stop(Exit::Configuration),
    ];
    ground.world.borrow_mut().script.extend(faults.map(|fault| (Call::PublishCombined, fault)));
    let last = key(history.end / DAY_MS * DAY_MS);
    let mut outcome = Ok(());
    in_process(&configuration("metrics.shares = true"), &ground, |broker, hub, rules| {
        let exported = hub.metrics;
        let mut worker = Worker::new(broker, rules, hub);
        let mut turn_until = |what: &str, condition: &dyn Fn(&str) -> bool| -> Result<(), Failed> {
            for _ in 0..TURNS_MAX {
                worker.turn().map_err(|stop| stop.message())?;
                if condition(&exported.render()) {
                    return Ok(());
                }
            }
            Err(format!("not {what}:\n{}", exported.render()).into())
        };
        let failed = |text: &str, kind: &str, times: u32| {
            text.contains(&format!("retention_combiner_failures_total{{kind=\"{kind}\"}} {times}\n"))
        };
        let shows_a_day = |text: &str| text.contains("\nretention_shop_day_timestamp_seconds ");
        outcome = turn_until("failing", &|text| {
            failed(text, "fenced", 1)
                && failed(text, "outcome_unknown", 2)
                && failed(text, "permission", 1)
                && failed(text, "configuration", 1)
                && !shows_a_day(text)
        })
        .and_then(|()| turn_until("publishing", &|_| metrics(&ground).iter().any(|(day, _)| *day == last)))
        .and_then(|()| turn_until("showing the day", &shows_a_day))
        .and_then(|()| {
            // As if its thread panicked.
            ground.world.borrow_mut().hosts[0].tasks.clear();
            turn_until("noticing a panic", &|text| failed(text, "internal", 1) && !shows_a_day(text))
        })
        // The next one publishes nothing, and shows the day all the same.
        .and_then(|()| turn_until("showing the day again", &shows_a_day));
    });
    outcome?;
    let names: Vec<String> = metrics(&ground).into_iter().map(|(day, _)| day).collect();
    let mut once = names.clone();
    once.dedup();
    if names == once && names.last() == Some(&last) { Ok(()) } else { Err(format!("{names:?}").into()) }
}
