//! A part of the open batch as records: what it says, what changed, and the seal.

use std::collections::VecDeque;
use std::time::Duration;

use super::commit::{AttemptError, record_group_events, setback};
use super::rules::Rules;
use super::{BatchPart, Stop, Worker, running_mut};
use crate::domain::engine::{Change, Engine};
use crate::domain::values::time::Time;
use crate::observe::metrics::PerLabel;
use crate::stream::broker::{Broker, BrokerError, GroupEvent, Moment, OutputRecord};
use crate::stream::partition::Running;
use crate::stream::partition::partition_batch::PartitionBatch;
use crate::topic::{Output, Partition, PerInput};
use crate::wire::changelog::{self, Seal, SealedInput};

/// How long a full producer queue is flushed for before the record is offered again.
const DRAIN: Duration = Duration::from_millis(20);

/// Memory for one record at a time.
#[derive(Default)]
pub(super) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<B: Broker> Worker<'_, B> {
    /// Sends the part at `index` of the batch. Encoded again at each attempt, but for what was said.
    pub(super) fn send_part(&mut self, index: usize, deadline: Moment) -> Result<(), AttemptError> {
        let (running, mut sender, scratch) = self.sender(index, deadline);
        sender.said(&running.part)?;
        sender.changes(&mut running.engine, scratch)?;
        sender.seal(running, scratch)?;
        running.part.summary.output_records = sender.sent;
        Ok(())
    }

    /// Sends what the part at `index` of the batch has to say so far, and forgets it.
    pub(super) fn send_said(&mut self, index: usize, deadline: Moment) -> Result<(), AttemptError> {
        let (running, mut sender, _) = self.sender(index, deadline);
        sender.said(&running.part)?;
        running.part.sent_ahead = sender.sent;
        running.part.forget_said();
        Ok(())
    }

    fn sender(
        &mut self,
        index: usize,
        deadline: Moment,
    ) -> (&mut Running<B::Batch>, Sender<'_, B>, &mut Scratch) {
        let BatchPart { partition, batch_number, .. } = self.batch.parts[index];
        let running = running_mut(&mut self.owned, partition);
        let sender = Sender {
            broker: &mut self.broker,
            rules: &self.rules,
            group_events: &mut self.group_events,
            record_bytes_max: self.record_bytes_max,
            partition,
            batch_number,
            deadline,
            sent: running.part.sent_ahead.clone(),
        };
        (running, sender, &mut self.scratch)
    }
}

struct Sender<'p, B: Broker> {
    broker: &'p mut B,
    rules: &'p Rules,
    group_events: &'p mut VecDeque<GroupEvent>,
    record_bytes_max: usize,
    partition: Partition,
    batch_number: u64,
    deadline: Moment,
    /// Counts of the part's records, by topic.
    sent: PerLabel<Output, u64>,
}

impl<B: Broker> Sender<'_, B> {
    fn said(&mut self, part: &PartitionBatch) -> Result<(), AttemptError> {
        let rules = self.rules;
        for signal in part.signals.iter() {
            let headers = rules.events.signal(signal.id, signal.occurred_at);
            self.send(&OutputRecord {
                output: Output::Signals,
                partition: None,
                key: Some(signal.key),
                value: Some(signal.value),
                headers: &headers.as_array(),
            })?;
        }
        for letter in &part.dead_letters {
            self.send(&OutputRecord {
                output: Output::DeadLetters,
                partition: None,
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                headers: &letter.headers(),
            })?;
        }
        Ok(())
    }

    fn changes(&mut self, engine: &mut Engine, scratch: &mut Scratch) -> Result<(), AttemptError> {
        let mut profiles = 0;
        for index in 0..engine.changes().len() {
            match engine.changes()[index].clone() {
                Change::Customer { slot, profile_at } => {
                    scratch.key.clear();
                    changelog::encode_customer_key(&mut scratch.key, engine.key(slot));
                    scratch.value.clear();
                    changelog::encode_customer(&mut scratch.value, engine.packed(slot));
                    self.changelog(&scratch.key, Some(&scratch.value))?;
                    let Some(as_of) = profile_at else { continue };
                    let profile = engine.profile(slot, as_of);
                    scratch.value.clear();
                    self.rules.profiles.encode(engine.key(slot), &profile, &mut scratch.value);
                    self.profile(profiles, as_of, engine.key(slot), &scratch.value)?;
                    profiles += 1;
                }
                Change::Erased { key } => {
                    scratch.key.clear();
                    changelog::encode_customer_key(&mut scratch.key, &key);
                    self.changelog(&scratch.key, None)?;
                    self.send(&OutputRecord {
                        output: Output::Customers,
                        partition: self.profile_partition(),
                        key: Some(&key),
                        value: None,
                        headers: &[],
                    })?;
                }
                Change::MarkerSet { hash, requested_at } => {
                    scratch.value.clear();
                    changelog::encode_marker(&mut scratch.value, requested_at);
                    self.changelog(&changelog::marker_key(hash), Some(&scratch.value))?;
                }
                Change::MarkerEnded { hash } => self.changelog(&changelog::marker_key(hash), None)?,
                Change::Withdrawn => {}
            }
        }
        Ok(())
    }

    fn profile(&mut self, number: u64, as_of: Time, key: &[u8], value: &[u8]) -> Result<(), AttemptError> {
        let rules = self.rules;
        let headers = rules.events.profile(self.partition.0, self.batch_number, number, as_of);
        self.send(&OutputRecord {
            output: Output::Customers,
            partition: self.profile_partition(),
            key: Some(key),
            value: Some(value),
            headers: &headers.as_array(),
        })
    }

    /// The truth about where the partition stands; without it, nothing else in this transaction would mean anything.
    fn seal<T>(&mut self, running: &Running<T>, scratch: &mut Scratch) -> Result<(), AttemptError> {
        let seal = Seal {
            batch: self.batch_number,
            inputs: PerInput::from_fn(|input| {
                let cursor = &running.streams.cursors[input];
                SealedInput { next: cursor.next.0, merge_key: cursor.key }
            }),
            clock: running.engine.clock(),
            outcomes: running.window.runs(),
            secret: self.rules.secret,
        };
        scratch.value.clear();
        seal.encode(&mut scratch.value);
        self.changelog(changelog::SEAL_KEY, Some(&scratch.value))
    }

    fn changelog(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), AttemptError> {
        self.send(&OutputRecord {
            output: Output::Changelog,
            partition: Some(self.partition),
            key: Some(key),
            value,
            headers: &[],
        })
    }

    fn send(&mut self, record: &OutputRecord<'_>) -> Result<(), AttemptError> {
        let bytes = bytes_of(record);
        if bytes > self.record_bytes_max {
            return Err(AttemptError::Stop(too_large(record.output, bytes, self.record_bytes_max)));
        }
        while let Err(error) = self.broker.send(record) {
            let is_full = matches!(error, BrokerError::Retry(_)) && self.broker.now() < self.deadline;
            if !is_full {
                return Err(setback(error));
            }
            match self.broker.flush(DRAIN) {
                // Still full is no failure: there may be room for this record.
                Ok(()) | Err(BrokerError::Retry(_)) => {}
                Err(error) => return Err(setback(error)),
            }
            record_group_events(self.broker, self.group_events).map_err(AttemptError::Stop)?;
        }
        self.sent[record.output] += 1;
        Ok(())
    }

    fn profile_partition(&self) -> Option<Partition> {
        self.rules.profiles_follow.then_some(self.partition)
    }
}

fn bytes_of(record: &OutputRecord<'_>) -> usize {
    let headers = record.headers.iter().map(|(name, value)| name.len() + value.len());
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
}

fn too_large(output: Output, bytes: usize, bytes_max: usize) -> Stop {
    Stop::too_large(format!(
        "a record for {output:?} has {bytes} bytes, the topics take {bytes_max}: raise `max.message.bytes` of the output \
             topics and the changelog, or lower `records.max_orders`"
    ))
}
