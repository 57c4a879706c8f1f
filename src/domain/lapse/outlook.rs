//! What a model says about a customer now, for the profile.

use super::model::{Model, ModelVersion, in_days, pattern, ten_thousandths};
use super::{LapsePolicies, PurchaseHistory};
use crate::domain::model::correction::LogValues;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::{Span, Time};

/// The kept orders of a customer, as far as values matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderValues {
    pub orders: u32,
    pub purchase_days: u32,
    /// Sum of net values.
    pub net: ShopAmount,
    /// Of the last order.
    pub last: ShopAmount,
}

impl OrderValues {
    /// What a [`Correction`](crate::domain::model::correction::Correction) looks at; none if a value is not positive.
    pub fn logs(&self) -> Option<LogValues> {
        let is_positive = self.net > ShopAmount::ZERO && self.last > ShopAmount::ZERO && self.orders > 0;
        let mean = self.net.minor() as f64 / f64::from(self.orders);
        is_positive.then(|| LogValues::of(mean, self.last.minor() as f64))
    }
}

/// The figures of the newest model. Probabilities and numbers of orders have four decimals.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    pub version: ModelVersion,
    /// That the customer will ever order again.
    pub alive: Ratio,
    /// That an order comes within 30 and within 90 days.
    pub order_30d: Ratio,
    pub order_90d: Ratio,
    /// Within 90 and 365 days; none where the series does not converge.
    pub expected_orders_90d: Option<Ratio>,
    pub expected_orders_365d: Option<Ratio>,
    /// None without a model of values.
    pub expected_order_value: Option<ShopAmount>,
    pub expected_value_365d: Option<ShopAmount>,
    /// When half of those who are still alive have ordered, in whole hours; none beyond ten years.
    pub next_order_at: Option<Time>,
}

impl LapsePolicies {
    /// What the newest model at `as_of` says; none under a policy without a model.
    pub fn outlook(
        &self,
        shop: ShopIndex,
        history: &PurchaseHistory,
        values: OrderValues,
        as_of: Time,
    ) -> Option<Outlook> {
        self.model(shop, as_of).map(|model| model.outlook(history, values, as_of))
    }
}

impl Model {
    /// The probability of an order in the next `horizon` days, with the correction by values if there is one.
    pub fn corrected_probability(
        &self,
        history: &PurchaseHistory,
        values: OrderValues,
        as_of: Time,
        horizon: f64,
    ) -> f64 {
        let silence = in_days(as_of.since(history.last_order_at));
        let probability = self.orders.order_probability(pattern(history), silence, horizon);
        match (&self.correction, values.logs()) {
            (Some(correction), Some(logs)) => correction.apply(probability, logs),
            (None, _) | (_, None) => probability,
        }
    }

    /// The expected value of an order in minor units; none without a model of values.
    pub fn expected_order_value(&self, values: OrderValues) -> Option<f64> {
        let days = f64::from(values.purchase_days);
        self.value.map(|value| value.expected_value(days, values.net.minor() as f64 / days))
    }

    fn outlook(&self, history: &PurchaseHistory, values: OrderValues, as_of: Time) -> Outlook {
        let (pattern, silence) = (pattern(history), in_days(as_of.since(history.last_order_at)));
        let orders = |days: f64| self.orders.expected_orders(pattern, silence, days);
        let order_value = self.expected_order_value(values);
        let median = self.orders.median_days(pattern, silence);
        Outlook {
            version: self.version,
            alive: ten_thousandths(self.orders.alive(pattern, silence)),
            order_30d: ten_thousandths(self.corrected_probability(history, values, as_of, 30.0)),
            order_90d: ten_thousandths(self.corrected_probability(history, values, as_of, 90.0)),
            expected_orders_90d: orders(90.0).map(ten_thousandths),
            expected_orders_365d: orders(365.0).map(ten_thousandths),
            expected_order_value: order_value.map(rounded),
            expected_value_365d: orders(365.0)
                .zip(order_value)
                .map(|(orders, value)| rounded(orders * value)),
            next_order_at: (median <= 3_650.0)
                .then(|| as_of.plus(Span::from_millis((median * 24.0).ceil() as i64 * 3_600_000))),
        }
    }
}

/// Half even, to the minor unit.
fn rounded(minor: f64) -> ShopAmount {
    ShopAmount(minor.round_ties_even() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::model::ModelSettings;
    use super::super::{Cadence, LapsePolicy};
    use super::*;
    use crate::domain::model::correction::Correction;
    use crate::domain::model::gamma_gamma::GammaGamma;

    const HISTORY: PurchaseHistory =
        PurchaseHistory { repeat_days: 3, span_days: 90, last_order_at: Time::MIN };
    const VALUES: OrderValues =
        OrderValues { orders: 5, purchase_days: 4, net: ShopAmount(20_000), last: ShopAmount(9_000) };
    const CORRECTION: Correction =
        Correction { mean: 0.3, last: 0.2, mean_centre: 8.0, last_centre: 9.0, shift: -0.1 };

    fn as_of() -> Time {
        Time::MIN.plus(Span::days(20))
    }

    fn valued() -> Model {
        let value = Some(GammaGamma { p: 6.25, q: 3.74, v: 15_44.0 });
        Model { value, correction: Some(CORRECTION), ..Model::PRIOR }
    }

    #[test]
    fn values_have_logarithms_if_all_are_positive() {
        assert_eq!(VALUES.logs(), Some(LogValues::of(4_000.0, 9_000.0)));
        assert_eq!(OrderValues { net: ShopAmount::ZERO, ..VALUES }.logs(), None);
        assert_eq!(OrderValues { last: ShopAmount::ZERO, ..VALUES }.logs(), None);
        assert_eq!(OrderValues { last: ShopAmount(-1), ..VALUES }.logs(), None);
        assert_eq!(OrderValues { orders: 0, ..VALUES }.logs(), None);
    }

    #[test]
    fn values_correct_a_probability_only_where_they_can() {
        let plain = Model::PRIOR.corrected_probability(&HISTORY, VALUES, as_of(), 30.0);
        assert_eq!(plain, Model::PRIOR.orders.order_probability(pattern(&HISTORY), 20.0, 30.0));
        assert!(0.01 < plain && plain < 0.99, "{plain}");
        let corrected = valued().corrected_probability(&HISTORY, VALUES, as_of(), 30.0);
        assert_eq!(corrected, CORRECTION.apply(plain, LogValues::of(4_000.0, 9_000.0)));
        let worthless = OrderValues { last: ShopAmount::ZERO, ..VALUES };
        assert_eq!(valued().corrected_probability(&HISTORY, worthless, as_of(), 30.0), plain);
    }

    #[test]
    fn only_a_model_gives_an_outlook() {
        let of = |policy| {
            let policies = LapsePolicies::new(policy, |_| 0);
            policies.outlook(ShopIndex(0), &HISTORY, VALUES, as_of()).map(|outlook| outlook.order_30d)
        };
        let expected = Model::PRIOR.outlook(&HISTORY, VALUES, as_of()).order_30d;
        assert_eq!(of(LapsePolicy::Model(ModelSettings::default())), Some(expected));
        assert_eq!(of(LapsePolicy::Cadence(Cadence::default())), None);
    }

    #[test]
    fn an_outlook_says_what_the_model_says() {
        let model = valued();
        let outlook = model.outlook(&HISTORY, VALUES, as_of());
        let orders =
            |days| model.orders.expected_orders(pattern(&HISTORY), 20.0, days).expect("it converges");
        let value = 6.25 * (15_44.0 + 4.0 * 5_000.0) / (6.25 * 4.0 + 3.74 - 1.0); // Over 4 days, 50.00 each.
        assert_eq!(model.expected_order_value(VALUES), Some(value));
        assert_eq!(outlook.expected_order_value, Some(ShopAmount(value.round_ties_even() as i64)));
        assert_eq!(
            outlook.expected_value_365d,
            Some(ShopAmount((orders(365.0) * value).round_ties_even() as i64))
        );
        assert_eq!(outlook.expected_orders_90d, Some(ten_thousandths(orders(90.0))));
        assert_eq!(outlook.expected_orders_365d, Some(ten_thousandths(orders(365.0))));
        let probability =
            |days| ten_thousandths(model.corrected_probability(&HISTORY, VALUES, as_of(), days));
        assert_eq!((outlook.order_30d, outlook.order_90d), (probability(30.0), probability(90.0)));
        assert_eq!(outlook.alive, ten_thousandths(model.orders.alive(pattern(&HISTORY), 20.0)));
        let median = model.orders.median_days(pattern(&HISTORY), 20.0);
        let hours = (median * 24.0).ceil() as i64;
        assert_eq!(outlook.next_order_at, Some(as_of().plus(Span::from_millis(hours * 3_600_000))));
        assert_eq!(Model::PRIOR.outlook(&HISTORY, VALUES, as_of()).expected_order_value, None);
        let silent = Time::MIN.plus(Span::days(40_000));
        assert_eq!(model.outlook(&HISTORY, VALUES, silent).next_order_at, None);
    }
}
