//! What a transaction of the intake holds, by source; shown once it is committed.

use std::collections::BTreeMap;

use super::mapping::{MappedRaw, Mapper, RefusedRaw};
use super::rules::MappedSource;
use crate::maps::{EventKind, Mapped};
use crate::observe::metrics::IntakeMetrics;
use crate::wire::reason::Reason;

/// See the module.
#[derive(Default)]
pub struct Counts {
    /// Raw records.
    pub records: u64,
    /// Records written.
    pub outputs: u64,
    by_source: BTreeMap<usize, SourceCounts>,
}

/// What one source has given.
#[derive(Default)]
struct SourceCounts {
    mapped: u64,
    /// Passed over without a record.
    skipped: u64,
    refused: BTreeMap<Reason, u64>,
    events: BTreeMap<EventKind, u64>,
    skips: BTreeMap<usize, u64>,
}

impl Counts {
    /// A raw record was mapped and written as so many.
    pub fn add(&mut self, mapped: &MappedRaw, written: u64) {
        self.records += 1;
        self.outputs += written;
        let counts = self.by_source.entry(mapped.source).or_default();
        match &mapped.content {
            Ok(Mapped { records, skipped, has_hashed: _ }) => {
                let count = if records.is_empty() { &mut counts.skipped } else { &mut counts.mapped };
                *count += 1;
                for record in records {
                    *counts.events.entry(record.kind).or_default() += 1;
                }
                for reason in skipped {
                    *counts.skips.entry(*reason).or_default() += 1;
                }
            }
            Err(RefusedRaw { refusal, .. }) => *counts.refused.entry(refusal.reason).or_default() += 1,
        }
    }

    /// They are known to be committed.
    pub fn export(&self, mapper: &Mapper, metrics: &IntakeMetrics) {
        for (source, counts) in &self.by_source {
            export(metrics, &mapper.sources[*source], counts);
        }
    }
}

fn export(metrics: &IntakeMetrics, source: &MappedSource, counts: &SourceCounts) {
    let refused = counts.refused.values().sum();
    for (outcome, count) in
        [("mapped", counts.mapped), ("skipped", counts.skipped), ("dead_lettered", refused)]
    {
        metrics.add_records(&source.name, outcome, count);
    }
    for (kind, count) in &counts.events {
        metrics.add_events(&source.name, kind.name(), *count);
    }
    for (reason, count) in &counts.skips {
        metrics.add_skips(&source.name, &source.map.skip_reasons()[*reason], *count);
    }
    for (reason, count) in &counts.refused {
        metrics.add_dead_letters(&source.name, reason.name(), *count);
    }
}
