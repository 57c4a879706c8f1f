//! Round after round: a shop with its history, instances that are killed at every step and moment, and a comparison.
//!
//! ```text
//!  RETENTION_KILLS=300 cargo test --test it -- kills::campaign --nocapture      RETENTION_KILLS_SEED=0x… for the same plan
//! ```
//! A seed fixes the history, the fates and their order; when a process really dies is the machine's business.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use fastrand::Rng;

use super::PATIENCE;
use super::fleet::{COMMIT_STEPS, Fate, Fleet, Tally};
use super::rules;
use super::verdict::{OffsetWatch, Verdict};
use super::workload::Workload;
use crate::kafka::KafkaNode;
use crate::live::shop::Shop;
use crate::service::ServiceProcess;

const KILLS: &str = "RETENTION_KILLS";
const SEED: &str = "RETENTION_KILLS_SEED";
const SEED_DEFAULT: u64 = 0x5eed_0400;

/// Of an ordinary test run: each step of a commit once.
const KILLS_DEFAULT: u64 = 6;
/// Kills after which a round is brought to its end.
const KILLS_A_ROUND: u64 = 16;
/// A round is also over when there is nothing left to do, looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(400);
/// A round with so little progress is over as well.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// How many kills were asked for, if any.
pub fn kills_asked() -> Option<u64> {
    env::var(KILLS).ok()?.parse().ok()
}

fn first_seed() -> Result<u64> {
    match env::var(SEED) {
        Ok(text) => {
            u64::from_str_radix(text.trim_start_matches("0x"), 16).with_context(|| format!("{SEED}={text}"))
        }
        Err(_) if kills_asked().is_some() => Ok(fastrand::u64(..) >> 32),
        Err(_) => Ok(SEED_DEFAULT),
    }
}

/// Nothing is lost and nothing doubled, however often processes die.
pub fn campaign(node: &KafkaNode) -> Result<()> {
    die(node, false, kills_asked().unwrap_or(KILLS_DEFAULT))
}

/// The same in a shop with rules.
pub fn campaign_with_rules(node: &KafkaNode) -> Result<()> {
    die(node, true, kills_asked().unwrap_or(KILLS_DEFAULT / 2))
}

fn die(node: &KafkaNode, rules: bool, target: u64) -> Result<()> {
    let first = first_seed()?;
    let (start, mut total) = (Instant::now(), Tally::default());
    let (mut signals, mut batches) = (0, 0);
    for round in 0.. {
        let seed = first + round;
        let (tally, verdict) = play(node, seed, round, target - total.kills(), rules)
            .with_context(|| format!("replay with {SEED}={seed:#x} {KILLS}=1"))?;
        total.add(&tally);
        signals += verdict.signals;
        batches += verdict.batches;
        let eta = start.elapsed().as_secs_f64() / total.kills() as f64
            * target.saturating_sub(total.kills()) as f64;
        eprintln!(
            "kills: round {} (seed {seed:#x}): {total} of {target}, {signals} signals in {batches} batches compared, \
             0 lost, 0 doubled, {:.0} s, eta {eta:.0} s",
            round + 1,
            start.elapsed().as_secs_f64()
        );
        if total.kills() >= target {
            return Ok(());
        }
    }
    Ok(())
}

/// One round: until the history is read or enough have died, then one process that lives reads the rest.
fn play(node: &KafkaNode, seed: u64, round: u64, kills_left: u64, rules: bool) -> Result<(Tally, Verdict)> {
    let mut rng = Rng::with_seed(seed);
    let is_first = round == 0;
    let shop =
        Shop::open(node, if is_first { 4 } else { rng.u32(2..=8) })?.with(rules.then(rules::of_a_shop));
    let workload = Workload::complete(seed, rng.usize(2_000..4_000));
    workload.load(&shop)?;
    thread::scope(|scope| {
        let expected = scope.spawn(|| workload.expected(&shop));
        let mut fleet = Fleet::new(&shop, workload.history.end)?;
        // The first round passes through the steps in order, so that a short run has seen each.
        let mut steps = COMMIT_STEPS.into_iter();
        let instances = if is_first { 2 } else { rng.usize(1..=3) };
        let mut next = |rng: &mut Rng| match steps.next() {
            Some(step) if is_first => Fate::at(step, rng.u32(1..=4)),
            Some(_) | None => Fate::random(rng),
        };
        for name in ["one", "two", "three"].into_iter().take(instances) {
            fleet.start(name, next(&mut rng))?;
        }
        let (started, mut looked, mut watch) = (Instant::now(), Instant::now(), OffsetWatch::default());
        while fleet.tally.kills() < KILLS_A_ROUND.min(kills_left) && started.elapsed() < ROUND_MAX {
            fleet.look(&mut || next(&mut rng))?;
            if looked.elapsed() >= LOOK_AGAIN {
                looked = Instant::now();
                watch.look(&shop)?;
                if shop.is_read_to_the_end()? {
                    break;
                }
            }
        }
        fleet.kill_all()?;
        // Under a name of the dead, or under a new one, which has to end what they left open.
        let survivor = if rng.bool() { "one" } else { "survivor" };
        let last = ServiceProcess::start(&fleet.settings(survivor))?;
        shop.wait_until_idle(&[&last], PATIENCE)?;
        watch.look(&shop)?;
        last.terminate(PATIENCE)?.expect_clean();
        let mut expected = expected.join().map_err(|_| anyhow!("the reference has panicked"))?;
        if rules {
            rules::expect_undisturbed(&mut expected, &shop, &workload)?;
        }
        let verdict = Verdict::of(&shop, &expected)?.into_result(format_args!("seed {seed:#x}"))?;
        if rules {
            rules::check(&shop, &workload).with_context(|| format!("seed {seed:#x}"))?;
        }
        Ok((fleet.tally, verdict))
    })
}
