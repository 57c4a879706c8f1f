//! Small scenarios of the protocol that run on the simulated broker and on a real Kafka, and must see the same on both.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use retention_signals::stream::broker::{
    Broker, BrokerError, GroupEvent, Lookup, NextOffset, OutputRecord, Position, RecordBatch, Session,
    Stability, Unknown, Watermark,
};
use retention_signals::topic::{Input, Output, Partition, Topic};

const P0: Partition = Partition(0);
const CHANGELOG: Topic = Topic::Output(Output::Changelog);
/// A call that is not to block.
const SHORT: Duration = Duration::from_millis(400);
const TURN: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(40);

/// Topics of a shop with two partitions, real or not, that no other test uses.
pub trait Ground {
    type Port: Broker;

    /// A slot of one process; the same number again is another process that uses the same transactional id.
    fn open(&mut self, slot: usize) -> Result<Self::Port>;
}

/// One scenario, by name.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        /// The names of all scenarios.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        /// Runs a scenario.
        pub fn run<G: Ground>(name: &str, ground: &mut G) -> Result<()> {
            match name {
                $(stringify!($name) => $name(ground),)+
                _ => bail!("no such scenario"),
            }
        }
    };
}

scenarios!(
    records_are_seen_once_they_are_committed,
    aborted_records_are_passed_over,
    the_older_of_two_producers_is_fenced,
    offsets_of_a_former_generation_are_refused,
    stable_offsets_wait_for_the_transaction,
    an_open_transaction_is_ended_by_its_id,
    partitions_move_from_member_to_member,
    an_open_transaction_does_not_outlive_its_timeout,
);

fn records_are_seen_once_they_are_committed(ground: &mut impl Ground) -> Result<()> {
    let mut broker = sole_member(ground)?;
    begin(&mut broker, "one")?;
    ensure!(edges(&mut broker)? == (0, 1), "an open record counts for the high watermark only");
    ensure!(changelog(&mut broker, 1)?.0.is_empty(), "an open record is not read");
    commit(&mut broker, [3, 2, 1], "t 1")?;
    await_edges(&mut broker, (2, 2))?;
    begin(&mut broker, "two")?;
    commit(&mut broker, [4, 2, 1], "t 2")?;
    await_edges(&mut broker, (4, 4))?;
    let (found, end) = changelog(&mut broker, 4)?;
    ensure!(
        found == [(0, "one".to_owned()), (2, "two".to_owned())],
        "control records take offsets: {found:?}"
    );
    ensure!(end == 4, "the position passes the last control record: {end}");
    broker.close(SHORT);
    Ok(())
}

fn aborted_records_are_passed_over(ground: &mut impl Ground) -> Result<()> {
    let mut broker = sole_member(ground)?;
    begin(&mut broker, "gone")?;
    until_done(&mut broker, |broker| broker.abort(SHORT))?;
    await_edges(&mut broker, (2, 2))?;
    let (found, end) = changelog(&mut broker, 2)?;
    ensure!(found.is_empty() && end == 2, "{found:?} up to {end}");
    let offsets = committed(&mut broker, Stability::Stable)?;
    ensure!(offsets.is_none(), "nothing was committed: {offsets:?}");
    broker.close(SHORT);
    Ok(())
}

fn the_older_of_two_producers_is_fenced(ground: &mut impl Ground) -> Result<()> {
    let mut older = sole_member(ground)?;
    begin(&mut older, "zombie")?;
    let mut newer = ground.open(0)?;
    until_done(&mut newer, |broker| broker.open_producer(SHORT))?;
    await_edges(&mut newer, (2, 2))?;
    let result = until_answered(&mut older, |broker| {
        let membership = broker.membership()?;
        broker.send_offsets(&next([1, 0, 0], "t 1"), &membership, SHORT)?;
        broker.commit(SHORT)
    });
    ensure!(
        matches!(result, Err(BrokerError::OutcomeUnknown(Unknown::Fenced, _))),
        "the older one is fenced: {result:?}"
    );
    ensure!(changelog(&mut newer, 2)?.0.is_empty(), "what it wrote is aborted");
    older.close(SHORT);
    newer.close(SHORT);
    Ok(())
}

fn offsets_of_a_former_generation_are_refused(ground: &mut impl Ground) -> Result<()> {
    let mut first = sole_member(ground)?;
    let former = first.membership()?;
    let mut second = ground.open(1)?;
    second.subscribe()?;
    share(&mut first, &mut second)?;
    ensure!(first.membership()? != former, "another generation");
    begin(&mut first, "late")?;
    let result =
        until_answered(&mut first, |broker| broker.send_offsets(&next([1, 0, 0], "t 1"), &former, SHORT));
    ensure!(matches!(result, Err(BrokerError::AbortTransaction(_))), "{result:?}");
    until_done(&mut first, |broker| broker.abort(SHORT))?;
    ensure!(committed(&mut first, Stability::Stable)?.is_none(), "nothing was committed");
    first.close(SHORT);
    second.close(SHORT);
    Ok(())
}

fn stable_offsets_wait_for_the_transaction(ground: &mut impl Ground) -> Result<()> {
    let mut broker = sole_member(ground)?;
    begin(&mut broker, "one")?;
    commit(&mut broker, [1, 0, 0], "t 1")?;
    ensure!(committed(&mut broker, Stability::Stable)? == Some((1, "t 1".to_owned())), "the first batch");
    begin(&mut broker, "two")?;
    send_offsets(&mut broker, [2, 0, 0], "t 2")?;
    let blocked = broker.lookup().committed(&[P0], Stability::Stable, SHORT);
    ensure!(matches!(blocked, Err(BrokerError::Retry(_))), "{blocked:?}");
    ensure!(
        committed(&mut broker, Stability::Unstable)? == Some((1, "t 1".to_owned())),
        "the last committed"
    );
    until_done(&mut broker, |broker| broker.commit(SHORT))?;
    ensure!(committed(&mut broker, Stability::Stable)? == Some((2, "t 2".to_owned())), "the second batch");
    broker.close(SHORT);
    Ok(())
}

fn an_open_transaction_is_ended_by_its_id(ground: &mut impl Ground) -> Result<()> {
    let mut owner = sole_member(ground)?;
    begin(&mut owner, "open")?;
    send_offsets(&mut owner, [2, 0, 0], "t 1")?;
    let id = owner.transactional_id().to_owned();
    let mut other = ground.open(1)?;
    until_done(&mut other, |broker| broker.lookup().end_transaction_of(&id, SHORT))?;
    await_edges(&mut other, (2, 2))?;
    ensure!(committed(&mut other, Stability::Stable)?.is_none(), "its offsets are gone");
    let result = until_answered(&mut owner, |broker| broker.commit(SHORT));
    ensure!(matches!(result, Err(BrokerError::OutcomeUnknown(Unknown::Fenced, _))), "{result:?}");
    owner.close(SHORT);
    other.close(SHORT);
    Ok(())
}

fn partitions_move_from_member_to_member(ground: &mut impl Ground) -> Result<()> {
    let mut first = sole_member(ground)?;
    let mut second = ground.open(1)?;
    second.subscribe()?;
    let kept = share(&mut first, &mut second)?;
    ensure!(kept.len() == 1, "one of two partitions stays: {kept:?}");
    second.close(PATIENCE);
    let mut events = Vec::new();
    let mut owned = kept.clone();
    wait_until(&mut first, |broker| {
        if let Some(event) = broker.poll()? {
            answer(broker, &event, &mut owned)?;
            events.push(event);
        }
        Ok(owned.len() == 2)
    })?;
    let is_moved = |event: &GroupEvent| matches!(event, GroupEvent::Revoked(_) | GroupEvent::Lost(_));
    ensure!(!events.iter().any(is_moved), "what is kept is not revoked: {events:?}");
    first.close(SHORT);
    Ok(())
}

fn an_open_transaction_does_not_outlive_its_timeout(ground: &mut impl Ground) -> Result<()> {
    let mut broker = sole_member(ground)?;
    begin(&mut broker, "slow")?;
    send_offsets(&mut broker, [1, 0, 0], "t 1")?;
    wait_until(&mut broker, |broker| {
        broker.poll()?;
        Ok(edges(broker)? == (2, 2))
    })?;
    let result = until_answered(&mut broker, |broker| broker.commit(SHORT));
    ensure!(
        matches!(result, Err(BrokerError::OutcomeUnknown(Unknown::Fenced, _))),
        "fenced without a rival: {result:?}"
    );
    until_done(&mut broker, |broker| broker.open_producer(SHORT))?;
    ensure!(committed(&mut broker, Stability::Stable)?.is_none(), "it was aborted");
    broker.close(SHORT);
    Ok(())
}

// === Steps

/// A member that owns both partitions and has a producer.
fn sole_member<G: Ground>(ground: &mut G) -> Result<G::Port> {
    let mut broker = ground.open(0)?;
    until_done(&mut broker, |broker| broker.open_producer(SHORT))?;
    broker.subscribe()?;
    let mut owned = Vec::new();
    wait_until(&mut broker, |broker| {
        if let Some(event) = broker.poll()? {
            answer(broker, &event, &mut owned)?;
        }
        Ok(owned.len() == 2)
    })?;
    Ok(broker)
}

/// Lets a second member come until each has its share; what the first one keeps.
fn share<B: Broker>(first: &mut B, second: &mut B) -> Result<Vec<Partition>> {
    let (mut of_first, mut of_second) = (vec![P0, Partition(1)], Vec::new());
    wait_until(first, |first| {
        if let Some(event) = first.poll()? {
            answer(first, &event, &mut of_first)?;
        }
        if let Some(event) = second.poll()? {
            answer(second, &event, &mut of_second)?;
        }
        let is_owned_twice = of_first.iter().any(|partition| of_second.contains(partition));
        ensure!(!is_owned_twice, "{of_first:?} and {of_second:?}");
        second.wait(TURN);
        Ok(of_first.len() == 1 && of_second.len() == 1)
    })?;
    // The last round of the rebalance may still be under way.
    for _ in 0..40 {
        for (broker, owned) in [(&mut *first, &mut of_first), (&mut *second, &mut of_second)] {
            if let Some(event) = broker.poll()? {
                answer(broker, &event, owned)?;
            }
            broker.wait(TURN);
        }
    }
    Ok(of_first)
}

fn answer<B: Broker>(broker: &mut B, event: &GroupEvent, owned: &mut Vec<Partition>) -> Result<()> {
    match event {
        GroupEvent::Assigned(partitions) => {
            broker.assign(partitions)?;
            owned.extend(partitions);
        }
        GroupEvent::Revoked(partitions) | GroupEvent::Lost(partitions) => {
            broker.unassign(partitions)?;
            owned.retain(|partition| !partitions.contains(partition));
        }
    }
    Ok(())
}

/// Writes a record in a transaction, and has it acknowledged.
fn begin<B: Broker>(broker: &mut B, value: &str) -> Result<()> {
    broker.poll()?;
    broker.begin()?;
    let record = OutputRecord {
        output: Output::Changelog,
        partition: Some(P0),
        key: Some(value.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
    };
    broker.send(&record)?;
    until_done(broker, |broker| broker.flush(SHORT))
}

fn send_offsets<B: Broker>(broker: &mut B, positions: [u64; 3], metadata: &str) -> Result<()> {
    let membership = broker.membership()?;
    until_done(broker, |broker| broker.send_offsets(&next(positions, metadata), &membership, SHORT))
}

fn commit<B: Broker>(broker: &mut B, positions: [u64; 3], metadata: &str) -> Result<()> {
    send_offsets(broker, positions, metadata)?;
    until_done(broker, |broker| broker.commit(SHORT))
}

fn next(positions: [u64; 3], metadata: &str) -> Vec<NextOffset<'_>> {
    let next =
        |input| NextOffset { input, partition: P0, position: Position(positions[input as usize]), metadata };
    Input::ALL.map(next).to_vec()
}

/// Last stable offset and high watermark of the changelog.
fn edges<B: Broker>(broker: &mut B) -> Result<(u64, u64)> {
    let mut found = [0; 2];
    for (found, edge) in found.iter_mut().zip([Watermark::Stable, Watermark::High]) {
        *found =
            until_done(broker, |broker| broker.lookup().watermarks(edge, &[(CHANGELOG, P0)], SHORT))?[0].0;
    }
    Ok((found[0], found[1]))
}

/// Markers arrive a little after their decision.
fn await_edges<B: Broker>(broker: &mut B, expected: (u64, u64)) -> Result<()> {
    wait_until(broker, |broker| Ok(edges(broker)? == expected))
}

/// What a reader of the changelog sees, up to an end or as far as it gets.
fn changelog<B: Broker>(broker: &mut B, end: u64) -> Result<(Vec<(u64, String)>, u64)> {
    let (mut found, mut position, mut idle) = (Vec::new(), Position(0), 0);
    while position.0 < end && idle < 3 {
        let (batch, next) = until_done(broker, |broker| {
            broker.lookup().read_log(Topic::Output(Output::Changelog), P0, position, SHORT)
        })?;
        idle = if next == position { idle + 1 } else { 0 };
        position = next;
        for index in 0..batch.len() {
            let record = batch.get(index);
            let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            found.push((record.offset.0, value));
        }
    }
    Ok((found, position.0))
}

/// The group's offset of partition 0 of `orders`, with its text.
fn committed<B: Broker>(broker: &mut B, stability: Stability) -> Result<Option<(u64, String)>> {
    let found = until_done(broker, |broker| broker.lookup().committed(&[P0], stability, SHORT))?;
    let orders = found[0][Input::Orders].clone();
    Ok(orders.map(|committed| (committed.position.0, committed.metadata)))
}

fn wait_until<B: Broker>(broker: &mut B, mut is_so: impl FnMut(&mut B) -> Result<bool>) -> Result<()> {
    let begin = broker.now();
    while broker.now().since(begin) < PATIENCE {
        if is_so(broker)? {
            return Ok(());
        }
        broker.wait(TURN);
    }
    bail!("not so within {PATIENCE:?}")
}

/// Makes the same call until it is done, as the port asks.
fn until_done<B: Broker, T>(broker: &mut B, call: impl FnMut(&mut B) -> Result<T, BrokerError>) -> Result<T> {
    Ok(until_answered(broker, call)?)
}

fn until_answered<B: Broker, T>(
    broker: &mut B,
    mut call: impl FnMut(&mut B) -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    let begin = broker.now();
    loop {
        match call(broker) {
            Err(BrokerError::Retry(_)) if broker.now().since(begin) < PATIENCE => {}
            answer => return answer,
        }
    }
}
