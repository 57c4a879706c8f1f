//! Exact numbers: decimals from the configuration, ratios, and division with a named rounding.

use std::cmp::Ordering;

use super::decimal::{Sign, WrittenDecimal};

/// A non-negative decimal of the configuration: `units / 10^scale`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal {
    units: u64,
    scale: u8,
}

impl Decimal {
    /// The largest number of digits after the point.
    pub const SCALE_MAX: u8 = 9;

    /// `units / 10^scale`, with trailing zeros removed; `None` with more than [`Self::SCALE_MAX`] digits after the point.
    pub const fn new(mut units: u64, mut scale: u8) -> Option<Self> {
        while scale > 0 && units.is_multiple_of(10) {
            units /= 10;
            scale -= 1;
        }
        if scale > Self::SCALE_MAX {
            return None;
        }
        Some(Self { units, scale })
    }

    /// A whole number.
    pub const fn whole(units: u64) -> Self {
        Self { units, scale: 0 }
    }

    /// Reads `123`, `1.5` or `0.05`: digits, at most one point with digits on both sides, no sign, no exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let written = WrittenDecimal::parse(text.as_bytes())?;
        let is_plain = written.sign == Sign::None && !written.has_exponent;
        if !is_plain || written.whole_digits == 0 || written.fraction_digits == Some(0) {
            return None;
        }
        let scale = u8::try_from(written.fraction_digits_needed()).ok()?;
        Self::new(written.magnitude(scale, i64::MAX).ok()?.unsigned_abs(), scale)
    }

    /// The number, if it has no digits after the point.
    pub const fn as_whole(self) -> Option<u64> {
        if self.scale == 0 { Some(self.units) } else { None }
    }

    /// The numerator over [`Self::denominator`].
    pub const fn numerator(self) -> i128 {
        self.units as i128
    }

    /// A power of ten.
    pub const fn denominator(self) -> i128 {
        POWERS_OF_TEN[self.scale as usize] as i128
    }
}

/// Up to [`Decimal::SCALE_MAX`]: every record compares with some decimals.
const POWERS_OF_TEN: [u64; 10] = {
    let mut powers = [1; 10];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = 10 * powers[exponent - 1];
        exponent += 1;
    }
    powers
};

const _: () = assert!(POWERS_OF_TEN.len() == Decimal::SCALE_MAX as usize + 1);

impl std::fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let denominator = self.denominator();
        let (whole, fraction) = (self.numerator() / denominator, self.numerator() % denominator);
        if self.scale == 0 {
            return write!(formatter, "{whole}");
        }
        write!(formatter, "{whole}.{fraction:0width$}", width = self.scale as usize)
    }
}

/// An exact ratio; the denominator is positive.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    pub numerator: i128,
    pub denominator: i128,
}

impl Ratio {
    /// `None` unless the denominator is positive: a ratio without one is null everywhere.
    pub fn new(numerator: impl Into<i128>, denominator: impl Into<i128>) -> Option<Self> {
        let denominator = denominator.into();
        (denominator > 0).then(|| Self { numerator: numerator.into(), denominator })
    }

    /// Whether this ratio is at least the decimal, exactly.
    pub fn at_least(self, threshold: Decimal) -> bool {
        self.numerator * threshold.denominator() >= threshold.numerator() * self.denominator
    }

    /// Whether this ratio is at most the decimal, exactly.
    pub fn at_most(self, threshold: Decimal) -> bool {
        self.numerator * threshold.denominator() <= threshold.numerator() * self.denominator
    }

    /// This ratio times `scale`, rounded half even.
    pub fn scaled_half_even(self, scale: i128) -> i128 {
        div_half_even(self.numerator * scale, self.denominator)
    }
}

impl Ratio {
    /// Which of two ratios is the greater, exactly and for all numerators and denominators.
    pub fn compare(self, other: Self) -> Ordering {
        let products =
            self.numerator.checked_mul(other.denominator).zip(other.numerator.checked_mul(self.denominator));
        match products {
            Some((mine, theirs)) => mine.cmp(&theirs),
            None => self.compare_by_parts(other),
        }
    }

    /// By whole parts, then by the reciprocals of what remains: no product is needed.
    fn compare_by_parts(self, other: Self) -> Ordering {
        let whole = |ratio: Self| ratio.numerator.div_euclid(ratio.denominator);
        let rest = |ratio: Self| ratio.numerator.rem_euclid(ratio.denominator);
        whole(self).cmp(&whole(other)).then_with(|| match (rest(self), rest(other)) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            (mine, theirs) => {
                let reciprocal = |rest, denominator| Self { numerator: denominator, denominator: rest };
                reciprocal(theirs, other.denominator).compare_by_parts(reciprocal(mine, self.denominator))
            }
        })
    }
}

impl PartialEq for Ratio {
    fn eq(&self, other: &Self) -> bool {
        self.numerator * other.denominator == other.numerator * self.denominator
    }
}

/// `numerator / denominator`, rounded to the nearest integer, ties to the even one. The denominator must be positive.
pub fn div_half_even(numerator: i128, denominator: i128) -> i128 {
    debug_assert!(denominator > 0);
    if let (Ok(numerator), Ok(denominator)) = (i64::try_from(numerator), i64::try_from(denominator)) {
        // A 64-bit division is several times cheaper than a 128-bit one, and nearly every number here fits.
        return i128::from(div_half_even_narrow(numerator, denominator));
    }
    let (quotient, remainder) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let twice = remainder * 2;
    let up = twice > denominator || (twice == denominator && quotient % 2 != 0);
    quotient + i128::from(up)
}

/// [`div_half_even`] of numbers that are not negative. It rounds alike on both sides of zero, so that a sign can be put back.
pub const fn half_even_of_magnitudes(numerator: u64, denominator: u64) -> u64 {
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    let distance_up = denominator - remainder;
    let up = remainder > distance_up || (remainder == distance_up && !quotient.is_multiple_of(2));
    quotient + up as u64
}

fn div_half_even_narrow(numerator: i64, denominator: i64) -> i64 {
    let (quotient, remainder) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let distance_up = denominator - remainder;
    let up = remainder > distance_up || (remainder == distance_up && quotient % 2 != 0);
    quotient + i64::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_rounds_half_to_even() {
        let cases =
            [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (1, 3, 0), (2, 3, 1), (-2, 3, -1), (6, 3, 2)];
        for (numerator, denominator, expected) in cases {
            assert_eq!(div_half_even(numerator, denominator), expected, "{numerator}/{denominator}");
            let large = 1i128 << 70;
            assert_eq!(
                div_half_even(numerator * large, denominator * large),
                expected,
                "{numerator}/{denominator} wide"
            );
        }
    }

    #[test]
    fn magnitudes_round_as_the_numbers_do() {
        let extremes = [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1, 1 << 32];
        for numerator in (0..50).chain(extremes) {
            for denominator in (1..12).chain(extremes) {
                let rounded = i128::from(half_even_of_magnitudes(numerator, denominator));
                let (numerator, denominator) = (i128::from(numerator), i128::from(denominator));
                assert_eq!(rounded, div_half_even(numerator, denominator), "{numerator}/{denominator}");
                assert_eq!(-rounded, div_half_even(-numerator, denominator), "-{numerator}/{denominator}");
            }
        }
    }

    #[test]
    fn ratios_compare_without_overflow() {
        let numbers = [-7, -2, 0, 1, 2, 3, 7, 12];
        for numerator in numbers {
            for other in numbers {
                for (denominator, other_denominator) in [(1, 1), (2, 3), (12, 7), (7, 7)] {
                    let expected = (numerator * other_denominator).cmp(&(other * denominator));
                    let ratio = |numerator: i128, denominator: i128, scale: i128| Ratio {
                        numerator: numerator * scale,
                        denominator: denominator * scale,
                    };
                    for scale in [1, 1 << 100] {
                        let (one, two) =
                            (ratio(numerator, denominator, scale), ratio(other, other_denominator, scale));
                        assert_eq!(one.compare(two), expected, "{one:?} {two:?}");
                        assert_eq!(two.compare(one), expected.reverse(), "{one:?} {two:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        let read = |text: &str| Decimal::parse(text).map(|decimal| decimal.to_string());
        for (text, expected) in [
            ("1.50", "1.5"),
            ("45", "45"),
            ("0.05", "0.05"),
            ("0.000000001", "0.000000001"),
            ("100.0", "100"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "1e3", "1,5", "0.0000000001", "+1", "99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn ratios_are_equal_if_their_values_are() {
        let ratio = |numerator: i128, denominator: i128| Ratio::new(numerator, denominator).expect("above 0");
        assert_eq!(ratio(1, 2), ratio(3, 6));
        assert_ne!(ratio(1, 2), ratio(1, 3));
        assert_ne!(ratio(1, 4), ratio(2, 4));
        assert_ne!(ratio(6, 4), ratio(4, 6));
    }
}
