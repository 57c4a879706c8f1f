//! The names of segments, and the value matrix.

/// A segment: customers with similar R and F.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Segment {
    Champions,
    Loyal,
    PotentialLoyalist,
    New,
    Promising,
    NeedAttention,
    AboutToSleep,
    CantLose,
    /// Usually "at risk", which is a lifecycle state here.
    Slipping,
    Hibernating,
}

impl Segment {
    /// From the best on.
    pub const ALL: [Self; 10] = [
        Self::Champions,
        Self::Loyal,
        Self::PotentialLoyalist,
        Self::New,
        Self::Promising,
        Self::NeedAttention,
        Self::AboutToSleep,
        Self::CantLose,
        Self::Slipping,
        Self::Hibernating,
    ];

    /// The segment of scores, each 1 to 5.
    pub fn of(r: u8, f: u8) -> Self {
        match (r, f) {
            (0..=2, 0..=2) => Self::Hibernating,
            (0..=2, 3..=4) => Self::Slipping,
            (0..=2, 5..) => Self::CantLose,
            (3, 0..=2) => Self::AboutToSleep,
            (3, 3) => Self::NeedAttention,
            (3..=4, 4..) => Self::Loyal,
            (4, 0..=1) => Self::Promising,
            (4.., 2..=3) => Self::PotentialLoyalist,
            (5.., 0..=1) => Self::New,
            (5.., 4..) => Self::Champions,
        }
    }

    /// The name in records and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Champions => "champions",
            Self::Loyal => "loyal",
            Self::PotentialLoyalist => "potential_loyalist",
            Self::New => "new",
            Self::Promising => "promising",
            Self::NeedAttention => "need_attention",
            Self::AboutToSleep => "about_to_sleep",
            Self::CantLose => "cant_lose",
            Self::Slipping => "slipping",
            Self::Hibernating => "hibernating",
        }
    }
}

/// How often a customer orders and how large the orders are, each against the median of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ValueMatrix {
    FrequentLarge,
    FrequentSmall,
    RareLarge,
    RareSmall,
}

impl ValueMatrix {
    pub const ALL: [Self; 4] = [Self::FrequentLarge, Self::FrequentSmall, Self::RareLarge, Self::RareSmall];

    pub const fn of(is_frequent: bool, is_large: bool) -> Self {
        match (is_frequent, is_large) {
            (true, true) => Self::FrequentLarge,
            (true, false) => Self::FrequentSmall,
            (false, true) => Self::RareLarge,
            (false, false) => Self::RareSmall,
        }
    }

    /// The name in records and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrequentLarge => "frequent_large",
            Self::FrequentSmall => "frequent_small",
            Self::RareLarge => "rare_large",
            Self::RareSmall => "rare_small",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_name() {
        // A row for each R from 1 on, with F from 1 to 5.
        let grid = [
            "hibernating hibernating slipping slipping cant_lose",
            "hibernating hibernating slipping slipping cant_lose",
            "about_to_sleep about_to_sleep need_attention loyal loyal",
            "promising potential_loyalist potential_loyalist loyal loyal",
            "new potential_loyalist potential_loyalist champions champions",
        ];
        let mut seen = std::collections::BTreeSet::new();
        for (r, row) in (1..).zip(grid) {
            let names: Vec<&str> = (1..=5).map(|f| Segment::of(r, f).name()).collect();
            assert_eq!(names.join(" "), row, "R {r}");
            seen.extend((1..=5).map(|f| Segment::of(r, f)));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), Segment::ALL);
    }
}
