//! The limit on dead letters: everything before the record that would cross it is committed, at each start, and it can be passed.

use std::time::Duration;

use fastrand::Rng;
use retention_signals::config::DeadLetterLimit;
use retention_signals::domain::values::number::Decimal;
use retention_signals::topic::{Input, Output, Topic};

use super::log::{ProducerId, Record};
use super::runs::quietly;
use super::scenarios::{P0, append, ensure, until, world};
use super::schedule::Schedule;
use super::shop::{Arrival, Meaning};
use super::stage::Stage;
use super::worker::Stacks;
use super::world::World;

/// Eight orders, then forty records of no use.
pub fn the_limit_on_dead_letters() -> Result<(), String> {
    let (stage, mut stacks) = (Stage::new(), Stacks::default());
    quietly(|| {
        let mut schedule = Schedule::new(&stage, &mut stacks, 0, world(8), Rng::with_seed(1));
        // Of ten records three may be refused.
        let share_max = Decimal::new(3, 1).expect("one digit");
        schedule.dead_letter_limit = Some(DeadLetterLimit { share_max, window: 10 });
        append_poison(&schedule, 40);
        schedule.start(0);
        let result = stop_twice_and_pass(&mut schedule).and_then(|()| schedule.run().map(drop));
        let stops = schedule.limit_stops.len();
        schedule.end();
        result?;
        ensure(stops == 3, &format!("{stops} stops"))
    })
}

fn stop_twice_and_pass(schedule: &mut Schedule<'_>) -> Result<(), String> {
    until_stops(schedule, 1)?;
    let next = schedule.world.borrow().history.next_of(P0, Input::Orders);
    ensure(next == 11, &format!("committed up to {next}, not 11"))?;
    let first = schedule.limit_stops[0].clone();
    let expected =
        "3 of the last 10 records of partition 0 were refused (malformed_json 3, offsets 8 to 10 of ";
    ensure(first.contains(expected) && first.contains("the record at offset 11 of "), &first)?;
    until_stops(schedule, 2)?;
    let second = schedule.limit_stops[1].clone();
    let expected = "3 of the last 10 records of partition 0 were refused (3 before the last start)";
    ensure(second.contains(expected) && second.contains("the record at offset 11 of "), &second)?;
    // Markers of the first one's transaction arrive a little later.
    until(schedule, "the dead letters before the limit", |world| committed_letters(world) >= 3)?;
    ensure(committed_letters(&schedule.world.borrow()) == 3, "the next start adds none")?;
    // Passed without a record, so that there is nothing to commit before the third stop.
    append_aborted(schedule);
    until_stops(schedule, 3)?;
    ensure(
        schedule.dead_letters_accepted_before_ms.is_some(),
        "it stops at the same record with the same words",
    )?;
    // Mended meanwhile.
    append(schedule, 8..20);
    Ok(())
}

fn until_stops(schedule: &mut Schedule<'_>, stops: usize) -> Result<(), String> {
    for _ in 0..50_000 {
        if schedule.limit_stops.len() == stops {
            return Ok(());
        }
        schedule.step()?;
    }
    Err(format!("never came: stop {stops}"))
}

fn committed_letters(world: &World) -> usize {
    let letters = world.log(Topic::Output(Output::DeadLetters), 0);
    letters.entries().iter().filter(|entry| entry.is_visible()).count()
}

/// A return in a transaction of the shop's that is aborted.
fn append_aborted(schedule: &Schedule<'_>) {
    let mut world = schedule.world.borrow_mut();
    let (writer, partition, now) = (ProducerId(1_000_000), 0, world.now);
    let record = Record { key: Some(b"c0"[..].into()), value: None, timestamp_ms: 0, headers: Vec::new() };
    let meaning = Meaning::Refused("null_value");
    let input = Input::Returns;
    let returned = Arrival::Record { input, partition, record, meaning, writer: Some(writer) };
    world.shop.push(now, returned);
    world.shop.push(now, Arrival::End { input, partition, writer, is_commit: false });
}

fn append_poison(schedule: &Schedule<'_>, count: usize) {
    let mut world = schedule.world.borrow_mut();
    for _ in 0..count {
        let record = Record {
            key: Some(b"c0"[..].into()),
            value: Some(b"{\"order_id\":"[..].into()),
            timestamp_ms: 0,
            headers: Vec::new(),
        };
        let meaning = Meaning::Refused("malformed_json");
        let arrival = Arrival::Record { input: Input::Orders, partition: 0, record, meaning, writer: None };
        world.shop.push(Duration::ZERO, arrival);
    }
}
