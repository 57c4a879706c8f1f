//! Faults that a trial asks for call by call, where schedules leave them to chance. What a fault says of the brokers is so: a commit
//! that is reported as failed is committed there, a fenced producer has a rival, a lost partition is assigned anew.

use std::collections::VecDeque;

use retention_signals::exit::Exit;
use retention_signals::stream::broker::{BrokerError, Cause, Unknown};

use super::producer::{self, Fate};
use super::world::World;

/// Calls of the port that may be asked to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Begin,
    Send,
    Flush,
    SendOffsets,
    Commit,
    Abort,
    OpenProducer,
    Committed,
    PublishCombined,
}

/// How one call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Time passes.
    Retry,
    /// Time passes, now and at each such call to come.
    Hang,
    Abort,
    /// The producer cannot be used any more, and has not committed.
    Failed,
    Fenced,
    /// A commit that is reported as failed, and was none the less done.
    FailedThoughCommitted,
    /// The group gives the member up, which joins again. Without a steady member only the transaction is to be aborted.
    LostAndFound,
    /// All partitions are revoked while the call is under way, and come back. Without a steady member only time passes.
    RevokedAndFound,
    Stop(Exit),
}

/// Each entry is the answer to one call, in this order.
pub type Script = VecDeque<(Call, Fault)>;

/// The fault that the script has for this call, if it is the next one.
pub fn next_fault(script: &mut Script, call: Call) -> Option<Fault> {
    let (_, fault) = *script.front().filter(|(next, _)| *next == call)?;
    if fault != Fault::Hang {
        script.pop_front();
    }
    Some(fault)
}

/// Lets a call of a worker fail, if the script has it so.
pub fn fail(world: &mut World, host: usize, call: Call) -> Option<BrokerError> {
    let fault = next_fault(&mut world.script, call)?;
    match fault {
        Fault::Retry | Fault::Hang | Fault::Stop(_) => {}
        Fault::Abort => world.hosts[host].producer.must_abort = true,
        Fault::Failed => drop(producer::give_up(world, host, false)),
        Fault::Fenced => {
            let name = world.hosts[host].transactional_id.clone();
            world.initialise(&name);
            drop(producer::give_up(world, host, true));
        }
        Fault::FailedThoughCommitted => {
            world.commit_fates.push_back(Fate::FailedThoughCommitted);
            return None;
        }
        Fault::LostAndFound => {
            let World { hosts, group, now, .. } = world;
            hosts[host].client.lose_membership(group, *now);
            hosts[host].producer.must_abort = true;
        }
        Fault::RevokedAndFound => world.hosts[host].client.revoke_all(),
    }
    Some(fault.error(call))
}

impl Fault {
    /// What the caller learns of it.
    pub fn error(self, call: Call) -> BrokerError {
        let cause = Cause::from(format!("{call:?} {self:?}"));
        match self {
            Self::Retry | Self::Hang | Self::RevokedAndFound => BrokerError::Retry(cause),
            Self::Abort | Self::LostAndFound => BrokerError::AbortTransaction(cause),
            Self::Failed | Self::FailedThoughCommitted => BrokerError::OutcomeUnknown(Unknown::Failed, cause),
            Self::Fenced => BrokerError::OutcomeUnknown(Unknown::Fenced, cause),
            Self::Stop(exit) => BrokerError::Stop(exit, cause),
        }
    }
}
