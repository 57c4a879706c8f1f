//! Instants as they are written: a date, a time of day and an offset.

use crate::domain::values::time::Time;

/// Reads `2025-04-05T18:15:00.123+02:00` and what means one instant only as well: a small `t` or a blank for the `T`, no seconds, a
/// comma before the fraction, a blank before the offset, an offset such as `+0200`, `+02`, `z` or `UTC`.
///
/// `None` for anything else: no offset, a leap second, a day that the month does not have, or an instant outside of [`Time::MIN`] to
/// [`Time::MAX`]. Digits beyond the millisecond are cut.
pub fn from_rfc3339(text: &str) -> Option<Time> {
    from_bytes(text.as_bytes())
}

/// The same from bytes.
#[inline]
pub(super) fn from_bytes(text: &[u8]) -> Option<Time> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', n1, n2, rest @ ..] =
        text
    else {
        return None;
    };
    let year = two_digits(*y1, *y2)? * 100 + two_digits(*y3, *y4)?;
    let (month, day) = (two_digits(*m1, *m2)?, two_digits(*d1, *d2)?);
    let (hour, minute) = (two_digits(*h1, *h2)?, two_digits(*n1, *n2)?);
    let (second, millis, offset) = match rest {
        [b':', s1, s2, b'Z'] => (two_digits(*s1, *s2)?, 0, 0),
        [b':', s1, s2, rest @ ..] => {
            let (millis, rest) = fraction_millis(rest)?;
            (two_digits(*s1, *s2)?, millis, offset_minutes(rest)?)
        }
        rest => (0, 0, offset_minutes(rest)?),
    };
    // No offset takes an earlier year into 1970.
    if year < 1969 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let days = i64::from(days_since_year_0(year, month, day)) - DAYS_TO_1970;
    let minutes = days * 1_440 + i64::from(hour * 60 + minute) - offset;
    Time::from_millis((minutes * 60 + i64::from(second)) * 1_000 + millis)
}

/// The milliseconds of a fraction, if one stands here, and what follows.
#[inline]
fn fraction_millis(rest: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', fraction @ ..] = rest else {
        return Some((0, rest));
    };
    let (mut millis, mut unit, mut rest) = (0, 100, fraction);
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        millis += i64::from(digit - b'0') * unit;
        unit /= 10;
        rest = behind;
    }
    (rest.len() < fraction.len()).then_some((millis, rest))
}

#[inline]
fn offset_minutes(offset: &[u8]) -> Option<i64> {
    match offset.strip_prefix(b" ").unwrap_or(offset) {
        [b'Z' | b'z'] | b"UTC" => Some(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] | [sign @ (b'+' | b'-'), a, b, c, d] => {
            signed_minutes(*sign, two_digits(*a, *b)?, two_digits(*c, *d)?)
        }
        [sign @ (b'+' | b'-'), a, b] => signed_minutes(*sign, two_digits(*a, *b)?, 0),
        _ => None,
    }
}

fn signed_minutes(sign: u8, hours: u32, minutes: u32) -> Option<i64> {
    let total = i64::from(hours * 60 + minutes);
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -total } else { total })
}

#[inline]
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
            ("2025-04-05 18:15:00.123 +0200", 1_743_869_700_123),
            ("2025-04-05T18:15:00,123+02", 1_743_869_700_123),
            ("2025-04-05 16:15:00.123 UTC", 1_743_869_700_123),
            ("2025-04-05T21:45:00.123+0530", 1_743_869_700_123),
            ("1970-01-01T00:00Z", 0),
            ("1970-01-01 01:00 +01:00", 0),
        ] {
            let expected = Time::from_millis(millis);
            assert!(expected.is_some());
            assert_eq!(from_rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_not_read() {
        for text in [
            "",
            "2025-04-05",
            "2025-04-05T18:15:00",
            "2025-04-05T18:15:00.Z",
            "2025-04-05T18:15:00,Z",
            "2025-04-05T18:15",
            "2025-04-05T18Z",
            "2025-04-05  18:15:00Z",
            "2025-04-05T18:15:00  Z",
            "2025-04-05T18:15:00utc",
            "2025-04-05T18:15:00 CET",
            "2025-04-05T18:15:00+2",
            "2025-04-05T18:15:00+020",
            "2025-04-05T18:15:00+24",
            "2025-04-05T18:15:00+0260",
            "2025-04-05T18:15.5Z",
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
                    b'T' => matches!(byte, b'T' | b't' | b' '),
                    b'+' => matches!(byte, b'+' | b'-' | b'0'..=b'9'),
                    b'.' => matches!(byte, b'.' | b','),
                    b'-' | b':' => byte == text[place],
                    // One digit of the fraction less, and a blank before the offset.
                    _ if place == 22 && byte == b' ' => true,
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
