//! Shares in, complete days out: which days all partitions have counted.
//!
//! ```text
//!  share, share, day marker ─► an open day ─► all partitions have marked it ─► complete: its shares add up
//!                                   └─► one has skipped it, or has marked a later day first ─► dropped
//! ```
//!
//! A partition marks days in the order of time, so days finish in that order too, and one position and one day are enough to go on from
//! after a restart. The last finished day is read again then, so that its figures are known. Nothing depends on how the records of different partitions are interleaved.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::daily_count::DailyCount;
use crate::domain::values::time::Time;
use crate::observe::metrics::{IncompleteDay, IncompleteDays};
use crate::stream::broker::{Offset, Position};
use crate::wire::shares::{DayMarker, DayOutcome, Share, ShareRecord};

/// See the module.
#[derive(Clone, Debug)]
pub struct DayBook {
    partitions: u32,
    /// The last day that was published or dropped.
    finished: Option<Time>,
    /// Where its first record lies, if this book has read it.
    finished_first: Option<Offset>,
    /// The day that an earlier book has finished last, until this one has read it again.
    reread: Option<Time>,
    open: BTreeMap<Time, OpenDay>,
    /// The last day that each partition has marked.
    marked: BTreeMap<u32, Time>,
}

/// Where and when a record was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    pub offset: Offset,
    /// Milliseconds since 1970; none where records have no time.
    pub at_ms: Option<i64>,
}

/// A day that is not finished, or that is read again.
#[derive(Clone, Debug)]
struct OpenDay {
    first: Written,
    shares: BTreeMap<Option<Box<str>>, BTreeMap<u32, DailyCount>>,
    marked: BTreeSet<u32>,
    is_dropped: bool,
}

/// A day that is finished.
#[derive(Clone, PartialEq, Debug)]
pub enum FinishedDay {
    /// The counts of all partitions, added up, of each store that has customers.
    Complete { day: Time, counts: BTreeMap<Option<Box<str>>, DailyCount> },
    /// The same of a day that an earlier book has finished.
    Known { day: Time, counts: BTreeMap<Option<Box<str>>, DailyCount> },
    /// A partition has not counted it.
    Dropped { day: Time },
}

impl FinishedDay {
    pub const fn day(&self) -> Time {
        match self {
            Self::Complete { day, .. } | Self::Known { day, .. } | Self::Dropped { day } => *day,
        }
    }
}

impl DayBook {
    /// A book of this many partitions that goes on behind `finished`.
    pub const fn new(partitions: u32, finished: Option<Time>) -> Self {
        Self {
            partitions,
            finished,
            finished_first: None,
            reread: finished,
            open: BTreeMap::new(),
            marked: BTreeMap::new(),
        }
    }

    /// Takes a record in, in the order of the topic.
    pub fn apply(&mut self, written: Written, record: ShareRecord) {
        match record {
            ShareRecord::Share(share) => {
                let Share { partition, store_id, count } = *share;
                if let Some(day) = self.open_day(count.at, written) {
                    day.shares.entry(store_id).or_default().insert(partition, count);
                }
            }
            ShareRecord::Day(marker) => self.apply_marker(written, marker),
        }
    }

    /// The oldest day, if it is finished. It is finished for good once this has given it.
    pub fn next_finished(&mut self) -> Option<FinishedDay> {
        loop {
            let (day, oldest) = self.open.first_key_value()?;
            let day = *day;
            if !oldest.is_dropped && (oldest.marked.len() as u64) < u64::from(self.partitions) {
                return None;
            }
            let OpenDay { first, shares, is_dropped, .. } = self.open.remove(&day).expect("the first one");
            let is_known = self.reread == Some(day);
            self.reread = None;
            self.finished = Some(day);
            self.finished_first = Some(first.offset);
            return Some(match (is_known, is_dropped) {
                // It was dropped before, or its shares are not all there any more.
                (true, true) => continue,
                (false, true) => FinishedDay::Dropped { day },
                (true, false) => FinishedDay::Known { day, counts: sums(shares) },
                (false, false) => FinishedDay::Complete { day, counts: sums(shares) },
            });
        }
    }

    /// The last day that was published or dropped.
    pub const fn finished(&self) -> Option<Time> {
        self.finished
    }

    /// From where a book that goes on behind [`Self::finished`] has to read, if everything before `next` is in this one.
    pub fn position(&self, next: Position) -> Position {
        let firsts = self.open.values().map(|day| day.first.offset).chain(self.finished_first);
        firsts.map(|first| Position(first.0)).min().map_or(next, |first| first.min(next))
    }

    /// The days that some partitions have counted, and others not yet.
    pub fn incomplete(&self) -> IncompleteDays {
        let mut incomplete = self.open.iter().filter(|(day, _)| self.reread != Some(**day)).peekable();
        let oldest =
            incomplete.peek().map(|(day, open)| IncompleteDay { day: **day, since_ms: open.first.at_ms });
        IncompleteDays { count: incomplete.count(), oldest }
    }

    fn apply_marker(&mut self, written: Written, DayMarker { partition, day, outcome }: DayMarker) {
        // The partition marks days in order: one that it has passed it will never mark.
        self.marked.insert(partition, day);
        for (_, earlier) in self.open.range_mut(..day) {
            earlier.is_dropped |= !earlier.marked.contains(&partition);
        }
        let Some(day) = self.open_day(day, written) else { return };
        match outcome {
            DayOutcome::Counted { stores } => {
                let has_share = |store: &Option<Box<str>>| {
                    day.shares.get(store).is_some_and(|shares| shares.contains_key(&partition))
                };
                day.is_dropped |= !stores.iter().all(has_share);
                day.marked.insert(partition);
            }
            DayOutcome::Skipped => day.is_dropped = true,
        }
    }

    fn open_day(&mut self, day: Time, written: Written) -> Option<&mut OpenDay> {
        if self.finished.is_some_and(|finished| day <= finished) && self.reread != Some(day) {
            return None;
        }
        let is_passed = self.marked.values().any(|marked| *marked > day);
        Some(self.open.entry(day).or_insert_with(|| OpenDay {
            first: written,
            shares: BTreeMap::new(),
            marked: BTreeSet::new(),
            is_dropped: is_passed,
        }))
    }
}

/// The counts of all partitions, added up by store.
fn sums(
    shares: BTreeMap<Option<Box<str>>, BTreeMap<u32, DailyCount>>,
) -> BTreeMap<Option<Box<str>>, DailyCount> {
    let sum = |counts: BTreeMap<u32, DailyCount>| {
        counts.into_values().reduce(|mut sum, count| {
            sum.merge(&count);
            sum
        })
    };
    shares.into_iter().filter_map(|(store, counts)| sum(counts).map(|sum| (store, sum))).collect()
}
