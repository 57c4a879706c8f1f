//! The seal: a partition's offsets and clock after a batch. It is written with the batch and is authoritative; the group's
//! offsets mirror it.
//!
//! ```text
//! version │ present (bit 0 clock, bits 1-3 merge keys) │ batch u64 │ next offsets 3 × u64 │ clock i64? │ merge keys i64? │
//! fingerprint of the erasure secret 8 │ number of runs (varint) │ runs (varint: records × 4 + outcome)
//! from version 2: present (bit 0 history, bit 1 signals from, bit 2 history behind an intake, bit 3 counted through) │
//!   bit 0: ends of the history 3 × u64 │ its records u64
//!   bit 2: number of raw ends (varint) │ raw ends (topic length varint, topic, partition varint, end varint) │ its records u64
//!   signals from i64 │ counted through i64
//! ```
//! Version 2 is written only while a partition has not come to its live records, or holds signals back; version 3 only once it has
//! counted a day. Bits 0 and 2 exclude each other; raw ends are sorted.

use super::StateError;
use super::outcomes::{Outcome, OutcomeRun};
use super::reader::{Reader, put_varint};
use crate::domain::values::time::Time;
use crate::topic::PerInput;

const KIND: &str = "seal";
const WITHOUT_HISTORY: u8 = 1;
const WITHOUT_COUNT: u8 = 2;
const NEWEST: u8 = 3;

const ENDS_KNOWN: u8 = 1;
const SIGNALS_FROM: u8 = 1 << 1;
const ENDS_BEHIND: u8 = 1 << 2;
const COUNTED_THROUGH: u8 = 1 << 3;

/// Everything about a partition that is not a customer's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Counts the partition's batches, from 1.
    pub batch: u64,
    pub inputs: PerInput<SealedInput>,
    /// None before the first accepted record.
    pub clock: Option<Time>,
    /// What became of the last records, oldest first; no two neighbours alike.
    pub outcomes: Vec<OutcomeRun>,
    /// Of the secret under which erasure markers are kept.
    pub secret: [u8; 8],
    /// None once the partition has come to its live records.
    pub history: Option<SealedHistory>,
    /// What time alone causes before this instant is not published; none once history is settled and the clock has reached it.
    pub signals_from: Option<Time>,
    /// The last midnight whose customers were counted, or left out of the count; none where shares are off.
    pub counted_through: Option<Time>,
}

/// The history of a partition that is not settled yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedHistory {
    pub ends: SealedEnds,
    /// How many records of it were read.
    pub records: u64,
}

/// Where a history ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SealedEnds {
    /// Records at lower offsets are history.
    Known(PerInput<u64>),
    /// Where the inputs end once the intake in front has passed these. In order of topic and partition, and not empty.
    Behind(Vec<SealedRawEnd>),
}

/// A partition of a topic that the intake reads, and where it ended.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SealedRawEnd {
    pub topic: Box<str>,
    pub partition: u32,
    pub end: u64,
}

/// Where one input goes on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SealedInput {
    /// The offset of the next record to read.
    pub next: u64,
    /// The greatest event time so far, by which inputs are merged; none before the first.
    pub merge_key: Option<Time>,
}

impl Seal {
    /// Appends the seal.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let instants = [self.clock].into_iter().chain(self.inputs.0.map(|input| input.merge_key));
        let present =
            instants.clone().enumerate().map(|(bit, instant)| u8::from(instant.is_some()) << bit).sum();
        let has_history = match self.history.as_ref().map(|history| &history.ends) {
            None => 0,
            Some(SealedEnds::Known(_)) => ENDS_KNOWN,
            Some(SealedEnds::Behind(_)) => ENDS_BEHIND,
        };
        let has_signals_from = if self.signals_from.is_some() { SIGNALS_FROM } else { 0 };
        let has_counted_through = if self.counted_through.is_some() { COUNTED_THROUGH } else { 0 };
        let more = has_history | has_signals_from | has_counted_through;
        let format = match (more, has_counted_through) {
            (0, _) => WITHOUT_HISTORY,
            (_, 0) => WITHOUT_COUNT,
            (_, _) => NEWEST,
        };
        out.extend_from_slice(&[format, present]);
        out.extend_from_slice(&self.batch.to_le_bytes());
        for (_, input) in self.inputs.iter() {
            out.extend_from_slice(&input.next.to_le_bytes());
        }
        for instant in instants.flatten() {
            out.extend_from_slice(&instant.as_millis().to_le_bytes());
        }
        out.extend_from_slice(&self.secret);
        put_varint(out, self.outcomes.len() as u64);
        for run in &self.outcomes {
            debug_assert!(run.records > 0, "an empty run is no run");
            put_varint(out, u64::from(run.records) << 2 | run.outcome as u64);
        }
        if more == 0 {
            return;
        }
        out.push(more);
        if let Some(SealedHistory { ends, records }) = &self.history {
            match ends {
                SealedEnds::Known(ends) => {
                    ends.0.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()))
                }
                SealedEnds::Behind(ends) => encode_raw_ends(ends, out),
            }
            out.extend_from_slice(&records.to_le_bytes());
        }
        for instant in [self.signals_from, self.counted_through].into_iter().flatten() {
            out.extend_from_slice(&instant.as_millis().to_le_bytes());
        }
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::versioned(value, KIND, NEWEST)?;
        let present = reader.byte()?;
        if present > 0b1111 {
            return Err(reader.invalid());
        }
        let batch = reader.u64()?;
        let mut inputs = PerInput::<SealedInput>::default();
        for input in &mut inputs.0 {
            input.next = reader.u64()?;
        }
        let clock = reader.time_if(present & 1 != 0)?;
        for (index, input) in inputs.0.iter_mut().enumerate() {
            input.merge_key = reader.time_if(present >> (index + 1) & 1 != 0)?;
        }
        let secret = reader.array()?;
        let outcomes = outcomes(&mut reader)?;
        let present = if reader.version() == WITHOUT_HISTORY { 0 } else { reader.byte()? };
        // What an earlier version expresses would have been written in it.
        let is_lowest = match reader.version() {
            WITHOUT_HISTORY => true,
            WITHOUT_COUNT => present != 0 && present & COUNTED_THROUGH == 0,
            _ => present & COUNTED_THROUGH != 0,
        };
        if !is_lowest {
            return Err(reader.invalid());
        }
        let history = history(&mut reader, present & !(SIGNALS_FROM | COUNTED_THROUGH))?;
        let signals_from = reader.time_if(present & SIGNALS_FROM != 0)?;
        let counted_through = reader.time_if(present & COUNTED_THROUGH != 0)?;
        reader.end()?;
        Ok(Self { batch, inputs, clock, outcomes, secret, history, signals_from, counted_through })
    }
}

fn encode_raw_ends(ends: &[SealedRawEnd], out: &mut Vec<u8>) {
    debug_assert!(!ends.is_empty() && ends.is_sorted_by(is_before), "raw ends have one form");
    put_varint(out, ends.len() as u64);
    for SealedRawEnd { topic, partition, end } in ends {
        put_varint(out, topic.len() as u64);
        out.extend_from_slice(topic.as_bytes());
        put_varint(out, u64::from(*partition));
        put_varint(out, *end);
    }
}

fn is_before(first: &SealedRawEnd, second: &SealedRawEnd) -> bool {
    (&first.topic, first.partition) < (&second.topic, second.partition)
}

fn history(reader: &mut Reader<'_>, present: u8) -> Result<Option<SealedHistory>, StateError> {
    let ends = match present {
        0 => return Ok(None),
        ENDS_KNOWN => {
            let mut ends = PerInput::<u64>::default();
            for end in &mut ends.0 {
                *end = reader.u64()?;
            }
            SealedEnds::Known(ends)
        }
        ENDS_BEHIND => SealedEnds::Behind(raw_ends(reader)?),
        _ => return Err(reader.invalid()),
    };
    Ok(Some(SealedHistory { ends, records: reader.u64()? }))
}

fn raw_ends(reader: &mut Reader<'_>) -> Result<Vec<SealedRawEnd>, StateError> {
    let count = reader.varint()?;
    if count == 0 {
        return Err(reader.invalid());
    }
    // Not reserved ahead: the count may be nonsense, the bytes for it are then missing.
    let mut ends: Vec<SealedRawEnd> = Vec::new();
    for _ in 0..count {
        let length = reader.varint()?;
        let topic = std::str::from_utf8(reader.slice(length)?).map_err(|_| reader.invalid())?.into();
        let partition = u32::try_from(reader.varint()?).map_err(|_| reader.invalid())?;
        let end = SealedRawEnd { topic, partition, end: reader.varint()? };
        if ends.last().is_some_and(|last| !is_before(last, &end)) {
            return Err(reader.invalid());
        }
        ends.push(end);
    }
    Ok(ends)
}

fn outcomes(reader: &mut Reader<'_>) -> Result<Vec<OutcomeRun>, StateError> {
    let count = reader.varint()?;
    // Not reserved ahead: the count may be nonsense, the bytes for it are then missing.
    let mut runs: Vec<OutcomeRun> = Vec::new();
    let mut total: u32 = 0;
    for _ in 0..count {
        let run = reader.varint()?;
        let outcome = Outcome::ALL.get((run & 3) as usize);
        let records = u32::try_from(run >> 2).ok().filter(|records| *records > 0);
        let (Some(outcome), Some(records)) = (outcome.copied(), records) else {
            return Err(reader.invalid());
        };
        if runs.last().is_some_and(|last| last.outcome == outcome) {
            return Err(reader.invalid());
        }
        total = total.checked_add(records).ok_or_else(|| reader.invalid())?;
        runs.push(OutcomeRun { outcome, records });
    }
    Ok(runs)
}
