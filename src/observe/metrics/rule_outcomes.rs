//! What rules brought, as counted of the newest complete day.

use std::collections::BTreeSet;

use prometheus::GaugeVec;

use super::registrar::Registrar;
use super::shop_day::{put, ratio};
use crate::domain::values::number::Ratio;

/// What a dashboard shows of one group of a rule's customers, of all stores together.
#[derive(Debug, Clone)]
pub struct RuleGroup {
    pub rule: Box<str>,
    /// Empty if the rule names no variants.
    pub variant: Box<str>,
    pub withheld: bool,
    pub customers: u64,
    /// The share of them that ordered.
    pub ordered_share: Option<Ratio>,
    /// That share less the one of those withheld from, and its margin; none of a group that is one of these.
    pub difference: Option<Ratio>,
    pub margin: Option<Ratio>,
}

/// Rule, variant and `withheld`.
type Labels = [String; 3];

/// At most 6 series for each variant of a rule: 2 of those withheld from, 4 of the others.
pub(super) struct RuleOutcomeGauges {
    customers: GaugeVec,
    ordered_share: GaugeVec,
    difference: GaugeVec,
    margin: GaugeVec,
    shown: BTreeSet<Labels>,
}

impl RuleOutcomeGauges {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        let group = ["rule", "variant", "withheld"];
        Ok(Self {
            customers: registrar.gauge_family(
                "retention_shop_rule_customers",
                "Customers for whom a rule fired, or withheld, so long ago that the outcome is known, and at most a year more (2 a variant).",
                &group,
            )?,
            ordered_share: registrar.gauge_family(
                "retention_shop_rule_ordered_ratio",
                "The share of them with a kept order within the time that the rule measures (2 a variant).",
                &group,
            )?,
            difference: registrar.gauge_family(
                "retention_shop_rule_difference_ratio",
                "That share less the one of all customers from whom the rule withheld; not there without any (1 a variant).",
                &group[..2],
            )?,
            margin: registrar.gauge_family(
                "retention_shop_rule_difference_margin_ratio",
                "How far chance alone would move that difference, up or down, 19 times of 20 (1 a variant).",
                &group[..2],
            )?,
            shown: BTreeSet::new(),
        })
    }

    /// Exports the groups of a day in place of those of the day before.
    pub(super) fn show(&mut self, groups: &[RuleGroup]) {
        let mut gone = std::mem::take(&mut self.shown);
        for group in groups {
            let labels = labels(group);
            self.set(&labels, Some(group));
            gone.remove(&labels);
            self.shown.insert(labels);
        }
        gone.iter().for_each(|labels| self.set(labels, None));
    }

    /// Takes all series out of the export.
    pub(super) fn reset(&mut self) {
        self.show(&[]);
    }

    fn set(&self, labels: &Labels, group: Option<&RuleGroup>) {
        let labels = labels.each_ref().map(String::as_str);
        put(&self.customers, &labels, group.map(|group| group.customers as f64));
        put(&self.ordered_share, &labels, group.and_then(|group| group.ordered_share).map(ratio));
        if labels[2] == WITHHELD {
            return;
        }
        put(&self.difference, &labels[..2], group.and_then(|group| group.difference).map(ratio));
        put(&self.margin, &labels[..2], group.and_then(|group| group.margin).map(ratio));
    }
}

const WITHHELD: &str = "true";

fn labels(group: &RuleGroup) -> Labels {
    [group.rule.to_string(), group.variant.to_string(), group.withheld.to_string()]
}
