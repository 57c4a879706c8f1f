//! Wall time at an idle end: when it may move a partition's clock, and when not.
//!
//! A customer who is silent lapses on time even if nothing else arrives; but never while an order may be waiting, behind a
//! connection that is down, an open transaction of a shop's producer, or a machine that has slept.

use std::time::Duration;

use tracing::{debug, warn};

use super::{Stop, Worker, running_mut};
use crate::config::{AtEnd, ClockRules};
use crate::domain::values::time::{Span, Time};
use crate::stream::broker::{Broker, BrokerError, Clocks, Lookup, Moment, Position, Watermark};
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

/// Which time the shop lives in: the machine's, or, in the demo, one that starts in the past and runs faster.
#[derive(Clone, Copy, Debug)]
pub enum ShopTime {
    Wall,
    Fast {
        /// The shop's time at `real_start_millis`, in milliseconds since 1970.
        start_millis: i64,
        real_start_millis: i64,
        /// How much faster it runs.
        factor: u32,
    },
}

impl ShopTime {
    /// The shop's time at an instant of the machine's wall clock, held within what a record can carry.
    pub fn at(&self, wall_millis: i64) -> Time {
        let millis = match *self {
            Self::Wall => wall_millis,
            Self::Fast { start_millis, real_start_millis, factor } => {
                start_millis + (wall_millis - real_start_millis).saturating_mul(i64::from(factor))
            }
        };
        Time::MIN.plus(Span::from_millis(millis.max(0)))
    }

    /// Whether the shop lives in the time that brokers stamp records with.
    pub const fn is_wall(&self) -> bool {
        matches!(self, Self::Wall)
    }
}

/// Where a clock may go at a confirmed end, if anywhere.
pub fn target(rules: &ClockRules, shop_now: Time) -> Option<Time> {
    match rules.at_end {
        AtEnd::Wall => Some(shop_now.minus(rules.grace)),
        AtEnd::Stay => None,
        AtEnd::At(instant) => Some(instant),
    }
}

/// Tells whether wall time can be believed: it may not run away from the time since boot.
#[derive(Clone, Copy, Debug)]
pub enum WallGuard {
    Believed {
        since: Clocks,
    },
    /// It has jumped; `since` it seems in step again.
    Jumped {
        since: Clocks,
    },
}

impl WallGuard {
    pub fn new(clocks: Clocks) -> Self {
        Self::Believed { since: clocks }
    }

    /// An end was confirmed: drift counts from here.
    pub fn confirm(&mut self, clocks: Clocks) {
        *self = Self::Believed { since: clocks };
    }

    pub fn is_believed(&mut self, clocks: Clocks) -> bool {
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
    let wall = now.wall_millis - since.wall_millis;
    Duration::from_millis(wall.abs_diff(boot))
}

/// What keeps one partition's clock at its end from moving.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EndCheck {
    /// Wall time is not believed, the brokers do not answer, or a transaction is open in an input.
    pub is_frozen: bool,
    /// When the brokers may be asked again.
    pub ask_at: Option<Moment>,
}

impl<B: Broker> Worker<'_, B> {
    /// Moves the clocks of partitions that have something due and are read to their ends, if the brokers confirm these ends.
    /// The time that a clock moves to is taken before they are asked.
    pub(super) fn move_clocks(&mut self) -> Result<(), Stop> {
        let clocks = self.broker.clocks();
        let Some(target) = target(&self.rules.clock, self.rules.shop_time.at(clocks.wall_millis)) else {
            return Ok(());
        };
        let due = self.partitions_due(target, clocks.monotonic);
        if due.is_empty() {
            return Ok(());
        }
        if !self.wall_guard.is_believed(clocks) {
            self.freeze(&due, clocks.monotonic);
            return Ok(());
        }
        let Some(ends) = self.input_ends(&due, Watermark::High)? else {
            self.freeze(&due, clocks.monotonic);
            return Ok(());
        };
        let mut behind = Vec::new();
        for (partition, ends) in due.iter().zip(&ends) {
            if running_mut(&mut self.owned, *partition).streams.confirm_ends(ends) {
                self.wall_guard.confirm(clocks);
                self.advance_clock(*partition, target);
            } else {
                behind.push(*partition);
            }
        }
        self.note_open_transactions(&behind, clocks.monotonic)
    }

    /// The partitions whose clock would move if their ends were confirmed now.
    fn partitions_due(&mut self, target: Time, now: Moment) -> Vec<Partition> {
        let due = self.running_partitions().filter_map(|(partition, running)| {
            let may_ask = running.end_check.ask_at.is_none_or(|ask_at| ask_at <= now);
            let starved_for = running.starved_since.map(|since| now.since(since));
            let may_be_at_end = running.streams.is_at_end()
                || starved_for.is_some_and(|starved_for| starved_for >= STARVED_MIN);
            let is_due =
                !running.part.is_closed && may_be_at_end && running.engine.next_due(target).is_some();
            (is_due && may_ask).then_some(partition)
        });
        due.collect()
    }

    fn freeze(&mut self, partitions: &[Partition], now: Moment) {
        for partition in partitions {
            let check = &mut running_mut(&mut self.owned, *partition).end_check;
            *check = EndCheck { is_frozen: true, ask_at: Some(now.plus(ASK_AGAIN_AFTER)) };
        }
    }

    /// Tells inputs that have more to fetch from inputs that somebody's open transaction holds up.
    fn note_open_transactions(&mut self, partitions: &[Partition], now: Moment) -> Result<(), Stop> {
        if partitions.is_empty() {
            return Ok(());
        }
        let Some(stable) = self.input_ends(partitions, Watermark::Stable)? else {
            self.freeze(partitions, now);
            return Ok(());
        };
        for (partition, stable) in partitions.iter().zip(&stable) {
            let running = running_mut(&mut self.owned, *partition);
            let is_frozen = running.streams.is_held_up(stable);
            if is_frozen && !running.end_check.is_frozen {
                debug!(%partition, "an open transaction in an input keeps the clock where it is");
            }
            running.end_check = EndCheck { is_frozen, ask_at: Some(now.plus(ASK_AGAIN_AFTER)) };
        }
        Ok(())
    }

    /// An edge of all inputs of each partition; none if the brokers did not answer.
    fn input_ends(
        &mut self,
        partitions: &[Partition],
        watermark: Watermark,
    ) -> Result<Option<Vec<PerInput<Position>>>, Stop> {
        let logs: Vec<_> = partitions
            .iter()
            .flat_map(|partition| Input::ALL.map(|input| (Topic::Input(input), *partition)))
            .collect();
        match self.broker.lookup().watermarks(watermark, &logs, ANSWER_MAX) {
            Ok(positions) => Ok(Some(PerInput::chunks(&positions).collect())),
            Err(BrokerError::Retry(cause)) => {
                debug!(cause = format!("{cause:#}"), "the ends of the inputs are not confirmed");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(wall_seconds: i64, boot_seconds: u64) -> Clocks {
        let boot = Duration::from_secs(boot_seconds);
        Clocks { monotonic: Moment(boot), boot, wall_millis: wall_seconds * 1_000 }
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
    fn shop_time_runs_as_fast_as_it_is_told() {
        let demo = ShopTime::Fast { start_millis: 1_000_000, real_start_millis: 5_000, factor: 500 };
        assert_eq!(demo.at(5_002).as_millis(), 1_001_000);
        assert_eq!(ShopTime::Wall.at(-1).as_millis(), 0);
    }

    #[test]
    fn the_clock_goes_where_it_is_told_at_the_end() {
        let time = |millis| Time::from_millis(millis).expect("in range");
        let rules = |at_end| ClockRules { grace: Span::from_millis(60), at_end, skew: Span::ZERO };
        assert_eq!(target(&rules(AtEnd::Wall), time(100)), Some(time(40)));
        assert_eq!(target(&rules(AtEnd::Stay), time(100)), None);
        assert_eq!(target(&rules(AtEnd::At(time(500))), time(100)), Some(time(500)));
    }
}
