//! The transactional producer of a client. Each function is one attempt: done, failed, or to be tried again after a while.

use std::ops::ControlFlow;
use std::time::Duration;

use retention_signals::stream::broker::{BrokerError, Committed, Membership, NextOffset, OutputRecord};
use retention_signals::topic::{Output, Partition, PerInput, Topic};
use retention_signals::wire::changelog::{self, StateRecord};
use retention_signals::wire::hash;

use super::broker::unusable;
use super::history::Prepared;
use super::host::Producer;
use super::log::Record;
use super::mutation::Twist;
use super::transactions::{Credentials, Place, Refusal};
use super::world::World;

/// One attempt: what it came to, or how long until the next.
type Attempt = ControlFlow<Result<(), BrokerError>, Duration>;

const DONE: Attempt = ControlFlow::Break(Ok(()));
/// The client asks again after this while a marker is under way.
const ASK_AGAIN: Duration = Duration::from_millis(20);

fn failed(error: BrokerError) -> Attempt {
    ControlFlow::Break(Err(error))
}

fn abortable(cause: &'static str) -> BrokerError {
    BrokerError::AbortTransaction(cause.into())
}

pub fn open(world: &mut World, host: usize) -> Attempt {
    deliver_some(world, host);
    let name = world.hosts[host].transactional_id.clone();
    if world.twist == Some(Twist::DoNotFence)
        && let Some(credentials) = world.hosts[host].first_credentials
    {
        world.hosts[host].producer = Producer { credentials: Some(credentials), ..Producer::default() };
        return DONE;
    }
    world.hosts[host].producer = Producer::default();
    if world.fails() {
        return ControlFlow::Continue(Duration::from_millis(world.rng.u64(1..3_000)));
    }
    match world.initialise(&name) {
        Some(credentials) => {
            let host = &mut world.hosts[host];
            host.first_credentials.get_or_insert(credentials);
            host.producer = Producer { credentials: Some(credentials), ..Producer::default() };
            DONE
        }
        None => ControlFlow::Continue(ASK_AGAIN),
    }
}

pub fn begin(world: &mut World, host: usize) -> Result<(), BrokerError> {
    let fails = world.fails();
    let producer = usable(world, host)?;
    assert!(!producer.is_open, "a transaction is begun inside of another");
    if fails {
        producer.credentials = None;
        return Err(unusable(false));
    }
    producer.is_open = true;
    Ok(())
}

pub fn send(world: &mut World, host: usize, record: &OutputRecord<'_>) -> Result<(), BrokerError> {
    let fails = world.fails();
    let kind = world.rng.u8(..3);
    let partitions = world.partitions;
    let any = world.rng.u32(..partitions);
    let (is_eager, twist) = (world.rng.u8(..16) == 0, world.twist);
    // The client's own clock, as the topics are by default.
    let timestamp_ms = world.wall_ms() + world.hosts[host].wall_offset_ms;
    let producer = open_transaction(world, host)?;
    if fails {
        match kind {
            0 if !producer.queue.is_empty() => return Err(BrokerError::retry("the queue is full")),
            1 => {
                producer.credentials = None;
                return Err(unusable(false));
            }
            _ => {
                producer.must_abort = true;
                return Err(abortable("a record was not delivered"));
            }
        }
    }
    let by_key = || record.key.map_or(any, |key| hash::partition(key, partitions));
    let partition = record.partition.map_or_else(by_key, |partition| partition.0);
    let is_letter = record.output == Output::DeadLetters;
    let headers = record.headers.iter().filter(|_| is_letter);
    let mut kept = Record {
        key: record.key.map(Into::into),
        value: record.value.map(Into::into),
        timestamp_ms,
        headers: headers.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
    };
    if record.output == Output::Changelog
        && let Ok(StateRecord::Seal(mut seal)) = changelog::decode(record.key, record.value)
    {
        if twist == Some(Twist::NoClockInSeal) {
            seal.clock = None;
            let mut value = Vec::new();
            seal.encode(&mut value);
            kept.value = Some(value.into());
        }
        producer.seals.insert(partition, seal);
    }
    producer.queue.push_back((Topic::Output(record.output), partition, kept));
    if is_eager {
        deliver_some(world, host);
    }
    Ok(())
}

pub fn flush(world: &mut World, host: usize) -> Attempt {
    if let Err(error) = open_transaction(world, host) {
        return failed(error);
    }
    if world.fails() {
        match world.rng.u8(..4) {
            0 => {
                deliver_some(world, host);
                world.hosts[host].producer.must_abort = true;
                return failed(abortable("a record was not delivered"));
            }
            1 => {
                deliver_some(world, host);
                return failed(give_up(world, host, false));
            }
            _ => return ControlFlow::Continue(Duration::from_millis(world.rng.u64(1..5_000))),
        }
    }
    if world.twist == Some(Twist::EndBeforeBarrier) {
        // The commit flushes too; then the offsets are there before the records.
        return DONE;
    }
    match deliver(world, host, usize::MAX) {
        Ok(()) => DONE,
        Err(refusal) => refused(world, host, refusal),
    }
}

pub fn send_offsets(
    world: &mut World,
    host: usize,
    offsets: &[NextOffset<'_>],
    membership: &Membership,
) -> Attempt {
    if let Err(error) = open_transaction(world, host) {
        return failed(error);
    }
    if world.twist == Some(Twist::SkipOffsets) {
        return DONE;
    }
    if world.fails() {
        match world.rng.u8(..4) {
            0 => {
                world.hosts[host].producer.must_abort = true;
                return failed(abortable("the coordinator moved"));
            }
            1 => return failed(give_up(world, host, false)),
            _ => return ControlFlow::Continue(Duration::from_millis(world.rng.u64(1..5_000))),
        }
    }
    let credentials = credentials_of(world, host);
    if let Err(refusal) = world.coordinator.touch(credentials, Place::GroupOffsets, world.now) {
        return refused(world, host, refusal);
    }
    let nobody = Membership { generation: -1, member: String::new() };
    let membership = if world.twist == Some(Twist::IgnoreGeneration) { &nobody } else { membership };
    let moved_only = world.twist == Some(Twist::OffsetsOfTouchedInputs);
    let committed: Vec<_> = offsets
        .iter()
        .filter(|next| {
            let before = world.group.committed(next.partition.0);
            let before = before[next.input].as_ref().map(|committed| committed.position);
            !moved_only || before != Some(next.position)
        })
        .map(|next| {
            let committed = Committed { position: next.position, metadata: next.metadata.to_owned() };
            (next.partition.0, next.input, committed)
        })
        .collect();
    let sent = world.group.add_offsets(credentials.id, membership, committed.into_iter());
    let producer = &mut world.hosts[host].producer;
    if sent.is_err() {
        producer.must_abort = true;
        return failed(abortable("the group does not know this member in this generation"));
    }
    for next in offsets {
        let of_partition = producer.offsets.entry(next.partition.0).or_insert(PerInput([None; 3]));
        of_partition[next.input] = Some(next.position.0);
    }
    DONE
}

/// How a commit fails, if it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The request is not even sent yet.
    Slow,
    /// Decided, but the answer takes long.
    AnswerLate,
    /// The request was lost, and the producer with it.
    Lost,
    /// The request is under way, whatever became of the producer.
    UnderWay,
    /// Committed, and reported as failed.
    FailedThoughCommitted,
    FencedThoughCommitted,
    AbortableThoughCommitted,
}

const FATES: [Fate; 7] = [
    Fate::Slow,
    Fate::AnswerLate,
    Fate::Lost,
    Fate::UnderWay,
    Fate::FailedThoughCommitted,
    Fate::FencedThoughCommitted,
    Fate::AbortableThoughCommitted,
];

pub fn commit(world: &mut World, host: usize) -> Attempt {
    if let Err(error) = open_transaction(world, host) {
        return failed(error);
    }
    if world.hosts[host].producer.end_answer.is_some() {
        close_transaction(&mut world.hosts[host].producer);
        return DONE;
    }
    let credentials = credentials_of(world, host);
    if let Err(refusal) = deliver(world, host, usize::MAX) {
        return refused(world, host, refusal);
    }
    world.hosts[host].collect_notes();
    let seals = world.hosts[host].producer.seals.clone();
    let parts =
        seals.into_iter().map(|(partition, seal)| world.hosts[host].prepare(partition, seal)).collect();
    world.prepared.insert(credentials.id, Prepared { host, parts });
    let scripted = world.commit_fates.pop_front();
    let fate = scripted.or_else(|| world.fails().then(|| FATES[world.rng.usize(..FATES.len())]));
    match fate {
        Some(Fate::Slow) => return ControlFlow::Continue(Duration::from_millis(world.rng.u64(1..6_000))),
        Some(Fate::Lost) => return failed(give_up(world, host, false)),
        Some(Fate::UnderWay) => {
            world.end_transaction_later(credentials, true);
            return failed(give_up(world, host, false));
        }
        Some(_) | None => {}
    }
    if let Err(refusal) = world.end_transaction(credentials, true) {
        return refused(world, host, refusal);
    }
    match fate {
        Some(Fate::AnswerLate) => {
            world.hosts[host].producer.end_answer = Some(true);
            ControlFlow::Continue(Duration::from_millis(world.rng.u64(1..6_000)))
        }
        Some(Fate::FailedThoughCommitted) => failed(give_up(world, host, false)),
        Some(Fate::FencedThoughCommitted) => failed(give_up(world, host, true)),
        Some(Fate::AbortableThoughCommitted) => {
            give_up(world, host, false);
            failed(abortable("the commit was refused"))
        }
        Some(Fate::Slow | Fate::Lost | Fate::UnderWay) | None => {
            close_transaction(&mut world.hosts[host].producer);
            DONE
        }
    }
}

pub fn abort(world: &mut World, host: usize) -> Attempt {
    let producer = &mut world.hosts[host].producer;
    let Some(credentials) = producer.credentials else {
        return failed(unusable(producer.is_fenced));
    };
    // What was not delivered is purged.
    producer.queue.clear();
    if world.fails() {
        match world.rng.u8(..3) {
            0 => return failed(give_up(world, host, false)),
            1 => {
                world.end_transaction_later(credentials, false);
                return failed(give_up(world, host, false));
            }
            _ => return ControlFlow::Continue(Duration::from_millis(world.rng.u64(1..5_000))),
        }
    }
    match world.end_transaction(credentials, false) {
        // Nothing had reached the coordinator: there is nothing to abort.
        Ok(()) | Err(Refusal::Invalid) => {
            close_transaction(&mut world.hosts[host].producer);
            DONE
        }
        Err(refusal @ (Refusal::Fenced | Refusal::Concurrent)) => refused(world, host, refusal),
    }
}

/// The process ends, or the producer is dropped: some of what it had sent still arrives.
pub fn deliver_some(world: &mut World, host: usize) {
    let waiting = world.hosts[host].producer.queue.len();
    let count = world.rng.usize(0..=waiting);
    // The next call, if there is one, reports a refusal.
    let _ = deliver(world, host, count);
}

fn deliver(world: &mut World, host: usize, count: usize) -> Result<(), Refusal> {
    for _ in 0..count {
        let producer = &mut world.hosts[host].producer;
        let Some(credentials) = producer.credentials else { return Ok(()) };
        let Some((topic, partition, record)) = producer.queue.pop_front() else { return Ok(()) };
        let place = Place::Log(topic, Partition(partition));
        if let Err(refusal) = world.coordinator.touch(credentials, place, world.now) {
            world.hosts[host].producer.queue.push_front((topic, partition, record));
            return Err(refusal);
        }
        world.append(topic, partition, record, Some(credentials.id));
    }
    Ok(())
}

fn refused(world: &mut World, host: usize, refusal: Refusal) -> Attempt {
    match refusal {
        Refusal::Concurrent => ControlFlow::Continue(ASK_AGAIN),
        Refusal::Fenced | Refusal::Invalid => failed(give_up(world, host, refusal == Refusal::Fenced)),
    }
}

pub fn give_up(world: &mut World, host: usize, is_fenced: bool) -> BrokerError {
    let producer = &mut world.hosts[host].producer;
    *producer = Producer { is_fenced, ..Producer::default() };
    unusable(is_fenced)
}

fn close_transaction(producer: &mut Producer) {
    *producer = Producer { credentials: producer.credentials, ..Producer::default() };
}

fn credentials_of(world: &World, host: usize) -> Credentials {
    world.hosts[host].producer.credentials.expect("checked before")
}

fn usable(world: &mut World, host: usize) -> Result<&mut Producer, BrokerError> {
    let producer = &mut world.hosts[host].producer;
    if producer.credentials.is_none() { Err(unusable(producer.is_fenced)) } else { Ok(producer) }
}

fn open_transaction(world: &mut World, host: usize) -> Result<&mut Producer, BrokerError> {
    let producer = usable(world, host)?;
    if producer.must_abort {
        return Err(abortable("the transaction has failed"));
    }
    assert!(producer.is_open, "no transaction is open");
    Ok(producer)
}
