//! Scenarios of snapshots, each with the rule broken that it is about: then it must fail.

use std::time::Duration;

use fastrand::Rng;
use retention_signals::fault::Mutation;
use retention_signals::topic::{Input, Output, Topic};
use serde_json::json;

use super::disks::Habits;
use super::host::Outcome;
use super::log::Edge;
use super::mutation::Twist;
use super::runs::quietly;
use super::scenarios::{HOUR_MS, P0, append, changelog, committed, ensure, until, world};
use super::schedule::Schedule;
use super::shop::START_MS;
use super::stage::Stage;
use super::worker::Stacks;
use super::world::{TOMBSTONE_RETENTION, World};

/// Two days and a quarter without an order, and a customer has lapsed.
const SETUP: usize = 2;

type Script = fn(&mut Schedule<'_>) -> Result<(), String>;

fn play(habits: Habits, mutation: Option<Mutation>, script: Script) -> Result<Outcome, String> {
    let (stage, mut stacks) = (Stage::new(), Stacks::default());
    quietly(|| {
        let mut schedule = Schedule::new(&stage, &mut stacks, SETUP, world(20), Rng::with_seed(1));
        schedule.keep_snapshots(habits);
        schedule.twist(mutation.map(Twist::Worker));
        schedule.start(0);
        let result = script(&mut schedule).and_then(|()| schedule.run());
        schedule.end();
        result
    })
}

/// The script ends well, with a snapshot discarded for that reason; and it does not if the rule is broken.
fn is_discarded(reason: &str, rule: Option<Mutation>, script: Script) -> Result<(), String> {
    let outcome = play(Habits::EAGER, None, script)?;
    ensure(outcome.snapshots.discarded.contains_key(reason), &format!("not discarded: {outcome:?}"))?;
    match rule.map(|rule| play(Habits::EAGER, Some(rule), script)) {
        Some(Ok(_)) => Err("with the rule broken nothing is seen either".to_owned()),
        Some(Err(_)) | None => Ok(()),
    }
}

/// Everything is applied and decided, and the instance keeps a snapshot of it.
fn rest(schedule: &mut Schedule<'_>, instance: usize, orders: u64) -> Result<(), String> {
    until(schedule, "the end of the inputs", |world| {
        world.history.next_of(P0, Input::Orders) == orders && world.is_settled()
    })?;
    for _ in 0..200 {
        schedule.step()?;
    }
    until(schedule, "rest", World::is_settled)?;
    let disks = schedule.disks.as_ref().ok_or("snapshots are kept")?;
    ensure(disks.has_snapshot(instance, 0), "no snapshot")
}

/// Erased, and its tombstone gone: an older snapshot does not bring the customer back.
pub fn checkpoint_older_than_the_tombstones() -> Result<(), String> {
    is_discarded("stale", Some(Mutation::UseStaleSnapshot), |schedule| {
        rest(schedule, 0, 20)?;
        schedule.crash(0);
        schedule.start(1);
        {
            let mut world = schedule.world.borrow_mut();
            let value = json!({"customer_id": "c1", "requested_at": START_MS + 30 * HOUR_MS});
            let erasure = world.shop.record(Input::Erasures, value);
            let now = world.now;
            world.shop.push(now, erasure);
        }
        until(schedule, "the erasure", |world| {
            world.history.next_of(P0, Input::Erasures) == 1 && world.is_settled()
        })?;
        schedule.crash(1);
        {
            let mut world = schedule.world.borrow_mut();
            world.clean_changelogs();
            world.now += TOMBSTONE_RETENTION;
            world.clean_changelogs();
        }
        schedule.start(0);
        // Without c1: it would lapse by now.
        append(schedule, (99..120).step_by(3));
        Ok(())
    })
}

/// The brokers are set back to what they were, and hosts remember more.
pub fn snapshot_newer_than_the_log() -> Result<(), String> {
    is_discarded("newer than the log", None, |schedule| {
        rest(schedule, 0, 20)?;
        let backup = schedule.world.borrow().backup();
        append(schedule, 20..40);
        rest(schedule, 0, 40)?;
        schedule.crash(0);
        schedule.world.borrow_mut().set_back(backup);
        schedule.start(0);
        append(schedule, 40..50);
        Ok(())
    })
}

/// All topics are deleted and created again under the same names, and a host still has the state of the old ones.
pub fn topics_created_again_under_a_snapshot() -> Result<(), String> {
    is_discarded("foreign", Some(Mutation::UseForeignSnapshot), |schedule| {
        rest(schedule, 0, 20)?;
        let position = changelog(&schedule.world.borrow(), Edge::High);
        schedule.crash(0);
        schedule.world.borrow_mut().start_over();
        schedule.start(1);
        // Of c0 alone: the others are not known in this life.
        let mut orders = 0;
        while changelog(&schedule.world.borrow(), Edge::High) <= position {
            append(schedule, (60 + 3 * orders..63 + 3 * orders).step_by(3));
            orders += 1;
            let next = u64::try_from(orders).map_err(|error| error.to_string())?;
            until(schedule, "the order", |world| {
                world.history.next_of(P0, Input::Orders) == next && world.is_settled()
            })?;
        }
        schedule.crash(1);
        schedule.start(0);
        append(schedule, (300..330).step_by(3));
        Ok(())
    })
}

/// A batch was begun while slices were taken, and the partition is lost: what was not committed is in no slice.
pub fn lost_between_two_slices() -> Result<(), String> {
    let habits = Habits { block_bytes: 1, waiting_blocks_max: 1, diligence: 0, ..Habits::EAGER };
    let script: Script = |schedule| {
        until(schedule, "the first slice", |world| committed(world) >= 1)?;
        for _ in 0..50 {
            schedule.step()?;
        }
        append(schedule, 20..30);
        schedule.world.borrow_mut().chaos.switch = 255;
        until(schedule, "an open transaction", |world| {
            world.hosts[0].producer.is_open
                && world.log(Topic::Output(Output::Changelog), 0).edge(Edge::High) > 0
        })?;
        let now = schedule.world.borrow().now;
        schedule.world.borrow_mut().hosts[0].frozen_until = now + Duration::from_secs(20);
        let batches = committed(&schedule.world.borrow());
        schedule.start(1);
        until(schedule, "a commit of the successor", |world| committed(world) > batches)?;
        // Now there is room for the next slice.
        schedule.disks.as_mut().ok_or("snapshots are kept")?.write(0, 8);
        until(schedule, "the zombie's return", |world| world.hosts[0].frozen_until <= world.now)
    };
    play(habits, None, script)?;
    ensure(play(habits, Some(Mutation::SliceDroppedBatch), script).is_err(), "nobody sees the slice")
}

/// A worker stands still until its successor has written, and takes a snapshot before it notices: a position proves
/// nothing about a state until a commit shows that no other process wrote below it.
pub fn a_zombie_that_wants_a_snapshot() -> Result<(), String> {
    let habits = Habits { interval: Duration::from_secs(5), ..Habits::EAGER };
    let script: Script = |schedule| {
        until(schedule, "the end of the inputs", |world| {
            world.history.next_of(P0, Input::Orders) == 20 && world.is_settled()
        })?;
        {
            let mut world = schedule.world.borrow_mut();
            let until = world.now + Duration::from_secs(20);
            world.hosts[0].frozen_until = until;
            world.hosts[0].client.next_step_at = until + Duration::from_millis(300);
        }
        schedule.start(1);
        append(schedule, 20..30);
        until(schedule, "the successor's commits", |world| world.history.next_of(P0, Input::Orders) == 30)?;
        // The zombie's client has nothing at hand: what it applied would hold its snapshot up.
        schedule.world.borrow_mut().chaos.stingy = 255;
        until(schedule, "the zombie's return", |world| world.hosts[0].frozen_until <= world.now)?;
        let later = schedule.world.borrow().now + Duration::from_secs(1);
        until(schedule, "its next second", |world| world.now >= later && world.is_settled())?;
        schedule.world.borrow_mut().chaos.stingy = 0;
        // With one seal behind it, nothing speaks against a snapshot.
        append(schedule, 30..31);
        until(schedule, "one more commit", |world| world.history.next_of(P0, Input::Orders) == 31)?;
        schedule.crash(1);
        append(schedule, 31..40);
        Ok(())
    };
    play(habits, None, script)?;
    ensure(play(habits, Some(Mutation::SnapshotWithoutCommit), script).is_err(), "nobody sees the snapshot")
}
