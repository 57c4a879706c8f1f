//! The service's state, readiness and liveness, and the latest signals.
//!
//! Each worker holds the only [`WorkerStatus`] that writes its slot; probes and the live page read. Nothing here decides
//! anything, so the locks guard copies, never the state of a partition.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat};

use crate::domain::signals::kind::SignalType;
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
    /// When it occurred, in milliseconds since 1970.
    pub occurred_at_ms: i64,
    /// Whose it is. Shown only to those who may ask for customers.
    pub customer_id: String,
}

#[derive(Debug)]
struct Shared {
    started_at: Instant,
    draining: AtomicBool,
    failure: Mutex<Option<String>>,
    brokers: Mutex<BrokerReport>,
    workers: Box<[Slot]>,
    recent_signals: Mutex<VecDeque<RecentSignal>>,
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
    /// Partitions that have not come to their live records, with the records of history still to be read; 0 while its customers
    /// are settled.
    history: BTreeMap<Partition, u64>,
    /// What an operator should look into, though the partition is processed.
    remarks: BTreeMap<Partition, String>,
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
        let slots = self.shared.workers.iter();
        slots.flat_map(|slot| lock(&slot.report).remarks.values().cloned().collect::<Vec<_>>()).collect()
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
            reasons.extend(report.history.iter().map(|(partition, remaining)| match remaining {
                0 => format!("partition {partition} settles the customers of its history"),
                remaining => {
                    format!("partition {partition} reads its history, {remaining} records to go")
                }
            }));
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
        let last = self.last_answer_ms.and_then(DateTime::from_timestamp_millis);
        let since = last
            .map_or_else(|| "the start".to_owned(), |last| last.to_rfc3339_opts(SecondsFormat::Secs, true));
        Some(format!("Kafka has not answered since {since}: {reason}"))
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

    /// Records that a partition has not come to its live records: how many of its history are still to be read. None once it has,
    /// or is no longer owned.
    pub fn in_history(&self, partition: Partition, remaining: Option<u64>) {
        let history = &mut lock(&self.slot().report).history;
        match remaining {
            Some(remaining) => history.insert(partition, remaining),
            None => history.remove(&partition),
        };
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
        };
        Self { ticked_at_ms: AtomicU64::new(NOT_STARTED), report: Mutex::new(report) }
    }
}

/// A worker that panicked while it held a lock left a whole value behind: every write here is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_workers() -> (ServiceStatus, WorkerStatus, WorkerStatus, Instant) {
        let started_at = Instant::now();
        let (status, pens) = ServiceStatus::new(2, started_at);
        let [first, second]: [WorkerStatus; 2] = pens.try_into().expect("two pens for two workers");
        (status, first, second, started_at)
    }

    #[test]
    fn the_worker_furthest_from_running_decides_the_state() {
        let (status, first, second, _) = two_workers();
        assert_eq!(status.state(), ServiceState::Starting);
        first.set_phase(WorkerPhase::Running);
        assert_eq!(status.state(), ServiceState::Starting);
        assert_eq!(status.unready_reasons(), ["worker 1 has not joined the group yet"]);
        second.set_phase(WorkerPhase::Running);
        assert_eq!(status.state(), ServiceState::Running);
        first.restoring(Partition(4), Some(12));
        second.restoring(Partition(5), None);
        assert_eq!(status.state(), ServiceState::Restoring);
        assert_eq!(
            status.unready_reasons(),
            ["partition 4 is being restored, 12 records to go", "partition 5 is being restored"]
        );
        second.set_phase(WorkerPhase::Rebalancing);
        assert_eq!(status.state(), ServiceState::Rebalancing);
        second.set_phase(WorkerPhase::Running);
        first.not_restoring(Partition(4));
        second.not_restoring(Partition(5));
        assert_eq!(status.state(), ServiceState::Running);
        assert!(status.unready_reasons().is_empty());
    }

    #[test]
    fn a_partition_in_history_is_not_ready_until_it_is_settled() {
        let (status, first, second, _) = two_workers();
        first.set_phase(WorkerPhase::Running);
        second.set_phase(WorkerPhase::Running);
        first.in_history(Partition(4), Some(12));
        assert_eq!(status.unready_reasons(), ["partition 4 reads its history, 12 records to go"]);
        first.in_history(Partition(4), Some(0));
        assert_eq!(status.unready_reasons(), ["partition 4 settles the customers of its history"]);
        first.in_history(Partition(4), None);
        assert!(status.unready_reasons().is_empty());
    }

    #[test]
    fn a_remark_leaves_the_service_ready() {
        let (status, first, second, _) = two_workers();
        first.set_phase(WorkerPhase::Running);
        second.set_phase(WorkerPhase::Running);
        second.remark(Partition(2), Some("partition 2: many records are too old".to_owned()));
        assert_eq!(status.remarks(), ["partition 2: many records are too old"]);
        assert!(status.unready_reasons().is_empty());
        second.remark(Partition(2), None);
        assert!(status.remarks().is_empty());
    }

    #[test]
    fn a_draining_service_is_alive_but_not_ready() {
        let (status, first, second, started_at) = two_workers();
        first.set_phase(WorkerPhase::Running);
        second.set_phase(WorkerPhase::Running);
        status.drain();
        drop(first);
        assert_eq!(status.state(), ServiceState::Draining);
        assert_eq!(status.unready_reasons(), ["shutting down", "worker 0 has ended"]);
        assert!(status.dead_reasons(started_at).is_empty());
    }

    #[test]
    fn a_service_whose_brokers_are_silent_is_alive_but_not_ready() {
        let (status, first, second, started_at) = two_workers();
        first.set_phase(WorkerPhase::Running);
        second.set_phase(WorkerPhase::Running);
        assert!(status.unready_reasons().is_empty(), "nothing was asked yet");
        status.on_brokers_silent("k:9092: connection refused");
        assert_eq!(
            status.unready_reasons(),
            ["Kafka has not answered since the start: k:9092: connection refused"]
        );
        status.on_brokers_answer(1_700_000_000_000);
        assert!(status.unready_reasons().is_empty());
        status.on_brokers_silent("no answer within 3 s");
        assert_eq!(
            status.unready_reasons(),
            ["Kafka has not answered since 2023-11-14T22:13:20Z: no answer within 3 s"]
        );
        assert!(status.dead_reasons(started_at).is_empty());
    }

    #[test]
    fn a_restoring_service_is_alive() {
        let (status, first, _second, started_at) = two_workers();
        first.restoring(Partition(0), None);
        assert!(status.dead_reasons(started_at + TICK_AGE_MAX).is_empty());
    }

    #[test]
    fn a_loop_that_stands_still_or_ends_is_dead() {
        let (status, first, second, started_at) = two_workers();
        let later = started_at + 2 * TICK_AGE_MAX;
        assert!(status.dead_reasons(later).is_empty(), "the workers have not started");
        second.tick(started_at);
        first.tick(later);
        assert_eq!(status.dead_reasons(later), ["the loop of worker 1 has not turned for 120 s"]);
        second.tick(later);
        assert!(status.dead_reasons(later).is_empty());
        drop(first);
        assert_eq!(status.dead_reasons(later), ["worker 0 has ended"]);
        assert_eq!(status.state(), ServiceState::Failed);
    }

    #[test]
    fn the_first_failure_is_the_one_that_is_told() {
        let (status, _first, _second, started_at) = two_workers();
        status.fail("topic orders has 3 partitions, returns has 4");
        status.fail("worker 1 has ended");
        assert_eq!(
            status.dead_reasons(started_at),
            ["stopped: topic orders has 3 partitions, returns has 4"]
        );
        assert_eq!(status.state(), ServiceState::Failed);
    }

    #[test]
    fn only_the_latest_signals_are_kept() {
        let (status, ..) = two_workers();
        let signal = |number: i64| RecentSignal {
            signal_type: SignalType::Lapsed,
            occurred_at_ms: number,
            customer_id: number.to_string(),
        };
        status.on_signals((0..100).map(signal));
        let recent_signals = status.recent_signals();
        assert_eq!(recent_signals.len(), RECENT_SIGNALS_MAX);
        assert_eq!(recent_signals[0], signal(99));
    }
}
