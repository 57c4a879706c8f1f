//! Quantities and prices as spreadsheets write them, exactly.

use crate::domain::values::number::div_half_even;

/// Digits after the point that are kept; more are refused, not cut.
pub(crate) const DIGITS: u32 = 6;

const ONE: i64 = 10i64.pow(DIGITS);

/// Whole units have at most this many digits: with those after the point they fit 63 bits.
const WHOLE_DIGITS_MAX: usize = 12;

/// What a cell counts, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Millionths(i64);

/// Why a cell is no number that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Not digits with at most one point and a sign.
    Form,
    /// More than [`DIGITS`] after the point.
    Digits,
    TooLarge,
}

impl Millionths {
    pub(crate) const ONE: Self = Self(ONE);

    /// Reads `6`, `-12`, `2.550`, `.5`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return Err(Fault::Form);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DIGITS as usize {
            return Err(Fault::Digits);
        }
        if whole.trim_start_matches('0').len() > WHOLE_DIGITS_MAX {
            return Err(Fault::TooLarge);
        }
        let digit = |byte: u8| i64::from(byte - b'0');
        let whole = whole.bytes().fold(0, |value, byte| value * 10 + digit(byte));
        let (fraction, _) = fraction
            .bytes()
            .fold((0, ONE), |(value, unit), byte| (value + digit(byte) * (unit / 10), unit / 10));
        let magnitude = whole * ONE + fraction;
        Ok(Self(if text.starts_with('-') { -magnitude } else { magnitude }))
    }
}

/// A sum of products, exactly.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Total(i128);

impl Total {
    /// Adds a line. `None` if the sum is beyond anything that could be money.
    pub(crate) fn plus(self, quantity: Millionths, price: Millionths) -> Option<Self> {
        let product = i128::from(quantity.0) * i128::from(price.0);
        self.0.checked_add(product).map(Self)
    }

    pub(crate) const fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(crate) const fn negated(self) -> Self {
        Self(-self.0)
    }

    /// In minor units of a currency with so many digits, rounded half even once. `None` if there are too many.
    pub(crate) fn to_minor(self, currency_digits: u8) -> Option<i64> {
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
