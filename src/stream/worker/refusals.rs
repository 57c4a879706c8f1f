//! Log lines about ordinary dead letters: where they lie and why they were refused, never whose they are, and not too often.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;

use crate::observe::metrics::TopicReason;
use crate::stream::broker::{Moment, Offset};
use crate::stream::partition::partition_batch::PartitionBatch;
use crate::stream::rules::Rules;
use crate::topic::{Input, Partition, Topic};
use crate::wire::reason::{Reason, Refusal};

/// One line for each input and reason in so long.
const SILENCE: Duration = Duration::from_secs(60);

/// What was refused and committed, and is not logged yet.
#[derive(Default)]
pub(super) struct RefusalLog {
    kinds: BTreeMap<(Input, Reason), Refusals>,
}

#[derive(Default)]
struct Refusals {
    logged_at: Option<Moment>,
    records: u64,
    first: Option<FirstRecord>,
}

/// The first record since the last line.
struct FirstRecord {
    partition: Partition,
    offset: Offset,
    refusal: Refusal,
}

impl RefusalLog {
    /// A part of a batch is known to be committed.
    pub fn add(&mut self, partition: Partition, part: &PartitionBatch) {
        for refused in &part.first_refused {
            let (input, reason) = (refused.input, refused.refusal.reason);
            let refusals = self.kinds.entry((input, reason)).or_default();
            refusals.records += part.summary.dead_letters[TopicReason(input, reason)];
            refusals.first.get_or_insert_with(|| FirstRecord {
                partition,
                offset: refused.offset,
                refusal: refused.refusal.clone(),
            });
        }
    }

    /// Logs what is due.
    pub fn log(&mut self, rules: &Rules, now: Moment) {
        self.log_if(rules, now, |logged_at| now.since(logged_at) >= SILENCE);
    }

    /// Logs what is left, because the worker ends.
    pub fn log_rest(&mut self, rules: &Rules, now: Moment) {
        self.log_if(rules, now, |_| true);
    }

    fn log_if(&mut self, rules: &Rules, now: Moment, is_due: impl Fn(Moment) -> bool) {
        for ((input, reason), refusals) in &mut self.kinds {
            if refusals.logged_at.is_some_and(|at| !is_due(at)) {
                continue;
            }
            let Some(FirstRecord { partition, offset, refusal }) = refusals.first.take() else { continue };
            warn!(
                topic = rules.topic_name(Topic::Input(*input)),
                reason = reason.name(),
                records = std::mem::take(&mut refusals.records),
                partition = partition.0,
                offset = offset.0,
                detail = %refusal.detail,
                "records refused: they are dead letters; the position is the first one's"
            );
            refusals.logged_at = Some(now);
        }
    }
}
