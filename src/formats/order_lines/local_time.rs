//! The times of a CSV file: in whatever form, mostly without an offset, so that a zone has to be given.

use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono::{
    DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike,
};
use chrono_tz::{OffsetName, Tz};

use super::zones;
use crate::domain::values::decimal::{Sign, WrittenDecimal};
use crate::domain::values::time::Time;
use crate::formats::native::from_rfc3339;

/// How times are written: in one of these ways.
#[derive(Clone, Debug)]
pub(super) struct TimeForms(Vec<TimeForm>);

/// One way to write times.
#[derive(Clone, Debug)]
pub enum TimeForm {
    /// With an offset.
    Rfc3339,
    UnixSeconds,
    UnixMilliseconds,
    /// Days since the end of 1899, as spreadsheets count them.
    Excel,
    Pattern(Pattern),
}

/// A pattern of `strftime`.
#[derive(Clone, Debug)]
pub struct Pattern {
    items: Vec<Item<'static>>,
    /// Where `%Z` stands among them: the name of a zone.
    zone_name: Option<usize>,
    has_time: bool,
    has_offset: bool,
}

/// An instant, and the day that the text names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Instant {
    pub(super) time: Time,
    /// From the year 0 on.
    pub(super) day: i32,
}

/// Why a text is no instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not have the form.
    Form,
    /// Two of the forms read it, as different instants.
    Ambiguous,
    /// Clocks of the zone were put forward and never showed it.
    Skipped,
    /// It has no offset, and no zone is known.
    Zone,
    /// It names a zone by letters that several zones use.
    ZoneName,
    /// Not from 1970 to 9999.
    Range,
}

impl TimeForms {
    /// Each `rfc3339`, `unix_seconds`, `unix_milliseconds`, `excel`, or a pattern such as `%Y-%m-%d %H:%M`; the error says what is
    /// wrong.
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self, String> {
        let forms: Vec<TimeForm> = names.map(TimeForm::new).collect::<Result<_, _>>()?;
        if forms.is_empty() { Err("is empty".to_owned()) } else { Ok(Self(forms)) }
    }

    /// Whether all times say their own offset.
    pub(super) fn have_offsets(&self) -> bool {
        self.0.iter().all(TimeForm::has_offset)
    }

    /// The instant that a text means. Of two instants at which clocks of the zone show it, the earlier.
    pub(super) fn read(&self, text: &str, zone: Option<Tz>) -> Result<Instant, Fault> {
        let [form] = self.0.as_slice() else {
            return self.read_any(text, zone);
        };
        form.instant(text, zone)
    }

    /// A text that two forms read in two ways is refused: `3/4/2025` cannot be known.
    fn read_any(&self, text: &str, zone: Option<Tz>) -> Result<Instant, Fault> {
        let mut found = Err(Fault::Form);
        for form in &self.0 {
            match (form.instant(text, zone), found) {
                (Err(Fault::Form), _) => {}
                (Ok(instant), Ok(other)) if instant != other => return Err(Fault::Ambiguous),
                (read, Err(_)) => found = read,
                (Ok(_) | Err(_), Ok(_)) => {}
            }
        }
        found
    }
}

impl TimeForm {
    /// `rfc3339`, `unix_seconds`, `unix_milliseconds`, `excel`, or a pattern such as `%Y-%m-%d %H:%M`; the error says what is wrong with
    /// it.
    pub fn new(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix_seconds" => Ok(Self::UnixSeconds),
            "unix_milliseconds" => Ok(Self::UnixMilliseconds),
            "excel" => Ok(Self::Excel),
            pattern => Pattern::new(pattern).map(Self::Pattern),
        }
    }

    /// Whether times say their own offset.
    pub const fn has_offset(&self) -> bool {
        match self {
            Self::Rfc3339 | Self::UnixSeconds | Self::UnixMilliseconds => true,
            Self::Excel => false,
            Self::Pattern(pattern) => pattern.has_offset || pattern.zone_name.is_some(),
        }
    }

    /// The instant that a text means. Of two instants at which clocks of the zone show it, the earlier.
    pub fn read(&self, text: &str, zone: Option<Tz>) -> Result<Time, Fault> {
        self.instant(text, zone).map(|instant| instant.time)
    }

    fn instant(&self, text: &str, zone: Option<Tz>) -> Result<Instant, Fault> {
        match self {
            Self::Rfc3339 => {
                let time = from_rfc3339(text).ok_or(Fault::Form)?;
                let date = NaiveDate::parse_from_str(text.get(..10).ok_or(Fault::Form)?, "%Y-%m-%d");
                Ok(Instant { time, day: date.map_err(|_| Fault::Form)?.num_days_from_ce() })
            }
            Self::UnixSeconds => unix(text, 3, zone),
            Self::UnixMilliseconds => unix(text, 0, zone),
            Self::Excel => excel(text, zone),
            Self::Pattern(pattern) => pattern.read(text, zone),
        }
    }
}

/// Seconds or milliseconds since 1970; what is finer than a millisecond is cut.
fn unix(text: &str, digits: u8, zone: Option<Tz>) -> Result<Instant, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole.strip_prefix('-').unwrap_or(whole)) || !is_digits(fraction) {
        return Err(Fault::Form);
    }
    let kept = &fraction[..fraction.len().min(usize::from(digits))];
    let millis = format!("{whole}{kept:0<width$}", width = usize::from(digits));
    let time = millis.parse().ok().and_then(Time::from_millis).ok_or(Fault::Range)?;
    let utc = DateTime::from_timestamp_millis(time.as_millis()).ok_or(Fault::Range)?;
    let day = zone.map_or(utc.date_naive(), |zone| utc.with_timezone(&zone).date_naive());
    Ok(Instant { time, day: day.num_days_from_ce() })
}

/// Days since 1899-12-30 with a fraction, rounded to the millisecond.
fn excel(text: &str, zone: Option<Tz>) -> Result<Instant, Fault> {
    const DIGITS: u8 = 12;
    const DAY_UNITS: i64 = 10i64.pow(DIGITS as u32);
    const DAY_MILLIS: i128 = 86_400_000;
    let number = WrittenDecimal::parse(text.as_bytes())
        .filter(|number| number.sign == Sign::None && !number.has_exponent);
    let number = number.ok_or(Fault::Form)?;
    // Below this limit lie all days to the year 4637, and more digits than spreadsheets keep.
    let units = number.magnitude(DIGITS, 1_000_000 * DAY_UNITS).map_err(|_| Fault::Form)?;
    let millis = (i128::from(units) * DAY_MILLIS + i128::from(DAY_UNITS / 2)) / i128::from(DAY_UNITS);
    let start = NaiveDate::from_ymd_opt(1899, 12, 30).expect("a date").and_time(NaiveTime::MIN);
    let span = TimeDelta::milliseconds(i64::try_from(millis).map_err(|_| Fault::Range)?);
    let local = start.checked_add_signed(span).ok_or(Fault::Range)?;
    at(local, utc_millis(local, zone.ok_or(Fault::Zone)?)?)
}

fn at(local: NaiveDateTime, millis: i64) -> Result<Instant, Fault> {
    let time = Time::from_millis(millis).ok_or(Fault::Range)?;
    Ok(Instant { time, day: local.num_days_from_ce() })
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
        let zone_name = items.iter().position(|item| matches!(item, Item::Fixed(Fixed::TimezoneName)));
        Ok(Self { items, zone_name, has_time, has_offset })
    }

    fn read(&self, text: &str, zone: Option<Tz>) -> Result<Instant, Fault> {
        let mut parsed = Parsed::new();
        let name = self.parse(&mut parsed, text).ok_or(Fault::Form)?;
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
        } else if let Some(name) = name {
            named_millis(local, name, zone)?
        } else {
            utc_millis(local, zone.ok_or(Fault::Zone)?)?
        };
        at(local, millis)
    }

    /// Parses a text, and gives what stands at `%Z`: the library passes over it.
    fn parse<'t>(&self, parsed: &mut Parsed, text: &'t str) -> Option<Option<&'t str>> {
        let Some(index) = self.zone_name else {
            return chrono::format::parse(parsed, text, self.items.iter()).ok().map(|()| None);
        };
        let (before, behind) = (&self.items[..index], &self.items[index + 1..]);
        let rest = chrono::format::parse_and_remainder(parsed, text, before.iter()).ok()?;
        let length = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(length);
        chrono::format::parse(parsed, rest, behind.iter()).ok()?;
        Some(Some(name))
    }
}

/// The instant of a local time in a zone that letters such as `PDT` name. Clocks of the given zone that show these letters are certain;
/// so are letters that mean one offset only.
fn named_millis(local: NaiveDateTime, name: &str, zone: Option<Tz>) -> Result<i64, Fault> {
    if let Some(zone) = zone {
        let candidates = match zone.from_local_datetime(&local) {
            LocalResult::Single(one) => [Some(one), None],
            LocalResult::Ambiguous(one, other) => [Some(one), Some(other)],
            LocalResult::None => [None, None],
        };
        let shown = |time: &DateTime<Tz>| time.offset().abbreviation() == Some(name);
        if let Some(time) = candidates.into_iter().flatten().find(shown) {
            return Ok(time.timestamp_millis());
        }
    }
    let offset = zones::offset_hours(name).ok_or(Fault::ZoneName)?;
    Ok(local.and_utc().timestamp_millis() - offset * 3_600_000)
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
        let forms = TimeForms::new(form.split(" or ")).expect("forms");
        forms.read(text, zone).map(|instant| instant.time.as_millis())
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
            ("unix_milliseconds", "86400000.9", None, Ok(DAY)),
            ("unix_seconds", "86400.5", None, Ok(DAY + 500)),
            ("unix_seconds", "86400.0009", None, Ok(DAY)),
            ("unix_seconds", "", None, Err(Fault::Form)),
            ("excel", "25570", utc, Ok(DAY)),
            ("excel", "40513.3513888889", utc, Ok(1_291_191_960_000)),
            ("excel", "25570.5", berlin, Ok(DAY + 11 * HOUR)),
            ("excel", "1970-01-02", utc, Err(Fault::Form)),
            ("excel", "25568", utc, Err(Fault::Range)),
            ("%m/%d/%Y %H:%M or %m/%d/%Y", "1/2/1970 1:00", utc, Ok(DAY + HOUR)),
            ("%m/%d/%Y %H:%M or %m/%d/%Y", "1/2/1970", utc, Ok(DAY)),
            ("%m/%d/%Y or %d/%m/%Y", "1/2/1970", utc, Err(Fault::Ambiguous)),
            ("%m/%d/%Y or %d/%m/%Y", "31/1/1970", utc, Ok(30 * DAY)),
            ("%m/%d/%Y or %d/%m/%Y", "2/2/1970", utc, Ok(32 * DAY)),
            ("%b %d, %Y %I:%M:%S %p %Z", "Jan 1, 2024 12:05:06 AM PST", utc, Ok(1_704_096_306_000)),
            ("%b %d, %Y %I:%M:%S %p %Z", "Jul 1, 2024 12:05:06 AM PDT", None, Ok(1_719_817_506_000)),
            ("%Y-%m-%d %H:%M %Z", "1970-01-02 00:00 UTC", None, Ok(DAY)),
            ("%Y-%m-%d %H:%M %Z", "1970-01-02 01:00 CET", berlin, Ok(DAY)),
            ("%Y-%m-%d %H:%M %Z", "1970-01-02 01:00 CST", berlin, Err(Fault::ZoneName)),
            ("%H:%M %Z %Y-%m-%d", "00:00 GMT 1970-01-02", None, Ok(DAY)),
            ("%Y-%m-%dT%H:%M:%S", "1970-01-02T00:00:00", utc, Ok(DAY)),
            ("%Y-%m-%d %H:%M", "1970-01-02 01:30", berlin, Ok(DAY + HOUR / 2)),
            ("%m/%d/%Y %H:%M", "1/2/1970 0:00", utc, Ok(DAY)),
            ("%m/%d/%Y %I:%M %p", "1/2/1970 1:00 PM", utc, Ok(DAY + 13 * HOUR)),
            ("%Y-%m-%d", "1970-01-02", utc, Ok(DAY)),
            ("%Y-%m-%d %H:%M:%S %z", "1970-01-02 01:00:00 +0100", None, Ok(DAY)),
            ("%Y-%m-%d %H:%M:%S %z", "1970-01-01 19:00:00 -0500", None, Ok(DAY)),
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
        // The second hour that clocks show twice can be told by its letters.
        let berlin = Some(Tz::Europe__Berlin);
        let twice = |name: &str| read("%Y-%m-%d %H:%M %Z", &format!("2025-10-26 02:30 {name}"), berlin);
        assert_eq!((twice("CEST"), twice("CET")), (Ok(1_761_438_600_000), Ok(1_761_442_200_000)));
    }
}
