//! Every metric: name, unit, labels, bound on the number of its series.
//!
//! One struct, built from an injected registry, with every child of a closed label resolved at the start. Call sites report
//! what happened and know no names. What counts input, output and business moves after the commit only.
//!
//! A process exports at most 410 series, and 55 for each owned partition. A currency beyond the first adds 4, and 8 for
//! each partition. The one that combines shares exports 43 more, and 16 for each currency. A test counts them.

mod batch;
mod client;
mod counter_value;
mod days;
mod gauge_value;
mod groups;
mod intake;
mod label;
mod labels;
mod partition;
mod process;
mod registrar;
mod rule_outcomes;
mod shop_day;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus::{Histogram, IntCounter, Registry, TextEncoder};

pub use self::intake::IntakeMetrics;
use self::{
    batch::BatchCounters,
    client::Clients,
    days::DayMetrics,
    groups::{
        BrokerMetrics, BusinessMetrics, GroupMetrics, HttpMetrics, InputMetrics, RestoreMetrics, RuleMetrics,
        ServiceMetrics, TimerMetrics, TransactionMetrics,
    },
    partition::PartitionFamilies,
    process::ProcessCollector,
    registrar::Registrar,
};
pub use self::{
    batch::{BatchSummary, CurrencyLabel, CurrencyValues, TransactionSummary},
    client::{ClientMetrics, ClientStatistics},
    days::{CombinerGauges, IncompleteDay, IncompleteDays},
    label::{Label, PerLabel},
    labels::{
        Basis, Client, CombinerFailure, FatalKind, HttpCode, LogLevel, OrderKind, OrderOrigin, Outcome,
        ProjectedPoints, RebalanceKind, RefundKind, Remark, RetentionMonth, RevenueKind, Route, ServiceState,
        ShopRevenue, Stage, TimerOutcome, TopicReason, TrailingWindow, TransactionResult, Transition, Window,
        WindowBasis, WindowOrigin, WindowRevenue,
    },
    partition::{PartitionGauges, PartitionMetrics, PartitionOverview, PartitionTotals},
    rule_outcomes::RuleGroup,
    shop_day::{ShopDay, ShopMoney},
};
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::rule::RuleAction;
use crate::domain::values::time::Time;
use crate::topic::{Input, Partition, PerInput};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision that the program was built from, if the build said so (the Dockerfile does).
pub const REVISION: &str = match option_env!("RETENTION_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What is known before the first record: it decides which series exist from the start.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// [`VERSION`], but in tests.
    pub version: &'static str,
    /// [`REVISION`], but in tests.
    pub revision: &'static str,
    /// The currencies of the configured stores.
    pub currencies: Vec<CurrencyLabel>,
}

/// Every metric of the process. Shared by all workers; see the module.
pub struct Metrics {
    registry: Registry,
    currencies: Vec<CurrencyLabel>,
    counters: BatchCounters,
    service: ServiceMetrics,
    brokers: BrokerMetrics,
    input: InputMetrics,
    transactions: TransactionMetrics,
    group: GroupMetrics,
    timers: TimerMetrics,
    restore: RestoreMetrics,
    days: Arc<DayMetrics>,
    business: BusinessMetrics,
    rules: RuleMetrics,
    http: HttpMetrics,
    clients: Arc<Clients>,
    partition_families: PartitionFamilies,
    partitions: Mutex<BTreeMap<Partition, Arc<PartitionMetrics>>>,
}

/// A partition that is being restored. Dropping it, finished or not, ends its being counted as such.
pub struct RestoreInProgress<'m> {
    metrics: &'m Metrics,
    partition: Arc<PartitionMetrics>,
}

/// The figures that the live page and the demo's status line show.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Records read since the start, by topic.
    pub input_records: PerLabel<Input, u64>,
    /// What became of them.
    pub outcomes: PerLabel<Outcome, u64>,
    /// Signals since the start, by type.
    pub signals: PerLabel<SignalType, u64>,
    /// What rules did since the start, by rule.
    pub rules: BTreeMap<Arc<str>, PerLabel<RuleAction, u64>>,
    /// Transactions since the start.
    pub transactions: PerLabel<TransactionResult, u64>,
    /// Timers fired since the start.
    pub timers_fired: u64,
    /// Records since the start and the sum of their latencies in seconds.
    pub end_to_end_latency: (u64, f64),
    /// Partitions owned.
    pub assigned_partitions: usize,
    /// Sums over them.
    pub partitions: PartitionTotals,
    /// Each of them, by number.
    pub by_partition: Vec<PartitionOverview>,
}

impl Metrics {
    /// Registers everything. Fails only if a name is taken in `registry`.
    pub fn new(registry: &Registry, vocabulary: &Vocabulary) -> prometheus::Result<Self> {
        Self::with(registry, &Registrar(registry), &Registrar(registry), vocabulary)
    }

    /// `common` takes what every process has, `service` what only the service has.
    fn with(
        registry: &Registry,
        common: &Registrar<'_>,
        service: &Registrar<'_>,
        vocabulary: &Vocabulary,
    ) -> prometheus::Result<Self> {
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self {
            registry: registry.clone(),
            currencies: vocabulary.currencies.clone(),
            counters: BatchCounters::new(service)?,
            service: ServiceMetrics::new(common, vocabulary)?,
            brokers: BrokerMetrics::new(common)?,
            input: InputMetrics::new(service)?,
            transactions: TransactionMetrics::new(common)?,
            group: GroupMetrics::new(service)?,
            timers: TimerMetrics::new(service)?,
            restore: RestoreMetrics::new(service)?,
            days: Arc::new(DayMetrics::new(service)?),
            business: BusinessMetrics::new(service, vocabulary)?,
            rules: RuleMetrics::new(service)?,
            http: HttpMetrics::new(common)?,
            clients: Arc::new(Clients::new(common)?),
            partition_families: PartitionFamilies::new(service)?,
            partitions: Mutex::default(),
        })
    }

    /// The metrics of a process that is an intake: it exports those of every process, and beside them its own. What only the service
    /// has would be all zeros, and add to the service's sums.
    ///
    /// # Errors
    /// A name is taken in `registry`.
    pub fn of_intake(
        registry: &Registry,
        vocabulary: &Vocabulary,
    ) -> prometheus::Result<(Self, IntakeMetrics)> {
        let hidden = Registry::new();
        let metrics = Self::with(registry, &Registrar(registry), &Registrar(&hidden), vocabulary)?;
        Ok((metrics, IntakeMetrics::new(&Registrar(registry))?))
    }

    /// Those of an intake in the process of a service, as the demo has it.
    ///
    /// # Errors
    /// There is one already.
    pub fn intake_beside(&self) -> prometheus::Result<IntakeMetrics> {
        IntakeMetrics::new(&Registrar(&self.registry))
    }

    /// Counts a committed batch, or one part of it. Never called for one that was aborted, retried or restored.
    pub fn on_batch(&self, batch: &BatchSummary, committed_at_ms: i64) {
        let Self { counters, input, timers, business, rules, .. } = self;
        counters.add(batch);
        // Clocks of two machines differ: an age below zero counts as zero.
        let age = |instant_ms: i64| partition::seconds((committed_at_ms - instant_ms).max(0));
        for (topic, instants_ms) in batch.appended_at_ms.iter() {
            observe_all(&input.end_to_end_latency[topic], instants_ms.iter().map(age));
        }
        for (topic, instants_ms) in batch.happened_at_ms.iter() {
            observe_all(&input.event_age[topic], instants_ms.iter().map(age));
        }
        for delay in &batch.timer_delays {
            timers.delay.observe(delay.as_secs_f64());
        }
        business.add(&batch.values);
        rules.add(&batch.rule_signals);
    }

    /// Exports the version of the rules: instances of one application should have the same.
    pub fn set_rules_version(&self, version: &str) {
        self.rules.set_version(version);
    }

    /// Counts a transaction that is known to be committed.
    pub fn on_transaction_committed(&self, transaction: &TransactionSummary) {
        self.transactions.results[TransactionResult::Committed].inc();
        self.transactions.duration.observe(transaction.duration.as_secs_f64());
        self.transactions.records.observe(transaction.records as f64);
        self.transactions.last_success.set(partition::seconds(transaction.committed_at_ms));
        for (stage, duration) in transaction.stages.iter() {
            self.transactions.stages[stage].observe(duration.as_secs_f64());
        }
    }

    /// Counts a transaction that was aborted.
    pub fn on_transaction_aborted(&self) {
        self.transactions.results[TransactionResult::Aborted].inc();
    }

    /// Counts a producer that was turned away for a newer one.
    pub fn on_producer_fenced(&self) {
        self.transactions.fenced.inc();
    }

    /// Counts an error that stopped a worker.
    pub fn on_fatal_error(&self, kind: FatalKind) {
        self.service.fatal_errors[kind].inc();
    }

    /// Exports that a broker has answered, at this time in milliseconds since 1970.
    pub fn on_brokers_answer(&self, at_ms: i64) {
        self.brokers.up.set(1.0);
        self.brokers.last_answer.set(partition::seconds(at_ms));
    }

    /// Exports that no broker answers.
    pub fn on_brokers_silent(&self) {
        self.brokers.up.set(0.0);
    }

    /// Counts a rebalance and how long this member took over its part in it.
    pub fn on_rebalance(&self, kind: RebalanceKind, duration: Duration) {
        self.group.rebalances[kind].inc();
        self.group.rebalance_duration.observe(duration.as_secs_f64());
    }

    /// Counts a merge that gave up waiting for an input.
    pub fn on_merge_wait_timeout(&self) {
        self.input.merge_wait_timeouts.inc();
    }

    /// Exports how long the inputs keep their records; none: for ever, or not known.
    pub fn set_input_retention(&self, retention: &PerInput<Option<Duration>>) {
        for (input, kept) in retention.iter() {
            self.input.retention[input].set(kept.unwrap_or_default().as_secs_f64());
        }
    }

    /// What a combiner that begins now exports while it runs.
    pub fn begin_combining(&self) -> CombinerGauges {
        self.days.begin_combining()
    }

    /// Counts a combiner that ended before its time.
    pub fn on_combiner_failed(&self, kind: CombinerFailure) {
        self.days.failures[kind].inc();
    }

    /// Counts a day that was dropped, and exports it as the newest one.
    pub fn on_day_dropped(&self, midnight: Time) {
        self.days.dropped.inc();
        self.days.newest_dropped.set(partition::seconds(midnight.as_millis()));
    }

    /// Counts an answered HTTP request.
    pub fn on_http_request(&self, route: Route, code: HttpCode, duration: Duration) {
        self.http.requests(route, code).inc();
        self.http.duration[route].observe(duration.as_secs_f64());
    }

    /// Counts a log message.
    pub fn on_log_message(&self, level: LogLevel) {
        self.service.log_messages[level].inc();
    }

    /// Exports what the service is doing.
    pub fn set_service_state(&self, state: ServiceState) {
        for (label, gauge) in self.service.state.iter() {
            gauge.set(f64::from(u8::from(label == state)));
        }
    }

    /// The gauges of a partition that this instance owns from now on.
    pub fn partition(&self, partition: Partition) -> Arc<PartitionMetrics> {
        let mut partitions = self.partitions.lock().expect("no panic under this lock");
        let metrics = partitions.entry(partition).or_insert_with(|| {
            let overdue = self.timers.overdue.clone();
            Arc::new(self.partition_families.create(&partition.to_string(), &self.currencies, overdue))
        });
        let metrics = Arc::clone(metrics);
        self.group.assigned_partitions.set(partitions.len() as f64);
        metrics
    }

    /// Takes the series of a partition out of the export. Called before the partition is given up, so that the next
    /// owner's are not exported beside them. Nothing happens for a partition that is not owned.
    pub fn remove_partition(&self, partition: Partition) {
        let mut partitions = self.partitions.lock().expect("no panic under this lock");
        if let Some(metrics) = partitions.remove(&partition) {
            self.partition_families.remove(&metrics);
        }
        self.group.assigned_partitions.set(partitions.len() as f64);
    }

    /// Counts a partition as being restored until the returned value is dropped.
    pub fn restore(&self, partition: Partition) -> RestoreInProgress<'_> {
        self.restore.partitions.inc();
        RestoreInProgress { metrics: self, partition: self.partition(partition) }
    }

    /// Counts a snapshot that is in its place; created in milliseconds since 1970. Its partition may be owned no longer.
    pub fn on_snapshot_written(
        &self,
        partition: Partition,
        created_at_ms: i64,
        bytes: u64,
        duration: Duration,
    ) {
        self.restore.snapshot_duration.observe(duration.as_secs_f64());
        let partitions = self.partitions.lock().expect("no panic under this lock");
        if let Some(partition) = partitions.get(&partition) {
            partition.set_snapshot(created_at_ms, bytes);
        }
    }

    /// A Kafka client that will report its statistics.
    pub fn client(&self, client: Client) -> ClientMetrics {
        self.clients.add(client)
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("every family has a name and a child")
    }

    /// The figures for people who watch.
    pub fn overview(&self) -> Overview {
        let mut totals = PartitionTotals::default();
        let partitions = self.partitions.lock().expect("no panic under this lock");
        partitions.values().for_each(|partition| partition.add_to(&mut totals));
        let latencies = &self.input.end_to_end_latency;
        Overview {
            input_records: counts(&self.counters.input_records),
            outcomes: counts(&self.counters.outcomes),
            signals: counts(&self.counters.signals),
            rules: self.rules.totals(),
            transactions: counts(&self.transactions.results),
            timers_fired: self.counters.timers_fired.iter().map(|(_, counter)| counter.get()).sum(),
            end_to_end_latency: (
                latencies.iter().map(|(_, histogram)| histogram.get_sample_count()).sum(),
                latencies.iter().map(|(_, histogram)| histogram.get_sample_sum()).sum(),
            ),
            assigned_partitions: partitions.len(),
            partitions: totals,
            by_partition: partitions.iter().map(|(number, partition)| partition.overview(*number)).collect(),
        }
    }
}

impl RestoreInProgress<'_> {
    /// Counts changelog records that were read back, and exports how many are to come.
    pub fn on_records(&self, records: u64, remaining: u64) {
        self.metrics.restore.records.inc_by(records);
        self.partition.set_restore_remaining(remaining);
    }

    /// Counts a restore that reached its end.
    pub fn finish(self, duration: Duration) {
        self.partition.set_restore_remaining(0);
        self.metrics.restore.duration.observe(duration.as_secs_f64());
    }
}

impl Drop for RestoreInProgress<'_> {
    fn drop(&mut self) {
        self.metrics.restore.partitions.dec();
    }
}

fn counts<L: Label>(counters: &PerLabel<L, IntCounter>) -> PerLabel<L, u64> {
    PerLabel::build(|label| counters[label].get())
}

fn observe_all(histogram: &Histogram, values: impl Iterator<Item = f64>) {
    // A local one is added to without atomics, and flushed once when it is dropped.
    let histogram = histogram.local();
    values.for_each(|value| histogram.observe(value));
}

#[cfg(test)]
mod tests;
