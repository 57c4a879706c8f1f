//! An intake in front of the inputs: the shop writes to raw partitions, and a process moves what lies there to the inputs, one
//! transaction at a time. It stops, dies and starts again; its offsets and its records become visible at different times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::fault::Mutation;
use retention_signals::stream::broker::{Offset, Position, RawPartition, RawProgress, RawSearch};
use retention_signals::stream::rules::Rules;
use retention_signals::topic::{Input, Partition, Topic};
use retention_signals::wire::changelog::SealedRawEnd;

use super::history::{Item, PreparedPart};
use super::log::{Edge, Log, ProducerId, Record};
use super::mutation::Twist;
use super::runs::{Runner, quietly};
use super::schedule::Schedule;
use super::shop::{Arrival, Meaning, Pace, START_MS};
use super::world::World;

const RAW_TOPIC: &str = "raw";
/// Its producers, beside those of the service and of the shop.
const INTAKE_PRODUCERS: u32 = 2_000_000;
/// Seeds that every run tries, and then new ones for so long.
const FIXED: u64 = 300;
const BUDGET: Duration = Duration::from_secs(2);
/// A broken rule that so many schedules do not notice is not noticed.
const SEEDS_OF_MUTATION: u64 = 20_000;
const DAY_MS: i64 = 86_400_000;

const MUTATIONS: [(&str, Mutation); 3] = [
    ("move_the_clock_past_the_intake", Mutation::IgnoreIntake),
    ("forget_what_lies_in_the_raw_topics", Mutation::ForgetRawEnds),
    ("raw_ends_at_each_assignment", Mutation::TakeHistoryEndsAnew),
];

pub fn trials() -> Vec<Trial> {
    let mutations = MUTATIONS.map(|(name, mutation)| {
        Trial::test(format!("sim::intake::mutation::{name}"), move || is_noticed(Twist::Worker(mutation)))
    });
    let mut trials = vec![Trial::test("sim::intake::schedules", schedules)];
    trials.extend(mutations);
    trials
}

/// See the module.
pub struct Intake {
    raw: Vec<Raw>,
    /// Where each record of the inputs came from.
    origins: BTreeMap<(Input, u32, u64), (usize, u64)>,
    transaction: Option<Transaction>,
    /// When each part of a decided transaction becomes visible.
    markers: Vec<(Duration, Marker)>,
    step_at: Duration,
    stops_left: u32,
    writers: u32,
    /// It commits its position, also behind control records; else behind the last record that it has moved.
    commits_position: bool,
    rng: Rng,
}

/// One raw partition.
#[derive(Default)]
struct Raw {
    log: Log,
    contents: BTreeMap<u64, Content>,
    /// Where the records of decided transactions went.
    moved: BTreeMap<u64, u64>,
    committed: Option<u64>,
    next: u64,
}

struct Content {
    input: Input,
    partition: u32,
    record: Record,
    meaning: Meaning,
}

struct Transaction {
    writer: ProducerId,
    end_at: Duration,
    raw: usize,
    next: u64,
    /// Raw offsets, and where their records lie now.
    records: Vec<(u64, Input, u32, u64)>,
}

enum Marker {
    Log { input: Input, partition: u32, writer: ProducerId, is_commit: bool },
    Offset { raw: usize, committed: u64 },
}

impl Intake {
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            raw: (0..rng.usize(1..=3)).map(|_| Raw::default()).collect(),
            origins: BTreeMap::new(),
            transaction: None,
            markers: Vec::new(),
            step_at: Duration::from_millis(rng.u64(0..3_000)),
            stops_left: rng.u32(0..4),
            writers: INTAKE_PRODUCERS,
            commits_position: rng.bool(),
            rng: rng.fork(),
        }
    }

    pub fn next_due(&self) -> Duration {
        self.markers.iter().map(|(due, _)| *due).chain([self.step_at]).min().expect("there is a step")
    }

    /// Everything that was written is in the inputs.
    pub fn is_done(&self) -> bool {
        let is_moved = |raw: &Raw| !raw.log.has_more(raw.next);
        self.transaction.is_none() && self.markers.is_empty() && self.raw.iter().all(is_moved)
    }

    pub fn progress(&self) -> Vec<RawProgress> {
        let raw = self.raw.iter().enumerate().map(|(number, raw)| RawProgress {
            of: RawPartition {
                topic: RAW_TOPIC.into(),
                partition: Partition(u32::try_from(number).expect("few")),
            },
            committed: raw.committed.map(Position),
            end: Position(raw.log.edge(Edge::High)),
        });
        raw.collect()
    }

    pub fn search(&self, of: &RawPartition, from: Position) -> RawSearch {
        let log = &self.raw[of.partition.0 as usize].log;
        let (records, next) = log.read_committed(from.0, 1);
        records
            .first()
            .map_or(RawSearch::NoneBelow(Position(next)), |record| RawSearch::Record(Offset(record.offset)))
    }

    /// A record that lay in a raw partition when wall time was taken, and that the partition had not applied when its clock moved.
    pub fn left_behind(&self, part: &PreparedPart) -> Option<String> {
        let taken_at = part.items.iter().filter_map(|item| match item {
            Item::ClockMoved { taken_at, .. } => Some(*taken_at),
            Item::Applied(..) | Item::TimersFired(_) | Item::TimersLeft | Item::HistorySettled(_) => None,
        });
        let taken_at = taken_at.max()?;
        for (number, raw) in self.raw.iter().enumerate() {
            for entry in raw.log.entries().iter().filter(|entry| entry.may_be_read()) {
                let Some(content) = raw.contents.get(&entry.offset) else { continue };
                if entry.event > taken_at || content.partition != part.partition.0 {
                    continue;
                }
                let next = part.seal.inputs[content.input].next;
                if raw.moved.get(&entry.offset).is_none_or(|offset| *offset >= next) {
                    return Some(format!(
                        "the clock of partition {} moved, but {:?} {number}/{} waits in front of the intake",
                        part.partition, content.input, entry.offset
                    ));
                }
            }
        }
        None
    }

    pub fn origin(&self, input: Input, partition: u32, offset: u64) -> Option<(usize, u64)> {
        self.origins.get(&(input, partition, offset)).copied()
    }
}

impl World {
    /// Workers know of the intake, if there is one.
    pub fn put_intake_into(&mut self, rules: &mut Rules) {
        if self.intake.is_some() {
            rules.raw_topics = [RAW_TOPIC.to_owned()].into();
            self.rules = Some(rules.clone());
        }
    }

    /// The shop writes to a raw partition.
    pub fn arrive_raw(&mut self, arrival: Arrival) {
        self.event += 1;
        let event = self.event;
        let intake = self.intake.as_mut().expect("there is one");
        match arrival {
            Arrival::Record { input, partition, record, meaning, writer } => {
                let index = intake.rng.usize(..intake.raw.len());
                let raw = &mut intake.raw[index];
                let offset = raw.log.append(record.clone(), writer, event);
                raw.contents.insert(offset, Content { input, partition, record, meaning });
            }
            Arrival::End { writer, is_commit, .. } => {
                // It has written to one of them, and the others get a marker too.
                for raw in &mut intake.raw {
                    raw.log.mark(writer, is_commit, event);
                }
            }
        }
    }

    /// Lets the intake do what is due.
    pub fn step_intake(&mut self) {
        let Some(mut intake) = self.intake.take() else { return };
        while let Some(index) = intake.markers.iter().position(|(due, _)| *due <= self.now) {
            let (_, marker) = intake.markers.swap_remove(index);
            match marker {
                Marker::Log { input, partition, writer, is_commit } => {
                    self.event += 1;
                    let event = self.event;
                    self.log_mut(Topic::Input(input), partition).mark(writer, is_commit, event);
                }
                Marker::Offset { raw, committed } => intake.raw[raw].committed = Some(committed),
            }
        }
        if intake.step_at <= self.now {
            let pause = if intake.stops_left > 0 && intake.rng.u8(..32) == 0 {
                intake.stops_left -= 1;
                500..9_000
            } else {
                5..200
            };
            intake.step_at = self.now + Duration::from_millis(intake.rng.u64(pause));
            self.move_records(&mut intake);
        }
        self.intake = Some(intake);
    }

    fn move_records(&mut self, intake: &mut Intake) {
        match intake.transaction.take() {
            Some(transaction) if transaction.end_at > self.now => intake.transaction = Some(transaction),
            Some(transaction) => {
                let is_commit = intake.stops_left == 0 || intake.rng.u8(..4) > 0;
                self.decide(intake, transaction, is_commit);
            }
            // The next one begins once nothing of the last is under way.
            None if intake.markers.is_empty() => self.begin_moving(intake),
            None => {}
        }
    }

    fn begin_moving(&mut self, intake: &mut Intake) {
        let raw = intake.rng.usize(..intake.raw.len());
        let records_max = intake.rng.usize(1..=6);
        let (entries, next) = intake.raw[raw].log.read_committed(intake.raw[raw].next, records_max);
        let Some(last) = entries.last().map(|entry| entry.offset) else {
            intake.raw[raw].next = next;
            if intake.commits_position {
                intake.raw[raw].committed = Some(next);
            }
            return;
        };
        intake.writers += 1;
        let writer = ProducerId(intake.writers);
        let mut records = Vec::new();
        for entry in entries {
            let Content { input, partition, record, meaning } = &intake.raw[raw].contents[&entry.offset];
            let (input, partition) = (*input, *partition);
            let timestamp_ms = self.wall_ms() - self.rng.i64(0..3_000);
            let record = Record { timestamp_ms, ..record.clone() };
            let offset = self.append(Topic::Input(input), partition, record, Some(writer));
            self.shop.meanings.insert((input, partition, offset), meaning.clone());
            records.push((entry.offset, input, partition, offset));
        }
        let next = if intake.commits_position { next } else { last + 1 };
        let end_at = self.now + Duration::from_millis(intake.rng.u64(0..600));
        intake.transaction = Some(Transaction { writer, end_at, raw, next, records });
    }

    fn decide(&mut self, intake: &mut Intake, transaction: Transaction, is_commit: bool) {
        let Transaction { writer, raw, next, records, .. } = transaction;
        let mut places: Vec<(Input, u32)> =
            records.iter().map(|(_, input, partition, _)| (*input, *partition)).collect();
        places.sort_unstable();
        places.dedup();
        let markers = places
            .into_iter()
            .map(|(input, partition)| Marker::Log { input, partition, writer, is_commit })
            .chain(is_commit.then_some(Marker::Offset { raw, committed: next }));
        for marker in markers {
            let due = self.now + Duration::from_millis(intake.rng.u64(0..400));
            intake.markers.push((due, marker));
        }
        if is_commit {
            intake.raw[raw].next = next;
            for (raw_offset, input, partition, offset) in records {
                intake.raw[raw].moved.insert(raw_offset, offset);
                intake.origins.insert((input, partition, offset), (raw, raw_offset));
            }
        }
    }
}

/// Whether what lay in the raw partitions at the first assignment became history, and nothing else.
///
/// # Errors
/// A record that did not, or the other way.
pub fn check_history(world: &World, partition: u32, live: &[Item]) -> Result<(), String> {
    let Some(intake) = &world.intake else { return Ok(()) };
    let raw_ends = &world.history.past(partition).raw_ends;
    for item in live {
        let Item::Applied(input, offset) = item else { continue };
        let (raw, raw_offset) = intake.origin(*input, partition, *offset).expect("everything came through");
        let is_below = |end: &SealedRawEnd| end.partition as usize == raw && raw_offset < end.end;
        // Everything was there before the first start.
        let was_loaded = matches!(world.shop.pace, Pace::Loaded { .. });
        if was_loaded || raw_ends.iter().flatten().any(is_below) {
            return Err(format!(
                "{input:?} {offset} lay in raw partition {raw} at the start, and is not history"
            ));
        }
    }
    Ok(())
}

fn schedules() -> Result<(), Failed> {
    let mut runner = Runner::new();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("RETENTION_SIM_SEED") {
        return play(&mut runner, seed, None).map_err(|violation| replay(seed, &violation));
    }
    let base = number("RETENTION_SIM_BASE").unwrap_or(FIXED);
    let seeds = number("RETENTION_SIM_SCHEDULES");
    let (started_at, mut played) = (Instant::now(), 0);
    for seed in (0..FIXED).chain(base..) {
        let is_over = match seeds {
            Some(count) => played >= count,
            None => played >= FIXED && started_at.elapsed() >= BUDGET,
        };
        if is_over {
            break;
        }
        play(&mut runner, seed, None).map_err(|violation| replay(seed, &violation))?;
        played += 1;
    }
    eprintln!("simulated {played} schedules behind an intake");
    Ok(())
}

fn replay(seed: u64, violation: &str) -> Failed {
    format!("RETENTION_SIM_SEED={seed} cargo test --test it -- --exact sim::intake::schedules\n{violation}")
        .into()
}

fn is_noticed(twist: Twist) -> Result<(), Failed> {
    let mut runner = Runner::new();
    for seed in 0..SEEDS_OF_MUTATION {
        if let Err(violation) = play(&mut runner, seed, Some(twist)) {
            play(&mut runner, seed, None).map_err(|violation| replay(seed, &violation))?;
            let first_line = violation.lines().next().unwrap_or_default();
            eprintln!("{twist:?} is noticed by schedule {seed}: {first_line:.160}");
            return Ok(());
        }
    }
    Err(format!("{twist:?} is not noticed by {SEEDS_OF_MUTATION} schedules").into())
}

/// Even seeds begin with a history, odd ones are live from the start.
fn play(runner: &mut Runner, seed: u64, twist: Option<Twist>) -> Result<(), String> {
    let Runner { stage, stacks } = runner;
    quietly(|| {
        let mut rng = Rng::with_seed(seed);
        let mut schedule = Schedule::random(stage, stacks, seed);
        schedule.dead_letter_limit = None;
        schedule.disks = None;
        if seed.is_multiple_of(2) {
            schedule.signals_from = Some(START_MS + rng.i64(0..400) * DAY_MS);
        }
        {
            let mut world = schedule.world.borrow_mut();
            // What is left of a history that an erasure is part of, the trials of `settling` compare.
            world.shop.without_erasures();
            world.intake = Some(Intake::new(&mut rng));
            // The intake writes in any order.
            world.has_long_stall = true;
        }
        schedule.twist(twist);
        let result = schedule.run();
        schedule.end();
        result.map(drop)
    })
}
