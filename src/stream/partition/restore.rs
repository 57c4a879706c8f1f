//! From an assigned partition to one that can go on: barrier, changelog, seal, and whether these agree.
//!
//! ```text
//!  committed offsets, stable ─► high watermark of the changelog ─► records up to it ─► edges of the inputs ─► agree? ─► timers
//!                                                              └─► snapshot ─► the rest ─┘
//! ```
//!
//! In this order: once the committed offsets are stable, a predecessor whose offsets were accepted has nothing left to write,
//! so all of its records are below a high watermark that is asked afterwards. The high watermark is asked read_uncommitted,
//! because below a crashed writer's open transaction the last stable offset hides what was committed behind it.
//!
//! All of it runs beside the worker and in short steps; dropping [`Restoring`] cancels it.

mod blocked;
mod history;
mod local;
mod read;
pub mod start;
pub mod unusable;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::config::{DeadLetterLimit, HistoryRules};
use crate::domain::engine::Engine;
use crate::domain::engine::restore::{Restore, RestoreError, Settled};
use crate::domain::settings::Settings;
use crate::domain::values::time::Time;
use crate::exit::Exit;
use crate::fault::{self, Mutation};
use crate::snapshot::Snapshots;
use crate::snapshot::discard::Discard;
use crate::stream::broker::{
    BrokerError, ChangelogIdentity, Committed, Lookup, Moment, Position, RawEnd, Stability, Task, TaskStep,
    Waker, Watermark,
};
use crate::topic::{Input, Output, Partition, PerInput, Topic};
use crate::wire::changelog::Seal;

use self::start::Disagreement;
use super::RunningHistory;
use super::day_count::DayCount;
use super::dead_letters::DeadLetterWindow;
use super::merge::MergeKey;

use blocked::Blocked;
use local::{Changelog, Loading, Used};
use unusable::unusable_state;

const CHANGELOG: Topic = Topic::Output(Output::Changelog);
/// One bounded call of the task.
const CALL_MAX: Duration = Duration::from_millis(500);
/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Customers that one step gives their timers.
const SETTLED_A_STEP: usize = 100_000;

/// What a restored partition starts with.
pub struct Restored {
    pub engine: Engine,
    pub window: DeadLetterWindow,
    pub batch_number: u64,
    pub starts: PerInput<(Position, MergeKey)>,
    /// The inputs' high watermarks.
    pub ends: PerInput<Position>,
    pub history: Option<RunningHistory>,
    /// None if days are not counted.
    pub day_count: Option<DayCount>,
    /// Changelog records read, ...
    pub records: u64,
    /// ... and those that no [`RestoreEvent::Progress`] has counted yet.
    pub records_unreported: u64,
    /// None where the brokers cannot identify topics, or no snapshots are kept.
    pub changelog: Option<ChangelogIdentity>,
    /// The age of the snapshot that it came from, if it did.
    pub snapshot_created_at_ms: Option<i64>,
}

/// What the task sends to the worker.
pub enum RestoreEvent {
    Progress { records: u64, remaining: u64 },
    Done(Box<Restored>),
    Failed(BrokerError),
}

/// The worker's end of a restore.
pub struct Restoring {
    pub started_at: Moment,
    news: mpsc::Receiver<RestoreEvent>,
    cancelled: Arc<AtomicBool>,
}

impl Restoring {
    /// The next event of the task that the worker has not seen yet.
    pub fn next_event(&self) -> Option<RestoreEvent> {
        self.news.try_recv().ok()
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// What a restore depends on beside the partition.
#[derive(Clone)]
pub struct RestoreRules {
    pub settings: Arc<Settings>,
    pub dead_letters: DeadLetterLimit,
    /// Of the erasure secret, and of what was in force before there was one: only their markers are found again.
    pub secret: [u8; 8],
    pub former_secret: Option<[u8; 8]>,
    pub on_other_offsets: OnOtherOffsets,
    pub history: HistoryRules,
    /// `metrics.shares`
    pub counts_days: bool,
    /// What the intake reads; empty without one.
    pub raw_topics: Arc<[String]>,
    /// None: there are none.
    pub snapshots: Option<Snapshots>,
}

/// What to do when the group's offsets are not the seal's, because an operator has reset the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnOtherOffsets {
    Stop,
    /// `--accept-offsets`
    Accept,
}

/// A restore to be started.
pub struct RestoreRequest {
    pub partition: Partition,
    /// This worker's own id: its transactions are not to be ended from here.
    pub transactional_id: String,
    pub has_transactional_offsets: bool,
    pub waker: Waker,
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// A history that begins now holds signals before it back.
    pub shop_now: Time,
    /// The most that a record of the changelog may measure.
    pub record_bytes_max: usize,
    pub rules: RestoreRules,
}

impl RestoreRequest {
    pub fn start<L: Lookup + 'static>(self, now: Moment) -> (Restoring, Task<L>) {
        let (sender, news) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let restoring = Restoring { started_at: now, news, cancelled: Arc::clone(&cancelled) };
        let mut work = Work {
            restore: Restore::new(Arc::clone(&self.rules.settings)),
            stage: Stage::Barrier,
            changelog: None,
            used: None,
            newest_ms: i64::MIN,
            seal: None,
            records: 0,
            records_unreported: 0,
            reported_at: None,
            blocked: Blocked::default(),
            request: self,
        };
        let task = move |lookup: &mut L| {
            if cancelled.load(Ordering::Relaxed) {
                return TaskStep::Done;
            }
            let news = match work.step(lookup) {
                Ok(None) => return TaskStep::Again,
                Ok(Some(news)) => news,
                Err(BrokerError::Retry(_)) => return TaskStep::Again,
                Err(error) => RestoreEvent::Failed(error),
            };
            let step =
                if matches!(news, RestoreEvent::Progress { .. }) { TaskStep::Again } else { TaskStep::Done };
            // A worker that has dropped its end has cancelled the restore; the next step sees it.
            let _ = sender.send(news);
            (work.request.waker)();
            step
        };
        (restoring, Box::new(task))
    }
}

/// The stage of a restore.
enum Stage {
    Barrier,
    Changelog { committed: Offsets },
    Snapshot { committed: Offsets, loading: Box<Loading>, from: Position, end: Position },
    Reading { committed: Offsets, position: Position, end: Position },
    Inputs { committed: Offsets },
    Recheck { committed: Offsets, disagreement: Disagreement },
    Settling(Inputs),
    Over,
}

type Offsets = PerInput<Option<Committed>>;

/// Where the inputs are to be read from, and how far they go.
#[derive(Clone)]
struct Inputs {
    starts: PerInput<(Position, MergeKey)>,
    ends: PerInput<Position>,
    history: Option<RunningHistory>,
    signals_from: Option<Time>,
}

struct Work {
    request: RestoreRequest,
    stage: Stage,
    restore: Restore,
    changelog: Option<ChangelogIdentity>,
    /// The snapshot whose state is in `restore`.
    used: Option<Used>,
    /// The latest timestamp of a record that was read.
    newest_ms: i64,
    seal: Option<Seal>,
    records: u64,
    records_unreported: u64,
    reported_at: Option<Moment>,
    blocked: Blocked,
}

impl Work {
    fn step<L: Lookup>(&mut self, lookup: &mut L) -> Result<Option<RestoreEvent>, BrokerError> {
        let partition = self.request.partition;
        let changelog = [(CHANGELOG, partition)];
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Barrier => {
                self.stage = Stage::Barrier;
                let committed = match lookup.committed(&[partition], Stability::Stable, CALL_MAX) {
                    Err(BrokerError::Retry(cause)) => {
                        self.blocked.end_open_transaction(lookup, &self.request)?;
                        return Err(BrokerError::Retry(cause));
                    }
                    other => other?,
                };
                let committed = committed.into_iter().next().expect("one partition was asked for");
                self.stage = Stage::Changelog { committed };
                self.blocked = Blocked::default();
            }
            Stage::Changelog { committed } => {
                self.stage = Stage::Changelog { committed: committed.clone() };
                let end = lookup.watermarks(Watermark::High, &changelog, CALL_MAX)?[0];
                let from = lookup.watermarks(Watermark::Low, &changelog, CALL_MAX)?[0];
                if self.request.has_transactional_offsets {
                    start::check_beginning(from)
                        .map_err(|disagreement| BrokerError::stop(Exit::Configuration, disagreement))?;
                }
                self.stage = match self.find_snapshot(lookup, from, end)? {
                    Some(loading) => Stage::Snapshot { committed, loading: Box::new(loading), from, end },
                    None => Stage::Reading { committed, position: from, end },
                };
            }
            Stage::Snapshot { committed, loading, from, end } => {
                return Ok(self.load(committed, loading, from, end, lookup.now()));
            }
            Stage::Reading { committed, position, end } if position >= end => {
                self.stage = match self.doubt() {
                    None => Stage::Inputs { committed },
                    Some(reason) => {
                        self.discard_snapshot(&reason);
                        Stage::Changelog { committed }
                    }
                };
            }
            Stage::Reading { committed, position, end } => {
                self.stage = Stage::Reading { committed: committed.clone(), position, end };
                let (batch, next) = lookup.read_log(CHANGELOG, partition, position, CALL_MAX)?;
                self.stage = Stage::Reading { committed, position: next, end };
                if next == position {
                    self.blocked.end_open_transaction(lookup, &self.request)?;
                    return Ok(None);
                }
                self.blocked = Blocked::default();
                self.read(&batch)?;
                return Ok(self.progress(lookup.now(), end.0.saturating_sub(next.0)));
            }
            Stage::Inputs { committed } => self.find_inputs(lookup, committed)?,
            Stage::Recheck { committed, disagreement } => {
                self.check_doubt(lookup, committed, disagreement)?
            }
            Stage::Settling(inputs) => return self.settle(inputs, lookup.now()),
            Stage::Over => unreachable!("a finished restore is not stepped"),
        }
        Ok(None)
    }

    fn find_inputs<L: Lookup>(&mut self, lookup: &mut L, committed: Offsets) -> Result<(), BrokerError> {
        self.stage = Stage::Inputs { committed: committed.clone() };
        let inputs = Input::ALL.map(|input| (Topic::Input(input), self.request.partition));
        // Before the inputs: what the intake has passed by now lies below their ends.
        let raw = history::raw_ends(lookup, self.seal.as_ref(), &self.request.rules, CALL_MAX)?;
        let ends = PerInput::from_slice(&lookup.watermarks(Watermark::High, &inputs, CALL_MAX)?);
        let lows = PerInput::from_slice(&lookup.watermarks(Watermark::Low, &inputs, CALL_MAX)?);
        self.stage = match self.inputs(&committed, &lows, &ends, raw) {
            Ok(inputs) => self.begin_settling(inputs),
            Err(disagreement) => Stage::Recheck { committed, disagreement },
        };
        Ok(())
    }

    fn begin_settling(&mut self, inputs: Inputs) -> Stage {
        if inputs.history.is_some() {
            self.restore
                .in_history(self.request.record_bytes_max.saturating_sub(history::KEY_AND_FRAME_BYTES));
        }
        Stage::Settling(inputs)
    }

    /// Whether offsets and seal disagree for good. If another worker has committed since the barrier, this one has stood still for so
    /// long that it has lost the partition, and the group will report it; until then the disagreement does not end the service.
    fn check_doubt<L: Lookup>(
        &mut self,
        lookup: &mut L,
        committed: Offsets,
        disagreement: Disagreement,
    ) -> Result<(), BrokerError> {
        self.stage = Stage::Recheck { committed: committed.clone(), disagreement: disagreement.clone() };
        let now = lookup.committed(&[self.request.partition], Stability::Stable, CALL_MAX)?;
        if now.first() == Some(&committed) {
            return Err(BrokerError::stop(Exit::Configuration, disagreement));
        }
        self.restore = Restore::new(Arc::clone(&self.request.rules.settings));
        self.seal = None;
        self.used = None;
        self.stage = Stage::Barrier;
        Ok(())
    }

    /// Reported now and then: an event for every batch would keep the worker from its work.
    fn progress(&mut self, now: Moment, remaining: u64) -> Option<RestoreEvent> {
        if now.since(*self.reported_at.get_or_insert(now)) < REPORT_EVERY {
            return None;
        }
        self.reported_at = Some(now);
        Some(RestoreEvent::Progress { records: std::mem::take(&mut self.records_unreported), remaining })
    }

    fn load(
        &mut self,
        committed: Offsets,
        mut loading: Box<Loading>,
        from: Position,
        end: Position,
        now: Moment,
    ) -> Option<RestoreEvent> {
        let position = match loading.step(&mut self.restore, &self.request.rules.settings) {
            Ok(None) => {
                let remaining = loading.remaining() + end.0.saturating_sub(loading.position().0);
                self.stage = Stage::Snapshot { committed, loading, from, end };
                return self.progress(now, remaining);
            }
            Ok(Some(used)) => {
                self.used = Some(used);
                used.position
            }
            Err(reason) => {
                self.discard_snapshot(&reason);
                from
            }
        };
        self.stage = Stage::Reading { committed, position, end };
        None
    }

    fn settle(&mut self, inputs: Inputs, now: Moment) -> Result<Option<RestoreEvent>, BrokerError> {
        let clock = self.seal.as_ref().and_then(|seal| seal.clock);
        match self.restore.settle(clock, SETTLED_A_STEP) {
            Ok(Settled::Some) => {
                self.stage = Stage::Settling(inputs);
                Ok(self.progress(now, 0))
            }
            Ok(Settled::All) => {
                self.stage = Stage::Over;
                Ok(Some(RestoreEvent::Done(Box::new(self.finish(inputs)))))
            }
            // What is wrong may be the snapshot's alone; else the changelog shows it again.
            Err(RestoreError::Corrupt | RestoreError::NewerSection { .. }) if self.used.is_some() => {
                self.discard_snapshot(&Discard::Corrupt);
                self.stage = Stage::Barrier;
                Ok(None)
            }
            Err(error) => Err(unusable_state(&error)),
        }
    }

    /// The partition's snapshot, if there is one that belongs to this changelog.
    fn find_snapshot<L: Lookup>(
        &mut self,
        lookup: &mut L,
        start: Position,
        end: Position,
    ) -> Result<Option<Loading>, BrokerError> {
        let Some(snapshots) = &self.request.rules.snapshots else { return Ok(None) };
        if self.changelog.is_none() {
            self.changelog = lookup.changelog_identity(CALL_MAX)?;
        }
        Ok(self.changelog.as_ref().and_then(|identity| {
            let (partition, now_ms) = (self.request.partition, self.request.wall_ms);
            Loading::start(snapshots, &Changelog { identity, partition, start, end, now_ms })
        }))
    }

    /// What speaks against the snapshot now that the changelog behind it was read.
    fn doubt(&self) -> Option<Discard> {
        let (used, changelog) = (self.used?, self.changelog.as_ref()?);
        if self.seal.is_none() {
            return Some(Discard::NoSeal);
        }
        used.check_age(self.newest_ms, changelog.tombstone_retention).err()
    }

    /// Forgets what a snapshot has brought, and all that was built on it.
    fn discard_snapshot(&mut self, reason: &Discard) {
        if let Some(snapshots) = &self.request.rules.snapshots {
            local::discard(snapshots, self.request.partition, reason);
        }
        self.restore = Restore::new(Arc::clone(&self.request.rules.settings));
        self.seal = None;
        self.used = None;
    }

    /// Where to go on from, if everything agrees.
    fn inputs(
        &self,
        committed: &Offsets,
        lows: &PerInput<Position>,
        ends: &PerInput<Position>,
        raw: Vec<RawEnd>,
    ) -> Result<Inputs, Disagreement> {
        let (rules, seal) = (&self.request.rules, self.seal.as_ref());
        let evidence = start::Evidence {
            seal,
            committed: (self.request.has_transactional_offsets
                && !fault::is(Mutation::StartOffsetFromSnapshot))
            .then_some(committed),
            changelog_is_empty: self.records == 0,
            edges: PerInput::from_fn(|input| (lows[input], ends[input])),
        };
        let starts = start::starts(&evidence, rules.on_other_offsets, rules.secret, rules.former_secret)?;
        let present = history::PresentEnds { inputs: ends, raw };
        let shop_now = self.request.shop_now;
        let (history, signals_from) =
            history::of(seal, present, &rules.raw_topics, &rules.history, shop_now)?;
        Ok(Inputs { starts, ends: *ends, history, signals_from })
    }

    fn finish(&mut self, inputs: Inputs) -> Restored {
        let rules = &self.request.rules;
        let restore = std::mem::replace(&mut self.restore, Restore::new(Arc::clone(&rules.settings)));
        let seal = self.seal.take();
        let runs = seal.as_ref().map_or(&[][..], |seal| &seal.outcomes);
        let mut engine = restore.into_engine();
        if let Some(signals_from) = inputs.signals_from {
            engine.hold_back_until(signals_from);
        }
        Restored {
            engine,
            window: DeadLetterWindow::new(rules.dead_letters, runs),
            batch_number: seal.as_ref().map_or(0, |seal| seal.batch),
            starts: inputs.starts,
            ends: inputs.ends,
            history: inputs.history,
            day_count: rules
                .counts_days
                .then(|| DayCount::new(seal.as_ref().and_then(|seal| seal.counted_through))),
            records: self.records,
            records_unreported: self.records_unreported,
            changelog: self.changelog.take(),
            snapshot_created_at_ms: self.used.map(|used| used.created_at_ms),
        }
    }
}
