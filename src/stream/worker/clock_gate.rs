//! Wall time at an idle end: when it may move a partition's clock, and when not.
//!
//! A customer who is silent lapses on time even if nothing else arrives; but never while an order may be waiting, behind a
//! connection that is down, an open transaction of a shop's producer, or a machine that has slept; nor while one waits in front of an
//! intake (`intake_gate`).

use std::time::Duration;

use tracing::{debug, warn};

use super::Stop;
use super::context::Context;
use super::intake_gate::IntakeGate;
use crate::domain::values::time::Time;
use crate::stream::broker::{Broker, BrokerError, Clocks, Lookup, Moment, Position, Watermark};
use crate::stream::partition::EndCheck;
use crate::topic::{Input, Partition, PerInput, Topic};

/// Wall time and the time since boot may drift apart by so much before wall time is no longer believed.
const DRIFT_MAX: Duration = Duration::from_secs(300);
/// They must have been in step for so long before it is believed again ...
const STEADY_MIN: Duration = Duration::from_secs(300);
/// ... and this is what in step means: a clock that is being slewed moves by 0.15 s meanwhile.
const STEP_MAX: Duration = Duration::from_secs(1);
/// An end is not asked again before this, if the last answer left the clock where it was.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// An input that gives nothing for so long, although there is more to fetch, is looked into.
const STARVED_MIN: Duration = Duration::from_secs(1);
/// The longest that the worker waits for the answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Lets wall time move the clocks of partitions, or not.
pub(super) struct ClockGate {
    guard: WallGuard,
    pub intake: IntakeGate,
}

/// What the brokers have answered about the ends of partitions.
pub(super) struct AskedEnds {
    /// Where the clocks may go. Taken before the brokers were asked.
    pub target: Time,
    pub asked_at: Moment,
    /// Read to their ends.
    pub at_end: Vec<Partition>,
    /// There is more to fetch.
    pub behind: Vec<Partition>,
}

impl ClockGate {
    pub fn new(clocks: Clocks) -> Self {
        Self { guard: WallGuard::new(clocks), intake: IntakeGate::default() }
    }

    /// Asks the brokers about the ends of all partitions that have something due and seem to be read to their ends. None if there
    /// are none, or the clocks have to stand still.
    pub fn confirm_ends<B: Broker>(&mut self, ctx: &mut Context<'_, B>) -> Result<Option<AskedEnds>, Stop> {
        let clocks = ctx.broker.clocks();
        let asked_at = clocks.monotonic;
        let Some(target) = ctx.rules.clock_target(clocks.wall_ms) else { return Ok(None) };
        let due = partitions_due(ctx, target, asked_at);
        if due.is_empty() {
            return Ok(None);
        }
        if !self.guard.is_believed(clocks) {
            freeze(ctx, &due, asked_at);
            return Ok(None);
        }
        let (due, target) = self.intake.clear(ctx, due, target, clocks)?;
        if due.is_empty() {
            return Ok(None);
        }
        let Some(ends) = input_ends(ctx, &due, Watermark::High)? else {
            freeze(ctx, &due, asked_at);
            return Ok(None);
        };
        let mut asked = AskedEnds { target, asked_at, at_end: Vec::new(), behind: Vec::new() };
        for (partition, ends) in due.into_iter().zip(&ends) {
            if ctx.partitions.running_mut(partition).streams.confirm_ends(ends) {
                self.guard.confirm(clocks);
                asked.at_end.push(partition);
            } else {
                asked.behind.push(partition);
            }
        }
        Ok(Some(asked))
    }
}

/// The partitions whose clock would move if their ends were confirmed now.
fn partitions_due<B: Broker>(ctx: &mut Context<'_, B>, target: Time, now: Moment) -> Vec<Partition> {
    let due = ctx.partitions.running_mut_all().filter_map(|(partition, running)| {
        let may_ask = running.end_check.ask_at.is_none_or(|ask_at| ask_at <= now);
        let starved_for = running.starved_since.map(|since| now.since(since));
        let may_be_at_end =
            running.streams.is_at_end() || starved_for.is_some_and(|starved_for| starved_for >= STARVED_MIN);
        let is_due = !running.part.is_closed && may_be_at_end && running.next_due(target).is_some();
        (is_due && may_ask).then_some(partition)
    });
    due.collect()
}

fn freeze<B: Broker>(ctx: &mut Context<'_, B>, partitions: &[Partition], now: Moment) {
    for partition in partitions {
        let check = &mut ctx.partitions.running_mut(*partition).end_check;
        *check = EndCheck { is_frozen: true, ask_at: Some(now.plus(ASK_AGAIN_AFTER)), ..*check };
    }
}

/// Distinguishes partitions with more records to fetch from partitions that a producer's open transaction holds up.
pub(super) fn check_open_transactions<B: Broker>(
    ctx: &mut Context<'_, B>,
    partitions: &[Partition],
    now: Moment,
) -> Result<(), Stop> {
    if partitions.is_empty() {
        return Ok(());
    }
    let Some(stable) = input_ends(ctx, partitions, Watermark::Stable)? else {
        freeze(ctx, partitions, now);
        return Ok(());
    };
    for (partition, stable) in partitions.iter().zip(&stable) {
        let running = ctx.partitions.running_mut(*partition);
        let is_frozen = running.streams.is_held_up(stable);
        if is_frozen && !running.end_check.is_frozen {
            debug!(partition = partition.0, "an open transaction in an input keeps the clock where it is");
        }
        running.end_check =
            EndCheck { is_frozen, ask_at: Some(now.plus(ASK_AGAIN_AFTER)), ..running.end_check };
    }
    Ok(())
}

/// Where all inputs of each partition end, open transactions included; none if the brokers did not answer.
pub(super) fn high_ends<B: Broker>(
    ctx: &mut Context<'_, B>,
    partitions: &[Partition],
) -> Result<Option<Vec<PerInput<Position>>>, Stop> {
    if partitions.is_empty() {
        return Ok(Some(Vec::new()));
    }
    input_ends(ctx, partitions, Watermark::High)
}

/// An edge of all inputs of each partition; none if the brokers did not answer.
fn input_ends<B: Broker>(
    ctx: &mut Context<'_, B>,
    partitions: &[Partition],
    watermark: Watermark,
) -> Result<Option<Vec<PerInput<Position>>>, Stop> {
    let logs: Vec<_> = partitions
        .iter()
        .flat_map(|partition| Input::ALL.map(|input| (Topic::Input(input), *partition)))
        .collect();
    match ctx.broker.lookup().watermarks(watermark, &logs, ANSWER_MAX) {
        Ok(positions) => Ok(Some(PerInput::chunks(&positions).collect())),
        Err(BrokerError::Retry(cause)) => {
            debug!(cause = format!("{cause:#}"), "the ends of the inputs are not confirmed");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Decides whether to trust wall time: it may not run away from the time since boot.
#[derive(Clone, Copy, Debug)]
enum WallGuard {
    Believed {
        since: Clocks,
    },
    /// It has jumped; `since` it seems in step again.
    Jumped {
        since: Clocks,
    },
}

impl WallGuard {
    fn new(clocks: Clocks) -> Self {
        Self::Believed { since: clocks }
    }

    /// An end was confirmed: drift counts from here.
    fn confirm(&mut self, clocks: Clocks) {
        *self = Self::Believed { since: clocks };
    }

    fn is_believed(&mut self, clocks: Clocks) -> bool {
        match *self {
            Self::Believed { since } if drift(since, clocks) <= DRIFT_MAX => true,
            Self::Believed { since } => {
                warn!(
                    drift_seconds = drift(since, clocks).as_secs(),
                    "wall time has jumped, the clocks of the partitions stand still"
                );
                *self = Self::Jumped { since: clocks };
                false
            }
            Self::Jumped { since } if drift(since, clocks) > STEP_MAX => {
                *self = Self::Jumped { since: clocks };
                false
            }
            Self::Jumped { since } if clocks.boot.saturating_sub(since.boot) >= STEADY_MIN => {
                *self = Self::Believed { since: clocks };
                true
            }
            Self::Jumped { .. } => false,
        }
    }
}

fn drift(since: Clocks, now: Clocks) -> Duration {
    let boot = i64::try_from(now.boot.saturating_sub(since.boot).as_millis()).unwrap_or(i64::MAX);
    let wall = now.wall_ms - since.wall_ms;
    Duration::from_millis(wall.abs_diff(boot))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(wall_seconds: i64, boot_seconds: u64) -> Clocks {
        let boot = Duration::from_secs(boot_seconds);
        Clocks { monotonic: Moment(boot), boot, wall_ms: wall_seconds * 1_000 }
    }

    #[test]
    fn wall_time_that_jumped_is_not_believed_until_it_was_in_step_for_a_while() {
        for jump in [301, -301, 86_400] {
            let mut guard = WallGuard::new(clocks(1_000_000, 0));
            assert!(guard.is_believed(clocks(1_000_100, 100)));
            assert!(guard.is_believed(clocks(1_000_450, 150)), "300 s are within bounds");
            let at = |boot: u64| clocks(1_000_000 + boot as i64 + jump, boot);
            assert!(!guard.is_believed(at(200)));
            assert!(!guard.is_believed(at(499)));
            assert!(guard.is_believed(at(500)));
            assert!(guard.is_believed(at(1_000)));
        }
    }

    #[test]
    fn every_further_jump_starts_the_wait_again() {
        let mut guard = WallGuard::new(clocks(1_000_000, 0));
        assert!(!guard.is_believed(clocks(1_001_000, 1)));
        assert!(!guard.is_believed(clocks(1_001_102, 100)), "2 s more than 99");
        assert!(!guard.is_believed(clocks(1_001_302, 300)));
        assert!(guard.is_believed(clocks(1_001_402, 400)));
    }

    #[test]
    fn a_confirmed_end_forgives_slow_drift() {
        let mut guard = WallGuard::new(clocks(1_000_000, 0));
        for day in 1..100u64 {
            let now = clocks(1_000_000 + (day * 86_460) as i64, day * 86_400);
            assert!(guard.is_believed(now), "{day}");
            guard.confirm(now);
        }
    }

    #[test]
    fn a_step_of_the_bound_is_no_jump_and_a_larger_one_is() {
        let step = i64::try_from(STEP_MAX.as_millis()).expect("short");
        for (millis, expected) in [(step, true), (-step, true), (step + 1, false), (-step - 1, false)] {
            let mut guard = WallGuard::new(clocks(1_000_000, 0));
            assert!(!guard.is_believed(clocks(1_001_000, 1)), "it has jumped");
            let steady = clocks(1_001_400, 401);
            let later = Clocks { wall_ms: steady.wall_ms + millis, ..steady };
            assert_eq!(guard.is_believed(later), expected, "{millis} ms");
        }
    }
}
