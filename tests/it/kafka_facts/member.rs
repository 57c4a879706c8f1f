//! A member of a consumer group that takes part as the service does: it subscribes to one input and assigns the
//! others' partitions of the same number with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::PATIENCE;
use crate::kafka::{Client, Committed, TopicPartition};

const POLL: Duration = Duration::from_millis(5);

/// One group member and what it owns.
pub struct Member {
    consumer: BaseConsumer<Recorder>,
    inputs: Vec<String>,
    owned: BTreeSet<i32>,
    /// Every partition that was ever taken away.
    pub revoked: Vec<i32>,
}

impl Member {
    /// Joins `group` by subscribing to the first of `inputs`; owns nothing until it is polled.
    pub fn join(client: &Client, group: &str, inputs: &[&str]) -> Result<Member> {
        let mut config = client.config();
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "100")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        let consumer: BaseConsumer<Recorder> = config.create_with_context(Recorder::default())?;
        consumer.subscribe(&inputs[..1])?;
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        Ok(Member { consumer, inputs, owned: BTreeSet::new(), revoked: Vec::new() })
    }

    /// The numbers of the owned partitions.
    pub fn owned(&self) -> Vec<i32> {
        self.owned.iter().copied().collect()
    }

    /// All partitions that the client fetches from now, siblings included.
    pub fn assigned(&self) -> Result<BTreeSet<TopicPartition>> {
        let assignment = self.consumer.assignment()?;
        Ok(assignment
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect())
    }

    /// What the broker fences this member's offsets by, as of now.
    pub fn metadata(&self) -> Result<ConsumerGroupMetadata> {
        self.consumer.group_metadata().context("a consumer with a group has metadata")
    }

    /// The committed offset of a partition, once no transaction that would move it is open; an error if one stays
    /// open for `patience`.
    pub fn committed_stable(
        &self,
        topic: &str,
        partition: i32,
        patience: Duration,
    ) -> Result<Option<Committed>, rdkafka::error::KafkaError> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, partition);
        let answer = self.consumer.committed_offsets(wanted, patience)?;
        let elements = answer.elements();
        elements[0].error()?;
        match elements[0].offset() {
            Offset::Offset(offset) => {
                Ok(Some(Committed { offset, metadata: elements[0].metadata().to_owned() }))
            }
            Offset::Invalid | Offset::Beginning | Offset::End | Offset::Stored | Offset::OffsetTail(_) => {
                Ok(None)
            }
        }
    }

    /// Leaves the group and keeps the handle, as a process that was declared dead and goes on.
    pub fn leave(&mut self) -> Result<()> {
        self.consumer.unsubscribe();
        poll_until("the member has left", &mut [self], |members| members[0].owned.is_empty())
    }

    /// One poll, then what the rebalances that it delivered ask for. Records are dropped.
    fn step(&mut self) -> Result<()> {
        if let Some(Err(error)) = self.consumer.poll(POLL) {
            return Err(error).context("poll a group member");
        }
        self.act_on_rebalances()
    }

    fn act_on_rebalances(&mut self) -> Result<()> {
        let events: Vec<Rebalance> =
            std::mem::take(&mut *self.consumer.context().events.lock().expect("no panics"));
        for event in events {
            match event {
                Rebalance::Assign(partitions) => {
                    self.consumer.incremental_assign(&self.siblings(&partitions)?)?;
                    self.owned.extend(partitions);
                }
                Rebalance::Revoke(partitions) => {
                    self.consumer.incremental_unassign(&self.siblings(&partitions)?)?;
                    self.owned.retain(|partition| !partitions.contains(partition));
                    self.revoked.extend(partitions);
                }
            }
        }
        Ok(())
    }

    fn siblings(&self, partitions: &[i32]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for input in &self.inputs {
            for partition in partitions {
                list.add_partition_offset(input, *partition, Offset::Offset(0))?;
            }
        }
        Ok(list)
    }
}

impl Drop for Member {
    /// Closing revokes what is owned and waits for the answer, which a callback that only records never gives.
    fn drop(&mut self) {
        self.consumer.context().is_closing.store(true, Ordering::SeqCst);
        if let Err(error) = self.act_on_rebalances() {
            eprintln!("a group member could not be closed in order: {error:#}");
        }
    }
}

/// Polls all members in turn until `condition` holds.
pub fn poll_until(
    what: &str,
    members: &mut [&mut Member],
    condition: impl Fn(&[&mut Member]) -> bool,
) -> Result<()> {
    let start = Instant::now();
    while !condition(members) {
        let owned: BTreeMap<usize, Vec<i32>> =
            members.iter().map(|member| member.owned()).enumerate().collect();
        ensure!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}; owned: {owned:?}");
        for member in members.iter_mut() {
            member.step()?;
        }
    }
    Ok(())
}

enum Rebalance {
    Assign(Vec<i32>),
    Revoke(Vec<i32>),
}

/// Only records what the group decided; the member acts on it after the poll.
#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<Rebalance>>,
    is_closing: AtomicBool,
}

impl ClientContext for Recorder {}

impl ConsumerContext for Recorder {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.is_closing.load(Ordering::SeqCst) {
            if let Err(error) = consumer.unassign() {
                eprintln!("a closing group member could not give up its partitions: {error}");
            }
            return;
        }
        let partitions = list.elements().iter().map(|element| element.partition()).collect();
        let event = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke(partitions)
        };
        self.events.lock().expect("no panics").push(event);
    }
}
