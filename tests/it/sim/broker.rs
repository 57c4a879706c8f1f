//! The port over the simulated world: one process's client. Each call is a place where others may come in between, where it
//! may fail, and where the process may end.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corosensei::Yielder;
use retention_signals::exit::Exit;
use retention_signals::stream::broker::{
    Broker, BrokerError, Capabilities, Clocks, FetchProgress, GroupEvent, Membership, Moment, NextOffset,
    OutputRecord, Position, Session, Task, Unknown, Waker,
};
use retention_signals::topic::{Input, Partition, PerInput, Topic};

use super::host::{Beside, Host, Reading, step_task};
use super::log::{Edge, SimBatch};
use super::lookup::SimLookup;
use super::mutation::Twist;
use super::producer;
use super::script::{self, Call};
use super::world::World;

/// What a worker waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// Others may come first.
    Switch,
    /// Time to pass.
    Until(Duration),
    /// Time to pass, or something to do.
    UntilWoken(Duration),
}

/// See the module.
pub struct SimBroker<'y> {
    world: Rc<RefCell<World>>,
    /// Without one no other process runs: then time passes inside of the calls.
    yielder: Option<&'y Yielder<(), Pause>>,
    host: usize,
    transactional_id: String,
    lookup: SimLookup,
}

impl<'y> SimBroker<'y> {
    pub fn new(world: Rc<RefCell<World>>, yielder: Option<&'y Yielder<(), Pause>>, host: usize) -> Self {
        let transactional_id = world.borrow().hosts[host].transactional_id.clone();
        let mut lookup = SimLookup::new(Rc::clone(&world), host);
        lookup.is_of_worker = true;
        Self { world, yielder, host, transactional_id, lookup }
    }

    /// Lets time pass that was spent in questions, and perhaps others come in between.
    fn interrupt(&self, weight: u8) {
        let cost = self.lookup.cost.take();
        if !cost.is_zero() {
            self.sleep(cost);
            return;
        }
        let mut world = self.world.borrow_mut();
        let switch = world.chaos.switch.saturating_mul(weight);
        let is_interrupted = world.happens(switch);
        drop(world);
        if is_interrupted {
            self.suspend(Pause::Switch);
        }
    }

    fn sleep(&self, time: Duration) {
        let until = self.world.borrow().now + time;
        self.suspend(Pause::Until(until));
    }

    fn suspend(&self, pause: Pause) {
        match (self.yielder, pause) {
            (Some(yielder), _) => yielder.suspend(pause),
            (None, Pause::Switch) => {}
            (None, Pause::Until(until) | Pause::UntilWoken(until)) => self.pass(until),
        }
    }

    /// The tasks beside the worker go on while time passes.
    fn pass(&self, until: Duration) {
        loop {
            let next = self.with_host(|host| {
                let dues = host.tasks.iter().map(|task| task.due).enumerate();
                dues.filter(|(_, due)| *due <= until).min_by_key(|(_, due)| *due)
            });
            let Some((task, due)) = next else { break };
            self.with(|world, _| world.pass(due));
            step_task(&self.world, self.host, task);
        }
        self.with(|world, _| world.pass(until));
    }

    /// What the script has for this call, if anything.
    fn scripted(&self, call: Call, within: Duration) -> Result<(), BrokerError> {
        let Some(error) = self.with(|world, host| script::fail(world, host, call)) else { return Ok(()) };
        if matches!(error, BrokerError::Retry(_)) {
            self.sleep(within);
        }
        Err(error)
    }

    fn with<T>(&self, call: impl FnOnce(&mut World, usize) -> T) -> T {
        call(&mut self.world.borrow_mut(), self.host)
    }

    fn with_host<T>(&self, call: impl FnOnce(&mut Host) -> T) -> T {
        call(&mut self.world.borrow_mut().hosts[self.host])
    }

    /// A call that may take long: again and again until it is done, has failed, or `within` has passed.
    fn within(
        &self,
        call: Call,
        within: Duration,
        mut attempt: impl FnMut(&mut World, usize) -> ControlFlow<Result<(), BrokerError>, Duration>,
    ) -> Result<(), BrokerError> {
        self.interrupt(4);
        self.scripted(call, within)?;
        let deadline = self.world.borrow().now + within;
        loop {
            let pause = match self.with(&mut attempt) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(pause) => pause,
            };
            let left = deadline.saturating_sub(self.world.borrow().now);
            if left.is_zero() {
                return Err(BrokerError::retry("not done in time"));
            }
            self.sleep(pause.min(left));
        }
    }

    /// The client's positions of partitions that it keeps go back, as they may at every rebalance.
    fn fetch_again(&self) {
        self.with(|world, host| {
            let World { hosts, rng, chaos, .. } = world;
            for reading in hosts[host].readings.values_mut().flat_map(|readings| &mut readings.0) {
                if !reading.is_paused && rng.u8(..) < chaos.fail.saturating_mul(8) {
                    reading.position = rng.u64(reading.begin..=reading.position);
                }
            }
        });
    }
}

impl Session for SimBroker<'_> {
    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    fn incarnation(&self) -> u64 {
        self.host as u64
    }

    fn record_bytes_max(&self) -> usize {
        1 << 20
    }

    fn now(&self) -> Moment {
        Moment(self.world.borrow().now + self.lookup.cost.get())
    }

    fn clocks(&self) -> Clocks {
        let Moment(now) = self.now();
        self.with(|world, host| {
            world.event += 1;
            world.hosts[host].clocks_at = world.event;
            let wall_ms = world.wall_ms() + world.hosts[host].wall_offset_ms;
            world.hosts[host].wall_ms = wall_ms;
            Clocks { monotonic: Moment(now), boot: now, wall_ms }
        })
    }

    fn wait(&mut self, up_to: Duration) {
        let until = self.with(|world, host| {
            // What is written between the last fetch and the wait ends it; here, the next fetch finds it a little later.
            let is_woken = world.hosts[host].take_wake() || world.hosts[host].client.has_event();
            let laziness = world.rng.u32(1..=world.chaos.laziness);
            (!is_woken).then(|| world.now + up_to * laziness)
        });
        if let Some(until) = until {
            self.suspend(Pause::UntilWoken(until));
        }
        self.with_host(|host| host.take_wake());
    }

    fn waker(&self) -> Waker {
        let woken = self.with_host(|host| Arc::clone(&host.woken));
        Arc::new(move || woken.store(true, Ordering::Relaxed))
    }

    fn subscribe(&mut self) -> Result<(), BrokerError> {
        self.with(|world, host| {
            let client = &mut world.hosts[host].client;
            client.is_subscribed = true;
            client.next_step_at = world.now;
            client.polled_at = world.now;
        });
        Ok(())
    }

    fn poll(&mut self) -> Result<Option<GroupEvent>, BrokerError> {
        self.interrupt(1);
        self.with(|world, host| {
            world.hosts[host].client.polled_at = world.now;
            Ok(world.hosts[host].client.next_event())
        })
    }

    fn assign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError> {
        self.interrupt(2);
        self.with_host(|host| {
            let paused = Reading { is_paused: true, begin: 0, position: 0, high: None };
            for partition in partitions {
                host.readings.insert(partition.0, PerInput([paused; 3]));
            }
            host.client.answer_assigned(partitions);
        });
        self.fetch_again();
        Ok(())
    }

    fn unassign(&mut self, partitions: &[Partition]) -> Result<(), BrokerError> {
        self.interrupt(2);
        self.with_host(|host| {
            host.readings.retain(|partition, _| !partitions.contains(&Partition(*partition)));
            host.client.answer_gone(partitions);
        });
        self.fetch_again();
        Ok(())
    }

    fn membership(&self) -> Result<Membership, BrokerError> {
        self.interrupt(2);
        Ok(self.with_host(|host| host.client.membership()))
    }

    fn open_producer(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.within(Call::OpenProducer, within, producer::open)
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.interrupt(4);
        self.scripted(Call::Begin, Duration::ZERO)?;
        self.with(producer::begin)
    }

    fn flush(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.within(Call::Flush, within, producer::flush)
    }

    fn commit(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.within(Call::Commit, within, producer::commit)
    }

    fn abort(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.within(Call::Abort, within, producer::abort)
    }

    fn close(self, _: Duration) {
        self.with(|world, host| {
            let World { hosts, group, now, .. } = world;
            hosts[host].client.leave(group, *now);
        });
    }
}

impl Broker for SimBroker<'_> {
    type Batch = SimBatch;

    type Lookup = SimLookup;

    fn capabilities(&self) -> Capabilities {
        Capabilities { transactional_offsets: true, topic_configuration: true }
    }

    fn read_from(&mut self, partition: Partition, positions: PerInput<Position>) -> Result<(), BrokerError> {
        self.interrupt(1);
        self.with(|world, host| {
            if world.fails() {
                return Err(BrokerError::retry("the assignment is not taken up yet"));
            }
            let readings = PerInput::from_fn(|input| {
                let position = positions[input].0;
                Reading { is_paused: false, begin: position, position, high: None }
            });
            world.hosts[host].readings.insert(partition.0, readings);
            world.hosts[host].fetched_at = world.now;
            Ok(())
        })
    }

    fn pause(&mut self, partition: Partition) -> Result<(), BrokerError> {
        self.with_host(|host| {
            for reading in
                host.readings.get_mut(&partition.0).into_iter().flat_map(|readings| &mut readings.0)
            {
                reading.is_paused = true;
            }
        });
        Ok(())
    }

    fn fetch(
        &mut self,
        partition: Partition,
        input: Input,
        records_max: usize,
    ) -> Result<Option<SimBatch>, BrokerError> {
        self.interrupt(1);
        self.with(|world, host| {
            let Some(mut reading) =
                world.hosts[host].readings.get(&partition.0).map(|readings| readings[input])
            else {
                return not_assigned(world, None);
            };
            let since = world.now.saturating_sub(world.hosts[host].fetched_at);
            world.has_long_stall |= since > Duration::from_secs(5);
            world.hosts[host].fetched_at = world.now;
            let stingy = world.chaos.stingy;
            if reading.is_paused || world.happens(stingy) {
                return Ok(None);
            }
            let few = world.rng.usize(1..=world.chaos.fetch_max);
            let log = world.log(Topic::Input(input), partition.0);
            if reading.position < log.edge(Edge::Low) || reading.position > log.edge(Edge::High) {
                return Err(BrokerError::stop(Exit::Configuration, "the position lies outside of the log"));
            }
            let (records, next) = log.read_committed(reading.position, records_max.min(few));
            reading.high = Some(log.edge(Edge::High));
            reading.position = next;
            if let Some(readings) = world.hosts[host].readings.get_mut(&partition.0) {
                readings[input] = reading;
            }
            Ok((!records.is_empty()).then_some(SimBatch(records)))
        })
    }

    fn progress(&mut self, partition: Partition, input: Input) -> Result<FetchProgress, BrokerError> {
        self.with(|world, host| match world.hosts[host].readings.get(&partition.0) {
            Some(readings) => {
                let Reading { position, high, .. } = readings[input];
                Ok(FetchProgress { position: Position(position), high_watermark: high.map(Position) })
            }
            None => not_assigned(world, FetchProgress { position: Position(0), high_watermark: None }),
        })
    }

    fn send(&mut self, record: &OutputRecord<'_>) -> Result<(), BrokerError> {
        self.interrupt(1);
        self.scripted(Call::Send, Duration::ZERO)?;
        self.with(|world, host| producer::send(world, host, record))
    }

    fn send_offsets(
        &mut self,
        offsets: &[NextOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError> {
        self.within(Call::SendOffsets, within, |world, host| {
            producer::send_offsets(world, host, offsets, membership)
        })
    }

    fn lookup(&mut self) -> &mut SimLookup {
        self.interrupt(2);
        &mut self.lookup
    }

    fn spawn(&mut self, name: &str, task: Task<SimLookup>) -> Result<(), BrokerError> {
        let lookup = SimLookup::new(Rc::clone(&self.world), self.host);
        self.with(|world, host| {
            let due = world.now;
            let host = &mut world.hosts[host];
            if let Some(partition) = name.strip_prefix("restore-").and_then(|number| number.parse().ok()) {
                host.begin_restore(partition);
            }
            host.tasks.push(Beside { due, steps: 0, task, lookup });
        });
        Ok(())
    }
}

/// A worker whose rules are whole never gets here; one that keeps lost state reads nothing more.
fn not_assigned<T>(world: &World, nothing: T) -> Result<T, BrokerError> {
    match world.twist {
        Some(Twist::Worker(_)) => Ok(nothing),
        Some(_) | None => Err(BrokerError::stop(Exit::Internal, "the partition is not assigned")),
    }
}

/// The client's word for a producer that is of no use any more.
pub fn unusable(is_fenced: bool) -> BrokerError {
    let unknown = if is_fenced { Unknown::Fenced } else { Unknown::Failed };
    BrokerError::OutcomeUnknown(unknown, "the producer is of no use any more".into())
}
