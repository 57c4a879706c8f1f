//! What every kind of worker does with its session: group events are recorded while calls take long, and a transaction that failed is
//! given up in the same way.

mod attempt;
mod fencing;

use std::collections::VecDeque;
use std::time::Duration;

use tracing::debug;

use crate::fault::{self, Milestone};
use crate::stream::broker::{BrokerError, GroupEvent, Moment, Session, TRANSACTION_TIMEOUT, Unknown};
use crate::stream::worker::Stop;
use crate::topic::Partition;

pub(in crate::stream) use attempt::{Attempt, AttemptError};
pub(in crate::stream) use fencing::Fencings;

/// The longest that one call may take before the client is polled again.
const SLICE: Duration = Duration::from_secs(2);

/// What the group's coordinator has decided and the worker has not acted upon, oldest first.
#[derive(Default)]
pub(in crate::stream) struct GroupEvents(VecDeque<GroupEvent>);

impl GroupEvents {
    /// Polls the client until it has no more group events, and only records them.
    pub fn record<S: Session>(&mut self, session: &mut S) -> Result<(), Stop> {
        loop {
            match session.poll() {
                Ok(None) => return Ok(()),
                Ok(Some(event)) => self.0.push_back(event),
                Err(BrokerError::Retry(cause)) => {
                    debug!(cause = format!("{cause:#}"), "poll");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The oldest one. It stays until [`Self::remove_first`].
    pub fn first(&self) -> Option<GroupEvent> {
        self.0.front().cloned()
    }

    pub fn remove_first(&mut self) {
        self.0.pop_front();
    }

    /// Whether one says that the partition is lost.
    pub fn has_lost(&self, partition: Partition) -> bool {
        self.0.iter().any(|event| match event {
            GroupEvent::Lost(partitions) => partitions.contains(&partition),
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) => false,
        })
    }
}

/// Makes a call in slices until it is done or the deadline passes. The client is polled in between, or the group would take the worker
/// for dead; `between` does what else must not wait.
pub(in crate::stream) fn bounded<S: Session>(
    session: &mut S,
    events: &mut GroupEvents,
    deadline: Moment,
    mut call: impl FnMut(&mut S, Duration) -> Result<(), BrokerError>,
    mut between: impl FnMut(&mut S),
) -> Result<(), AttemptError> {
    loop {
        let left = deadline.since(session.now());
        let Err(error) = call(session, left.min(SLICE)) else {
            return Ok(());
        };
        let BrokerError::Retry(cause) = error else {
            return Err(error.into());
        };
        if session.now() >= deadline {
            return Err(AttemptError::Abort(cause));
        }
        events.record(session).map_err(AttemptError::Stop)?;
        between(session);
    }
}

/// Lets time pass, whatever else may wake the worker, and keeps the membership alive.
pub(in crate::stream) fn pause<S: Session>(
    session: &mut S,
    events: &mut GroupEvents,
    span: Duration,
    mut between: impl FnMut(&mut S),
) -> Result<(), Stop> {
    let until = session.now().plus(span);
    loop {
        let left = until.since(session.now());
        if left.is_zero() {
            return Ok(());
        }
        session.wait(left);
        between(session);
        events.record(session)?;
    }
}

/// Gives up what is open in the transaction.
pub(in crate::stream) fn undo<S: Session>(
    session: &mut S,
    events: &mut GroupEvents,
    error: AttemptError,
    between: impl FnMut(&mut S),
) -> Result<Attempt, Stop> {
    match error {
        AttemptError::Stop(stop) => Err(stop),
        AttemptError::Unknown(unknown, cause) => Ok(Attempt::Unknown(unknown, cause)),
        AttemptError::Abort(cause) => {
            fault::reach(Milestone::BeforeAbort);
            // Whatever the commit's own patience was: until the abort is done nothing can go on.
            let deadline = session.now().plus(TRANSACTION_TIMEOUT);
            match bounded(session, events, deadline, S::abort, between) {
                Ok(()) => Ok(Attempt::Aborted(cause)),
                Err(AttemptError::Stop(stop)) => Err(stop),
                // What an abort that failed has left behind, only the broker knows.
                Err(AttemptError::Abort(cause)) => Ok(Attempt::Unknown(Unknown::Failed, cause)),
                Err(AttemptError::Unknown(unknown, cause)) => Ok(Attempt::Unknown(unknown, cause)),
            }
        }
    }
}
