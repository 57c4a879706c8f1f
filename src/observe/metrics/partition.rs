//! The gauges of one owned partition. They appear when it is assigned and vanish when it goes, so that a customer is
//! never counted by two instances for longer than a scrape.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus::{Gauge, GaugeVec};

use super::{
    batch::CurrencyLabel,
    label::{Label, PerLabel},
    labels::{CustomerState, WindowBasis, WindowRevenue},
    registrar::Registrar,
};
use crate::topic::Input;

const LAG_RECORDS: &str =
    "Records between the next one to read and the end of the input (3 series a partition).";
const LAG_SECONDS: &str =
    "Age of the oldest record not applied, by broker time; 0 when caught up (3 series a partition).";
const CLOCK: &str =
    "The partition's clock, which only moves forward; 0 before its first record (1 a partition).";
const IDLE: &str = "1 while every input of the partition is read to its end (1 a partition).";
const CLOCK_FROZEN: &str =
    "1 while an open input transaction or a jump of wall time keeps the clock from moving (1 a partition).";
const MERGE_WAITING: &str =
    "1 while the merge by time waits for an input that has more to fetch (1 a partition).";
const STATE_ENTRIES: &str = "Customers held, erasure markers included (1 a partition).";
const STATE_BYTES: &str = "Memory of the state in bytes (1 a partition).";
const TIMERS_PENDING: &str = "Timers that are set (1 a partition).";
const SNAPSHOT_TIME: &str = "When the newest local snapshot was begun: what it holds was committed by then; 0 without one (1 a partition).";
const SNAPSHOT_BYTES: &str =
    "Length of the newest local snapshot that this process has written (1 a partition).";
const RESTORE_REMAINING: &str = "Changelog records still to be read back; 0 once restored (1 a partition).";
const CUSTOMERS: &str = "Customers by state, at the partition's clock (4 a partition).";
const WINDOW_CUSTOMERS: &str = "Customers with an order in the window (8 a partition).";
const WINDOW_REPEAT: &str = "Customers with more than one order in the window (8 a partition).";
const WINDOW_ORDERS: &str = "Orders in the window (8 a partition).";
const WINDOW_REVENUE: &str = "Revenue in the window, in units of its currency (8 a partition and currency).";

/// What a partition stands at after a commit.
#[derive(Debug, Clone, Default)]
pub struct PartitionGauges {
    /// The clock in milliseconds since 1970; `None` before the first record, exported as 0.
    pub clock_ms: Option<i64>,
    /// Every input is read to its end.
    pub idle: bool,
    /// An open transaction in an input, or wall time that jumped, keeps the clock from moving at the end.
    pub clock_frozen: bool,
    /// The merge waits for an input that has more to fetch.
    pub merge_waiting: bool,
    /// Customers, erasure markers included.
    pub state_entries: u64,
    /// Memory of the state, as counted by the state itself.
    pub state_bytes: u64,
    /// Timers that are set.
    pub timers_pending: u64,
    /// Timers whose deadline plus grace has passed by wall time and that have not fired: a lower bound, and 0 only if there
    /// is none.
    pub timers_overdue: u64,
    /// Customers by state.
    pub customers: PerLabel<CustomerState, u64>,
    /// Customers with an order in the window.
    pub window_customers: PerLabel<WindowBasis, u64>,
    /// Customers with more than one.
    pub window_repeat_customers: PerLabel<WindowBasis, u64>,
    /// Orders in the window.
    pub window_orders: PerLabel<WindowBasis, u64>,
    /// Revenue in the window, in minor units. Net revenue may be negative.
    pub window_revenue_minor: BTreeMap<CurrencyLabel, PerLabel<WindowRevenue, i64>>,
}

/// The exported gauges of one partition. Made by [`Metrics::partition`](super::Metrics::partition).
#[derive(Debug)]
pub struct PartitionMetrics {
    partition: String,
    lag_records: PerLabel<Input, Gauge>,
    lag_seconds: PerLabel<Input, Gauge>,
    clock: Gauge,
    idle: Gauge,
    clock_frozen: Gauge,
    merge_waiting: Gauge,
    state_entries: Gauge,
    state_bytes: Gauge,
    timers_pending: Gauge,
    timers_overdue: AtomicU64,
    /// The sum over all partitions, to which this one's share is added.
    timers_overdue_of_all: Gauge,
    restore_remaining: Gauge,
    snapshot_time: Gauge,
    snapshot_bytes: Gauge,
    customers: PerLabel<CustomerState, Gauge>,
    window_customers: PerLabel<WindowBasis, Gauge>,
    window_repeat_customers: PerLabel<WindowBasis, Gauge>,
    window_orders: PerLabel<WindowBasis, Gauge>,
    window_revenue: Mutex<BTreeMap<CurrencyLabel, PerLabel<WindowRevenue, Gauge>>>,
    window_revenue_family: GaugeVec,
}

/// Sums over the owned partitions.
#[derive(Debug, Clone, Default)]
pub struct PartitionTotals {
    /// Records not read yet, by topic.
    pub lag_records: PerLabel<Input, f64>,
    /// The worst lag of a partition.
    pub lag_seconds_max: f64,
    /// Customers by state.
    pub customers: PerLabel<CustomerState, f64>,
    /// Customers with an order in the window.
    pub window_customers: PerLabel<WindowBasis, f64>,
    /// Customers with more than one.
    pub window_repeat_customers: PerLabel<WindowBasis, f64>,
    /// Orders in the window.
    pub window_orders: PerLabel<WindowBasis, f64>,
    /// Revenue in the window, in units of its currency.
    pub window_revenue: BTreeMap<CurrencyLabel, PerLabel<WindowRevenue, f64>>,
    /// Entries of the state.
    pub state_entries: f64,
    /// Bytes of the state.
    pub state_bytes: f64,
    /// Timers that are set.
    pub timers_pending: f64,
    /// The clock of the partition that is furthest behind, in seconds since 1970; partitions without a clock aside.
    pub clock_seconds_min: Option<f64>,
    /// The clock of the partition that is furthest ahead.
    pub clock_seconds_max: Option<f64>,
    /// Changelog records that are still to be read back.
    pub restore_remaining: f64,
}

/// The families that the partitions' gauges belong to.
pub(super) struct PartitionFamilies {
    lag_records: GaugeVec,
    lag_seconds: GaugeVec,
    clock: GaugeVec,
    idle: GaugeVec,
    clock_frozen: GaugeVec,
    merge_waiting: GaugeVec,
    state_entries: GaugeVec,
    state_bytes: GaugeVec,
    timers_pending: GaugeVec,
    restore_remaining: GaugeVec,
    snapshot_time: GaugeVec,
    snapshot_bytes: GaugeVec,
    customers: GaugeVec,
    window_customers: GaugeVec,
    window_repeat_customers: GaugeVec,
    window_orders: GaugeVec,
    window_revenue: GaugeVec,
}

impl PartitionMetrics {
    /// Exports what the partition stands at. Called after a commit, never for an open batch.
    pub fn set(&self, gauges: &PartitionGauges) {
        self.clock.set(gauges.clock_ms.map_or(0.0, seconds));
        self.idle.set(flag(gauges.idle));
        self.clock_frozen.set(flag(gauges.clock_frozen));
        self.merge_waiting.set(flag(gauges.merge_waiting));
        self.state_entries.set(gauges.state_entries as f64);
        self.state_bytes.set(gauges.state_bytes as f64);
        self.timers_pending.set(gauges.timers_pending as f64);
        self.set_timers_overdue(gauges.timers_overdue);
        set_all(&self.customers, &gauges.customers);
        set_all(&self.window_customers, &gauges.window_customers);
        set_all(&self.window_repeat_customers, &gauges.window_repeat_customers);
        set_all(&self.window_orders, &gauges.window_orders);
        let mut window_revenue = self.window_revenue.lock().expect("no panic under this lock");
        for (currency, revenue) in &gauges.window_revenue_minor {
            let children =
                window_revenue.entry(*currency).or_insert_with(|| self.revenue_children(*currency));
            for (label, minor) in revenue.iter() {
                children[label].set(currency.whole_units(*minor as f64));
            }
        }
    }

    /// Exports how far an input is behind: records up to the high watermark, and the age of the oldest of them by broker
    /// time (0 when caught up).
    pub fn set_lag(&self, topic: Input, records: u64, seconds: f64) {
        self.lag_records[topic].set(records as f64);
        self.lag_seconds[topic].set(seconds);
    }

    /// Exports how many changelog records are still to be read back; 0 once restored.
    pub fn set_restore_remaining(&self, records: u64) {
        self.restore_remaining.set(records as f64);
    }

    /// Exports the time of the newest snapshot, in milliseconds since 1970.
    pub fn set_snapshot_time(&self, created_at_ms: i64) {
        self.snapshot_time.set(seconds(created_at_ms));
    }

    pub(super) fn set_snapshot(&self, created_at_ms: i64, bytes: u64) {
        self.set_snapshot_time(created_at_ms);
        self.snapshot_bytes.set(bytes as f64);
    }

    fn set_timers_overdue(&self, overdue: u64) {
        let before = self.timers_overdue.swap(overdue, Ordering::Relaxed);
        self.timers_overdue_of_all.add(overdue as f64 - before as f64);
    }

    pub(super) fn add_to(&self, totals: &mut PartitionTotals) {
        for topic in Input::all() {
            totals.lag_records[topic] += self.lag_records[topic].get();
            totals.lag_seconds_max = totals.lag_seconds_max.max(self.lag_seconds[topic].get());
        }
        add_all(&mut totals.customers, &self.customers);
        add_all(&mut totals.window_customers, &self.window_customers);
        add_all(&mut totals.window_repeat_customers, &self.window_repeat_customers);
        add_all(&mut totals.window_orders, &self.window_orders);
        for (currency, revenue) in self.window_revenue.lock().expect("no panic under this lock").iter() {
            add_all(totals.window_revenue.entry(*currency).or_default(), revenue);
        }
        totals.state_entries += self.state_entries.get();
        totals.state_bytes += self.state_bytes.get();
        totals.timers_pending += self.timers_pending.get();
        totals.restore_remaining += self.restore_remaining.get();
        let clock = self.clock.get();
        if clock != 0.0 {
            totals.clock_seconds_min = Some(totals.clock_seconds_min.map_or(clock, |min| min.min(clock)));
            totals.clock_seconds_max = Some(totals.clock_seconds_max.map_or(clock, |max| max.max(clock)));
        }
    }

    fn revenue_children(&self, currency: CurrencyLabel) -> PerLabel<WindowRevenue, Gauge> {
        PerLabel::build(|label: WindowRevenue| {
            let values = [label.values(), vec![currency.code(), &self.partition]].concat();
            self.window_revenue_family.with_label_values(&values)
        })
    }
}

impl PartitionFamilies {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        let family = |name, help| registrar.gauge_family(name, help, &["partition"]);
        let labelled = |name, help, keys: Vec<&str>| {
            registrar.gauge_family(name, help, &[keys, vec!["partition"]].concat())
        };
        let topic = Input::keys;
        let basis = WindowBasis::keys;
        let revenue = || [WindowRevenue::keys(), vec!["currency"]].concat();
        Ok(Self {
            lag_records: labelled("retention_consumer_lag_records", LAG_RECORDS, topic())?,
            lag_seconds: labelled("retention_consumer_lag_seconds", LAG_SECONDS, topic())?,
            clock: family("retention_clock_timestamp_seconds", CLOCK)?,
            idle: family("retention_partition_idle", IDLE)?,
            clock_frozen: family("retention_clock_frozen", CLOCK_FROZEN)?,
            merge_waiting: family("retention_merge_waiting", MERGE_WAITING)?,
            state_entries: family("retention_state_entries", STATE_ENTRIES)?,
            state_bytes: family("retention_state_bytes", STATE_BYTES)?,
            timers_pending: family("retention_timers_pending", TIMERS_PENDING)?,
            restore_remaining: family("retention_restore_remaining_records", RESTORE_REMAINING)?,
            snapshot_time: family("retention_snapshot_last_success_timestamp_seconds", SNAPSHOT_TIME)?,
            snapshot_bytes: family("retention_snapshot_bytes", SNAPSHOT_BYTES)?,
            customers: labelled("retention_customers", CUSTOMERS, CustomerState::keys())?,
            window_customers: labelled("retention_window_customers", WINDOW_CUSTOMERS, basis())?,
            window_repeat_customers: labelled("retention_window_repeat_customers", WINDOW_REPEAT, basis())?,
            window_orders: labelled("retention_window_orders", WINDOW_ORDERS, basis())?,
            window_revenue: labelled("retention_window_revenue", WINDOW_REVENUE, revenue())?,
        })
    }

    pub(super) fn create(
        &self,
        partition: &str,
        currencies: &[CurrencyLabel],
        timers_overdue_of_all: Gauge,
    ) -> PartitionMetrics {
        let metrics = PartitionMetrics {
            partition: partition.to_owned(),
            lag_records: children(&self.lag_records, partition),
            lag_seconds: children(&self.lag_seconds, partition),
            clock: self.clock.with_label_values(&[partition]),
            idle: self.idle.with_label_values(&[partition]),
            clock_frozen: self.clock_frozen.with_label_values(&[partition]),
            merge_waiting: self.merge_waiting.with_label_values(&[partition]),
            state_entries: self.state_entries.with_label_values(&[partition]),
            state_bytes: self.state_bytes.with_label_values(&[partition]),
            timers_pending: self.timers_pending.with_label_values(&[partition]),
            timers_overdue: AtomicU64::new(0),
            timers_overdue_of_all,
            restore_remaining: self.restore_remaining.with_label_values(&[partition]),
            snapshot_time: self.snapshot_time.with_label_values(&[partition]),
            snapshot_bytes: self.snapshot_bytes.with_label_values(&[partition]),
            customers: children(&self.customers, partition),
            window_customers: children(&self.window_customers, partition),
            window_repeat_customers: children(&self.window_repeat_customers, partition),
            window_orders: children(&self.window_orders, partition),
            window_revenue: Mutex::default(),
            window_revenue_family: self.window_revenue.clone(),
        };
        let known =
            currencies.iter().map(|currency| (*currency, metrics.revenue_children(*currency))).collect();
        *metrics.window_revenue.lock().expect("no panic under this lock") = known;
        metrics
    }

    pub(super) fn remove(&self, metrics: &PartitionMetrics) {
        metrics.set_timers_overdue(0);
        let partition = metrics.partition.as_str();
        for family in [
            &self.clock,
            &self.idle,
            &self.clock_frozen,
            &self.merge_waiting,
            &self.state_entries,
            &self.state_bytes,
            &self.timers_pending,
            &self.restore_remaining,
            &self.snapshot_time,
            &self.snapshot_bytes,
        ] {
            remove_one(family, &[partition]);
        }
        for family in [&self.lag_records, &self.lag_seconds] {
            Input::all().for_each(|topic| remove_one(family, &[topic.name(), partition]));
        }
        CustomerState::all().for_each(|state| remove_one(&self.customers, &[state.name(), partition]));
        for family in [&self.window_customers, &self.window_repeat_customers, &self.window_orders] {
            WindowBasis::all()
                .for_each(|label| remove_one(family, &[label.values(), vec![partition]].concat()));
        }
        for currency in metrics.window_revenue.lock().expect("no panic under this lock").keys() {
            for label in WindowRevenue::all() {
                remove_one(
                    &self.window_revenue,
                    &[label.values(), vec![currency.code(), partition]].concat(),
                );
            }
        }
    }
}

fn children<L: Label>(family: &GaugeVec, partition: &str) -> PerLabel<L, Gauge> {
    PerLabel::build(|label: L| family.with_label_values(&[label.values(), vec![partition]].concat()))
}

fn remove_one(family: &GaugeVec, values: &[&str]) {
    family.remove_label_values(values).expect("created with the same label values");
}

fn set_all<L: Label>(gauges: &PerLabel<L, Gauge>, values: &PerLabel<L, u64>) {
    for (label, value) in values.iter() {
        gauges[label].set(*value as f64);
    }
}

fn add_all<L: Label>(sums: &mut PerLabel<L, f64>, gauges: &PerLabel<L, Gauge>) {
    for (label, gauge) in gauges.iter() {
        sums[label] += gauge.get();
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Milliseconds since 1970 as seconds.
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
