//! The metrics that the program has: their kinds, labels and label values, read from the registry itself.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{
    Registry,
    proto::{MetricFamily, MetricType},
};
use retention_signals::domain::daily_count::stage::ShopStage;
use retention_signals::domain::signals::rule::RuleAction;
use retention_signals::domain::values::number::Ratio;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::observe::metrics::{
    BatchSummary, CombinerGauges, CurrencyLabel, IncompleteDay, IncompleteDays, Metrics, PartitionGauges,
    PerLabel, RuleGroup, ShopDay, ShopMoney, Vocabulary,
};
use retention_signals::topic::Partition;

/// Labels whose values are not known in advance.
const OPEN_LABELS: &[&str] =
    &["job", "instance", "partition", "currency", "version", "revision", "le", "source", "rule", "variant"];

/// One metric as it is exported.
pub struct Family {
    pub is_counter: bool,
    /// By label; empty for labels with open values.
    pub values: BTreeMap<String, BTreeSet<String>>,
}

/// The text that a scraper gets from an instance with one partition.
pub fn exported() -> String {
    let (metrics, _combiner, _) = metrics();
    metrics.render()
}

/// Every metric with the names of its labels.
pub fn labels() -> BTreeMap<String, BTreeSet<String>> {
    let (_metrics, _combiner, registry) = metrics();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for family in registry.gather() {
        let pairs = family.get_metric().iter().flat_map(|metric| metric.get_label());
        labels.insert(family.name().to_owned(), pairs.map(|pair| pair.name().to_owned()).collect());
    }
    labels
}

/// Every name that a query can use: histograms under their three names.
pub fn families() -> BTreeMap<String, Family> {
    let (_metrics, _combiner, registry) = metrics();
    registry.gather().iter().chain(&of_intake()).flat_map(named).collect()
}

fn metrics() -> (Metrics, CombinerGauges, Registry) {
    let registry = Registry::new();
    let vocabulary = Vocabulary {
        version: "0",
        revision: "0",
        currencies: vec![CurrencyLabel::new("EUR", 2).expect("a currency")],
    };
    let metrics = Metrics::new(&registry, &vocabulary).expect("names are free");
    // With everything that may be off.
    let gauges = PartitionGauges { customers_by_segment: Some(PerLabel::default()), ..Default::default() };
    metrics.partition(Partition(0)).set(&gauges);
    let signals = RuleAction::ALL.map(|action| (("win-back".into(), action), 1));
    metrics.on_batch(&BatchSummary { rule_signals: signals.into(), ..BatchSummary::default() }, 0);
    metrics.set_rules_version("0123456789abcdef");
    let combiner = metrics.begin_combining();
    combiner.set_incomplete(&incomplete_days());
    combiner.show(&shop_day());
    (metrics, combiner, registry)
}

/// A day that one partition has not counted for a minute.
pub fn incomplete_days() -> IncompleteDays {
    let midnight = Time::MIN.plus(Span::days(20_000));
    let since_ms = Some(midnight.plus(Span::from_millis(60_000)).as_millis());
    IncompleteDays { count: 1, oldest: Some(IncompleteDay { day: midnight, since_ms }) }
}

/// The newest complete day, with every figure.
pub fn shop_day() -> ShopDay {
    let euro = CurrencyLabel::new("EUR", 2).expect("a currency");
    let money = ShopMoney {
        kept_net: PerLabel::build(|_| 12_345),
        revenue: PerLabel::build(|_| 20_000),
        projected: Some(15_000),
        projected_extra: PerLabel::build(|_| Some(550)),
    };
    ShopDay {
        day: Time::MIN.plus(Span::days(19_999)),
        stage: ShopStage::Consistent,
        customers: PerLabel::build(|_| 2),
        kept_orders: PerLabel::build(|_| 3),
        placed_orders: PerLabel::build(|_| 4),
        returned_orders: PerLabel::build(|_| 1),
        customer_return_rate: PerLabel::build(|_| Ratio::new(1, 2)),
        repeat_purchase_rate: PerLabel::build(|_| Ratio::new(1, 3)),
        retention: PerLabel::build(|_| Ratio::new(1, 5)),
        money: [(euro, money)].into(),
        rules: [false, true].map(rule_group).into(),
    }
}

fn rule_group(withheld: bool) -> RuleGroup {
    RuleGroup {
        rule: "win-back".into(),
        variant: "percent".into(),
        withheld,
        customers: 100,
        ordered_share: Ratio::new(1, 10),
        difference: Ratio::new(2, 100).filter(|_| !withheld),
        margin: Ratio::new(3, 100).filter(|_| !withheld),
    }
}

/// Those that an intake has beside the ones of `run`.
fn of_intake() -> Vec<MetricFamily> {
    let registry = Registry::new();
    let vocabulary = Vocabulary { version: "0", revision: "0", currencies: Vec::new() };
    let (_metrics, intake) = Metrics::of_intake(&registry, &vocabulary).expect("names are free");
    intake.prepare("shop", &["guest".to_owned()]);
    intake.add_skips("shop", "guest", 1);
    intake.add_dead_letters("shop", "unmapped", 1);
    intake.set_lag("webhooks", 0, Some(1));
    let is_own = |family: &MetricFamily| family.name().starts_with("retention_intake_");
    registry.gather().into_iter().filter(is_own).collect()
}

fn named(family: &MetricFamily) -> Vec<(String, Family)> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
        let known = values.entry(label.name().to_owned()).or_default();
        if !OPEN_LABELS.contains(&label.name()) {
            known.insert(label.value().to_owned());
        }
    }
    for label in ["job", "instance"] {
        values.insert(label.to_owned(), BTreeSet::new());
    }
    let name = family.name();
    let kind = family.get_field_type();
    if kind != MetricType::HISTOGRAM {
        return vec![(name.to_owned(), Family { is_counter: kind == MetricType::COUNTER, values })];
    }
    let mut bucket = values.clone();
    bucket.insert("le".to_owned(), BTreeSet::new());
    [("_bucket", bucket), ("_sum", values.clone()), ("_count", values)]
        .map(|(suffix, values)| (format!("{name}{suffix}"), Family { is_counter: true, values }))
        .into()
}

impl Family {
    /// Why a selector on this metric can never find anything.
    pub fn refuse(&self, label: &str, operator: &str, value: &str) -> Option<String> {
        let Some(known) = self.values.get(label) else {
            return Some(format!("has no label {label}"));
        };
        let is_open = known.is_empty() || value.contains('$');
        let alternatives: Vec<&str> =
            if operator.ends_with('~') { value.split('|').collect() } else { vec![value] };
        let unknown =
            alternatives.into_iter().find(|alternative| !is_open && !known.contains(*alternative))?;
        Some(format!("has no {label}={unknown:?}"))
    }
}
