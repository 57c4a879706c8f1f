//! Quantities and prices as spreadsheets write them, exactly.

use crate::domain::values::decimal::{Sign, Unfit, WrittenDecimal};
use crate::domain::values::number::div_half_even;

/// Digits after the point that are kept; more are refused, not cut.
const DIGITS: u32 = 6;

const ONE: i64 = 10i64.pow(DIGITS);

/// Whole units have at most 12 digits: with those after the point they fit 63 bits.
const LIMIT: i64 = 10i64.pow(12 + DIGITS);

/// What a cell counts, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Millionths(i64);

/// Why a cell is no number that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Not digits with at most one point and a sign.
    Form,
    /// More than [`DIGITS`] after the point.
    Digits,
    TooLarge,
}

impl Millionths {
    pub(super) const ONE: Self = Self(ONE);

    /// Reads `6`, `-12`, `2.550`, `.5`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let decimal = WrittenDecimal::parse(text.as_bytes()).filter(|decimal| !decimal.has_exponent);
        let decimal = decimal.ok_or(Fault::Form)?;
        let magnitude = match decimal.magnitude(DIGITS as u8, LIMIT) {
            Ok(magnitude) => magnitude,
            Err(Unfit::Digits) => without_float_noise(text).ok_or(Fault::Digits)?,
            Err(Unfit::TooLarge) => return Err(Fault::TooLarge),
        };
        Ok(Self(if decimal.sign == Sign::Minus { -magnitude } else { magnitude }))
    }
}

/// The number that a program meant when it wrote the nearest float with all its digits: `2.5500000000000003` for 2.55. Such a text has 15
/// digits or more, and behind those that are kept zeros or nines up to its last two.
#[cold]
fn without_float_noise(text: &str) -> Option<i64> {
    const DIGITS_MIN: usize = 15;
    const RUN_MIN: usize = 3;
    const NOISE_MAX: usize = 2;
    let text = text.trim_start_matches(['+', '-']);
    let (whole, fraction) = text.split_once('.')?;
    let digits = [whole, fraction].concat();
    let (kept, tail) = fraction.split_at_checked(DIGITS as usize)?;
    let run_of = *tail.as_bytes().first().filter(|digit| matches!(digit, b'0' | b'9'))?;
    let run = tail.bytes().take_while(|digit| *digit == run_of).count();
    let is_noise =
        digits.trim_start_matches('0').len() >= DIGITS_MIN && run >= RUN_MIN && tail.len() - run <= NOISE_MAX;
    let magnitude =
        WrittenDecimal::parse(format!("{whole}.{kept}").as_bytes())?.magnitude(DIGITS as u8, LIMIT).ok()?;
    is_noise.then(|| magnitude + i64::from(run_of == b'9'))
}

/// A sum of products, exactly.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Total(i128);

impl Total {
    /// Adds a line. `None` if the sum is beyond anything that could be money.
    pub(super) fn plus(self, quantity: Millionths, price: Millionths) -> Option<Self> {
        let product = i128::from(quantity.0) * i128::from(price.0);
        self.0.checked_add(product).map(Self)
    }

    pub(super) const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The amount of one piece.
    pub(super) fn of(amount: Millionths) -> Self {
        Self(i128::from(amount.0) * i128::from(ONE))
    }

    /// Takes an amount off. `None` as for [`Self::plus`].
    pub(super) fn minus(self, amount: Millionths) -> Option<Self> {
        self.plus(Millionths(-ONE), amount)
    }

    /// The amount without its sign.
    pub(super) const fn magnitude(self) -> Self {
        Self(self.0.abs())
    }

    /// The amount, if it was written in minor units itself: 4250 for 42.50.
    pub(super) fn to_minor_as_written(self) -> Option<i64> {
        self.to_minor(0)
    }

    /// In minor units of a currency with so many digits, rounded half even once. `None` if there are too many.
    pub(super) fn to_minor(self, currency_digits: u8) -> Option<i64> {
        let unit = 10i128.pow(2 * DIGITS - u32::from(currency_digits));
        i64::try_from(div_half_even(self.0, unit)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_exactly_or_not_at_all() {
        for (text, millionths) in [
            ("6", Ok(6_000_000)),
            ("-12", Ok(-12_000_000)),
            ("+1", Ok(1_000_000)),
            ("2.550", Ok(2_550_000)),
            (".5", Ok(500_000)),
            ("5.", Ok(5_000_000)),
            ("-0.000001", Ok(-1)),
            ("0.0000010", Ok(1)),
            ("0.0000001", Err(Fault::Digits)),
            ("2.5500000000000003", Ok(2_550_000)),
            ("-0.30000000000000004", Ok(-300_000)),
            ("12.299999999999997", Ok(12_300_000)),
            ("1234567.8500000001", Ok(1_234_567_850_000)),
            ("2.5500000000003", Err(Fault::Digits)),
            ("2.5500000000001234", Err(Fault::Digits)),
            ("0.1234567890123456", Err(Fault::Digits)),
            ("999999999999.999999", Ok(999_999_999_999_999_999)),
            ("0001000000000000", Err(Fault::TooLarge)),
            ("", Err(Fault::Form)),
            (".", Err(Fault::Form)),
            ("-", Err(Fault::Form)),
            ("1e3", Err(Fault::Form)),
            ("1,5", Err(Fault::Form)),
            ("--1", Err(Fault::Form)),
            ("1.2.3", Err(Fault::Form)),
            ("٣", Err(Fault::Form)),
        ] {
            assert_eq!(Millionths::parse(text), millionths.map(Millionths), "{text}");
        }
    }

    #[test]
    fn a_total_is_rounded_half_even_once() {
        let total = |lines: &[(&str, &str)]| {
            let read = |text| Millionths::parse(text).expect("a number");
            lines.iter().fold(Total::default(), |sum, (quantity, price)| {
                sum.plus(read(quantity), read(price)).expect("in range")
            })
        };
        for (lines, digits, minor) in [
            (&[("6", "2.55"), ("1", "0.001")][..], 2, 1_530),
            (&[("1", "0.005")][..], 2, 0),
            (&[("3", "0.005")][..], 2, 2),
            (&[("1", "0.005"), ("1", "0.005")][..], 2, 1),
            (&[("-3", "0.005")][..], 2, -2),
            (&[("1.5", "3")][..], 0, 4),
            (&[("0.25", "0.5")][..], 3, 125),
        ] {
            assert_eq!(total(lines).to_minor(digits), Some(minor), "{lines:?}");
        }
        let huge = [("999999999999", "999999999999"); 3];
        assert_eq!(total(&huge).to_minor(2), None);
    }
}
