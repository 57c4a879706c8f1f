//! Models as records of the registry, in both directions.
//!
//! ```text
//!  key    model/<store or *>/<version>
//!  value  {"kind": "mbg_nbd", "version": …, "effective_at": …, "params": {"r": "0.7289", …}, …}
//! ```
//!
//! Floats are strings, the shortest decimals that give the same bits again. The version is XXH3-64 of everything that the model
//! says; its times and its check are left out, so a model that is published again keeps its version.

pub mod cuts;

use serde::{Deserialize, Serialize};

use super::hash;
use crate::domain::lapse::model::{Model, ModelVersion};
use crate::domain::model::correction::Correction;
use crate::domain::model::gamma_gamma::GammaGamma;
use crate::domain::model::math;
use crate::domain::model::mbg_nbd::MbgNbd;
use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::Time;

/// The kind of registry records that models are, as their keys begin.
pub const MODEL: &str = "model";
/// In keys, for all stores.
pub const ALL_STORES: &str = "*";

const KIND: &str = "mbg_nbd";

/// A model's record. Field names are those of the topic.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    pub kind: String,
    pub version: String,
    /// The rules of arithmetic, [`math::RULES`].
    pub math: u32,
    pub store_id: Option<String>,
    pub fitted_at: Instant,
    /// The model judges silences that begin at or after this instant.
    pub effective_at: Instant,
    pub params: Params,
    /// Standard errors of the logarithms of the parameters; null where the likelihood has no maximum.
    pub log_se: Option<Params>,
    /// Of the values of orders; null where they could not be fitted.
    pub value: Option<Value>,
    /// Null where values do not improve the ranking.
    pub correction: Option<CorrectionRecord>,
    pub fitted_on: FittedOn,
    pub log_likelihood: Number,
    /// How the model did on the last complete window before the fit; null without one.
    pub check: Option<Check>,
    /// The record does not count, if it was withdrawn before `effective_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Instant>,
}

/// The parameters of [`MbgNbd`].
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Params {
    pub r: Number,
    pub alpha_days: Number,
    pub a: Number,
    pub b: Number,
}

/// The parameters of [`GammaGamma`], in minor units.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Value {
    pub p: Number,
    pub q: Number,
    pub v: Number,
}

/// See [`Correction`].
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct CorrectionRecord {
    pub mean: Number,
    pub last: Number,
    pub mean_centre: Number,
    pub last_centre: Number,
    pub shift: Number,
}

/// What a model was fitted on.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    pub customers: u64,
    /// Customers with at least two purchase days.
    pub repeaters: u64,
    pub orders: u64,
    /// The first order, and the instant up to which orders were read.
    pub from: Instant,
    pub to: Instant,
}

/// How a model that was fitted `horizon_days` earlier did.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub horizon_days: u32,
    pub auc: Number,
    pub brier: Number,
    /// Customers who order within the horizon, as the model expected and as it was.
    pub expected: Number,
    pub seen: u64,
}

/// A float, written as a string.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no number")))
    }
}

/// An instant in RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant(pub Time);

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = super::encode::time_text(self.0);
        serializer.serialize_str(std::str::from_utf8(&text).expect("ASCII"))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = crate::formats::native::from_rfc3339(&text);
        time.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no time")))
    }
}

impl Params {
    pub fn of([r, alpha_days, a, b]: [f64; 4]) -> Self {
        Self { r: Number(r), alpha_days: Number(alpha_days), a: Number(a), b: Number(b) }
    }
}

impl ModelRecord {
    /// The version that follows from the content.
    pub fn computed_version(&self) -> u64 {
        let mut content = self.clone();
        let from = content.fitted_on.from;
        (content.version, content.fitted_at, content.effective_at) = (String::new(), from, from);
        (content.check, content.withdrawn_at) = (None, None);
        hash::hash(&serde_json::to_vec(&content).expect("strings and numbers only"))
    }

    /// The key in the registry.
    pub fn key(&self) -> String {
        format!("{MODEL}/{}/{}", self.store_id.as_deref().unwrap_or(ALL_STORES), self.version)
    }

    /// Its value in the registry.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }

    /// Reads a value of the registry and gives the model; none if it is withdrawn, or for a store that `shops` does not hold.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub fn read(value: &[u8], shops: &Shops) -> Result<Option<Model>, String> {
        let record: Self = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if record.kind != KIND {
            return Err(format!("its kind is {:?}, and this program knows {KIND:?}", record.kind));
        }
        if record.math != math::RULES {
            let rules = math::RULES;
            return Err(format!(
                "it was fitted by the arithmetic {}, and this program has {rules}",
                record.math
            ));
        }
        let version = read_version(&record.version, record.computed_version())?;
        if is_withdrawn(record.withdrawn_at, record.effective_at) {
            return Ok(None);
        }
        let Some(shop) = named_shop(record.store_id.as_deref(), shops) else { return Ok(None) };
        let Params { r, alpha_days, a, b } = record.params;
        let orders = MbgNbd { r: r.0, alpha_days: alpha_days.0, a: a.0, b: b.0 };
        let value = record.value.map(|Value { p, q, v }| GammaGamma { p: p.0, q: q.0, v: v.0 });
        let is_usable = [orders.r, orders.alpha_days, orders.a, orders.b].iter().all(|number| *number > 0.0)
            && value.is_none_or(|value| value.p > 0.0 && value.q > 1.0 && value.v > 0.0);
        if !is_usable {
            return Err("a parameter is out of its range".to_owned());
        }
        Ok(Some(Model {
            version: ModelVersion::Fitted(version),
            shop,
            effective_at: record.effective_at.0,
            published_at: record.fitted_at.0,
            orders,
            value,
            correction: record.correction.map(|correction| Correction {
                mean: correction.mean.0,
                last: correction.last.0,
                mean_centre: correction.mean_centre.0,
                last_centre: correction.last_centre.0,
                shift: correction.shift.0,
            }),
        }))
    }

    /// The record of a fit, with its version.
    pub fn new(content: Self) -> Self {
        let mut record = Self { kind: KIND.to_owned(), math: math::RULES, ..content };
        record.version = format!("{:016x}", record.computed_version());
        record
    }
}

/// A record as a line of a registry file.
pub fn file_line(key: &str, value: &str) -> String {
    let key = serde_json::to_string(key).expect("a text is JSON");
    format!("{{\"key\":{key},\"value\":{value}}}\n")
}

/// The number of a version, which must be that of the content.
fn read_version(text: &str, computed: u64) -> Result<u64, String> {
    let version = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    let version = version.filter(|version| *version == computed);
    version.ok_or_else(|| format!("its version {text:?} is not that of its content"))
}

/// Whether a record was withdrawn in time: what counts already cannot be withdrawn any more.
fn is_withdrawn(withdrawn_at: Option<Instant>, effective_at: Instant) -> bool {
    withdrawn_at.is_some_and(|at| at.0 < effective_at.0)
}

/// The shop that a record is for, or all; none if no shop is configured for its store.
fn named_shop(store_id: Option<&str>, shops: &Shops) -> Option<Option<ShopIndex>> {
    let Some(store) = store_id else { return Some(None) };
    shops.indexes().find(|shop| shops.store_id(*shop) == Some(store)).map(Some)
}
