//! A part of the open batch as records: signals and dead letters, changed customers, and the seal.

use std::time::Duration;

use super::BatchPart;
use crate::domain::engine::{Change, Engine};
use crate::domain::values::time::Time;
use crate::fault::{self, Mutation};
use crate::observe::metrics::PerLabel;
use crate::stream::broker::{Broker, BrokerError, Moment, OutputRecord, RawEnd};
use crate::stream::partition::day_count::DayCount;
use crate::stream::partition::partition_batch::PartitionBatch;
use crate::stream::partition::{HistoryEnds, Running, RunningHistory};
use crate::stream::rules::Rules;
use crate::stream::session::AttemptError;
use crate::stream::worker::Stop;
use crate::stream::worker::context::Context;
use crate::stream::worker::membership::Membership;
use crate::stream::worker::shares;
use crate::topic::{OF_SHARES, Output, Partition, PerInput};
use crate::wire::changelog::{self, Seal, SealedEnds, SealedHistory, SealedInput, SealedRawEnd};

/// How long a full producer queue is flushed for before the record is offered again.
const DRAIN: Duration = Duration::from_millis(20);

/// Memory for one record at a time.
#[derive(Default)]
pub(super) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Sends a part of the batch. Encoded again at each attempt, but for what was flushed early.
pub(super) fn send_part<B: Broker>(
    ctx: &mut Context<'_, B>,
    part: &BatchPart,
    deadline: Moment,
    scratch: &mut Scratch,
) -> Result<(), AttemptError> {
    let (running, mut sender) = sender(ctx, part, deadline);
    sender.signals_and_dead_letters(&running.part)?;
    sender.changes(&mut running.engine, scratch)?;
    sender.shares(running)?;
    sender.seal(running, scratch)?;
    running.part.summary.output_records = sender.sent;
    Ok(())
}

/// Sends the signals and dead letters that a part of the batch holds so far, and forgets them.
pub(super) fn flush_part_early<B: Broker>(
    ctx: &mut Context<'_, B>,
    part: &BatchPart,
    deadline: Moment,
) -> Result<(), AttemptError> {
    let (running, mut sender) = sender(ctx, part, deadline);
    sender.signals_and_dead_letters(&running.part)?;
    running.part.on_flushed_early(sender.sent);
    Ok(())
}

fn sender<'c, B: Broker>(
    ctx: &'c mut Context<'_, B>,
    part: &BatchPart,
    deadline: Moment,
) -> (&'c mut Running<B::Batch>, Sender<'c, B>) {
    let Context { broker, rules, membership, partitions, .. } = ctx;
    let running = partitions.running_mut(part.partition);
    let sender = Sender {
        record_bytes_max: broker.record_bytes_max(),
        broker,
        rules,
        membership,
        partition: part.partition,
        batch_number: part.batch_number,
        deadline,
        sent: running.part.flushed_early.clone(),
    };
    (running, sender)
}

struct Sender<'p, B: Broker> {
    broker: &'p mut B,
    rules: &'p Rules,
    membership: &'p mut Membership,
    record_bytes_max: usize,
    partition: Partition,
    batch_number: u64,
    deadline: Moment,
    /// Counts of the part's records, by topic.
    sent: PerLabel<Output, u64>,
}

impl<B: Broker> Sender<'_, B> {
    fn signals_and_dead_letters(&mut self, part: &PartitionBatch) -> Result<(), AttemptError> {
        let rules = self.rules;
        for signal in part.signals.iter() {
            let headers = rules.events.signal(signal.id, signal.occurred_at);
            let usual = OutputRecord {
                output: Output::Signals,
                partition: None,
                key: Some(signal.key),
                value: Some(signal.value),
                headers: &headers.as_array(),
            };
            match signal.rule {
                None => self.send(&usual)?,
                Some((rule, _)) => self.send(&OutputRecord { headers: &headers.with_rule(rule), ..usual })?,
            }
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
            engine.look_ahead_in_changes(index);
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

    /// What the partition has counted of a day, if it has.
    fn shares<T>(&mut self, running: &Running<T>) -> Result<(), AttemptError> {
        let Some(day) = running.day_count.as_ref().and_then(DayCount::counted) else { return Ok(()) };
        let records = shares::records(day, self.partition, &self.rules.settings.shops, self.record_bytes_max);
        for (key, value) in records {
            self.send(&OutputRecord {
                output: Output::Shares,
                partition: Some(OF_SHARES),
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            })?;
        }
        Ok(())
    }

    /// The partition's offsets and clock: without them no other record of this transaction could be used.
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
            history: running.history.as_ref().map(sealed_history),
            signals_from: running.engine.signals_from().filter(|_| !fault::is(Mutation::ForgetSignalsFrom)),
            counted_through: running.day_count.as_ref().and_then(DayCount::through),
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
                return Err(error.into());
            }
            match self.broker.flush(DRAIN) {
                // Still full is no failure: there may be room for this record.
                Ok(()) | Err(BrokerError::Retry(_)) => {}
                Err(error) => return Err(error.into()),
            }
            self.membership.record_events(self.broker).map_err(AttemptError::Stop)?;
        }
        self.sent[record.output] += 1;
        Ok(())
    }

    fn profile_partition(&self) -> Option<Partition> {
        self.membership.profiles_follow().then_some(self.partition)
    }
}

fn sealed_history(history: &RunningHistory) -> SealedHistory {
    let ends = match &history.ends {
        HistoryEnds::Known(ends) => SealedEnds::Known(PerInput(ends.0.map(|end| end.0))),
        HistoryEnds::Behind(ends) => {
            let end = |RawEnd { of, end }: &RawEnd| SealedRawEnd {
                topic: (&*of.topic).into(),
                partition: of.partition.0,
                end: end.0,
            };
            SealedEnds::Behind(ends.iter().map(end).collect())
        }
    };
    SealedHistory { ends, records: history.records }
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
