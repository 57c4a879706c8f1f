//! Questions about customers, answered from committed state only.

use crate::domain::engine::Change;
use crate::domain::values::ids::CustomerKey;
use crate::domain::values::time::Time;
use crate::observe::metrics::PerLabel;
use crate::stream::broker::{Broker, RecordBatch};
use crate::stream::partition::{Phase, Running};
use crate::stream::query::{CommittedPosition, CustomerQuery, CustomerReply};
use crate::topic::{Input, Partition};
use crate::wire::hash;

use super::rules::Rules;
use super::{Worker, report};

impl<B: Broker> Worker<'_, B> {
    /// Answers what can be answered. A customer that the open batch touches is answered after its commit; whoever asked gives up
    /// after a while.
    pub(super) fn answer_queries(&mut self) {
        self.waiting_queries.extend(self.hub.queries.try_iter());
        if self.waiting_queries.is_empty() {
            return;
        }
        let wall_millis = self.broker.clocks().wall_millis;
        for query in std::mem::take(&mut self.waiting_queries) {
            let partition = Partition(hash::partition(query.key.as_bytes(), self.rules.partitions));
            let reply = match self.owned.get_mut(&partition).map(|owned| &mut owned.phase) {
                None => Some(CustomerReply::NotOwned { partition }),
                Some(Phase::Restoring(_) | Phase::Restored(_)) => {
                    Some(CustomerReply::Restoring { partition })
                }
                Some(Phase::Running(running)) => reply(&query, partition, running, &self.rules, wall_millis),
            };
            match reply {
                Some(reply) => query.answer(reply),
                None => self.waiting_queries.push(query),
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
    wall_millis: i64,
) -> Option<CustomerReply> {
    let bytes = query.key.as_bytes();
    let position = || CommittedPosition {
        partition,
        batch: running.committed.batch_number,
        next_offsets: next_offsets(running),
        clock_ms: running.committed.clock.map(Time::as_millis),
        staleness_seconds: report::lags(running, wall_millis)
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
            Some(CustomerReply::Found { profile: json, position })
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
