//! Cut points of segments that follow from a complete day, as records of the registry.
//!
//! A store's first cut points come with the first complete day on which it has a customer with a kept order, and count for every customer; later ones come at the midnights of
//! `segments.refresh` and count from two days later on.

use std::collections::BTreeMap;

use crate::config::{SegmentRefresh, SegmentSettings};
use crate::domain::daily_count::DailyCount;
use crate::domain::daily_count::month::Month;
use crate::domain::segments::cuts::CutPoints;
use crate::domain::settings::Settings;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::{Span, Time};
use crate::stream::registry::Registry;
use crate::wire::registry::ALL_STORES;
use crate::wire::registry::cuts::{CUTS, CutsContent, CutsRecord};

/// The records that are due with a day, keys and values, by the rules of a replay: a store without a kept order has none yet, and later
/// ones need enough customers.
pub fn due_cuts(
    segments: &SegmentSettings,
    settings: &Settings,
    counts: &BTreeMap<Option<Box<str>>, DailyCount>,
    registry: &Registry,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let record = |(store_id, count): (&Option<Box<str>>, &DailyCount)| {
        let shop =
            settings.shops.indexes().find(|shop| settings.shops.store_id(*shop) == store_id.as_deref())?;
        let has_some = has_cuts(registry, store_id.as_deref());
        let record = due_record(segments, settings, shop, count, has_some)?;
        Some((record.key().into_bytes(), record.to_json().into_bytes()))
    };
    counts.iter().filter_map(record).collect()
}

/// The cut points that are due with the count of a store: its first ones, if it has a customer with a kept order, or else new ones at the
/// midnights of `segments.refresh`, if it has enough customers.
pub fn due_record(
    segments: &SegmentSettings,
    settings: &Settings,
    shop: ShopIndex,
    count: &DailyCount,
    has_some: bool,
) -> Option<CutsRecord> {
    let content = CutsContent {
        store_id: settings.shops.store_id(shop),
        counted_at: count.at,
        customers: count.rfm.f.total(),
        points: CutPoints::of(&count.rfm, segments.customers_min),
        currency: settings.shops.get(shop).currency,
    };
    match has_some {
        false => (content.customers > 0).then(|| CutsRecord::first(&content)),
        true if is_refreshed(segments.refresh, count.at) && content.points != CutPoints::FIXED => {
            Some(CutsRecord::refreshed(&content))
        }
        true => None,
    }
}

/// Whether the registry has cut points for a store, of its own or of all.
fn has_cuts(registry: &Registry, store_id: Option<&str>) -> bool {
    registry.of_kind(CUTS).any(|(key, _)| {
        let store = std::str::from_utf8(key).ok().and_then(|key| key.split('/').nth(1));
        store.is_some_and(|store| store == ALL_STORES || Some(store) == store_id)
    })
}

/// Whether cut points are computed anew at this midnight (UTC).
pub fn is_refreshed(refresh: SegmentRefresh, midnight: Time) -> bool {
    match refresh {
        SegmentRefresh::Monthly => Month::begins_at(midnight),
        // 1970-01-01 was a Thursday.
        SegmentRefresh::Weekly => midnight.as_millis() / Span::DAY.as_millis() % 7 == 4,
        SegmentRefresh::Never => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::segments::cuts::RfmValues;
    use crate::domain::settings::{Shop, Shops};
    use crate::domain::values::money::{Currency, ShopAmount};
    use crate::domain::values::time::Zone;
    use crate::formats::native::from_rfc3339;
    use crate::wire::hash::hash;
    use std::sync::Arc;

    fn settings() -> Settings {
        let shop = || Shop::in_currency(Currency::from_code(b"EUR").expect("a currency"));
        let shops = Shops::ByStore(vec![("a".into(), shop()), ("b".into(), shop())]);
        Settings::with_defaults(shops, hash, Arc::new(|_| [0; 16]))
    }

    fn counts(day: &str) -> BTreeMap<Option<Box<str>>, DailyCount> {
        let at = from_rfc3339(&format!("{day}T00:00:00Z")).expect("a midnight");
        let mut count = DailyCount::new(at, at, &Zone::utc(), 0);
        for customer in 1..=30 {
            let (silence, kept_net) = (Span::days(customer), ShopAmount(100 * customer));
            count.rfm.add(&RfmValues { silence, kept: customer as u32, kept_net });
        }
        BTreeMap::from([(Some("a".into()), count)])
    }

    #[test]
    fn first_ones_come_at_once_and_later_ones_as_configured() {
        let (settings, mut registry) = (settings(), Registry::default());
        let due = |refresh, day: &str, registry: &Registry| {
            let segments = SegmentSettings { customers_min: 20, refresh };
            due_cuts(&segments, &settings, &counts(day), registry)
        };
        let first = due(SegmentRefresh::Never, "2025-04-05", &registry);
        assert_eq!(first.len(), 1);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        assert!(text(&first[0].0).starts_with("cuts/a/"), "{first:?}");
        assert!(text(&first[0].1).contains("\"effective_at\":\"1970-01-01T00:00:00.000Z\""), "{first:?}");
        assert!(text(&first[0].1).contains("\"r\":[6,12,18,24]"), "{first:?}");
        assert_eq!(first, due(SegmentRefresh::Never, "2025-04-05", &registry), "a function of the day");

        registry.apply(Some(&first[0].0), Some(&first[0].1));
        use SegmentRefresh::{Monthly, Never, Weekly};
        // 2025-04-07 was a Monday.
        for (refresh, day, is_due) in [
            (Monthly, "2025-04-06", false),
            (Monthly, "2025-05-01", true),
            (Weekly, "2025-04-07", true),
            (Weekly, "2025-05-01", false),
            (Never, "2025-05-01", false),
        ] {
            assert_eq!(!due(refresh, day, &registry).is_empty(), is_due, "{refresh:?} {day}");
        }
        let later = due(Monthly, "2025-05-01", &registry);
        assert!(text(&later[0].1).contains("\"effective_at\":\"2025-05-03T00:00:00.000Z\""), "{later:?}");
    }
}
