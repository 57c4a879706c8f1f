//! Finds the parameters under which what customers did is most probable.

use super::gamma_gamma::{GammaGamma, ObservedMean};
use super::likelihood::Likelihood;
use super::math::{exp, ln};
use super::mbg_nbd::MbgNbd;
use super::nelder_mead::{Minimum, minimum};

pub use super::likelihood::{Row, grouped};

/// Parameters are searched as logarithms, in this order: r, α, a, b.
const BOX: [(f64, f64); 4] = [(1e-4, 1e4), (1e-2, 1e5), (1e-4, 1e4), (1e-4, 1e4)];
/// The second start; the first one is [`MbgNbd::PRIOR`].
const SECOND_START: MbgNbd = MbgNbd { r: 1.0, alpha_days: 90.0, a: 0.37, b: 1.6 };
const FIRST_STEP: f64 = 0.5;
/// Of the central differences.
const HESSIAN_STEP: f64 = 1e-3;
/// So near to its bound, as a share of it, a parameter has run away.
const BOUND_MARGIN: f64 = 0.01;

/// Whether the search is pulled towards [`MbgNbd::PRIOR`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prior {
    /// Each parameter's logarithm deviates from the prior's by about 1.
    Weak,
    /// The plain likelihood, as papers and libraries have it.
    None,
}

/// What [`fit`] found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fit {
    pub model: MbgNbd,
    /// The plain one, without the prior.
    pub log_likelihood: f64,
    /// ½ · Σ (ln θ − ln θ₀)²; 0 without a prior.
    pub penalty: f64,
    /// The standard errors of the logarithms of r, α, a, b, of what was maximised: with the prior, if there is one. None if that has
    /// no maximum here.
    pub log_errors: Option<[f64; 4]>,
    /// The parameter that lies on its bound, by name.
    pub at_bound: Option<&'static str>,
}

/// Fits to rows that are [`grouped`]. The same rows give the same bits.
pub fn fit(rows: &[Row], prior: Prior) -> Fit {
    let mut likelihood = Likelihood::new(rows);
    let bounds = BOX.map(|(low, high)| (ln(low), ln(high)));
    let mut target = |at: &[f64; 4]| -likelihood.of(&from_logs(at)) + penalty(at, prior);
    let mut best: Option<Minimum<4>> = None;
    for start in [MbgNbd::PRIOR, SECOND_START] {
        let first = minimum(logs(&start), FIRST_STEP, &bounds, &mut target);
        // A simplex can shrink before it is at the minimum; a fresh one begins there.
        let found = minimum(first.at, FIRST_STEP, &bounds, &mut target);
        best = best.filter(|best| best.value <= found.value).or(Some(found));
    }
    let at = best.expect("two starts").at;
    let model = from_logs(&at);
    let at_bound = (0..4).find(|&index| {
        let (value, (low, high)) = (exp(at[index]), BOX[index]);
        value < low * (1.0 + BOUND_MARGIN) || value > high * (1.0 - BOUND_MARGIN)
    });
    Fit {
        model,
        log_likelihood: likelihood.of(&model),
        penalty: penalty(&at, prior),
        log_errors: log_errors(&at, |at| -likelihood.of(&from_logs(at)) + penalty(at, prior)),
        at_bound: at_bound.map(|index| ["r", "alpha_days", "a", "b"][index]),
    }
}

fn logs(model: &MbgNbd) -> [f64; 4] {
    [ln(model.r), ln(model.alpha_days), ln(model.a), ln(model.b)]
}

fn from_logs(at: &[f64; 4]) -> MbgNbd {
    MbgNbd { r: exp(at[0]), alpha_days: exp(at[1]), a: exp(at[2]), b: exp(at[3]) }
}

fn penalty(at: &[f64; 4], prior: Prior) -> f64 {
    match prior {
        Prior::None => 0.0,
        Prior::Weak => {
            let pairs = at.iter().zip(logs(&MbgNbd::PRIOR));
            pairs.map(|(ln, prior)| (ln - prior) * (ln - prior)).sum::<f64>() / 2.0
        }
    }
}

/// The square roots of the diagonal of the inverse Hessian; none if it is not positive definite.
fn log_errors(at: &[f64; 4], mut function: impl FnMut(&[f64; 4]) -> f64) -> Option<[f64; 4]> {
    let h = HESSIAN_STEP;
    let mut shifted = |one: usize, by_one: f64, other: usize, by_other: f64| {
        let mut point = *at;
        point[one] += by_one;
        point[other] += by_other;
        function(&point)
    };
    let mut second_difference = |row: usize, column: usize| {
        let difference = if row == column {
            shifted(row, h, row, 0.0) - 2.0 * shifted(row, 0.0, row, 0.0) + shifted(row, -h, row, 0.0)
        } else {
            let equal = shifted(row, h, column, h) + shifted(row, -h, column, -h);
            (equal - shifted(row, h, column, -h) - shifted(row, -h, column, h)) / 4.0
        };
        difference / (h * h)
    };
    let hessian: [[f64; 4]; 4] =
        core::array::from_fn(|row| core::array::from_fn(|column| second_difference(row, column)));
    let lower = cholesky(&hessian)?;
    Some(core::array::from_fn(|index| variance(&lower, index).sqrt()))
}

/// The lower triangle L with L · Lᵀ = `matrix`, of which the lower triangle is read; none unless it is positive definite.
fn cholesky<const N: usize>(matrix: &[[f64; N]; N]) -> Option<[[f64; N]; N]> {
    let mut lower = [[0.0; N]; N];
    for row in 0..N {
        for column in 0..=row {
            let done = (0..column).map(|index| lower[row][index] * lower[column][index]).sum::<f64>();
            let rest = matrix[row][column] - done;
            if row != column {
                lower[row][column] = rest / lower[column][column];
            } else if rest > 0.0 {
                lower[row][row] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(lower)
}

/// An entry on the diagonal of the inverse of L · Lᵀ: the squared length of the solution of L · y = e.
fn variance<const N: usize>(lower: &[[f64; N]; N], index: usize) -> f64 {
    let mut solution = [0.0; N];
    for row in index..N {
        let unit = if row == index { 1.0 } else { 0.0 };
        let done = (index..row).map(|column| lower[row][column] * solution[column]).sum::<f64>();
        solution[row] = (unit - done) / lower[row][row];
    }
    solution.iter().map(|entry| entry * entry).sum()
}

/// The purchase days of a customer and their mean value, in minor units; both are positive.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct ValueRow {
    pub count: f64,
    pub mean: f64,
}

/// Fits the values of customers with at least two purchase days. None if there are fewer than `customers_min` of them, or if the values vary
/// so much that no mean exists (q ≤ 1.05).
pub fn fit_values(rows: &[ValueRow], customers_min: usize) -> Option<GammaGamma> {
    /// q at most so great means that the expected value does not exist or is not known.
    const Q_MIN: f64 = 1.05;
    if rows.len() < customers_min.max(1) {
        return None;
    }
    let mut rows = rows.to_vec();
    rows.sort_by(|one, other| one.count.total_cmp(&other.count).then(one.mean.total_cmp(&other.mean)));
    let mean = rows.iter().map(|row| row.mean).sum::<f64>() / rows.len() as f64;
    let of_logs = |at: &[f64; 3]| GammaGamma { p: exp(at[0]), q: exp(at[1]), v: exp(at[2]) };
    let observed: Vec<_> = rows.iter().map(|row| ObservedMean::new(row.count, row.mean)).collect();
    let mut target = |at: &[f64; 3]| -of_logs(at).log_likelihood(&observed);
    let bounds = [(1e-4, 1e4), (1e-4, 1e4), (mean * 1e-6, mean * 1e6)].map(|(low, high)| (ln(low), ln(high)));
    let start = [ln(4.0), ln(4.0), ln(mean)];
    let first = minimum(start, FIRST_STEP, &bounds, &mut target);
    let model = of_logs(&minimum(first.at, FIRST_STEP, &bounds, &mut target).at);
    (model.q > Q_MIN).then_some(model)
}
