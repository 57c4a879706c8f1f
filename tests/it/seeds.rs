//! Seeds and rounds of random trials, which the environment may give so that a failure can be run again.

use std::env;

use libtest_mimic::Failed;

/// A whole number of the environment, decimal or `0x…`; `default` without one.
pub fn number(variable: &str, default: u64) -> Result<u64, Failed> {
    let Ok(text) = env::var(variable) else { return Ok(default) };
    let digits = text.strip_prefix("0x");
    let number = digits.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    number.map_err(|error| format!("{variable}={text}: {error}").into())
}
