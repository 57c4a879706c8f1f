//! The registry in simulation: read to its end before any record is applied, followed afterwards, and never waited for again.

use std::time::Duration;

use fastrand::Rng;
use retention_signals::topic::{Input, Topic};

use super::log::{Edge, Record};
use super::runs::quietly;
use super::scenarios::{P0, append, committed, ensure, until, world};
use super::schedule::Schedule;
use super::stage::Stage;
use super::worker::Stacks;
use super::world::World;

/// A record of the trial kind, or its deletion.
fn publish(world: &mut World, version: u64, value: Option<&str>) {
    let record = Record {
        key: Some(format!("trial/*/{version}").into_bytes().into()),
        value: value.map(|value| value.as_bytes().into()),
        timestamp_ms: world.wall_ms(),
        headers: Vec::new(),
    };
    world.append(Topic::Registry, 0, record, None);
}

/// Plays a script with one worker on a registry that holds versions 1 to 100, compacted, of which 50 was deleted.
fn play(script: fn(&mut Schedule<'_>) -> Result<(), String>) -> Result<(), String> {
    let (stage, mut stacks) = (Stage::new(), Stacks::default());
    let mut world = world(20);
    world.has_registry = true;
    for version in (1..=100).chain(1..=100) {
        publish(&mut world, version, Some("{}"));
    }
    publish(&mut world, 50, None);
    let log = world.log_mut(Topic::Registry, 0);
    let end = log.edge(Edge::High);
    log.compact(end, Duration::ZERO, Duration::from_secs(3_600));
    quietly(|| {
        let mut schedule = Schedule::new(&stage, &mut stacks, 0, world, Rng::with_seed(1));
        let result = script(&mut schedule).and_then(|()| schedule.run().map(drop));
        schedule.end();
        result
    })
}

fn has_read(world: &World, version: Option<u64>) -> bool {
    world.hosts.last().is_some_and(|host| host.registry_version == Some(version))
}

/// Partitions are not processed before the registry was read to its end, however long that takes.
pub fn registry_before_the_first_record() -> Result<(), String> {
    play(|schedule| {
        schedule.world.borrow_mut().is_registry_out = true;
        schedule.start(0);
        until(schedule, "five seconds", |world| world.now > Duration::from_secs(5))?;
        ensure(committed(&schedule.world.borrow()) == 0, "a worker without the registry has committed")?;
        schedule.world.borrow_mut().is_registry_out = false;
        until(schedule, "a first commit", |world| committed(world) >= 1)?;
        let world = schedule.world.borrow();
        ensure(has_read(&world, Some(100)), "the registry was not read to its end")?;
        ensure(
            !world.hosts[0].has_applied_without_registry,
            "a record was applied before the registry was read",
        )
    })
}

/// New versions and deletions are seen while the worker runs; an outage of the registry holds nothing up.
pub fn registry_while_running() -> Result<(), String> {
    play(|schedule| {
        schedule.start(0);
        until(schedule, "a first commit", |world| committed(world) >= 1)?;
        publish(&mut schedule.world.borrow_mut(), 101, Some("{}"));
        until(schedule, "version 101", |world| has_read(world, Some(101)))?;
        schedule.world.borrow_mut().is_registry_out = true;
        publish(&mut schedule.world.borrow_mut(), 102, Some("{}"));
        append(schedule, 20..30);
        until(schedule, "the records of an outage", |world| world.history.next_of(P0, Input::Orders) == 30)?;
        ensure(has_read(&schedule.world.borrow(), Some(101)), "read during an outage")?;
        schedule.world.borrow_mut().is_registry_out = false;
        until(schedule, "version 102", |world| has_read(world, Some(102)))?;
        for version in 51..=102 {
            publish(&mut schedule.world.borrow_mut(), version, None);
        }
        until(schedule, "version 49, as 50 was deleted before", |world| has_read(world, Some(49)))?;
        // The next process begins with what compaction has left.
        schedule.crash(0);
        schedule.start(1);
        append(schedule, 30..35);
        until(schedule, "a commit of the next process", |world| {
            world.history.next_of(P0, Input::Orders) == 35
        })?;
        ensure(has_read(&schedule.world.borrow(), Some(49)), "the next process has read another registry")
    })
}
