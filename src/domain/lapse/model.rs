//! The policy `model`: a silence is judged by how probable another order has become.
//!
//! Thresholds are shares of what a new customer is worth, because absolute ones do not travel: the same probability flags a quarter of
//! one shop and three quarters of another. Which model judges a silence is fixed at the last kept order, so a new model moves no
//! deadline of a running silence.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Deadlines, PolicyId, PurchaseHistory};
use crate::domain::in_force::{Effect, RecordsInForce};
use crate::domain::model::correction::Correction;
use crate::domain::model::gamma_gamma::GammaGamma;
use crate::domain::model::mbg_nbd::{MbgNbd, Pattern};
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::number::{Decimal, Ratio};
use crate::domain::values::time::{Span, Time};

/// The settings of the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelSettings {
    /// H: how far ahead an order is looked for (90 days).
    pub horizon: Span,
    /// A customer whose probability falls below this share of a new customer's is at risk (0.75).
    pub at_risk_share: Decimal,
    /// And below this one lapsed (0.4).
    pub lapsed_share: Decimal,
    /// Days (14 to 180).
    pub at_risk_min: Decimal,
    pub at_risk_max: Decimal,
    /// Days (30 to 365); always at least a day after at risk.
    pub lapsed_min: Decimal,
    pub lapsed_max: Decimal,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            horizon: Span::days(90),
            at_risk_share: Decimal::new(75, 2).expect("two digits"),
            lapsed_share: Decimal::new(4, 1).expect("one digit"),
            at_risk_min: Decimal::whole(14),
            at_risk_max: Decimal::whole(180),
            lapsed_min: Decimal::whole(30),
            lapsed_max: Decimal::whole(365),
        }
    }
}

impl ModelSettings {
    /// Every setting on one line, in one form only.
    pub(super) fn text(&self) -> String {
        format!(
            "horizon_ms={} at_risk_share={} lapsed_share={} at_risk_min={} at_risk_max={} lapsed_min={} lapsed_max={}",
            self.horizon.as_millis(),
            self.at_risk_share,
            self.lapsed_share,
            self.at_risk_min,
            self.at_risk_max,
            self.lapsed_min,
            self.lapsed_max,
        )
    }
}

/// Which model it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ModelVersion {
    /// [`MbgNbd::PRIOR`], in force where no other one is.
    Prior,
    /// XXH3-64 of what was fitted.
    Fitted(u64),
}

impl std::fmt::Display for ModelVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prior => formatter.write_str("prior"),
            Self::Fitted(version) => write!(formatter, "{version:016x}"),
        }
    }
}

/// A model with the time from which on it counts.
#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    pub version: ModelVersion,
    /// The shop that it is for; none: all that have none of their own.
    pub shop: Option<ShopIndex>,
    /// It judges silences that begin at or after this instant.
    pub effective_at: Time,
    pub published_at: Time,
    pub orders: MbgNbd,
    /// None where values could not be fitted.
    pub value: Option<GammaGamma>,
    pub correction: Option<Correction>,
}

impl Model {
    /// What is in force from the beginning.
    pub const PRIOR: Self = Self {
        version: ModelVersion::Prior,
        shop: None,
        effective_at: Time::MIN,
        published_at: Time::MIN,
        orders: MbgNbd::PRIOR,
        value: None,
        correction: None,
    };

    /// The probability that a new customer orders within the horizon, with four decimals.
    pub fn of_new_customer(&self, settings: &ModelSettings) -> Ratio {
        ten_thousandths(self.orders.of_new_customer(in_days(settings.horizon)))
    }
}

/// Every model of a service.
#[derive(Debug)]
pub(super) struct Models {
    prior: ModelInForce,
    fitted: RecordsInForce<ModelVersion, ModelInForce>,
}

impl Models {
    pub(super) fn new(models: Vec<Model>, settings: &ModelSettings, hash: fn(&[u8]) -> u64) -> Self {
        let in_force = |model| ModelInForce::new(model, settings, hash);
        let fitted = models.into_iter().map(|model| {
            let Model { shop, effective_at, published_at, version, .. } = model;
            (Effect { shop, effective_at, published_at, version }, in_force(model))
        });
        Self { prior: in_force(Model::PRIOR), fitted: RecordsInForce::new(fitted.collect()) }
    }

    /// Whether the same models count up to `clock`.
    pub(super) fn are_same_until(&self, other: &Self, clock: Time) -> bool {
        self.fitted.are_same_until(&other.fitted, clock)
    }

    /// The model that counts at an instant.
    pub(super) fn at(&self, shop: ShopIndex, at: Time) -> &ModelInForce {
        self.fitted.at(shop, at).unwrap_or(&self.prior)
    }
}

/// A model under the settings of the policy.
#[derive(Debug)]
pub(super) struct ModelInForce {
    pub(super) model: Model,
    pub(super) id: PolicyId,
    horizon_days: f64,
    /// Below this probability a customer is at risk, and below this one lapsed.
    at_risk_below: f64,
    lapsed_below: f64,
    /// In hours.
    at_risk: [u32; 2],
    lapsed: [u32; 2],
    memo: Memo,
}

impl ModelInForce {
    fn new(model: Model, settings: &ModelSettings, hash: fn(&[u8]) -> u64) -> Self {
        let horizon_days = in_days(settings.horizon);
        let of_new_customer = model.orders.of_new_customer(horizon_days);
        let share = |share: Decimal| share.numerator() as f64 / share.denominator() as f64;
        let text = format!("model {} {}", model.version, settings.text());
        Self {
            id: PolicyId { name: "model", version: hash(text.as_bytes()) },
            horizon_days,
            at_risk_below: share(settings.at_risk_share) * of_new_customer,
            lapsed_below: share(settings.lapsed_share) * of_new_customer,
            at_risk: [hours_from(settings.at_risk_min), hours_to(settings.at_risk_max)],
            lapsed: [hours_from(settings.lapsed_min), hours_to(settings.lapsed_max)],
            memo: Memo::default(),
            model,
        }
    }

    pub(super) fn deadlines(&self, history: &PurchaseHistory) -> Deadlines {
        let hours = self.memo.hours(history, || {
            let at_risk = self.first_hour_below(history, self.at_risk_below, self.at_risk);
            let lapsed = self.first_hour_below(history, self.lapsed_below, self.lapsed);
            [at_risk, lapsed.max(at_risk + 24)]
        });
        let [at_risk, lapsed] = hours.map(|hours| history.last_order_at.plus(in_hours(hours)));
        Deadlines { at_risk, lapsed }
    }

    /// The smallest n within the bounds for which the probability after n hours is below `limit`; the upper bound if there is none. The
    /// probability strictly falls, so it is halved in on.
    fn first_hour_below(&self, history: &PurchaseHistory, limit: f64, [mut low, mut high]: [u32; 2]) -> u32 {
        let pattern = pattern(history);
        while low < high {
            let middle = low.midpoint(high);
            if self.model.orders.order_probability(pattern, f64::from(middle) / 24.0, self.horizon_days)
                < limit
            {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        high
    }

    /// The probability of an order within the horizon from `at` on, in ten thousandths.
    pub(super) fn order_probability(&self, history: &PurchaseHistory, at: Time) -> Ratio {
        let silence = in_days(at.since(history.last_order_at));
        ten_thousandths(self.model.orders.order_probability(pattern(history), silence, self.horizon_days))
    }
}

/// Deadlines by (x, t_x), in hours. Nearly all customers of a shop share few of them, and each takes some twenty evaluations.
///
/// An entry is one word: x, t_x and both hours. So threads may share it: what is read is what one of them wrote, and all write the same.
#[derive(Default)]
struct Memo(OnceLock<Box<[AtomicU64]>>);

impl Memo {
    /// As a power of 2.
    const ENTRIES: u32 = 14;
    /// Of x and of t_x.
    const KEY_BITS: u32 = 14;
    /// Of each of the hours.
    const HOURS_BITS: u32 = 18;

    fn hours(&self, history: &PurchaseHistory, compute: impl FnOnce() -> [u32; 2]) -> [u32; 2] {
        let [x, span] = [u64::from(history.repeat_days), u64::from(history.span_days.unsigned_abs())];
        if x >> Self::KEY_BITS != 0 || span >> Self::KEY_BITS != 0 {
            return compute();
        }
        let key = x << Self::KEY_BITS | span;
        let entries = self.0.get_or_init(|| (0..1_u32 << Self::ENTRIES).map(|_| AtomicU64::new(0)).collect());
        let index = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - Self::ENTRIES);
        let entry = &entries[index as usize];
        let held = entry.load(Ordering::Relaxed);
        // Customers lapse at least a day after their last order, so an entry that was written is not 0.
        if held != 0 && held >> (2 * Self::HOURS_BITS) == key {
            let hours = |shift: u32| (held >> shift) as u32 & ((1 << Self::HOURS_BITS) - 1);
            return [hours(Self::HOURS_BITS), hours(0)];
        }
        let [at_risk, lapsed] = compute();
        let hours = u64::from(at_risk) << Self::HOURS_BITS | u64::from(lapsed);
        entry.store(key << (2 * Self::HOURS_BITS) | hours, Ordering::Relaxed);
        [at_risk, lapsed]
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Memo")
    }
}

/// What the model looks at.
pub(super) fn pattern(history: &PurchaseHistory) -> Pattern {
    Pattern { repeat_days: history.repeat_days, span_days: f64::from(history.span_days) }
}

/// Days of 24 hours.
pub(super) fn in_days(span: Span) -> f64 {
    span.as_millis() as f64 / Span::DAY.as_millis() as f64
}

/// Rounded half even.
pub(super) fn ten_thousandths(number: f64) -> Ratio {
    Ratio { numerator: (number * 10_000.0).round_ties_even() as i128, denominator: 10_000 }
}

const HOUR: Span = Span::from_millis(3_600_000);

fn in_hours(hours: u32) -> Span {
    Span::from_millis(i64::from(hours) * HOUR.as_millis())
}

/// The first whole hour that is not before this many days.
fn hours_from(days: Decimal) -> u32 {
    narrowed((days.numerator() * 24 + days.denominator() - 1) / days.denominator())
}

/// The last whole hour that is not after this many days.
fn hours_to(days: Decimal) -> u32 {
    narrowed(days.numerator() * 24 / days.denominator())
}

/// The configuration bounds days to ten years, so they fit into the memo too.
fn narrowed(hours: i128) -> u32 {
    u32::try_from(hours).unwrap_or(u32::MAX).min((1 << Memo::HOURS_BITS) - 25)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Time = Time::MIN;

    fn in_force(orders: MbgNbd) -> ModelInForce {
        ModelInForce::new(Model { orders, ..Model::PRIOR }, &ModelSettings::default(), |_| 0)
    }

    fn history(repeat_days: u32, span_days: i32) -> PurchaseHistory {
        PurchaseHistory { repeat_days, span_days, last_order_at: LAST }
    }

    fn hours(of: &ModelInForce, repeat_days: u32, span_days: i32) -> [i64; 2] {
        let deadlines = of.deadlines(&history(repeat_days, span_days));
        [deadlines.at_risk, deadlines.lapsed].map(|at| at.as_millis() / HOUR.as_millis())
    }

    const CDNOW: MbgNbd = MbgNbd { r: 0.525, alpha_days: 43.281, a: 0.891, b: 1.614 };
    const ONLINE_RETAIL: MbgNbd = MbgNbd { r: 0.7289, alpha_days: 69.449, a: 0.2090, b: 5.6028 };

    #[test]
    fn deadlines_are_whole_hours() {
        let (cdnow, online_retail) = (in_force(CDNOW), in_force(ONLINE_RETAIL));
        let expected = [
            (0, 0, [542, 2_276], [1_065, 4_670]),
            (1, 30, [2_300, 4_287], [4_181, 8_760]),
            (2, 105, [3_335, 5_522], [4_320, 8_760]),
            (5, 23, [1_268, 1_676], [2_602, 3_349]),
            (10, 300, [3_384, 4_244], [4_320, 5_980]),
            (25, 200, [1_178, 1_387], [1_604, 1_870]),
            (52, 364, [1_057, 1_212], [1_328, 1_515]),
            (2, 730, [336, 7_537], [336, 8_087]),
        ];
        // The second time they come from the memo.
        for _ in 0..2 {
            for (x, span, of_cdnow, of_online_retail) in expected {
                assert_eq!(hours(&cdnow, x, span), of_cdnow, "CDNOW {x} {span}");
                assert_eq!(hours(&online_retail, x, span), of_online_retail, "Online Retail {x} {span}");
            }
        }
        assert!((cdnow.at_risk_below - 0.215_496).abs() < 5e-7);
        assert!((cdnow.lapsed_below - 0.114_931).abs() < 5e-7);
    }

    #[test]
    fn a_model_has_a_text_that_changes_with_any_setting() {
        let (settings, other) = (ModelSettings::default(), Decimal::whole(100));
        let mut texts = [
            settings.clone(),
            ModelSettings { horizon: Span::days(91), ..settings.clone() },
            ModelSettings { at_risk_share: other, ..settings.clone() },
            ModelSettings { lapsed_share: other, ..settings.clone() },
            ModelSettings { at_risk_min: other, ..settings.clone() },
            ModelSettings { at_risk_max: other, ..settings.clone() },
            ModelSettings { lapsed_min: other, ..settings.clone() },
            ModelSettings { lapsed_max: other, ..settings },
        ]
        .map(|settings| settings.text());
        texts.sort();
        assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
    }

    /// Enough customers that entries are overwritten, and keys on both sides of what an entry can hold.
    #[test]
    fn the_memo_gives_what_would_be_computed() {
        let memo = Memo::default();
        let limit = 1 << Memo::KEY_BITS;
        let few = (0..150).flat_map(|x| (0..200).map(move |span| (x, span)));
        let bounds =
            [0, 1, limit - 1, limit, limit + 1].map(|x| [0, 1, limit - 1, limit].map(|span| (x, span)));
        let patterns: Vec<(u32, u32)> = few.chain(bounds.into_iter().flatten()).collect();
        for round in 0..2 {
            for &(x, span) in &patterns {
                let expected = [24 + x % 70_000, 100_000 + span];
                let history = history(x, i32::try_from(span).expect("small"));
                assert_eq!(memo.hours(&history, || expected), expected, "{x} {span}, round {round}");
            }
        }
        let mut is_computed = false;
        let known = memo.hours(&history(149, 199), || {
            is_computed = true;
            [1, 1]
        });
        assert!(!is_computed && known == [24 + 149, 100_199], "the last one is still held");
    }

    #[test]
    fn bounds_are_whole_hours_within_the_days() {
        let tenth_of_a_day = Decimal::new(1, 1).expect("one digit"); // 2.4 hours
        assert_eq!((hours_from(tenth_of_a_day), hours_to(tenth_of_a_day)), (3, 2));
        let quarter = Decimal::new(25, 2).expect("two digits");
        assert_eq!((hours_from(quarter), hours_to(quarter)), (6, 6));
        assert_eq!((hours_from(Decimal::whole(2)), hours_to(Decimal::whole(2))), (48, 48));
        let most = (1 << Memo::HOURS_BITS) - 25;
        assert_eq!(
            [i128::from(most) - 1, i128::from(most), i128::from(most) + 1, i128::MAX].map(narrowed),
            [most - 1, most, most, most]
        );
    }

    #[test]
    fn a_customer_lapses_at_least_a_day_after_it_is_at_risk() {
        let close = ModelSettings {
            at_risk_min: Decimal::whole(20),
            at_risk_max: Decimal::whole(20),
            lapsed_min: Decimal::whole(20),
            lapsed_max: Decimal::whole(20),
            ..ModelSettings::default()
        };
        let model = ModelInForce::new(Model::PRIOR, &close, |_| 0);
        assert_eq!(hours(&model, 3, 90), [20 * 24, 21 * 24]);
    }

    #[test]
    fn probabilities_have_four_decimals() {
        let units = [0.25, 0.123_45, 0.123_55, 1.0].map(|number| ten_thousandths(number).numerator);
        assert_eq!(units, [2_500, 1_234, 1_236, 10_000]); // 0.12355 lies a little below or above its half in binary.
        assert_eq!(ten_thousandths(0.5).denominator, 10_000);
    }

    #[test]
    fn the_prior_judges_from_the_first_day() {
        let prior = in_force(MbgNbd::PRIOR);
        assert!((prior.model.orders.of_new_customer(90.0) - 0.451_729).abs() < 5e-7);
        for (x, span, expected) in [
            (0, 0, [820, 3_417]),
            (1, 30, [2_538, 5_275]),
            (2, 105, [3_350, 6_209]),
            (5, 23, [1_478, 2_001]),
            (10, 300, [3_354, 4_356]),
            (52, 364, [1_045, 1_224]),
        ] {
            assert_eq!(hours(&prior, x, span), expected, "{x} {span}");
        }
    }

    #[test]
    fn a_deadline_is_the_first_hour_of_its_probability() {
        let model = in_force(CDNOW);
        for (x, span) in [(0, 0), (3, 20), (7, 400), (40, 80)] {
            let history = history(x, span);
            let hour = model.first_hour_below(&history, model.lapsed_below, [1, 50_000]);
            let probability =
                |hour: u32| CDNOW.order_probability(pattern(&history), f64::from(hour) / 24.0, 90.0);
            assert!(probability(hour) < model.lapsed_below, "{x} {span}");
            assert!(probability(hour - 1) >= model.lapsed_below, "{x} {span}");
        }
    }

    #[test]
    fn the_last_order_selects_the_model() {
        let at = |days: i64| Time::MIN.plus(Span::days(days));
        let model = |version, shop: Option<u16>, effective: i64, published: i64| Model {
            version: ModelVersion::Fitted(version),
            shop: shop.map(ShopIndex),
            effective_at: at(effective),
            published_at: at(published),
            ..Model::PRIOR
        };
        let models = vec![
            model(3, None, 20, 19),
            model(1, None, 10, 9),
            model(4, Some(1), 15, 14),
            model(2, None, 10, 8),
        ];
        let models = Models::new(models, &ModelSettings::default(), |_| 0);
        let version = |shop, day: i64| models.at(ShopIndex(shop), at(day)).model.version;
        assert_eq!(version(0, 9), ModelVersion::Prior);
        assert_eq!(version(0, 10), ModelVersion::Fitted(1)); // The later of two that count from the same instant.
        assert_eq!(version(0, 30), ModelVersion::Fitted(3));
        assert_eq!(version(1, 14), ModelVersion::Fitted(1));
        assert_eq!(version(1, 15), ModelVersion::Fitted(4)); // Its own goes before a later one of all shops.
        assert_eq!(version(1, 30), ModelVersion::Fitted(4));
    }
}
