//! What became of a partition's last records, for the limit on dead letters: exact, and small because most records pass.

use std::collections::VecDeque;

use crate::wire::reason::Reason;

/// What became of a record, as far as the limit asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Accepted, a duplicate, or refused because the customer was erased.
    Passed,
    /// A dead letter that counts towards the limit.
    Refused,
    /// A dead letter too, but an export of old data is no fault of today's.
    TooOld,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Passed, Self::Refused, Self::TooOld];

    /// What a refusal for this reason counts as.
    pub fn of_refusal(reason: Reason) -> Self {
        match reason {
            Reason::TooOld => Self::TooOld,
            Reason::Erased => Self::Passed,
            Reason::NullValue
            | Reason::InvalidUtf8
            | Reason::MalformedJson
            | Reason::TooDeep
            | Reason::TooLarge
            | Reason::MissingField
            | Reason::InvalidType
            | Reason::InvalidField
            | Reason::InvalidEvent
            | Reason::InvalidTime
            | Reason::InvalidAmount
            | Reason::OutOfRange
            | Reason::UnknownCurrency
            | Reason::UnknownStore
            | Reason::KeyMismatch
            | Reason::WrongPartition
            | Reason::InFuture
            | Reason::Unmapped => Self::Refused,
        }
    }
}

/// Neighbouring records with the same outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutcomeRun {
    pub outcome: Outcome,
    /// At least 1.
    pub records: u32,
}

/// The outcomes of the last records, up to a capacity, as runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutcomeWindow {
    capacity: u32,
    runs: VecDeque<OutcomeRun>,
    /// By outcome.
    counts: [u32; Outcome::ALL.len()],
}

impl OutcomeWindow {
    /// Holds the last `capacity` records (at least 1).
    pub fn new(capacity: u32) -> Self {
        Self { capacity: capacity.max(1), runs: VecDeque::new(), counts: [0; Outcome::ALL.len()] }
    }

    /// Goes on from the runs of a seal, of which the oldest go if the capacity is smaller now.
    pub fn restore(capacity: u32, runs: &[OutcomeRun]) -> Self {
        let mut window = Self::new(capacity);
        for run in runs {
            window.add(*run);
        }
        window
    }

    pub fn push(&mut self, outcome: Outcome) {
        self.add(OutcomeRun { outcome, records: 1 });
    }

    fn add(&mut self, run: OutcomeRun) {
        // More than fits at once would only push itself out.
        let records = run.records.min(self.capacity);
        let excess = (self.len() + records).saturating_sub(self.capacity);
        self.forget(excess);
        self.counts[run.outcome as usize] += records;
        match self.runs.back_mut() {
            Some(last) if last.outcome == run.outcome => last.records += records,
            Some(_) | None => self.runs.push_back(OutcomeRun { records, ..run }),
        }
    }

    fn forget(&mut self, mut records: u32) {
        while records > 0 {
            let first = self.runs.front_mut().expect("no more is forgotten than is held");
            let forgotten = records.min(first.records);
            first.records -= forgotten;
            self.counts[first.outcome as usize] -= forgotten;
            records -= forgotten;
            if first.records == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// Records held.
    pub fn len(&self) -> u32 {
        self.counts.iter().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Dead letters among them that count towards the limit.
    pub fn refused(&self) -> u32 {
        self.counts[Outcome::Refused as usize]
    }

    /// [`Self::refused`] and [`Self::len`] as they would be with one more such dead letter.
    pub fn with_refused(&self) -> (u32, u32) {
        let is_full = self.len() == self.capacity;
        let is_forgotten = |run: &OutcomeRun| is_full && run.outcome == Outcome::Refused;
        let forgotten = u32::from(self.runs.front().is_some_and(is_forgotten));
        (self.refused() + 1 - forgotten, self.len() + u32::from(!is_full))
    }

    pub fn too_old(&self) -> u32 {
        self.counts[Outcome::TooOld as usize]
    }

    /// Oldest first.
    pub fn runs(&self) -> impl Iterator<Item = OutcomeRun> + '_ {
        self.runs.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_last_records_exactly() {
        const SEED: u64 = 7;
        let mut random = fastrand::Rng::with_seed(SEED);
        for capacity in [1, 2, 10, 57] {
            let mut window = OutcomeWindow::new(capacity);
            let mut all = Vec::new();
            for round in 0..1_000 {
                let outcome = Outcome::ALL[random.usize(..3).min(random.usize(..3))];
                let with_refused = window.with_refused();
                window.push(outcome);
                if outcome == Outcome::Refused {
                    let pushed = (window.refused(), window.len());
                    assert_eq!(with_refused, pushed, "seed {SEED}, round {round}");
                }
                all.push(outcome);
                let last = &all[all.len().saturating_sub(capacity as usize)..];
                let count = |outcome| last.iter().filter(|held| **held == outcome).count() as u32;
                assert_eq!(window.len() as usize, last.len(), "seed {SEED}, round {round}");
                assert_eq!(window.refused(), count(Outcome::Refused), "seed {SEED}, round {round}");
                assert_eq!(window.too_old(), count(Outcome::TooOld), "seed {SEED}, round {round}");
                let runs: Vec<_> = window.runs().collect();
                assert_eq!(OutcomeWindow::restore(capacity, &runs), window, "seed {SEED}, round {round}");
            }
        }
    }

    #[test]
    fn a_smaller_window_keeps_the_newest() {
        let runs = [
            OutcomeRun { outcome: Outcome::Refused, records: 50 },
            OutcomeRun { outcome: Outcome::Passed, records: 30 },
            OutcomeRun { outcome: Outcome::TooOld, records: 20 },
        ];
        let window = OutcomeWindow::restore(60, &runs);
        assert_eq!((window.len(), window.refused(), window.too_old()), (60, 10, 20));
        let window = OutcomeWindow::restore(10, &runs);
        assert_eq!((window.len(), window.refused(), window.too_old()), (10, 0, 10));
    }
}
