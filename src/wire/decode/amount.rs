//! Decimals, exactly from their text: money in strings and numbers, and whole numbers.

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

/// The largest power of ten that fits; no limit that is asked for here lies above it.
const DIGITS_MAX: i64 = 18;

/// Reads a decimal string: `12`, `12.30`, `0.5`. No exponent, no plus sign, digits on both sides of the point. A minus sign is
/// understood, so that a negative amount is told from nonsense.
///
/// The result counts units of 10^−`digits`; it lies below `limit` (at most 10¹⁸).
pub(super) fn from_string(text: &str, digits: u8, limit: i64) -> Result<i64, Fault> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(Fault::Form);
    }
    from_json_number(text, digits, limit)
}

/// Reads the text of a JSON number, whose form the JSON parser has checked, exponent included.
///
/// The result counts units of 10^−`digits`; it lies below `limit` (at most 10¹⁸).
pub(super) fn from_json_number(text: &str, digits: u8, limit: i64) -> Result<i64, Fault> {
    let mut units: i64 = 0;
    let mut significant = 0;
    // How many of the digits that `units` holds stand after the point; zeros at the end are held back, because `1.500` and `1e3`
    // have to be told from what really needs the digits.
    let (mut after_point, mut held_zeros) = (0i64, 0i64);
    let (mut seen_point, mut exponent) = (false, 0);
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    for (index, byte) in unsigned.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                after_point += i64::from(seen_point);
                if byte == b'0' {
                    held_zeros += 1;
                    continue;
                }
                let shift = if significant == 0 { 0 } else { held_zeros };
                significant += shift + 1;
                held_zeros = 0;
                if significant <= DIGITS_MAX {
                    units = units * power_of_ten(shift + 1) + i64::from(byte - b'0');
                }
            }
            b'.' => seen_point = true,
            b'e' | b'E' => {
                exponent = exponent_of(&unsigned[index + 1..]);
                break;
            }
            _ => return Err(Fault::Form),
        }
    }
    if units == 0 {
        return Ok(0);
    }
    if unsigned.len() < text.len() {
        return Err(Fault::Negative);
    }
    // value = units · 10^(held_zeros − after_point + exponent), to be counted in units of 10^−digits.
    let shift = held_zeros - after_point + exponent + i64::from(digits);
    if shift < 0 {
        return Err(Fault::Digits);
    }
    if significant + shift > DIGITS_MAX {
        return Err(Fault::TooLarge);
    }
    let value = units * power_of_ten(shift);
    if value < limit { Ok(value) } else { Err(Fault::TooLarge) }
}

/// Reads the text of a JSON number that must be an integer: no point and no exponent, whatever they would amount to. The result
/// lies below `limit` (at most 10¹⁸).
pub(super) fn whole_from_json_number(text: &str, limit: i64) -> Result<i64, Fault> {
    if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(Fault::Form);
    }
    from_json_number(text, 0, limit)
}

/// The exponent, held within bounds that no record size reaches: nothing is lost by it.
fn exponent_of(text: &str) -> i64 {
    const EXPONENT_MAX: i64 = 1 << 40;
    let negative = text.starts_with('-');
    let magnitude = text
        .trim_start_matches(['+', '-'])
        .bytes()
        .fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    if negative { -magnitude } else { magnitude }
}

fn power_of_ten(exponent: i64) -> i64 {
    10i64.pow(u32::try_from(exponent).expect("not negative and at most 18"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::AMOUNT_LIMIT;

    #[test]
    fn strings_are_read_exactly() {
        for (text, digits, expected) in [
            ("12.30", 2, Ok(1_230)),
            ("12.3", 2, Ok(1_230)),
            ("12.3000", 2, Ok(1_230)),
            ("12", 2, Ok(1_200)),
            ("0012.30", 2, Ok(1_230)),
            ("0.05", 2, Ok(5)),
            ("0.005", 2, Err(Fault::Digits)),
            ("0.005", 3, Ok(5)),
            ("500", 0, Ok(500)),
            ("500.0", 0, Ok(500)),
            ("500.5", 0, Err(Fault::Digits)),
            ("0", 2, Ok(0)),
            ("-0.00", 2, Ok(0)),
            ("-4.00", 2, Err(Fault::Negative)),
            ("1407374883553.27", 2, Ok(AMOUNT_LIMIT - 1)),
            ("1407374883553.28", 2, Err(Fault::TooLarge)),
            ("99999999999999999999999999", 2, Err(Fault::TooLarge)),
            ("0.00000000000000000000000001", 2, Err(Fault::Digits)),
            ("100000000000000000000.000000000000000000001", 2, Err(Fault::Digits)),
            ("0.29", 2, Ok(29)),
            ("4.35", 2, Ok(435)),
            ("1.005", 3, Ok(1_005)),
        ] {
            assert_eq!(from_string(text, digits, AMOUNT_LIMIT), expected, "{text}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1e2", "1,50", " 1", "1 ", "0x10", "1.2.3", "--1", "NaN", "٣"]
        {
            assert_eq!(from_string(text, 2, AMOUNT_LIMIT), Err(Fault::Form), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_from_their_text() {
        for (text, digits, expected) in [
            ("0.1", 2, Ok(10)),
            ("1.1e1", 2, Ok(1_100)),
            ("1.15E+2", 0, Ok(115)),
            ("11500e-4", 2, Ok(115)),
            ("11500e-5", 2, Err(Fault::Digits)),
            ("1e12", 2, Ok(100_000_000_000_000)),
            ("1e13", 2, Err(Fault::TooLarge)),
            ("1e999999999999999999999999", 2, Err(Fault::TooLarge)),
            ("1e-999999999999999999999999", 2, Err(Fault::Digits)),
            ("0e999999999999999999999999", 2, Ok(0)),
            ("0.000e5", 2, Ok(0)),
            ("100000000000000000000e-20", 2, Ok(100)),
            ("0.00000000000000000000123e21", 2, Ok(123)),
            ("-1e-9", 2, Err(Fault::Negative)),
            ("-0.0", 2, Ok(0)),
        ] {
            assert_eq!(from_json_number(text, digits, AMOUNT_LIMIT), expected, "{text}");
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
            assert_eq!(whole_from_json_number(text, 200), expected, "{text}");
        }
    }
}
