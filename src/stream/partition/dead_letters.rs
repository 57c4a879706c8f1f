//! The limit on the share of dead letters: a bad deploy must stop the service, not drain the inputs into a topic.
//!
//! The record that would cross the limit is not applied: everything before it is committed, then the service stops. What became of the
//! last records is in the seal, so a restart stops at the same record again, until its producer is mended and an operator accepts
//! what was appended before that.

use std::collections::{BTreeMap, VecDeque};

use crate::config::{self, DeadLetterLimit};
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Span;
use crate::stream::broker::Offset;
use crate::topic::{Input, Partition};
use crate::wire::changelog::{Outcome, OutcomeRun, OutcomeWindow};
use crate::wire::reason::{Reason, Refusal};

/// With fewer records a share means nothing.
const RECORDS_MIN: u32 = 1_000;
/// Fewer records that are too old are no sign of anything.
const TOO_OLD_MIN: u32 = 100;

/// The last records of a partition, which lie in several logs `L`.
pub struct DeadLetterWindow<L = Input> {
    limit: DeadLetterLimit,
    outcomes: OutcomeWindow,
    /// Those of the window's dead letters that count and were refused since the state was restored, oldest first.
    refused: VecDeque<RefusedRecord<L>>,
    too_old_told: bool,
}

/// Which record was refused, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusedRecord<L = Input> {
    pub input: L,
    pub offset: Offset,
    pub reason: Reason,
}

/// Whether the limit asks about a refused record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counting {
    Counts,
    /// It was appended before the instant of `--accept-dead-letters-before`.
    Accepted,
}

/// Why a partition has stopped: the next record would cross the limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitReached<L = Input> {
    pub input: L,
    /// Where the record lies: everything before it was applied.
    pub offset: Offset,
    pub refusal: Refusal,
    /// Of the last records, without this one: how many were refused, ...
    pub dead_letters: u32,
    /// ... and how many there were.
    pub records: u32,
    /// The refused ones that are known one by one: those before the last restore are only counted.
    pub by_reason: BTreeMap<Reason, u32>,
    /// First and last offset of these, by input.
    pub offsets: BTreeMap<L, (Offset, Offset)>,
}

impl<L: Copy + Ord> DeadLetterWindow<L> {
    /// Goes on from the runs of a seal.
    pub fn new(limit: DeadLetterLimit, runs: &[OutcomeRun]) -> Self {
        let capacity = u32::try_from(limit.window).unwrap_or(u32::MAX);
        Self {
            limit,
            outcomes: OutcomeWindow::restore(capacity, runs),
            refused: VecDeque::new(),
            too_old_told: false,
        }
    }

    /// What a refused record counts as, for [`Self::push`]; none if it would cross the limit. One that is accepted does not count,
    /// and if it would cross the limit, the window begins anew: what led there is accepted with it.
    pub fn admit(&mut self, record: RefusedRecord<L>, counting: Counting) -> Option<Outcome> {
        let outcome = Outcome::of_refusal(record.reason);
        match (outcome, counting) {
            (Outcome::Passed | Outcome::TooOld, _) => Some(outcome),
            (Outcome::Refused, Counting::Counts) if self.would_cross() => None,
            (Outcome::Refused, Counting::Counts) => {
                self.refused.push_back(record);
                Some(outcome)
            }
            (Outcome::Refused, Counting::Accepted) => {
                if self.would_cross() {
                    *self = Self::new(self.limit, &[]);
                }
                Some(Outcome::Passed)
            }
        }
    }

    /// Remembers one more record, and forgets the oldest. Gives whether, for the first time, over half of a full window was too old.
    pub fn push(&mut self, outcome: Outcome) -> bool {
        self.outcomes.push(outcome);
        while self.refused.len() > self.outcomes.refused() as usize {
            self.refused.pop_front();
        }
        let is_news = outcome == Outcome::TooOld && !self.too_old_told && self.is_mostly_too_old();
        self.too_old_told |= is_news;
        is_news
    }

    /// For the seal.
    pub fn runs(&self) -> Vec<OutcomeRun> {
        self.outcomes.runs().collect()
    }

    /// How many of the last records were too old, and how many there were.
    pub fn too_old(&self) -> (u32, u32) {
        (self.outcomes.too_old(), self.outcomes.len())
    }

    /// What to say of a partition that refuses records as too old: a hundred or more, and above one in a hundred.
    pub fn too_old_remark(&self, partition: Partition, lateness: Span) -> Option<String> {
        let (too_old, records) = self.too_old();
        (too_old >= TOO_OLD_MIN && too_old > records / 100).then(|| {
            let lateness = config::format_duration(lateness.as_millis().unsigned_abs());
            format!(
                "partition {partition}: {too_old} of the last {records} records were refused, over {lateness} behind its clock; \
                 is history being loaded? docs/HISTORY.md says what to do"
            )
        })
    }

    /// Explains why this record was not admitted.
    pub fn limit_reached(&self, record: RefusedRecord<L>, refusal: &Refusal) -> LimitReached<L> {
        let mut by_reason = BTreeMap::new();
        let mut offsets = BTreeMap::new();
        for refused in &self.refused {
            *by_reason.entry(refused.reason).or_default() += 1;
            offsets.entry(refused.input).or_insert((refused.offset, refused.offset)).1 = refused.offset;
        }
        LimitReached {
            input: record.input,
            offset: record.offset,
            refusal: refusal.clone(),
            dead_letters: self.outcomes.refused(),
            records: self.outcomes.len(),
            by_reason,
            offsets,
        }
    }

    /// Whether one more dead letter that counts would put the share above its limit.
    fn would_cross(&self) -> bool {
        let (refused, records) = self.outcomes.with_refused();
        records >= self.enough(RECORDS_MIN)
            && Ratio::new(refused, records).is_some_and(|share| !share.at_most(self.limit.share_max))
    }

    fn is_mostly_too_old(&self) -> bool {
        let (too_old, records) = self.too_old();
        records >= self.enough(u32::MAX) && too_old > records / 2
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

    fn window(window: usize, runs: &[OutcomeRun]) -> DeadLetterWindow {
        let share_max = Decimal::new(5, 2).expect("two digits");
        DeadLetterWindow::new(DeadLetterLimit { share_max, window }, runs)
    }

    fn record(offset: u64, reason: Reason) -> RefusedRecord {
        RefusedRecord { input: Input::Orders, offset: Offset(offset), reason }
    }

    /// Whether the record was admitted.
    fn refuse(window: &mut DeadLetterWindow, offset: u64, counting: Counting) -> bool {
        let admitted = window.admit(record(offset, Reason::WrongPartition), counting);
        if let Some(outcome) = admitted {
            assert!(!window.push(outcome), "none is too old");
        }
        admitted.is_some()
    }

    /// Of 2,000 times `period` records the last of each period is refused: the offset of the first that is not admitted.
    fn first_crossing(period: u64) -> Option<u64> {
        let mut window = window(10_000, &[]);
        (1..=period * 2_000).find(|offset| {
            if offset % period == 0 {
                return !refuse(&mut window, *offset, Counting::Counts);
            }
            window.push(Outcome::Passed);
            false
        })
    }

    #[test]
    fn the_limit_is_a_share_of_the_window_and_needs_a_thousand_records() {
        for (period, expected) in [
            (1, Some(1_000)),
            (2, Some(1_000)),
            (19, Some(1_007)),
            (20, None), // exactly 5 % is not above it
        ] {
            assert_eq!(first_crossing(period), expected, "{period}");
        }
    }

    #[test]
    fn old_records_do_not_count_and_are_told_once() {
        let mut window = window(2_000, &[]);
        let told: Vec<bool> = (0..10_000)
            .map(|offset| {
                let outcome = window.admit(record(offset, Reason::TooOld), Counting::Counts);
                window.push(outcome.expect("the limit does not ask about it"))
            })
            .collect();
        assert_eq!(told.iter().position(|told| *told), Some(1_999));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
    }

    #[test]
    fn a_restart_does_not_forget() {
        let mut before = window(10_000, &[]);
        for offset in 0..999 {
            assert!(refuse(&mut before, offset, Counting::Counts));
        }
        for _ in 0..2 {
            let mut restarted = window(10_000, &before.runs());
            assert!(!refuse(&mut restarted, 999, Counting::Counts));
            let reached = restarted.limit_reached(
                record(999, Reason::WrongPartition),
                &Refusal::new(Reason::WrongPartition, ""),
            );
            assert_eq!((reached.dead_letters, reached.records, reached.by_reason.len()), (999, 999, 0));
        }
    }

    #[test]
    fn what_was_refused_is_explained() {
        let mut window = window(1_000, &[]);
        assert!(
            window
                .admit(record(3, Reason::NullValue), Counting::Counts)
                .is_some_and(|outcome| !window.push(outcome))
        );
        (0..980).for_each(|_| assert!(!window.push(Outcome::Passed)));
        let crossing = (990..).find(|offset| !refuse(&mut window, *offset, Counting::Counts));
        let refusal = Refusal::new(Reason::WrongPartition, "the key belongs to partition 0");
        let reached =
            window.limit_reached(record(crossing.expect("ever more"), Reason::WrongPartition), &refusal);
        // The oldest has left the window when the thousand-and-first came.
        assert_eq!((reached.dead_letters, reached.records), (50, 1_000));
        assert_eq!(reached.by_reason.into_iter().collect::<Vec<_>>(), [(Reason::WrongPartition, 50)]);
        assert_eq!(reached.offsets[&Input::Orders], (Offset(990), Offset(1_039)));
        assert_eq!((reached.offset, reached.refusal), (Offset(1_040), refusal));
    }

    #[test]
    fn what_is_accepted_does_not_count() {
        let mut window = window(10_000, &[]);
        for offset in 0..999 {
            assert!(refuse(&mut window, offset, Counting::Counts));
        }
        for offset in 999..5_000 {
            assert!(refuse(&mut window, offset, Counting::Accepted), "{offset}");
        }
        assert_eq!(
            window.runs(),
            [OutcomeRun { outcome: Outcome::Passed, records: 4_001 }],
            "it has begun anew"
        );
        let crossing = (5_000..).find(|offset| !refuse(&mut window, *offset, Counting::Counts));
        assert_eq!(crossing, Some(5_210), "211 of 4,212 are more than 5 %");
    }

    /// A window of the last records, of which the first were too old.
    fn too_old(too_old: u32, records: u32) -> DeadLetterWindow {
        let run = |outcome, records| OutcomeRun { outcome, records };
        window(10_000, &[run(Outcome::TooOld, too_old), run(Outcome::Passed, records - too_old)])
    }

    #[test]
    fn a_partition_that_refuses_a_hundredth_as_too_old_is_remarked_on() {
        for (refused, records, expected) in
            [(99, 99, false), (100, 100, true), (100, 9_999, true), (100, 10_000, false), (101, 10_000, true)]
        {
            let remark = too_old(refused, records).too_old_remark(Partition(7), Span::days(3));
            assert_eq!(remark.is_some(), expected, "{refused} of {records}");
            let of =
                format!("partition 7: {refused} of the last {records} records were refused, over 3d behind");
            assert!(remark.is_none_or(|remark| remark.starts_with(&of)), "{of}");
        }
    }

    #[test]
    fn half_of_a_full_window_is_not_yet_mostly_too_old() {
        for (refused, records, expected) in
            [(5_000, 10_000, false), (5_001, 10_000, true), (9_999, 9_999, false)]
        {
            assert_eq!(too_old(refused, records).is_mostly_too_old(), expected, "{refused} of {records}");
        }
    }
}
