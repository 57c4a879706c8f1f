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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_stand_at_their_index() {
        for (index, remark) in Remark::ALL.into_iter().enumerate() {
            assert_eq!(remark.index(), index, "{}", remark.name());
        }
    }
}
