//! One raw partition that this worker owns: where it is read, and what became of its last records.

use crate::config::DeadLetterLimit;
use crate::stream::broker::{Moment, Position};
use crate::stream::intake::port::RawBatch;
use crate::stream::partition::dead_letters::DeadLetterWindow;

/// See the module.
pub struct Lane<T> {
    /// The source whose map reads it.
    pub source: usize,
    pub phase: LanePhase<T>,
    /// Of the records since the partition was assigned; what was taken back with a transaction counts again.
    pub window: DeadLetterWindow<()>,
}

/// Where a partition is read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    pub position: Position,
    /// Before it if the group has committed less: then the position is committed although no record was read.
    pub committed: Position,
    /// The position is to be committed again, for what stands beside it.
    pub is_to_commit: bool,
}

/// How far a partition is.
pub enum LanePhase<T> {
    /// The brokers are to be asked where to begin.
    Unlocated,
    /// To be fetched from there, once the client has taken the partition up.
    Located(Start),
    Reading(Reading<T>),
}

/// A partition that is fetched.
pub struct Reading<T> {
    /// What the group has committed, or where it began.
    pub committed: Position,
    pub is_to_commit: bool,
    /// Behind the last record that was taken.
    pub next: Position,
    /// The end as the client knows it.
    pub end: Option<Position>,
    batch: Option<T>,
    taken: usize,
    /// Since when nothing is at hand although there is more to fetch.
    pub starved_since: Option<Moment>,
    /// When the last taken record was written.
    pub last_written_ms: Option<i64>,
}

impl<T: RawBatch> Lane<T> {
    pub fn new(source: usize, limit: DeadLetterLimit) -> Self {
        Self { source, phase: LanePhase::Unlocated, window: DeadLetterWindow::new(limit, &[]) }
    }

    pub fn reading(&self) -> Option<&Reading<T>> {
        match &self.phase {
            LanePhase::Reading(reading) => Some(reading),
            LanePhase::Unlocated | LanePhase::Located(_) => None,
        }
    }

    pub fn reading_mut(&mut self) -> Option<&mut Reading<T>> {
        match &mut self.phase {
            LanePhase::Reading(reading) => Some(reading),
            LanePhase::Unlocated | LanePhase::Located(_) => None,
        }
    }

    /// Forgets what was read and not committed. The window is forgotten with it: its last records come again.
    pub fn rewind(&mut self, limit: DeadLetterLimit) {
        self.phase = LanePhase::Unlocated;
        self.window = DeadLetterWindow::new(limit, &[]);
    }
}

impl<T: RawBatch> Reading<T> {
    pub fn new(start: Start) -> Self {
        Self {
            committed: start.committed,
            is_to_commit: start.is_to_commit,
            next: start.position,
            end: None,
            batch: None,
            taken: 0,
            starved_since: None,
            last_written_ms: None,
        }
    }

    /// Whether a record is at hand.
    pub fn has_head(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| self.taken < batch.len())
    }

    /// When the record at hand was written; without a time it comes first.
    pub fn head_written_ms(&self) -> Option<i64> {
        let batch = self.batch.as_ref().filter(|batch| self.taken < batch.len())?;
        Some(batch.timestamp_ms(self.taken).unwrap_or(i64::MIN))
    }

    pub fn put(&mut self, batch: T) {
        (self.batch, self.taken) = (Some(batch), 0);
        self.starved_since = None;
    }

    /// The record at hand.
    pub fn head(&self) -> Option<crate::stream::intake::port::RawRecord<'_>> {
        self.batch.as_ref().filter(|batch| self.taken < batch.len()).map(|batch| batch.get(self.taken))
    }

    /// The record at hand is used.
    pub fn take_head(&mut self) {
        if let Some(batch) = &self.batch {
            let record = batch.get(self.taken);
            self.next = record.offset.next();
            self.last_written_ms = record.timestamp_ms.or(self.last_written_ms);
        }
        self.taken += 1;
        if !self.has_head() {
            self.batch = None;
        }
    }

    /// There may be more to fetch than is at hand.
    pub fn is_behind(&self) -> bool {
        self.end.is_none_or(|end| self.next < end)
    }
}
