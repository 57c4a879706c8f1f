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

/// Most amounts are not longer. So few digits overflow nothing, whatever the currency.
const USUAL_BYTES_MAX: usize = 12;

/// Reads a decimal string: `12`, `12.30`, `0.5`. No exponent, no plus sign, digits on both sides of the point. A minus sign is
/// understood, so that a negative amount is told from nonsense.
///
/// The result counts units of 10^−`digits`; it lies below `limit` (at most 10¹⁸).
pub(super) fn from_string(text: &[u8], digits: u8, limit: i64) -> Result<i64, Fault> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, fraction) = match unsigned.iter().position(|byte| *byte == b'.') {
        Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
        None => (unsigned, &b"0"[..]),
    };
    let is_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(Fault::Form);
    }
    from_json_number(text, digits, limit)
}

/// The same for a short string without a sign, with at most `digits` digits after the point; `None` for any other. There is no
/// limit but that of so few digits.
#[inline]
pub(super) fn from_usual_string(text: &[u8], digits: u8) -> Option<i64> {
    const POWERS_OF_TEN: [i64; 5] = [1, 10, 100, 1_000, 10_000];
    if text.len() > USUAL_BYTES_MAX {
        return None;
    }
    let (whole, rest) = leading_digits(0, text);
    if rest.len() == text.len() {
        return None;
    }
    let (units, digits_read) = match rest {
        [] => (whole, 0),
        [b'.', fraction @ ..] => match leading_digits(whole, fraction) {
            (units, []) if !fraction.is_empty() => (units, fraction.len()),
            _ => return None,
        },
        _ => return None,
    };
    let power = POWERS_OF_TEN.get(usize::from(digits).checked_sub(digits_read)?)?;
    Some(units * power)
}

/// Appends the digits that `text` begins with to `units`; and what follows them.
fn leading_digits(mut units: i64, mut text: &[u8]) -> (i64, &[u8]) {
    while let [digit @ b'0'..=b'9', rest @ ..] = text {
        units = units * 10 + i64::from(digit - b'0');
        text = rest;
    }
    (units, text)
}

/// Reads the text of a JSON number, whose form the JSON parser has checked, exponent included.
///
/// The result counts units of 10^−`digits`; it lies below `limit` (at most 10¹⁸).
pub(super) fn from_json_number(text: &[u8], digits: u8, limit: i64) -> Result<i64, Fault> {
    let mut units: i64 = 0;
    let mut significant = 0;
    // How many of the digits that `units` holds stand after the point; zeros at the end are held back, because `1.500` and `1e3`
    // have to be told from what really needs the digits.
    let (mut after_point, mut held_zeros) = (0i64, 0i64);
    let (mut seen_point, mut exponent) = (false, 0);
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    for (index, byte) in unsigned.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                after_point += i64::from(seen_point);
                if *byte == b'0' {
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
pub(super) fn whole_from_json_number(text: &[u8], limit: i64) -> Result<i64, Fault> {
    if text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(Fault::Form);
    }
    from_json_number(text, 0, limit)
}

/// The exponent, held within bounds that no record size reaches: nothing is lost by it.
fn exponent_of(text: &[u8]) -> i64 {
    const EXPONENT_MAX: i64 = 1 << 40;
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let magnitude =
        digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    if negative { -magnitude } else { magnitude }
}

fn power_of_ten(exponent: i64) -> i64 {
    10i64.pow(u32::try_from(exponent).expect("not negative and at most 18"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::money::AMOUNT_LIMIT;

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
            assert_eq!(from_string(text.as_bytes(), digits, AMOUNT_LIMIT), expected, "{text}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1e2", "1,50", " 1", "1 ", "0x10", "1.2.3", "--1", "NaN", "٣"]
        {
            assert_eq!(from_string(text.as_bytes(), 2, AMOUNT_LIMIT), Err(Fault::Form), "{text}");
        }
    }

    #[test]
    fn a_usual_string_says_the_same() {
        for whole in ["", "0", "7", "00", "12", "0012", "1234567", "999999999", "123456789012"] {
            for fraction in ["", ".", ".0", ".5", ".05", ".50", ".500", ".12345", ".5x", ".5.0", "e1", " "] {
                for (sign, digits) in
                    ["", "-", "+"].into_iter().flat_map(|sign| (0..6).map(move |digits| (sign, digits)))
                {
                    let text = format!("{sign}{whole}{fraction}");
                    if let Some(units) = from_usual_string(text.as_bytes(), digits) {
                        assert_eq!(
                            from_string(text.as_bytes(), digits, i64::MAX),
                            Ok(units),
                            "{text} {digits}"
                        );
                    }
                }
            }
        }
        for (text, digits, expected) in [
            ("119.90", 2, Some(11_990)),
            ("119.9", 2, Some(11_990)),
            ("119", 2, Some(11_900)),
            ("500", 0, Some(500)),
            ("0.00001", 4, None),
            ("999999999.99", 2, Some(99_999_999_999)),
            ("9999999999.99", 2, None),
            ("99999999999", 4, Some(999_999_999_990_000)),
        ] {
            assert_eq!(from_usual_string(text.as_bytes(), digits), expected, "{text}");
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
