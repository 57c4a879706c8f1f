//! What the values of a customer's orders add to the probability of another one.
//!
//! logit p' = logit p + w_m · (ln(mean kept order value) − c_m) + w_l · (ln(last kept order value) − c_l) + d. The slope of
//! logit p stays 1, which keeps the calibration of the model. The correction ranks customers; deadlines never use it.

use super::math::{ln, logistic, logit};

/// Of |w|², per customer.
const RIDGE: f64 = 1e-3;
const NEWTON_STEPS: usize = 100;
const CONVERGED: f64 = 1e-10;

/// Weights and centres; values are in minor units before their logarithm is taken.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Correction {
    /// w_m
    pub mean: f64,
    /// w_l
    pub last: f64,
    /// c_m
    pub mean_centre: f64,
    /// c_l
    pub last_centre: f64,
    /// d
    pub shift: f64,
}

/// The logarithms of a customer's mean and last kept order value, in minor units.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LogValues {
    pub mean: f64,
    pub last: f64,
}

impl LogValues {
    /// Both are positive.
    pub fn of(mean: f64, last: f64) -> Self {
        Self { mean: ln(mean), last: ln(last) }
    }
}

impl Correction {
    pub fn apply(&self, probability: f64, values: LogValues) -> f64 {
        logistic(logit(clipped(probability)) + self.adjustment(values) + self.shift)
    }

    fn adjustment(&self, values: LogValues) -> f64 {
        self.mean * (values.mean - self.mean_centre) + self.last * (values.last - self.last_centre)
    }
}

/// A customer at a cut, and whether an order followed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    pub probability: f64,
    pub values: LogValues,
    pub ordered: bool,
}

/// So that logarithms of probabilities exist.
pub fn clipped(probability: f64) -> f64 {
    probability.clamp(1e-6, 1.0 - 1e-6)
}

/// Fits weights over cuts, oldest first, each with a free intercept, so that seasons do not leak into the weights. None without an outcome.
///
/// Centres are the means at the newest cut, and the shift keeps the sum of its probabilities.
pub fn fit(cuts: &[Vec<Outcome>]) -> Option<Correction> {
    let newest = cuts.last().filter(|cut| !cut.is_empty())?;
    let count = newest.len() as f64;
    let centre =
        |value: fn(&LogValues) -> f64| newest.iter().map(|row| value(&row.values)).sum::<f64>() / count;
    let (mean_centre, last_centre) = (centre(|values| values.mean), centre(|values| values.last));
    let mut correction = Correction { mean: 0.0, last: 0.0, mean_centre, last_centre, shift: 0.0 };
    let customers = cuts.iter().map(Vec::len).sum::<usize>() as f64;
    let mut intercepts = vec![0.0; cuts.len()];
    for _ in 0..NEWTON_STEPS {
        let step = newton_step(&mut correction, &mut intercepts, cuts, customers);
        if step < CONVERGED {
            break;
        }
    }
    correction.shift = shift(&correction, newest);
    Some(correction)
}

/// One step of Newton's method for the mean log-loss and its ridge. The intercepts are eliminated: each has its own row only.
fn newton_step(
    correction: &mut Correction,
    intercepts: &mut [f64],
    cuts: &[Vec<Outcome>],
    customers: f64,
) -> f64 {
    let weights = [correction.mean, correction.last];
    let mut gradient = weights.map(|weight| 2.0 * RIDGE * customers * weight);
    let mut hessian = [[2.0 * RIDGE * customers, 0.0], [0.0, 2.0 * RIDGE * customers]];
    let mut of_cuts = Vec::with_capacity(cuts.len());
    for (cut, intercept) in cuts.iter().zip(&*intercepts) {
        let (mut own_gradient, mut own_hessian, mut mixed) = (0.0, 0.0, [0.0; 2]);
        for row in cut {
            let base = logit(clipped(row.probability)) + correction.adjustment(row.values) + intercept;
            let predicted = logistic(base);
            let error = predicted - if row.ordered { 1.0 } else { 0.0 };
            let spread = predicted * (1.0 - predicted);
            let features =
                [row.values.mean - correction.mean_centre, row.values.last - correction.last_centre];
            own_gradient += error;
            own_hessian += spread;
            for one in 0..2 {
                gradient[one] += error * features[one];
                mixed[one] += spread * features[one];
                for other in 0..2 {
                    hessian[one][other] += spread * features[one] * features[other];
                }
            }
        }
        of_cuts.push((own_gradient, own_hessian, mixed));
    }
    for (own_gradient, own_hessian, mixed) in &of_cuts {
        if *own_hessian <= 0.0 {
            continue;
        }
        for one in 0..2 {
            gradient[one] -= mixed[one] * own_gradient / own_hessian;
            for other in 0..2 {
                hessian[one][other] -= mixed[one] * mixed[other] / own_hessian;
            }
        }
    }
    let determinant = hessian[0][0] * hessian[1][1] - hessian[0][1] * hessian[1][0];
    let step = [
        (hessian[1][1] * gradient[0] - hessian[0][1] * gradient[1]) / determinant,
        (hessian[0][0] * gradient[1] - hessian[1][0] * gradient[0]) / determinant,
    ];
    correction.mean -= step[0];
    correction.last -= step[1];
    let mut largest = step[0].abs().max(step[1].abs());
    for (intercept, (own_gradient, own_hessian, mixed)) in intercepts.iter_mut().zip(of_cuts) {
        if own_hessian > 0.0 {
            let own = (own_gradient - mixed[0] * step[0] - mixed[1] * step[1]) / own_hessian;
            *intercept -= own;
            largest = largest.max(own.abs());
        }
    }
    largest
}

/// The d with Σ p' = Σ p, by bisection: Σ p' rises with d.
fn shift(correction: &Correction, newest: &[Outcome]) -> f64 {
    let target = newest.iter().map(|row| row.probability).sum::<f64>();
    let sum = |shift| {
        let shifted = Correction { shift, ..*correction };
        newest.iter().map(|row| shifted.apply(row.probability, row.values)).sum::<f64>()
    };
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if sum(middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// By how much a correction lowers the mean log-loss of a cut that it was not fitted on, with the standard error of that difference.
pub fn gain(correction: &Correction, cut: &[Outcome]) -> (f64, f64) {
    let count = cut.len() as f64;
    let differences: Vec<f64> = cut
        .iter()
        .map(|row| {
            let corrected = correction.apply(row.probability, row.values);
            log_loss(row.probability, row.ordered) - log_loss(corrected, row.ordered)
        })
        .collect();
    let mean = differences.iter().sum::<f64>() / count;
    let squares = differences.iter().map(|difference| (difference - mean) * (difference - mean)).sum::<f64>();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

/// −ln of the probability of what happened.
pub fn log_loss(probability: f64, ordered: bool) -> f64 {
    let probability = clipped(probability);
    -ln(if ordered { probability } else { 1.0 - probability })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_of_the_example() {
        let correction = Correction {
            mean: 0.2,
            last: 0.09,
            mean_centre: ln(25_000.0),
            last_centre: ln(24_000.0),
            shift: 0.0,
        };
        let corrected = correction.apply(0.438_029, LogValues::of(48_076.0, 30_000.0));
        assert!((corrected - 0.475_445).abs() < 5e-7, "{corrected}");
    }
}
