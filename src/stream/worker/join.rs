//! Before a worker joins the group, and what must stay true after: topics that belong together have the same partitions.
//!
//! ```text
//!  Topics ─(partition counts agree)─► Producer ─(transactional id taken over)─► Member
//! ```

use std::time::Duration;

use super::{Stop, Worker};
use crate::observe::metrics::FatalKind;
use crate::observe::status::WorkerPhase;
use crate::stream::broker::{Broker, BrokerError, Lookup, Moment};
use crate::topic::{Output, Topic};

/// One step of joining; in between, whoever runs the worker may want to stop.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Partition counts are read again after so long.
const COUNTS_AGE_MAX: Duration = Duration::from_secs(60);

/// How far the worker has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Joining {
    Topics { since: Moment },
    Producer { since: Moment },
    Member { counts_at: Moment },
}

impl<B: Broker> Worker<'_, B> {
    /// Takes the next step. Whether the worker is a member.
    pub(super) fn join(&mut self) -> Result<bool, Stop> {
        let now = self.broker.now();
        let (since, step) = match self.joining {
            Joining::Member { .. } => return Ok(true),
            Joining::Topics { since } => (since, self.learn_partition_counts()),
            Joining::Producer { since } => (since, self.open_producer_and_subscribe()),
        };
        self.hub.tick();
        match step {
            Ok(next) => self.joining = next,
            Err(BrokerError::Retry(cause)) if now.since(since) >= self.rules.commit.patience => {
                return Err(Stop::caused(FatalKind::Unavailable, cause, "reach the brokers"));
            }
            Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(false)
    }

    fn learn_partition_counts(&mut self) -> Result<Joining, BrokerError> {
        let topics: Vec<Topic> = Topic::co_partitioned().chain([Topic::Output(Output::Customers)]).collect();
        let counts = self.broker.lookup().partition_counts(&topics, STEP_MAX)?;
        let (customers, counts) = counts.split_last().expect("as many counts as topics");
        self.rules.partitions = counts[0];
        self.rules.profiles_follow = *customers == counts[0];
        self.compare_partition_counts(counts)?;
        Ok(Joining::Producer { since: self.broker.now() })
    }

    fn open_producer_and_subscribe(&mut self) -> Result<Joining, BrokerError> {
        self.broker.open_producer(STEP_MAX)?;
        self.broker.subscribe()?;
        self.hub.status.set_phase(WorkerPhase::Running);
        Ok(Joining::Member { counts_at: self.broker.now() })
    }

    /// Reads the counts again; growth stops the service before anything is put into the wrong partition.
    pub(super) fn check_partition_counts(&mut self) -> Result<(), Stop> {
        self.joining = Joining::Member { counts_at: self.broker.now() };
        match self.broker.lookup().partition_counts(&Topic::co_partitioned().collect::<Vec<_>>(), STEP_MAX) {
            Ok(counts) => Ok(self.compare_partition_counts(&counts)?),
            // Brokers that do not answer have not grown a topic that anybody could read.
            Err(BrokerError::Retry(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn check_partition_counts_now_and_then(&mut self) -> Result<(), Stop> {
        match self.joining {
            Joining::Member { counts_at } if self.broker.now().since(counts_at) >= COUNTS_AGE_MAX => {
                self.check_partition_counts()
            }
            Joining::Topics { .. } | Joining::Producer { .. } | Joining::Member { .. } => Ok(()),
        }
    }

    fn compare_partition_counts(&self, counts: &[u32]) -> Result<(), BrokerError> {
        let expected = self.rules.partitions;
        let Some((topic, count)) = Topic::co_partitioned().zip(counts).find(|(_, count)| **count != expected)
        else {
            return Ok(());
        };
        let name = self.rules.topic_name(topic);
        let message = format!(
            "topic {name} has {count} partitions where {expected} are expected: a customer's orders, returns and state must lie in \
             partitions of the same number, so these topics need the same count, and it must not change while there is state"
        );
        Err(BrokerError::stop(crate::exit::Exit::Configuration, message))
    }
}
