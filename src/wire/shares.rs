//! Shares: what one partition has counted of one day, in both directions.
//!
//! ```text
//!  key                            value
//!  <partition>/<store>/<day>      {"kind": "share", …}   the count of one store; "shop" where keys name no store
//!  <partition>//<day>             {"kind": "day", …}     behind the shares of the day: they are all there, or the day was skipped
//! ```
//!
//! A day is named by the date of the UTC midnight that it was counted at. Numbers are whole, money is in minor units of the store's
//! currency: shares of all partitions add up to the same in any order. The combiner alone reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::daily_count::cohorts::{CohortRow, Cohorts};
use crate::domain::daily_count::month::Month;
use crate::domain::daily_count::outcomes::{Outcome, OutcomeGroup, RuleOutcomes};
use crate::domain::daily_count::sample::Sample;
use crate::domain::daily_count::{DailyCount, KeptOrders, NewAndReturning, OrderTotals64};
use crate::domain::engine::shop_totals::{ShopTotals, WindowTotals};
use crate::domain::segments::cuts::RfmHistograms;
use crate::domain::segments::histogram::Histogram;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::time::Time;
use crate::domain::values::window::YEAR;

/// The version of the records.
const FORMAT: u32 = 1;
/// In keys, for the one shop of keys that name no store.
pub const ONE_SHOP: &str = "shop";

/// A record of the topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShareRecord {
    Share(Box<Share>),
    Day(DayMarker),
}

/// What one partition has counted of one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    pub partition: u32,
    /// None where keys name no store.
    pub store_id: Option<Box<str>>,
    pub count: DailyCount,
}

/// A partition is done with a day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayMarker {
    pub partition: u32,
    /// The midnight that was counted at.
    pub day: Time,
    pub outcome: DayOutcome,
}

/// What became of a day in one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DayOutcome {
    /// The stores whose shares stand before the marker; those without customers have none.
    Counted { stores: Vec<Option<Box<str>>> },
    /// The partition came to the day too late to count it.
    Skipped,
}

impl Share {
    pub fn key(&self) -> String {
        let store = self.store_id.as_deref().unwrap_or(ONE_SHOP);
        format!("{}/{store}/{}", self.partition, day_text(self.count.at))
    }

    pub fn to_json(&self) -> Vec<u8> {
        to_json(&RecordText::Share(Box::new(ShareText::of(self))))
    }
}

impl DayMarker {
    pub fn key(&self) -> String {
        format!("{}//{}", self.partition, day_text(self.day))
    }

    pub fn to_json(&self) -> Vec<u8> {
        let (outcome, stores) = match &self.outcome {
            DayOutcome::Counted { stores } => (OutcomeText::Counted, stores.clone()),
            DayOutcome::Skipped => (OutcomeText::Skipped, Vec::new()),
        };
        let Self { partition, day, .. } = *self;
        to_json(&RecordText::Day(DayText { format: FORMAT, partition, day: DayDate(day), outcome, stores }))
    }
}

/// Reads a value of the topic.
///
/// # Errors
/// What is wrong with it, for the log.
pub fn decode(value: &[u8]) -> Result<ShareRecord, String> {
    match serde_json::from_slice(value).map_err(|error| error.to_string())? {
        RecordText::Share(text) => {
            check_format(text.format)?;
            text.into_share().map(|share| ShareRecord::Share(Box::new(share)))
        }
        RecordText::Day(DayText { format, partition, day, outcome, stores }) => {
            check_format(format)?;
            let outcome = match outcome {
                OutcomeText::Counted => DayOutcome::Counted { stores },
                OutcomeText::Skipped => DayOutcome::Skipped,
            };
            Ok(ShareRecord::Day(DayMarker { partition, day: day.0, outcome }))
        }
    }
}

/// `2025-04-05`, the date of a midnight in UTC.
pub fn day_text(midnight: Time) -> String {
    let text = super::encode::time_text(midnight);
    String::from_utf8_lossy(&text[..10]).into_owned()
}

/// The midnight of a date; none for another text.
pub fn parse_day(text: &str) -> Option<Time> {
    let is_date = text.len() == 10;
    is_date.then(|| crate::formats::native::from_rfc3339(&format!("{text}T00:00:00Z"))).flatten()
}

fn to_json(record: &RecordText) -> Vec<u8> {
    serde_json::to_vec(record).expect("strings and numbers only")
}

fn check_format(format: u32) -> Result<(), String> {
    if format == FORMAT {
        return Ok(());
    }
    Err(format!(
        "its format is {format}, and this program knows {FORMAT}: all instances must run one version"
    ))
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum RecordText {
    Share(Box<ShareText>),
    Day(DayText),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DayText {
    format: u32,
    partition: u32,
    day: DayDate,
    outcome: OutcomeText,
    stores: Vec<Option<Box<str>>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeText {
    Counted,
    Skipped,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareText {
    format: u32,
    partition: u32,
    day: DayDate,
    store_id: Option<Box<str>>,
    /// The month of the midnight in the store's zone.
    month: MonthText,
    /// The first month with rows.
    rows_from: MonthText,
    /// By state: prospect, active, at risk, lapsed.
    customers: [u64; 4],
    /// All time, then 30, 90 and 365 days.
    windows: [WindowText; 4],
    /// 30, 90 and 365 days.
    returning: [ReturningText; YEAR],
    new_customers: u64,
    /// By month of activity, then by cohort.
    cohorts: BTreeMap<MonthText, BTreeMap<MonthText, RowText>>,
    /// Customers by cohort.
    sizes: BTreeMap<MonthText, u64>,
    months: BTreeMap<MonthText, MonthTotalsText>,
    histograms: HistogramsText,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<RuleGroupText>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReturningText {
    new: KeptText,
    returning: KeptText,
    customers: u64,
    customers_returning: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleGroupText {
    rule: Box<str>,
    /// Empty if the rule names no variants.
    variant: Box<str>,
    withheld: bool,
    customers: u64,
    ordered: u64,
    orders: u64,
    net: i64,
}

/// Buckets and counts.
type Buckets = Vec<(u32, u64)>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistogramsText {
    r: Buckets,
    f: Buckets,
    m: Buckets,
    value: Buckets,
    gaps: Buckets,
    return_delays: Buckets,
}

/// Counts and amounts as they are written, and the domain's.
macro_rules! figures {
    ($($text:ident = $domain:ident { $($count:ident),+; $($amount:ident),+ })+) => {$(
        #[derive(Clone, Copy, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $text {
            $($count: u64,)+
            $($amount: i64,)+
        }

        impl From<&$domain> for $text {
            fn from(of: &$domain) -> Self {
                Self { $($count: of.$count,)+ $($amount: of.$amount.minor(),)+ }
            }
        }

        impl From<$text> for $domain {
            fn from(of: $text) -> Self {
                Self { $($count: of.$count,)+ $($amount: ShopAmount(of.$amount),)+ }
            }
        }
    )+};
}

figures! {
    WindowText = WindowTotals {
        customers_placed, customers_kept, repeat_placed, repeat_kept, placed, kept, returned_orders;
        gross, refunded, cancelled, unattributed, excess
    }
    KeptText = KeptOrders { orders; net }
    RowText = CohortRow { customers, orders; net }
    MonthTotalsText = OrderTotals64 { placed, kept, returned_orders; gross, refunded, cancelled }
}

impl ShareText {
    fn of(share: &Share) -> Self {
        let Share { partition, store_id, count } = share;
        let mut cohorts: BTreeMap<MonthText, BTreeMap<MonthText, RowText>> = BTreeMap::new();
        for ((month, cohort), row) in &count.cohorts.rows {
            cohorts.entry(MonthText(*month)).or_default().insert(MonthText(*cohort), row.into());
        }
        let buckets = |histogram: &Histogram| histogram.counts().collect();
        Self {
            format: FORMAT,
            partition: *partition,
            day: DayDate(count.at),
            store_id: store_id.clone(),
            month: MonthText(count.current),
            rows_from: MonthText(count.rows_from),
            customers: count.totals.customers,
            windows: count.totals.windows.each_ref().map(WindowText::from),
            returning: count.windows.each_ref().map(ReturningText::of),
            new_customers: count.new_customers,
            cohorts,
            sizes: count.cohorts.sizes.iter().map(|(month, size)| (MonthText(*month), *size)).collect(),
            months: count.months.iter().map(|(month, of)| (MonthText(*month), of.into())).collect(),
            histograms: HistogramsText {
                r: buckets(&count.rfm.r),
                f: buckets(&count.rfm.f),
                m: buckets(&count.rfm.m),
                value: buckets(&count.rfm.value),
                gaps: buckets(&count.gaps),
                return_delays: buckets(&count.return_delays),
            },
            rules: count.rules.groups().map(RuleGroupText::of).collect(),
        }
    }

    fn into_share(self) -> Result<Share, String> {
        let histogram = |buckets: Buckets| {
            Histogram::of_counts(buckets)
                .ok_or_else(|| "a histogram has an empty bucket, or one twice".to_owned())
        };
        let HistogramsText { r, f, m, value, gaps, return_delays } = self.histograms;
        let rows = self.cohorts.into_iter().flat_map(|(month, cohorts)| {
            cohorts.into_iter().map(move |(cohort, row)| ((month.0, cohort.0), row.into()))
        });
        let count = DailyCount {
            at: self.day.0,
            current: self.month.0,
            rows_from: self.rows_from.0,
            totals: ShopTotals { customers: self.customers, windows: self.windows.map(WindowTotals::from) },
            windows: self.returning.map(ReturningText::into_domain),
            cohorts: Cohorts {
                rows: rows.collect(),
                sizes: self.sizes.into_iter().map(|(month, size)| (month.0, size)).collect(),
            },
            months: self.months.into_iter().map(|(month, of)| (month.0, of.into())).collect(),
            new_customers: self.new_customers,
            rfm: RfmHistograms {
                r: histogram(r)?,
                f: histogram(f)?,
                m: histogram(m)?,
                value: histogram(value)?,
            },
            gaps: histogram(gaps)?,
            return_delays: histogram(return_delays)?,
            rules: outcomes(&self.rules)?,
            sample: Sample::new(0),
        };
        Ok(Share { partition: self.partition, store_id: self.store_id, count })
    }
}

impl RuleGroupText {
    fn of((group, outcome): (OutcomeGroup<'_>, &Outcome)) -> Self {
        let OutcomeGroup { rule, variant, withheld } = group;
        let Outcome { customers, ordered, orders, net } = *outcome;
        let (rule, variant) = (rule.into(), variant.into());
        Self { rule, variant, withheld, customers, ordered, orders, net: net.minor() }
    }

    fn group(&self) -> OutcomeGroup<'_> {
        OutcomeGroup { rule: &self.rule, variant: &self.variant, withheld: self.withheld }
    }
}

fn outcomes(groups: &[RuleGroupText]) -> Result<RuleOutcomes, String> {
    if !groups.is_sorted_by(|one, next| one.group() < next.group()) {
        return Err("groups of rules are not in their order, or one stands there twice".to_owned());
    }
    if groups.iter().any(|of| of.ordered > of.customers) {
        return Err("of the customers of a rule, more have ordered than there are".to_owned());
    }
    let mut outcomes = RuleOutcomes::default();
    for text in groups {
        let RuleGroupText { customers, ordered, orders, net, .. } = *text;
        outcomes.add(text.group(), &Outcome { customers, ordered, orders, net: ShopAmount(net) });
    }
    Ok(outcomes)
}

impl ReturningText {
    fn of(window: &NewAndReturning) -> Self {
        let NewAndReturning { new, returning, customers, customers_returning } = window;
        Self {
            new: new.into(),
            returning: returning.into(),
            customers: *customers,
            customers_returning: *customers_returning,
        }
    }

    fn into_domain(self) -> NewAndReturning {
        NewAndReturning {
            new: self.new.into(),
            returning: self.returning.into(),
            customers: self.customers,
            customers_returning: self.customers_returning,
        }
    }
}

/// A midnight, written as its date.
#[derive(Clone, Copy)]
struct DayDate(Time);

impl Serialize for DayDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&day_text(self.0))
    }
}

impl<'de> Deserialize<'de> for DayDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_day(&text).map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no date")))
    }
}

/// `2025-04`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct MonthText(Month);

impl Serialize for MonthText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MonthText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let month = text.split_once('-').filter(|(year, of_year)| year.len() == 4 && of_year.len() == 2);
        let month = month.and_then(|(year, of_year)| Month::new(year.parse().ok()?, of_year.parse().ok()?));
        month.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no month")))
    }
}
