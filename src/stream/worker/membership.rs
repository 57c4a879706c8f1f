//! The worker as a member of its group: how far it has joined, and what the group's coordinator has decided since.
//!
//! ```text
//!  Topics ─(partition counts agree)─► Registry ─(read to its end)─► Producer ─(transactional id taken over)─► Member
//! ```
//!
//! Topics that belong together must have equally many partitions, before the worker joins and for as long as it stays.

use std::time::Duration;

use super::Stop;
use super::hub::Hub;
use crate::exit::Exit;
use crate::observe::metrics::FatalKind;
use crate::observe::status::WorkerPhase;
use crate::stream::broker::{Broker, BrokerError, Lookup, Moment};
use crate::stream::registry::{RegistryReader, RegistrySource};
use crate::stream::rules::Rules;
use crate::stream::session::GroupEvents;
use crate::topic::{Output, Topic};

/// One step of joining; in between, the thread that runs the worker may want to stop it.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Partition counts are read again after so long.
const COUNTS_AGE_MAX: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Membership {
    stage: JoinStage,
    counts: PartitionCounts,
    events: GroupEvents,
}

/// How far the worker has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum JoinStage {
    Topics { since: Moment },
    Registry { since: Moment },
    Producer { since: Moment },
    Member { counts_at: Moment },
}

/// Learned from the brokers at the start.
#[derive(Clone, Copy)]
struct PartitionCounts {
    /// Of every input and of the changelog.
    inputs: u32,
    /// Of the topic of profiles.
    profiles: u32,
}

impl Membership {
    pub fn new(now: Moment) -> Self {
        Self {
            stage: JoinStage::Topics { since: now },
            counts: PartitionCounts { inputs: 1, profiles: 0 },
            events: GroupEvents::default(),
        }
    }

    /// How many partitions each input has.
    pub fn partitions(&self) -> u32 {
        self.counts.inputs
    }

    /// Whether profiles go to the partition of their customer's state: the topic has as many.
    pub fn profiles_follow(&self) -> bool {
        self.counts.profiles == self.counts.inputs
    }

    // === Group events ===

    /// Polls the client until it has no more group events, and only records them.
    pub fn record_events<B: Broker>(&mut self, broker: &mut B) -> Result<(), Stop> {
        self.events.record(broker)
    }

    /// Those that were not acted upon yet.
    pub fn events(&self) -> &GroupEvents {
        &self.events
    }

    pub fn events_mut(&mut self) -> &mut GroupEvents {
        &mut self.events
    }

    // === Joining ===

    /// Takes the next step. Whether the worker is a member.
    pub fn join<B: Broker>(
        &mut self,
        broker: &mut B,
        rules: &Rules,
        hub: &Hub<'_>,
        registry: &mut RegistryReader,
    ) -> Result<bool, Stop> {
        let now = broker.now();
        let (since, step) = match self.stage {
            JoinStage::Member { .. } => return Ok(true),
            JoinStage::Topics { since } => (since, self.learn_partition_counts(broker, rules)),
            JoinStage::Registry { since } => (since, read_registry(broker, registry, since)),
            JoinStage::Producer { since } => (since, open_producer_and_subscribe(broker, hub)),
        };
        hub.tick();
        match step {
            Ok(next) => self.stage = next,
            Err(BrokerError::Retry(cause)) if now.since(since) >= rules.commit.patience => {
                return Err(Stop::caused(
                    FatalKind::Unavailable,
                    cause,
                    "Kafka did not let the worker join within `commit.patience`",
                ));
            }
            Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(false)
    }

    fn learn_partition_counts<B: Broker>(
        &mut self,
        broker: &mut B,
        rules: &Rules,
    ) -> Result<JoinStage, BrokerError> {
        let topics: Vec<Topic> = Topic::co_partitioned().chain([Topic::Output(Output::Customers)]).collect();
        let counts = broker.lookup().partition_counts(&topics, STEP_MAX)?;
        let (profiles, counts) = counts.split_last().expect("as many counts as topics");
        self.counts = PartitionCounts { inputs: counts[0], profiles: *profiles };
        self.compare_partition_counts(counts, rules)?;
        if !rules.raw_topics.is_empty() {
            // One that does not exist is found now, and not when the first timer is due.
            broker.lookup().raw_progress(STEP_MAX)?;
        }
        let since = broker.now();
        Ok(match rules.registry {
            RegistrySource::Topic => JoinStage::Registry { since },
            RegistrySource::None | RegistrySource::File(_) => JoinStage::Producer { since },
        })
    }

    /// Reads the counts again; growth stops the service before anything is put into the wrong partition.
    pub fn check_partition_counts<B: Broker>(&mut self, broker: &mut B, rules: &Rules) -> Result<(), Stop> {
        self.stage = JoinStage::Member { counts_at: broker.now() };
        let topics: Vec<Topic> = Topic::co_partitioned().collect();
        match broker.lookup().partition_counts(&topics, STEP_MAX) {
            Ok(counts) => Ok(self.compare_partition_counts(&counts, rules)?),
            // The worker can read nothing from brokers that do not answer, so a topic that has grown does no harm yet.
            Err(BrokerError::Retry(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn check_partition_counts_now_and_then<B: Broker>(
        &mut self,
        broker: &mut B,
        rules: &Rules,
    ) -> Result<(), Stop> {
        match self.stage {
            JoinStage::Member { counts_at } if broker.now().since(counts_at) >= COUNTS_AGE_MAX => {
                self.check_partition_counts(broker, rules)
            }
            JoinStage::Topics { .. }
            | JoinStage::Registry { .. }
            | JoinStage::Producer { .. }
            | JoinStage::Member { .. } => Ok(()),
        }
    }

    fn compare_partition_counts(&self, counts: &[u32], rules: &Rules) -> Result<(), BrokerError> {
        let expected = self.counts.inputs;
        let Some((topic, count)) = Topic::co_partitioned().zip(counts).find(|(_, count)| **count != expected)
        else {
            return Ok(());
        };
        let name = rules.topic_name(topic);
        let message = format!(
            "topic {name} has {count} partitions where {expected} are expected: a customer's orders, returns and state must lie in \
             partitions of the same number, so these topics need the same count, and it must not change while there is state"
        );
        Err(BrokerError::stop(Exit::Configuration, message))
    }
}

/// Partitions may need any record of the registry, so the worker gets none before it has read them all.
fn read_registry<B: Broker>(
    broker: &mut B,
    registry: &mut RegistryReader,
    since: Moment,
) -> Result<JoinStage, BrokerError> {
    let is_read = registry.start(broker.lookup())?;
    Ok(if is_read { JoinStage::Producer { since: broker.now() } } else { JoinStage::Registry { since } })
}

fn open_producer_and_subscribe<B: Broker>(broker: &mut B, hub: &Hub<'_>) -> Result<JoinStage, BrokerError> {
    broker.open_producer(STEP_MAX)?;
    broker.subscribe()?;
    hub.status.set_phase(WorkerPhase::Running);
    Ok(JoinStage::Member { counts_at: broker.now() })
}
