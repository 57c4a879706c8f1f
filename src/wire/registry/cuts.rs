//! Cut points of segments as records of the registry, in both directions.
//!
//! ```text
//!  key    cuts/<store or *>/<version>
//!  value  {"kind": "cuts", "version": …, "effective_at": …, "day": "2025-03-01", "r": [14, 32, 71, 179], …}
//! ```
//!
//! The version is XXH3-64 of everything but `effective_at` and `withdrawn_at`. The day is part of it: the cut points of two months may be the same
//! and are still two records.

use serde::{Deserialize, Serialize};

use super::{ALL_STORES, Instant, is_withdrawn, named_shop, read_version};
use crate::domain::in_force::Effect;
use crate::domain::segments::cuts::{CutPoints, MoneyCuts};
use crate::domain::segments::published::{CutsVersion, PublishedCuts};
use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::Currency;
use crate::domain::values::time::{Span, Time};
use crate::formats::native::from_rfc3339;
use crate::wire::{encode, hash};

/// The kind of registry records that cut points are, as their keys begin.
pub const CUTS: &str = "cuts";

/// From so long after the midnight of their day on cut points count, so that every partition has them before its clock gets there.
pub const EFFECTIVE_AFTER: Span = Span::days(2);

/// Silences are shorter: hundred years.
const R_LIMIT: u64 = 36_500;

/// A record of cut points. Field names are those of the topic.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct CutsRecord {
    pub kind: String,
    pub version: String,
    pub store_id: Option<String>,
    /// They count for customers whose last kept order is placed at or after this instant.
    pub effective_at: Instant,
    /// The customers are those of this midnight (UTC).
    pub day: Date,
    /// Customers with a kept order.
    pub customers: u64,
    /// Days of silence.
    pub r: [u64; 4],
    /// Kept orders.
    pub f: [u64; 4],
    /// Kept net value in minor units. Null, as are both medians, where too few customers tell a store's prices.
    pub m: Option<[u64; 4]>,
    /// Kept orders.
    pub f_median: Option<u64>,
    /// Mean kept order value in minor units.
    pub value_median: Option<u64>,
    /// Of the amounts.
    pub currency: String,
    /// The record does not count, if it was withdrawn before `effective_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Instant>,
}

/// A calendar date, by its midnight in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date(pub Time);

/// Of what cut points are made.
#[derive(Clone, Copy, Debug)]
pub struct CutsContent<'c> {
    /// None where keys name no store.
    pub store_id: Option<&'c str>,
    /// The midnight at which the customers were counted.
    pub counted_at: Time,
    /// Customers with a kept order.
    pub customers: u64,
    pub points: CutPoints,
    pub currency: Currency,
}

impl CutsRecord {
    /// The record of a store's first cut points: they count for every customer.
    pub fn first(content: &CutsContent<'_>) -> Self {
        Self::new(content, Time::MIN)
    }

    /// The record of later ones.
    pub fn refreshed(content: &CutsContent<'_>) -> Self {
        Self::new(content, content.counted_at.plus(EFFECTIVE_AFTER))
    }

    fn new(content: &CutsContent<'_>, effective_at: Time) -> Self {
        let CutPoints { r, f, money } = content.points;
        let mut record = Self {
            kind: CUTS.to_owned(),
            version: String::new(),
            store_id: content.store_id.map(str::to_owned),
            effective_at: Instant(effective_at),
            day: Date(content.counted_at),
            customers: content.customers,
            r,
            f,
            m: money.map(|money| money.m),
            f_median: money.map(|money| money.f_median),
            value_median: money.map(|money| money.value_median),
            currency: String::from_utf8_lossy(&content.currency.code()).into_owned(),
            withdrawn_at: None,
        };
        record.version = format!("{:016x}", record.computed_version());
        record
    }

    /// The version that follows from the content.
    pub fn computed_version(&self) -> u64 {
        let mut content = self.clone();
        (content.version, content.effective_at, content.withdrawn_at) =
            (String::new(), Instant(Time::MIN), None);
        hash::hash(&serde_json::to_vec(&content).expect("strings and numbers only"))
    }

    /// The key in the registry.
    pub fn key(&self) -> String {
        format!("{CUTS}/{}/{}", self.store_id.as_deref().unwrap_or(ALL_STORES), self.version)
    }

    /// Its value in the registry.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }

    /// Reads a value of the registry and gives the cut points; none if they are withdrawn, or for a store that `shops` does not hold.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub fn read(value: &[u8], shops: &Shops) -> Result<Option<PublishedCuts>, String> {
        let record: Self = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if record.kind != CUTS {
            return Err(format!("its kind is {:?}, and its key says {CUTS:?}", record.kind));
        }
        read_version(&record.version, record.computed_version())?;
        let points = record.points()?;
        if is_withdrawn(record.withdrawn_at, record.effective_at) {
            return Ok(None);
        }
        let Some(shop) = named_shop(record.store_id.as_deref(), shops) else { return Ok(None) };
        if points.money.is_some() {
            let mut indexes = shops.indexes().filter(|index| shop.is_none_or(|shop| shop == *index));
            let code = |index| shops.get(index).currency.code();
            if let Some(other) = indexes.find(|index| code(*index) != record.currency.as_bytes()) {
                let other = String::from_utf8_lossy(&code(other)).into_owned();
                return Err(format!(
                    "its amounts are in {:?}, and a shop that it is for counts in {other}",
                    record.currency
                ));
            }
        }
        record.published(shop).map(Some)
    }

    /// The cut points for a shop, or for all that have none of their own.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn published(&self, shop: Option<ShopIndex>) -> Result<PublishedCuts, String> {
        let effect = Effect {
            shop,
            effective_at: self.effective_at.0,
            published_at: self.day.0,
            version: CutsVersion(self.computed_version()),
        };
        Ok(PublishedCuts { effect, points: self.points()? })
    }

    fn points(&self) -> Result<CutPoints, String> {
        let rise = |cuts: &[u64; 4]| cuts.is_sorted_by(|one, next| one < next);
        let Self { r, f, .. } = *self;
        let money = match (self.m, self.f_median, self.value_median) {
            (None, None, None) => None,
            (Some(m), Some(f_median), Some(value_median)) => Some(MoneyCuts { m, f_median, value_median }),
            (_, _, _) => return Err("m and both medians are given together or not at all".to_owned()),
        };
        if !rise(&r) || !rise(&f) || !money.is_none_or(|money| rise(&money.m)) {
            return Err("its cut points do not rise".to_owned());
        }
        if r[3] >= R_LIMIT {
            return Err("a silence is out of its range".to_owned());
        }
        Ok(CutPoints { r, f, money })
    }
}

impl Serialize for Date {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = encode::time_text(self.0);
        serializer.serialize_str(std::str::from_utf8(&text[..10]).expect("ASCII"))
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let midnight = (text.len() == 10).then(|| from_rfc3339(&format!("{text}T00:00:00Z"))).flatten();
        midnight.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no date")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::Shop;

    fn currency(code: &[u8]) -> Currency {
        Currency::from_code(code).expect("a currency")
    }

    const POINTS: CutPoints = CutPoints {
        r: [14, 32, 71, 179],
        f: [1, 2, 3, 5],
        money: Some(MoneyCuts { m: [25_087, 49_151, 94_207, 204_799], f_median: 2, value_median: 29_439 }),
    };

    fn content(store_id: Option<&str>, points: CutPoints) -> CutsContent<'_> {
        let counted_at = from_rfc3339("2011-12-10T00:00:00Z").expect("a time");
        CutsContent { store_id, counted_at, customers: 4_326, points, currency: currency(b"GBP") }
    }

    fn shops() -> Shops {
        let shop = |code: &[u8]| Shop::in_currency(currency(code));
        Shops::ByStore(vec![("a".into(), shop(b"GBP")), ("b".into(), shop(b"EUR"))])
    }

    #[test]
    fn a_record_has_one_form() {
        let record = CutsRecord::refreshed(&content(None, POINTS));
        let json = concat!(
            r#"{"kind":"cuts","version":"VERSION","store_id":null,"effective_at":"2011-12-12T00:00:00.000Z","#,
            r#""day":"2011-12-10","customers":4326,"r":[14,32,71,179],"f":[1,2,3,5],"#,
            r#""m":[25087,49151,94207,204799],"f_median":2,"value_median":29439,"currency":"GBP"}"#,
        );
        assert_eq!(record.to_json(), json.replace("VERSION", &record.version));
        assert_eq!(record.key(), format!("cuts/*/{}", record.version));
        let first = CutsRecord::first(&content(None, POINTS));
        assert_eq!((&first.version, first.effective_at.0), (&record.version, Time::MIN));
        let shops = Shops::One(Shop::in_currency(currency(b"GBP")));
        let published = CutsRecord::read(json.replace("VERSION", &record.version).as_bytes(), &shops);
        let published = published.expect("a record").expect("of this shop");
        assert_eq!(published.points, POINTS);
        assert_eq!(published.effect.version.to_string(), record.version);
        assert_eq!(published.effect.effective_at, record.effective_at.0);
    }

    #[test]
    fn each_store_has_its_own() {
        let read = |store, points| {
            let record = CutsRecord::first(&content(store, points));
            CutsRecord::read(record.to_json().as_bytes(), &shops())
        };
        let shop =
            |read: Result<Option<PublishedCuts>, String>| read.map(|cuts| cuts.map(|cuts| cuts.effect.shop));
        assert_eq!(shop(read(Some("a"), POINTS)), Ok(Some(Some(ShopIndex(0)))));
        assert_eq!(shop(read(Some("c"), POINTS)), Ok(None), "a store of others");
        assert_eq!(shop(read(None, CutPoints::FIXED)), Ok(Some(None)));
        for store in [Some("b"), None] {
            let refused = read(store, POINTS).expect_err("pounds for a shop that counts in euros");
            assert!(refused.contains("EUR"), "{refused}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let record = CutsRecord::refreshed(&content(Some("a"), POINTS));
        let read = |change: &dyn Fn(&mut CutsRecord)| {
            let mut record = record.clone();
            change(&mut record);
            record.version = format!("{:016x}", record.computed_version());
            CutsRecord::read(record.to_json().as_bytes(), &shops())
        };
        let refused = |change: &dyn Fn(&mut CutsRecord)| read(change).expect_err("it cannot be used");
        assert!(refused(&|record| record.kind = "mbg_nbd".to_owned()).contains("kind"));
        assert!(refused(&|record| record.r[1] = 14).contains("rise"));
        assert!(refused(&|record| record.m = None).contains("together"));
        assert!(refused(&|record| record.r[3] = R_LIMIT).contains("range"));
        let other = record.to_json().replace("4326", "4327");
        assert!(
            CutsRecord::read(other.as_bytes(), &shops()).expect_err("another content").contains("version")
        );
        // Withdrawn in time, and too late.
        let at = |text: &str| Some(Instant(from_rfc3339(text).expect("a time")));
        let in_time = read(&|record| record.withdrawn_at = at("2011-12-11T23:59:59.999Z"));
        assert_eq!(in_time, Ok(None));
        assert!(
            read(&|record| record.withdrawn_at = at("2011-12-12T00:00:00Z")).expect("it counts").is_some()
        );
    }
}
