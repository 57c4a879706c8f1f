//! The combiner: shares of all partitions become the shop metrics of complete days, each day once.
//!
//! ```text
//!  open (fences an earlier one) ─► committed position ─► shares, read committed ─► DayBook ─► complete or dropped days
//!                                                              ▲                                  │
//!                                                              └── one transaction a day: its records, the next position
//! ```
//!
//! The worker that owns partition 0 of the orders runs it as a task beside itself. It keeps nothing: what it writes follows from the
//! shares alone, and its group's position is the first share of the oldest day that is not finished, with the last finished day beside
//! it. After any error but a slow answer the task ends, and the worker starts another one a little later; no error of it stops a worker.

pub mod cuts;
pub mod day_book;
mod records;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::SegmentSettings;
use crate::domain::settings::Settings;
use crate::domain::values::time::Time;
use crate::stream::broker::{
    BrokerError, CombinedRecord, Committed, Lookup, Position, RecordBatch, Task, TaskStep, Unknown, Waker,
    Watermark,
};
use crate::stream::registry::{RegistryReader, RegistrySource};
use crate::topic::{OF_SHARES, Output, Topic};
use crate::wire::shares::{self, day_text};

use day_book::{DayBook, FinishedDay};

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
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CombinerEvent {
    /// Days that are counted by some partitions only.
    Incomplete(usize),
    /// The day's records are committed, so many.
    Published { day: Time, records: usize },
    /// A partition has not counted the day.
    Dropped { day: Time },
}

/// The worker's end of a combiner. Dropping it cancels the task, which may take a moment to end.
pub struct Combining {
    events: mpsc::Receiver<CombinerEvent>,
    cancelled: Arc<AtomicBool>,
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
    pub fn next_event(&self) -> Result<Option<CombinerEvent>, Ended> {
        match self.events.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(mpsc::TryRecvError::Empty) => Ok(None),
            Err(mpsc::TryRecvError::Disconnected) => Err(Ended),
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
pub struct Ended;

impl CombinerRequest {
    pub fn start<L: Lookup + 'static>(self) -> (Combining, Task<L>) {
        let (sender, events) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let combining = Combining { events, cancelled: Arc::clone(&cancelled) };
        let Self { settings, segments, partitions, waker } = self;
        let source = if segments.is_some() { RegistrySource::Topic } else { RegistrySource::None };
        let registry = RegistryReader::new(&source);
        let reporter = Reporter { sender, waker, last: None };
        let days = Days { settings, segments, registry };
        let mut work = Work { days, partitions, stage: Stage::Opening, reporter };
        let task = move |lookup: &mut L| {
            if cancelled.load(Ordering::Relaxed) {
                return TaskStep::Done;
            }
            match work.step(lookup) {
                Ok(()) | Err(BrokerError::Retry(_)) => TaskStep::Again,
                Err(error) => {
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

/// The task's end of the events. The same one is reported once.
struct Reporter {
    sender: mpsc::Sender<CombinerEvent>,
    waker: Waker,
    last: Option<CombinerEvent>,
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
                        Some(Ok(share)) => book.apply(record.offset, share),
                        Some(Err(problem)) => {
                            warn!(offset = record.offset.0, problem, "a share cannot be read")
                        }
                    }
                }
                while let Some(finished) = book.next_finished() {
                    let metadata = day_text(finished.day());
                    let combined = Committed { position: book.position(position), metadata };
                    let event = self.days.publish(lookup, &finished, &combined)?;
                    self.reporter.report(event);
                }
                self.reporter.report(CombinerEvent::Incomplete(book.incomplete()));
            }
        }
        Ok(())
    }
}

impl Reporter {
    fn report(&mut self, event: CombinerEvent) {
        if self.last.as_ref() != Some(&event) {
            self.last = Some(event.clone());
            // A worker that has dropped its end has cancelled the task; the next step sees it.
            let _ = self.sender.send(event);
            (self.waker)();
        }
    }
}

impl Days {
    /// Writes a finished day, with the position behind it.
    fn publish<L: Lookup>(
        &mut self,
        lookup: &mut L,
        finished: &FinishedDay,
        combined: &Committed,
    ) -> Result<CombinerEvent, BrokerError> {
        let (records, event) = match finished {
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
        Ok(event)
    }
}
