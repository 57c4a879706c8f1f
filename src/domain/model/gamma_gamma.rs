//! Gamma-Gamma: the expected value of a customer's orders.
//!
//! Source: Fader, Hardie, Lee (2005), "RFM and CLV: using iso-value curves for customer base analysis". Values are in minor units
//! of the shop's currency.

use super::math::{ln, ln_gamma};

/// The parameters of a shop; all are positive, and q is above 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GammaGamma {
    pub p: f64,
    pub q: f64,
    /// In minor units.
    pub v: f64,
}

impl GammaGamma {
    /// The expected value of an order, given `count` observed values with the mean `mean`. Without any it is that of all customers.
    pub fn expected_value(&self, count: f64, mean: f64) -> f64 {
        self.p * (self.v + count * mean) / (self.p * count + self.q - 1.0)
    }

    /// The logarithms of the likelihood of the means of customers, added up. Customers with equal counts should follow each other: most of
    /// the time goes into lnΓ, which is taken once for them.
    pub fn log_likelihood(&self, customers: &[ObservedMean]) -> f64 {
        let Self { p, q, v } = *self;
        let (mut counted, mut of_count) = (f64::NAN, 0.0);
        let mut total = 0.0;
        for ObservedMean { count, mean, ln_count, ln_mean } in customers {
            let px = p * count;
            if *count != counted {
                counted = *count;
                of_count = ln_gamma(px + q) - ln_gamma(px) - ln_gamma(q) + q * ln(v);
            }
            total += of_count + (px - 1.0) * ln_mean + px * ln_count - (px + q) * ln(count * mean + v);
        }
        total
    }
}

/// A customer's mean of `count` values, with the logarithms of both; all are positive.
#[derive(Clone, Copy, Debug)]
pub struct ObservedMean {
    count: f64,
    mean: f64,
    ln_count: f64,
    ln_mean: f64,
}

impl ObservedMean {
    pub fn new(count: f64, mean: f64) -> Self {
        Self { count, mean, ln_count: ln(count), ln_mean: ln(mean) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_values_computed_with_forty_digits() {
        let model = GammaGamma { p: 6.25, q: 3.74, v: 15.44 };
        for (count, mean, expected) in [
            (2.0, 22.35, 24.663_713_910_8),
            (1.0, 11.77, 18.916_852_057_8),
            (7.0, 73.74, 71.469_670_897),
            (0.0, 0.0, 35.218_978_102_2),
            (5.0, 50.0, 48.808_473_080_3),
        ] {
            let value = model.expected_value(count, mean);
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
    }
}
