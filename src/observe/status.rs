//! The service's state, readiness and liveness, and the latest signals.
//!
//! Each worker holds the only [`WorkerStatus`] that writes its slot; probes and the live page read. Nothing here decides
//! anything, so the locks guard copies, never the state of a partition.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat};

use crate::domain::signals::kind::SignalType;
use crate::domain::signals::rule::RuleAction;
use crate::observe::metrics::ServiceState;
use crate::topic::Partition;

/// A loop that has not ticked for so long is stuck. Every call that a worker blocks in is bounded well below it (a commit is
/// tried in slices of 2 s), so only a bug or a frozen machine gets here, and a restart is the right answer.
pub const TICK_AGE_MAX: Duration = Duration::from_secs(60);

/// A worker starts once the brokers have said what the topics are like: until then its loop cannot stand still.
const NOT_STARTED: u64 = u64::MAX;

/// How many of the latest signals are kept for the live page.
const RECENT_SIGNALS_MAX: usize = 40;

/// The status of the whole service. Clones share it.
#[derive(Debug, Clone)]
pub struct ServiceStatus {
    shared: Arc<Shared>,
}

/// Where one worker writes its status. Dropping it means that the worker's loop has ended.
#[derive(Debug)]
pub struct WorkerStatus {
    shared: Arc<Shared>,
    slot: usize,
}

/// What a worker is doing.
///
/// ```text
///  Joining ──► Running ◄──► Rebalancing        (any) ──► Ended
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerPhase {
    /// Not yet a member of the group.
    Joining,
    /// A member that processes what it owns and has restored.
    Running,
    /// Handing partitions over or taking them.
    Rebalancing,
    /// The loop has ended.
    Ended,
}

/// One of the latest signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSignal {
    /// Its type.
    pub signal_type: SignalType,
    /// The rule and what it does, if it is of one.
    pub rule: Option<(Arc<str>, RuleAction)>,
    /// When it occurred, in milliseconds since 1970.
    pub occurred_at_ms: i64,
    /// Whose it is; none of a guest's. Shown only to those who may ask for customers.
    pub customer_id: Option<String>,
}

/// What an operator should look into in the whole service, until it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceRemark {
    /// Records come through an intake, and none is configured.
    UnknownIntake,
}

/// How far a partition has come that is not at its live records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryProgress {
    /// Records up to the ends of the history are read; 0 while its customers are settled.
    Reading { remaining: u64 },
    /// The intake has not passed on what belongs to the history; what it has to do, in words.
    Behind { remaining: u64, intake: String },
}

#[derive(Debug)]
struct Shared {
    started_at: Instant,
    draining: AtomicBool,
    failure: Mutex<Option<String>>,
    brokers: Mutex<BrokerReport>,
    workers: Box<[Slot]>,
    recent_signals: Mutex<VecDeque<RecentSignal>>,
    remarks: Mutex<BTreeSet<ServiceRemark>>,
}

/// Whether Kafka's brokers answer, as the watch found last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerReport {
    /// When they last answered, in milliseconds since 1970.
    pub last_answer_ms: Option<i64>,
    /// Why they do not answer; `None` while they do, and before the first question.
    pub silence: Option<String>,
}

#[derive(Debug)]
struct Slot {
    /// Milliseconds after the start, [`NOT_STARTED`] before the loop's first turn. A plain number, because the loop writes it on
    /// every turn.
    ticked_at_ms: AtomicU64,
    report: Mutex<Report>,
}

#[derive(Debug)]
struct Report {
    phase: WorkerPhase,
    /// Partitions that are being restored, with the changelog records still to be read; `None` before it is known.
    restoring: BTreeMap<Partition, Option<u64>>,
    /// Partitions that have not come to their live records.
    history: BTreeMap<Partition, HistoryProgress>,
    /// What an operator should look into, though the partition is processed.
    remarks: BTreeMap<Partition, String>,
    /// Why the intake keeps clocks from moving.
    held_by_intake: Option<String>,
}

impl ServiceStatus {
    /// The status of a service whose workers have not started, and a pen for each of them.
    pub fn new(workers: usize, started_at: Instant) -> (Self, Vec<WorkerStatus>) {
        let shared = Arc::new(Shared {
            started_at,
            draining: AtomicBool::new(false),
            failure: Mutex::default(),
            brokers: Mutex::default(),
            workers: (0..workers).map(|_| Slot::new()).collect(),
            recent_signals: Mutex::default(),
            remarks: Mutex::default(),
        });
        let pens = (0..workers).map(|slot| WorkerStatus { shared: Arc::clone(&shared), slot }).collect();
        (Self { shared }, pens)
    }

    /// Records that the service is shutting down: from now on it is not ready.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Records that an error stopped the service for good. The first reason is kept.
    pub fn fail(&self, reason: &str) {
        lock(&self.shared.failure).get_or_insert_with(|| reason.to_owned());
    }

    /// Records that a broker has answered, at this time in milliseconds since 1970.
    pub fn on_brokers_answer(&self, at_ms: i64) {
        *lock(&self.shared.brokers) = BrokerReport { last_answer_ms: Some(at_ms), silence: None };
    }

    /// Records that no broker answers, and why.
    pub fn on_brokers_silent(&self, reason: &str) {
        lock(&self.shared.brokers).silence = Some(reason.to_owned());
    }

    /// Whether Kafka's brokers answer.
    pub fn brokers(&self) -> BrokerReport {
        lock(&self.shared.brokers).clone()
    }

    /// When the service started.
    pub fn started_at(&self) -> Instant {
        self.shared.started_at
    }

    /// The state of the whole: what the worker that is furthest from running does.
    pub fn state(&self) -> ServiceState {
        let reports = || self.shared.workers.iter().map(|slot| lock(&slot.report));
        if lock(&self.shared.failure).is_some() {
            ServiceState::Failed
        } else if self.is_draining() {
            ServiceState::Draining
        } else if reports().any(|report| report.phase == WorkerPhase::Ended) {
            ServiceState::Failed
        } else if reports().any(|report| report.phase == WorkerPhase::Joining) {
            ServiceState::Starting
        } else if reports().any(|report| report.phase == WorkerPhase::Rebalancing) {
            ServiceState::Rebalancing
        } else if reports().any(|report| !report.restoring.is_empty()) {
            ServiceState::Restoring
        } else {
            ServiceState::Running
        }
    }

    /// What an operator should look into, though the service is ready.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = lock(&self.shared.remarks).iter().map(ToString::to_string).collect();
        for slot in &self.shared.workers {
            let report = lock(&slot.report);
            // All workers wait for one intake.
            remarks.extend(report.held_by_intake.clone().filter(|held| !remarks.contains(held)));
            remarks.extend(report.remarks.values().cloned());
        }
        remarks
    }

    /// Records what an operator should look into. Whether it is news.
    pub fn remark(&self, remark: ServiceRemark) -> bool {
        lock(&self.shared.remarks).insert(remark)
    }

    /// Why the service is not ready; empty if it is. A member that owns nothing is ready.
    pub fn unready_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(failure) = lock(&self.shared.failure).as_ref() {
            reasons.push(format!("stopped: {failure}"));
        }
        if self.is_draining() {
            reasons.push("shutting down".to_owned());
        }
        reasons.extend(lock(&self.shared.brokers).in_words());
        for (worker, slot) in self.shared.workers.iter().enumerate() {
            let report = lock(&slot.report);
            match report.phase {
                WorkerPhase::Joining => reasons.push(format!("worker {worker} has not joined the group yet")),
                WorkerPhase::Ended => reasons.push(format!("worker {worker} has ended")),
                WorkerPhase::Running | WorkerPhase::Rebalancing => {}
            }
            reasons.extend(report.restoring.iter().map(|(partition, remaining)| match remaining {
                Some(remaining) => {
                    format!("partition {partition} is being restored, {remaining} records to go")
                }
                None => format!("partition {partition} is being restored"),
            }));
            reasons.extend(
                report
                    .history
                    .iter()
                    .map(|(partition, progress)| format!("partition {partition} {progress}")),
            );
        }
        reasons
    }

    /// Why a restart would help; empty while the service is alive. Depends on nothing outside the process.
    pub fn dead_reasons(&self, now: Instant) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(failure) = lock(&self.shared.failure).as_ref() {
            reasons.push(format!("stopped: {failure}"));
        }
        let now_ms = milliseconds(now.saturating_duration_since(self.shared.started_at));
        for (worker, slot) in self.shared.workers.iter().enumerate() {
            let ended = lock(&slot.report).phase == WorkerPhase::Ended;
            if ended && !self.is_draining() {
                reasons.push(format!("worker {worker} has ended"));
            }
            let ticked_at_ms = slot.ticked_at_ms.load(Ordering::Relaxed);
            let tick_age_ms = now_ms.saturating_sub(ticked_at_ms);
            if !ended && tick_age_ms > milliseconds(TICK_AGE_MAX) {
                reasons.push(format!(
                    "the loop of worker {worker} has not turned for {} s",
                    tick_age_ms / 1_000
                ));
            }
        }
        reasons
    }

    /// Keeps committed signals for the live page; old ones make room.
    pub fn on_signals(&self, signals: impl IntoIterator<Item = RecentSignal>) {
        let mut recent_signals = lock(&self.shared.recent_signals);
        for signal in signals {
            if recent_signals.len() == RECENT_SIGNALS_MAX {
                recent_signals.pop_back();
            }
            recent_signals.push_front(signal);
        }
    }

    /// The latest signals, newest first.
    pub fn recent_signals(&self) -> Vec<RecentSignal> {
        lock(&self.shared.recent_signals).iter().cloned().collect()
    }

    fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }
}

impl BrokerReport {
    /// Why Kafka cannot be used; `None` if it can.
    fn in_words(&self) -> Option<String> {
        let reason = self.silence.as_ref()?;
        let since = self.last_answer_ms.map_or_else(|| "the start".to_owned(), instant);
        Some(format!("Kafka has not answered since {since}: {reason}"))
    }
}

impl HistoryProgress {
    /// Records that are still to come, as far as that is known.
    pub fn remaining(&self) -> u64 {
        match self {
            Self::Reading { remaining } | Self::Behind { remaining, .. } => *remaining,
        }
    }
}

impl fmt::Display for HistoryProgress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading { remaining: 0 } => formatter.write_str("settles the customers of its history"),
            Self::Reading { remaining } => {
                write!(formatter, "reads its history, {remaining} records to go")
            }
            Self::Behind { intake, .. } => {
                write!(formatter, "reads its history and waits for the rest of it: {intake}")
            }
        }
    }
}

impl fmt::Display for ServiceRemark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIntake => formatter.write_str(
                "records of the inputs come through an intake that this configuration does not know of, so clocks may move past orders \
                 that wait in front of it: give `run` the same [intake] section (docs/RELIABILITY.md)",
            ),
        }
    }
}

impl WorkerStatus {
    /// Records that the loop has turned. Called on every turn and between the slices of long calls.
    pub fn tick(&self, now: Instant) {
        let age = now.saturating_duration_since(self.shared.started_at);
        self.slot().ticked_at_ms.store(milliseconds(age), Ordering::Relaxed);
    }

    /// Records what the worker is doing.
    pub fn set_phase(&self, phase: WorkerPhase) {
        lock(&self.slot().report).phase = phase;
    }

    /// Records that a partition is being restored, and how many changelog records are to come if that is known.
    pub fn restoring(&self, partition: Partition, remaining: Option<u64>) {
        lock(&self.slot().report).restoring.insert(partition, remaining);
    }

    /// Records that a partition is restored, or no longer owned.
    pub fn not_restoring(&self, partition: Partition) {
        lock(&self.slot().report).restoring.remove(&partition);
    }

    /// Records that a partition has not come to its live records. None once it has, or is no longer owned.
    pub fn in_history(&self, partition: Partition, progress: Option<HistoryProgress>) {
        let history = &mut lock(&self.slot().report).history;
        match progress {
            Some(progress) => history.insert(partition, progress),
            None => history.remove(&partition),
        };
    }

    /// Records why the intake keeps the clocks from moving, and since when, in milliseconds since 1970. None while it does not.
    pub fn held_by_intake(&self, held: Option<(String, i64)>) {
        lock(&self.slot().report).held_by_intake = held.map(|(why, since_ms)| {
            format!(
                "{why}; the clocks stand since {}: docs/RUNBOOK.md, RetentionIntakeHoldsClocks",
                instant(since_ms)
            )
        });
    }

    /// Records what an operator should look into in a partition; none if there is nothing, or it is no longer owned.
    pub fn remark(&self, partition: Partition, remark: Option<String>) {
        let remarks = &mut lock(&self.slot().report).remarks;
        match remark {
            Some(remark) => remarks.insert(partition, remark),
            None => remarks.remove(&partition),
        };
    }

    fn slot(&self) -> &Slot {
        &self.shared.workers[self.slot]
    }
}

impl Drop for WorkerStatus {
    fn drop(&mut self) {
        self.set_phase(WorkerPhase::Ended);
    }
}

impl Slot {
    fn new() -> Self {
        let report = Report {
            phase: WorkerPhase::Joining,
            restoring: BTreeMap::new(),
            history: BTreeMap::new(),
            remarks: BTreeMap::new(),
            held_by_intake: None,
        };
        Self { ticked_at_ms: AtomicU64::new(NOT_STARTED), report: Mutex::new(report) }
    }
}

/// A worker that panicked while it held a lock left a whole value behind: every write here is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn instant(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(|| ms.to_string(), |instant| instant.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
