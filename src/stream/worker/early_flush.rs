//! What a backlog has to say is sent before its commit is due. A batch may then be long without being held in memory, and the
//! longer it is, the more events one profile and one changelog record stand for; meanwhile the client's threads write.
//!
//! ```text
//!  apply ─(much to say)─► begin ─► send what was said, and forget it ─► apply … ─► commit
//!                                     └── error, or a part is dropped ─► abort ─► parts that were ahead are restored
//! ```
//!
//! What was forgotten cannot be said again, so the price of an abort is a restore. Batches of a worker that keeps up with its
//! inputs are too small to come here.

use std::time::Duration;

use super::commit::{AttemptError, Dropped};
use super::{Stop, Worker, running};
use crate::fault::{self, Mutation, Step};
use crate::observe::metrics::Stage;
use crate::stream::broker::Broker;

/// From so many bytes of signals and dead letters on they are sent ahead; one that holds less is cheaper to repeat than to restore.
const BYTES_MIN: usize = 4 << 20;
/// A worker that ends takes so long, at most, to tell the broker that its open transaction comes to nothing.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// What came of sending ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EarlyFlush {
    /// The batch goes on, whether anything was sent or not.
    GoesOn,
    /// Its transaction has failed: partitions may be in restore, or have left the batch.
    Undone,
}

impl<B: Broker> Worker<'_, B> {
    /// To be called after records were applied.
    pub(super) fn send_ahead(&mut self) -> Result<EarlyFlush, Stop> {
        let may_begin = || self.pace.may_send_ahead() && self.bytes_held() >= fault::bytes_ahead(BYTES_MIN);
        let is_begun = self.batch.transaction_since.is_some() || may_begin();
        if !is_begun {
            return Ok(EarlyFlush::GoesOn);
        }
        let started_at = self.broker.now();
        let sent = self.send_said_of_all();
        self.batch.stages[Stage::Encode] += self.broker.now().since(started_at);
        let Err(setback) = sent else { return Ok(EarlyFlush::GoesOn) };
        let attempt = self.undo(setback)?;
        if self.settle(attempt)? {
            self.on_committed(started_at);
        }
        Ok(EarlyFlush::Undone)
    }

    fn send_said_of_all(&mut self) -> Result<(), AttemptError> {
        let deadline = self.broker.now().plus(self.rules.commit.patience);
        self.begin()?;
        for index in 0..self.batch.parts.len() {
            if running(&self.owned, self.batch.parts[index].partition).part.bytes() > 0 {
                self.send_said(index, deadline)?;
                self.batch.parts[index].is_ahead = true;
            }
        }
        fault::reach(Step::AfterSendAhead);
        Ok(())
    }

    fn bytes_held(&self) -> usize {
        self.batch.parts.iter().map(|part| running(&self.owned, part.partition).part.bytes()).sum()
    }

    /// To be called when parts were dropped from the batch: what they have sent must not be committed with the others.
    pub(super) fn abort_dropped(&mut self, dropped: Dropped) -> Result<(), Stop> {
        if dropped == Dropped::NothingAhead || fault::is(Mutation::CommitDroppedAhead) {
            return Ok(());
        }
        let attempt = self.undo(AttemptError::Abort("a partition was lost whose signals it holds".into()))?;
        self.settle(attempt).map(drop)
    }

    /// The transaction was aborted: parts that hold no more what they have said are read again.
    pub(super) fn restore_ahead(&mut self) -> Result<(), Stop> {
        if fault::is(Mutation::KeepPartsAhead) {
            return Ok(());
        }
        let ahead: Vec<_> = self.batch.parts.iter().filter(|part| part.is_ahead).copied().collect();
        for part in ahead {
            self.restore_again(part.partition)?;
        }
        Ok(())
    }

    /// A transaction that is left open keeps its readers waiting for its timeout. One that the commit began which has just failed for
    /// good is left: the reason is its producer, or the brokers.
    pub(super) fn leave_transaction(&mut self) {
        let is_open = self.batch.transaction_since.is_some() && !self.batch.is_ending;
        if is_open && self.batch.parts.iter().any(|part| part.is_ahead) {
            // The worker ends for something else, and the broker knows what to do with what is left behind.
            let _ = self.bounded(self.broker.now().plus(LEAVE_MAX), B::abort);
        }
    }
}
