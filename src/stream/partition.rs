//! One owned partition: its state, its inputs, and its part of the open batch.
//!
//! ```text
//!  assigned ─► Restoring ─(seal agrees)─► Restored ─(fetching)─► Running ─► revoked: committed, then gone
//!                 ▲                                                │  └─► lost: gone
//!                 └───────────(outcome of a commit unknowable)─────┘
//! ```

pub mod apply;
pub mod day_count;
pub mod dead_letters;
pub mod history;
pub mod merge;
pub mod partition_batch;
pub mod restore;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::engine::{Engine, Progress};
use crate::domain::values::time::Time;
use crate::snapshot::snapshot_schedule::SnapshotSchedule;
use crate::stream::broker::{Clocks, Moment, Position, RawEnd};
use crate::topic::PerInput;

use day_count::DayCount;
use dead_letters::{DeadLetterWindow, LimitReached};
use merge::Streams;
use partition_batch::PartitionBatch;
use restore::{Restored, Restoring};

/// The totals of windows are brought to the clock so often: only gauges show them.
const FIGURES_AGE_MAX: Duration = Duration::from_secs(5);
/// So many customers take some ten milliseconds.
const CUSTOMERS_SETTLED_MAX: usize = 10_000;

/// Identifies one ownership of a partition. A batch that was begun in one epoch is never written in another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Epoch(pub u64);

/// A partition that the group has given to this worker.
pub struct Owned<T> {
    pub epoch: Epoch,
    pub phase: Phase<T>,
}

/// See the module.
pub enum Phase<T> {
    Restoring(Restoring),
    /// The state is there; the client does not fetch yet.
    Restored(Box<Running<T>>),
    Running(Box<Running<T>>),
}

/// A partition that is processed.
pub struct Running<T> {
    pub engine: Engine,
    pub streams: Streams<T>,
    pub window: DeadLetterWindow,
    /// The next record would cross the limit on dead letters.
    pub limit: Option<LimitReached>,
    pub part: PartitionBatch,
    pub committed: CommittedState,
    pub end_check: EndCheck,
    /// None once the partition has come to its live records.
    pub history: Option<RunningHistory>,
    /// None if days are not counted.
    pub day_count: Option<DayCount>,
    /// None if no snapshots are kept.
    pub snapshots: Option<SnapshotSchedule>,
    /// A record waits for an input that has more to fetch.
    pub is_waiting: bool,
    /// Since when nothing is at hand although there is more to fetch.
    pub starved_since: Option<Moment>,
    /// Broker time of the last record applied of each input.
    pub applied_at: PerInput<Option<i64>>,
    /// When the figures of all customers were last those of the clock.
    figures_at: Moment,
}

/// What the inputs held when the partition was first assigned, in any order of time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunningHistory {
    pub ends: HistoryEnds,
    /// How many of them were read.
    pub records: u64,
    /// How many signals were held back since this process settles the partition.
    pub held_back: u64,
}

/// Where a history ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HistoryEnds {
    /// Records at lower positions are history.
    Known(PerInput<Position>),
    /// Where the inputs end once the intake in front of them has passed these: what lay in the raw topics when the partition was first
    /// assigned is history too.
    Behind(Arc<[RawEnd]>),
}

/// What keeps a partition's clock at its end from moving.
#[derive(Clone, Copy, Default, Debug)]
pub struct EndCheck {
    /// Wall time is not believed, the brokers do not answer, a transaction is open in an input, or the intake is behind.
    pub is_frozen: bool,
    /// Since when something is due that has to wait for the intake.
    pub held_by_intake: Option<Clocks>,
    /// When the brokers may be asked again.
    pub ask_at: Option<Moment>,
}

/// The name of a partition's batch, kept by the broker beside the committed offset of `orders`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchName<'a> {
    /// Who wrote it.
    pub transactional_id: &'a str,
    /// Which of the processes with that id: a process that stood still may find a successor's batch of the very number that its
    /// own would have had.
    pub incarnation: u64,
    pub number: u64,
}

impl<'a> BatchName<'a> {
    /// None if it was not written by this service.
    pub fn parse(metadata: &'a str) -> Option<Self> {
        let (rest, number) = metadata.rsplit_once(' ')?;
        let (transactional_id, incarnation) = rest.rsplit_once(' ')?;
        Some(Self {
            transactional_id,
            incarnation: u64::from_str_radix(incarnation, 16).ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for BatchName<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:016x} {}", self.transactional_id, self.incarnation, self.number)
    }
}

/// What the last commit has made visible; a reader sees nothing later.
#[derive(Clone, Copy, Debug)]
pub struct CommittedState {
    /// Number of the partition's last committed batch; 0 before the first.
    pub batch_number: u64,
    pub next: PerInput<Position>,
    pub clock: Option<Time>,
    /// When it was committed, or restored.
    pub at: Moment,
}

impl<T: crate::stream::broker::RecordBatch> Running<T> {
    pub fn new(restored: Restored, snapshots: Option<SnapshotSchedule>, now: Moment) -> Self {
        let committed = CommittedState {
            batch_number: restored.batch_number,
            next: PerInput::from_fn(|input| restored.starts[input].0),
            clock: restored.engine.clock(),
            at: now,
        };
        Self {
            streams: Streams::new(&restored.starts, &restored.ends),
            engine: restored.engine,
            window: restored.window,
            limit: None,
            part: PartitionBatch::default(),
            committed,
            end_check: EndCheck::default(),
            history: restored.history,
            day_count: restored.day_count,
            snapshots,
            is_waiting: false,
            starved_since: None,
            applied_at: PerInput::default(),
            figures_at: now,
        }
    }

    /// The next position of each input once the open batch is committed.
    pub fn next_positions(&self) -> PerInput<Position> {
        PerInput::from_fn(|input| self.streams.cursors[input].next)
    }

    /// The open batch is known to be committed.
    pub fn on_committed(&mut self, batch_number: u64, now: Moment) {
        self.engine.changes_committed();
        self.part.clear();
        if let Some(day_count) = &mut self.day_count {
            day_count.on_committed();
        }
        self.committed =
            CommittedState { batch_number, next: self.next_positions(), clock: self.engine.clock(), at: now };
        if let Some(schedule) = &mut self.snapshots {
            schedule.on_committed(batch_number, now);
        }
    }

    /// Brings the figures of windows to the clock now and then, a part of the customers at a time.
    pub fn settle_figures(&mut self, now: Moment) {
        if now.since(self.figures_at) >= FIGURES_AGE_MAX
            && self.engine.settle_figures(CUSTOMERS_SETTLED_MAX) == Progress::Done
        {
            self.figures_at = now;
        }
    }
}

impl<T> Running<T> {
    /// The earliest instant at or before `by` at which something is due: a timer, a marker, or the count of a day.
    pub fn next_due(&mut self, by: Time) -> Option<Time> {
        let tick = match (&self.day_count, &self.history) {
            (Some(day_count), None) => day_count.next_tick(self.engine.clock(), by),
            (Some(_), Some(_)) | (None, _) => None,
        };
        self.engine.next_due(by).into_iter().chain(tick).min()
    }

    /// Where the clock has come to a midnight, the customers are counted before more is read.
    fn stop_at(&self, shop_now: Time) -> Time {
        match (&self.day_count, &self.history) {
            (Some(day_count), None) => day_count.stop_at(self.engine.clock(), shop_now),
            (Some(_), Some(_)) | (None, _) => Time::MAX,
        }
    }
}
