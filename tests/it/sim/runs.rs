//! Many schedules: the fixed ones, new ones for a while, a million, and those with a broken rule.

use std::cell::Cell;
use std::env;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::Failed;

use super::host::{Outcome, Tally};
use super::kinds::{early_flush_bytes, keeps_snapshots};
use super::mutation::Twist;
use super::scenarios::batch_of_a_namesake;
use super::schedule;
use super::stage::Stage;
use super::worker::Stacks;

/// Seeds that every run tries.
const FIXED: Range<u64> = 0..400;
/// ... and why they must discard snapshots, among other reasons.
const REASONS: [&str; 4] = ["torn", "flipped", "stale", "foreign"];
/// Then new ones for so long.
const BUDGET: Duration = Duration::from_secs(4);
/// A broken rule that so many schedules do not notice is not noticed.
const SEEDS_OF_MUTATION: u64 = 50_000;
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What runs schedules on one thread.
pub struct Runner {
    pub(super) stage: Stage,
    pub(super) stacks: Stacks,
}

impl Runner {
    pub fn new() -> Runner {
        Runner { stage: Stage::new(), stacks: Stacks::default() }
    }

    /// A panic is a violation like any other.
    pub fn run(&mut self, seed: u64, twist: Option<Twist>) -> Result<Outcome, String> {
        let Runner { stage, stacks } = self;
        quietly(|| schedule::run(stage, stacks, seed, twist))
    }
}

/// The trial of the schedules; its environment says which.
pub fn schedules() -> Result<(), Failed> {
    if let Some(seed) = number("RETENTION_SIM_SEED") {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr).init();
        let outcome = Runner::new().run(seed, None).map_err(|violation| replay(seed, &violation))?;
        eprintln!("seed {seed}: {outcome:?}");
        return Ok(());
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let base = number("RETENTION_SIM_BASE").unwrap_or(u64::try_from(since.as_millis())? << 20);
    match number("RETENTION_SIM_SCHEDULES") {
        Some(count) => many(base, count),
        None => {
            let mut runner = Runner::new();
            let (mut written, mut snapshots) = (0, Tally::default());
            for seed in FIXED {
                let outcome = runner.run(seed, None).map_err(|violation| replay(seed, &violation))?;
                written += outcome.snapshots_written;
                snapshots.add(&outcome.snapshots);
            }
            eprintln!(
                "{written} snapshots written, {} used, discarded: {:?}",
                snapshots.used, snapshots.discarded
            );
            let is_used = written >= 400 && snapshots.used >= 40;
            if !is_used || REASONS.iter().any(|reason| !snapshots.discarded.contains_key(reason)) {
                return Err("the fixed schedules hardly use any snapshots".into());
            }
            let (started_at, mut seed) = (Instant::now(), base);
            while started_at.elapsed() < BUDGET {
                runner.run(seed, None).map_err(|violation| replay(seed, &violation))?;
                seed += 1;
            }
            eprintln!("simulated {} fixed schedules, and {} from seed {base} on", FIXED.end, seed - base);
            Ok(())
        }
    }
}

/// A rule that is broken is noticed.
pub fn mutation(twist: Twist, known: u64) -> Result<(), Failed> {
    let mut runner = Runner::new();
    // The one that was seen to notice it first, as long as schedules have not changed.
    let known = Some(known).filter(|_| number("RETENTION_SIM_SEARCH").is_none());
    let matters = |seed: &u64| {
        (!twist.is_of_snapshots() || keeps_snapshots(*seed))
            && (!twist.needs_early_flush() || early_flush_bytes(*seed).is_some())
    };
    let mut play = |seed: u64, broken: Option<Twist>| {
        if twist.is_of_namesakes() {
            batch_of_a_namesake(seed, broken)
        } else {
            runner.run(seed, broken).map(drop)
        }
    };
    let base = number("RETENTION_SIM_BASE").unwrap_or(0);
    for seed in known.into_iter().chain((base..base + SEEDS_OF_MUTATION).filter(matters)) {
        if let Err(violation) = play(seed, Some(twist)) {
            // Without the mutation nothing is wrong with it.
            play(seed, None).map_err(|violation| {
                if twist.is_of_namesakes() {
                    format!("schedule {seed} of namesakes, no rule broken\n{violation}").into()
                } else {
                    replay(seed, &violation)
                }
            })?;
            let first_line = violation.lines().next().unwrap_or_default();
            eprintln!("{twist:?} is noticed by schedule {seed}: {:.160}", first_line);
            return Ok(());
        }
    }
    Err(format!("{twist:?} is not noticed by {SEEDS_OF_MUTATION} schedules").into())
}

/// Schedules on all cores.
fn many(base: u64, count: u64) -> Result<(), Failed> {
    let (next, commits, faults) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failures: Mutex<Vec<(u64, String)>> = Mutex::default();
    let started_at = Instant::now();
    let told_at = Mutex::new(started_at);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut runner = Runner::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let has_failed = !failures.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if index >= count || has_failed {
                return;
            }
            match runner.run(base + index, None) {
                Ok(outcome) => {
                    commits.fetch_add(u64::from(outcome.commits), Ordering::Relaxed);
                    faults.fetch_add(u64::from(outcome.faults), Ordering::Relaxed);
                }
                Err(violation) => {
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push((base + index, violation))
                }
            }
            if let Ok(mut told_at) = told_at.try_lock()
                && told_at.elapsed() >= PROGRESS_EVERY
            {
                *told_at = Instant::now();
                let rate = index as f64 / started_at.elapsed().as_secs_f64();
                let left = (count - index) as f64 / rate;
                eprintln!("{index} of {count} schedules, {rate:.0}/s, {left:.0} s to go");
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((seed, violation)) = failures.first() {
        return Err(replay(*seed, violation));
    }
    let elapsed = started_at.elapsed();
    eprintln!(
        "{count} schedules from seed {base} on, {} commits, {} faults: {elapsed:.1?}, {:.0}/s on {threads} threads",
        commits.into_inner(),
        faults.into_inner(),
        count as f64 / elapsed.as_secs_f64()
    );
    Ok(())
}

fn replay(seed: u64, violation: &str) -> Failed {
    format!("RETENTION_SIM_SEED={seed} cargo test --test it -- --exact sim::schedules\n{violation}").into()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Gives a panic as its message, and keeps it off the screen.
pub fn quietly<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                loud(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(false);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of an unknown kind")))
    })
}
