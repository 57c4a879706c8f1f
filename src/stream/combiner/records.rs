//! The records of a complete day: shop metrics and cohorts, by their keys.

use std::collections::BTreeMap;

use crate::domain::daily_count::DailyCount;
use crate::domain::daily_count::month::Month;
use crate::domain::segments::counts::SegmentCounts;
use crate::domain::settings::{Settings, Shop};
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::Time;
use crate::wire::encode::{
    CohortMonth, CohortOfMonth, Retention, ShopMetrics, ShopOutcomes, encode_cohort_month,
    encode_shop_metrics,
};
use crate::wire::shares::{ONE_SHOP, day_text};

/// A key and its value.
type KeyedRecord = (Vec<u8>, Vec<u8>);

/// The records of all stores, also of those without customers.
pub fn records(
    settings: &Settings,
    day: Time,
    counts: &BTreeMap<Option<Box<str>>, DailyCount>,
) -> Vec<KeyedRecord> {
    let mut records = Vec::new();
    for index in settings.shops.indexes() {
        let store_id = settings.shops.store_id(index);
        let shop = settings.shops.get(index);
        let count = count_of(settings, index, day, counts);
        let has_rules = settings.rules.is_some();
        let store = Store { store_id, shop, has_rules, name: store_id.unwrap_or(ONE_SHOP) };
        records.push(store.metrics(&count));
        records.extend(store.cohorts(&count));
    }
    records
}

/// The count of a store; an empty one without customers.
pub(super) fn count_of(
    settings: &Settings,
    index: ShopIndex,
    day: Time,
    counts: &BTreeMap<Option<Box<str>>, DailyCount>,
) -> DailyCount {
    let zone = &settings.shops.get(index).zone;
    let empty = || DailyCount::new(day, day.minus(settings.ledger_horizon()), zone, 0);
    counts.get(&settings.shops.store_id(index).map(Into::into)).cloned().unwrap_or_else(empty)
}

struct Store<'s> {
    store_id: Option<&'s str>,
    shop: &'s Shop,
    has_rules: bool,
    /// In keys.
    name: &'s str,
}

impl Store<'_> {
    fn metrics(&self, count: &DailyCount) -> KeyedRecord {
        let retention = Retention::new(count, SegmentCounts::default());
        let metrics = ShopMetrics {
            store_id: self.store_id,
            at: count.at,
            currency: self.shop.currency,
            figures: &count.totals,
            retention: Some(&retention),
            outcomes: if self.has_rules { ShopOutcomes::Known(&count.rules) } else { ShopOutcomes::LeftOut },
        };
        let mut value = Vec::new();
        encode_shop_metrics(&mut value, &metrics);
        // In a file it is a line.
        value.pop_if(|byte| *byte == b'\n');
        (format!("{}/{}", self.name, day_text(count.at)).into_bytes(), value)
    }

    fn cohorts(&self, count: &DailyCount) -> impl Iterator<Item = KeyedRecord> {
        let mut months: BTreeMap<Month, Vec<CohortOfMonth>> = BTreeMap::new();
        for ((month, cohort), row) in &count.cohorts.rows {
            let size = count.cohorts.sizes.get(cohort).copied().unwrap_or(0);
            months.entry(*month).or_default().push(CohortOfMonth { cohort: *cohort, size, row: *row });
        }
        months.into_iter().map(|(month, cohorts)| {
            let record = CohortMonth {
                store_id: self.store_id,
                currency: self.shop.currency,
                month,
                cohorts: &cohorts,
                at: count.at,
            };
            let mut value = Vec::new();
            encode_cohort_month(&mut value, &record);
            (format!("{}/cohort/{month}", self.name).into_bytes(), value)
        })
    }
}
