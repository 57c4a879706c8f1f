//! Decimals read from text, exactly: the one parser for amounts, JSON numbers, cells of spreadsheets and settings.

/// What a text says: `units · 10^exponent` with a sign, and how it is written, so that each caller can refuse forms that its source
/// does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrittenDecimal {
    pub sign: Sign,
    /// Digits before the point.
    pub whole_digits: usize,
    /// Digits after the point; none without a point.
    pub fraction_digits: Option<usize>,
    pub has_exponent: bool,
    /// The first digits from the first that is not zero to the last that is not, at most [`DIGITS_MAX`].
    units: i64,
    /// How many there are, those that `units` has no room for included.
    significant_digits: i64,
    exponent: i64,
}

/// The sign before the digits, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    None,
    Plus,
    Minus,
}

/// Why a decimal is no number of the units that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// It has more digits after the point than the unit, zeros aside.
    Digits,
    TooLarge,
}

/// The largest power of ten that fits; no limit that is asked for here lies above it.
const DIGITS_MAX: i64 = 18;

impl WrittenDecimal {
    /// Reads `12`, `-12.30`, `+.5`, `5.`, `1e3`: at least one digit, at most one point. `None` for anything else.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (sign, mut rest) = match text {
            [b'-', rest @ ..] => (Sign::Minus, rest),
            [b'+', rest @ ..] => (Sign::Plus, rest),
            rest => (Sign::None, rest),
        };
        let (mut units, mut significant_digits) = (0, 0);
        // Zeros are held back until a digit follows them: `1.500` and `1e3` do not need the digits that their zeros stand for.
        let mut held_zeros = 0;
        let mut digits = 0;
        let mut point_after = None;
        let mut exponent = None;
        while let [byte, behind @ ..] = rest {
            match byte {
                b'0' => {
                    digits += 1;
                    held_zeros += 1;
                }
                b'1'..=b'9' => {
                    digits += 1;
                    significant_digits += if units == 0 { 1 } else { held_zeros + 1 };
                    if significant_digits <= DIGITS_MAX {
                        let shift = if units == 0 { 0 } else { held_zeros + 1 };
                        units = units * power_of_ten(shift) + i64::from(byte - b'0');
                    }
                    held_zeros = 0;
                }
                b'.' if point_after.is_none() => point_after = Some(digits),
                b'e' | b'E' => {
                    exponent = Some(read_exponent(behind)?);
                    break;
                }
                _ => return None,
            }
            rest = behind;
        }
        if digits == 0 {
            return None;
        }
        let fraction_digits = point_after.map(|whole| digits - whole);
        Some(Self {
            sign,
            whole_digits: point_after.unwrap_or(digits),
            fraction_digits,
            has_exponent: exponent.is_some(),
            units,
            significant_digits,
            exponent: held_zeros - fraction_digits.map_or(0, signed) + exponent.unwrap_or_default(),
        })
    }

    /// Whether it has no digits but zeros.
    pub const fn is_zero(self) -> bool {
        self.units == 0
    }

    /// Digits after the point without the zeros at their end; `1e-3` needs three.
    pub fn fraction_digits_needed(self) -> i64 {
        if self.is_zero() { 0 } else { (-self.exponent).max(0) }
    }

    /// How many units of 10^−`digits` this is, the sign aside. The result lies below `limit`, at most 10¹⁸.
    #[inline]
    pub fn magnitude(self, digits: u8, limit: i64) -> Result<i64, Unfit> {
        if self.is_zero() {
            return Ok(0);
        }
        let shift = self.exponent + i64::from(digits);
        if shift < 0 {
            return Err(Unfit::Digits);
        }
        if self.significant_digits + shift > DIGITS_MAX {
            return Err(Unfit::TooLarge);
        }
        let magnitude = self.units * power_of_ten(shift);
        if magnitude < limit { Ok(magnitude) } else { Err(Unfit::TooLarge) }
    }
}

/// An exponent, held within bounds that no text of a record or file reaches: no answer changes by that.
#[cold]
fn read_exponent(text: &[u8]) -> Option<i64> {
    const EXPONENT_MAX: i64 = 1 << 40;
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some(if is_negative { -magnitude } else { magnitude })
}

fn signed(digits: usize) -> i64 {
    i64::try_from(digits).expect("no text is so long")
}

const fn power_of_ten(exponent: i64) -> i64 {
    POWERS_OF_TEN[exponent as usize]
}

const POWERS_OF_TEN: [i64; DIGITS_MAX as usize + 1] = {
    let mut powers = [1; DIGITS_MAX as usize + 1];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;

    fn magnitude(text: &str, digits: u8, limit: i64) -> Option<Result<i64, Unfit>> {
        WrittenDecimal::parse(text.as_bytes()).map(|decimal| decimal.magnitude(digits, limit))
    }

    #[test]
    fn values_are_exact() {
        const LIMIT: i64 = 1 << 47;
        for (text, digits, expected) in [
            ("12.30", 2, Ok(1_230)),
            ("12.3000", 2, Ok(1_230)),
            ("0012.30", 2, Ok(1_230)),
            ("12.", 2, Ok(1_200)),
            (".05", 2, Ok(5)),
            ("1002003", 0, Ok(1_002_003)),
            ("0.005", 2, Err(Unfit::Digits)),
            ("0.005", 3, Ok(5)),
            ("500.0", 0, Ok(500)),
            ("500.5", 0, Err(Unfit::Digits)),
            ("-0.00", 2, Ok(0)),
            ("+4", 2, Ok(400)),
            ("1407374883553.27", 2, Ok(LIMIT - 1)),
            ("1407374883553.28", 2, Err(Unfit::TooLarge)),
            ("99999999999999999999999999", 2, Err(Unfit::TooLarge)),
            ("0.00000000000000000000000001", 2, Err(Unfit::Digits)),
            ("100000000000000000000.000000000000000000001", 2, Err(Unfit::Digits)),
            ("1.1e1", 2, Ok(1_100)),
            ("1.15E+2", 0, Ok(115)),
            ("11500e-4", 2, Ok(115)),
            ("11500e-5", 2, Err(Unfit::Digits)),
            ("1e12", 2, Ok(100_000_000_000_000)),
            ("1e13", 2, Err(Unfit::TooLarge)),
            ("1e999999999999999999999999", 2, Err(Unfit::TooLarge)),
            ("1e-999999999999999999999999", 2, Err(Unfit::Digits)),
            ("0e999999999999999999999999", 2, Ok(0)),
            ("0.000e5", 2, Ok(0)),
            ("100000000000000000000e-20", 2, Ok(100)),
            ("0.00000000000000000000123e21", 2, Ok(123)),
        ] {
            assert_eq!(magnitude(text, digits, LIMIT), Some(expected), "{text}");
        }
        assert_eq!(magnitude("999999999999.999999", 6, 10i64.pow(18)), Some(Ok(999_999_999_999_999_999)));
        for text in ["", "-", ".", "1,5", " 1", "1 ", "0x10", "1.2.3", "--1", "1e", "1e+", "1e1.5", "e1", "٣"]
        {
            assert_eq!(WrittenDecimal::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_form_is_told() {
        for (text, sign, whole, fraction, has_exponent) in [
            ("12", Sign::None, 2, None, false),
            ("-12.", Sign::Minus, 2, Some(0), false),
            ("+.50", Sign::Plus, 0, Some(2), false),
            ("007.0e2", Sign::None, 3, Some(1), true),
        ] {
            let decimal = WrittenDecimal::parse(text.as_bytes()).expect("a decimal");
            let form = (decimal.sign, decimal.whole_digits, decimal.fraction_digits, decimal.has_exponent);
            assert_eq!(form, (sign, whole, fraction, has_exponent), "{text}");
        }
    }
}
