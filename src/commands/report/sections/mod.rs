//! The sections of the page, each from the figures of one currency.

pub(super) mod cohorts;
pub(super) mod customers;
pub(super) mod metrics;
pub(super) mod projection;
pub(super) mod returns;
pub(super) mod revenue;
pub(super) mod rhythm;
pub(super) mod segments;
pub(super) mod standing;

use crate::commands::numbers;
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::number::Ratio;

/// With the currency behind it.
fn money(amount: impl Into<i128>, currency: Currency) -> String {
    format!("{} {currency}", numbers::money(amount.into(), currency))
}

/// A mean of amounts, half even to the minor unit.
fn mean_money(mean: Option<Ratio>, currency: Currency) -> String {
    mean.map_or_else(numbers::none, |mean| money(mean.scaled_half_even(1), currency))
}

/// A mean of amounts without its currency, for tables that name it.
fn mean_amount(mean: Option<Ratio>, currency: Currency) -> String {
    mean.map_or_else(numbers::none, |mean| numbers::money(mean.scaled_half_even(1), currency))
}

fn count(number: u64) -> String {
    numbers::grouped(number.into())
}

/// `count` of `total` in percent.
fn share(count: u64, total: u64) -> String {
    numbers::percent(Ratio::new(count, total))
}

/// In whole percent, for sentences.
fn about(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(numbers::none, |ratio| format!("{} %", ratio.scaled_half_even(100)))
}

fn millionths(ratio: Option<Ratio>) -> Option<i64> {
    ratio.and_then(|ratio| i64::try_from(ratio.scaled_half_even(1_000_000)).ok())
}

/// Tenths of a percent of a value in millionths.
fn write_percent(millionths: i64) -> String {
    format!("{} %", (millionths + 5_000) / 10_000)
}

/// Whole units of the currency, for axes.
fn write_units(minor: i64, currency: Currency) -> String {
    let unit = 10i64.pow(u32::from(currency.digits()));
    numbers::grouped(i128::from(minor / unit))
}

fn positive(amount: ShopAmount) -> Option<i64> {
    Some(amount.minor().max(0))
}
