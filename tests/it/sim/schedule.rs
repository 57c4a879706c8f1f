//! One schedule: from a seed to a shop, its workers and everything that happens to them, and to a verdict.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use retention_signals::config::DeadLetterLimit;
use retention_signals::fault;
use retention_signals::observe::metrics::FatalKind;
use retention_signals::stream::registry::RegistrySource;

use super::check;
use super::disks::{Disks, Habits};
use super::host::{Host, Outcome, step_task};
use super::intake::Intake;
use super::kinds::{dead_letter_limit, early_flush_bytes, has_guests, keeps_snapshots};
use super::mutation::Twist;
use super::producer::{self, Fate};
use super::settled;
use super::shares;
use super::shop::Shop;
use super::stage::{self, Stage};
use super::worker::{Ended, Stacks, Worker};
use super::world::{Chaos, World};

/// A schedule that has not come to rest by then never will.
const STEPS_MAX: u32 = 60_000;
/// Workers go on for so long after the last record, to see that they emit no more signals.
const REST: Duration = Duration::from_millis(1_500);

/// See the module.
pub struct Schedule<'a> {
    stage: &'a Stage,
    setup: usize,
    interval: Duration,
    pub world: Rc<RefCell<World>>,
    pub(super) workers: Vec<Worker>,
    stacks: &'a mut Stacks,
    pub(super) rng: Rng,
    /// Processes to start again, by instance, and when.
    pub(super) to_start: Vec<(Duration, usize)>,
    pub(super) instances: usize,
    /// Two processes with one name may go on when all faults have happened.
    pub(super) keeps_namesakes: bool,
    pub(super) outcome: Outcome,
    faults: u32,
    /// The limit on dead letters, if it is another one than the setup's.
    pub dead_letter_limit: Option<DeadLetterLimit>,
    /// Processes that start accept dead letters that were appended before, as the operator says.
    pub dead_letters_accepted_before_ms: Option<i64>,
    /// Why workers have stopped at the limit on dead letters.
    pub limit_stops: Vec<String>,
    /// What was there before the first assignment is history; signals before this instant are held back.
    pub signals_from: Option<i64>,
    /// Partitions count days, and a combiner publishes them.
    pub counts_days: bool,
    /// None: no process keeps snapshots.
    pub disks: Option<Disks>,
    pub(super) outages: u32,
    pub(super) outage_until: Option<Duration>,
}

/// Runs the schedule of a seed, perhaps with a rule that is broken.
///
/// # Errors
/// What was lost, doubled or never came.
pub fn run(stage: &Stage, stacks: &mut Stacks, seed: u64, twist: Option<Twist>) -> Result<Outcome, String> {
    let mut schedule = Schedule::random(stage, stacks, seed);
    schedule.twist(twist);
    let result = schedule.run();
    schedule.end();
    result
}

impl<'a> Schedule<'a> {
    pub fn random(stage: &'a Stage, stacks: &'a mut Stacks, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let span = Duration::from_millis(rng.u64(200..8_000));
        let keeps_snapshots = keeps_snapshots(seed);
        let mut shop = Shop::random(&mut rng, span, if keeps_snapshots { 6 } else { 1 });
        if has_guests(seed) {
            shop.add_guests();
        }
        let chaos = Chaos {
            switch: [0, 4, 12, 40][rng.usize(..4)],
            fail: [0, 3, 10, 30][rng.usize(..4)],
            slow: [0, 8, 40][rng.usize(..3)],
            faults_left: if keeps_snapshots { rng.u32(4..24) } else { rng.u32(..14) },
            laziness: rng.u32(1..30),
            stingy: [16, 64, 128, 220][rng.usize(..4)],
            fetch_max: rng.usize(1..=12),
        };
        let instances = rng.usize(1..=3);
        let setup = rng.usize(..stage.setups.len());
        let mut schedule = Self::new(stage, stacks, setup, World::new(rng.fork(), chaos, shop), rng);
        fault::set_early_flush_bytes(early_flush_bytes(seed));
        // A merge waits 30 s for an input; then chance must not keep its records back for so long.
        schedule.world.borrow_mut().has_long_stall = chaos.stingy >= 128 && chaos.laziness > 4;
        if keeps_snapshots {
            let habits = Habits::random(&mut schedule.rng);
            schedule.keep_snapshots(habits);
        }
        schedule.dead_letter_limit = dead_letter_limit(seed);
        schedule.instances = instances;
        for instance in 0..instances {
            let delay = if instance == 0 { 0 } else { schedule.rng.u64(0..6_000) };
            schedule.to_start.push((Duration::from_millis(delay), instance));
        }
        schedule
    }

    pub fn new(stage: &'a Stage, stacks: &'a mut Stacks, setup: usize, world: World, mut rng: Rng) -> Self {
        let interval = stage::interval(&mut rng);
        fault::set_noting(true);
        fault::set_mutation(None);
        fault::set_bound(if rng.u8(..4) == 0 { rng.usize(1..4) } else { usize::MAX });
        let faults = world.chaos.faults_left;
        let world = Rc::new(RefCell::new(world));
        Self {
            stage,
            setup,
            interval,
            world,
            workers: Vec::new(),
            stacks,
            rng,
            to_start: Vec::new(),
            instances: 1,
            keeps_namesakes: false,
            outcome: Outcome::default(),
            faults,
            dead_letter_limit: None,
            dead_letters_accepted_before_ms: None,
            limit_stops: Vec::new(),
            signals_from: None,
            counts_days: false,
            disks: None,
            outages: 0,
            outage_until: None,
        }
    }

    pub fn keep_snapshots(&mut self, habits: Habits) {
        let rules = &self.stage.setups[self.setup].snapshots;
        self.disks = Some(Disks::new(self.stage.folder.path(), rules, habits));
    }

    pub fn twist(&mut self, twist: Option<Twist>) {
        self.world.borrow_mut().twist = twist;
        if let Some(Twist::Worker(mutation)) = twist {
            fault::set_mutation(Some(mutation));
        }
    }

    /// Until every record is applied and no process has work left.
    pub fn run(&mut self) -> Result<Outcome, String> {
        let mut quiet_since = None;
        loop {
            self.outcome.steps += 1;
            self.step()?;
            let now = self.world.borrow().now;
            if !self.is_quiet() {
                quiet_since = None;
            } else if now.saturating_sub(*quiet_since.get_or_insert(now)) > REST {
                break;
            }
            if self.outcome.steps > STEPS_MAX {
                return Err(self.restless());
            }
        }
        let world = self.world.borrow();
        self.outcome.commits = world.history.commits;
        self.outcome.faults = self.faults - world.chaos.faults_left;
        self.outcome.virtual_ms = u64::try_from(world.now.as_millis()).expect("a short life");
        self.outcome.snapshots_written = self.disks.as_ref().map_or(0, |disks| disks.written);
        for host in &world.hosts {
            self.outcome.snapshots.add(&host.tally);
        }
        let setup = &self.stage.setups[self.setup];
        match self.signals_from {
            None => check::outputs(&world, setup)?,
            Some(from) => settled::outputs(&world, &setup.oracle, from)?,
        }
        Ok(self.outcome.clone())
    }

    /// Ends all processes.
    pub fn end(mut self) {
        while let Some(worker) = self.workers.pop() {
            worker.end(self.stacks);
        }
        self.world.borrow_mut().hosts.clear();
        fault::set_noting(false);
        fault::set_mutation(None);
        fault::set_bound(usize::MAX);
        fault::set_early_flush_bytes(None);
    }

    fn restless(&self) -> String {
        let world = self.world.borrow();
        let next: Vec<_> =
            (0..world.partitions).map(|partition| world.history.past(partition).next).collect();
        format!(
            "no rest after {STEPS_MAX} steps and {:?}: applied up to {next:?}, settled {}, {} of {} workers",
            world.now,
            world.is_settled(),
            self.workers.len(),
            self.instances
        )
    }

    fn is_quiet(&self) -> bool {
        let world = self.world.borrow();
        world.chaos.faults_left == 0
            && self.to_start.is_empty()
            && world.shop.next_due().is_none()
            && world.intake.as_ref().is_none_or(Intake::is_done)
            && !self.workers.is_empty()
            && self.workers.iter().all(|worker| world.hosts[worker.host].frozen_until <= world.now)
            && world.is_settled()
            && check::is_read_to_the_end(&world)
            && (0..world.partitions).all(|partition| !world.history.past(partition).has_timers_left())
            && (self.signals_from.is_none() || settled::is_settled(&world))
            && (!self.counts_days || shares::is_combined(&world))
    }

    /// Lets one thing happen: to the world, to a worker, to a task, or time passes.
    pub fn step(&mut self) -> Result<(), String> {
        self.world.borrow_mut().settle();
        self.end_outage();
        self.start_due();
        self.make_mischief();
        self.step_writers();
        let ready = self.ready();
        if ready.is_empty() {
            self.pass_time();
        } else {
            match ready[self.rng.usize(..ready.len())] {
                Ready::Worker(index) => self.resume(index)?,
                Ready::Task(host, task) => step_task(&self.world, host, task),
            }
        }
        match self.world.borrow_mut().violation.take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    fn ready(&self) -> Vec<Ready> {
        let world = self.world.borrow();
        let now = world.now;
        let mut ready = Vec::new();
        for (index, worker) in self.workers.iter().enumerate() {
            let host = &world.hosts[worker.host];
            if host.frozen_until > now {
                continue;
            }
            if worker.until <= now || worker.may_wake && host.is_woken() {
                ready.push(Ready::Worker(index));
            }
            let due = host.tasks.iter().enumerate().filter(|(_, task)| task.due <= now);
            ready.extend(due.map(|(task, _)| Ready::Task(worker.host, task)));
        }
        ready
    }

    fn pass_time(&mut self) {
        let mut world = self.world.borrow_mut();
        let hosts = self.workers.iter().map(|worker| {
            let host = &world.hosts[worker.host];
            let tasks = host.tasks.iter().map(|task| task.due);
            tasks.chain([worker.until]).min().unwrap_or(worker.until).max(host.frozen_until)
        });
        let starts = self.to_start.iter().map(|(due, _)| *due);
        let next = hosts.chain(starts).chain(world.next_due()).min();
        let next = next.unwrap_or(world.now + Duration::from_millis(100));
        // At least a little, whatever is due: nothing may spin.
        world.now = next.max(world.now + Duration::from_micros(1));
    }

    fn resume(&mut self, index: usize) -> Result<(), String> {
        let now = self.world.borrow().now;
        let ended = self.workers[index].resume(now);
        let host = self.workers[index].host;
        self.world.borrow_mut().hosts[host].collect_notes();
        if self.rng.u8(..64) == 0 || ended.is_some() {
            check::shown(&self.world.borrow(), &self.workers[index].status)?;
        }
        let Some(Ended { kind, message }) = ended else { return Ok(()) };
        self.wait_for_writer(host);
        self.remove(index);
        match kind {
            None => {}
            Some(FatalKind::Unavailable | FatalKind::OutcomeUnknown | FatalKind::Fenced) => {
                self.outcome.stops += 1;
                self.start_again(host);
            }
            Some(FatalKind::DeadLetterLimit) if self.dead_letter_limit.is_some() => {
                self.stop_at_limit(host, message)
            }
            Some(
                FatalKind::Configuration
                | FatalKind::Permission
                | FatalKind::DeadLetterLimit
                | FatalKind::Internal,
            ) => return Err(format!("a worker stopped: {message}")),
        }
        Ok(())
    }

    /// The service is started again, as it is; when it has stopped again at the same record, that is accepted, whatever is appended by then.
    fn stop_at_limit(&mut self, host: usize, message: String) {
        if self.limit_stops.contains(&message) {
            self.dead_letters_accepted_before_ms = Some(self.world.borrow().wall_ms());
        }
        self.limit_stops.push(message);
        self.outcome.stops += 1;
        self.start_again(host);
    }

    // === Processes

    fn start_due(&mut self) {
        let now = self.world.borrow().now;
        while let Some(index) = self.to_start.iter().position(|(due, _)| *due <= now) {
            let (_, instance) = self.to_start.swap_remove(index);
            self.start(instance);
        }
    }

    pub fn start(&mut self, instance: usize) {
        let host = {
            let mut world = self.world.borrow_mut();
            let skew = self.disks.as_ref().map_or(2_000, |disks| disks.habits.skew_ms);
            let (now, offset) = (world.now, self.rng.i64(-skew..skew));
            world.hosts.push(Host::new(format!("shop-{instance}-0"), instance, now, offset));
            world.hosts.len() - 1
        };
        let pace = self.world.borrow().shop.pace;
        let mut rules = self.stage.setups[self.setup].rules(pace, self.interval);
        rules.counts_days = self.counts_days;
        rules.dead_letters = self.dead_letter_limit.unwrap_or(rules.dead_letters);
        rules.dead_letters_accepted_before_ms = self.dead_letters_accepted_before_ms;
        settled::set_history(&mut rules, self.signals_from);
        self.world.borrow_mut().put_intake_into(&mut rules);
        if let Some(disks) = &mut self.disks {
            rules.snapshots = Some(disks.enter(host, instance, &mut self.rng));
        }
        if self.world.borrow().has_registry {
            rules.registry = RegistrySource::Topic;
        }
        let worker = Worker::start(&self.world, host, rules, self.stage.metrics, self.stacks);
        self.workers.push(worker);
    }

    /// The process of a worker is gone; what it had sent may still arrive.
    pub(super) fn remove(&mut self, index: usize) {
        let worker = self.workers.swap_remove(index);
        let host = worker.host;
        worker.end(self.stacks);
        if let Some(disks) = &mut self.disks {
            disks.leave(host);
        }
        let mut world = self.world.borrow_mut();
        producer::deliver_some(&mut world, host);
        world.hosts[host].end();
    }

    /// Ends the process of a host at once.
    pub fn crash(&mut self, host: usize) {
        let index = self.workers.iter().position(|worker| worker.host == host).expect("its worker runs");
        self.remove(index);
    }

    pub fn fail_next_commits(&mut self, fates: &[Fate]) {
        self.world.borrow_mut().commit_fates.extend(fates);
    }

    fn start_again(&mut self, host: usize) {
        let (now, instance) = {
            let world = self.world.borrow();
            (world.now, world.hosts[host].instance)
        };
        let delay = Duration::from_millis(self.rng.u64(0..3_000));
        self.to_start.push((now + delay, instance));
    }

    // === Mischief

    fn make_mischief(&mut self) {
        let mut world = self.world.borrow_mut();
        if world.chaos.faults_left == 0 || self.workers.is_empty() {
            drop(world);
            self.make_peace();
            return;
        }
        // What happens inside of a transaction is more interesting than what happens between two.
        let inside = |worker: &Worker| world.hosts[worker.host].producer.is_open;
        let inside = self.workers.iter().position(inside).filter(|_| self.rng.u8(..4) > 0);
        if self.rng.u8(..) > if inside.is_some() { 24 } else { 4 } {
            return;
        }
        world.chaos.faults_left -= 1;
        let now = world.now;
        let index = inside.unwrap_or_else(|| self.rng.usize(..self.workers.len()));
        let host = self.workers[index].host;
        // The last ones are of those with snapshots.
        let kinds = if self.disks.is_some() { 16 } else { 12 };
        match self.rng.u8(..kinds) {
            0..=2 => {
                drop(world);
                self.outcome.crashes += 1;
                self.remove(index);
                self.start_again(host);
            }
            3 | 4 => {
                let range = [1_000..15_000, 10_000..20_000, 10_000..20_000, 10_000..90_000]
                    [self.rng.usize(..4)]
                .clone();
                let until = now + Duration::from_millis(self.rng.u64(range));
                world.has_long_stall |= until - now > Duration::from_secs(10);
                world.hosts[host].frozen_until = until;
                // The worker may go on before its client learns what has become of the membership.
                let answer = Duration::from_millis(self.rng.u64(0..300));
                world.hosts[host].client.next_step_at = until + answer;
            }
            5 => {
                // The worker's own thread stands still; its client goes on.
                let span = Duration::from_millis(self.rng.u64(100..30_000));
                self.workers[index].until = now + span;
                self.workers[index].may_wake = false;
                world.has_long_stall |= span > Duration::from_secs(10);
            }
            6 => {
                drop(world);
                self.workers[index].tell_to_stop();
                self.start_again(host);
            }
            7 => {
                let instance = if self.rng.bool() { world.hosts[host].instance } else { self.instances };
                self.instances = self.instances.max(instance + 1);
                self.to_start.push((now, instance));
            }
            8 | 9 => world.clean_up(),
            10 => world.expire_offset(),
            11 => {
                drop(world);
                self.step_clock(host);
            }
            _ => {
                drop(world);
                self.trouble_snapshots(index);
            }
        }
    }

    /// In the end every process runs, and each instance once.
    fn make_peace(&mut self) {
        let mut seen = Vec::new();
        let mut index = self.workers.len();
        while index > 0 {
            index -= 1;
            let instance = self.world.borrow().hosts[self.workers[index].host].instance;
            if seen.contains(&instance) && !self.keeps_namesakes {
                self.remove(index);
            }
            seen.push(instance);
        }
        if self.workers.is_empty() && self.to_start.is_empty() {
            self.start(0);
        }
    }
}

/// What may go on now.
#[derive(Clone, Copy)]
enum Ready {
    Worker(usize),
    Task(usize, usize),
}
