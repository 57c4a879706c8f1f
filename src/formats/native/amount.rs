//! Amounts and whole numbers as JSON has them: decimal strings and numbers.

use crate::domain::values::decimal::{Sign, Unfit, WrittenDecimal};

/// Why a text is not the number that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Not a decimal at all.
    Form,
    /// More digits after the point than there may be, zeros aside.
    Digits,
    Negative,
    /// At or above the limit.
    TooLarge,
}

/// Reads a decimal string: `12`, `12.30`, `0.5`. No exponent, no plus sign, digits on both sides of the point. A minus sign is
/// understood, so that a negative amount has a reason of its own.
///
/// The result counts units of 10^−`digits`; it lies below `limit` (at most 10¹⁸).
#[inline]
pub(super) fn from_string(text: &[u8], digits: u8, limit: i64) -> Result<i64, Fault> {
    let decimal = WrittenDecimal::parse(text).ok_or(Fault::Form)?;
    let has_both_sides = decimal.whole_digits > 0 && decimal.fraction_digits != Some(0);
    if !has_both_sides || decimal.has_exponent || decimal.sign == Sign::Plus {
        return Err(Fault::Form);
    }
    units(decimal, digits, limit)
}

/// Reads the text of a JSON number, whose form the JSON parser has checked, exponent included.
///
/// The result counts units of 10^−`digits`; it lies below `limit` (at most 10¹⁸).
pub(super) fn from_json_number(text: &[u8], digits: u8, limit: i64) -> Result<i64, Fault> {
    units(WrittenDecimal::parse(text).ok_or(Fault::Form)?, digits, limit)
}

/// Reads the text of a JSON number that must be an integer: no point and no exponent, whatever they would amount to. The result
/// lies below `limit` (at most 10¹⁸).
pub(super) fn whole_from_json_number(text: &[u8], limit: i64) -> Result<i64, Fault> {
    let decimal = WrittenDecimal::parse(text).ok_or(Fault::Form)?;
    if decimal.fraction_digits.is_some() || decimal.has_exponent {
        return Err(Fault::Form);
    }
    units(decimal, 0, limit)
}

#[inline]
fn units(decimal: WrittenDecimal, digits: u8, limit: i64) -> Result<i64, Fault> {
    if decimal.sign == Sign::Minus && !decimal.is_zero() {
        return Err(Fault::Negative);
    }
    decimal.magnitude(digits, limit).map_err(|unfit| match unfit {
        Unfit::Digits => Fault::Digits,
        Unfit::TooLarge => Fault::TooLarge,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::money::AMOUNT_LIMIT;

    #[test]
    fn strings_are_read_strictly() {
        for (text, digits, expected) in [
            ("12.30", 2, Ok(1_230)),
            ("12", 2, Ok(1_200)),
            ("0.005", 2, Err(Fault::Digits)),
            ("500.0", 0, Ok(500)),
            ("-0.00", 2, Ok(0)),
            ("-4.00", 2, Err(Fault::Negative)),
            ("-0.001", 2, Err(Fault::Negative)),
            ("1407374883553.27", 2, Ok(AMOUNT_LIMIT - 1)),
            ("1407374883553.28", 2, Err(Fault::TooLarge)),
        ] {
            assert_eq!(from_string(text.as_bytes(), digits, AMOUNT_LIMIT), expected, "{text}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1e2", "1,50", " 1", "1 ", "0x10", "1.2.3", "--1", "NaN", "٣"]
        {
            assert_eq!(from_string(text.as_bytes(), 2, AMOUNT_LIMIT), Err(Fault::Form), "{text}");
        }
    }

    #[test]
    fn numbers_may_have_an_exponent() {
        for (text, digits, expected) in [
            ("0.1", 2, Ok(10)),
            ("1.1e1", 2, Ok(1_100)),
            ("11500e-5", 2, Err(Fault::Digits)),
            ("1e13", 2, Err(Fault::TooLarge)),
            ("-1e-9", 2, Err(Fault::Negative)),
            ("-0.0", 2, Ok(0)),
        ] {
            assert_eq!(from_json_number(text.as_bytes(), digits, AMOUNT_LIMIT), expected, "{text}");
        }
    }

    #[test]
    fn integers_have_neither_point_nor_exponent() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("120", Ok(120)),
            ("199", Ok(199)),
            ("200", Err(Fault::TooLarge)),
            ("1000000000000000000000", Err(Fault::TooLarge)),
            ("-1", Err(Fault::Negative)),
            ("1.0", Err(Fault::Form)),
            ("1e1", Err(Fault::Form)),
            ("1E1", Err(Fault::Form)),
        ] {
            assert_eq!(whole_from_json_number(text.as_bytes(), 200), expected, "{text}");
        }
    }
}
