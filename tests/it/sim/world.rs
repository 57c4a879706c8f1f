//! The brokers and everything around them: one owner, one clock, one random number generator. Nothing here waits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use retention_signals::stream::broker::{BrokerError, ChangelogIdentity, CombinedRecord, Committed, Unknown};
use retention_signals::stream::rules::Rules;
use retention_signals::topic::{Input, Output, Partition, Topic};

use super::group::{Group, Offsets};
use super::history::{History, Prepared};
use super::host::Host;
use super::intake::Intake;
use super::log::{Edge, Log, ProducerId, Record};
use super::mutation::Twist;
use super::producer::Fate;
use super::script::Script;
use super::shop::Shop;
use super::transactions::{Coordinator, Credentials, Place, Refusal};

/// 2025-06-01T00:00:00Z: wall time when the world begins.
pub const WALL_START_MS: i64 = 1_748_736_000_000;
/// Longer than any restore: who takes longer than this has lost the partition.
pub const TOMBSTONE_RETENTION: Duration = Duration::from_secs(120);

/// Topics with one partition.
const SINGLE: [Topic; 3] =
    [Topic::Registry, Topic::Output(Output::Shares), Topic::Output(Output::ShopMetrics)];

pub fn is_single(topic: Topic) -> bool {
    SINGLE.contains(&topic)
}

/// How wild it gets.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// Of 256 calls, how many are interrupted by others; twice as many inside of a transaction.
    pub switch: u8,
    /// Of 256 calls that may fail, how many do.
    pub fail: u8,
    /// Of 256 markers and answers, how many take seconds.
    pub slow: u8,
    /// Faults that are still to come, failing calls and mischief alike.
    pub faults_left: u32,
    /// Of 256 fetches, how many find nothing at hand though there is something.
    pub stingy: u8,
    /// Records of one fetch.
    pub fetch_max: usize,
    /// Idle waits last up to so many times as long as asked for.
    pub laziness: u32,
}

/// What brokers hold, at rest.
pub struct Backup {
    logs: BTreeMap<(Topic, u32), Log>,
    offsets: Vec<Offsets>,
    history: History,
}

/// See the module.
pub struct World {
    pub rng: Rng,
    pub now: Duration,
    /// Counts what happens, to tell before from after.
    pub event: u64,
    pub partitions: u32,
    logs: BTreeMap<(Topic, u32), Log>,
    pub coordinator: Coordinator,
    pub group: Group,
    /// When each marker of an ended transaction reaches its place.
    markers: Vec<(Duration, ProducerId, Place)>,
    /// Decisions that are still on their way to the coordinator.
    late_ends: Vec<(Duration, Credentials, bool)>,
    /// What a transaction would commit, noted when its commit was asked for.
    pub prepared: BTreeMap<ProducerId, Prepared>,
    pub hosts: Vec<Host>,
    pub shop: Shop,
    /// Moves what the shop writes to the inputs; none if it writes there itself.
    pub intake: Option<Intake>,
    /// By which the workers go: where wall time would put their clocks.
    pub rules: Option<Rules>,
    pub history: History,
    pub chaos: Chaos,
    pub twist: Option<Twist>,
    /// Workers read the registry.
    pub has_registry: bool,
    /// It cannot be read.
    pub is_registry_out: bool,
    /// How far the combiner has come.
    pub combined: Option<Committed>,
    /// How the next commits end, whatever chance says.
    pub commit_fates: VecDeque<Fate>,
    /// A process stood still for so long that a merge may have given up waiting.
    pub has_long_stall: bool,
    /// How calls of the port fail, whatever chance says.
    pub script: Script,
    /// None: the brokers cannot identify topics.
    pub changelog: Option<ChangelogIdentity>,
    /// Records of the changelog that were read.
    pub changelog_reads: usize,
    /// The first violation that a check has found.
    pub violation: Option<String>,
}

impl World {
    pub fn new(mut rng: Rng, chaos: Chaos, shop: Shop) -> Self {
        let partitions = shop.partitions;
        let logs = Topic::all()
            .flat_map(|topic| (0..partitions).map(move |partition| ((topic, partition), Log::default())))
            .chain(SINGLE.map(|topic| ((topic, 0), Log::default())))
            .collect();
        Self {
            rng: rng.fork(),
            now: Duration::from_millis(rng.u64(0..1_000)),
            event: 0,
            partitions,
            logs,
            coordinator: Coordinator::default(),
            group: Group::new(partitions),
            markers: Vec::new(),
            late_ends: Vec::new(),
            prepared: BTreeMap::new(),
            hosts: Vec::new(),
            shop,
            intake: None,
            rules: None,
            history: History::new(partitions),
            chaos,
            twist: None,
            has_registry: false,
            is_registry_out: false,
            combined: None,
            commit_fates: VecDeque::new(),
            has_long_stall: false,
            script: Script::new(),
            changelog: Some(ChangelogIdentity {
                cluster: "cluster".to_owned(),
                topic: [0; 16],
                tombstone_retention: TOMBSTONE_RETENTION,
            }),
            changelog_reads: 0,
            violation: None,
        }
    }

    pub fn log(&self, topic: Topic, partition: u32) -> &Log {
        &self.logs[&(topic, partition)]
    }

    pub fn log_mut(&mut self, topic: Topic, partition: u32) -> &mut Log {
        self.logs.get_mut(&(topic, partition)).expect("the worker knows its topics and partitions")
    }

    pub fn append(
        &mut self,
        topic: Topic,
        partition: u32,
        record: Record,
        writer: Option<ProducerId>,
    ) -> u64 {
        self.event += 1;
        let event = self.event;
        self.log_mut(topic, partition).append(record, writer, event)
    }

    pub fn report(&mut self, violation: String) {
        self.violation.get_or_insert(violation);
    }

    /// A worker asks how far the intake has come.
    pub fn note_raw_question(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        let target = self.rules.as_ref().and_then(|rules| rules.clock_target(host.wall_ms));
        host.raw_asked.extend(target.map(|target| (target.as_millis(), host.clocks_at)));
    }

    /// The brokers' wall time.
    pub fn wall_ms(&self) -> i64 {
        WALL_START_MS + i64::try_from(self.now.as_millis()).expect("a short life")
    }

    // === Chance

    /// Whether something happens of which so many in 256 do.
    pub fn happens(&mut self, of_256: u8) -> bool {
        self.rng.u8(..) < of_256
    }

    /// Whether something fails now, as long as there are faults left.
    pub fn fails(&mut self) -> bool {
        if self.chaos.faults_left == 0 || !self.happens(self.chaos.fail) {
            return false;
        }
        self.chaos.faults_left -= 1;
        true
    }

    /// How long a request, an answer or a marker is under way.
    pub fn travel_time(&mut self) -> Duration {
        let is_slow = self.chaos.faults_left > 0 && self.happens(self.chaos.slow);
        Duration::from_micros(if is_slow { self.rng.u64(0..4_000_000) } else { self.rng.u64(0..3_000) })
    }

    // === Transactions

    /// Fences the producers of a name. None while something of theirs is under way.
    pub fn initialise(&mut self, name: &str) -> Option<Credentials> {
        let credentials = self.coordinator.initialise(name).ok();
        self.send_markers();
        credentials
    }

    /// The coordinator hears of the end of a transaction. Gives whether it was decided now.
    pub fn end_transaction(&mut self, producer: Credentials, is_commit: bool) -> Result<(), Refusal> {
        let is_decision = self.coordinator.end(producer, is_commit)?;
        if is_decision {
            self.send_markers();
            let prepared = self.prepared.remove(&producer.id);
            if let Some(prepared) = prepared
                && is_commit
            {
                self.on_committed(prepared);
            }
        }
        Ok(())
    }

    /// The combiner's transaction, as a whole: it fails before, in the midst, or after the decision; or it does not.
    pub fn publish_combined(
        &mut self,
        credentials: Credentials,
        records: &[CombinedRecord],
        combined: &Committed,
    ) -> Result<(), BrokerError> {
        let failed = |refusal| {
            let unknown = if refusal == Refusal::Fenced { Unknown::Fenced } else { Unknown::Failed };
            BrokerError::OutcomeUnknown(unknown, format!("{refusal:?}").into())
        };
        let fate = if self.fails() { self.rng.u8(..3) } else { 3 };
        if fate == 0 {
            return Err(failed(Refusal::Invalid));
        }
        // A day that was dropped has no records, and its position is written all the same.
        let place = Place::Log(Topic::Output(Output::ShopMetrics), Partition(0));
        self.coordinator.touch(credentials, place, self.now).map_err(failed)?;
        for CombinedRecord { topic, key, value } in records {
            self.coordinator
                .touch(credentials, Place::Log(*topic, Partition(0)), self.now)
                .map_err(failed)?;
            let record = Record {
                key: Some(key.as_slice().into()),
                value: Some(value.as_slice().into()),
                timestamp_ms: self.wall_ms(),
                headers: Vec::new(),
            };
            self.append(*topic, 0, record, Some(credentials.id));
        }
        if fate == 1 {
            return Err(failed(Refusal::Invalid));
        }
        self.end_transaction(credentials, true).map_err(failed)?;
        self.combined = Some(combined.clone());
        if fate == 2 { Err(failed(Refusal::Invalid)) } else { Ok(()) }
    }

    /// The coordinator will hear of it later, if it still wants to.
    pub fn end_transaction_later(&mut self, producer: Credentials, is_commit: bool) {
        let delay = Duration::from_millis(self.rng.u64(1..4_000));
        self.late_ends.push((self.now + delay, producer, is_commit));
    }

    fn on_committed(&mut self, prepared: Prepared) {
        for part in prepared.parts {
            if let Some(host) = self.hosts.get_mut(prepared.host) {
                host.forget_items(&part);
            }
            let (logs, partition) = (&self.logs, part.partition.0);
            let input_log = |input: Input| &logs[&(Topic::Input(input), partition)];
            if let Some(violation) = self.intake.as_ref().and_then(|intake| intake.left_behind(&part)) {
                self.violation.get_or_insert(violation);
            }
            if let Err(violation) = self.history.commit(part, self.twist.is_none(), input_log) {
                self.report(violation);
            }
        }
    }

    fn send_markers(&mut self) {
        let under_way: Vec<(ProducerId, Place)> = self.coordinator.markers().collect();
        for (producer, place) in under_way {
            if self.markers.iter().all(|(_, id, at)| (*id, *at) != (producer, place)) {
                let due = self.now + self.travel_time();
                self.markers.push((due, producer, place));
            }
        }
    }

    // === Time

    /// When something happens next by itself.
    pub fn next_due(&self) -> Option<Duration> {
        let markers = self.markers.iter().map(|(due, ..)| *due);
        let ends = self.late_ends.iter().map(|(due, ..)| *due);
        let expiry = self.coordinator.next_expiry();
        let clients = self.hosts.iter().filter_map(Host::next_step_at);
        let shop = self.shop.next_due();
        let intake = self.intake.as_ref().map(Intake::next_due);
        markers.chain(ends).chain(expiry).chain(clients).chain(shop).chain(intake).min()
    }

    /// Lets happen what is due until then.
    pub fn pass(&mut self, until: Duration) {
        while self.now < until {
            self.settle();
            let next = self.next_due().map_or(until, |due| due.min(until));
            self.now = next.max(self.now + Duration::from_micros(1));
        }
        self.settle();
    }

    /// Lets happen what is due by now.
    pub fn settle(&mut self) {
        while let Some(index) = self.late_ends.iter().position(|(due, ..)| *due <= self.now) {
            let (_, producer, is_commit) = self.late_ends.swap_remove(index);
            // Requests of producers that were fenced meanwhile have no effect.
            let _ = self.end_transaction(producer, is_commit);
        }
        while let Some(index) = self.markers.iter().position(|(due, ..)| *due <= self.now) {
            let (_, producer, place) = self.markers.swap_remove(index);
            self.mark(producer, place);
        }
        if self.coordinator.next_expiry().is_some_and(|due| due < self.now) {
            for producer in self.coordinator.expire(self.now) {
                self.prepared.remove(&producer);
            }
            self.send_markers();
        }
        self.group.settle(self.now);
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            if host.next_step_at().is_some_and(|due| due <= self.now) {
                host.client.step(&mut self.group, self.now);
                let is_steady = host.client.is_steady();
                // A heartbeat every 200 ms; answers take some milliseconds.
                let pause = if is_steady { 150..250 } else { 1..60 };
                host.client.next_step_at = self.now + Duration::from_millis(self.rng.u64(pause));
            }
        }
        self.group.settle(self.now);
        while let Some(arrival) = self.shop.next_arrival(self.now) {
            match self.intake {
                Some(_) => self.arrive_raw(arrival),
                None => self.arrive(arrival),
            }
        }
        self.step_intake();
    }

    fn mark(&mut self, producer: ProducerId, place: Place) {
        let is_commit = self.coordinator.marked(producer, place);
        self.event += 1;
        let event = self.event;
        match place {
            Place::Log(topic, partition) => self.log_mut(topic, partition.0).mark(producer, is_commit, event),
            Place::GroupOffsets => self.group.mark(producer, is_commit),
        }
    }

    /// All decided outcomes have arrived, no transaction is open, and every partition has an owner.
    pub fn is_settled(&self) -> bool {
        self.is_at_rest() && self.group.is_stable()
    }

    fn is_at_rest(&self) -> bool {
        self.late_ends.is_empty() && self.coordinator.is_quiet() && !self.group.has_pending()
    }

    // === Housekeeping

    /// The cleaner looks at one compacted partition; retention at one input.
    pub fn clean_up(&mut self) {
        let partition = self.rng.u32(..self.partitions);
        let topic = Topic::Output(if self.rng.bool() { Output::Changelog } else { Output::Customers });
        let end = self.log(topic, partition).edge(Edge::Stable);
        let below = self.rng.u64(0..=end);
        let now = self.now;
        self.log_mut(topic, partition).compact(below, now, TOMBSTONE_RETENTION);
        let input = Input::ALL[self.rng.usize(..3)];
        let committed = self.group.committed(partition)[input].as_ref().map(|committed| committed.position.0);
        let sealed = self.history.next_of(Partition(partition), input);
        // No process reads records that old, not even a zombie.
        let read = self.hosts.iter().filter_map(|host| host.readings.get(&partition));
        let read = read.map(|readings| readings[input].begin).min().unwrap_or(sealed);
        if let Some(start) = committed.map(|committed| committed.min(sealed).min(read))
            && self.rng.bool()
        {
            let start = self.rng.u64(0..=start);
            self.log_mut(Topic::Input(input), partition).truncate(start);
        }
    }

    /// The cleaner looks at all changelogs.
    pub fn clean_changelogs(&mut self) {
        for partition in 0..self.partitions {
            let now = self.now;
            let log = self.log_mut(Topic::Output(Output::Changelog), partition);
            log.compact(log.edge(Edge::Stable), now, TOMBSTONE_RETENTION);
        }
    }

    /// Offsets of topics outside of the subscription grow old.
    pub fn expire_offset(&mut self) {
        let partition = self.rng.u32(..self.partitions);
        let input = if self.rng.bool() { Input::Returns } else { Input::Erasures };
        self.group.set_committed(partition, input, None);
    }

    /// A topic is deleted, and another one gets its name.
    pub fn create_again(&mut self, topic: Topic, partition: u32) {
        self.identify_again();
        *self.log_mut(topic, partition) = Log::default();
    }

    /// All topics are deleted and created again, and the group's offsets are gone. No process runs; while a transaction is open,
    /// it does nothing.
    pub fn start_over(&mut self) {
        if !self.is_at_rest() {
            return;
        }
        self.identify_again();
        self.logs.values_mut().for_each(|log| *log = Log::default());
        for partition in 0..self.partitions {
            for input in Input::ALL {
                self.group.set_committed(partition, input, None);
            }
        }
        self.prepared.clear();
        self.shop.meanings.clear();
        let commits = self.history.commits;
        self.history = History::new(self.partitions);
        self.history.commits = commits;
    }

    /// What the brokers hold now. Nothing is open.
    pub fn backup(&self) -> Backup {
        let offsets = (0..self.partitions).map(|partition| self.group.committed(partition)).collect();
        Backup { logs: self.logs.clone(), offsets, history: self.history.clone() }
    }

    /// The brokers hold that again, and nothing since.
    pub fn set_back(&mut self, backup: Backup) {
        let Backup { logs, offsets, history } = backup;
        (self.logs, self.history) = (logs, history);
        for (partition, offsets) in (0..).zip(offsets) {
            for (input, committed) in offsets.iter() {
                self.group.set_committed(partition, input, committed.clone());
            }
        }
    }

    /// Topics were created under the same names.
    fn identify_again(&mut self) {
        if let Some(changelog) = &mut self.changelog {
            changelog.topic = changelog.topic.map(|byte| byte + 1);
        }
    }

    /// An operator moves an offset of the group by hand.
    pub fn reset_offset(&mut self, partition: u32, input: Input, position: u64) {
        let committed = Committed {
            position: retention_signals::stream::broker::Position(position),
            metadata: String::new(),
        };
        self.group.set_committed(partition, input, Some(committed));
    }
}
