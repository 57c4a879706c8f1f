//! Instants as they are written: RFC 3339 with an offset.

use crate::domain::values::time::Time;

/// Reads `2025-04-05T18:15:00.123+02:00`. `None` for anything else: no offset, a space for the `T`, a leap second, a day
/// that the month does not have, or an instant outside of [`Time::MIN`] to [`Time::MAX`]. Digits beyond the millisecond are cut.
pub fn from_rfc3339(text: &str) -> Option<Time> {
    from_bytes(text.as_bytes())
}

/// The same from bytes.
pub(super) fn from_bytes(text: &[u8]) -> Option<Time> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let year_month = pairs(date_time, 0, b"0000-00-")?;
    let day_hour = pairs(date_time, 8, b"00T00:00")?;
    let hour_minute_second = pairs(date_time, 11, b"00:00:00")?;
    let (year, month, day) = (year_month(0) * 100 + year_month(2), year_month(5), day_hour(0));
    let (hour, minute, second) = (hour_minute_second(0), hour_minute_second(3), hour_minute_second(6));
    // No offset takes an earlier year into 1970.
    if year < 1969 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let millis = millis_and_offset(rest)?;
    let days = i64::from(days_since_year_0(year, month, day)) - DAYS_TO_1970;
    let seconds = days * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    Time::from_millis(seconds * 1_000 + millis)
}

/// The numbers that eight characters hold, if they have this form: where it has a zero they must have a digit, and elsewhere the same
/// character. What comes back gives the number of the two digits at a place; a `T` may be small.
#[inline]
fn pairs(text: &[u8; 19], place: usize, form: &'static [u8; 8]) -> Option<impl Fn(u32) -> u32> {
    // Behind a digit and behind a mark there is so much room in a byte.
    let room = u64::from_le_bytes(form.map(|mark| if mark == b'0' { 0x7f - 9 } else { 0x7f }));
    let capitals = u64::from_le_bytes(form.map(|mark| if mark == b'T' { !0x20 } else { !0 }));
    let word = *text[place..].first_chunk()?;
    // Now digits count from zero, and marks are zero.
    let digits = (u64::from_le_bytes(word) & capitals) ^ u64::from_le_bytes(*form);
    // A byte above its room sets its highest bit, or has it set already and spoils the next one, which does not matter any more.
    if (digits.wrapping_add(room) | digits) & HIGHEST_BITS != 0 {
        return None;
    }
    // No byte overflows into the next: what comes of each is at most 99.
    let numbers = digits * 10 + (digits >> 8);
    Some(move |place| u32::from((numbers >> (8 * place)) as u8))
}

const HIGHEST_BITS: u64 = u64::MAX / 255 * 0x80;

/// The milliseconds of an optional fraction, less those of the offset that follows it.
#[inline(always)]
fn millis_and_offset(rest: &[u8]) -> Option<i64> {
    match rest {
        [b'Z'] => Some(0),
        [b'.', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'Z'] => {
            let digit = |byte: u8| i64::from(byte - b'0');
            Some(digit(*a) * 100 + digit(*b) * 10 + digit(*c))
        }
        _ => {
            let (millis, offset) = fraction_millis(rest)?;
            Some(i64::from(millis) - offset_seconds(offset)? * 1_000)
        }
    }
}

fn fraction_millis(rest: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.', fraction @ ..] = rest else {
        return Some((0, rest));
    };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let digit = |index: usize| {
        if index < digits { u32::from(fraction[index] - b'0') } else { 0 }
    };
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), &fraction[digits..]))
}

fn offset_seconds(offset: &[u8]) -> Option<i64> {
    match offset {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let (hours, minutes) = (two_digits(*a, *b)?, two_digits(*c, *d)?);
            let seconds = i64::from(hours * 3_600 + minutes * 60);
            let in_range = hours < 24 && minutes < 60;
            in_range.then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens * 10 + ones))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Days from 0000-03-01 to a later date of the Gregorian calendar. The year is counted from March, so that the leap day is its
/// last; 153 days are five months from there.
fn days_since_year_0(year: u32, month: u32, day: u32) -> u32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_strictly() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.0019Z", 1),
            ("1969-12-31T23:00:00-01:00", 0),
            ("2025-04-05T18:15:00.123+02:00", 1_743_869_700_123),
            ("2025-04-05t16:15:00.1z", 1_743_869_700_100),
            ("2025-04-05T16:15:00.12+00:00", 1_743_869_700_120),
            ("2025-04-05T16:15:00.123z", 1_743_869_700_123),
            ("2025-04-05T16:15:00.1239Z", 1_743_869_700_123),
            ("2025-04-05T10:45:00.123-05:30", 1_743_869_700_123),
            ("2024-02-29T12:00:00-00:00", 1_709_208_000_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999),
            ("9999-12-31T23:59:59.999+23:59", 253_402_214_459_999),
        ] {
            let expected = Time::from_millis(millis);
            assert!(expected.is_some());
            assert_eq!(from_rfc3339(text), expected, "{text}");
        }
        for text in [
            "",
            "2025-04-05",
            "2025-04-05T18:15:00",
            "2025-04-05T18:15:00.Z",
            "2025-04-05T18:15Z",
            "2025-04-05 18:15:00Z",
            "2025-04-05T18:15:00+0200",
            "2025-04-05T18:15:00+02",
            "2025-04-05T18:15:00+24:00",
            "2025-04-05T18:15:00+02:60",
            "2025-04-05T18:15:60Z",
            "2025-04-05T24:00:00Z",
            "2025-13-05T18:15:00Z",
            "2025-00-05T18:15:00Z",
            "2025-02-29T18:15:00Z",
            "2100-02-29T18:15:00Z",
            "2025-04-31T18:15:00Z",
            "2025-04-00T18:15:00Z",
            "+025-04-05T18:15:00Z",
            "2025-04-05T18:15:00ZZ",
            "2025-04-05T18:15:00Z ",
            "1969-12-31T23:59:59.999Z",
            "1968-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "２025-04-05T18:15:00Z",
            "2025/04-05T18:15:00Z",
            "2025-04-05T18.15:00Z",
            "2025-04-05T18:15:0:Z",
            "2025-04-05T18:15:0/Z",
            "2025-04-05\u{54}\u{f8}18:15:00Z",
            "2025-04-0\u{b0}T18:15:00Z",
            "2025-04-05T18:15:00.12x",
            "2025-04-05T18:15:00.1x3Z",
            "2025-04-05T18:15:00.123",
            "2025-04-05T18:15:00+0a:00",
            "2025-04-05T18:15:00+01:0/",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }

    /// Every byte at every place: only digits and marks may stand there.
    #[test]
    fn every_character_is_looked_at() {
        let text = b"2025-11-11T11:11:11.111+11:11";
        assert!(from_bytes(text).is_some());
        for place in 0..text.len() {
            for byte in 0..=255 {
                let mut changed = *text;
                changed[place] = byte;
                let is_form = match text[place] {
                    b'T' => matches!(byte, b'T' | b't'),
                    b'+' => matches!(byte, b'+' | b'-' | b'0'..=b'9'),
                    b'.' => byte == b'.',
                    b'-' | b':' => byte == text[place],
                    _ => byte.is_ascii_digit(),
                };
                let is_found = from_bytes(&changed).is_some();
                assert!(is_form || !is_found, "{place} {byte}");
                assert!(is_found || byte != text[place], "{place} {byte}");
            }
        }
    }

    #[test]
    fn every_date_follows_the_one_before() {
        let mut days = DAYS_TO_1970;
        for year in 1970..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(i64::from(days_since_year_0(year, month, day)), days, "{year}-{month}-{day}");
                    days += 1;
                }
            }
        }
        assert_eq!(days - DAYS_TO_1970, 2_932_897);
    }
}
