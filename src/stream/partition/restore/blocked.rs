//! An open transaction of another process that holds a restore up.

use std::time::Duration;

use tracing::{info, warn};

use super::{CALL_MAX, RestoreRequest};
use crate::exit::Exit;
use crate::stream::broker::{BrokerError, Lookup, Moment, Stability, TRANSACTION_TIMEOUT};
use crate::stream::partition::BatchName;
use crate::topic::Input;

/// A predecessor's transaction that is open for longer than this is ended.
const BLOCKED_MAX: Duration = Duration::from_secs(1);
/// The broker ends a transaction at its timeout, and looks for such transactions every 10 s.
const GIVE_UP_AFTER: Duration = TRANSACTION_TIMEOUT.saturating_add(Duration::from_secs(10));

/// For how long it has, and what was done about it.
#[derive(Default)]
pub struct Blocked {
    since: Option<Moment>,
    has_ended_transaction: bool,
}

impl Blocked {
    /// Counts a fruitless call. After a while, ends the transaction that is open in this partition: a process that has it open
    /// without owning the partition has to abort it anyway, and the broker's own timeout takes long.
    pub fn end_open_transaction<L: Lookup>(
        &mut self,
        lookup: &mut L,
        request: &RestoreRequest,
    ) -> Result<(), BrokerError> {
        let now = lookup.now();
        let waited = now.since(*self.since.get_or_insert(now));
        if waited > GIVE_UP_AFTER {
            let message = "an open transaction in the partition does not end: look for a process that still writes under \
                           this application, or lower `transaction.max.timeout.ms` of the brokers";
            return Err(BrokerError::stop(Exit::Unavailable, message));
        }
        if waited < BLOCKED_MAX || self.has_ended_transaction {
            return Ok(());
        }
        let committed = lookup.committed(&[request.partition], Stability::Unstable, CALL_MAX)?;
        let orders = committed.first().and_then(|committed| committed[Input::Orders].as_ref());
        let name = orders.and_then(|committed| BatchName::parse(&committed.metadata));
        let id = name.map(|name| name.transactional_id);
        match id {
            Some(id) if id != request.transactional_id => {
                info!(partition = %request.partition, transactional_id = id, "ending an open transaction");
                lookup.end_transaction_of(id, CALL_MAX)?;
            }
            // Taking over our own id would fence ourselves; without an id there is no process to fence.
            Some(_) | None => warn!(
                partition = %request.partition,
                "an open transaction of an unknown writer holds the restore up until its timeout"
            ),
        }
        self.has_ended_transaction = true;
        Ok(())
    }
}
