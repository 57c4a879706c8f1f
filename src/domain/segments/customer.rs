//! The segment of one customer, and when silence alone changes it.

use super::cuts::{RfmValues, Scores};
use super::names::{Segment, ValueMatrix};
use super::published::{CutsVersion, VersionedCuts};
use crate::domain::customer::purchases::PurchaseStats;
use crate::domain::values::time::{Span, Time};

/// The segment of a customer at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomerSegment {
    pub name: Segment,
    pub scores: Scores,
    /// None while the store has too few customers.
    pub matrix: Option<ValueMatrix>,
    pub cuts: CutsVersion,
}

/// From what the segment of a customer with a kept order follows at any instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentBasis<'s> {
    cuts: &'s VersionedCuts,
    kept: &'s PurchaseStats,
}

impl<'s> SegmentBasis<'s> {
    /// `cuts` are those that count for the customer.
    pub fn new(cuts: &'s VersionedCuts, kept: &'s PurchaseStats) -> Self {
        Self { cuts, kept }
    }

    pub fn at(&self, instant: Time) -> CustomerSegment {
        let values = self.values(instant);
        let scores = self.cuts.points.scores(&values);
        CustomerSegment {
            name: Segment::of(scores.r, scores.f),
            scores,
            matrix: self.cuts.points.matrix(&values),
            cuts: self.cuts.version,
        }
    }

    /// The first instant, not before `clock`, at which silence leads to another name than `emitted`. Without one, the name just before
    /// the clock counts as emitted: what happens at the clock itself may still be to come.
    pub fn next_change(&self, emitted: Option<Segment>, clock: Time) -> Option<Time> {
        let name = |instant: Time| self.cuts.points.segment(&self.values(instant));
        let emitted = emitted.unwrap_or_else(|| name(clock.just_before()));
        let ends = self.cuts.points.r.iter().map(|days| self.kept.last_at.plus(silence_beyond(*days)));
        ends.filter(|end| *end >= clock).find(|end| name(*end) != emitted)
    }

    fn values(&self, instant: Time) -> RfmValues {
        RfmValues {
            silence: instant.since(self.kept.last_at),
            kept: self.kept.count,
            kept_net: self.kept.net,
        }
    }
}

/// A silence is longer than so many whole days from here on.
pub(super) fn silence_beyond(days: u64) -> Span {
    Span::days(i64::try_from(days).expect("whole days of a time") + 1)
}
