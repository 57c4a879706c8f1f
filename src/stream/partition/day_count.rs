//! The daily count of a partition: from a midnight that its clock has crossed to the shares in its next transaction.
//!
//! ```text
//!  Idle ─(a tick is due)─► Counting, in slices between batches ─► Counted ─► the batch is committed ─► Idle
//!    └──(too long ago)──────────────────────────────────────────►  (skipped)
//! ```
//!
//! Nothing of a count is kept but the midnight of the last one, in the seal: after a crash the count is made again from the restored
//! state. While a count is not committed the partition reads on, but not beyond the next midnight.

use crate::domain::daily_count::DailyCount;
use crate::domain::daily_count::ticks::{self, DueTick, Ticks};
use crate::domain::engine::as_of::AsOf;
use crate::domain::engine::daily_count::DailyCounting;
use crate::domain::engine::{Engine, Progress};
use crate::domain::settings::Settings;
use crate::domain::values::time::{Span, Time};

/// See the module. A partition of a service without shares has none.
pub struct DayCount {
    ticks: Ticks,
    stage: Stage,
}

enum Stage {
    Idle,
    Counting {
        tick: Time,
        counting: Box<DailyCounting>,
    },
    /// To be written with the next batch of the partition.
    Counted(CountedDay),
}

/// What a partition says about a day.
pub struct CountedDay {
    pub tick: Time,
    pub outcome: CountOutcome,
}

/// What became of a tick.
pub enum CountOutcome {
    /// By shop.
    Counted(Vec<DailyCount>),
    Skipped,
}

impl DayCount {
    /// `through` is that of the seal.
    pub const fn new(through: Option<Time>) -> Self {
        Self { ticks: Ticks { through }, stage: Stage::Idle }
    }

    /// The last tick that is counted or skipped once the open batch is committed: the seal's.
    pub const fn through(&self) -> Option<Time> {
        match &self.stage {
            Stage::Counted(CountedDay { tick, .. }) => Some(*tick),
            Stage::Idle | Stage::Counting { .. } => self.ticks.through,
        }
    }

    /// What the next batch is to write.
    pub const fn counted(&self) -> Option<&CountedDay> {
        match &self.stage {
            Stage::Counted(day) => Some(day),
            Stage::Idle | Stage::Counting { .. } => None,
        }
    }

    /// Once its clock is there, the partition reads no further before it has counted.
    pub fn stop_at(&self, clock: Option<Time>, shop_now: Time) -> Time {
        let next = match &self.stage {
            Stage::Idle => clock.map_or(Time::MIN, Time::next_midnight),
            Stage::Counting { tick, .. } | Stage::Counted(CountedDay { tick, .. }) => tick.plus(Span::DAY),
        };
        next.max(ticks::oldest(shop_now))
    }

    /// See [`Ticks::next`].
    pub fn next_tick(&self, clock: Option<Time>, by: Time) -> Option<Time> {
        match &self.stage {
            Stage::Idle | Stage::Counting { .. } => self.ticks.next(clock, by),
            Stage::Counted(day) => Ticks { through: Some(day.tick) }.next(clock, by),
        }
    }

    /// The end of the inputs is confirmed, and there has never been a record: the partition has no customer to count.
    pub fn count_no_customers(&mut self, at: Time, shop_now: Time) {
        match self.stage {
            Stage::Idle => {
                self.begin_due(at, shop_now, |_| Start::Counted(CountOutcome::Counted(Vec::new())))
            }
            Stage::Counting { .. } | Stage::Counted(_) => {}
        }
    }

    /// Begins the count that is due at the engine's clock, if one is. Whether there is something to do or to write.
    pub fn begin(&mut self, engine: &Engine, settings: &Settings, shop_now: Time) -> CountProgress {
        if let (Stage::Idle, Some(clock), true) = (&self.stage, engine.clock(), engine.is_live()) {
            self.begin_due(clock, shop_now, |tick| {
                let counting = DailyCounting::new(settings, clock, AsOf::midnight(tick), 0);
                Start::Counting(Box::new(counting))
            });
        }
        match &self.stage {
            Stage::Idle => CountProgress::Nothing,
            Stage::Counting { .. } => CountProgress::Counting,
            Stage::Counted(_) => CountProgress::Counted,
        }
    }

    /// Counts so many customers more.
    pub fn count(&mut self, engine: &Engine, customers_max: usize) -> CountProgress {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => CountProgress::Nothing,
            Stage::Counting { tick, mut counting } => match engine.count(&mut counting, customers_max) {
                Progress::More => {
                    self.stage = Stage::Counting { tick, counting };
                    CountProgress::Counting
                }
                Progress::Done => {
                    let outcome = CountOutcome::Counted(counting.into_counts());
                    self.stage = Stage::Counted(CountedDay { tick, outcome });
                    CountProgress::Counted
                }
            },
            Stage::Counted(day) => {
                self.stage = Stage::Counted(day);
                CountProgress::Counted
            }
        }
    }

    /// The open batch is committed.
    pub fn on_committed(&mut self) {
        if let Stage::Counted(CountedDay { tick, .. }) = self.stage {
            self.ticks.through = Some(tick);
            self.stage = Stage::Idle;
        }
    }

    fn begin_due(&mut self, clock: Time, shop_now: Time, start: impl FnOnce(Time) -> Start) {
        self.stage = match self.ticks.due(clock, shop_now) {
            None => Stage::Idle,
            Some(DueTick::Skip(tick)) => Stage::Counted(CountedDay { tick, outcome: CountOutcome::Skipped }),
            Some(DueTick::Count(tick)) => match start(tick) {
                Start::Counting(counting) => Stage::Counting { tick, counting },
                Start::Counted(outcome) => Stage::Counted(CountedDay { tick, outcome }),
            },
        };
    }
}

/// How far the count of a day is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CountProgress {
    Nothing,
    Counting,
    /// It is to be written.
    Counted,
}

enum Start {
    Counting(Box<DailyCounting>),
    Counted(CountOutcome),
}
