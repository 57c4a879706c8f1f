//! A log in memory with one partition and one worker, whose calls fail as a script says. It proves the worker's answers to
//! errors; what brokers really do is for the simulation and for a real Kafka.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use retention_signals::stream::broker::{
    Broker, BrokerError, Capabilities, ChangelogIdentity, Clocks, Committed, FetchProgress, GroupEvent,
    Membership, Moment, NextOffset, Offset, OutputRecord, Position, RecordBatch, RecordView, Session, Task,
    TaskStep, Unknown, Waker,
};
use retention_signals::topic::{Input, Output, Partition, PerInput, Topic};

use super::lookup::FakeLookup;

pub const PARTITION: Partition = Partition(0);
const ID: &str = "fake-0";

/// Calls that may fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Begin,
    Send,
    Flush,
    SendOffsets,
    Commit,
    Abort,
    OpenProducer,
    Committed,
}

/// How one call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Time passes.
    Retry,
    /// Nothing happens, for ever.
    Hang,
    Abort,
    /// The producer is done for; what was open has been aborted.
    Failed,
    Fenced,
    /// A commit that is reported as failed, and was none the less done.
    FailedThoughCommitted,
    /// The partition goes to another process that leaves a batch behind, and comes back.
    LostAndFound,
    /// The partition is revoked while the call is under way, and comes back.
    RevokedAndFound,
}

#[derive(Clone, Debug)]
pub struct Kept {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Everything that the worker's handles share.
pub struct State {
    pub now: Duration,
    /// Wall time at `now` 0.
    pub wall_start_ms: i64,
    /// The one partition of all that the topics have.
    pub partition: Partition,
    pub partitions: u32,
    pub inputs: PerInput<Vec<Kept>>,
    pub outputs: [Vec<Kept>; Output::COUNT],
    /// How far the combiner has come.
    pub combined: Option<Committed>,
    /// Its next transactions fail so, and write nothing.
    pub combiner_errors: VecDeque<BrokerError>,
    pub registry: Vec<Kept>,
    pub committed: PerInput<Option<Committed>>,
    /// Calls are answered so, each entry once and in order.
    pub script: VecDeque<(Call, Fault)>,
    pub commits: usize,
    pub aborts: usize,
    pub producers: usize,
    pub changelog: Option<ChangelogIdentity>,
    /// Records of the changelog that were read.
    pub changelog_reads: usize,
    /// An input gives nothing before so much time has passed since it last did.
    pub fetch_every: Duration,
    fetched_at: PerInput<Option<Duration>>,
    open: Option<Open>,
    producer_is_alive: bool,
    is_member: bool,
    events: VecDeque<GroupEvent>,
    positions: PerInput<Option<Position>>,
    tasks: Vec<Task<FakeLookup>>,
}

#[derive(Default)]
struct Open {
    records: Vec<(Output, Kept)>,
    offsets: Vec<(Input, Committed)>,
}

#[derive(Clone)]
pub struct FakeBroker {
    pub state: Rc<RefCell<State>>,
    lookup: FakeLookup,
}

pub struct FakeBatch {
    pub(super) first: u64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) records: Vec<Kept>,
}

impl RecordBatch for FakeBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn has_header(&self, _: usize, _: &std::ffi::CStr) -> bool {
        false
    }

    fn get(&self, index: usize) -> RecordView<'_> {
        let record = &self.records[index];
        RecordView {
            offset: Offset(self.first + index as u64),
            timestamp_ms: self.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
        }
    }
}

impl State {
    pub fn new(inputs: PerInput<Vec<Kept>>, wall_start_ms: i64, script: &[(Call, Fault)]) -> State {
        State {
            now: Duration::ZERO,
            wall_start_ms,
            partition: PARTITION,
            partitions: 1,
            inputs,
            outputs: Default::default(),
            combined: None,
            combiner_errors: VecDeque::new(),
            registry: Vec::new(),
            committed: PerInput::default(),
            script: script.iter().copied().collect(),
            commits: 0,
            aborts: 0,
            producers: 0,
            changelog: None,
            changelog_reads: 0,
            fetch_every: Duration::ZERO,
            fetched_at: PerInput::default(),
            open: None,
            producer_is_alive: false,
            is_member: false,
            events: VecDeque::new(),
            positions: PerInput::default(),
            tasks: Vec::new(),
        }
    }

    /// The fault that the script has for this call, if it is the next one.
    fn fault(&mut self, call: Call) -> Option<Fault> {
        self.now += Duration::from_millis(1);
        let (next, fault) = *self.script.front()?;
        if next != call {
            return None;
        }
        if fault != Fault::Hang {
            self.script.pop_front();
        }
        Some(fault)
    }

    pub(super) fn answer(&mut self, call: Call, within: Duration) -> Result<(), BrokerError> {
        let Some(fault) = self.fault(call) else { return Ok(()) };
        let cause = format!("{call:?} {fault:?}");
        match fault {
            Fault::Retry | Fault::Hang => {
                self.now += within;
                Err(BrokerError::retry(cause))
            }
            Fault::Abort => Err(BrokerError::AbortTransaction(cause.into())),
            Fault::Failed | Fault::Fenced => {
                self.give_up_producer();
                let unknown = if fault == Fault::Fenced { Unknown::Fenced } else { Unknown::Failed };
                Err(BrokerError::OutcomeUnknown(unknown, cause.into()))
            }
            Fault::FailedThoughCommitted => {
                self.write();
                self.give_up_producer();
                Err(BrokerError::OutcomeUnknown(Unknown::Failed, cause.into()))
            }
            Fault::LostAndFound => {
                self.open = None;
                self.is_member = false;
                self.events.push_back(GroupEvent::Lost(vec![self.partition]));
                self.events.push_back(GroupEvent::Assigned(vec![self.partition]));
                Err(BrokerError::AbortTransaction(cause.into()))
            }
            Fault::RevokedAndFound => {
                self.events.push_back(GroupEvent::Revoked(vec![self.partition]));
                self.events.push_back(GroupEvent::Assigned(vec![self.partition]));
                self.now += within;
                Err(BrokerError::retry(cause))
            }
        }
    }

    fn give_up_producer(&mut self) {
        self.open = None;
        self.producer_is_alive = false;
    }

    fn write(&mut self) {
        let open = self.open.take().expect("a transaction is open");
        for (output, record) in open.records {
            self.outputs[output as usize].push(record);
        }
        for (input, committed) in open.offsets {
            self.committed[input] = Some(committed);
        }
        self.commits += 1;
    }

    pub(super) fn log(&self, topic: Topic) -> &Vec<Kept> {
        match topic {
            Topic::Input(input) => &self.inputs[input],
            Topic::Output(output) => &self.outputs[output as usize],
            Topic::Registry => &self.registry,
        }
    }

    /// The threads beside the worker panic.
    pub fn drop_tasks(&mut self) {
        self.tasks.clear();
    }

    /// Everything is read and committed.
    pub fn is_done(&self) -> bool {
        self.inputs.iter().all(|(input, records)| {
            let end = records.len() as u64;
            end == 0 || self.committed[input].as_ref().is_some_and(|committed| committed.position.0 == end)
        })
    }
}

impl FakeBroker {
    pub fn new(state: State) -> FakeBroker {
        FakeBroker::of(Rc::new(RefCell::new(state)))
    }

    /// A new process on the same log: what the one before had open is gone.
    pub fn of(state: Rc<RefCell<State>>) -> FakeBroker {
        let lookup = FakeLookup { state: Rc::clone(&state) };
        let mut shared = state.borrow_mut();
        shared.open = None;
        shared.producer_is_alive = false;
        shared.events.clear();
        shared.tasks.clear();
        drop(shared);
        FakeBroker { lookup, state }
    }

    fn run_tasks(&self) {
        let tasks = std::mem::take(&mut self.state.borrow_mut().tasks);
        for mut task in tasks {
            if task(&mut self.lookup.clone()) == TaskStep::Again {
                self.state.borrow_mut().tasks.push(task);
            }
        }
    }
}

impl Session for FakeBroker {
    fn transactional_id(&self) -> &str {
        ID
    }

    fn incarnation(&self) -> u64 {
        1
    }

    fn record_bytes_max(&self) -> usize {
        1_000_000
    }

    fn now(&self) -> Moment {
        Moment(self.state.borrow().now)
    }

    fn clocks(&self) -> Clocks {
        let state = self.state.borrow();
        let elapsed = i64::try_from(state.now.as_millis()).expect("a short test");
        Clocks { monotonic: Moment(state.now), boot: state.now, wall_ms: state.wall_start_ms + elapsed }
    }

    fn wait(&mut self, up_to: Duration) {
        self.run_tasks();
        self.state.borrow_mut().now += up_to;
    }

    fn waker(&self) -> Waker {
        Arc::new(|| {})
    }

    fn subscribe(&mut self) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        let assigned = GroupEvent::Assigned(vec![state.partition]);
        state.events.push_back(assigned);
        Ok(())
    }

    fn poll(&mut self) -> Result<Option<GroupEvent>, BrokerError> {
        self.run_tasks();
        Ok(self.state.borrow_mut().events.pop_front())
    }

    fn assign(&mut self, _: &[Partition]) -> Result<(), BrokerError> {
        self.state.borrow_mut().is_member = true;
        Ok(())
    }

    fn unassign(&mut self, _: &[Partition]) -> Result<(), BrokerError> {
        self.state.borrow_mut().positions = PerInput::default();
        Ok(())
    }

    fn membership(&self) -> Result<Membership, BrokerError> {
        let is_member = self.state.borrow().is_member;
        Ok(if is_member {
            Membership { generation: 1, member: "me".to_owned() }
        } else {
            Membership { generation: -1, member: String::new() }
        })
    }

    fn open_producer(&mut self, within: Duration) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        state.open = None;
        state.answer(Call::OpenProducer, within)?;
        state.producer_is_alive = true;
        state.producers += 1;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        assert!(state.producer_is_alive && state.open.is_none(), "begin without a producer, or twice");
        state.answer(Call::Begin, Duration::ZERO)?;
        state.open = Some(Open::default());
        Ok(())
    }

    fn flush(&mut self, within: Duration) -> Result<(), BrokerError> {
        self.state.borrow_mut().answer(Call::Flush, within)
    }

    fn commit(&mut self, within: Duration) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        state.answer(Call::Commit, within)?;
        state.write();
        Ok(())
    }

    fn abort(&mut self, within: Duration) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        state.answer(Call::Abort, within)?;
        state.open = None;
        state.aborts += 1;
        Ok(())
    }

    fn close(self, _: Duration) {}
}

impl Broker for FakeBroker {
    type Batch = FakeBatch;

    type Lookup = FakeLookup;

    fn capabilities(&self) -> Capabilities {
        Capabilities { transactional_offsets: true, topic_configuration: true }
    }

    fn read_from(&mut self, _: Partition, positions: PerInput<Position>) -> Result<(), BrokerError> {
        self.state.borrow_mut().positions = PerInput::from_fn(|input| Some(positions[input]));
        Ok(())
    }

    fn pause(&mut self, _: Partition) -> Result<(), BrokerError> {
        self.state.borrow_mut().positions = PerInput::default();
        Ok(())
    }

    fn fetch(
        &mut self,
        _: Partition,
        input: Input,
        records_max: usize,
    ) -> Result<Option<FakeBatch>, BrokerError> {
        let mut state = self.state.borrow_mut();
        let from = state.positions[input].expect("the partition is read");
        if state.fetched_at[input].is_some_and(|at| state.now < at + state.fetch_every) {
            return Ok(None);
        }
        state.fetched_at[input] = Some(state.now);
        let all = &state.inputs[input][from.0 as usize..];
        // A few at a time, so that there are many batches.
        let records = all[..all.len().min(records_max).min(7)].to_vec();
        state.positions[input] = Some(Position(from.0 + records.len() as u64));
        let timestamp_ms = Some(super::APPENDED_MS);
        Ok((!records.is_empty()).then_some(FakeBatch { first: from.0, timestamp_ms, records }))
    }

    fn progress(&mut self, _: Partition, input: Input) -> Result<FetchProgress, BrokerError> {
        let state = self.state.borrow();
        let position = state.positions[input].expect("the partition is read");
        Ok(FetchProgress { position, high_watermark: Some(Position(state.inputs[input].len() as u64)) })
    }

    fn send(&mut self, record: &OutputRecord<'_>) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        state.answer(Call::Send, Duration::ZERO)?;
        let kept = Kept { key: record.key.map(<[u8]>::to_vec), value: record.value.map(<[u8]>::to_vec) };
        state.open.as_mut().expect("a transaction is open").records.push((record.output, kept));
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[NextOffset<'_>],
        membership: &Membership,
        within: Duration,
    ) -> Result<(), BrokerError> {
        assert!(membership.is_fencing(), "offsets that fence nothing");
        assert_eq!(offsets.len(), 3, "all inputs of the partition");
        let mut state = self.state.borrow_mut();
        state.answer(Call::SendOffsets, within)?;
        let offsets = offsets.iter().map(|next| {
            (next.input, Committed { position: next.position, metadata: next.metadata.to_owned() })
        });
        state.open.as_mut().expect("a transaction is open").offsets = offsets.collect();
        Ok(())
    }

    fn lookup(&mut self) -> &mut FakeLookup {
        &mut self.lookup
    }

    fn spawn(&mut self, _: &str, task: Task<FakeLookup>) -> Result<(), BrokerError> {
        self.state.borrow_mut().tasks.push(task);
        Ok(())
    }
}
