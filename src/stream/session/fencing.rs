//! Whether another process takes our transactional id again and again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::observe::metrics::FatalKind;
use crate::stream::broker::{Moment, Session, TRANSACTION_TIMEOUT};
use crate::stream::worker::Stop;

/// More fencings than this within the span mean that another process uses our transactional id, and takes it back each time.
const FENCINGS_MAX: usize = 3;
const FENCINGS_SPAN: Duration = Duration::from_secs(300);

/// When the producer was fenced lately.
#[derive(Default)]
pub(in crate::stream) struct Fencings(VecDeque<Moment>);

impl Fencings {
    /// The producer was fenced, in a transaction that is open since then.
    ///
    /// # Errors
    /// If that happens too often.
    pub fn add<S: Session>(&mut self, session: &S, transaction_since: Option<Moment>) -> Result<(), Stop> {
        let now = session.now();
        if transaction_since.is_some_and(|since| now.since(since) >= TRANSACTION_TIMEOUT) {
            return Ok(()); // The broker has ended it after its timeout; no other process was there.
        }
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.since(*first) > FENCINGS_SPAN) {
            self.0.pop_front();
        }
        if self.0.len() <= FENCINGS_MAX {
            return Ok(());
        }
        let id = session.transactional_id();
        Err(Stop::new(
            FatalKind::Fenced,
            format!("another process uses the transactional id {id}: give each process its own `instance`"),
        ))
    }
}
