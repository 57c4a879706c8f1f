//! One transaction for the open batch, and what is done when it does not go as it should.
//!
//! ```text
//!             ┌──────────────────────────── again, with back-off ◄───────────────────────────┐
//!             ▼                                                                              │
//!  poll ─► drop stale parts ─► begin ─► send ─► flush ─► offsets ─► commit ─► committed      │
//!                                └────────┴───────┴─────────┴── error ─► abort ─► aborted ───┤
//!                                                           commit, abort ─► unknown outcome │
//!                                  poll ─► new producer ─► committed offsets ─► batch number ┘
//! ```
//!
//! Nothing is applied until the outcome is known. Between the slices of a long call the client is polled, or the group would
//! take the worker for dead; what it tells is only recorded, and acted upon after the commit.

use std::collections::VecDeque;
use std::time::Duration;

use tracing::{debug, warn};

use super::{Batch, BatchPart, Stop, Worker, running};
use crate::fault::{self, Mutation, Step};
use crate::observe::metrics::{FatalKind, Stage};
use crate::stream::broker::{
    Broker, BrokerError, Cause, GroupEvent, Lookup, Moment, NextOffset, Stability, TRANSACTION_TIMEOUT,
    Unknown,
};
use crate::stream::partition::BatchName;
use crate::topic::{Input, Partition};

/// The longest that one call may take before the client is polled again.
const SLICE: Duration = Duration::from_secs(2);
/// The pause before an aborted batch is written again; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// More fencings than this within the span mean that somebody else uses our transactional id, and takes it back each time.
const FENCINGS_MAX: usize = 3;
const FENCINGS_SPAN: Duration = Duration::from_secs(300);

/// How a commit ended, if it did not stop the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CommitEnd {
    /// Known to be committed, or nothing was left to commit.
    Committed,
    /// Known not to be: it could not be done in time, and the batch is still open.
    GivenUp,
}

/// How one attempt ended.
pub(super) enum Attempt {
    Committed,
    Aborted(Cause),
    Unknown(Unknown, Cause),
}

/// What one attempt had to give up for.
pub(super) enum AttemptError {
    /// Nothing of it was written.
    Abort(Cause),
    Unknown(Unknown, Cause),
    Stop(Stop),
}

/// What parts that were dropped from the batch have left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dropped {
    /// Nothing that the open transaction holds.
    NothingAhead,
    Ahead,
}

/// What the broker knows of a part whose commit's outcome is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Committed,
    NotCommitted,
    /// Neither: somebody else has written since.
    Superseded,
}

impl<B: Broker> Worker<'_, B> {
    /// Commits the open batch, trying for `patience` to.
    pub(super) fn commit(&mut self, patience: Duration) -> Result<CommitEnd, Stop> {
        let started_at = self.broker.now();
        let deadline = started_at.plus(patience);
        let mut backoff = BACKOFF_MIN;
        loop {
            self.record_group_events()?;
            let dropped = self.drop_stale_parts();
            self.abort_dropped(dropped)?;
            if self.batch.parts.is_empty() {
                self.batch = Batch::default();
                return Ok(CommitEnd::Committed);
            }
            self.position_snapshots();
            let attempt = self.attempt(deadline)?;
            if self.settle(attempt)? {
                self.on_committed(started_at);
                return Ok(CommitEnd::Committed);
            }
            if self.broker.now() >= deadline {
                return Ok(CommitEnd::GivenUp);
            }
            self.pause(backoff)?;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Lets time pass, whatever else may wake the worker, and keeps the membership alive.
    fn pause(&mut self, span: Duration) -> Result<(), Stop> {
        let until = self.broker.now().plus(span);
        loop {
            let left = until.since(self.broker.now());
            if left.is_zero() {
                return Ok(());
            }
            self.broker.wait(left);
            self.record_group_events()?;
        }
    }

    fn attempt(&mut self, deadline: Moment) -> Result<Attempt, Stop> {
        match self.write_transaction(deadline) {
            Ok(()) => Ok(Attempt::Committed),
            Err(setback) => self.undo(setback),
        }
    }

    /// Gives up what is open in the transaction.
    pub(super) fn undo(&mut self, setback: AttemptError) -> Result<Attempt, Stop> {
        match setback {
            AttemptError::Stop(stop) => Err(stop),
            AttemptError::Unknown(unknown, cause) => Ok(Attempt::Unknown(unknown, cause)),
            AttemptError::Abort(cause) => {
                fault::reach(Step::BeforeAbort);
                match self.bounded(deadline_of_abort(self.broker.now()), B::abort) {
                    Ok(()) => Ok(Attempt::Aborted(cause)),
                    Err(AttemptError::Stop(stop)) => Err(stop),
                    // What an abort that failed has left behind, only the broker knows.
                    Err(AttemptError::Abort(cause)) => Ok(Attempt::Unknown(Unknown::Failed, cause)),
                    Err(AttemptError::Unknown(unknown, cause)) => Ok(Attempt::Unknown(unknown, cause)),
                }
            }
        }
    }

    /// Whether the batch is committed, once that is known. If not, no transaction is open any more, and what is still in the
    /// batch can be written again.
    pub(super) fn settle(&mut self, attempt: Attempt) -> Result<bool, Stop> {
        let is_committed = match attempt {
            Attempt::Committed => true,
            Attempt::Aborted(cause) => {
                warn!(cause = format!("{cause:#}"), "transaction aborted");
                false
            }
            Attempt::Unknown(unknown, cause) => {
                warn!(cause = format!("{cause:#}"), "outcome of the transaction is unknown");
                self.resolve(unknown)?
            }
        };
        if !is_committed {
            self.batch.transaction_since = None;
            self.batch.is_ending = false;
            self.hub.metrics.on_transaction_aborted();
            self.pace.on_aborted();
            self.restore_ahead()?;
        }
        Ok(is_committed)
    }

    /// Begins the batch's transaction, unless it is open.
    pub(super) fn begin(&mut self) -> Result<(), AttemptError> {
        if self.batch.transaction_since.is_none() {
            fault::reach(Step::BeforeBegin);
            self.broker.begin().map_err(setback)?;
            self.batch.transaction_since = Some(self.broker.now());
            fault::reach(Step::AfterBegin);
        }
        Ok(())
    }

    fn write_transaction(&mut self, deadline: Moment) -> Result<(), AttemptError> {
        self.begin()?;
        let encode_started_at = self.broker.now();
        for index in 0..self.batch.parts.len() {
            self.send_part(index, deadline)?;
        }
        fault::reach(Step::AfterSend);
        let flush_started_at = self.broker.now();
        self.batch.stages[Stage::Encode] += flush_started_at.since(encode_started_at);
        self.bounded(deadline, B::flush)?;
        fault::reach(Step::AfterFlush);
        self.send_offsets(deadline)?;
        fault::reach(Step::AfterOffsets);
        if fault::is(Mutation::ShowBeforeCommit) {
            self.show_parts();
        }
        self.batch.is_ending = true;
        // A commit has no error that says "not committed" and can be trusted.
        let committed = self.bounded(deadline, B::commit).map_err(|setback| match setback {
            AttemptError::Abort(cause) => AttemptError::Unknown(Unknown::Failed, cause),
            AttemptError::Unknown(unknown, cause) => AttemptError::Unknown(unknown, cause),
            AttemptError::Stop(stop) => AttemptError::Stop(stop),
        });
        fault::reach(Step::AfterCommit);
        self.batch.stages[Stage::Commit] += self.broker.now().since(flush_started_at);
        committed
    }

    /// Sends the next offsets of all inputs of every part: only offsets that are really sent are fenced by the generation.
    fn send_offsets(&mut self, deadline: Moment) -> Result<(), AttemptError> {
        let membership = self.broker.membership().map_err(setback)?;
        if !membership.is_fencing() {
            return Err(AttemptError::Abort("the worker is not a member of its group".into()));
        }
        let metadata: Vec<String> =
            self.batch.parts.iter().map(|part| self.batch_name(part.batch_number).to_string()).collect();
        let mut offsets = Vec::with_capacity(Input::COUNT * metadata.len());
        for (part, metadata) in self.batch.parts.iter().zip(&metadata) {
            let positions = running(&self.owned, part.partition).next_positions();
            offsets.extend(positions.iter().map(|(input, position)| NextOffset {
                input,
                partition: part.partition,
                position: *position,
                metadata: if input == Input::Orders { metadata } else { "" },
            }));
        }
        self.bounded(deadline, |broker, within| broker.send_offsets(&offsets, &membership, within))
    }

    /// Asks the broker whether the batch was committed. Parts of which neither is true are dropped and restored.
    fn resolve(&mut self, unknown: Unknown) -> Result<bool, Stop> {
        fault::reach(Step::BeforeResolve);
        if unknown == Unknown::Fenced {
            self.note_fencing()?;
        }
        if !self.broker.capabilities().transactional_offsets {
            return Err(Stop::new(
                FatalKind::OutcomeUnknown,
                "the outcome of a commit is unknown and cannot be asked",
            ));
        }
        let deadline = self.broker.now().plus(self.rules.commit.patience);
        self.record_group_events()?;
        self.bounded(deadline, B::open_producer).map_err(unresolved)?;
        self.drop_stale_parts();
        if self.batch.parts.is_empty() {
            return Ok(false);
        }
        let partitions: Vec<Partition> = self.batch.parts.iter().map(|part| part.partition).collect();
        let mut offsets = Vec::new();
        self.bounded(deadline, |broker, within| {
            offsets = broker.lookup().committed(&partitions, Stability::Stable, within)?;
            Ok(())
        })
        .map_err(unresolved)?;
        let parts = self.batch.parts.iter().zip(&offsets);
        let verdicts: Vec<(Partition, Verdict)> = parts
            .map(|(part, offsets)| {
                let metadata = offsets[Input::Orders].as_ref().map(|committed| committed.metadata.as_str());
                (part.partition, verdict(self.batch_name(part.batch_number), metadata))
            })
            .collect();
        let is_committed = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Committed);
        debug!(is_committed, "outcome of the transaction is known");
        // One transaction is committed as a whole: a part that says otherwise was written by somebody else since.
        let expected = if is_committed { Verdict::Committed } else { Verdict::NotCommitted };
        for (partition, _) in verdicts.into_iter().filter(|(_, verdict)| *verdict != expected) {
            self.restore_again(partition)?;
        }
        Ok(is_committed)
    }

    /// What a part of that number is called at the broker.
    fn batch_name(&self, number: u64) -> BatchName<'_> {
        BatchName {
            transactional_id: self.broker.transactional_id(),
            incarnation: self.broker.incarnation(),
            number,
        }
    }

    fn note_fencing(&mut self) -> Result<(), Stop> {
        self.hub.metrics.on_producer_fenced();
        let now = self.broker.now();
        if self.batch.transaction_since.is_some_and(|since| now.since(since) >= TRANSACTION_TIMEOUT) {
            return Ok(()); // The broker has ended it, and nobody else was there.
        }
        self.fencings.push_back(now);
        while self.fencings.front().is_some_and(|first| now.since(*first) > FENCINGS_SPAN) {
            self.fencings.pop_front();
        }
        if self.fencings.len() <= FENCINGS_MAX {
            return Ok(());
        }
        let id = self.broker.transactional_id();
        Err(Stop::new(
            FatalKind::Fenced,
            format!("another process uses the transactional id {id}: give each process its own `instance`"),
        ))
    }

    /// Makes a call in slices until it is done or the deadline passes; the client is polled in between.
    pub(super) fn bounded(
        &mut self,
        deadline: Moment,
        mut call: impl FnMut(&mut B, Duration) -> Result<(), BrokerError>,
    ) -> Result<(), AttemptError> {
        loop {
            let left = deadline.since(self.broker.now());
            let Err(error) = call(&mut self.broker, left.min(SLICE)) else {
                return Ok(());
            };
            let BrokerError::Retry(cause) = error else {
                return Err(setback(error));
            };
            if self.broker.now() >= deadline {
                return Err(AttemptError::Abort(cause));
            }
            self.record_group_events().map_err(AttemptError::Stop)?;
            self.answer_queries();
        }
    }

    /// Polls the client once for everything that it has to tell, and acts on nothing.
    pub(super) fn record_group_events(&mut self) -> Result<(), Stop> {
        self.hub.tick();
        record_group_events(&mut self.broker, &mut self.group_events)
    }

    /// Drops the parts whose partition is not owned any more in the epoch in which they were begun: fresh group metadata
    /// would make a stale batch acceptable again.
    fn drop_stale_parts(&mut self) -> Dropped {
        let lost = |partition: &Partition| {
            self.group_events.iter().any(|event| match event {
                GroupEvent::Lost(partitions) => partitions.contains(partition),
                GroupEvent::Assigned(_) | GroupEvent::Revoked(_) => false,
            })
        };
        self.batch.drop_parts(|part| {
            let owned = self.owned.get(&part.partition);
            owned.is_none_or(|owned| owned.epoch != part.epoch) || lost(&part.partition)
        })
    }
}

impl Batch {
    pub(super) fn drop_parts(&mut self, is_dropped: impl Fn(&BatchPart) -> bool) -> Dropped {
        let is_ahead = self.parts.iter().any(|part| part.is_ahead && is_dropped(part));
        self.parts.retain(|part| !is_dropped(part));
        if is_ahead { Dropped::Ahead } else { Dropped::NothingAhead }
    }
}

/// See [`Worker::record_group_events`].
pub(super) fn record_group_events<B: Broker>(
    broker: &mut B,
    group_events: &mut VecDeque<GroupEvent>,
) -> Result<(), Stop> {
    loop {
        match broker.poll() {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => group_events.push_back(event),
            Err(BrokerError::Retry(cause)) => {
                debug!(cause = format!("{cause:#}"), "poll");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// An abort is tried for so long, whatever the commit's own patience was: until it is done nothing can go on.
fn deadline_of_abort(now: Moment) -> Moment {
    now.plus(TRANSACTION_TIMEOUT)
}

pub(super) fn setback(error: BrokerError) -> AttemptError {
    match error {
        BrokerError::Retry(cause) | BrokerError::AbortTransaction(cause) => AttemptError::Abort(cause),
        BrokerError::OutcomeUnknown(unknown, cause) => AttemptError::Unknown(unknown, cause),
        BrokerError::Stop(..) => AttemptError::Stop(error.into()),
    }
}

fn unresolved(setback: AttemptError) -> Stop {
    match setback {
        AttemptError::Stop(stop) => stop,
        AttemptError::Abort(cause) | AttemptError::Unknown(_, cause) => {
            Stop::caused(FatalKind::OutcomeUnknown, cause, "learn the outcome of a commit")
        }
    }
}

/// Compares the name of a part's batch with the one that the broker holds beside the committed offset of `orders`.
fn verdict(name: BatchName<'_>, metadata: Option<&str>) -> Verdict {
    let committed = match metadata {
        None => Some(BatchName { number: 0, ..name }),
        Some(metadata) => BatchName::parse(metadata),
    };
    let is_ours = |committed: BatchName<'_>| {
        let is_same_process =
            committed.incarnation == name.incarnation || fault::is(Mutation::IgnoreIncarnation);
        committed.transactional_id == name.transactional_id && is_same_process
    };
    match committed {
        _ if fault::is(Mutation::UnknownIsAborted) => Verdict::NotCommitted,
        _ if fault::is(Mutation::UnknownIsCommitted) => Verdict::Committed,
        Some(committed) if fault::is(Mutation::IgnoreBatchNumber) && is_ours(committed) => Verdict::Committed,
        Some(_) if fault::is(Mutation::IgnoreBatchNumber) => Verdict::NotCommitted,
        Some(committed) if committed.number == name.number && is_ours(committed) => Verdict::Committed,
        Some(committed) if committed.number + 1 == name.number => Verdict::NotCommitted,
        Some(_) | None => Verdict::Superseded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_name_tells_the_outcome() {
        let check = |number, metadata, expected| {
            let name = BatchName { transactional_id: "shop-a-0", incarnation: 0xa1, number };
            assert_eq!(verdict(name, metadata), expected, "{number} {metadata:?}");
        };
        check(7, Some("shop-a-0 a1 7"), Verdict::Committed);
        check(7, Some("shop-a-0 a1 6"), Verdict::NotCommitted);
        check(7, Some("shop-a-0 b2 6"), Verdict::NotCommitted);
        check(7, Some("shop-b-0 b2 6"), Verdict::NotCommitted);
        // Somebody else wrote a batch of that number: ours was not it.
        check(7, Some("shop-b-0 a1 7"), Verdict::Superseded);
        // A process with the same id did, after ours was taken for dead.
        check(7, Some("shop-a-0 b2 7"), Verdict::Superseded);
        check(7, Some("shop-a-0 a1 8"), Verdict::Superseded);
        check(7, Some("shop-a-0 a1 5"), Verdict::Superseded);
        check(7, Some(""), Verdict::Superseded);
        check(7, Some("reset by hand"), Verdict::Superseded);
        check(1, None, Verdict::NotCommitted);
        check(2, None, Verdict::Superseded);
    }

    #[test]
    fn batch_names_can_be_read_back() {
        let name = BatchName { transactional_id: "a shop-0", incarnation: u64::MAX, number: 12 };
        assert_eq!(BatchName::parse(&name.to_string()), Some(name));
        assert_eq!(BatchName::parse("shop 12"), None);
    }
}
