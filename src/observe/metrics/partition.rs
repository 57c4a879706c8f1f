//! The gauges of one owned partition. They appear when it is assigned and vanish when it goes, so that a customer is
//! never counted by two instances for longer than a scrape.
//!
//! The table at the top lists them all. A row is everything that a gauge needs here: its field, its type, its name, its help.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus::{Gauge, GaugeVec};

use super::{
    batch::CurrencyLabel,
    gauge_value::{GaugeValue, gauge_table},
    label::{Label, PerLabel},
    labels::{WindowBasis, WindowRevenue},
    registrar::Registrar,
};
use crate::domain::segments::names::Segment;
use crate::domain::signals::signal::State;
use crate::topic::{Input, Partition};

gauge_table! {
    /// The gauges of a partition after a commit.
    after_commit PartitionGauges {
        clock_ms: Option<i64> = "retention_clock_timestamp_seconds",
            "The partition's clock, which only moves forward; 0 before its first record";
        idle: bool = "retention_partition_idle",
            "1 while every input of the partition is read to its end";
        clock_frozen: bool = "retention_clock_frozen",
            "1 while an open input transaction, a jump of wall time or an intake that is behind keeps the clock from moving";
        merge_waiting: bool = "retention_merge_waiting",
            "1 while the merge by time waits for an input that has more to fetch";
        state_entries: u64 = "retention_state_entries",
            "Customers held, erasure markers included";
        state_bytes: u64 = "retention_state_bytes",
            "Memory of the state in bytes";
        timers_pending: u64 = "retention_timers_pending",
            "Timers that are set";
        rule_firings_planned: u64 = "retention_rule_firings_planned",
            "Firings of rules that wait for their instant";
        customers: PerLabel<State, u64> = "retention_customers",
            "Customers by state, at the partition's clock";
        customers_by_segment: Option<PerLabel<Segment, u64>> = "retention_customers_by_segment",
            "Customers by the segment that was emitted last. Not there unless segments.enabled is true";
        window_customers: PerLabel<WindowBasis, u64> = "retention_window_customers",
            "Customers with an order in the window";
        window_repeat_customers: PerLabel<WindowBasis, u64> = "retention_window_repeat_customers",
            "Customers with more than one order in the window";
        window_orders: PerLabel<WindowBasis, u64> = "retention_window_orders",
            "Orders in the window";
        window_revenue_minor: BTreeMap<CurrencyLabel, PerLabel<WindowRevenue, i64>> = "retention_window_revenue",
            "Revenue in the window, in units of its currency. Net revenue may be negative";
    }
    /// What a partition adds to a gauge of the whole instance.
    summed_over_partitions {
        /// Timers whose deadline plus grace has passed by wall time and that have not fired: a lower bound, and 0 only if
        /// there is none.
        timers_overdue: u64;
    }
    /// What is set as soon as it is known.
    at_any_time {
        lag_records: PerLabel<Input, u64> = "retention_consumer_lag_records",
            "Records between the next one to read and the end of the input";
        lag_seconds: PerLabel<Input, f64> = "retention_consumer_lag_seconds",
            "Age of the oldest record not applied, by broker time; 0 when caught up";
        restore_remaining: u64 = "retention_restore_remaining_records",
            "Changelog records still to be read back; 0 once restored";
        history_remaining: u64 = "retention_history_remaining_records",
            "Records of the partition's history still to be read; 0 once it is settled";
        intake_clock_frozen: f64 = "retention_intake_clock_frozen_seconds",
            "For how long the clock has waited for the intake although something is due; 0 while it does not";
        snapshot_time_ms: Option<i64> = "retention_snapshot_last_success_timestamp_seconds",
            "When the newest local snapshot was begun: what it holds was committed by then; 0 without one";
        snapshot_bytes: u64 = "retention_snapshot_bytes",
            "Length of the newest local snapshot that this process has written";
    }
}

/// The exported gauges of one partition. Made by [`Metrics::partition`](super::Metrics::partition).
#[derive(Debug)]
pub struct PartitionMetrics {
    partition: String,
    gauges: Gauges,
    /// This partition's share of the sum over all partitions.
    timers_overdue: AtomicU64,
    timers_overdue_of_all: Gauge,
}

/// Sums over the owned partitions.
#[derive(Debug, Clone, Default)]
pub struct PartitionTotals {
    /// Records not read yet, by topic.
    pub lag_records: PerLabel<Input, f64>,
    /// The worst lag of a partition.
    pub lag_seconds_max: f64,
    /// Customers by state.
    pub customers: PerLabel<State, f64>,
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

/// What is shown of one owned partition.
#[derive(Debug, Clone)]
pub struct PartitionOverview {
    /// Its number.
    pub partition: Partition,
    /// Records not read yet, of all topics.
    pub lag_records: f64,
    /// The age of the oldest of them.
    pub lag_seconds: f64,
    /// The clock in seconds since 1970; none before the first record.
    pub clock_seconds: Option<f64>,
    /// Every input is read to its end.
    pub is_idle: bool,
    /// The clock may not move.
    pub is_clock_frozen: bool,
    /// The merge waits for an input.
    pub is_merge_waiting: bool,
    /// Changelog records that are still to be read back.
    pub restore_remaining: f64,
    /// Records of its history that are still to be read.
    pub history_remaining: f64,
    /// Entries of the state.
    pub state_entries: f64,
    /// Bytes of the state.
    pub state_bytes: f64,
    /// Timers that are set.
    pub timers_pending: f64,
    /// When the newest local snapshot was begun, in seconds since 1970.
    pub snapshot_seconds: Option<f64>,
}

impl PartitionMetrics {
    /// Exports the partition's gauges. Called after a commit, never for an open batch.
    pub fn set(&self, gauges: &PartitionGauges) {
        self.gauges.set(gauges);
        self.set_timers_overdue(gauges.timers_overdue);
    }

    /// Exports how far an input is behind: records up to the high watermark, and the age of the oldest of them by broker
    /// time (0 when caught up).
    pub fn set_lag(&self, topic: Input, records: u64, seconds: f64) {
        records.set(&self.gauges.lag_records[topic]);
        seconds.set(&self.gauges.lag_seconds[topic]);
    }

    /// Exports how many changelog records are still to be read back; 0 once restored.
    pub fn set_restore_remaining(&self, records: u64) {
        records.set(&self.gauges.restore_remaining);
    }

    /// Exports how many records of the history are still to be read; 0 once it is settled.
    pub fn set_history_remaining(&self, records: u64) {
        records.set(&self.gauges.history_remaining);
    }

    /// Exports for how long the intake has kept the clock from moving; `None` while it does not.
    pub fn set_intake_clock_frozen(&self, frozen: Option<Duration>) {
        frozen.unwrap_or_default().as_secs_f64().set(&self.gauges.intake_clock_frozen);
    }

    /// Exports the time of the newest snapshot, in milliseconds since 1970.
    pub fn set_snapshot_time(&self, created_at_ms: i64) {
        Some(created_at_ms).set(&self.gauges.snapshot_time_ms);
    }

    pub(super) fn set_snapshot(&self, created_at_ms: i64, bytes: u64) {
        self.set_snapshot_time(created_at_ms);
        bytes.set(&self.gauges.snapshot_bytes);
    }

    fn set_timers_overdue(&self, overdue: u64) {
        let before = self.timers_overdue.swap(overdue, Ordering::Relaxed);
        self.timers_overdue_of_all.add(overdue as f64 - before as f64);
    }

    pub(super) fn overview(&self, partition: Partition) -> PartitionOverview {
        let gauges = &self.gauges;
        let instant = |gauge: &Gauge| Some(gauge.get()).filter(|seconds| *seconds != 0.0);
        PartitionOverview {
            partition,
            lag_records: gauges.lag_records.iter().map(|(_, gauge)| gauge.get()).sum(),
            lag_seconds: gauges.lag_seconds.iter().map(|(_, gauge)| gauge.get()).fold(0.0, f64::max),
            clock_seconds: instant(&gauges.clock_ms),
            is_idle: gauges.idle.get() > 0.0,
            is_clock_frozen: gauges.clock_frozen.get() > 0.0,
            is_merge_waiting: gauges.merge_waiting.get() > 0.0,
            restore_remaining: gauges.restore_remaining.get(),
            history_remaining: gauges.history_remaining.get(),
            state_entries: gauges.state_entries.get(),
            state_bytes: gauges.state_bytes.get(),
            timers_pending: gauges.timers_pending.get(),
            snapshot_seconds: instant(&gauges.snapshot_time_ms),
        }
    }

    pub(super) fn add_to(&self, totals: &mut PartitionTotals) {
        let gauges = &self.gauges;
        for topic in Input::all() {
            totals.lag_records[topic] += gauges.lag_records[topic].get();
            totals.lag_seconds_max = totals.lag_seconds_max.max(gauges.lag_seconds[topic].get());
        }
        add_all(&mut totals.customers, &gauges.customers);
        add_all(&mut totals.window_customers, &gauges.window_customers);
        add_all(&mut totals.window_repeat_customers, &gauges.window_repeat_customers);
        add_all(&mut totals.window_orders, &gauges.window_orders);
        gauges.window_revenue_minor.for_each(|currency, revenue| {
            add_all(totals.window_revenue.entry(currency).or_default(), revenue);
        });
        totals.state_entries += gauges.state_entries.get();
        totals.state_bytes += gauges.state_bytes.get();
        totals.timers_pending += gauges.timers_pending.get();
        totals.restore_remaining += gauges.restore_remaining.get();
        let clock = gauges.clock_ms.get();
        if clock != 0.0 {
            totals.clock_seconds_min = Some(totals.clock_seconds_min.map_or(clock, |min| min.min(clock)));
            totals.clock_seconds_max = Some(totals.clock_seconds_max.map_or(clock, |max| max.max(clock)));
        }
    }
}

impl PartitionFamilies {
    pub(super) fn create(
        &self,
        partition: &str,
        currencies: &[CurrencyLabel],
        timers_overdue_of_all: Gauge,
    ) -> PartitionMetrics {
        PartitionMetrics {
            partition: partition.to_owned(),
            gauges: self.gauges(partition, currencies),
            timers_overdue: AtomicU64::new(0),
            timers_overdue_of_all,
        }
    }

    pub(super) fn remove(&self, metrics: &PartitionMetrics) {
        metrics.set_timers_overdue(0);
        self.remove_gauges(&metrics.gauges, &metrics.partition);
    }
}

fn add_all<L: Label>(sums: &mut PerLabel<L, f64>, gauges: &PerLabel<L, Gauge>) {
    for (label, gauge) in gauges.iter() {
        sums[label] += gauge.get();
    }
}

/// Milliseconds since 1970 as seconds.
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
