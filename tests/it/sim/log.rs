//! One partition of a topic: records with offsets, control records, open and decided transactions, compaction and truncation.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::rc::Rc;
use std::time::Duration;

use retention_signals::stream::broker::{Offset, RecordBatch, RecordView};

pub type Bytes = Rc<[u8]>;

/// A producer id, by which the broker tells transactions apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProducerId(pub u32);

/// What became of a record's transaction in this partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Open(ProducerId),
    /// Committed, or never part of a transaction.
    Visible,
    Aborted,
    /// Not a record: it ends a transaction.
    Control,
}

/// A record as it is given to the log.
#[derive(Clone, Debug)]
pub struct Record {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub timestamp_ms: i64,
    /// Kept for dead letters only; no check reads those of others.
    pub headers: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub offset: u64,
    /// When it was appended, in the world's count of events.
    pub event: u64,
    fate: Fate,
    pub record: Record,
    /// Since when compaction knows it to be the last of its key and empty.
    tombstone_since: Option<Duration>,
}

impl Entry {
    pub fn is_visible(&self) -> bool {
        self.fate == Fate::Visible
    }

    /// Whose transaction it is part of, if that is still open here.
    pub fn writer(&self) -> Option<ProducerId> {
        match self.fate {
            Fate::Open(writer) => Some(writer),
            Fate::Visible | Fate::Aborted | Fate::Control => None,
        }
    }

    /// It is there for read_committed, or may still become so.
    pub fn may_be_read(&self) -> bool {
        matches!(self.fate, Fate::Visible | Fate::Open(_))
    }
}

/// Who may read what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    Low,
    Stable,
    High,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Log {
    entries: Vec<Entry>,
    start: u64,
    end: u64,
    /// The first offset of each open transaction.
    open: BTreeMap<ProducerId, u64>,
}

impl Log {
    pub fn edge(&self, edge: Edge) -> u64 {
        match edge {
            Edge::Low => self.start,
            Edge::Stable => self.open.values().copied().min().unwrap_or(self.end),
            Edge::High => self.end,
        }
    }

    pub fn append(&mut self, record: Record, writer: Option<ProducerId>, event: u64) -> u64 {
        let offset = self.end;
        let fate = writer.map_or(Fate::Visible, Fate::Open);
        self.entries.push(Entry { offset, event, fate, record, tombstone_since: None });
        if let Some(writer) = writer {
            self.open.entry(writer).or_insert(offset);
        }
        self.end += 1;
        offset
    }

    /// Ends a transaction here: a control record, also if nothing was written.
    pub fn mark(&mut self, writer: ProducerId, is_commit: bool, event: u64) {
        let first = self.open.remove(&writer);
        let from = first.map_or(self.entries.len(), |first| self.index_of(first));
        for entry in &mut self.entries[from..] {
            if entry.fate == Fate::Open(writer) {
                entry.fate = if is_commit { Fate::Visible } else { Fate::Aborted };
            }
        }
        let record = Record { key: None, value: None, timestamp_ms: 0, headers: Vec::new() };
        self.entries.push(Entry {
            offset: self.end,
            event,
            fate: Fate::Control,
            record,
            tombstone_since: None,
        });
        self.end += 1;
    }

    /// Visible records from a position on, at most so many, and the position behind them and behind what is skipped.
    pub fn read_committed(&self, from: u64, records_max: usize) -> (Vec<Entry>, u64) {
        let stable = self.edge(Edge::Stable);
        let mut found = Vec::new();
        for entry in &self.entries[self.index_of(from)..] {
            if entry.offset >= stable {
                break;
            }
            if found.len() == records_max {
                return (found, entry.offset);
            }
            if entry.is_visible() {
                found.push(entry.clone());
            }
        }
        (found, stable.max(from))
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there is a record at or behind a position that was or may become visible.
    pub fn has_more(&self, from: u64) -> bool {
        self.entries[self.index_of(from)..].iter().any(Entry::may_be_read)
    }

    /// Keeps the last record of each key below `below`, and drops tombstones that were there for long enough.
    pub fn compact(&mut self, below: u64, now: Duration, tombstone_retention: Duration) {
        let below = below.min(self.edge(Edge::Stable));
        let mut last: HashMap<Bytes, u64> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.offset < below && entry.is_visible()) {
            if let Some(key) = &entry.record.key {
                last.insert(Rc::clone(key), entry.offset);
            }
        }
        let newest = self.end.saturating_sub(1);
        self.entries.retain_mut(|entry| {
            // The active segment is never cleaned.
            if entry.offset >= below || entry.offset == newest {
                return true;
            }
            let is_last = entry.record.key.as_ref().is_some_and(|key| last.get(key) == Some(&entry.offset));
            match entry.fate {
                Fate::Open(_) => true,
                Fate::Aborted | Fate::Control => false,
                Fate::Visible if !is_last => false,
                Fate::Visible if entry.record.value.is_some() => true,
                Fate::Visible => {
                    now.saturating_sub(*entry.tombstone_since.get_or_insert(now)) < tombstone_retention
                }
            }
        });
    }

    /// Deletes what lies below, as retention does.
    pub fn truncate(&mut self, start: u64) {
        self.start = self.start.max(start.min(self.edge(Edge::Stable)));
        let index = self.index_of(self.start);
        self.entries.drain(..index);
    }

    fn index_of(&self, offset: u64) -> usize {
        self.entries.partition_point(|entry| entry.offset < offset)
    }
}

/// Records as they were read; what happens to the log later does not change them.
pub struct SimBatch(pub Vec<Entry>);

impl RecordBatch for SimBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> RecordView<'_> {
        let Entry { offset, record, .. } = &self.0[index];
        RecordView {
            offset: Offset(*offset),
            timestamp_ms: Some(record.timestamp_ms),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
        }
    }

    fn has_header(&self, _: usize, _: &CStr) -> bool {
        false
    }
}
