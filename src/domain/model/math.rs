//! Transcendental functions in software, with the same bits on each machine.
//!
//! The standard library calls the platform's libm, whose last bits differ between systems. The version of the crate is pinned: another one is
//! another rule set, and [`RULES`] goes up with it.

/// The number of these rules in a model's record.
pub const RULES: u32 = 1;

pub fn exp(number: f64) -> f64 {
    libm::exp(number)
}

/// e^number − 1, exact near 0.
pub fn exp_m1(number: f64) -> f64 {
    libm::expm1(number)
}

/// The natural logarithm.
pub fn ln(number: f64) -> f64 {
    libm::log(number)
}

/// ln(1 + number), exact near 0.
pub fn ln_1p(number: f64) -> f64 {
    libm::log1p(number)
}

pub fn ln_gamma(number: f64) -> f64 {
    libm::lgamma(number)
}

/// ln(e^first + e^second), without overflow.
pub fn ln_add_exp(first: f64, second: f64) -> f64 {
    let (greater, less) = if first >= second { (first, second) } else { (second, first) };
    greater + ln_1p(exp(less - greater))
}

/// 1 / (1 + e^−logit).
pub fn logistic(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + exp(-logit))
    } else {
        let odds = exp(logit);
        odds / (1.0 + odds)
    }
}

/// ln(p / (1 − p)).
pub fn logit(probability: f64) -> f64 {
    ln(probability) - ln_1p(-probability)
}
