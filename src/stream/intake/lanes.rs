//! The raw partitions that a worker owns: where each begins, and whose record is the next.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;

use super::lane::{Lane, LanePhase, Reading, Start};
use super::port::{RawBatch, RawBroker, RawExtent};
use super::rules::{IntakeRules, MappedSource, OnOtherSecret, WithoutOffsets};
use crate::config::DeadLetterLimit;
use crate::observe::metrics::FatalKind;
use crate::stream::broker::{BrokerError, Moment, Position};
use crate::stream::worker::Stop;
use crate::topic::Partition;

/// The longest that the worker waits for the answer where partitions begin.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Records that are fetched of a partition at once.
const FETCH_MAX: usize = 512;
/// A partition is not read ahead of another one's records by more than this time of writing, ...
const AHEAD_MAX_MS: i64 = 3_600_000;
/// ... unless that one gives nothing for so long.
const STARVED_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub struct Lanes<T> {
    lanes: BTreeMap<Partition, Lane<T>>,
    limit: DeadLetterLimit,
}

impl<T: RawBatch> Lanes<T> {
    pub fn new(limit: DeadLetterLimit) -> Self {
        Self { lanes: BTreeMap::new(), limit }
    }

    pub fn add(&mut self, partition: Partition, source: usize) {
        self.lanes.insert(partition, Lane::new(source, self.limit));
    }

    pub fn remove(&mut self, partition: Partition) {
        self.lanes.remove(&partition);
    }

    pub fn get(&self, partition: Partition) -> Option<&Lane<T>> {
        self.lanes.get(&partition)
    }

    pub fn get_mut(&mut self, partition: Partition) -> Option<&mut Lane<T>> {
        self.lanes.get_mut(&partition)
    }

    pub fn partitions(&self) -> impl Iterator<Item = Partition> {
        self.lanes.keys().copied()
    }

    /// Those that are fetched.
    pub fn readings(&self) -> impl Iterator<Item = (Partition, &Reading<T>)> {
        self.lanes.iter().filter_map(|(partition, lane)| Some((*partition, lane.reading()?)))
    }

    /// Positions beyond what is committed, by records or by control records alone, each with its source; and those that are to be
    /// committed again.
    pub fn moved(&self) -> impl Iterator<Item = (Partition, Position, usize)> {
        self.lanes.iter().filter_map(|(partition, lane)| {
            let reading = lane.reading()?;
            let is_moved = reading.next > reading.committed || reading.is_to_commit;
            is_moved.then_some((*partition, reading.next, lane.source))
        })
    }

    /// Whether more can be read at once, or fetched.
    pub fn are_behind(&self) -> bool {
        self.readings().any(|(_, reading)| reading.has_head() || reading.is_behind())
    }

    pub fn on_committed(&mut self) {
        for reading in self.lanes.values_mut().filter_map(Lane::reading_mut) {
            reading.committed = reading.next;
            reading.is_to_commit = false;
        }
    }

    /// What was read and not committed is read again, from where the brokers say.
    pub fn rewind(&mut self) {
        for lane in self.lanes.values_mut() {
            if lane.reading().is_some_and(|reading| reading.next != reading.committed) {
                lane.rewind(self.limit);
            }
        }
    }

    // === Where to begin ===

    /// Asks the brokers where partitions begin that were assigned, or whose records were taken back.
    pub fn locate<B: RawBroker<Batch = T>>(
        &mut self,
        broker: &mut B,
        rules: &IntakeRules,
        sources: &[MappedSource],
    ) -> Result<(), Stop> {
        let unlocated = self.lanes.iter().filter(|(_, lane)| matches!(lane.phase, LanePhase::Unlocated));
        let unlocated: Vec<Partition> = unlocated.map(|(partition, _)| *partition).collect();
        if unlocated.is_empty() {
            return Ok(());
        }
        let extents = match broker.extents(&unlocated, ANSWER_MAX) {
            Ok(extents) => extents,
            // Perhaps a predecessor's transaction is still open.
            Err(BrokerError::Retry(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for (partition, extent) in unlocated.into_iter().zip(extents) {
            let lane = self.lanes.get_mut(&partition).expect("it was listed");
            let source = &sources[lane.source];
            let is_to_commit = is_to_commit(broker, partition, &extent, rules, source)?;
            let start = start(broker, partition, &extent, rules.without_offsets)?;
            lane.phase = LanePhase::Located(Start { is_to_commit, ..start });
        }
        Ok(())
    }

    /// Has located partitions fetched. A client that has not taken up the assignment yet is asked again in the next turn.
    pub fn start_reading<B: RawBroker<Batch = T>>(&mut self, broker: &mut B) -> Result<(), Stop> {
        for (partition, lane) in &mut self.lanes {
            let LanePhase::Located(start) = lane.phase else { continue };
            match broker.read_from(*partition, start.position) {
                Ok(()) => lane.phase = LanePhase::Reading(Reading::new(start)),
                Err(BrokerError::Retry(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    // === Whose record is next ===

    /// Fetches what is at hand of the partitions that hold no record.
    pub fn fetch<B: RawBroker<Batch = T>>(&mut self, broker: &mut B) -> Result<(), Stop> {
        let now = broker.now();
        for (partition, lane) in &mut self.lanes {
            let Some(reading) = lane.reading_mut() else { continue };
            if reading.has_head() {
                continue;
            }
            match broker.fetch(*partition, FETCH_MAX) {
                Ok(Some(batch)) => reading.put(batch),
                Ok(None) => {
                    // Behind control records, which are given as nothing.
                    let progress = match broker.progress(*partition) {
                        Ok(progress) => progress,
                        Err(BrokerError::Retry(_)) => continue,
                        Err(error) => return Err(error.into()),
                    };
                    reading.next = reading.next.max(progress.position);
                    reading.end = progress.high_watermark.or(reading.end);
                    reading.starved_since = reading.is_behind().then(|| reading.starved_since.unwrap_or(now));
                }
                Err(BrokerError::Retry(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The partition whose record at hand was written first; none while another one, whose records come earlier, has more to fetch.
    pub fn next(&self, now: Moment) -> Option<Partition> {
        let mut first: Option<(i64, Partition)> = None;
        let mut earliest_waiting: Option<i64> = None;
        for (partition, lane) in &self.lanes {
            let Some(reading) = lane.reading() else { continue };
            match reading.head_written_ms() {
                Some(written_ms) => {
                    if first.is_none_or(|(earliest, _)| written_ms < earliest) {
                        first = Some((written_ms, *partition));
                    }
                }
                None => {
                    let is_starved =
                        reading.starved_since.is_some_and(|since| now.since(since) >= STARVED_MAX);
                    if let Some(last) = reading.last_written_ms.filter(|_| reading.is_behind() && !is_starved)
                    {
                        earliest_waiting = Some(earliest_waiting.map_or(last, |earliest| earliest.min(last)));
                    }
                }
            }
        }
        let (written_ms, partition) = first?;
        let is_ahead = earliest_waiting.is_some_and(|last| written_ms > last.saturating_add(AHEAD_MAX_MS));
        (!is_ahead).then_some(partition)
    }
}

/// Whether what stands beside a committed offset is to be replaced.
fn is_to_commit<B: RawBroker>(
    broker: &B,
    partition: Partition,
    extent: &RawExtent,
    rules: &IntakeRules,
    source: &MappedSource,
) -> Result<bool, Stop> {
    if source.has_other_secret(&extent.metadata) && rules.on_other_secret == OnOtherSecret::Stop {
        let (topic, _) = broker.log_of(partition);
        return Err(Stop::new(FatalKind::Configuration, source.explain_other_secret(topic)));
    }
    let has_secret = !source.offset_metadata.is_empty();
    Ok(has_secret && extent.committed.is_some() && extent.metadata != source.offset_metadata)
}

/// Where a partition is read from.
fn start<B: RawBroker>(
    broker: &B,
    partition: Partition,
    extent: &RawExtent,
    without_offsets: WithoutOffsets,
) -> Result<Start, Stop> {
    let RawExtent { low, high, committed, is_topic_known, .. } = *extent;
    let is_empty = low == high;
    let from = |position, committed| Start { position, committed, is_to_commit: false };
    let at = |position| from(position, position);
    match committed {
        Some(position) if position >= low => return Ok(at(position)),
        // What was deleted before it was read is gone, whatever is decided here.
        Some(position) => {
            let (topic, number) = broker.log_of(partition);
            warn!(
                topic,
                partition = number,
                committed = position.0,
                first = low.0,
                "records were deleted before they were read"
            );
            return Ok(from(low, position));
        }
        None if is_empty || is_topic_known => return Ok(at(low)),
        None => {}
    }
    match without_offsets {
        WithoutOffsets::FromBeginning => Ok(at(low)),
        // Committed at once: the service waits for an offset, and a restart needs one.
        WithoutOffsets::FromEnd => Ok(from(high, low)),
        WithoutOffsets::Stop => {
            let (topic, number) = broker.log_of(partition);
            Err(Stop::new(
                FatalKind::Configuration,
                format!(
                    "the intake has committed no offset of {topic}, and its partition {number} holds records: start once with \
                         --from-beginning to read them, or with --accept-offsets to pass over what is there"
                ),
            ))
        }
    }
}
