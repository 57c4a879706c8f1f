//! The times of a CSV file: in whatever form, mostly without an offset, so that a zone has to be given.

use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono::{LocalResult, NaiveDateTime, NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;

use crate::domain::values::time::Time;
use crate::formats::native::from_rfc3339;

/// How times are written.
#[derive(Clone, Debug)]
pub enum TimeForm {
    /// With an offset.
    Rfc3339,
    UnixSeconds,
    UnixMilliseconds,
    Pattern(Pattern),
}

/// A pattern of `strftime`.
#[derive(Clone, Debug)]
pub struct Pattern {
    items: Vec<Item<'static>>,
    has_time: bool,
    has_offset: bool,
}

/// Why a text is no instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not have the form.
    Form,
    /// Clocks of the zone were put forward and never showed it.
    Skipped,
    /// It has no offset, and no zone is known.
    Zone,
    /// Not from 1970 to 9999.
    Range,
}

impl TimeForm {
    /// `rfc3339`, `unix_seconds`, `unix_milliseconds`, or a pattern such as `%Y-%m-%d %H:%M`; the error says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix_seconds" => Ok(Self::UnixSeconds),
            "unix_milliseconds" => Ok(Self::UnixMilliseconds),
            pattern => Pattern::new(pattern).map(Self::Pattern),
        }
    }

    /// Whether times say their own offset.
    pub const fn has_offset(&self) -> bool {
        match self {
            Self::Rfc3339 | Self::UnixSeconds | Self::UnixMilliseconds => true,
            Self::Pattern(pattern) => pattern.has_offset,
        }
    }

    /// The instant that a text means. Of two instants at which clocks of the zone show it, the earlier.
    pub fn read(&self, text: &str, zone: Option<Tz>) -> Result<Time, Fault> {
        let unix = |scale: i64| {
            let number = text.parse::<i64>().map_err(|_| Fault::Form)?;
            number.checked_mul(scale).and_then(Time::from_millis).ok_or(Fault::Range)
        };
        match self {
            Self::Rfc3339 => from_rfc3339(text).ok_or(Fault::Form),
            Self::UnixSeconds => unix(1_000),
            Self::UnixMilliseconds => unix(1),
            Self::Pattern(pattern) => pattern.read(text, zone),
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let items: Vec<Item<'static>> = StrftimeItems::new(text)
            .parse_to_owned()
            .map_err(|_| format!("{text:?} is not a pattern such as %Y-%m-%d %H:%M"))?;
        let has_time = items.iter().any(|item| {
            matches!(
                item,
                Item::Numeric(Numeric::Hour | Numeric::Hour12, _)
                    | Item::Fixed(Fixed::RFC2822 | Fixed::RFC3339)
            )
        });
        let has_offset = items.iter().any(|item| {
            matches!(
                item,
                Item::Fixed(
                    Fixed::TimezoneOffset
                        | Fixed::TimezoneOffsetColon
                        | Fixed::TimezoneOffsetColonZ
                        | Fixed::TimezoneOffsetZ
                        | Fixed::RFC2822
                        | Fixed::RFC3339
                )
            )
        });
        Ok(Self { items, has_time, has_offset })
    }

    fn read(&self, text: &str, zone: Option<Tz>) -> Result<Time, Fault> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, self.items.iter()).map_err(|_| Fault::Form)?;
        let date = parsed.to_naive_date().map_err(|_| Fault::Form)?;
        // A date alone is its first moment.
        let time =
            if self.has_time { parsed.to_naive_time().map_err(|_| Fault::Form)? } else { NaiveTime::MIN };
        let is_leap_second = time.nanosecond() >= 1_000_000_000;
        if is_leap_second {
            return Err(Fault::Form);
        }
        let local = date.and_time(time);
        let millis = if self.has_offset {
            let offset = parsed.to_fixed_offset().map_err(|_| Fault::Form)?;
            local.and_utc().timestamp_millis() - i64::from(offset.local_minus_utc()) * 1_000
        } else {
            utc_millis(local, zone.ok_or(Fault::Zone)?)?
        };
        Time::from_millis(millis).ok_or(Fault::Range)
    }
}

fn utc_millis(local: NaiveDateTime, zone: Tz) -> Result<i64, Fault> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) => Ok(instant.timestamp_millis()),
        LocalResult::Ambiguous(one, other) => Ok(one.min(other).timestamp_millis()),
        LocalResult::None => Err(Fault::Skipped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str, text: &str, zone: Option<Tz>) -> Result<i64, Fault> {
        let form = TimeForm::new(form).expect("a form");
        form.read(text, zone).map(Time::as_millis)
    }

    #[test]
    fn times_are_read_in_their_zone() {
        const DAY: i64 = 86_400_000;
        const HOUR: i64 = 3_600_000;
        let (berlin, utc) = (Some(Tz::Europe__Berlin), Some(Tz::UTC));
        for (form, text, zone, expected) in [
            ("rfc3339", "1970-01-02T01:00:00+01:00", None, Ok(DAY)),
            ("rfc3339", "1970-01-02T00:00:00", utc, Err(Fault::Form)),
            ("rfc3339", "1970-01-02 01:00 +0100", None, Ok(DAY)),
            ("unix_seconds", "86400", None, Ok(DAY)),
            ("unix_seconds", "-1", None, Err(Fault::Range)),
            ("unix_milliseconds", "86400000", berlin, Ok(DAY)),
            ("unix_milliseconds", "8.64e7", None, Err(Fault::Form)),
            ("%Y-%m-%dT%H:%M:%S", "1970-01-02T00:00:00", utc, Ok(DAY)),
            ("%Y-%m-%d %H:%M", "1970-01-02 01:30", berlin, Ok(DAY + HOUR / 2)),
            ("%m/%d/%Y %H:%M", "1/2/1970 0:00", utc, Ok(DAY)),
            ("%m/%d/%Y %I:%M %p", "1/2/1970 1:00 PM", utc, Ok(DAY + 13 * HOUR)),
            ("%Y-%m-%d", "1970-01-02", utc, Ok(DAY)),
            ("%Y-%m-%d %H:%M:%S %z", "1970-01-02 01:00:00 +0100", None, Ok(DAY)),
            ("%Y-%m-%d %H:%M", "1970-01-02 00:00", None, Err(Fault::Zone)),
            ("%Y-%m-%d %H:%M", "1970-02-30 00:00", utc, Err(Fault::Form)),
            ("%Y-%m-%d %H:%M", "1970-01-02 00:00 and more", utc, Err(Fault::Form)),
            ("%Y-%m-%d %H:%M:%S", "1970-01-02 00:00:60", utc, Err(Fault::Form)),
            ("%Y-%m-%d", "1969-12-31", utc, Err(Fault::Range)),
        ] {
            assert_eq!(read(form, text, zone), expected, "{form} {text}");
        }
    }

    #[test]
    fn of_an_hour_shown_twice_the_first_is_meant_and_a_skipped_one_is_refused() {
        let london = Some(Tz::Europe__London);
        // Summer time ends at 2011-10-30T01:00Z; at 00:30Z and at 01:30Z clocks show 01:30.
        assert_eq!(read("%Y-%m-%d %H:%M", "2011-10-30 01:30", london), Ok(1_319_934_600_000));
        assert_eq!(read("%Y-%m-%d %H:%M", "2011-03-27 01:30", london), Err(Fault::Skipped));
    }

    #[test]
    fn a_pattern_knows_whether_it_needs_a_zone() {
        for (form, has_offset) in
            [("rfc3339", true), ("%Y-%m-%d %H:%M", false), ("%Y-%m-%dT%H:%M:%S%:z", true)]
        {
            assert_eq!(TimeForm::new(form).expect("a form").has_offset(), has_offset, "{form}");
        }
        assert!(TimeForm::new("%Q").is_err());
    }
}
