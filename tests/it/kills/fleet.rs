//! Instances of the service that are killed and stopped, each as its fate says, and started again.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fastrand::Rng;
use retention_signals::fault::Milestone;
use tempfile::TempDir;

use crate::live::shop::Shop;
use crate::process::Signal;
use crate::service::{ServiceProcess, ServiceSettings};

/// The session timeout of instances that are to be missed soon. The nodes of the tests allow a second.
pub const SESSION: Duration = Duration::from_millis(1_000);

/// A stopped process is a zombie after this: its session is over, and another member owns its partitions.
const STOPPED: Duration = Duration::from_millis(1_800);

/// The value of a gauge; 0 while the process does not answer yet.
pub fn gauge(service: &ServiceProcess, name: &str) -> f64 {
    service.metric(name, &[]).ok().flatten().unwrap_or_default()
}

/// How many partitions a process owns.
pub fn assigned(service: &ServiceProcess) -> f64 {
    gauge(service, "retention_assigned_partitions")
}

/// How many of them it is restoring.
pub fn restoring(service: &ServiceProcess) -> f64 {
    gauge(service, "retention_restore_partitions")
}

/// Between two looks at a process; a look ends early if the process does.
const LOOK: Duration = Duration::from_millis(5);

/// Commits so often, and fetches so little at a time, that commits are most of the work; and is missed after a second.
pub fn hurried(settings: ServiceSettings) -> ServiceSettings {
    settings
        .set(&["commit", "interval"], "10ms")
        .set(&["commit", "backlog_interval"], "10ms")
        .set(&["kafka", "session.timeout.ms"], SESSION.as_millis().to_string())
        .set(&["kafka", "heartbeat.interval.ms"], "100")
        .set(&["kafka", "fetch.message.max.bytes"], "4096")
}

/// Of batches of a few records, flushed early: there is a middle to be interrupted in, and many commits.
pub fn dawdling(settings: ServiceSettings) -> ServiceSettings {
    hurried(settings).environment("RETENTION_BOUND", "40").environment("RETENTION_BYTES_AHEAD", "2000")
}

/// Kills itself when it reaches a step for the given time.
pub fn killed_at(settings: ServiceSettings, step: Milestone, count: u32) -> ServiceSettings {
    settings.environment("RETENTION_KILL_AT", &format!("{step:?}:{count}"))
}

/// Stops itself there.
pub fn stopped_at(settings: ServiceSettings, step: Milestone, count: u32) -> ServiceSettings {
    settings.environment("RETENTION_STOP_AT", &format!("{step:?}:{count}"))
}

/// What happens to a process that still runs after a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    Kill,
    Stop,
    Terminate,
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub kill_at: Option<(Milestone, u32)>,
    pub stop_at: Option<(Milestone, u32)>,
    pub then: Then,
    pub after: Duration,
}

/// Steps that every batch passes.
pub const COMMIT_STEPS: [Milestone; 6] = [
    Milestone::BeforeBegin,
    Milestone::AfterBegin,
    Milestone::AfterSend,
    Milestone::AfterFlush,
    Milestone::AfterOffsets,
    Milestone::AfterCommit,
];

impl Fate {
    /// Killed at a step, or if it is never reached, later.
    pub fn at(step: Milestone, count: u32) -> Fate {
        Fate { kill_at: Some((step, count)), stop_at: None, then: Then::Kill, after: Duration::from_secs(5) }
    }

    pub fn random(rng: &mut Rng) -> Fate {
        let millis = |rng: &mut Rng, max: u64| Duration::from_millis(rng.u64(0..max));
        match rng.u8(0..20) {
            0..=8 => Fate::at(COMMIT_STEPS[rng.usize(..COMMIT_STEPS.len())], rng.u32(1..=12)),
            9 => Fate::at(Milestone::AfterAssign, rng.u32(1..=2)),
            10 => Fate::at(Milestone::BeforeGiveUp, 1),
            11 => Fate::at(Milestone::AfterEarlyFlush, rng.u32(1..=12)),
            12..=14 => Fate { kill_at: None, stop_at: None, then: Then::Kill, after: millis(rng, 3_000) },
            15..=17 => {
                let steps = [
                    &COMMIT_STEPS[..],
                    &[Milestone::AfterEarlyFlush, Milestone::AfterAssign, Milestone::BeforeGiveUp],
                ]
                .concat();
                let stop_at = Some((steps[rng.usize(..steps.len())], rng.u32(1..=6)));
                // What a zombie does first when it goes on.
                let wakes = [None, Some((Milestone::BeforeResolve, 1)), Some((Milestone::BeforeAbort, 1))];
                let kill_at = wakes[rng.usize(..wakes.len())];
                Fate { kill_at, stop_at, then: Then::Kill, after: Duration::from_secs(6) }
            }
            18 => Fate { kill_at: None, stop_at: None, then: Then::Stop, after: millis(rng, 2_500) },
            _ => {
                let kill_at = Some((Milestone::BeforeClose, 1));
                Fate { kill_at, stop_at: None, then: Then::Terminate, after: millis(rng, 2_500) }
            }
        }
    }

    fn apply(&self, mut settings: ServiceSettings) -> ServiceSettings {
        if let Some((step, count)) = self.kill_at {
            settings = killed_at(settings, step, count);
        }
        if let Some((step, count)) = self.stop_at {
            settings = stopped_at(settings, step, count);
        }
        settings
    }
}

/// What was done to processes so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By the step or moment.
    kills: BTreeMap<String, u64>,
    pub zombies: u64,
}

impl Tally {
    pub fn kills(&self) -> u64 {
        self.kills.values().sum()
    }

    pub fn add(&mut self, other: &Tally) {
        for (place, count) in &other.kills {
            *self.kills.entry(place.clone()).or_default() += count;
        }
        self.zombies += other.zombies;
    }
}

impl Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> =
            self.kills.iter().map(|(place, count)| format!("{place} {count}")).collect();
        write!(formatter, "{} kills ({}), {} zombies", self.kills(), places.join(", "), self.zombies)
    }
}

/// A process and what is to become of it.
struct Member {
    name: String,
    process: ServiceProcess,
    fate: Fate,
    born: Instant,
    has_met_its_fate: bool,
    stopped_since: Option<Instant>,
}

/// See the module.
pub struct Fleet<'a> {
    shop: &'a Shop,
    /// Where the clocks go at the end.
    end: i64,
    /// Each instance keeps its state folder over its lives.
    folder: TempDir,
    members: Vec<Member>,
    pub tally: Tally,
}

impl<'a> Fleet<'a> {
    pub fn new(shop: &'a Shop, end: i64) -> Result<Fleet<'a>> {
        Ok(Fleet { shop, end, folder: tempfile::tempdir()?, members: Vec::new(), tally: Tally::default() })
    }

    /// Settings of an instance of this fleet, without a fate.
    pub fn settings(&self, name: &str) -> ServiceSettings {
        let state = self.folder.path().join(name);
        hurried(self.shop.settings(name, self.end))
            .set(&["snapshots", "interval"], "1s")
            .set(&["state_dir"], state.to_str().expect("a temporary folder in UTF-8"))
    }

    pub fn start(&mut self, name: &str, fate: Fate) -> Result<()> {
        let process = ServiceProcess::start(&fate.apply(dawdling(self.settings(name))))?;
        self.members.push(Member {
            name: name.to_owned(),
            process,
            fate,
            born: Instant::now(),
            has_met_its_fate: false,
            stopped_since: None,
        });
        Ok(())
    }

    /// Looks at every process once; those that have ended live again, with the next fate.
    pub fn look(&mut self, next: &mut impl FnMut() -> Fate) -> Result<()> {
        for index in 0..self.members.len() {
            let Some(status) = self.members[index].process.ends_within(LOOK) else {
                self.members[index].meet_fate(&mut self.tally);
                continue;
            };
            let member = self.members.swap_remove(index);
            match (status.signal(), member.fate.then) {
                (Some(libc::SIGKILL), _) => self.tally.count(&member),
                (None, Then::Terminate) if status.success() => {}
                // The signal came before its handler was set, which is set before the first line is logged.
                (Some(libc::SIGTERM), Then::Terminate) if !member.process.has_logged("\n") => {}
                (_, fate) => bail!(
                    "{} ended with {status}, which nobody wanted ({fate:?})\n{}",
                    member.name,
                    member.process.output_tail()
                ),
            }
            self.start(&member.name, next())?;
        }
        Ok(())
    }

    /// SIGKILL to everyone.
    pub fn kill_all(&mut self) -> Result<()> {
        for member in std::mem::take(&mut self.members) {
            member.process.kill()?;
            *self.tally.kills.entry("random".to_owned()).or_default() += 1;
        }
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, member: &Member) {
        let place = match member.fate.kill_at {
            Some((step, _)) if !member.has_met_its_fate || member.fate.then == Then::Terminate => {
                format!("{step:?}")
            }
            Some(_) | None => "random".to_owned(),
        };
        *self.kills.entry(place).or_default() += 1;
    }
}

impl Member {
    fn meet_fate(&mut self, tally: &mut Tally) {
        if self.process.is_stopped() {
            let since = *self.stopped_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= STOPPED {
                self.stopped_since = None;
                tally.zombies += 1;
                self.process.signal(Signal::Resume);
                // It has a while to go on as if nothing had happened.
                self.fate.then = Then::Kill;
                self.fate.after = self.born.elapsed() + STOPPED;
                self.has_met_its_fate = false;
            }
            return;
        }
        if self.has_met_its_fate || self.born.elapsed() < self.fate.after {
            return;
        }
        self.has_met_its_fate = true;
        self.process.signal(match self.fate.then {
            Then::Kill => Signal::Kill,
            Then::Stop => Signal::Pause,
            Then::Terminate => Signal::Terminate,
        });
    }
}
