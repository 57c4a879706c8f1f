//! The open transaction of an intake worker: records are written into it while they are mapped, so it holds none itself.
//!
//! Whatever fails, the answer is the same: give it up, and read again from where the brokers say that the group is committed. Whether it
//! was committed after all is their word alone.

use std::time::Duration;

use tracing::warn;

use super::counts::Counts;
use super::lanes::Lanes;
use super::mapping::Mapper;
use super::port::{NativeOutput, RawBroker, RawOffset};
use crate::fault::{self, Milestone};
use crate::observe::metrics::{FatalKind, Metrics};
use crate::stream::broker::{BrokerError, Moment, Unknown};
use crate::stream::session::{self, Attempt, AttemptError, Fencings, GroupEvents};
use crate::stream::worker::Stop;

/// A transaction is committed when it holds so many raw records, ...
const RECORDS_MAX: usize = 20_000;
/// ... or is open for so long: the broker ends it at twice that.
const AGE_MAX: Duration = Duration::from_secs(5);
/// The pause after a transaction that failed; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long a full producer queue is flushed for before the record is offered again.
const DRAIN: Duration = Duration::from_millis(20);

/// See the module.
pub struct IntakeTransaction {
    open: Option<Open>,
    fencings: Fencings,
    /// Since when none could be committed.
    failing_since: Option<Moment>,
    backoff: Duration,
}

struct Open {
    since: Moment,
    counts: Counts,
}

impl IntakeTransaction {
    pub fn new() -> Self {
        Self { open: None, fencings: Fencings::default(), failing_since: None, backoff: BACKOFF_MIN }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it is to be committed, at this pace.
    pub fn is_due(&self, pace: Duration, now: Moment) -> bool {
        self.open.as_ref().is_some_and(|Open { since, counts }| {
            now.since(*since) >= pace.min(AGE_MAX) || counts.records >= fault::bound(RECORDS_MAX) as u64
        })
    }

    /// Begins it, unless it is open. What is written from now on is counted.
    pub fn begin<B: RawBroker>(&mut self, broker: &mut B) -> Result<&mut Counts, AttemptError> {
        if self.open.is_none() {
            fault::reach(Milestone::BeforeBegin);
            broker.begin()?;
            self.open = Some(Open { since: broker.now(), counts: Counts::default() });
            fault::reach(Milestone::AfterBegin);
        }
        Ok(&mut self.open.as_mut().expect("just begun").counts)
    }

    /// Commits it with the positions of `lanes`. Gives what it held.
    pub fn commit<B: RawBroker>(
        &mut self,
        broker: &mut B,
        events: &mut GroupEvents,
        lanes: &Lanes<B::Batch>,
        mapper: &Mapper,
        deadline: Moment,
        tick: impl Fn(),
    ) -> Result<Counts, AttemptError> {
        self.begin(broker)?;
        fault::reach(Milestone::AfterSend);
        session::bounded(broker, events, deadline, B::flush, |_| tick())?;
        fault::reach(Milestone::AfterFlush);
        if lanes.partitions().any(|partition| events.has_lost(partition)) {
            return Err(AttemptError::Abort("a partition was lost meanwhile".into()));
        }
        let membership = broker.membership()?;
        if !membership.is_fencing() {
            return Err(AttemptError::Abort("the worker is not a member of its group".into()));
        }
        let offsets = lanes.moved().map(|(partition, position, source)| {
            let metadata = &mapper.sources[source].offset_metadata;
            RawOffset { partition, position, metadata }
        });
        let offsets: Vec<_> = offsets.collect();
        if !offsets.is_empty() {
            let send_offsets = |broker: &mut B, within| broker.send_offsets(&offsets, &membership, within);
            session::bounded(broker, events, deadline, send_offsets, |_| tick())?;
        }
        fault::reach(Milestone::AfterOffsets);
        let committed = session::bounded(broker, events, deadline, B::commit, |_| tick());
        fault::reach(Milestone::AfterCommit);
        // A commit has no error that says "not committed" and can be trusted.
        committed.map_err(|error| match error {
            AttemptError::Abort(cause) => AttemptError::Unknown(Unknown::Failed, cause),
            AttemptError::Unknown(unknown, cause) => AttemptError::Unknown(unknown, cause),
            AttemptError::Stop(stop) => AttemptError::Stop(stop),
        })?;
        self.failing_since = None;
        self.backoff = BACKOFF_MIN;
        Ok(self.open.take().map(|open| open.counts).unwrap_or_default())
    }

    /// Gives it up; afterwards nothing is open at the broker, and its outcome is settled.
    pub fn give_up<B: RawBroker>(
        &mut self,
        broker: &mut B,
        events: &mut GroupEvents,
        error: AttemptError,
        patience: Duration,
        metrics: &Metrics,
        tick: impl Fn(),
    ) -> Result<(), Stop> {
        let since = self.open.take().map(|open| open.since);
        match session::undo(broker, events, error, |_| tick())? {
            Attempt::Committed => unreachable!("only what failed is undone"),
            Attempt::Aborted(cause) => {
                warn!(cause = format!("{cause:#}"), "transaction aborted, its records are read again");
            }
            Attempt::Unknown(unknown, cause) => {
                warn!(
                    cause = format!("{cause:#}"),
                    "outcome of the transaction is unknown, the brokers are asked"
                );
                if unknown == Unknown::Fenced {
                    metrics.on_producer_fenced();
                    self.fencings.add(broker, since)?;
                }
                let deadline = broker.now().plus(patience);
                session::bounded(broker, events, deadline, B::open_producer, |_| tick())
                    .map_err(AttemptError::unresolved)?;
            }
        }
        metrics.on_transaction_aborted();
        let now = broker.now();
        let failing_since = *self.failing_since.get_or_insert(now);
        if now.since(failing_since) >= patience {
            return Err(Stop::new(
                FatalKind::Unavailable,
                "Kafka took no commit of the intake within `commit.patience`; nothing is lost, the records are read again after a start",
            ));
        }
        let backoff = self.backoff;
        self.backoff = (backoff * 2).min(BACKOFF_MAX);
        session::pause(broker, events, backoff, |_| tick())
    }

    /// Aborts what a worker that ends leaves open.
    pub fn abandon<B: RawBroker>(&mut self, broker: &mut B, events: &mut GroupEvents) {
        if self.open.take().is_some() {
            let deadline = broker.now().plus(Duration::from_secs(1));
            // The worker ends for another reason; the broker ends what is left open at its timeout.
            let _ = session::bounded(broker, events, deadline, B::abort, |_| {});
        }
    }
}

/// Writes a record into the open transaction.
pub(in crate::stream) fn send<B: RawBroker>(
    broker: &mut B,
    events: &mut GroupEvents,
    record: &NativeOutput<'_>,
) -> Result<(), AttemptError> {
    let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    let bytes: usize =
        bytes + record.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if bytes > broker.record_bytes_max() {
        let max = broker.record_bytes_max();
        return Err(AttemptError::Stop(Stop::too_large(format!(
            "a record for {:?} has {bytes} bytes, the topics take {max}: raise their `max.message.bytes`",
            record.output
        ))));
    }
    let started_at = broker.now();
    while let Err(error) = broker.send(record) {
        let is_full = matches!(error, BrokerError::Retry(_)) && broker.now().since(started_at) < AGE_MAX;
        if !is_full {
            return Err(error.into());
        }
        match broker.flush(DRAIN) {
            Ok(()) | Err(BrokerError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        events.record(broker).map_err(AttemptError::Stop)?;
    }
    Ok(())
}
