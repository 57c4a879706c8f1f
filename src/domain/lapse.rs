//! Lapse policies: how long a customer's silence may last before signals report it.
//!
//! A policy sees a [`PurchaseHistory`] and gives [`Deadlines`]. Those of `fixed` and `cadence` are exact rationals, clamped, then
//! floored to milliseconds; those of `model` are whole hours.

pub mod model;
pub mod outlook;

use std::sync::Arc;

use super::values::ids::ShopIndex;
use super::values::number::{Decimal, Ratio};
use super::values::time::{Span, Time};
use model::{Model, ModelInForce, ModelSettings, Models};

/// The kept orders of a customer, as far as a policy looks at them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurchaseHistory {
    /// x: purchase days after the first one, which is also the number of gaps between them.
    pub repeat_days: u32,
    /// t_x: whole days from the first to the last purchase day, which is also the sum of the gaps.
    pub span_days: i32,
    /// When the silence began. T, the age of the customer, is t_x and the time since then.
    pub last_order_at: Time,
}

/// When silence makes a customer at risk, and lapsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    pub at_risk: Time,
    pub lapsed: Time,
}

/// Which policy judged a silence, and with which settings. Every signal carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyId {
    pub name: &'static str,
    /// XXH3-64 of [`LapsePolicy::text`]; under `model` of the model's version and the policy's settings.
    pub version: u64,
}

/// The policies of a service, of which one is in force for each customer.
#[derive(Clone, Debug)]
pub struct LapsePolicies {
    policy: LapsePolicy,
    id: PolicyId,
    /// Under the policy `model`.
    models: Option<Arc<Models>>,
    hash: fn(&[u8]) -> u64,
}

/// What judges one silence.
enum InForce<'p> {
    Policy(&'p LapsePolicy),
    Model(&'p ModelInForce),
}

/// Decides from the history alone when a customer is at risk and when lapsed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LapsePolicy {
    /// The same silence for everyone.
    Fixed { at_risk: Span, lapsed: Span },
    /// The customer's own rhythm, pulled towards a prior.
    Cadence(Cadence),
    /// The probability of another order, by the model that was in force at the last one.
    Model(ModelSettings),
}

/// Expected gap g = (n · own mean gap + k · prior gap) / (n + k) days with n gaps seen. At risk after a · g, lapsed after l · g.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cadence {
    /// In days (45).
    pub prior_gap: Decimal,
    /// How many gaps the prior counts for (2); above 0.
    pub prior_weight: Decimal,
    /// a (1.5).
    pub at_risk_factor: Decimal,
    /// Days (14 to 180).
    pub at_risk_min: Decimal,
    pub at_risk_max: Decimal,
    /// l (3).
    pub lapsed_factor: Decimal,
    /// Days (30 to 365); always at least a day after at risk.
    pub lapsed_min: Decimal,
    pub lapsed_max: Decimal,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            prior_gap: Decimal::whole(45),
            prior_weight: Decimal::whole(2),
            at_risk_factor: Decimal::new(15, 1).expect("one digit"),
            at_risk_min: Decimal::whole(14),
            at_risk_max: Decimal::whole(180),
            lapsed_factor: Decimal::whole(3),
            lapsed_min: Decimal::whole(30),
            lapsed_max: Decimal::whole(365),
        }
    }
}

/// How long after the last kept order each state begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LapseThresholds {
    at_risk: Span,
    lapsed: Span,
}

impl LapsePolicies {
    /// One policy that is always in force. `hash` is XXH3-64.
    pub fn new(policy: LapsePolicy, hash: fn(&[u8]) -> u64) -> Self {
        let id = PolicyId { name: policy.name(), version: hash(policy.text().as_bytes()) };
        Self { policy, id, models: None, hash }.with_models(Vec::new())
    }

    /// The same policy with these models, in any order, beside the prior. Only the policy `model` uses them.
    pub fn with_models(&self, models: Vec<Model>) -> Self {
        let models = match &self.policy {
            LapsePolicy::Model(settings) => Some(Arc::new(Models::new(models, settings, self.hash))),
            LapsePolicy::Fixed { .. } | LapsePolicy::Cadence(_) => None,
        };
        Self { policy: self.policy.clone(), id: self.id, models, hash: self.hash }
    }

    /// When this customer's silence is reported; none if the policy never reports it.
    #[inline]
    pub fn deadlines(&self, shop: ShopIndex, history: &PurchaseHistory) -> Option<Deadlines> {
        match self.in_force(shop, history.last_order_at) {
            InForce::Policy(policy) => policy.deadlines(history),
            InForce::Model(model) => Some(model.deadlines(history)),
        }
    }

    /// The gap in days that the policy expects before the next order; none under a policy that expects none.
    pub fn expected_gap(&self, history: &PurchaseHistory) -> Option<Ratio> {
        self.policy.expected_gap(history)
    }

    /// The probability of an order within the policy's horizon from `at` on, with four decimals; none under a policy without a model.
    pub fn order_probability(&self, shop: ShopIndex, history: &PurchaseHistory, at: Time) -> Option<Ratio> {
        match self.in_force(shop, history.last_order_at) {
            InForce::Policy(_) => None,
            InForce::Model(model) => Some(model.order_probability(history, at)),
        }
    }

    /// The identity of the policy that judges this customer. Without a kept order it is the first one that was in force.
    pub fn id(&self, shop: ShopIndex, history: Option<&PurchaseHistory>) -> PolicyId {
        match self.in_force(shop, history.map_or(Time::MIN, |history| history.last_order_at)) {
            InForce::Policy(_) => self.id,
            InForce::Model(model) => model.id,
        }
    }

    /// The policy with its settings.
    pub fn policy(&self) -> &LapsePolicy {
        &self.policy
    }

    /// The newest model of a shop at an instant; none under a policy without a model.
    pub fn model(&self, shop: ShopIndex, at: Time) -> Option<&Model> {
        self.models.as_ref().map(|models| &models.at(shop, at).model)
    }

    /// The probability that a new customer orders within the policy's horizon, by this model and with four decimals; none under a policy
    /// without a model.
    pub fn of_new_customer(&self, model: &Model) -> Option<Ratio> {
        match &self.policy {
            LapsePolicy::Model(settings) => Some(model.of_new_customer(settings)),
            LapsePolicy::Fixed { .. } | LapsePolicy::Cadence(_) => None,
        }
    }

    /// Whether the same models count up to `clock`.
    pub fn models_are_same_until(&self, other: &Self, clock: Time) -> bool {
        match (&self.models, &other.models) {
            (Some(mine), Some(theirs)) => mine.are_same_until(theirs, clock),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The one place that selects what judges a silence: by its beginning, so that no deadline of a running silence moves.
    #[inline]
    fn in_force(&self, shop: ShopIndex, last_order_at: Time) -> InForce<'_> {
        match &self.models {
            Some(models) => InForce::Model(models.at(shop, last_order_at)),
            None => InForce::Policy(&self.policy),
        }
    }
}

impl LapsePolicy {
    /// The name in signals and settings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fixed { .. } => "fixed",
            Self::Cadence(_) => "cadence",
            Self::Model(_) => "model",
        }
    }

    /// Every setting on one line, in one form only: its hash is the policy's version in signals.
    pub fn text(&self) -> String {
        match self {
            Self::Fixed { at_risk, lapsed } => {
                format!("fixed at_risk_ms={} lapsed_ms={}", at_risk.as_millis(), lapsed.as_millis())
            }
            Self::Cadence(cadence) => format!(
                "cadence prior_gap={} prior_weight={} at_risk_factor={} at_risk_min={} at_risk_max={} \
                 lapsed_factor={} lapsed_min={} lapsed_max={}",
                cadence.prior_gap,
                cadence.prior_weight,
                cadence.at_risk_factor,
                cadence.at_risk_min,
                cadence.at_risk_max,
                cadence.lapsed_factor,
                cadence.lapsed_min,
                cadence.lapsed_max,
            ),
            Self::Model(settings) => format!("model {}", settings.text()),
        }
    }

    /// Those that follow from the history alone.
    fn deadlines(&self, history: &PurchaseHistory) -> Option<Deadlines> {
        let thresholds = match self {
            Self::Fixed { at_risk, lapsed } => LapseThresholds { at_risk: *at_risk, lapsed: *lapsed },
            Self::Cadence(cadence) => cadence.thresholds(history),
            Self::Model(_) => return None,
        };
        Some(Deadlines {
            at_risk: history.last_order_at.plus(thresholds.at_risk),
            lapsed: history.last_order_at.plus(thresholds.lapsed),
        })
    }

    fn expected_gap(&self, history: &PurchaseHistory) -> Option<Ratio> {
        match self {
            Self::Fixed { .. } | Self::Model(_) => None,
            Self::Cadence(cadence) => Some(cadence.expected_gap(history)),
        }
    }
}

impl Cadence {
    /// n · own mean gap is the span from the first to the last purchase day, so no division happens before the end.
    fn expected_gap(&self, history: &PurchaseHistory) -> Ratio {
        let &PurchaseHistory { repeat_days: gaps, span_days, .. } = history;
        let (weight, weight_scale) = (self.prior_weight.numerator(), self.prior_weight.denominator());
        let (prior, prior_scale) = (self.prior_gap.numerator(), self.prior_gap.denominator());
        Ratio {
            numerator: i128::from(span_days) * weight_scale * prior_scale + weight * prior,
            denominator: (i128::from(gaps) * weight_scale + weight) * prior_scale,
        }
    }

    fn thresholds(&self, history: &PurchaseHistory) -> LapseThresholds {
        let gap = self.expected_gap(history);
        let at_risk = clamped(gap, self.at_risk_factor, self.at_risk_min, self.at_risk_max);
        let lapsed = clamped(gap, self.lapsed_factor, self.lapsed_min, self.lapsed_max);
        LapseThresholds { at_risk, lapsed: lapsed.max(at_risk.plus(Span::DAY)) }
    }
}

/// floor(clamp(gap · factor, min, max) in milliseconds). Flooring keeps order, so it may come before the clamp.
fn clamped(gap: Ratio, factor: Decimal, min: Decimal, max: Decimal) -> Span {
    let millis = narrow_product(gap, factor).unwrap_or_else(|| {
        let numerator = gap.numerator * factor.numerator() * i128::from(Span::DAY.as_millis());
        div_floor(numerator, gap.denominator * factor.denominator())
    });
    Span::from_millis(millis.clamp(days_floor(min), days_floor(max)))
}

/// The same product, if it fits in 64 bits: the usual case, and several times cheaper.
fn narrow_product(gap: Ratio, factor: Decimal) -> Option<i64> {
    let narrow = |number: i128| u64::try_from(number).ok();
    let day = Span::DAY.as_millis().unsigned_abs();
    let numerator = narrow(gap.numerator)?.checked_mul(narrow(factor.numerator())?)?.checked_mul(day)?;
    let denominator = narrow(gap.denominator)?.checked_mul(narrow(factor.denominator())?)?;
    i64::try_from(numerator / denominator).ok()
}

fn days_floor(days: Decimal) -> i64 {
    if let Some(whole) = days.as_whole().and_then(|days| i64::try_from(days).ok())
        && let Some(millis) = whole.checked_mul(Span::DAY.as_millis())
    {
        return millis; // The usual setting needs no division.
    }
    div_floor(days.numerator() * i128::from(Span::DAY.as_millis()), days.denominator())
}

/// Both are positive.
fn div_floor(numerator: i128, denominator: i128) -> i64 {
    i64::try_from(numerator / denominator).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::model::ModelVersion;
    use super::*;
    use crate::domain::model::mbg_nbd::Pattern;

    #[test]
    fn a_policy_has_a_text_that_changes_with_any_setting() {
        let (cadence, other) = (Cadence::default(), Decimal::whole(400));
        let mut texts: Vec<String> = [
            cadence.clone(),
            Cadence { prior_gap: other, ..cadence.clone() },
            Cadence { prior_weight: other, ..cadence.clone() },
            Cadence { at_risk_factor: other, ..cadence.clone() },
            Cadence { at_risk_min: other, ..cadence.clone() },
            Cadence { at_risk_max: other, ..cadence.clone() },
            Cadence { lapsed_factor: other, ..cadence.clone() },
            Cadence { lapsed_min: other, ..cadence.clone() },
            Cadence { lapsed_max: other, ..cadence },
        ]
        .map(|cadence| LapsePolicy::Cadence(cadence).text())
        .into();
        for (at_risk, lapsed) in [(30, 60), (31, 60), (30, 61)] {
            let (at_risk, lapsed) = (Span::days(at_risk), Span::days(lapsed));
            texts.push(LapsePolicy::Fixed { at_risk, lapsed }.text());
        }
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 12);
    }

    const LAST: Time = Time::MIN;

    /// Beyond 64 bits a product is derived in 128.
    #[test]
    fn long_products_are_exact_too() {
        let gap = Ratio { numerator: 1 << 62, denominator: 1 << 58 }; // 16 days
        let day_and_a_half = Decimal::new(15, 1).expect("one digit");
        let clamp =
            |min: u64, max: u64| clamped(gap, day_and_a_half, Decimal::whole(min), Decimal::whole(max));
        assert_eq!(narrow_product(gap, day_and_a_half), None);
        assert_eq!(clamp(1, 100), Span::days(24));
        assert_eq!(clamp(30, 100), Span::days(30));
        assert_eq!(clamp(1, 20), Span::days(20));
        let uneven = Ratio { numerator: (1 << 62) + 1, denominator: 3 << 60 };
        assert_eq!(
            clamped(uneven, Decimal::whole(1), Decimal::whole(1), Decimal::whole(9)),
            Span::from_millis(115_200_000)
        );
        assert_eq!(
            narrow_product(Ratio { numerator: 7, denominator: 2 }, Decimal::whole(3)),
            Some(907_200_000)
        );
    }

    #[test]
    fn parts_of_days_are_floored_to_milliseconds() {
        let days = |units, digits| days_floor(Decimal::new(units, digits).expect("few digits"));
        assert_eq!(days(25, 1), 216_000_000);
        assert_eq!(days(3, 0), 259_200_000);
        assert_eq!(days(1_234_567, 6), 106_666_588); // 106,666,588.8
        assert_eq!(div_floor(7, 2), 3);
        assert_eq!(div_floor(i128::MAX, 1), i64::MAX / 4);
    }

    #[test]
    fn only_a_model_tells_probabilities() {
        let settings = ModelSettings::default();
        let policy = LapsePolicies::new(LapsePolicy::Model(settings.clone()), |_| 0);
        let history = PurchaseHistory { repeat_days: 2, span_days: 60, last_order_at: LAST };
        let at = LAST.plus(Span::days(10));
        let (first, same) = (policy.with_models(Vec::new()), policy.with_models(Vec::new()));
        let model = first.model(ShopIndex(0), at).expect("the first one");
        assert_eq!(model.version, ModelVersion::Prior);
        assert_eq!(first.of_new_customer(model), Some(model.of_new_customer(&settings)));
        let probability = first.order_probability(ShopIndex(0), &history, at).expect("a model");
        let pattern = Pattern { repeat_days: 2, span_days: 60.0 };
        let expected = (model.orders.order_probability(pattern, 10.0, 90.0) * 10_000.0).round_ties_even();
        assert_eq!((probability.numerator, probability.denominator), (expected as i128, 10_000));
        let fitted =
            Model { version: ModelVersion::Fitted(1), effective_at: at, published_at: at, ..Model::PRIOR };
        let later = policy.with_models(vec![fitted]);
        assert!(first.models_are_same_until(&same, Time::MAX));
        assert!(first.models_are_same_until(&later, at.just_before()));
        assert!(!first.models_are_same_until(&later, at));

        let cadence = LapsePolicies::new(LapsePolicy::Cadence(Cadence::default()), |_| 0);
        assert_eq!(cadence.order_probability(ShopIndex(0), &history, at), None);
        assert!(cadence.model(ShopIndex(0), at).is_none() && cadence.of_new_customer(model).is_none());
        assert!(cadence.models_are_same_until(&cadence, Time::MAX));
        assert!(!cadence.models_are_same_until(&first, Time::MAX));
    }

    fn deadlines(cadence: Cadence, repeat_days: u32, span_days: i32) -> Deadlines {
        let policies = LapsePolicies::new(LapsePolicy::Cadence(cadence), |_| 0);
        let history = PurchaseHistory { repeat_days, span_days, last_order_at: LAST };
        policies.deadlines(ShopIndex(0), &history).expect("a policy with deadlines")
    }

    fn days(days: i64, millis: i64) -> Span {
        Span::from_millis(days * Span::DAY.as_millis() + millis)
    }

    #[test]
    fn cadence_deadlines_are_exact() {
        let half_day = Span::DAY.as_millis() / 2;
        for (gaps, span, at_risk, lapsed) in [
            (0, 0, days(67, half_day), days(135, 0)), // g = 45
            (1, 7, days(48, half_day), days(97, 0)),  // g = 97/3: a·g = 48.5
            (3, 3, days(27, 21 * 3_600_000 + 36 * 60_000), days(55, 19 * 3_600_000 + 12 * 60_000)), // g = 93/5
            (50, 50, days(14, 0), days(30, 0)),   // clamped from below
            (1, 900, days(180, 0), days(365, 0)), // clamped from above
        ] {
            let expected = Deadlines { at_risk: LAST.plus(at_risk), lapsed: LAST.plus(lapsed) };
            let deadlines = deadlines(Cadence::default(), gaps, span);
            assert_eq!(deadlines, expected, "{gaps} gaps of {span} days");
        }
    }

    #[test]
    fn lapsed_comes_at_least_a_day_after_at_risk() {
        let cadence =
            Cadence { lapsed_factor: Decimal::new(15, 1).expect("one digit"), ..Cadence::default() };
        let deadlines = deadlines(cadence, 0, 0);
        assert_eq!(deadlines.lapsed, deadlines.at_risk.plus(Span::DAY));
    }
}
