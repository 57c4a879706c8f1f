//! One process with one worker slot, as the world sees it: its client, its producer, its positions, its tasks.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retention_signals::fault::{self, Noted};
use retention_signals::stream::broker::{Task, TaskStep};
use retention_signals::topic::{Partition, PerInput, Topic};

use super::client::Client;
use super::history::{Item, PreparedPart};
use super::log::Record;
use super::lookup::SimLookup;
use super::transactions::Credentials;
use super::world::World;
use retention_signals::wire::changelog::Seal;

/// One input of an assigned partition.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub is_paused: bool,
    pub begin: u64,
    pub position: u64,
    /// Of the last answer to a fetch.
    pub high: Option<u64>,
}

/// What a client remembers of its producer.
#[derive(Debug, Default)]
pub struct Producer {
    /// None while it cannot be used: not opened yet, or after a fatal error.
    pub credentials: Option<Credentials>,
    pub is_fenced: bool,
    pub is_open: bool,
    pub must_abort: bool,
    /// Sent by the worker, not delivered yet.
    pub queue: VecDeque<(Topic, u32, Record)>,
    pub seals: BTreeMap<u32, Seal>,
    pub offsets: BTreeMap<u32, PerInput<Option<u64>>>,
    /// The request to end it is answered.
    pub end_answer: Option<bool>,
}

/// A task beside the worker.
pub struct Beside {
    pub due: Duration,
    pub steps: u32,
    pub task: Task<SimLookup>,
    pub lookup: SimLookup,
}

/// What a schedule has come to.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    pub steps: u32,
    pub commits: u32,
    pub crashes: u32,
    pub stops: u32,
    pub faults: u32,
    pub virtual_ms: u64,
    /// Snapshots that were put into their places, ...
    pub snapshots_written: u32,
    /// ... and what became of them.
    pub snapshots: Tally,
}

/// What became of snapshots.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    pub used: u32,
    pub discarded: BTreeMap<&'static str, u32>,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.used += other.used;
        for (reason, count) in &other.discarded {
            *self.discarded.entry(reason).or_default() += count;
        }
    }
}

/// See the module.
pub struct Host {
    pub transactional_id: String,
    pub instance: usize,
    pub is_alive: bool,
    /// Stopped as a whole until then, its client too.
    pub frozen_until: Duration,
    pub client: Client,
    pub producer: Producer,
    /// For [`super::mutation::Twist::DoNotFence`].
    pub first_credentials: Option<Credentials>,
    pub readings: BTreeMap<u32, PerInput<Reading>>,
    /// When the worker looked for records last.
    pub fetched_at: Duration,
    pub woken: Arc<AtomicBool>,
    pub tasks: Vec<Beside>,
    pub wall_offset_ms: i64,
    /// The world's count of events when the worker read its clocks last, and what that was at its last question for ends.
    pub clocks_at: u64,
    pub ends_asked_at: u64,
    /// What its clocks showed then.
    pub wall_ms: i64,
    /// Where wall time would have put the clocks when the worker asked for the intake, and when it read that time.
    pub raw_asked: Vec<(i64, u64)>,
    /// What was applied and is not committed yet, by partition, and how often the partition was restored.
    items: BTreeMap<u32, (u64, Vec<Item>)>,
    notes: Vec<(Partition, Noted)>,
    pub tally: Tally,
    /// What the worker has last read of the registry, if it has read it.
    pub registry_version: Option<Option<u64>>,
    /// A record was applied before.
    pub has_applied_without_registry: bool,
}

impl Host {
    pub fn new(transactional_id: String, instance: usize, now: Duration, wall_offset_ms: i64) -> Self {
        Self {
            transactional_id,
            instance,
            is_alive: true,
            frozen_until: Duration::ZERO,
            client: Client::new(now),
            producer: Producer::default(),
            first_credentials: None,
            readings: BTreeMap::new(),
            fetched_at: now,
            woken: Arc::default(),
            tasks: Vec::new(),
            wall_offset_ms,
            clocks_at: 0,
            ends_asked_at: 0,
            wall_ms: 0,
            raw_asked: Vec::new(),
            items: BTreeMap::new(),
            notes: Vec::new(),
            tally: Tally::default(),
            registry_version: None,
            has_applied_without_registry: false,
        }
    }

    pub fn next_step_at(&self) -> Option<Duration> {
        (self.is_alive && self.client.is_subscribed).then(|| self.client.next_step_at.max(self.frozen_until))
    }

    pub fn take_wake(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }

    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) || self.client.has_event()
    }

    /// The process is gone.
    pub fn end(&mut self) {
        self.is_alive = false;
        self.tasks.clear();
        self.items.clear();
        self.readings.clear();
        self.producer = Producer::default();
        fault::drain_notes(&mut self.notes);
        self.notes.clear();
    }

    // === What was applied

    /// Takes what the worker noted since the last call.
    pub fn collect_notes(&mut self) {
        fault::drain_notes(&mut self.notes);
        for (partition, noted) in self.notes.drain(..) {
            let item = match noted {
                Noted::Applied(input, offset) => {
                    self.has_applied_without_registry |= self.registry_version.is_none();
                    Item::Applied(input, offset.0)
                }
                Noted::RegistryRead(version) => {
                    self.registry_version = Some(version);
                    continue;
                }
                Noted::TimersFired(time) => Item::TimersFired(time.as_millis()),
                Noted::ClockMoved(time) => {
                    let to = time.as_millis();
                    // It moves less far if more timers are due than a batch takes.
                    let taken = self.raw_asked.iter().filter(|(target, _)| *target >= to).min();
                    let taken_at = taken.map_or(self.ends_asked_at, |(_, taken_at)| *taken_at);
                    Item::ClockMoved { to, confirmed_at: self.ends_asked_at, taken_at }
                }
                Noted::TimersLeft => Item::TimersLeft,
                Noted::HistorySettled(clock) => Item::HistorySettled(clock.map(|clock| clock.as_millis())),
                Noted::SnapshotUsed => {
                    self.tally.used += 1;
                    continue;
                }
                Noted::SnapshotDiscarded(reason) => {
                    *self.tally.discarded.entry(reason).or_default() += 1;
                    continue;
                }
            };
            self.items.entry(partition.0).or_default().1.push(item);
        }
    }

    /// The state of a partition is read back: what was applied before is gone.
    pub fn begin_restore(&mut self, partition: u32) {
        self.collect_notes();
        let (lineage, items) = self.items.entry(partition).or_default();
        *lineage += 1;
        items.clear();
    }

    pub fn prepare(&mut self, partition: u32, seal: Seal) -> PreparedPart {
        let (lineage, items) = self.items.entry(partition).or_default();
        PreparedPart {
            partition: Partition(partition),
            lineage: *lineage,
            seal,
            offsets: self.producer.offsets.get(&partition).copied(),
            items: items.clone(),
        }
    }

    /// These are committed.
    pub fn forget_items(&mut self, part: &PreparedPart) {
        if let Some((lineage, items)) = self.items.get_mut(&part.partition.0)
            && *lineage == part.lineage
        {
            items.drain(..part.items.len().min(items.len()));
        }
    }
}

/// Lets a task beside a worker make one step.
pub fn step_task(world: &RefCell<World>, host: usize, index: usize) {
    let mut beside = world.borrow_mut().hosts[host].tasks.swap_remove(index);
    let step = (beside.task)(&mut beside.lookup);
    beside.steps += 1;
    let mut world = world.borrow_mut();
    beside.due = world.now + beside.lookup.cost.take() + world.travel_time();
    if step == TaskStep::Again {
        world.hosts[host].tasks.push(beside);
    }
}
