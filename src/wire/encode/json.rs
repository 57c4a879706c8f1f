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
    if may_need_escape(content) {
        escaped(out, content);
    } else {
        out.extend_from_slice(content);
    }
    out.push(b'"');
}

/// Looks at eight bytes at a time: what is below a space, or equal to the quote or backslash, borrows from its highest bit. A lower
/// byte may lend a borrow, so that the answer can be yes for nothing, which only costs time.
fn may_need_escape(content: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let mut words = content.chunks_exact(8);
    let mut found = 0;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        let control = word.wrapping_sub(ONES * u64::from(b' '));
        let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        found |= (control | quote | backslash) & !word & (ONES << 7);
    }
    found != 0 || words.remainder().iter().any(|byte| needs_escape(*byte))
}

const fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cold]
fn escaped(out: &mut Vec<u8>, content: &[u8]) {
    for byte in content {
        if needs_escape(*byte) {
            escape(out, *byte);
        } else {
            out.push(*byte);
        }
    }
}

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

pub(super) fn integer(out: &mut Vec<u8>, value: impl Into<u64>) {
    let value = value.into();
    Backward::append(out, digits_of(value), |text| text.put_digits(value));
}

pub(super) fn bool(out: &mut Vec<u8>, value: bool) {
    let text: &[u8] = if value { b"true" } else { b"false" };
    out.extend_from_slice(text);
}

// === Money ===

/// Minor units as a decimal string in quotes, with exactly `digits` digits after the point.
pub(super) fn money(out: &mut Vec<u8>, minor: i64, digits: u8) {
    let magnitude = minor.unsigned_abs();
    let (whole, fraction) = match digits {
        2 => (magnitude / 100, magnitude % 100), // Nearly every currency, and by a constant.
        _ => (magnitude / 10u64.pow(u32::from(digits)), magnitude % 10u64.pow(u32::from(digits))),
    };
    let point = usize::from(digits > 0);
    let length = 2 + usize::from(minor < 0) + digits_of(whole) + point + usize::from(digits);
    Backward::append(out, length, |text| {
        text.put(b'"');
        if digits > 0 {
            text.put_fraction(fraction, digits);
        }
        text.put_digits(whole);
        if minor < 0 {
            text.put(b'-');
        }
        text.put(b'"');
    });
}

/// A mean of minor units, rounded half even to one.
pub(super) fn mean_money(out: &mut Vec<u8>, mean: Ratio, digits: u8) {
    let rounded = mean.scaled_half_even(1);
    money(out, i64::try_from(rounded).expect("a mean of amounts lies between them"), digits);
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
    let Ok(narrow) = u64::try_from(magnitude) else {
        // Only a ratio of absurd amounts comes here.
        let text = format!("{}.{:06}", magnitude / 1_000_000, magnitude % 1_000_000);
        out.extend_from_slice(text.trim_end_matches('0').trim_end_matches('.').as_bytes());
        return;
    };
    let (whole, mut fraction, mut digits) = (narrow / 1_000_000, narrow % 1_000_000, 6);
    if fraction == 0 {
        integer(out, whole);
        return;
    }
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    Backward::append(out, digits_of(whole) + 1 + usize::from(digits), |text| {
        text.put_fraction(fraction, digits);
        text.put_digits(whole);
    });
}

// === Digits ===

/// How many digits a number has in decimal.
const fn digits_of(value: u64) -> usize {
    match value.checked_ilog10() {
        None => 1,
        Some(exponent) => exponent as usize + 1,
    }
}

/// Twenty digits, a sign, a point, two quotes, and some.
const BYTES_MAX: usize = 32;

/// A short text at the end of a buffer, written from its own end, as digits come. Putting it together elsewhere and copying it would
/// make the processor wait for the single bytes before it can load them as a whole.
struct Backward<'o> {
    text: &'o mut [u8; BYTES_MAX],
    start: usize,
}

impl<'o> Backward<'o> {
    /// Appends a text of `length` bytes, all of which `write` puts.
    fn append(out: &'o mut Vec<u8>, length: usize, write: impl FnOnce(&mut Backward<'_>)) {
        let start = out.len();
        // A constant length, so that there is no call.
        out.extend_from_slice(&[0; BYTES_MAX]);
        let text = out[start..].first_chunk_mut().expect("just appended");
        let mut backward = Backward { text, start: length };
        write(&mut backward);
        debug_assert_eq!(backward.start, 0, "all bytes are put");
        out.truncate(start + length);
    }

    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.text[self.start] = byte;
    }

    /// A number below 100, as two digits.
    fn put_pair(&mut self, value: u64) {
        self.start -= 2;
        self.text[self.start..self.start + 2].copy_from_slice(&PAIRS[value as usize]);
    }

    fn put_digits(&mut self, mut value: u64) {
        while value >= 100 {
            self.put_pair(value % 100);
            value /= 100;
        }
        if value >= 10 {
            self.put_pair(value);
        } else {
            self.put(b'0' + value as u8);
        }
    }

    /// A point and so many digits.
    fn put_fraction(&mut self, mut fraction: u64, mut digits: u8) {
        while digits >= 2 {
            self.put_pair(fraction % 100);
            fraction /= 100;
            digits -= 2;
        }
        if digits > 0 {
            self.put(b'0' + (fraction % 10) as u8);
        }
        self.put(b'.');
    }
}

/// The numbers below 100 in two digits.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

// === Times ===

/// An instant in quotes: `"2025-04-05T18:15:00.000Z"`.
pub(super) fn time(out: &mut Vec<u8>, time: Time) {
    let start = out.len() + 1;
    out.extend_from_slice(b"\"0000-00-00T00:00:00.000Z\"");
    put_time(out[start..].first_chunk_mut().expect("just appended"), time);
}

pub(super) fn optional_time(out: &mut Vec<u8>, value: Option<Time>) {
    optional(out, value, time);
}

/// `2025-04-05T18:15:00.000Z`: always UTC, always three digits after the second.
pub fn time_text(time: Time) -> [u8; 24] {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put_time(&mut text, time);
    text
}

/// Puts the digits; the rest stands there.
fn put_time(text: &mut [u8; 24], time: Time) {
    let millis = u64::try_from(time.as_millis()).expect("times start at 1970");
    let (days, of_day) = ((millis / 86_400_000) as u32, (millis % 86_400_000) as u32);
    let (year, month, day) = date(days);
    let mut put = |index: usize, value: u32| {
        text[index..index + 2].copy_from_slice(&PAIRS[value as usize]);
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
            ((1i128 << 80) * 2 + 1, 2, "1208925819614629174706176.5"),
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
