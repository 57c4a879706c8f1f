//! What the intake exports: records in the form of shops, by source.

use std::collections::BTreeMap;
use std::sync::Mutex;

use prometheus::{GaugeVec, IntCounterVec};

use super::registrar::Registrar;

/// The metrics of an intake process. Label values are the names of configured sources, the reasons of their maps (at most 32 each), and
/// the raw partitions that this process reads.
pub struct IntakeMetrics {
    records: IntCounterVec,
    events: IntCounterVec,
    skips: IntCounterVec,
    dead_letters: IntCounterVec,
    lag: GaugeVec,
    partitions: prometheus::Gauge,
    /// Those that are exported.
    owned: Mutex<BTreeMap<(String, u32), ()>>,
}

impl IntakeMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            records: registrar.counter_family(
                "retention_intake_records_total",
                "Raw records read and committed, by what became of them (3 series a source).",
                &["source", "outcome"],
            )?,
            events: registrar.counter_family(
                "retention_intake_events_total",
                "Native records written and committed, by kind (4 series a source).",
                &["source", "event"],
            )?,
            skips: registrar.counter_family(
                "retention_intake_skipped_total",
                "What a map passed over on purpose, by its reason (at most 32 series a source).",
                &["source", "reason"],
            )?,
            dead_letters: registrar.counter_family(
                "retention_intake_dead_letter_records_total",
                "Raw records that became dead letters, by reason (at most 20 series a source).",
                &["source", "reason"],
            )?,
            lag: registrar.gauge_family(
                "retention_intake_lag_records",
                "Records of a raw partition that are not committed (1 series a partition).",
                &["topic", "partition"],
            )?,
            partitions: registrar.gauge(
                "retention_intake_assigned_partitions",
                "Raw partitions that this instance reads (1 series).",
            )?,
            owned: Mutex::default(),
        })
    }

    /// Series that shall be there from the start.
    pub fn prepare(&self, source: &str, skip_reasons: &[String]) {
        for outcome in ["mapped", "skipped", "dead_lettered"] {
            self.records.with_label_values(&[source, outcome]);
        }
        for event in ["order", "cancellation", "return", "erasure"] {
            self.events.with_label_values(&[source, event]);
        }
        for reason in skip_reasons {
            self.skips.with_label_values(&[source, reason]);
        }
    }

    pub fn add_records(&self, source: &str, outcome: &str, count: u64) {
        self.records.with_label_values(&[source, outcome]).inc_by(count);
    }

    pub fn add_events(&self, source: &str, event: &str, count: u64) {
        self.events.with_label_values(&[source, event]).inc_by(count);
    }

    pub fn add_skips(&self, source: &str, reason: &str, count: u64) {
        self.skips.with_label_values(&[source, reason]).inc_by(count);
    }

    pub fn add_dead_letters(&self, source: &str, reason: &str, count: u64) {
        self.dead_letters.with_label_values(&[source, reason]).inc_by(count);
    }

    /// How many records of a partition are not committed; none if its end is not known yet.
    pub fn set_lag(&self, topic: &str, partition: u32, records: Option<u64>) {
        let mut owned = self.owned.lock().expect("no panic under this lock");
        owned.insert((topic.to_owned(), partition), ());
        self.partitions.set(owned.len() as f64);
        if let Some(records) = records {
            self.lag.with_label_values(&[topic, &partition.to_string()]).set(records as f64);
        }
    }

    /// The partition is read by another process now.
    pub fn forget_partition(&self, topic: &str, partition: u32) {
        let mut owned = self.owned.lock().expect("no panic under this lock");
        owned.remove(&(topic.to_owned(), partition));
        self.partitions.set(owned.len() as f64);
        // It was never exported if its end was never known.
        let _ = self.lag.remove_label_values(&[topic, &partition.to_string()]);
    }
}
