//! Whether anything was lost, doubled or altered: what a reader of committed records sees, against the reference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use anyhow::{Context, Result, ensure};
use retention_signals::wire::changelog::{self, Seal, StateRecord};

use super::workload::Expected;
use crate::kafka::Consumed;
use crate::live::history;
use crate::live::shop::Shop;

/// Examples that a verdict keeps.
const DETAILS_MAX: usize = 8;

/// Counts of what is wrong, all 0 if nothing is.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Signals, profiles and dead letters that are not there.
    pub lost: usize,
    /// Those that are there more than once.
    pub doubled: usize,
    /// Those that should not be there, or with other content.
    pub different: usize,
    /// Partitions whose batches or offsets do not go on step by step.
    pub broken_sequences: usize,
    /// Signals that were compared.
    pub signals: usize,
    /// Batches that were committed.
    pub batches: u64,
    details: Vec<String>,
}

impl Verdict {
    /// Reads what a shop has put out and compares it.
    pub fn of(shop: &Shop, expected: &Expected) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        verdict.compare_signals(shop, expected)?;
        verdict.compare_profiles(shop, expected)?;
        verdict.compare_letters(shop, expected)?;
        verdict.follow_seals(shop)?;
        Ok(verdict)
    }

    /// # Errors
    /// With examples, if anything is wrong.
    pub fn into_result(self, context: impl Display) -> Result<Verdict> {
        let Verdict { lost, doubled, different, broken_sequences, .. } = self;
        ensure!(
            lost + doubled + different + broken_sequences == 0,
            "{context}: {lost} lost, {doubled} doubled, {different} different, {broken_sequences} broken sequences\n{}",
            self.details.join("\n")
        );
        Ok(self)
    }

    fn note(&mut self, detail: impl FnOnce() -> String) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail());
        }
    }

    fn compare_signals(&mut self, shop: &Shop, expected: &Expected) -> Result<()> {
        let found = shop.signals()?;
        let (expected, found) = (history::by_id(&expected.signals), history::by_id(&found));
        self.signals = expected.len();
        for (id, signals) in &found {
            if signals.len() > 1 {
                self.doubled += signals.len() - 1;
                self.note(|| format!("{} times: {}", signals.len(), signals[0]));
            }
            match expected.get(id) {
                Some(same) if same[0] == signals[0] => {}
                Some(other) => {
                    self.different += 1;
                    self.note(|| format!("signal {}\nexpected {}", signals[0], other[0]));
                }
                None => {
                    self.different += 1;
                    self.note(|| format!("not to be said: {}", signals[0]));
                }
            }
        }
        for (id, signals) in &expected {
            if !found.contains_key(id) {
                self.lost += 1;
                self.note(|| format!("never said: {}", signals[0]));
            }
        }
        Ok(())
    }

    fn compare_profiles(&mut self, shop: &Shop, expected: &Expected) -> Result<()> {
        let found = shop.profiles()?;
        for key in found.keys().chain(expected.profiles.keys()).collect::<BTreeSet<_>>() {
            let (found, expected) = (found.get(key), expected.profiles.get(key));
            if found == expected {
                continue;
            }
            if found.is_none() {
                self.lost += 1
            } else {
                self.different += 1
            }
            self.note(|| format!("profile of {key}: {found:?}\nexpected {expected:?}"));
        }
        Ok(())
    }

    fn compare_letters(&mut self, shop: &Shop, expected: &Expected) -> Result<()> {
        let mut sources = BTreeSet::new();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for letter in shop.dead_letters()? {
            let header =
                |name: &str| letter.header(name).with_context(|| format!("{name} in {:?}", letter.headers));
            let source = (
                header("dlq_topic")?.to_owned(),
                header("dlq_partition")?.to_owned(),
                header("dlq_offset")?.to_owned(),
            );
            *reasons.entry(header("dlq_reason")?.to_owned()).or_default() += 1;
            if !sources.insert(source.clone()) {
                self.doubled += 1;
                self.note(|| format!("two dead letters of {source:?}"));
            }
        }
        for reason in reasons.keys().chain(expected.letters.keys()).collect::<BTreeSet<_>>() {
            let count = |letters: &BTreeMap<String, usize>| letters.get(reason).copied().unwrap_or_default();
            let (found, expected) = (count(&reasons), count(&expected.letters));
            self.lost += expected.saturating_sub(found);
            self.different += found.saturating_sub(expected);
            if found != expected {
                self.note(|| format!("{found} dead letters of {reason}, not {expected}"));
            }
        }
        Ok(())
    }

    /// Every partition's batches are numbered without a gap, none of its offsets goes back, nor does its clock, and the group's
    /// offsets are those of the last seal.
    fn follow_seals(&mut self, shop: &Shop) -> Result<()> {
        let offsets = shop.offsets()?;
        for (partition, seals) in (0..).zip(seals(shop)?) {
            let mut before: Option<Seal> = None;
            for (_, seal) in &seals {
                if let Some(fault) = fault_of(before.as_ref(), seal) {
                    self.broken_sequences += 1;
                    self.note(|| format!("partition {partition}: {fault}: {before:?}\nthen {seal:?}"));
                }
                before = Some(seal.clone());
            }
            let Some(last) = before else { continue };
            self.batches += last.batch;
            for (topic, input) in shop.input_names().into_iter().zip(&last.inputs.0) {
                let committed = offsets.get(&(topic.to_owned(), partition)).map(|committed| committed.offset);
                if committed != Some(i64::try_from(input.next)?) {
                    self.broken_sequences += 1;
                    self.note(|| format!("{topic}/{partition}: committed {committed:?}, sealed {input:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Why one seal may not follow another.
fn fault_of(before: Option<&Seal>, seal: &Seal) -> Option<&'static str> {
    let Some(before) = before else {
        return (seal.batch != 1).then_some("the first batch is not the first");
    };
    if seal.batch != before.batch + 1 {
        return Some("a batch is missing or double");
    }
    if before.inputs.iter().any(|(input, before)| seal.inputs[input].next < before.next) {
        return Some("an offset goes back");
    }
    (seal.clock < before.clock).then_some("the clock goes back")
}

/// All committed seals of each partition, with their append times. The log is not old enough to be compacted.
pub fn seals(shop: &Shop) -> Result<Vec<Vec<(i64, Seal)>>> {
    let mut seals = vec![Vec::new(); usize::try_from(shop.partitions)?];
    for record in shop.changelog()? {
        let Consumed { partition, timestamp, key, value, .. } = record;
        if let StateRecord::Seal(seal) = changelog::decode(key.as_deref(), value.as_deref())? {
            seals[usize::try_from(partition)?].push((timestamp, seal));
        }
    }
    Ok(seals)
}

/// Watches the group's offsets from outside, while everything else goes on.
#[derive(Default)]
pub struct OffsetWatch {
    highest: BTreeMap<(String, i32), i64>,
}

impl OffsetWatch {
    /// # Errors
    /// If any offset is below one that was seen before.
    pub fn look(&mut self, shop: &Shop) -> Result<()> {
        for (place, committed) in shop.visible_offsets()? {
            let highest = self.highest.entry(place.clone()).or_insert(committed.offset);
            ensure!(committed.offset >= *highest, "{place:?} went back from {highest} to {committed:?}");
            *highest = committed.offset;
        }
        Ok(())
    }
}
