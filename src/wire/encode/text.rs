//! A text of bounded length at the end of a buffer, written from its beginning.
//!
//! The room is made once for many values: what is put costs one comparison and a few moves. Numbers are written as whole words of
//! eight digits of which the last may be too many; whatever comes next is written over them.

use super::digits::{PAIRS, ZEROS, date, eight_digits};
use super::json::any_needs_escape;
use crate::domain::values::number::{Ratio, half_even_of_magnitudes};
use crate::domain::values::time::{Span, Time};

/// The room behind what is written so far. It is passed on by value, so that it stays in registers.
pub(super) struct Text<'o> {
    rest: &'o mut [u8],
}

/// Appends what `write` puts. `room` must hold its longest text and 24 bytes more.
pub(super) fn append(out: &mut Vec<u8>, room: usize, write: impl FnOnce(Text<'_>) -> Text<'_>) {
    // Measured: faster than to fill.
    static ZEROED: [u8; 2_048] = [0; 2_048];
    let start = out.len();
    match ZEROED.get(..room) {
        Some(zeroed) => out.extend_from_slice(zeroed),
        None => out.resize(start + room, 0),
    }
    let left = write(Text::new(&mut out[start..])).rest.len();
    out.truncate(start + room - left);
}

/// A short text of which the length is known only at run time, such as a name. Its bytes are copied with what lies behind them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Word {
    const ROOM: usize = 24;

    /// A name in quotes.
    pub(super) const fn quoted(name: &str) -> Self {
        let mut word = Self { bytes: [0; Self::ROOM], length: name.len() + 2 };
        word.bytes[0] = b'"';
        let mut index = 0;
        while index < name.len() {
            word.bytes[index + 1] = name.as_bytes()[index];
            index += 1;
        }
        word.bytes[index + 1] = b'"';
        word
    }
}

impl<'o> Text<'o> {
    /// Nothing yet.
    pub(super) fn new(room: &'o mut [u8]) -> Self {
        Self { rest: room }
    }

    /// How many bytes are left.
    pub(super) fn room(&self) -> usize {
        self.rest.len()
    }

    /// All of `bytes`.
    #[inline]
    pub(super) fn put<const N: usize>(self, bytes: &[u8; N]) -> Self {
        let (place, rest) = self.rest.split_first_chunk_mut().expect("a text has its room");
        *place = *bytes;
        Self { rest }
    }

    /// The first `length` of `bytes`.
    #[inline]
    fn put_start<const N: usize>(self, bytes: &[u8; N], length: usize) -> Self {
        *self.rest.first_chunk_mut().expect("a text has its room") = *bytes;
        Self { rest: &mut self.rest[length..] }
    }

    #[inline]
    pub(super) fn word(self, word: &Word) -> Self {
        self.put_start(&word.bytes, word.length)
    }

    /// A text of any length that fits.
    pub(super) fn slice(self, bytes: &[u8]) -> Self {
        let (place, rest) = self.rest.split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        Self { rest }
    }

    /// A string in quotes. `content` is UTF-8 and may take six times its length.
    pub(super) fn string(self, content: &[u8]) -> Self {
        if any_needs_escape(content) {
            return self.escaped(content);
        }
        self.put(b"\"").slice(content).put(b"\"")
    }

    #[cold]
    fn escaped(self, content: &[u8]) -> Self {
        let mut string = Vec::new();
        super::json::string(&mut string, content);
        self.slice(&string)
    }

    /// A value or null.
    #[inline]
    pub(super) fn optional<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.put(b"null"),
            Some(value) => write(self, value),
        }
    }

    #[inline]
    pub(super) fn integer(self, value: u64) -> Self {
        if value < 10 { self.put(&[b'0' + value as u8]) } else { self.long_integer(value) }
    }

    fn long_integer(self, value: u64) -> Self {
        if value >= EIGHT_DIGITS {
            let text = self.long_integer(value / EIGHT_DIGITS);
            return text.put(&(eight_digits((value % EIGHT_DIGITS) as u32) | ZEROS).to_le_bytes());
        }
        let digits = eight_digits(value as u32);
        // The last digit stays even if it is a zero.
        let zeros = (digits | 1 << 56).trailing_zeros() / 8;
        self.put_start(&((digits | ZEROS) >> (8 * zeros)).to_le_bytes(), 8 - zeros as usize)
    }

    #[inline]
    pub(super) fn flag(self, value: bool) -> Self {
        if value { self.put(b"true") } else { self.put(b"false") }
    }

    // === Money ===

    /// Minor units as a decimal string in quotes, with exactly `digits` digits after the point: as many as currencies have.
    #[inline]
    pub(super) fn money(self, minor: i64, digits: u8) -> Self {
        // Half of all amounts in profiles are this one.
        if (minor, digits) == (0, 2) { self.put(b"\"0.00\"") } else { self.any_money(minor, digits) }
    }

    fn any_money(self, minor: i64, digits: u8) -> Self {
        match digits {
            0 => {
                let text = self.put_start(b"\"-", 1 + usize::from(minor < 0));
                text.integer(minor.unsigned_abs()).put(b"\"")
            }
            2 => self.amount::<2>(minor),
            3 => self.amount::<3>(minor),
            _ => {
                debug_assert_eq!(digits, 4, "no currency has so many");
                self.amount::<4>(minor)
            }
        }
    }

    /// With a point.
    #[inline]
    fn amount<const DIGITS: u32>(self, minor: i64) -> Self {
        let text = self.put_start(b"\"-", 1 + usize::from(minor < 0));
        let magnitude = minor.unsigned_abs();
        if magnitude >= EIGHT_DIGITS {
            return text.large_amount::<DIGITS>(magnitude);
        }
        let all = eight_digits(magnitude as u32);
        let point = 64 - 8 * DIGITS;
        // The digit before the point stays even if it is a zero.
        let zeros = (all | 1 << (point - 8)).trailing_zeros() & !7;
        let all = all | ZEROS;
        let text = text.put_start(&(all >> zeros).to_le_bytes(), (point - zeros) as usize / 8);
        text.fraction::<DIGITS>(all >> point)
    }

    #[cold]
    fn large_amount<const DIGITS: u32>(self, magnitude: u64) -> Self {
        let unit = 10u64.pow(DIGITS);
        let fraction = eight_digits((magnitude % unit) as u32) | ZEROS;
        self.integer(magnitude / unit).fraction::<DIGITS>(fraction >> (64 - 8 * DIGITS))
    }

    /// A point, so many digits, and the quote that ends an amount.
    #[inline]
    fn fraction<const DIGITS: u32>(self, fraction: u64) -> Self {
        let text = u64::from(b'.') | fraction << 8 | u64::from(b'"') << (8 * (DIGITS + 1));
        self.put_start(&text.to_le_bytes(), DIGITS as usize + 2)
    }

    /// A mean of minor units, rounded half even to one.
    pub(super) fn mean_money(self, mean: Ratio, digits: u8) -> Self {
        let rounded = match narrow(mean, 1) {
            Some(magnitude) => i64::try_from(magnitude),
            None => i64::try_from(mean.scaled_half_even(1)),
        };
        self.money(rounded.expect("a mean of amounts lies between them"), digits)
    }

    // === Numbers ===

    /// A number that is not money: rounded half even to six decimals, without zeros at the end.
    pub(super) fn ratio(self, ratio: Ratio) -> Self {
        let Some(millionths) = narrow(ratio, MILLION) else {
            return self.wide_ratio(ratio);
        };
        let (text, fraction) = (self.integer(millionths / MILLION), millionths % MILLION);
        if fraction == 0 {
            return text;
        }
        let fraction = eight_digits(fraction as u32 * 100);
        let length = 8 - fraction.leading_zeros() as usize / 8;
        text.put_start(&(u64::from(b'.') | (fraction | ZEROS) << 8).to_le_bytes(), 1 + length)
    }

    /// Only a negative ratio comes here, and one of absurd amounts.
    #[cold]
    fn wide_ratio(self, ratio: Ratio) -> Self {
        let millionths = ratio.scaled_half_even(i128::from(MILLION));
        let (sign, magnitude) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs());
        let text = format!("{sign}{}.{:06}", magnitude / 1_000_000, magnitude % 1_000_000);
        self.slice(text.trim_end_matches('0').trim_end_matches('.').as_bytes())
    }

    /// A span as days of 24 hours, rounded like [`Self::ratio`].
    pub(super) fn days(self, span: Span) -> Self {
        let (numerator, denominator) = (i128::from(span.as_millis()), i128::from(Span::DAY.as_millis()));
        self.ratio(Ratio { numerator, denominator })
    }

    // === Times ===

    /// An instant in quotes: `"2025-04-05T18:15:00.000Z"`.
    pub(super) fn time(self, time: Time) -> Self {
        let (place, rest) = self.rest.split_first_chunk_mut().expect("a text has its room");
        // Written where it stays: a copy of bytes just written waits for them.
        *place = *b"\"0000-00-00T00:00:00.000Z\"";
        put_time(place[1..].first_chunk_mut().expect("26 bytes"), time);
        Self { rest }
    }
}

/// `ratio` times `scale`, rounded half even; none if it is negative or does not fit.
#[inline]
fn narrow(ratio: Ratio, scale: u64) -> Option<u64> {
    let numerator = u64::try_from(ratio.numerator).ok()?.checked_mul(scale)?;
    Some(half_even_of_magnitudes(numerator, u64::try_from(ratio.denominator).ok()?))
}

const EIGHT_DIGITS: u64 = 100_000_000;

const MILLION: u64 = 1_000_000;

/// Puts the digits; the rest stands there.
pub(super) fn put_time(text: &mut [u8; 24], time: Time) {
    let millis = time.as_millis() as u64; // Times start at 1970.
    let (days, of_day) = ((millis / 86_400_000) as u32, (millis % 86_400_000) as u32);
    let (year, month, day) = date(days);
    let mut put = |index: usize, value: u32| {
        text[index..index + 2].copy_from_slice(&PAIRS[value as usize % PAIRS.len()]);
    };
    put(0, year / 100);
    put(2, year % 100);
    put(5, month);
    put(8, day);
    let (minutes, of_minute) = (of_day / 60_000, of_day % 60_000);
    put(11, minutes / 60);
    put(14, minutes % 60);
    let (seconds, millis) = (of_minute / 1_000, of_minute % 1_000);
    put(17, seconds);
    put(20, millis / 10);
    text[22] = b'0' + (millis % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(Text<'_>) -> Text<'_>) -> String {
        let mut out = b"before ".to_vec();
        append(&mut out, 96, write);
        String::from_utf8(out.split_off(7)).expect("UTF-8")
    }

    /// Around every number of digits and, between, numbers of mixed digits.
    fn magnitudes() -> Vec<u64> {
        let powers = (0..20).map(|exponent| 10u64.pow(exponent));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7) / 3]);
        around.chain([0, i64::MAX as u64, 1 << 63, u64::MAX]).collect()
    }

    #[test]
    fn integers_have_the_digits_that_rust_gives_them() {
        for value in magnitudes() {
            assert_eq!(written(|text| text.integer(value)), value.to_string());
        }
    }

    #[test]
    fn amounts_have_the_digits_of_every_currency() {
        for magnitude in magnitudes() {
            for minor in [magnitude as i64, (magnitude as i64).wrapping_neg()] {
                for digits in [0, 2, 3, 4] {
                    let sign = if minor < 0 { "-" } else { "" };
                    // With a digit before the point.
                    let text = format!("{:0width$}", minor.unsigned_abs(), width = digits + 1);
                    let (whole, fraction) = text.split_at(text.len() - digits);
                    let point = if digits == 0 { "" } else { "." };
                    let expected = format!("\"{sign}{whole}{point}{fraction}\"");
                    assert_eq!(written(|text| text.money(minor, digits as u8)), expected);
                }
            }
        }
    }

    #[test]
    fn ratios_are_those_of_the_wide_way() {
        let denominators =
            [1, 2, 3, 7, 64, 1_000, 86_400_000, 2_000_000, 4_000_000, 1 << 40, i128::from(u64::MAX)];
        for magnitude in magnitudes().into_iter().chain((1..400).map(|odd| 2 * odd + 1)) {
            for (numerator, denominator) in
                denominators.map(|denominator| (i128::from(magnitude), denominator))
            {
                for numerator in [numerator, -numerator] {
                    let ratio = Ratio { numerator, denominator };
                    let (short, wide) =
                        (written(|text| text.ratio(ratio)), written(|text| text.wide_ratio(ratio)));
                    assert_eq!(short, wide, "{numerator}/{denominator}");
                    let rounded = i64::try_from(ratio.scaled_half_even(1));
                    if let Ok(rounded) = rounded {
                        let mean = written(|text| text.mean_money(ratio, 2));
                        assert_eq!(mean, written(|text| text.money(rounded, 2)), "{numerator}/{denominator}");
                    }
                }
            }
        }
    }
}
