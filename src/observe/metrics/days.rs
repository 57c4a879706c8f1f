//! Days that are combined from shares: what every process counts, and what only the one exports that combines.

use std::sync::{Arc, Mutex};

use prometheus::{Gauge, GaugeVec, IntCounter};

use super::label::PerLabel;
use super::labels::CombinerFailure;
use super::partition::seconds;
use super::registrar::Registrar;
use super::shop_day::{ShopDay, ShopDayGauges, put};
use crate::domain::values::time::Time;

/// 8 series, and 3 beside those of the newest day where the combiner runs.
pub(super) struct DayMetrics {
    pub(super) failures: PerLabel<CombinerFailure, IntCounter>,
    pub(super) dropped: IntCounter,
    pub(super) newest_dropped: Gauge,
    while_combining: Mutex<WhileCombining>,
}

/// Families without a child while no combiner runs.
struct WhileCombining {
    /// The combiner that exports. Several workers of a process may combine one after the other.
    newest: u64,
    incomplete: GaugeVec,
    oldest_incomplete: GaugeVec,
    incomplete_since: GaugeVec,
    shop: ShopDayGauges,
}

/// The gauges of a combiner. Dropping this takes their series out of the export, unless another combiner of the process has begun.
pub struct CombinerGauges {
    days: Arc<DayMetrics>,
    number: u64,
}

/// Days that some partitions have counted, and others not yet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct IncompleteDays {
    /// How many.
    pub count: usize,
    pub oldest: Option<IncompleteDay>,
}

/// A day that some partitions have counted, and others not yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IncompleteDay {
    /// Its midnight.
    pub day: Time,
    /// When its first record was written, in milliseconds since 1970; none where records have no time.
    pub since_ms: Option<i64>,
}

impl DayMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        let gauge = |name, help| registrar.gauge_family(name, help, &[]);
        Ok(Self {
            failures: registrar.counters(
                "retention_combiner_failures_total",
                "Ends of the combiner of shop metrics before its time, by reason; another one is started (6 series).",
            )?,
            dropped: registrar.counter(
                "retention_daily_counts_dropped_total",
                "Days that this process has dropped because a partition did not count them: they have no shop metrics (1 series).",
            )?,
            newest_dropped: registrar.gauge(
                "retention_day_dropped_timestamp_seconds",
                "The midnight of the newest day that this process has dropped because a partition did not count it; 0 before the first (1 series).",
            )?,
            while_combining: Mutex::new(WhileCombining {
                newest: 0,
                incomplete: gauge(
                    "retention_daily_counts_incomplete",
                    "Days that some partitions have counted and others have not; only where the combiner runs (1 series).",
                )?,
                oldest_incomplete: gauge(
                    "retention_oldest_incomplete_day_timestamp_seconds",
                    "The midnight of the oldest of these days; not there without one (1 series).",
                )?,
                incomplete_since: gauge(
                    "retention_day_incomplete_since_timestamp_seconds",
                    "When the first partition wrote its count of that day; not there without one (1 series).",
                )?,
                shop: ShopDayGauges::new(registrar)?,
            }),
        })
    }

    /// The gauges of a combiner that begins now.
    pub(super) fn begin_combining(self: &Arc<Self>) -> CombinerGauges {
        let mut gauges = self.while_combining.lock().expect("no panic under this lock");
        gauges.newest += 1;
        CombinerGauges { days: Arc::clone(self), number: gauges.newest }
    }
}

impl CombinerGauges {
    /// Exports which days are incomplete.
    pub fn set_incomplete(&self, days: &IncompleteDays) {
        self.if_newest(|gauges| {
            let WhileCombining { incomplete, oldest_incomplete, incomplete_since, .. } = gauges;
            let midnight = days.oldest.map(|oldest| oldest.day.as_millis());
            put(incomplete, &[], Some(days.count as f64));
            put(oldest_incomplete, &[], midnight.map(seconds));
            put(incomplete_since, &[], days.oldest.and_then(|oldest| oldest.since_ms).map(seconds));
        });
    }

    /// Exports the figures of the newest complete day.
    pub fn show(&self, day: &ShopDay) {
        self.if_newest(|gauges| gauges.shop.show(day));
    }

    fn if_newest(&self, handle: impl FnOnce(&mut WhileCombining)) {
        let mut gauges = self.days.while_combining.lock().expect("no panic under this lock");
        if gauges.newest == self.number {
            handle(&mut gauges);
        }
    }
}

impl Drop for CombinerGauges {
    fn drop(&mut self) {
        self.if_newest(|gauges| {
            let WhileCombining { newest: _, incomplete, oldest_incomplete, incomplete_since, shop } = gauges;
            [incomplete, oldest_incomplete, incomplete_since].into_iter().for_each(|gauge| gauge.reset());
            shop.reset();
        });
    }
}
