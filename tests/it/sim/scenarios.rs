//! Schedules written by hand: one for each place in which engines that users trust have lost or doubled something.

use std::time::Duration;

use fastrand::Rng;
use retention_signals::fault;
use retention_signals::topic::{Input, Output, Topic};
use serde_json::json;

use super::log::{Edge, Record};
use super::mutation::Twist;
use super::producer::Fate;
use super::runs::quietly;
use super::schedule::Schedule;
use super::shop::{Arrival, Pace, START_MS, Shop};
use super::stage::Stage;
use super::worker::Stacks;
use super::world::{Chaos, World};

pub(super) const HOUR_MS: i64 = 3_600_000;
const STEPS_MAX: u32 = 50_000;
/// In so many a worker learns from the broker what became of its commit.
const NAMESAKE_STEPS: u32 = 40;

/// A shop in one partition whose orders have been written before the start; nothing fails by chance.
pub(super) fn world(orders: i64) -> World {
    let mut shop = Shop::empty(1, Pace::Live, 3);
    for number in 0..orders {
        let order = order(&shop, number);
        shop.push(Duration::ZERO, order);
    }
    let chaos = Chaos { switch: 0, fail: 0, slow: 0, faults_left: 0, laziness: 1, stingy: 0, fetch_max: 5 };
    World::new(Rng::with_seed(7), chaos, shop)
}

fn order(shop: &Shop, number: i64) -> Arrival {
    let customer = format!("c{}", number % 3);
    let value = json!({
        "order_id": format!("o{number}"), "customer_id": customer, "currency": "EUR", "total": "10.00",
        "placed_at": START_MS + number * HOUR_MS,
    });
    shop.record(Input::Orders, value)
}

/// More orders, from now on.
pub(super) fn append(schedule: &Schedule<'_>, numbers: impl Iterator<Item = i64>) {
    let mut world = schedule.world.borrow_mut();
    let now = world.now;
    for number in numbers {
        let order = order(&world.shop, number);
        world.shop.push(now, order);
    }
}

fn play(orders: i64, script: fn(&mut Schedule<'_>) -> Result<(), String>) -> Result<(), String> {
    let (stage, mut stacks) = (Stage::new(), Stacks::default());
    quietly(|| {
        let mut schedule = Schedule::new(&stage, &mut stacks, 0, world(orders), Rng::with_seed(1));
        schedule.start(0);
        let result = script(&mut schedule).and_then(|()| schedule.run().map(drop));
        schedule.end();
        result
    })
}

/// Lets things happen until something is so.
pub(super) fn until(
    schedule: &mut Schedule<'_>,
    what: &str,
    is_so: impl Fn(&World) -> bool,
) -> Result<(), String> {
    for _ in 0..STEPS_MAX {
        if is_so(&schedule.world.borrow()) {
            return Ok(());
        }
        schedule.step()?;
    }
    Err(format!("never came: {what}"))
}

pub(super) fn committed(world: &World) -> u64 {
    world.history.past(0).batch
}

pub(super) fn changelog(world: &World, edge: Edge) -> u64 {
    world.log(Topic::Output(Output::Changelog), 0).edge(edge)
}

pub(super) fn ensure(is_so: bool, what: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what.to_owned()) }
}

/// Below the last stable offset lies less than what was committed, as long as a crashed writer's transaction is open.
pub fn restore_behind_an_open_transaction() -> Result<(), String> {
    play(20, |schedule| {
        until(schedule, "a first commit", |world| committed(world) >= 1)?;
        append(schedule, 20..30);
        schedule.world.borrow_mut().chaos.switch = 255;
        until(schedule, "an open transaction in the changelog", |world| {
            changelog(world, Edge::Stable) < changelog(world, Edge::High) && world.hosts[0].producer.is_open
        })?;
        schedule.crash(0);
        schedule.start(1);
        until(schedule, "a restored successor", |world| committed(world) >= 2)
    })
}

/// The last offset of the changelog is a control record: a restore must not wait for a record there.
pub fn end_is_a_control_record() -> Result<(), String> {
    play(20, |schedule| {
        until(schedule, "the end of the inputs", |world| {
            committed(world) >= 1 && super::check::is_read_to_the_end(world) && world.is_settled()
        })?;
        {
            let world = schedule.world.borrow();
            let log = world.log(Topic::Output(Output::Changelog), 0);
            let last = log.entries().last().ok_or("the changelog is empty")?;
            ensure(!last.may_be_read(), "the last offset is a record")?;
        }
        schedule.crash(0);
        schedule.start(1);
        append(schedule, 20..25);
        until(schedule, "a commit after the restore", |world| world.history.next_of(P0, Input::Orders) == 25)
    })
}

/// A worker stands still inside of a restore until its successor has committed. What it reads then does not agree; but that is
/// no reason to end the service.
pub fn overtaken_inside_of_a_restore() -> Result<(), String> {
    play(20, |schedule| {
        until(schedule, "a first commit", |world| committed(world) >= 1)?;
        schedule.crash(0);
        schedule.start(1);
        until(schedule, "a restore", |world| world.hosts[1].tasks.iter().any(|task| task.steps == 1))?;
        let now = schedule.world.borrow().now;
        {
            let mut world = schedule.world.borrow_mut();
            world.hosts[1].frozen_until = now + Duration::from_secs(60);
            world.hosts[1].client.next_step_at = now + Duration::from_secs(62);
        }
        schedule.start(2);
        append(schedule, 20..30);
        until(schedule, "a commit of the successor", |world| world.history.next_of(P0, Input::Orders) == 30)
    })
}

/// What was deleted before it was read is missed loudly.
pub fn committed_offset_below_the_log_start() -> Result<(), String> {
    let result = play(20, |schedule| {
        until(schedule, "the end of the inputs", |world| world.history.next_of(P0, Input::Orders) == 20)?;
        schedule.crash(0);
        append(schedule, 20..30);
        until(schedule, "more orders", |world| {
            world.log(Topic::Input(Input::Orders), 0).edge(Edge::High) == 30
        })?;
        schedule.world.borrow_mut().log_mut(Topic::Input(Input::Orders), 0).truncate(25);
        schedule.start(0);
        Ok(())
    });
    expect_stop(result, "begins at 25")
}

/// A topic of the same name that is another one.
pub fn topic_created_again() -> Result<(), String> {
    let result = play(20, |schedule| {
        until(schedule, "the end of the inputs", |world| world.history.next_of(P0, Input::Orders) == 20)?;
        schedule.crash(0);
        schedule.world.borrow_mut().create_again(Topic::Input(Input::Orders), 0);
        schedule.start(0);
        Ok(())
    });
    expect_stop(result, "it was cut, or is another topic of the same name")
}

/// An operator sets the group back: no record is read twice unless a flag allows it.
pub fn operator_resets_the_group() -> Result<(), String> {
    let result = play(20, |schedule| {
        until(schedule, "the end of the inputs", |world| {
            world.history.next_of(P0, Input::Orders) == 20 && world.is_settled()
        })?;
        schedule.crash(0);
        schedule.world.borrow_mut().reset_offset(0, Input::Orders, 5);
        schedule.start(0);
        Ok(())
    });
    expect_stop(result, "the group was reset")
}

/// The coordinator has committed, and the worker gets an error.
pub fn failed_though_committed() -> Result<(), String> {
    play(20, |schedule| {
        for (round, fate) in (0..).zip([Fate::FailedThoughCommitted, Fate::AbortableThoughCommitted]) {
            schedule.fail_next_commits(&[fate]);
            append(schedule, 20 + 10 * round..30 + 10 * round);
            until(schedule, "the commit", |world| world.commit_fates.is_empty())?;
        }
        Ok(())
    })
}

/// The worker gets an error, and the commit has failed.
pub fn failed_and_not_committed() -> Result<(), String> {
    play(20, |schedule| {
        schedule.fail_next_commits(&[Fate::Lost, Fate::Lost]);
        until(schedule, "both commits", |world| world.commit_fates.is_empty())?;
        append(schedule, 20..40);
        Ok(())
    })
}

/// The request is still under way when the worker gets an error.
pub fn decided_after_it_was_said_to_have_failed() -> Result<(), String> {
    play(20, |schedule| {
        schedule.fail_next_commits(&[Fate::UnderWay]);
        until(schedule, "the commit", |world| world.commit_fates.is_empty())?;
        append(schedule, 20..40);
        Ok(())
    })
}

/// "Fenced" without any rival.
pub fn fenced_without_a_rival() -> Result<(), String> {
    play(20, |schedule| {
        schedule.fail_next_commits(&[Fate::FencedThoughCommitted]);
        until(schedule, "the commit", |world| world.commit_fates.is_empty())?;
        append(schedule, 20..40);
        Ok(())
    })
}

/// A worker stands still inside of a transaction until it has lost its partition and its successor has written; then it goes on.
pub fn stale_batch_after_a_rejoin() -> Result<(), String> {
    play(20, |schedule| {
        schedule.world.borrow_mut().chaos.switch = 255;
        until(schedule, "an open transaction", |world| world.hosts[0].producer.is_open)?;
        replace_while_frozen(schedule)
    })
}

/// The first worker stands still until it is replaced, its successor has written, and there is more to do; then it goes on.
fn replace_while_frozen(schedule: &mut Schedule<'_>) -> Result<(), String> {
    let now = schedule.world.borrow().now;
    schedule.world.borrow_mut().hosts[0].frozen_until = now + Duration::from_secs(40);
    schedule.start(1);
    until(schedule, "a commit of the successor", |world| committed(world) >= 1)?;
    append(schedule, 20..40);
    until(schedule, "the zombie's return", |world| world.hosts[0].frozen_until <= world.now)
}

/// Two processes have one name. The first stands still in a commit until the other one has the partition and has committed a batch of
/// the same number; it goes on before it hears of that, and must not take that batch for its own.
pub fn batch_of_a_namesake(seed: u64, twist: Option<Twist>) -> Result<(), String> {
    let (stage, mut stacks) = (Stage::new(), Stacks::default());
    quietly(|| {
        let mut schedule = Schedule::new(&stage, &mut stacks, 0, world(20), Rng::with_seed(seed));
        schedule.twist(twist);
        schedule.world.borrow_mut().rng = Rng::with_seed(seed);
        schedule.start(0);
        let result = replaced_by_a_namesake(&mut schedule).and_then(|()| schedule.run().map(drop));
        schedule.end();
        result
    })
}

fn replaced_by_a_namesake(schedule: &mut Schedule<'_>) -> Result<(), String> {
    {
        let chaos = &mut schedule.world.borrow_mut().chaos;
        // Fetches give more or less, so that the batches of the two differ.
        (chaos.switch, chaos.stingy) = (255, 128);
    }
    until(schedule, "an open transaction", |world| world.hosts[0].producer.is_open)?;
    let now = schedule.world.borrow().now;
    schedule.world.borrow_mut().hosts[0].frozen_until = now + Duration::from_secs(40);
    schedule.keeps_namesakes = true;
    schedule.start(0);
    until(schedule, "a commit of the namesake", |world| committed(world) >= 1)?;
    {
        let mut world = schedule.world.borrow_mut();
        // Its client's next heartbeat comes later, and no other process runs in between.
        let now = world.now;
        world.hosts[0].frozen_until = now;
        world.hosts[0].client.next_step_at = now + Duration::from_millis(200);
        world.chaos.switch = 0;
    }
    let epoch = |world: &World, host: usize| world.hosts[host].producer.credentials.map(|held| held.epoch);
    until(schedule, "the end of the first one's commit", |world| epoch(world, 0) > epoch(world, 1))?;
    for _ in 0..NAMESAKE_STEPS {
        schedule.step()?;
    }
    schedule.keeps_namesakes = false;
    append(schedule, 20..40);
    Ok(())
}

/// Signals that were flushed early are aborted, and emitted again after the restore.
pub fn aborted_after_an_early_flush() -> Result<(), String> {
    play(20, |schedule| {
        flushed_early(schedule)?;
        let is_state = |(topic, ..): &(Topic, u32, Record)| *topic == Topic::Output(Output::Changelog);
        until(schedule, "its commit", |world| world.hosts[0].producer.queue.iter().any(is_state))?;
        schedule.world.borrow_mut().hosts[0].producer.must_abort = true;
        until(schedule, "another restore", |world| !world.hosts[0].tasks.is_empty())?;
        ensure(committed(&schedule.world.borrow()) == 0, "a batch is committed without its flushed signals")?;
        append(schedule, 20..40);
        Ok(())
    })
}

/// A worker stands still with an open batch, some of it flushed early, until its partition has another owner.
pub fn lost_after_an_early_flush() -> Result<(), String> {
    play(20, |schedule| {
        flushed_early(schedule)?;
        replace_while_frozen(schedule)
    })
}

/// One transaction after the other outlives its timeout, since the process stands still, and its producer is fenced for that:
/// there is no rival, so the service goes on.
pub fn fenced_by_its_own_timeouts() -> Result<(), String> {
    play(20, |schedule| {
        schedule.world.borrow_mut().chaos.switch = 255;
        let epoch = |world: &World| world.hosts[0].producer.credentials.map_or(0, |producer| producer.epoch);
        for end in (20..=120).step_by(20) {
            until(schedule, "an open transaction", |world| world.coordinator.next_expiry().is_some())?;
            let epoch_before = epoch(&schedule.world.borrow());
            let expiry = schedule.world.borrow().coordinator.next_expiry().expect("one is open");
            schedule.world.borrow_mut().hosts[0].frozen_until = expiry + Duration::from_secs(1);
            // The broker raises it at the timeout, and again for who begins anew.
            until(schedule, "a fencing", |world| epoch(world) >= epoch_before + 2)?;
            until(schedule, "all orders", |world| world.history.next_of(P0, Input::Orders) == end)?;
            let end = i64::try_from(end).expect("few");
            append(schedule, end..end + 20);
        }
        Ok(())
    })
}

/// Until a worker has sent a signal in a transaction whose commit is not due.
fn flushed_early(schedule: &mut Schedule<'_>) -> Result<(), String> {
    fault::set_early_flush_bytes(Some(1));
    schedule.world.borrow_mut().chaos.switch = 255;
    until(schedule, "an early flush", |world| {
        let producer = &world.hosts[0].producer;
        producer.is_open && producer.seals.is_empty() && !producer.queue.is_empty()
    })
}

/// A predecessor's transaction is ended at once, not after its timeout.
pub fn open_transaction_of_the_predecessor() -> Result<(), String> {
    play(20, |schedule| {
        until(schedule, "a first commit", |world| committed(world) >= 1)?;
        append(schedule, 20..30);
        schedule.world.borrow_mut().chaos.switch = 255;
        until(schedule, "pending offsets of an open transaction", |world| {
            world.group.is_unstable(0) && world.coordinator.next_expiry().is_some()
        })?;
        let crashed_at = schedule.world.borrow().now;
        schedule.crash(0);
        schedule.start(1);
        until(schedule, "a commit of the successor", |world| world.history.next_of(P0, Input::Orders) == 30)?;
        let took = schedule.world.borrow().now - crashed_at;
        // The session's end, one second of waiting, and the hand-over.
        ensure(took < Duration::from_secs(14), &format!("it took {took:?}"))
    })
}

/// A record comes between the question for the ends and the move of the clock.
pub fn record_at_an_idle_end() -> Result<(), String> {
    let (stage, mut stacks) = (Stage::new(), Stacks::default());
    for seed in 0..40 {
        quietly(|| {
            let pace = Pace::Fast { factor: 1_000_000 };
            let mut shop = Shop::empty(1, pace, 3);
            for number in 0..40 {
                let due = Duration::from_millis(number * 97);
                let time = START_MS + i64::try_from(due.as_millis()).expect("short") * 1_000_000;
                let value = json!({
                    "order_id": format!("o{number}"), "customer_id": format!("c{}", number % 3), "currency": "EUR",
                    "total": "10.00", "placed_at": time,
                });
                let order = shop.record(Input::Orders, value);
                shop.push(due, order);
            }
            let chaos =
                Chaos { switch: 120, fail: 0, slow: 0, faults_left: 0, laziness: 2, stingy: 8, fetch_max: 1 };
            let world = World::new(Rng::with_seed(seed), chaos, shop);
            let mut schedule = Schedule::new(&stage, &mut stacks, 2, world, Rng::with_seed(seed));
            schedule.start(0);
            let result = schedule.run().map(drop);
            schedule.end();
            result
        })?;
    }
    Ok(())
}

/// Erased, compacted, and its tombstone gone: a restore does not bring the customer back.
pub fn erased_and_compacted() -> Result<(), String> {
    play(20, |schedule| {
        until(schedule, "the end of the inputs", |world| world.history.next_of(P0, Input::Orders) == 20)?;
        {
            let mut world = schedule.world.borrow_mut();
            let value = json!({"customer_id": "c1", "requested_at": START_MS + 30 * HOUR_MS});
            let erasure = world.shop.record(Input::Erasures, value);
            let now = world.now;
            world.shop.push(now, erasure);
        }
        until(schedule, "the erasure", |world| world.history.next_of(P0, Input::Erasures) == 1)?;
        for round in 0..2 {
            let mut world = schedule.world.borrow_mut();
            let (end, retention) = (changelog(&world, Edge::Stable), super::world::TOMBSTONE_RETENTION);
            let now = world.now + retention * round;
            world.log_mut(Topic::Output(Output::Changelog), 0).compact(end, now, retention);
        }
        schedule.crash(0);
        schedule.start(1);
        append(schedule, 33..40);
        Ok(())
    })
}

fn expect_stop(result: Result<(), String>, message: &str) -> Result<(), String> {
    match result {
        Err(violation) if violation.contains("a worker stopped") && violation.contains(message) => Ok(()),
        Err(violation) => Err(violation),
        Ok(()) => Err(format!("nobody stopped and said that {message}")),
    }
}

pub(super) const P0: retention_signals::topic::Partition = retention_signals::topic::Partition(0);
