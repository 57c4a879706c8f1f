//! What the topics hold, before a start: whether the changelog's seals, the group's offsets and the inputs agree. Asked in the order
//! of a restore, of which this takes the end of the changelog only; a service may be running meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::engine::restore::{Restore, RestoreError};
use crate::domain::settings::Settings;
use crate::exit::{Exit, Failure};
use crate::stream::broker::{BrokerError, Committed, Lookup, Position, RecordBatch, Stability, Watermark};
use crate::stream::partition::restore::OnOtherOffsets;
use crate::stream::partition::restore::start::{self, Disagreement, Evidence};
use crate::stream::partition::restore::unusable::why_unusable;
use crate::topic::{Input, Output, Partition, PerInput, Topic};
use crate::wire::changelog::{self, Seal, StateRecord};

const CHANGELOG: Topic = Topic::Output(Output::Changelog);
/// One question; what is not answered by then is not looked at.
const WITHIN: Duration = Duration::from_secs(5);
/// A batch ends with its seal, and control records follow it.
const TAIL: u64 = 1_000;

/// Fingerprints of the erasure secrets that a seal may name.
#[derive(Clone, Copy)]
pub struct Secrets {
    pub current: [u8; 8],
    /// The one before a secret was added.
    pub former: Option<[u8; 8]>,
}

/// What the configuration takes.
pub struct Expected<'a> {
    pub settings: &'a Settings,
    pub secrets: Secrets,
}

/// What was found.
#[derive(Default)]
pub struct StateReport {
    /// Partitions with a seal.
    pub sealed: u32,
    /// What keeps the service from starting, with the partitions.
    pub faults: Vec<String>,
    /// What is odd, and may be right.
    pub remarks: Vec<String>,
}

/// Looks at every partition.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub fn look(
    lookup: &mut impl Lookup,
    partitions: u32,
    application: &str,
    expected: &Expected<'_>,
) -> Result<StateReport, Failure> {
    let partitions: Vec<Partition> = (0..partitions).map(Partition).collect();
    let committed = patiently(|| lookup.committed(&partitions, Stability::Stable, WITHIN))?;
    let mut report = StateReport::default();
    let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (partition, committed) in partitions.iter().zip(&committed) {
        let Some(tail) = read_tail(lookup, *partition, expected.settings)? else { continue };
        report.sealed += u32::from(tail.seal.is_some());
        if let Some(error) = &tail.unusable {
            faults.entry(why_unusable(error)).or_default().push(partition.to_string());
        }
        let Some(disagreement) = disagreement(lookup, *partition, committed, &tail, expected)? else {
            continue;
        };
        // A batch that a running service has committed since the first question looks like a disagreement.
        let now = patiently(|| lookup.committed(&[*partition], Stability::Stable, WITHIN))?;
        if now.first() == Some(committed) {
            faults.entry(disagreement.to_string()).or_default().push(partition.to_string());
        }
    }
    report.faults.extend(faults.into_iter().map(|(fault, partitions)| match &partitions[..] {
        [partition] => format!("partition {partition}: {fault}"),
        partitions => format!("partitions {}: {fault}", partitions.join(", ")),
    }));
    let has_offsets = committed.iter().any(|inputs| inputs.iter().any(|(_, offset)| offset.is_some()));
    if report.sealed > 0 && !has_offsets {
        report.remarks.push(format!(
            "the changelog holds state, but the group {application} has no offsets: they have expired, or `topics.changelog` is another \
             application's; the service goes on from the changelog"
        ));
    }
    Ok(report)
}

/// The end of a partition of the changelog.
struct Tail {
    low: Position,
    is_empty: bool,
    seal: Option<Seal>,
    /// A record that this service does not write.
    is_foreign: bool,
    /// Why the first customer's state that does not fit the configuration does not.
    unusable: Option<RestoreError>,
}

/// None if the end cannot be read, or holds no seal although there is more before it: then nothing can be said.
fn read_tail(
    lookup: &mut impl Lookup,
    partition: Partition,
    settings: &Settings,
) -> Result<Option<Tail>, Failure> {
    let log = [(CHANGELOG, partition)];
    let low = patiently(|| lookup.watermarks(Watermark::Low, &log, WITHIN))?[0];
    let high = patiently(|| lookup.watermarks(Watermark::High, &log, WITHIN))?[0];
    let from = low.max(Position(high.0.saturating_sub(TAIL)));
    let mut tail = Tail { low, is_empty: true, seal: None, is_foreign: false, unusable: None };
    let deadline = Instant::now() + WITHIN;
    let mut position = from;
    while position < high {
        let (batch, next) = patiently(|| lookup.read_log(CHANGELOG, partition, position, WITHIN))?;
        if next == position && Instant::now() >= deadline {
            return Ok(None); // Behind an open transaction.
        }
        position = next;
        for index in 0..batch.len() {
            let record = batch.get(index);
            tail.is_empty = false;
            match changelog::decode(record.key, record.value) {
                Ok(StateRecord::Seal(seal)) => tail.seal = Some(seal),
                Ok(StateRecord::Customer { packed: Some(packed), .. }) => {
                    tail.unusable = tail.unusable.or_else(|| Restore::check(settings, &packed).err());
                }
                Ok(StateRecord::Customer { packed: None, .. } | StateRecord::Marker { .. }) => {}
                Err(_) => tail.is_foreign = true,
            }
        }
    }
    let is_known = tail.seal.is_some() || tail.is_foreign || from == low;
    Ok(is_known.then_some(tail))
}

fn disagreement(
    lookup: &mut impl Lookup,
    partition: Partition,
    committed: &PerInput<Option<Committed>>,
    tail: &Tail,
    expected: &Expected<'_>,
) -> Result<Option<Disagreement>, Failure> {
    if tail.is_foreign && tail.seal.is_none() {
        return Ok(Some(Disagreement::RecordsWithoutSeal));
    }
    if let Err(disagreement) = start::check_beginning(tail.low) {
        return Ok(Some(disagreement));
    }
    let inputs = Input::ALL.map(|input| (Topic::Input(input), partition));
    let lows = patiently(|| lookup.watermarks(Watermark::Low, &inputs, WITHIN))?;
    let highs = patiently(|| lookup.watermarks(Watermark::High, &inputs, WITHIN))?;
    let evidence = Evidence {
        seal: tail.seal.as_ref(),
        committed: Some(committed),
        changelog_is_empty: tail.is_empty,
        edges: PerInput::from_fn(|input| (lows[input.index()], highs[input.index()])),
    };
    let Secrets { current, former } = expected.secrets;
    Ok(start::starts(&evidence, OnOtherOffsets::Stop, current, former).err())
}

/// Asks until it is answered, for a while.
pub(in crate::commands) fn patiently<T>(
    mut ask: impl FnMut() -> Result<T, BrokerError>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + 3 * WITHIN;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(BrokerError::Retry(_)) if Instant::now() < deadline => {}
            Err(error) => {
                let exit = match &error {
                    BrokerError::Stop(exit, _) => *exit,
                    BrokerError::Retry(_)
                    | BrokerError::AbortTransaction(_)
                    | BrokerError::OutcomeUnknown(..) => Exit::Unavailable,
                };
                return Err(Failure::new(
                    exit,
                    anyhow::Error::new(error).context("look at what the topics hold"),
                ));
            }
        }
    }
}
