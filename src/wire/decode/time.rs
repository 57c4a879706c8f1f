//! Instants as they are written: RFC 3339 with an offset.

use crate::domain::time::Time;

/// Reads `2025-04-05T18:15:00.123+02:00`. `None` for anything else: no offset, a space for the `T`, a leap second, a day
/// that the month does not have, or an instant outside of [`Time::MIN`] to [`Time::MAX`]. Digits beyond the millisecond are cut.
pub fn from_rfc3339(text: &str) -> Option<Time> {
    let (date_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let marks = [4, 7, 10, 13, 16].map(|index| date_time[index]);
    if !matches!(marks, [b'-', b'-', b'T' | b't', b':', b':']) {
        return None;
    }
    let [century, year_of_century, month, day, hour, minute, second] =
        [0, 2, 5, 8, 11, 14, 17].map(|index| two_digits(date_time, index));
    let year = century * 100 + year_of_century;
    // What is no pair of digits is above all of these limits; and no offset takes an earlier year into 1970.
    let in_range = century < 100 && year_of_century < 100 && hour < 24 && minute < 60 && second < 60;
    if !in_range || year < 1969 || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let (millis, offset) = fraction_millis(rest)?;
    let days = i64::from(days_since_year_0(year, month, day)) - DAYS_TO_1970;
    let seconds = days * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    Time::from_millis((seconds - offset_seconds(offset)?) * 1_000 + i64::from(millis))
}

/// 100 or more if these are not two digits.
fn two_digits(bytes: &[u8], index: usize) -> u32 {
    let (tens, ones) = (bytes[index].wrapping_sub(b'0'), bytes[index + 1].wrapping_sub(b'0'));
    if tens <= 9 && ones <= 9 { u32::from(tens * 10 + ones) } else { 100 }
}

/// The milliseconds of an optional fraction, and what follows it.
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
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (two_digits(offset, 1), two_digits(offset, 4));
            let seconds = i64::from(hours * 3_600 + minutes * 60);
            let in_range = hours < 24 && minutes < 60;
            in_range.then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
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
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
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
