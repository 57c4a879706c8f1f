//! The settings of an oracle's shop, and the same read once into exact numbers.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::club::{Points, Tiers};
use super::number::{DAY_MS, Ratio, currency_digits, ten_to};
use super::segments::Cuts;

/// One shop: its currency, its calendar, and what a unit of other currencies is worth in its own.
#[derive(Clone, Debug)]
pub struct Shop {
    pub currency: String,
    /// IANA name.
    pub time_zone: String,
    /// Decimal strings: what one unit of a currency is worth, in a unit common to all of them. The shop's own is 1 if it is
    /// not named.
    pub rates: BTreeMap<String, String>,
}

impl Shop {
    pub fn new(currency: &str, time_zone: &str) -> Shop {
        Shop { currency: currency.to_owned(), time_zone: time_zone.to_owned(), rates: BTreeMap::new() }
    }
}

/// The setting `key`.
#[derive(Clone, Debug)]
pub enum Shops {
    /// `customer_id`: one shop.
    One(Shop),
    /// `store_id/customer_id`: the shops by store id.
    ByStore(BTreeMap<String, Shop>),
}

/// All numbers are decimal strings.
#[derive(Clone, Debug)]
pub enum Policy {
    Fixed {
        at_risk_days: String,
        lapsed_days: String,
    },
    Cadence {
        prior_gap_days: String,
        prior_weight: String,
        at_risk_factor: String,
        at_risk_days_min: String,
        at_risk_days_max: String,
        lapsed_factor: String,
        lapsed_days_min: String,
        lapsed_days_max: String,
    },
}

impl Policy {
    pub fn fixed(at_risk_days: &str, lapsed_days: &str) -> Policy {
        Policy::Fixed { at_risk_days: at_risk_days.to_owned(), lapsed_days: lapsed_days.to_owned() }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::Cadence {
            prior_gap_days: "45".to_owned(),
            prior_weight: "2".to_owned(),
            at_risk_factor: "1.5".to_owned(),
            at_risk_days_min: "14".to_owned(),
            at_risk_days_max: "180".to_owned(),
            lapsed_factor: "3".to_owned(),
            lapsed_days_min: "30".to_owned(),
            lapsed_days_max: "365".to_owned(),
        }
    }
}

/// When a ratio signal is emitted, and when it re-arms; decimal strings.
#[derive(Clone, Debug)]
pub struct Thresholds {
    pub frequency_fell: String,
    pub frequency_fell_rearm: String,
    pub frequency_rose: String,
    pub frequency_rose_rearm: String,
    pub order_value_fell: String,
    pub order_value_fell_rearm: String,
    pub order_value_rose: String,
    pub order_value_rose_rearm: String,
    pub return_rate: String,
    pub return_rate_rearm: String,
    /// Gaps or kept orders that the last three are compared with, at least.
    pub earlier_min: usize,
    /// Placed orders of the year, at least.
    pub return_rate_orders_min: u64,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            frequency_fell: "1.5".to_owned(),
            frequency_fell_rearm: "1.25".to_owned(),
            frequency_rose: "0.67".to_owned(),
            frequency_rose_rearm: "0.8".to_owned(),
            order_value_fell: "0.7".to_owned(),
            order_value_fell_rearm: "0.85".to_owned(),
            order_value_rose: "1.3".to_owned(),
            order_value_rose_rearm: "1.15".to_owned(),
            return_rate: "0.5".to_owned(),
            return_rate_rearm: "0.4".to_owned(),
            earlier_min: 3,
            return_rate_orders_min: 3,
        }
    }
}

#[derive(Clone, Debug)]
pub struct OracleConfig {
    pub shops: Shops,
    pub policy: Policy,
    /// What signals carry as `policy.version`: the page names a hash and leaves its bytes open.
    pub policy_version: String,
    pub thresholds: Thresholds,
    /// None: there are no segments.
    pub segments: Option<Vec<Cuts>>,
    /// None: there are no points.
    pub points: Option<Points>,
    /// None: there are no tiers.
    pub tiers: Option<Tiers>,
    pub return_window_days: i64,
    pub lateness_days: i64,
    /// Whether a line is made at every UTC midnight; costs a pass over all customers each.
    pub shop_metrics: bool,
}

impl OracleConfig {
    /// One shop in UTC without foreign currencies, all else as documented.
    pub fn new(currency: &str) -> OracleConfig {
        OracleConfig {
            shops: Shops::One(Shop::new(currency, "UTC")),
            policy: Policy::default(),
            policy_version: "0000000000000000".to_owned(),
            thresholds: Thresholds::default(),
            segments: None,
            points: None,
            tiers: None,
            return_window_days: 365,
            lateness_days: 35,
            shop_metrics: true,
        }
    }
}

/// A shop with its texts read.
#[derive(Clone, Debug)]
pub struct ShopSettings {
    pub store_id: Option<String>,
    pub currency: String,
    pub time_zone: Tz,
    /// Units of its own currency for one unit of another.
    rates: BTreeMap<String, Ratio>,
}

impl ShopSettings {
    fn new(store_id: Option<&str>, shop: &Shop) -> ShopSettings {
        let own = shop.rates.get(&shop.currency).map_or(Ratio::whole(1), |rate| Ratio::from_decimal(rate));
        let rates = shop.rates.iter().map(|(code, rate)| {
            (code.clone(), Ratio::from_decimal(rate).divided_by(own).expect("rates are above zero"))
        });
        ShopSettings {
            store_id: store_id.map(str::to_owned),
            currency: shop.currency.clone(),
            time_zone: shop.time_zone.parse().expect("an IANA time zone"),
            rates: rates.collect(),
        }
    }

    pub fn knows(&self, currency: &str) -> bool {
        currency == self.currency || self.rates.contains_key(currency)
    }

    /// Minor units of `currency` as minor units of the shop's own, rounded half even once.
    pub fn convert(&self, minor: i128, currency: &str) -> i128 {
        if currency == self.currency {
            return minor;
        }
        let rate = self.rates.get(currency).expect("unknown currencies are refused");
        let units = Ratio::new(minor, ten_to(currency_digits(currency)));
        (units * *rate * Ratio::whole(ten_to(currency_digits(&self.currency)))).round_half_even()
    }
}

/// A ratio signal's two bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub fire: Ratio,
    pub rearm: Ratio,
}

impl Bounds {
    fn new(fire: &str, rearm: &str) -> Bounds {
        Bounds { fire: Ratio::from_decimal(fire), rearm: Ratio::from_decimal(rearm) }
    }
}

/// A configuration with its texts read.
#[derive(Clone, Debug)]
pub struct Settings {
    pub shops: Vec<ShopSettings>,
    pub keyed_by_store: bool,
    pub lapse: Lapse,
    pub policy_version: String,
    pub frequency_fell: Bounds,
    pub frequency_rose: Bounds,
    pub order_value_fell: Bounds,
    pub order_value_rose: Bounds,
    pub return_rate: Bounds,
    pub earlier_min: usize,
    pub return_rate_orders_min: u64,
    pub segments: Option<Vec<Cuts>>,
    pub points: Option<Points>,
    pub tiers: Option<Tiers>,
    pub return_window_ms: i64,
    pub lateness_ms: i64,
    pub shop_metrics: bool,
}

impl Settings {
    pub fn new(config: &OracleConfig) -> Settings {
        let thresholds = &config.thresholds;
        let shops = match &config.shops {
            Shops::One(shop) => vec![ShopSettings::new(None, shop)],
            Shops::ByStore(shops) => {
                shops.iter().map(|(id, shop)| ShopSettings::new(Some(id), shop)).collect()
            }
        };
        Settings {
            shops,
            keyed_by_store: matches!(config.shops, Shops::ByStore(_)),
            lapse: Lapse::new(&config.policy),
            policy_version: config.policy_version.clone(),
            frequency_fell: Bounds::new(&thresholds.frequency_fell, &thresholds.frequency_fell_rearm),
            frequency_rose: Bounds::new(&thresholds.frequency_rose, &thresholds.frequency_rose_rearm),
            order_value_fell: Bounds::new(&thresholds.order_value_fell, &thresholds.order_value_fell_rearm),
            order_value_rose: Bounds::new(&thresholds.order_value_rose, &thresholds.order_value_rose_rearm),
            return_rate: Bounds::new(&thresholds.return_rate, &thresholds.return_rate_rearm),
            earlier_min: thresholds.earlier_min,
            return_rate_orders_min: thresholds.return_rate_orders_min,
            segments: config.segments.clone(),
            points: config.points.clone(),
            tiers: config.tiers.clone(),
            return_window_ms: config.return_window_days * DAY_MS,
            lateness_ms: config.lateness_days * DAY_MS,
            shop_metrics: config.shop_metrics,
        }
    }
}

/// When silence means something, in days after the last kept order.
#[derive(Clone, Debug)]
pub enum Lapse {
    Fixed { at_risk: Ratio, lapsed: Ratio },
    Cadence { prior_gap: Ratio, prior_weight: Ratio, at_risk: Stretch, lapsed: Stretch },
}

/// A multiple of the expected gap, held between two bounds.
#[derive(Clone, Debug)]
pub struct Stretch {
    factor: Ratio,
    days_min: Ratio,
    days_max: Ratio,
}

impl Stretch {
    fn new(factor: &str, days_min: &str, days_max: &str) -> Stretch {
        Stretch {
            factor: Ratio::from_decimal(factor),
            days_min: Ratio::from_decimal(days_min),
            days_max: Ratio::from_decimal(days_max),
        }
    }

    fn of(&self, gap: Ratio) -> Ratio {
        (self.factor * gap).max(self.days_min).min(self.days_max)
    }
}

/// What a policy says of a customer with a kept order.
pub struct Silence {
    pub at_risk_ms: i64,
    pub lapsed_ms: i64,
    pub expected_gap_days: Option<Ratio>,
}

impl Lapse {
    fn new(policy: &Policy) -> Lapse {
        match policy {
            Policy::Fixed { at_risk_days, lapsed_days } => Lapse::Fixed {
                at_risk: Ratio::from_decimal(at_risk_days),
                lapsed: Ratio::from_decimal(lapsed_days),
            },
            Policy::Cadence {
                prior_gap_days,
                prior_weight,
                at_risk_factor,
                at_risk_days_min,
                at_risk_days_max,
                lapsed_factor,
                lapsed_days_min,
                lapsed_days_max,
            } => Lapse::Cadence {
                prior_gap: Ratio::from_decimal(prior_gap_days),
                prior_weight: Ratio::from_decimal(prior_weight),
                at_risk: Stretch::new(at_risk_factor, at_risk_days_min, at_risk_days_max),
                lapsed: Stretch::new(lapsed_factor, lapsed_days_min, lapsed_days_max),
            },
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Lapse::Fixed { .. } => "fixed",
            Lapse::Cadence { .. } => "cadence",
        }
    }

    /// `gaps` whole-day gaps that add up to `span_days`.
    pub fn silence(&self, gaps: usize, span_days: i64) -> Silence {
        match self {
            Lapse::Fixed { at_risk, lapsed } => Silence {
                at_risk_ms: days_ms(*at_risk),
                lapsed_ms: days_ms(*lapsed),
                expected_gap_days: None,
            },
            Lapse::Cadence { prior_gap, prior_weight, at_risk, lapsed } => {
                // n · own mean gap is the span.
                let weighted = Ratio::whole(i128::from(span_days)) + *prior_weight * *prior_gap;
                let weight = Ratio::whole(gaps as i128) + *prior_weight;
                let gap = weighted.divided_by(weight).unwrap_or(*prior_gap);
                let at_risk = at_risk.of(gap);
                let lapsed = lapsed.of(gap).max(at_risk + Ratio::whole(1));
                Silence {
                    at_risk_ms: days_ms(at_risk),
                    lapsed_ms: days_ms(lapsed),
                    expected_gap_days: Some(gap),
                }
            }
        }
    }
}

fn days_ms(days: Ratio) -> i64 {
    let milliseconds = (days * Ratio::whole(i128::from(DAY_MS))).floor();
    i64::try_from(milliseconds).expect("configured days are few")
}
