//! The parts of which every JSON text here is put together, appended to a buffer that is used again.
//!
//! A value is written by one function; field names come as literals with their punctuation, so that most of a record is a few
//! copies of constants.

use crate::domain::money::Currency;
use crate::domain::number::{Ratio, div_half_even};
use crate::domain::time::{Span, Time};

pub(super) const NULL: &[u8] = b"null";

/// A string in quotes. `content` is UTF-8.
pub(super) fn string(out: &mut Vec<u8>, content: &[u8]) {
    out.push(b'"');
    let mut rest = content;
    while let Some(index) = rest.iter().position(|byte| needs_escape(*byte)) {
        out.extend_from_slice(&rest[..index]);
        escape(out, rest[index]);
        rest = &rest[index + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cold]
fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

pub(super) fn optional_string(out: &mut Vec<u8>, content: Option<&str>) {
    optional(out, content.map(str::as_bytes), string);
}

/// A value or null.
pub(super) fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.extend_from_slice(NULL),
        Some(value) => write(out, value),
    }
}

pub(super) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn bool(out: &mut Vec<u8>, value: bool) {
    let text: &[u8] = if value { b"true" } else { b"false" };
    out.extend_from_slice(text);
}

// === Money ===

/// Minor units as a decimal string in quotes, with exactly `digits` digits after the point.
pub(super) fn money(out: &mut Vec<u8>, minor: i64, digits: u8) {
    out.push(b'"');
    if minor < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    with_point(out, buffer.format(minor.unsigned_abs()).as_bytes(), digits);
    out.push(b'"');
}

/// The same for sums over many customers.
pub(super) fn money_sum(out: &mut Vec<u8>, minor: i128, digits: u8) {
    out.push(b'"');
    if minor < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    with_point(out, buffer.format(minor.unsigned_abs()).as_bytes(), digits);
    out.push(b'"');
}

/// A mean of minor units, rounded half even to one.
pub(super) fn mean_money(out: &mut Vec<u8>, mean: Ratio, digits: u8) {
    money_sum(out, mean.scaled_half_even(1), digits);
}

fn with_point(out: &mut Vec<u8>, text: &[u8], digits: u8) {
    let digits = usize::from(digits);
    if digits == 0 {
        out.extend_from_slice(text);
        return;
    }
    match text.len().checked_sub(digits) {
        Some(whole @ 1..) => {
            out.extend_from_slice(&text[..whole]);
            out.push(b'.');
            out.extend_from_slice(&text[whole..]);
        }
        Some(0) | None => {
            out.extend_from_slice(b"0.");
            out.extend_from_slice(&b"0000"[..digits - text.len()]);
            out.extend_from_slice(text);
        }
    }
}

pub(super) fn currency(out: &mut Vec<u8>, currency: Currency) {
    let [a, b, c] = currency.code();
    out.extend_from_slice(&[b'"', a, b, c, b'"']);
}

// === Numbers ===

/// A number that is not money: rounded half even to six decimals, without zeros at the end.
pub(super) fn ratio(out: &mut Vec<u8>, ratio: Ratio) {
    millionths(out, ratio.scaled_half_even(MILLION));
}

/// A span as days of 24 hours, rounded like [`ratio`].
pub(super) fn days(out: &mut Vec<u8>, span: Span) {
    let scaled = i128::from(span.as_millis()) * MILLION;
    millionths(out, div_half_even(scaled, i128::from(Span::DAY.as_millis())));
}

const MILLION: i128 = 1_000_000;

fn millionths(out: &mut Vec<u8>, millionths: i128) {
    if millionths < 0 {
        out.push(b'-');
    }
    let magnitude = millionths.unsigned_abs();
    // Every figure of a sane shop fits 64 bits, where division is much cheaper.
    let (whole, mut fraction) = match u64::try_from(magnitude) {
        Ok(narrow) => (u128::from(narrow / 1_000_000), (narrow % 1_000_000) as u32),
        Err(_) => (magnitude / 1_000_000, (magnitude % 1_000_000) as u32),
    };
    integer(out, whole);
    if fraction == 0 {
        return;
    }
    let mut digits = [b'0'; 7];
    digits[0] = b'.';
    let mut end = 1;
    for index in (1..7).rev() {
        let digit = (fraction % 10) as u8;
        digits[index] += digit;
        fraction /= 10;
        if digit != 0 {
            end = end.max(index + 1);
        }
    }
    out.extend_from_slice(&digits[..end]);
}

// === Times ===

/// An instant in quotes: `"2025-04-05T18:15:00.000Z"`.
pub(super) fn time(out: &mut Vec<u8>, time: Time) {
    let mut quoted = [b'"'; 26];
    quoted[1..25].copy_from_slice(&time_text(time));
    out.extend_from_slice(&quoted);
}

pub(super) fn optional_time(out: &mut Vec<u8>, value: Option<Time>) {
    optional(out, value, time);
}

/// `2025-04-05T18:15:00.000Z`: always UTC, always three digits after the second.
pub fn time_text(time: Time) -> [u8; 24] {
    let millis = u64::try_from(time.as_millis()).expect("times start at 1970");
    let (days, of_day) = ((millis / 86_400_000) as u32, (millis % 86_400_000) as u32);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |index: usize, value: u32| {
        text[index] = b'0' + (value / 10) as u8;
        text[index + 1] = b'0' + (value % 10) as u8;
    };
    put(0, year / 100);
    put(2, year % 100);
    put(5, month);
    put(8, day);
    put(11, of_day / 3_600_000);
    put(14, of_day / 60_000 % 60);
    put(17, of_day / 1_000 % 60);
    put(20, of_day % 1_000 / 10);
    text[22] = b'0' + (of_day % 10) as u8;
    text
}

/// The Gregorian date that lies `days` after 1970-01-01, by Neri and Schneider's "Euclidean affine functions": years are counted
/// from March, and each division by a constant becomes a multiplication.
const fn date(days: u32) -> (u32, u32, u32) {
    let quarters = 4 * (days + 719_468) + 3;
    let century = quarters / 146_097;
    let of_century = quarters % 146_097 / 4 * 4 + 3;
    let product = of_century as u64 * 2_939_745;
    let (year_of_century, day_of_year) = ((product >> 32) as u32, product as u32 / 2_939_745 / 4);
    let month_and_day = 2_141 * day_of_year + 197_913;
    let (month, day) = (month_and_day >> 16, (month_and_day & 0xffff) / 2_141 + 1);
    let year = 100 * century + year_of_century;
    if day_of_year >= 306 { (year + 1, month - 12, day) } else { (year, month, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn strings_are_escaped_as_any_reader_expects() {
        for text in ["", "c-1", "a\"b\\c", "tab\tline\nreturn\rnull\0bell\u{7}", "Zürich 🛒\u{7f}\u{2028}"]
        {
            let json = written(|out| string(out, text.as_bytes()));
            assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text);
        }
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        for (minor, digits, expected) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-400, 2, "-4.00"),
            (-5, 2, "-0.05"),
            (1_230, 2, "12.30"),
            (500, 0, "500"),
            (0, 0, "0"),
            (1, 3, "0.001"),
            (1_250, 3, "1.250"),
            (12_345, 4, "1.2345"),
            (i64::MIN, 2, "-92233720368547758.08"),
        ] {
            assert_eq!(written(|out| money(out, minor, digits)), format!("\"{expected}\""));
            assert_eq!(written(|out| money_sum(out, i128::from(minor), digits)), format!("\"{expected}\""));
        }
    }

    #[test]
    fn numbers_are_rounded_half_even_to_six_decimals() {
        for (numerator, denominator, expected) in [
            (3, 1, "3"),
            (1, 2, "0.5"),
            (4, 3, "1.333333"),
            (5, 3, "1.666667"),
            (1, 2_000_000, "0"),
            (3, 2_000_000, "0.000002"),
            (-1, 3, "-0.333333"),
            (-1, 3_000_000, "0"),
            (10, 1, "10"),
            (1_000_001, 1_000_000, "1.000001"),
            (120_340, 1_000, "120.34"),
            (1i128 << 80, 1, "1208925819614629174706176"),
        ] {
            let value = Ratio::new(numerator, denominator).expect("a positive denominator");
            assert_eq!(written(|out| ratio(out, value)), expected);
        }
        assert_eq!(written(|out| days(out, Span::from_millis(129_600_000))), "1.5");
        assert_eq!(written(|out| days(out, Span::from_millis(-86_400_000))), "-1");
    }

    #[test]
    fn every_day_is_written_as_it_is_read() {
        let of_day = 23 * 3_600_000 + 59 * 60_000 + 58 * 1_000 + 907;
        let mut last = String::new();
        for day in 0..=2_932_896i64 {
            let time = Time::from_millis(day * 86_400_000 + of_day).expect("in range");
            let text = String::from_utf8(time_text(time).to_vec()).expect("UTF-8");
            assert_eq!(crate::wire::decode::from_rfc3339(&text), Some(time), "{text}");
            last = text;
        }
        assert_eq!(last, "9999-12-31T23:59:58.907Z");
        assert_eq!(time_text(Time::MIN), *b"1970-01-01T00:00:00.000Z");
    }
}
