//! MBG/NBD: the probability that a customer is alive, and orders again.
//!
//! Source: Batislam, Denizel, Filiztekin (2007), "Empirical validation and comparison of models for customer base analysis"; the
//! probability of an order and its median follow from it directly. Times are in days.

use super::math::{exp, exp_m1, ln};

/// Beyond this exponent a probability is 0.
const EXPONENT_MAX: f64 = 700.0;
/// The series of [`MbgNbd::expected_orders`] ends below this share of its sum, or gives up after so many terms.
const TERM_SHARE_MIN: f64 = 1e-12;
const TERMS_MAX: u32 = 10_000;

/// The parameters of a shop; all are positive.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MbgNbd {
    /// Shape of how order rates differ between customers.
    pub r: f64,
    /// Scale of the order rates, in days.
    pub alpha_days: f64,
    /// The share of customers who leave after an order is beta distributed with a and b.
    pub a: f64,
    pub b: f64,
}

/// How a customer has ordered until the last order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pattern {
    /// x: purchase days after the first one.
    pub repeat_days: u32,
    /// t_x: days from the first purchase day to the last one.
    pub span_days: f64,
}

impl Pattern {
    /// One order.
    pub const FIRST: Self = Self { repeat_days: 0, span_days: 0.0 };
}

impl MbgNbd {
    /// In force for each shop until one was fitted. Thin data is pulled towards it ([`super::fit`]).
    pub const PRIOR: Self = Self { r: 0.74, alpha_days: 55.0, a: 0.6, b: 4.5 };

    /// k = r + x.
    fn shape(&self, pattern: Pattern) -> f64 {
        self.r + f64::from(pattern.repeat_days)
    }

    /// k · ln((α + t_x + from) / (α + t_x + to)): the logarithm of the probability that a living customer does not order between two
    /// instants, in days since the last order.
    fn ln_no_order(&self, pattern: Pattern, from: f64, to: f64) -> f64 {
        let base = self.alpha_days + pattern.span_days;
        self.shape(pattern) * (ln(base + from) - ln(base + to))
    }

    /// The probability that the customer will ever order again, `silence` days after the last order.
    pub fn alive(&self, pattern: Pattern, silence: f64) -> f64 {
        let left = ln(self.a) - ln(self.b + f64::from(pattern.repeat_days));
        let exponent = left - self.ln_no_order(pattern, 0.0, silence);
        if exponent > EXPONENT_MAX { 0.0 } else { 1.0 / (1.0 + exp(exponent)) }
    }

    /// p: the probability of at least one order in the next `horizon` days. It strictly falls with the silence.
    pub fn order_probability(&self, pattern: Pattern, silence: f64, horizon: f64) -> f64 {
        let no_order = self.ln_no_order(pattern, silence, silence + horizon);
        self.alive(pattern, silence) * -exp_m1(no_order)
    }

    /// What a customer is worth at the first order, as a probability of another one within `horizon` days.
    pub fn of_new_customer(&self, horizon: f64) -> f64 {
        self.order_probability(Pattern::FIRST, 0.0, horizon)
    }

    /// In how many days half of those who are still alive have ordered.
    pub fn median_days(&self, pattern: Pattern, silence: f64) -> f64 {
        let age = pattern.span_days + silence;
        (self.alpha_days + age) * exp_m1(core::f64::consts::LN_2 / self.shape(pattern))
    }

    /// The expected number of orders in the next `horizon` days; none if the series does not converge.
    pub fn expected_orders(&self, pattern: Pattern, silence: f64, horizon: f64) -> Option<f64> {
        let x = f64::from(pattern.repeat_days);
        // At a = 1 the formula is 0 / 0; its limit is next to it.
        let a = if -1e-6 < self.a - 1.0 && self.a - 1.0 < 1e-6 { 1.0 + 1e-6 } else { self.a };
        let k = self.shape(pattern);
        let z = horizon / (self.alpha_days + pattern.span_days + silence + horizon);
        let no_order = self.ln_no_order(pattern, silence, silence + horizon);
        let euler = (a - 1.0 - k) * super::math::ln_1p(-z);
        let sum = self.series(a, x, z)?;
        let ever = 1.0 - exp(no_order + euler) * sum;
        Some(self.alive(pattern, silence) * (a + self.b + x) / (a - 1.0) * ever)
    }

    /// Σ c_j of Euler's form of ₂F₁(r + x, b + x + 1; a + b + x; z): its terms fall like j^−(k−a+2) · z^j also near z = 1.
    fn series(&self, a: f64, x: f64, z: f64) -> Option<f64> {
        let (mut term, mut sum) = (1.0, 1.0);
        for index in 0..TERMS_MAX {
            let j = f64::from(index);
            term *= (a + self.b - self.r + j) * (a - 1.0 + j) / ((a + self.b + x + j) * (j + 1.0)) * z;
            sum += term;
            if term.abs() < TERM_SHARE_MIN * sum.abs() {
                return Some(sum);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CDNOW: MbgNbd = MbgNbd { r: 0.525, alpha_days: 43.281, a: 0.891, b: 1.614 };
    const ONLINE_RETAIL: MbgNbd = MbgNbd { r: 0.7289, alpha_days: 69.449, a: 0.2090, b: 5.6028 };

    fn near(value: f64, expected: f64, places: i32) {
        let tolerance = 0.5001 / (0..places).fold(1.0, |power, _| power * 10.0);
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    #[test]
    fn gives_the_published_values() {
        type Row = (MbgNbd, u32, f64, f64, [f64; 3], f64, [f64; 2]);
        let rows: [Row; 7] = [
            (CDNOW, 0, 0.0, 0.0, [0.644311, 0.155624, 0.287328], 118.783, [0.530703, 1.422126]),
            (CDNOW, 0, 0.0, 60.0, [0.534324, 0.066953, 0.149807], 283.452, [0.212346, 0.658144]),
            (CDNOW, 3, 263.0, 60.0, [0.733781, 0.177812, 0.395546], 79.594, [0.592025, 2.022175]),
            (CDNOW, 10, 300.0, 200.0, [0.094134, 0.040670, 0.075381], 36.983, [0.154638, 0.539649]),
            (ONLINE_RETAIL, 0, 0.0, 0.0, [0.964039, 0.221988, 0.438029], 110.297, [0.883780, 3.366233]),
            (ONLINE_RETAIL, 3, 263.0, 0.0, [0.976282, 0.268890, 0.576718], 67.914, [0.972817, 3.814984]),
            (ONLINE_RETAIL, 52, 364.0, 10.0, [0.988066, 0.956752, 0.988008], 5.868, [10.382902, 40.245887]),
        ];
        for (model, repeat_days, span_days, silence, probabilities, median, orders) in rows {
            let pattern = Pattern { repeat_days, span_days };
            near(model.alive(pattern, silence), probabilities[0], 6);
            near(model.order_probability(pattern, silence, 30.0), probabilities[1], 6);
            near(model.order_probability(pattern, silence, 90.0), probabilities[2], 6);
            near(model.median_days(pattern, silence), median, 3);
            near(model.expected_orders(pattern, silence, 90.0).expect("converges"), orders[0], 6);
            near(model.expected_orders(pattern, silence, 365.0).expect("converges"), orders[1], 6);
        }
    }

    #[test]
    fn gives_the_value_computed_with_forty_digits() {
        let model = MbgNbd { r: 0.525, alpha_days: 6.183 * 7.0, a: 0.891, b: 1.614 };
        let pattern = Pattern { repeat_days: 2, span_days: 213.01 };
        near(model.expected_orders(pattern, 59.01, 273.0).expect("converges"), 1.262_960_623_28, 9);
        near(model.order_probability(pattern, 59.01, 273.0), 0.559_994_090_822, 9);
    }

    #[test]
    fn an_order_becomes_less_probable_with_each_hour() {
        for (repeat_days, span_days) in [(0, 0.0), (1, 1.0), (2, 900.0), (52, 364.0)] {
            let pattern = Pattern { repeat_days, span_days };
            let mut before = f64::INFINITY;
            for hour in 0..8_760 {
                let probability = CDNOW.order_probability(pattern, f64::from(hour) / 24.0, 90.0);
                assert!(probability < before, "{pattern:?} after {hour} h");
                before = probability;
            }
        }
    }

    #[test]
    fn a_great_exponent_does_not_overflow() {
        let pattern = Pattern { repeat_days: 1_000, span_days: 10.0 };
        assert!(CDNOW.alive(pattern, 90.0) < 1e-300);
        assert!(CDNOW.order_probability(pattern, 1e9, 90.0) < 1e-300);
    }
}
