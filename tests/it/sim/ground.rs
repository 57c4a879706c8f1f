//! The simulated broker where nothing happens by chance: for scenarios without workers, and for trials of one worker whose calls
//! fail as a script says. Time passes inside of the calls, and tasks beside the worker go on meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use retention_signals::fault;
use retention_signals::topic::{Input, Output, Topic};

use super::broker::SimBroker;
use super::host::Host;
use super::log::{Edge, Entry, Record};
use super::producer;
use super::shop::{Pace, Shop};
use super::suite::Ground;
use super::world::{Chaos, WALL_START_MS, World};

/// Broker time of every record of the inputs: 2100-01-01T00:00:00Z, later than any event.
pub const APPENDED_MS: i64 = 4_102_444_800_000;
/// No marker is under way for longer.
const MARKERS_SPAN: Duration = Duration::from_millis(10);

/// See the module.
pub struct SimGround {
    pub world: Rc<RefCell<World>>,
    /// Wall time of the processes that start, against that of the brokers.
    pub wall_offset_ms: i64,
}

impl SimGround {
    pub fn new(partitions: u32) -> SimGround {
        let chaos =
            Chaos { switch: 0, fail: 0, slow: 0, faults_left: 0, laziness: 1, stingy: 0, fetch_max: 5 };
        let world = World::new(Rng::with_seed(3), chaos, Shop::empty(partitions, Pace::Live, 1));
        SimGround { world: Rc::new(RefCell::new(world)), wall_offset_ms: 0 }
    }

    /// It is about this time for the processes that start.
    pub fn set_wall(&mut self, wall_ms: i64) {
        self.wall_offset_ms = wall_ms - WALL_START_MS;
    }

    /// Fetches mostly find nothing at hand: there are many small batches.
    pub fn fetch_little(&self) {
        self.world.borrow_mut().chaos.stingy = 200;
    }

    /// Writes a record that is there before the processes start.
    pub fn append(&self, topic: Topic, partition: u32, key: Option<&[u8]>, value: Option<&[u8]>) {
        // By the times of the changelog's records the age of a snapshot is judged.
        let timestamp_ms = if matches!(topic, Topic::Input(_)) { APPENDED_MS } else { 0 };
        let (key, value) = (key.map(Into::into), value.map(Into::into));
        let record = Record { key, value, timestamp_ms, headers: Vec::new() };
        self.world.borrow_mut().append(topic, partition, record, None);
    }

    // === Processes

    /// A process of the only instance.
    pub fn start(&self) -> SimBroker<'static> {
        fault::set_noting(true);
        self.open_host(0)
    }

    /// The process is gone: it has crashed, unless it has left before. What the brokers have decided arrives.
    pub fn end(&self) {
        let mut world = self.world.borrow_mut();
        let World { hosts, group, now, .. } = &mut *world;
        let Some(last) = hosts.last_mut() else { return };
        // The group does not wait for its session to end.
        last.client.leave(group, *now);
        let host = hosts.len() - 1;
        producer::deliver_some(&mut world, host);
        world.hosts[host].end();
        let until = world.now + MARKERS_SPAN;
        world.pass(until);
    }

    fn open_host(&self, slot: usize) -> SimBroker<'static> {
        let host = {
            let mut world = self.world.borrow_mut();
            let now = world.now;
            world.hosts.push(Host::new(format!("shop-{slot}-0"), slot, now, self.wall_offset_ms));
            world.hosts.len() - 1
        };
        SimBroker::new(Rc::clone(&self.world), None, host)
    }

    // === What was committed

    /// How many parts of partitions were committed.
    pub fn commits(&self) -> u32 {
        self.world.borrow().history.commits
    }

    pub fn records(&self, topic: Topic, partition: u32) -> Vec<Record> {
        let world = self.world.borrow();
        let visible = world.log(topic, partition).entries().iter().filter(|entry| entry.is_visible());
        visible.map(|Entry { record, .. }| record.clone()).collect()
    }

    /// The records of an output in the first partition.
    pub fn output(&self, output: Output) -> Vec<Record> {
        self.records(Topic::Output(output), 0)
    }

    /// Everything is read and committed.
    pub fn is_done(&self) -> bool {
        let world = self.world.borrow();
        let is_done = |partition: u32, input: Input| {
            let committed = world.group.committed(partition)[input].as_ref().map(|next| next.position.0);
            committed.unwrap_or_default() == world.log(Topic::Input(input), partition).edge(Edge::High)
        };
        (0..world.partitions).all(|partition| Input::ALL.iter().all(|input| is_done(partition, *input)))
    }
}

impl Drop for SimGround {
    fn drop(&mut self) {
        // Tasks hold the world that holds them.
        self.world.borrow_mut().hosts.clear();
        fault::set_noting(false);
    }
}

impl Ground for SimGround {
    type Port = SimBroker<'static>;

    fn open(&mut self, slot: usize) -> Result<SimBroker<'static>> {
        Ok(self.open_host(slot))
    }
}
