//! The segment of a customer, in profiles and in signals.

use super::fields::{CutsVersion, Days, Field, FieldType, Named, Nullable, Score, Shape, record};
use crate::domain::segments::customer::CustomerSegment;
use crate::domain::segments::names::{Segment, ValueMatrix};
use crate::domain::signals::signal as domain;

/// The segment, where there are segments.
pub(super) const FIELD: Field = Field {
    name: "segment",
    shape: Shape::Optional(&Nullable::<SegmentRecord>::SHAPE),
    about: "The customer's segment at as_of; null without a kept order and before the store's first cut points. The field is there if segments.enabled is true.",
};

/// Two names, three scores, a version, and names.
pub(super) const ROOM: usize = 192;

record! {
    /// A segment: a name for customers with similar recency and frequency.
    SegmentRecord(segment: &'v CustomerSegment) {
        /// The segment.
        "name": Named<Segment> = segment.name;
        /// The score of recency, 5 for the shortest silences.
        "r": Score = segment.scores.r;
        /// The score of frequency, 5 for the most kept orders.
        "f": Score = segment.scores.f;
        /// The score of kept net value. Null while the store has too few customers.
        "m": Nullable<Score> = segment.scores.m;
        /// How often the customer orders and how large the orders are, each against the store's median. Null while the store has too
        /// few customers.
        "matrix": Nullable<Named<ValueMatrix>> = segment.matrix;
        /// Which cut points divide the scores: their version in the registry.
        "cuts": CutsVersion = segment.cuts;
    }
}

record! {
    /// The data of `segment_changed`.
    SegmentChange(change: &'v domain::SegmentChange) {
        /// The segment before. Null with the customer's first order.
        "before": Nullable<Named<Segment>> = change.before;
        /// The segment from now on.
        "after": Named<Segment> = change.after.name;
        /// The score of recency, 5 for the shortest silences.
        "r": Score = change.after.scores.r;
        /// The score of frequency, 5 for the most kept orders.
        "f": Score = change.after.scores.f;
        /// The score of kept net value. Null while the store has too few customers.
        "m": Nullable<Score> = change.after.scores.m;
        /// How often the customer orders and how large the orders are. Null while the store has too few customers.
        "matrix": Nullable<Named<ValueMatrix>> = change.after.matrix;
        /// Which cut points divide the scores: their version in the registry.
        "cuts": CutsVersion = change.after.cuts;
        /// From the last kept order on, in days of 24 hours.
        "silence_days": Days = change.silence;
    }
}

/// The longest change.
#[cfg(test)]
pub(super) fn longest() -> domain::SegmentChange {
    domain::SegmentChange {
        before: Some(Segment::PotentialLoyalist),
        after: CustomerSegment {
            name: Segment::PotentialLoyalist,
            scores: crate::domain::segments::cuts::Scores { r: 5, f: 5, m: Some(5) },
            matrix: Some(ValueMatrix::FrequentLarge),
            cuts: crate::domain::segments::published::CutsVersion(u64::MAX),
        },
        silence: crate::domain::values::time::Span::from_millis(i64::MIN),
    }
}
