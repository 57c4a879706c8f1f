//! Queries about customers, answered from committed state only.

use crossbeam_channel::Receiver;

use super::owned::OwnedPartitions;
use super::report;
use crate::domain::engine::Change;
use crate::domain::values::ids::CustomerKey;
use crate::domain::values::time::Time;
use crate::observe::metrics::PerLabel;
use crate::stream::broker::RecordBatch;
use crate::stream::partition::{Phase, Running};
use crate::stream::query::{CommittedPosition, CustomerQuery, CustomerReply, Explained, Question};
use crate::stream::rules::Rules;
use crate::topic::{Input, Partition};
use crate::wire::hash;

/// Queries that wait for the open batch to be committed, because it touches their customers.
#[derive(Default)]
pub(super) struct WaitingQueries(Vec<CustomerQuery>);

impl WaitingQueries {
    /// Answers every query that can be answered. The others are answered after the next commit; their askers give up after a while.
    pub fn answer<T: RecordBatch>(
        &mut self,
        new: &Receiver<CustomerQuery>,
        partitions: u32,
        owned: &mut OwnedPartitions<T>,
        rules: &Rules,
        wall_ms: impl FnOnce() -> i64,
    ) {
        self.0.extend(new.try_iter());
        if self.0.is_empty() {
            return;
        }
        let wall_ms = wall_ms();
        for query in std::mem::take(&mut self.0) {
            let partition = Partition(hash::partition(query.key.as_bytes(), partitions));
            let reply = match owned.phase_mut(partition) {
                None => Some(CustomerReply::NotOwned { partition }),
                Some(Phase::Restoring(_) | Phase::Restored(_)) => {
                    Some(CustomerReply::Restoring { partition })
                }
                Some(Phase::Running(running)) => reply(&query, partition, running, rules, wall_ms),
            };
            match reply {
                Some(reply) => query.answer(reply),
                None => self.0.push(query),
            }
        }
    }
}

/// None while the open batch touches the customer.
fn reply<T: RecordBatch>(
    query: &CustomerQuery,
    partition: Partition,
    running: &mut Running<T>,
    rules: &Rules,
    wall_ms: i64,
) -> Option<CustomerReply> {
    let bytes = query.key.as_bytes();
    let position = || CommittedPosition {
        partition,
        batch: running.committed.batch_number,
        next_offsets: next_offsets(running),
        clock_ms: running.committed.clock.map(Time::as_millis),
        staleness_seconds: report::lags(running, wall_ms)
            .iter()
            .map(|(_, (_, seconds))| *seconds)
            .fold(0.0, f64::max),
    };
    let erased = |change: &Change| matches!(change, Change::Erased { key } if **key == *bytes);
    match running.engine.find(CustomerKey { bytes, hash: (rules.settings.hash)(bytes) }) {
        Some(slot) if running.engine.is_touched(slot) => None,
        Some(slot) => {
            let position = position();
            let as_of = running.committed.clock.expect("a customer's first record has moved the clock");
            let profile = running.engine.profile(slot, as_of);
            let mut json = Vec::new();
            rules.profiles.encode(bytes, &profile, &mut json);
            let explained = match query.question {
                Question::Profile => None,
                Question::Explanation => {
                    Some(Box::new(Explained::new(bytes, running.engine.explain(slot, as_of))))
                }
            };
            Some(CustomerReply::Found { profile: json, explained, position })
        }
        None if running.engine.changes().iter().any(erased) => None,
        None => Some(CustomerReply::NotFound(position())),
    }
}

fn next_offsets<T>(running: &Running<T>) -> PerLabel<Input, i64> {
    let mut offsets = PerLabel::default();
    for (input, next) in running.committed.next.iter() {
        offsets[input] = i64::try_from(next.0).unwrap_or(i64::MAX);
    }
    offsets
}
