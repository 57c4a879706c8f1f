//! Whether a partition is in history, and up to where.

use std::time::Duration;

use crate::config::{HistoryRules, HistorySignals};
use crate::domain::values::time::Time;
use crate::fault::{self, Mutation};
use crate::formats::native::ID_BYTES_MAX;
use crate::stream::broker::{BrokerError, Lookup, Position, RawEnd, RawPartition, RawProgress};
use crate::stream::partition::{HistoryEnds, RunningHistory};
use crate::topic::{Partition, PerInput};
use crate::wire::changelog::{Seal, SealedEnds, SealedRawEnd};

use super::RestoreRules;
use super::start::Disagreement;

/// What a record of the changelog takes beside the packed customer, at most.
pub const KEY_AND_FRAME_BYTES: usize = 2 * ID_BYTES_MAX + 64;

/// Where records end at this moment: in the inputs, and before that in the raw topics.
pub struct PresentEnds<'a> {
    pub inputs: &'a PerInput<Position>,
    /// What the intake has not passed; empty without one.
    pub raw: Vec<RawEnd>,
}

/// The history of a partition, and from when on signals of time alone are published. Without a seal the partition is assigned for the
/// first time, and its history goes up to the present ends; later the seal shows both.
///
/// # Errors
/// It waits for records of a topic that no source of the intake names.
pub fn of(
    seal: Option<&Seal>,
    present: PresentEnds<'_>,
    raw_topics: &[String],
    rules: &HistoryRules,
    shop_now: Time,
) -> Result<(Option<RunningHistory>, Option<Time>), Disagreement> {
    let history = |ends, records| Some(RunningHistory { ends, records, held_back: 0 });
    let present_ends = if present.raw.is_empty() || fault::is(Mutation::ForgetRawEnds) {
        HistoryEnds::Known(*present.inputs)
    } else {
        HistoryEnds::Behind(present.raw.into())
    };
    match (seal, rules.signals) {
        (Some(seal), _) => {
            let Some(sealed) = &seal.history else { return Ok((None, seal.signals_from)) };
            let ends = match &sealed.ends {
                _ if fault::is(Mutation::TakeHistoryEndsAnew) => present_ends,
                SealedEnds::Known(ends) => HistoryEnds::Known(PerInput(ends.0.map(Position))),
                SealedEnds::Behind(ends) => {
                    if let Some(unknown) =
                        ends.iter().find(|end| !raw_topics.iter().any(|topic| **topic == *end.topic))
                    {
                        return Err(Disagreement::AwaitsOtherTopic { topic: unknown.topic.clone() });
                    }
                    let end = |end: &SealedRawEnd| RawEnd {
                        of: RawPartition { topic: (&*end.topic).into(), partition: Partition(end.partition) },
                        end: Position(end.end),
                    };
                    HistoryEnds::Behind(ends.iter().map(end).collect())
                }
            };
            Ok((history(ends, sealed.records), seal.signals_from))
        }
        (None, HistorySignals::Publish) => Ok((None, None)),
        (None, HistorySignals::HoldBack) => {
            Ok((history(present_ends, 0), rules.signals_from.or(Some(shop_now))))
        }
    }
}

/// What an intake in front has not passed, if the history begins now.
///
/// # Errors
/// The brokers have not answered, or a raw topic does not exist.
pub fn raw_ends<L: Lookup>(
    lookup: &mut L,
    seal: Option<&Seal>,
    rules: &RestoreRules,
    within: Duration,
) -> Result<Vec<RawEnd>, BrokerError> {
    let begins_now = seal.is_none() && rules.history.signals == HistorySignals::HoldBack;
    if rules.raw_topics.is_empty() || !(begins_now || fault::is(Mutation::TakeHistoryEndsAnew)) {
        return Ok(Vec::new());
    }
    Ok(not_passed(lookup.raw_progress(within)?))
}

/// In the order of a seal.
fn not_passed(progress: Vec<RawProgress>) -> Vec<RawEnd> {
    let is_ahead = |progress: &RawProgress| progress.committed.unwrap_or(Position(0)) < progress.end;
    let mut ends: Vec<RawEnd> =
        progress.into_iter().filter(is_ahead).map(|RawProgress { of, end, .. }| RawEnd { of, end }).collect();
    ends.sort_by(|first, second| first.of.cmp(&second.of));
    ends
}
