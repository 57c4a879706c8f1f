//! A history that is written before anything has started: one transaction holds all of it, so it is there as a whole or not at all, and
//! whichever process dies, the same history can be written again.

use std::time::Duration;

use super::port::{NativeOutput, RawBroker};
use super::transaction;
use crate::fault::{self, Milestone};
use crate::observe::metrics::FatalKind;
use crate::stream::broker::{BrokerError, Cause};
use crate::stream::session::{self, AttemptError, GroupEvents};
use crate::stream::worker::Stop;

/// One step of opening the producer.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Leaving may take so long.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The open transaction.
pub struct HistoryLoad<B: RawBroker> {
    broker: B,
    /// Stays empty: it joins no group.
    events: GroupEvents,
    patience: Duration,
}

impl<B: RawBroker> HistoryLoad<B> {
    /// Opens the producer. What an earlier one has left open is aborted then.
    ///
    /// # Errors
    /// The brokers refuse, or do not answer within `patience`.
    pub fn open(mut broker: B, patience: Duration) -> Result<Self, Stop> {
        let deadline = broker.now().plus(patience);
        while let Err(error) = broker.open_producer(STEP_MAX) {
            let is_passing = matches!(error, BrokerError::Retry(_)) && broker.now() < deadline;
            if !is_passing {
                return Err(error.into());
            }
        }
        Ok(Self { broker, events: GroupEvents::default(), patience })
    }

    /// Begins the transaction.
    ///
    /// # Errors
    /// The producer cannot be used.
    pub fn begin(&mut self) -> Result<(), Stop> {
        fault::reach(Milestone::BeforeBegin);
        self.broker.begin().map_err(|error| given_up(error.into()))?;
        fault::reach(Milestone::AfterBegin);
        Ok(())
    }

    /// Adds a record.
    ///
    /// # Errors
    /// It cannot be written; then nothing of the history is.
    pub fn write(&mut self, record: &NativeOutput<'_>) -> Result<(), Stop> {
        transaction::send(&mut self.broker, &mut self.events, record).map_err(given_up)
    }

    /// Commits everything.
    ///
    /// # Errors
    /// It was not committed, or the brokers have not said whether it was.
    pub fn commit(mut self) -> Result<(), Stop> {
        fault::reach(Milestone::AfterSend);
        let Self { broker, events, patience } = &mut self;
        let deadline = broker.now().plus(*patience);
        session::bounded(broker, events, deadline, B::flush, |_| {}).map_err(given_up)?;
        fault::reach(Milestone::AfterFlush);
        let deadline = broker.now().plus(*patience);
        let committed = session::bounded(broker, events, deadline, B::commit, |_| {});
        fault::reach(Milestone::AfterCommit);
        // A commit has no error that says "not committed" and can be trusted.
        committed.map_err(|error| match error {
            AttemptError::Stop(stop) => stop,
            AttemptError::Abort(cause) | AttemptError::Unknown(_, cause) => unknown(cause),
        })?;
        self.broker.close(CLOSE_MAX);
        Ok(())
    }
}

fn given_up(error: AttemptError) -> Stop {
    match error {
        AttemptError::Stop(stop) => stop,
        AttemptError::Abort(cause) | AttemptError::Unknown(_, cause) => Stop::caused(
            FatalKind::Unavailable,
            cause,
            "nothing of the history was written, as the transaction was not committed; give the same command again",
        ),
    }
}

fn unknown(cause: Cause) -> Stop {
    Stop::caused(
        FatalKind::OutcomeUnknown,
        cause,
        "Kafka did not say whether the history was written; give the same command again: it looks first, and writes nothing twice",
    )
}
