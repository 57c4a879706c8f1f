//! What rules brought, as shop metrics hold it: each group of customers beside those from whom the rule withheld.

use super::fields::{
    Count, Field, FieldType, Flag, Nullable, RuleName, Shape, Share, SignedMeanMoney, SignedMoney,
    SignedShare, Words, put_list, record,
};
use super::text::Text;
use crate::domain::daily_count::outcomes::{Comparison, Outcome, OutcomeGroup, RuleOutcomes};

/// What shop metrics say of rules.
#[derive(Clone, Copy, Debug)]
pub enum ShopOutcomes<'a> {
    /// There are no rules.
    LeftOut,
    /// No count was taken.
    Unknown,
    Known(&'a RuleOutcomes),
}

pub(super) const FIELD: Field = Field {
    name: "rules",
    shape: Shape::Optional(&<Nullable<OutcomeList> as FieldType>::SHAPE),
    about: "What rules brought, by rule, variant and whether they withheld: the customers whose last firing lies so far back that its outcome is known, and at most a year more; null where no count was taken. The field is there if the shop has rules.",
};

/// All groups.
pub(super) struct OutcomeList;

/// A group, what its customers did, and what it is compared with.
pub(super) struct Row<'r> {
    group: OutcomeGroup<'r>,
    outcome: &'r Outcome,
    /// None of those withheld from.
    compared: Option<Comparison>,
}

impl FieldType for OutcomeList {
    type Value<'v> = &'v RuleOutcomes;
    const SHAPE: Shape = Shape::List(&OutcomeRecord::SHAPE);

    fn put<'o>(text: Text<'o>, outcomes: &RuleOutcomes, digits: u8) -> Text<'o> {
        let rows = outcomes.groups().map(|(group, outcome)| {
            let compared =
                (!group.withheld).then(|| Comparison::new(outcome, &outcomes.withheld(group.rule)));
            Row { group, outcome, compared }
        });
        let rows: Vec<Row<'_>> = rows.collect();
        put_list(text, &rows, |text, row| OutcomeRecord::put(text, row, digits))
    }
}

record! {
    /// What the customers of one group did.
    OutcomeRecord(of: &'v Row<'v>) {
        /// The rule.
        "rule": RuleName = of.group.rule.as_bytes();
        /// The variant that these customers are assigned to. Null of a rule without variants.
        "variant": Nullable<Words> = Some(of.group.variant.as_bytes()).filter(|name| !name.is_empty());
        /// Whether the rule withheld from them: a control of the rule, or held out of every rule.
        "withheld": Flag = of.group.withheld;
        /// How many.
        "customers": Count = of.outcome.customers;
        /// Those of them with a kept order after the firing and within measure.
        "ordered": Count = of.outcome.ordered;
        /// ordered / customers.
        "ordered_share": Nullable<Share> = of.outcome.ordered_share();
        /// Their kept orders in that time.
        "orders": Count = of.outcome.orders;
        /// The net value of these orders, as known at this instant.
        "net": SignedMoney = of.outcome.net;
        /// net / customers.
        "net_per_customer": Nullable<SignedMeanMoney> = of.outcome.net_per_customer();
        /// All customers from whom the rule withheld, to compare with; null of a group that is one of these.
        "compared": Nullable<Compared> = of.compared.as_ref();
    }
}

record! {
    /// The customers from whom the rule withheld, of all its variants.
    Compared(of: &'v Comparison) {
        /// How many.
        "customers": Count = of.withheld.customers;
        /// The share of them that ordered; null without any.
        "ordered_share": Nullable<Share> = of.withheld.ordered_share();
        /// Their net value / customers; null without any.
        "net_per_customer": Nullable<SignedMeanMoney> = of.withheld.net_per_customer();
        /// The group's share that ordered, less this one; null without any.
        "difference": Nullable<SignedShare> = of.difference;
        /// How far chance alone would move the difference, up or down, 19 times of 20; null without any.
        "margin": Nullable<Share> = of.margin;
    }
}

/// More than the groups take: two names of 40 characters that may be escaped, 13 numbers of 24 digits, and the names of fields.
pub(super) fn room(outcomes: &ShopOutcomes<'_>) -> usize {
    match outcomes {
        ShopOutcomes::LeftOut => 0,
        ShopOutcomes::Unknown => 32,
        ShopOutcomes::Known(outcomes) => 32 + 1_536 * outcomes.groups().count(),
    }
}
