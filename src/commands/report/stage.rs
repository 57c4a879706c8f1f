//! The stage of a shop in words.

use super::html::Table;
use crate::domain::daily_count::stage::ShopStage;

pub(super) const fn title(stage: ShopStage) -> &'static str {
    match stage {
        ShopStage::Starting => "Starting",
        ShopStage::FirstSales => "First sales",
        ShopStage::Consistent => "Consistent",
        ShopStage::Established => "Established",
        ShopStage::Mature => "Mature",
    }
}

const fn rule(stage: ShopStage) -> &'static str {
    match stage {
        ShopStage::Starting => "fewer than 10 kept orders, or less than a month since the first",
        ShopStage::FirstSales => "less than 3 months, or fewer than 30 kept orders a month",
        ShopStage::Consistent => "less than 12 months, or fewer than 100 a month",
        ShopStage::Established => "less than 24 months, or fewer than 1,000 a month",
        ShopStage::Mature => "24 months and more, with 1,000 and more a month",
    }
}

/// What it means for acquiring against keeping.
pub(super) const fn advice(stage: ShopStage) -> &'static str {
    match stage {
        ShopStage::Starting => {
            "Win customers first: there are hardly any to keep yet. What pays now is that the first orders go well."
        }
        ShopStage::FirstSales => {
            "Mostly win customers. One thing for keeping is worth it already: a letter after the first order that leads to a second one."
        }
        ShopStage::Consistent => {
            "Share the effort: new customers still carry growth, and enough customers come back that reminding them pays."
        }
        ShopStage::Established => {
            "Lean towards keeping: many customers know the shop by now. Look after the best by name, and let new customers come beside it."
        }
        ShopStage::Mature => {
            "Keeping comes first: the shop lives on customers who know it. Win new ones to replace those who leave."
        }
    }
}

pub(super) fn table(stage: ShopStage) -> Table {
    let mut table = Table::new(
        "Stages of a shop. The first line that fits decides; orders a month are a third of those of the last 90 days",
        &["Stage", "Rule", "This shop"],
    );
    for one in ShopStage::ALL {
        let mark = if *one == stage { "here" } else { "" };
        table.row([title(*one).to_owned(), rule(*one).to_owned(), mark.to_owned()]);
    }
    table
}
