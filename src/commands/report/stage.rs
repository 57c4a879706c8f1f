//! How far a shop has come, by its months and its orders.

use super::html::Table;

/// The stage of a shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Starting,
    FirstSales,
    Consistent,
    Established,
    Mature,
}

impl Stage {
    const ALL: [Self; 5] =
        [Self::Starting, Self::FirstSales, Self::Consistent, Self::Established, Self::Mature];

    /// `months` have begun since the month of the first kept order. A month of orders is a third of the last 90 days.
    pub(super) const fn of(months: i32, kept: u64, kept_90_days: u64) -> Self {
        match (months, kept_90_days / 3) {
            _ if kept < 10 => Self::Starting,
            (..1, _) => Self::Starting,
            (..3, _) | (_, ..30) => Self::FirstSales,
            (..12, _) | (_, ..100) => Self::Consistent,
            (..24, _) | (_, ..1_000) => Self::Established,
            _ => Self::Mature,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::FirstSales => "First sales",
            Self::Consistent => "Consistent",
            Self::Established => "Established",
            Self::Mature => "Mature",
        }
    }

    const fn rule(self) -> &'static str {
        match self {
            Self::Starting => "fewer than 10 kept orders, or less than a month since the first",
            Self::FirstSales => "less than 3 months, or fewer than 30 kept orders a month",
            Self::Consistent => "less than 12 months, or fewer than 100 a month",
            Self::Established => "less than 24 months, or fewer than 1,000 a month",
            Self::Mature => "24 months and more, with 1,000 and more a month",
        }
    }

    /// What it means for acquiring against keeping.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Starting => {
                "Win customers first: there are hardly any to keep yet. What pays now is that the first orders go well."
            }
            Self::FirstSales => {
                "Mostly win customers. One thing for keeping is worth it already: a letter after the first order that leads to a second one."
            }
            Self::Consistent => {
                "Share the effort: new customers still carry growth, and enough customers come back that reminding them pays."
            }
            Self::Established => {
                "Lean towards keeping: many customers know the shop by now. Look after the best by name, and let new customers come beside it."
            }
            Self::Mature => {
                "Keeping comes first: the shop lives on customers who know it. Win new ones to replace those who leave."
            }
        }
    }

    pub(super) fn table(self) -> Table {
        let mut table = Table::new(
            "Stages of a shop. The first line that fits decides; orders a month are a third of those of the last 90 days",
            &["Stage", "Rule", "This shop"],
        );
        for stage in Self::ALL {
            let mark = if stage == self { "here" } else { "" };
            table.row([stage.name().to_owned(), stage.rule().to_owned(), mark.to_owned()]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_orders_decide_together() {
        for (months, kept, kept_90_days, expected) in [
            (0, 500, 500, Stage::Starting),
            (40, 9, 0, Stage::Starting),
            (2, 9_000, 9_000, Stage::FirstSales),
            (40, 900, 89, Stage::FirstSales),
            (11, 9_000, 9_000, Stage::Consistent),
            (12, 9_000, 299, Stage::Consistent),
            (12, 9_000, 300, Stage::Established),
            (24, 9_000, 2_999, Stage::Established),
            (24, 9_000, 3_000, Stage::Mature),
        ] {
            assert_eq!(
                Stage::of(months, kept, kept_90_days),
                expected,
                "{months} months, {kept}, {kept_90_days}"
            );
        }
    }
}
