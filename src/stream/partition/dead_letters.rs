//! The limit on the share of dead letters: a bad deploy must stop the service, not drain the inputs into a topic.
//!
//! What became of the last records is in the seal, or each restart would drain some more before it stops again.

use crate::config::DeadLetterLimit;
use crate::domain::values::number::Ratio;
use crate::wire::changelog::{Outcome, OutcomeRun, OutcomeWindow};

/// With fewer records a share means nothing.
const RECORDS_MIN: u32 = 1_000;

/// The last records of a partition.
pub struct DeadLetterWindow {
    limit: DeadLetterLimit,
    outcomes: OutcomeWindow,
    too_old_told: bool,
}

/// What one more record led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crossing {
    None,
    /// The share of dead letters is above its limit.
    Limit,
    /// For the first time, over half of a full window was too old.
    TooOld,
}

impl DeadLetterWindow {
    /// Goes on from the runs of a seal.
    pub fn new(limit: DeadLetterLimit, runs: &[OutcomeRun]) -> Self {
        let capacity = u32::try_from(limit.window).unwrap_or(u32::MAX);
        Self { limit, outcomes: OutcomeWindow::restore(capacity, runs), too_old_told: false }
    }

    /// Remembers one more record, and forgets the oldest.
    pub fn push(&mut self, outcome: Outcome) -> Crossing {
        self.outcomes.push(outcome);
        match outcome {
            Outcome::Passed => Crossing::None,
            Outcome::Refused if self.is_over() => Crossing::Limit,
            Outcome::Refused => Crossing::None,
            Outcome::TooOld if self.is_mostly_too_old() => {
                self.too_old_told = true;
                Crossing::TooOld
            }
            Outcome::TooOld => Crossing::None,
        }
    }

    /// For the seal.
    pub fn runs(&self) -> Vec<OutcomeRun> {
        self.outcomes.runs().collect()
    }

    /// How many of the last records were dead letters that count, and how many there were.
    pub fn share(&self) -> (u32, u32) {
        (self.outcomes.refused(), self.outcomes.len())
    }

    fn is_over(&self) -> bool {
        let (refused, records) = self.share();
        records >= self.enough(RECORDS_MIN)
            && Ratio::new(refused, records).is_some_and(|share| !share.at_most(self.limit.share_max))
    }

    fn is_mostly_too_old(&self) -> bool {
        let is_full = self.outcomes.len() >= self.enough(u32::MAX);
        !self.too_old_told && is_full && self.outcomes.too_old() > self.outcomes.len() / 2
    }

    /// `records`, or as many as the window holds.
    fn enough(&self, records: u32) -> u32 {
        records.min(u32::try_from(self.limit.window).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::number::Decimal;

    fn limit(window: usize) -> DeadLetterLimit {
        DeadLetterLimit { share_max: Decimal::new(5, 2).expect("two digits"), window }
    }

    /// Pushes 2,000 times `period` records of which the last has `outcome`; the first crossing, by record.
    fn first_crossing(period: usize, outcome: Outcome) -> Option<(usize, Crossing)> {
        let mut window = DeadLetterWindow::new(limit(10_000), &[]);
        (1..=period * 2_000).find_map(|record| {
            let crossing = window.push(if record % period == 0 { outcome } else { Outcome::Passed });
            (crossing != Crossing::None).then_some((record, crossing))
        })
    }

    #[test]
    fn the_limit_is_a_share_of_the_window_and_needs_a_thousand_records() {
        for (period, expected) in [
            (1, Some((1_000, Crossing::Limit))),
            (2, Some((1_000, Crossing::Limit))),
            (19, Some((1_007, Crossing::Limit))),
            (20, None), // exactly 5 % is not above it
        ] {
            assert_eq!(first_crossing(period, Outcome::Refused), expected, "{period}");
        }
    }

    #[test]
    fn old_records_do_not_count_and_are_told_once() {
        assert_eq!(first_crossing(2, Outcome::TooOld), None);
        let mut window = DeadLetterWindow::new(limit(100), &[]);
        let crossings: Vec<_> = (0..1_000).map(|_| window.push(Outcome::TooOld)).collect();
        assert_eq!(crossings.iter().filter(|crossing| **crossing == Crossing::TooOld).count(), 1);
        assert_eq!(crossings[99], Crossing::TooOld);
    }

    #[test]
    fn a_restart_does_not_forget() {
        let mut window = DeadLetterWindow::new(limit(10_000), &[]);
        for _ in 0..999 {
            assert_eq!(window.push(Outcome::Refused), Crossing::None);
        }
        let mut restarted = DeadLetterWindow::new(limit(10_000), &window.runs());
        assert_eq!(restarted.push(Outcome::Refused), Crossing::Limit);
    }
}
