//! What records have about them that a person may want to look into: a closed list, counted by `run` and `replay`.

/// A remark about a record. `docs/RECORDS.md` explains each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Remark {
    /// The same identity and version as an earlier record, with other content.
    Conflicting,
    /// One of these that took the place of the earlier record; in the others the earlier record stands.
    ConflictReplaced,
    /// A cancellation too far from its order to touch it.
    IneffectiveCancellation,
    /// A test order, or a record that refers to one.
    TestOrder,
    /// An order folded early because its customer's ledger is full.
    FoldedEarly,
    /// Refused as too old because its part of the customer's history has folded: an old order was edited.
    Folded,
    /// A time before the year 2000: seconds taken for milliseconds lie in January 1970.
    TimeBefore2000,
    /// A return that names an order but not whose it is.
    ReturnWithoutCustomer,
}

impl Remark {
    pub const ALL: [Self; 8] = [
        Self::Conflicting,
        Self::ConflictReplaced,
        Self::IneffectiveCancellation,
        Self::TestOrder,
        Self::FoldedEarly,
        Self::Folded,
        Self::TimeBefore2000,
        Self::ReturnWithoutCustomer,
    ];

    /// The name in records and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflicting => "conflicting",
            Self::ConflictReplaced => "conflict_replaced",
            Self::IneffectiveCancellation => "ineffective_cancellation",
            Self::TestOrder => "test_order",
            Self::FoldedEarly => "folded_early",
            Self::Folded => "folded",
            Self::TimeBefore2000 => "time_before_2000",
            Self::ReturnWithoutCustomer => "return_without_customer",
        }
    }

    /// The position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A remark about the inputs of a replay as a whole. `docs/RECORDS.md` explains each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InputRemark {
    /// Ids such as `0` or `NULL`, which stand for no customer where they come from.
    NoCustomer,
    /// `17850.0` beside `17850`.
    DecimalCustomer,
    /// `6.61808E+12`: a spreadsheet has cut the id.
    CutCustomer,
    /// Ids that differ in blanks or in capitals only.
    SimilarCustomer,
    /// No amount has digits after the point, and the currency has them.
    WholeAmounts,
    /// More than half of the times lie on the first of a month.
    FirstOfMonth,
    /// More than half of the times lie before the year 2000.
    Before2000,
    /// Identities were hashed without the secret of the intake.
    HashedWithoutSecret,
}

impl InputRemark {
    pub const ALL: [Self; 8] = [
        Self::NoCustomer,
        Self::DecimalCustomer,
        Self::CutCustomer,
        Self::SimilarCustomer,
        Self::WholeAmounts,
        Self::FirstOfMonth,
        Self::Before2000,
        Self::HashedWithoutSecret,
    ];

    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCustomer => "no_customer",
            Self::DecimalCustomer => "decimal_customer",
            Self::CutCustomer => "cut_customer",
            Self::SimilarCustomer => "similar_customer",
            Self::WholeAmounts => "whole_amounts",
            Self::FirstOfMonth => "first_of_month",
            Self::Before2000 => "before_2000",
            Self::HashedWithoutSecret => "hashed_without_secret",
        }
    }

    /// The position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_stand_at_their_index() {
        for (index, remark) in Remark::ALL.into_iter().enumerate() {
            assert_eq!(remark.index(), index, "{}", remark.name());
        }
        for (index, remark) in InputRemark::ALL.into_iter().enumerate() {
            assert_eq!(remark.index(), index, "{}", remark.name());
        }
    }
}
