//! What one partition adds to the open batch: signals and dead letters as bytes, and counts. Changed customers are not in it;
//! they are encoded from the state, at the commit and again for each further attempt.

use std::ops::Range;
use std::sync::Arc;

use crate::domain::signals::kind::SignalType;
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::Signal;
use crate::domain::values::time::Time;
use crate::observe::metrics::{BatchSummary, PerLabel, TopicReason};
use crate::stream::broker::Offset;
use crate::topic::{Input, Output};
use crate::wire::encode::DeadLetter;
use crate::wire::hash::SignalId;
use crate::wire::reason::Refusal;

/// A record that was refused: the first of its input for this reason.
pub struct FirstRefused {
    pub input: Input,
    pub offset: Offset,
    pub refusal: Refusal,
}

/// A partition's part of the open batch.
#[derive(Default)]
pub struct PartitionBatch {
    pub signals: Signals,
    pub dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    /// The first record that was refused, for each input and reason.
    pub first_refused: Vec<FirstRefused>,
    /// Counts of the records that were flushed early and are not held any more, by topic.
    pub flushed_early: PerLabel<Output, u64>,
    pub summary: BatchSummary,
    /// Records taken from the inputs, skipped ones aside.
    pub records: usize,
    /// Nothing more may be added: wall time has moved the clock, or too many timers are due at once.
    pub is_closed: bool,
    /// It was closed for too many timers: the rest waits for the commit.
    pub has_timers_left: bool,
    /// All inputs were read to their ends at some moment since the batch was begun: its latest records are to be answered soon.
    pub was_at_end: bool,
}

impl PartitionBatch {
    /// Begins the next batch, with the memory of this one.
    pub fn clear(&mut self) {
        self.forget_records();
        self.flushed_early = PerLabel::default();
        self.first_refused.clear();
        self.summary.clear();
        self.records = 0;
        self.is_closed = false;
        self.has_timers_left = false;
        self.was_at_end = false;
    }

    /// Signals and dead letters are with the producer. `sent` counts all of the batch's so far.
    pub fn on_flushed_early(&mut self, sent: PerLabel<Output, u64>) {
        self.flushed_early = sent;
        self.forget_records();
    }

    fn forget_records(&mut self) {
        self.signals.bytes.clear();
        self.signals.entries.clear();
        self.dead_letters.clear();
        self.dead_letter_bytes = 0;
    }

    /// Counts a refused record.
    pub fn on_refused(&mut self, input: Input, offset: Offset, refusal: &Refusal) {
        let count = &mut self.summary.dead_letters[TopicReason(input, refusal.reason)];
        *count += 1;
        if *count == 1 {
            self.first_refused.push(FirstRefused { input, offset, refusal: refusal.clone() });
        }
    }

    pub fn add_dead_letter(&mut self, letter: DeadLetter) {
        self.dead_letter_bytes +=
            letter.key.as_ref().map_or(0, Vec::len) + letter.value.as_ref().map_or(0, Vec::len);
        self.dead_letters.push(letter);
    }

    /// Bytes that wait to be written.
    pub fn bytes(&self) -> usize {
        self.signals.bytes.len() + self.dead_letter_bytes
    }
}

/// Encoded signals, one after the other.
#[derive(Default)]
pub struct Signals {
    bytes: Vec<u8>,
    entries: Vec<SignalSpan>,
}

/// Where an encoded signal lies.
struct SignalSpan {
    id: SignalId,
    kind: SignalType,
    /// Of a signal about a rule, its name and what it does.
    rule: Option<(Arc<str>, RuleAction)>,
    occurred_at: Time,
    is_about_guest: bool,
    key: Range<usize>,
    value: Range<usize>,
}

/// One encoded signal.
pub struct EncodedSignal<'a> {
    pub id: SignalId,
    pub kind: SignalType,
    /// Of a signal about a rule, its name and what it does.
    pub rule: Option<&'a (Arc<str>, RuleAction)>,
    pub occurred_at: Time,
    pub is_about_guest: bool,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

impl Signals {
    /// Appends a signal with this record key, whose value `encode` writes, giving its id.
    pub fn push(&mut self, key: &[u8], signal: &Signal, encode: impl FnOnce(&mut Vec<u8>) -> SignalId) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        let id = encode(&mut self.bytes);
        let end = self.bytes.len();
        let (key, value) = (start..middle, middle..end);
        let rule = signal.kind.rule().map(|rule| (Arc::clone(&rule.rule), rule.action));
        let (kind, occurred_at) = (signal.kind.signal_type(), signal.occurred_at);
        let is_about_guest = signal.customer.is_none();
        self.entries.push(SignalSpan { id, kind, rule, occurred_at, is_about_guest, key, value });
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = EncodedSignal<'_>> {
        self.entries.iter().map(|entry| EncodedSignal {
            id: entry.id,
            kind: entry.kind,
            rule: entry.rule.as_ref(),
            occurred_at: entry.occurred_at,
            is_about_guest: entry.is_about_guest,
            key: &self.bytes[entry.key.clone()],
            value: &self.bytes[entry.value.clone()],
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
