//! A worker's answers to failing calls: whatever fails, what is committed in the end is the same. The brokers are the simulated ones,
//! with one partition and one process at a time; a script says which calls fail.

mod dead_letters;
mod shares;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use libtest_mimic::{Failed, Trial};
use retention_signals::commands::run;
use retention_signals::config::{self, Config, Purpose, Sources};
use retention_signals::observe::status::ServiceStatus;
use retention_signals::stream::partition::restore::OnOtherOffsets;
use retention_signals::stream::query::QueryRouter;
use retention_signals::stream::rules::Rules;
use retention_signals::stream::shop_time::ShopTime;
use retention_signals::stream::worker::hub::Hub;
use retention_signals::stream::worker::{Stop, Worker};
use retention_signals::topic::{Input, Output, Topic};
use serde_json::Value;

use crate::live::history::{self, History};
use crate::sim::broker::SimBroker;
use crate::sim::ground::SimGround;
use crate::sim::log::Record;
use crate::sim::script::{Call, Fault};

/// A worker that has not come to an end by then never will.
pub const TURNS_MAX: usize = 100_000;

pub fn trials() -> Vec<Trial> {
    let ends_well: [(&str, &[(Call, Fault)]); 14] = [
        ("send_aborts", &[(Call::Send, Fault::Abort)]),
        ("a_full_queue", &[(Call::Send, Fault::Retry), (Call::Send, Fault::Retry)]),
        ("flush_aborts", &[(Call::Flush, Fault::Abort), (Call::Flush, Fault::Abort)]),
        ("offsets_abort", &[(Call::SendOffsets, Fault::Abort)]),
        ("slow_commit", &[(Call::Commit, Fault::Retry), (Call::Commit, Fault::Retry)]),
        ("slow_abort", &[(Call::Flush, Fault::Abort), (Call::Abort, Fault::Retry)]),
        ("failed_abort", &[(Call::Flush, Fault::Abort), (Call::Abort, Fault::Failed)]),
        ("commit_failed", &[(Call::Commit, Fault::Failed)]),
        ("commit_failed_though_committed", &[(Call::Commit, Fault::FailedThoughCommitted)]),
        ("commit_is_refused_as_abortable", &[(Call::Commit, Fault::Abort)]),
        (
            "resolving_takes_long",
            &[
                (Call::Commit, Fault::FailedThoughCommitted),
                (Call::OpenProducer, Fault::Retry),
                (Call::Committed, Fault::Retry),
            ],
        ),
        (
            "fenced_thrice",
            &[(Call::Commit, Fault::Fenced), (Call::Begin, Fault::Fenced), (Call::Commit, Fault::Fenced)],
        ),
        ("lost_while_sending_offsets", &[(Call::SendOffsets, Fault::LostAndFound)]),
        ("revoked_while_committing", &[(Call::Commit, Fault::RevokedAndFound)]),
    ];
    let stops: [(&str, &[(Call, Fault)], u8, &str); 4] = [
        ("flush_hangs", &[(Call::Flush, Fault::Hang)], 69, "commit.patience"),
        (
            "outcome_cannot_be_learned",
            &[(Call::Commit, Fault::Failed), (Call::Committed, Fault::Hang)],
            69,
            "outcome",
        ),
        ("fenced_again_and_again", &[(Call::Commit, Fault::Fenced); 4], 78, "transactional id"),
        (
            "producer_never_opens",
            &[(Call::OpenProducer, Fault::Hang)],
            69,
            "Kafka did not let the worker join",
        ),
    ];
    let mut trials = vec![Trial::test("worker::random_faults", random_faults)];
    trials.extend(dead_letters::trials());
    trials.extend(shares::trials());
    trials.extend(snapshots::trials());
    trials.extend(ends_well.map(|(name, script)| {
        Trial::test(format!("worker::goes_on_after::{name}"), move || match check(script)? {
            0 => Ok(()),
            left => Err(format!("{left} calls of {script:?} were never made").into()),
        })
    }));
    trials.extend(stops.map(|(name, script, code, message)| {
        Trial::test(format!("worker::stops_when::{name}"), move || check_stop(script, code, message))
    }));
    trials
}

/// What is committed must not depend on what failed on the way.
/// Gives how many entries of the script were left over.
fn check(script: &[(Call, Fault)]) -> Result<usize, Failed> {
    let (expected, outcome) = work(&[]);
    outcome.map_err(|stop| stop.message())?;
    let (found, outcome) = work(script);
    outcome.map_err(|stop| format!("{script:?}: {}", stop.message()))?;
    compare(&expected, &found).map_err(|difference| format!("{script:?}: {difference}"))?;
    let left = found.world.borrow().script.len();
    Ok(left)
}

fn check_stop(script: &[(Call, Fault)], code: u8, message: &str) -> Result<(), Failed> {
    let (_, outcome) = work(script);
    let Err(stop) = outcome else { return Err(format!("{script:?} did not stop the worker").into()) };
    let failure = stop.into_failure();
    if failure.exit.code() != code || !failure.to_string().contains(message) {
        return Err(format!("{script:?}: {} {failure}", failure.exit.code()).into());
    }
    Ok(())
}

/// Many scripts, each from its own seed.
fn random_faults() -> Result<(), Failed> {
    const SEED: u64 = 0x5eed_0100;
    for seed in SEED..SEED + 300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let faults = [
            (Call::Begin, Fault::Abort),
            (Call::Begin, Fault::Failed),
            (Call::Send, Fault::Retry),
            (Call::Send, Fault::Abort),
            (Call::Send, Fault::Failed),
            (Call::Flush, Fault::Retry),
            (Call::Flush, Fault::Abort),
            (Call::Flush, Fault::Failed),
            (Call::Flush, Fault::LostAndFound),
            (Call::Flush, Fault::RevokedAndFound),
            (Call::SendOffsets, Fault::Retry),
            (Call::SendOffsets, Fault::Abort),
            (Call::SendOffsets, Fault::Failed),
            (Call::SendOffsets, Fault::LostAndFound),
            (Call::Commit, Fault::Retry),
            (Call::Commit, Fault::Abort),
            (Call::Commit, Fault::Failed),
            (Call::Commit, Fault::FailedThoughCommitted),
            (Call::Commit, Fault::RevokedAndFound),
        ];
        let script: Vec<_> = (0..rng.usize(1..12)).map(|_| faults[rng.usize(..faults.len())]).collect();
        check(&script).map_err(|failed| format!("seed {seed:#x}: {:?}", failed.message()))?;
    }
    Ok(())
}

fn compare(expected: &SimGround, found: &SimGround) -> Result<(), String> {
    if let Some(violation) = found.world.borrow_mut().violation.take() {
        return Err(violation);
    }
    let ids = |ground: &SimGround| -> Vec<String> {
        let signals = ground.output(Output::Signals);
        let mut ids: Vec<_> = signals.iter().map(json).map(|signal| signal["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let (expected_ids, found_ids) = (ids(expected), ids(found));
    if found_ids.iter().collect::<BTreeSet<_>>().len() < found_ids.len() {
        return Err("a signal was said twice".to_owned());
    }
    if found_ids != expected_ids {
        return Err(format!("{} signals, not {}", found_ids.len(), expected_ids.len()));
    }
    let table = |ground: &SimGround, output: Output| {
        let records = ground.output(output).into_iter();
        records.map(|record| (record.key, record.value)).collect::<BTreeMap<_, _>>()
    };
    if table(found, Output::Customers) != table(expected, Output::Customers) {
        return Err("other profiles".to_owned());
    }
    let customers = |ground: &SimGround| {
        let mut table = table(ground, Output::Changelog);
        table.remove(&Some(b"s"[..].into()));
        table
    };
    if customers(found) != customers(expected) {
        return Err("other state".to_owned());
    }
    Ok(())
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().expect("a signal has a value")).expect("a signal is JSON")
}

/// Lets a worker read a history to its end. Of the script is left what was not reached before it leaves.
fn work(script: &[(Call, Fault)]) -> (SimGround, Result<(), Stop>) {
    let ground = ground(&history::random(0x5eed_0101, 12, 200));
    ground.world.borrow_mut().script.extend(script);
    let mut outcome = Ok(());
    in_process(&configuration(), &ground, |broker, hub, rules| {
        let mut processor = Worker::new(broker, rules, hub);
        for _ in 0..TURNS_MAX {
            outcome = processor.turn();
            if outcome.is_err() || ground.is_done() {
                break;
            }
        }
        assert!(outcome.is_err() || ground.is_done(), "{script:?}: no end after {TURNS_MAX} turns");
        let script_left = std::mem::take(&mut ground.world.borrow_mut().script);
        if outcome.is_ok() {
            outcome = processor.shut_down();
        }
        ground.world.borrow_mut().script = script_left;
    });
    (ground, outcome)
}

fn configuration() -> Config {
    let sources = Sources {
        host_name: Some("host".to_owned()),
        file_text: Some(
            "clock.at_end = \"stay\"\ncommit.interval = \"10ms\"\ncommit.backlog_interval = \"10ms\"\nsignals.history = \"publish\"\nshop.currency = \"GBP\""
                .to_owned(),
        ),
        ..Sources::default()
    };
    config::load(&sources, Purpose::Offline).expect("a valid configuration")
}

/// What one worker needs. Its process is gone after the work.
pub fn in_process(
    config: &Config,
    ground: &SimGround,
    work: impl FnOnce(SimBroker<'static>, Hub<'_>, Rules),
) {
    let rules = Rules::new(config, ShopTime::Wall, OnOtherOffsets::Stop);
    let metrics = run::new_metrics(&rules).expect("metrics of our own");
    let (status, mut pens) = ServiceStatus::new(1, Instant::now());
    let (_router, mut questions) = QueryRouter::new(1);
    let (pen, questions) = (pens.pop().expect("one worker"), questions.pop().expect("one worker"));
    work(ground.start(), Hub::new(&metrics, status, pen, questions, |_| {}), rules);
    ground.end();
}

/// Brokers that hold a history in one partition, at its end by wall time.
fn ground(history: &History) -> SimGround {
    let mut ground = SimGround::new(1);
    ground.set_wall(history.end);
    let inputs = [
        (Input::Orders, &history.orders),
        (Input::Returns, &history.returns),
        (Input::Erasures, &history.erasures),
    ];
    for (input, values) in inputs {
        for value in values {
            let key = history::key_of(value).as_bytes();
            ground.append(Topic::Input(input), 0, Some(key), Some(value.to_string().as_bytes()));
        }
    }
    ground
}
