//! The combiner: shares of all partitions become the shop metrics of complete days, each day once.
//!
//! ```text
//!  open (fences an earlier one) ─► committed position ─► shares, read committed ─► DayBook ─► complete or dropped days
//!                                                              ▲                                  │
//!                                                              └── one transaction a day: its records, the next position
//! ```
//!
//! The worker that owns partition 0 of the orders runs it as a task beside itself. It keeps nothing: what it writes follows from the
//! shares alone, and its group's position is the first share of the last finished day, with that day beside it: its successor reads the
//! day again, so that gauges show its figures, and publishes it no more. After any error but a slow answer the task ends, and the worker starts another one a little later; no error of it stops a worker.

pub mod cuts;
pub mod day_book;
mod figures;
mod records;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::SegmentSettings;
use crate::domain::settings::Settings;
use crate::domain::values::time::Time;
use crate::exit::Exit;
use crate::observe::metrics::{CombinerFailure, IncompleteDays, ShopDay};
use crate::stream::broker::{
    BrokerError, CombinedRecord, Committed, Lookup, Position, RecordBatch, Task, TaskStep, Unknown, Waker,
    Watermark,
};
use crate::stream::registry::{RegistryReader, RegistrySource};
use crate::topic::{OF_SHARES, Output, Topic};
use crate::wire::shares::{self, day_text};

use day_book::{DayBook, FinishedDay, Written};

pub use records::records;

const SHARES: Topic = Topic::Output(Output::Shares);
/// One bounded call of the task.
const CALL_MAX: Duration = Duration::from_millis(500);
/// One transaction, well within its timeout.
const PUBLISH_MAX: Duration = Duration::from_secs(5);

/// What a combiner is started with.
pub struct CombinerRequest {
    pub settings: Arc<Settings>,
    /// None: no cut points are published.
    pub segments: Option<SegmentSettings>,
    /// Of the inputs.
    pub partitions: u32,
    pub waker: Waker,
}

/// What the task reports to the worker.
#[derive(Clone, Debug)]
pub enum CombinerEvent {
    /// Days that are counted by some partitions only. Not repeated.
    Incomplete(IncompleteDays),
    /// The newest complete day.
    Figures(Box<ShopDay>),
    /// The day's records are committed, so many.
    Published { day: Time, records: usize },
    /// A partition has not counted the day.
    Dropped { day: Time },
}

/// The worker's end of a combiner. Dropping it cancels the task, which may take a moment to end.
pub struct Combining {
    events: mpsc::Receiver<Result<CombinerEvent, CombinerFailure>>,
    cancelled: Arc<AtomicBool>,
    /// As the task has reported it before its end.
    failure: Option<CombinerFailure>,
}

impl Combining {
    /// Asks the task to end.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// The next event that the worker has not seen yet.
    ///
    /// # Errors
    /// The task has ended, and there will be none.
    pub fn next_event(&mut self) -> Result<Option<CombinerEvent>, Ended> {
        match self.events.try_recv() {
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(failure)) => {
                self.failure = Some(failure);
                Ok(None)
            }
            Err(mpsc::TryRecvError::Empty) => Ok(None),
            // Without a word it has panicked.
            Err(mpsc::TryRecvError::Disconnected) => {
                Err(Ended { failure: self.failure.unwrap_or(CombinerFailure::Internal) })
            }
        }
    }
}

impl Drop for Combining {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The task has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Why, if it was not cancelled.
    pub failure: CombinerFailure,
}

impl CombinerRequest {
    pub fn start<L: Lookup + 'static>(self) -> (Combining, Task<L>) {
        let (sender, events) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let combining = Combining { events, cancelled: Arc::clone(&cancelled), failure: None };
        let Self { settings, segments, partitions, waker } = self;
        let source = if segments.is_some() { RegistrySource::Topic } else { RegistrySource::None };
        let registry = RegistryReader::new(&source);
        let reporter = Reporter { sender, waker, incomplete: None };
        let days = Days { settings, segments, registry };
        let mut work = Work { days, partitions, stage: Stage::Opening, reporter };
        let task = move |lookup: &mut L| {
            if cancelled.load(Ordering::Relaxed) {
                return TaskStep::Done;
            }
            match work.step(lookup) {
                Ok(()) | Err(BrokerError::Retry(_)) => TaskStep::Again,
                Err(error) => {
                    work.reporter.send(Err(failure(&error)));
                    let error = format!("{:#}", anyhow::Error::from(error));
                    warn!(error, "the combiner of shop metrics has ended, another one is started");
                    TaskStep::Done
                }
            }
        };
        (combining, Box::new(task))
    }
}

struct Work {
    days: Days,
    partitions: u32,
    stage: Stage,
    reporter: Reporter,
}

/// What the records of a day are made with.
struct Days {
    settings: Arc<Settings>,
    segments: Option<SegmentSettings>,
    /// Which stores have cut points. No one else publishes any while this combiner is open.
    registry: RegistryReader,
}

/// The task's end of the events.
struct Reporter {
    sender: mpsc::Sender<Result<CombinerEvent, CombinerFailure>>,
    waker: Waker,
    /// As reported last.
    incomplete: Option<IncompleteDays>,
}

enum Stage {
    Opening,
    Locating,
    Reading { book: DayBook, next: Position },
}

impl Work {
    fn step<L: Lookup>(&mut self, lookup: &mut L) -> Result<(), BrokerError> {
        match &mut self.stage {
            Stage::Opening => {
                lookup.open_combiner(CALL_MAX)?;
                self.stage = Stage::Locating;
            }
            Stage::Locating => {
                if !self.days.registry.start(lookup)? {
                    return Ok(());
                }
                let combined = lookup.combined(CALL_MAX)?;
                let log = [(SHARES, OF_SHARES)];
                let low = lookup.watermarks(Watermark::Low, &log, CALL_MAX)?[0];
                let high = lookup.watermarks(Watermark::High, &log, CALL_MAX)?[0];
                let finished = combined.as_ref().and_then(|combined| shares::parse_day(&combined.metadata));
                // Retention may have deleted shares that were never combined; or the topic is another one of that name.
                let next = combined.map_or(low, |combined| combined.position);
                let next = if (low..=high).contains(&next) { next } else { low };
                info!(position = next.0, finished = finished.map(day_text), "combining shares");
                let book = DayBook::new(self.partitions, finished);
                self.stage = Stage::Reading { book, next };
            }
            Stage::Reading { book, next } => {
                let (batch, position) = lookup.read_log(SHARES, OF_SHARES, *next, CALL_MAX)?;
                *next = position;
                for index in 0..batch.len() {
                    let record = batch.get(index);
                    // What cannot be read leaves its day without a share or a marker. Tombstones say nothing.
                    match record.value.map(shares::decode) {
                        None => {}
                        Some(Ok(share)) => {
                            let written = Written { offset: record.offset, at_ms: record.timestamp_ms };
                            book.apply(written, share);
                        }
                        Some(Err(problem)) => {
                            warn!(offset = record.offset.0, problem, "a share cannot be read")
                        }
                    }
                }
                while let Some(finished) = book.next_finished() {
                    let metadata = day_text(finished.day());
                    let combined = Committed { position: book.position(position), metadata };
                    if let Some(event) = self.days.publish(lookup, &finished, &combined)? {
                        self.reporter.report(event);
                    }
                    if let Some(figures) = self.days.figures(&finished) {
                        self.reporter.report(CombinerEvent::Figures(Box::new(figures)));
                    }
                }
                self.reporter.report_incomplete(book.incomplete());
            }
        }
        Ok(())
    }
}

impl Reporter {
    fn report(&self, event: CombinerEvent) {
        self.send(Ok(event));
    }

    fn send(&self, message: Result<CombinerEvent, CombinerFailure>) {
        // A worker that has dropped its end has cancelled the task; the next step sees it.
        let _ = self.sender.send(message);
        (self.waker)();
    }

    fn report_incomplete(&mut self, days: IncompleteDays) {
        if self.incomplete != Some(days) {
            self.incomplete = Some(days);
            self.report(CombinerEvent::Incomplete(days));
        }
    }
}

impl Days {
    /// What gauges show of a complete day.
    fn figures(&self, finished: &FinishedDay) -> Option<ShopDay> {
        match finished {
            FinishedDay::Complete { day, counts } | FinishedDay::Known { day, counts } => {
                Some(figures::shop_day(&self.settings, *day, counts))
            }
            FinishedDay::Dropped { .. } => None,
        }
    }

    /// Writes a finished day that is not written yet, with the position to go on from.
    fn publish<L: Lookup>(
        &mut self,
        lookup: &mut L,
        finished: &FinishedDay,
        combined: &Committed,
    ) -> Result<Option<CombinerEvent>, BrokerError> {
        let (records, event) = match finished {
            FinishedDay::Known { .. } => return Ok(None),
            FinishedDay::Complete { day, counts } => {
                let metrics = records(&self.settings, *day, counts);
                let event = CombinerEvent::Published { day: *day, records: metrics.len() };
                let cuts = self.segments.as_ref().map_or_else(Vec::new, |segments| {
                    cuts::due_cuts(segments, &self.settings, counts, self.registry.registry())
                });
                let to = |topic| move |(key, value)| CombinedRecord { topic, key, value };
                let metrics = metrics.into_iter().map(to(Topic::Output(Output::ShopMetrics)));
                (metrics.chain(cuts.into_iter().map(to(Topic::Registry))).collect(), event)
            }
            FinishedDay::Dropped { day } => (Vec::new(), CombinerEvent::Dropped { day: *day }),
        };
        match lookup.publish_combined(&records, combined, PUBLISH_MAX) {
            Ok(()) => {}
            // The book has given the day away, so the call cannot be repeated.
            Err(BrokerError::Retry(cause)) => {
                return Err(BrokerError::OutcomeUnknown(Unknown::Failed, cause));
            }
            Err(error) => return Err(error),
        }
        for CombinedRecord { key, value, .. } in
            records.iter().filter(|record| record.topic == Topic::Registry)
        {
            self.registry.apply(key, value);
        }
        Ok(Some(event))
    }
}

const fn failure(error: &BrokerError) -> CombinerFailure {
    match error {
        BrokerError::OutcomeUnknown(Unknown::Fenced, _) => CombinerFailure::Fenced,
        BrokerError::OutcomeUnknown(Unknown::Failed, _) => CombinerFailure::OutcomeUnknown,
        BrokerError::Stop(Exit::Permission, _) => CombinerFailure::Permission,
        BrokerError::Stop(Exit::Configuration | Exit::Data | Exit::Usage, _) => {
            CombinerFailure::Configuration
        }
        BrokerError::Stop(Exit::Unavailable, _) | BrokerError::Retry(_) => CombinerFailure::Unavailable,
        BrokerError::Stop(Exit::Internal | Exit::Unhealthy | Exit::Pending, _)
        | BrokerError::AbortTransaction(_) => CombinerFailure::Internal,
    }
}
