//! When a rule is due: hours at which firings may be sent, turns after an anchor, and dates.

use super::assignment::{Hash, spread};
use super::rule::DateTrigger;
use crate::domain::daily_count::month::Month;
use crate::domain::values::time::{Day, Span, Time, Zone};

/// A time of day on a local clock: milliseconds since midnight, up to the next midnight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    pub const MIDNIGHT: Self = Self(0);
    pub const END_OF_DAY: Self = Self(Span::DAY.as_millis() as u32);

    /// `None` beyond 24:00.
    pub fn new(hour: u32, minute: u32) -> Option<Self> {
        let minutes = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && minutes <= 24 * 60).then_some(Self(minutes * 60_000))
    }

    const fn as_millis(self) -> i64 {
        self.0 as i64
    }
}

/// As `09:00`.
impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.0 / 60_000;
        write!(formatter, "{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monday => "mon",
            Self::Tuesday => "tue",
            Self::Wednesday => "wed",
            Self::Thursday => "thu",
            Self::Friday => "fri",
            Self::Saturday => "sat",
            Self::Sunday => "sun",
        }
    }

    pub const fn of(Day(day): Day) -> Self {
        // 1970-01-01 was a Thursday.
        Self::ALL[(day + 3).rem_euclid(7) as usize]
    }
}

/// The local times at which firings may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendHours {
    from: TimeOfDay,
    until: TimeOfDay,
    /// By [`Weekday`].
    days: [bool; 7],
}

impl SendHours {
    /// From `from` until just before `until`. `None` unless `from` is the earlier, and without a day.
    pub fn new(from: TimeOfDay, until: TimeOfDay, days: &[Weekday]) -> Option<Self> {
        let mut allowed = [false; 7];
        days.iter().for_each(|day| allowed[*day as usize] = true);
        (from < until && !days.is_empty()).then_some(Self { from, until, days: allowed })
    }

    pub const fn from(&self) -> TimeOfDay {
        self.from
    }

    pub const fn until(&self) -> TimeOfDay {
        self.until
    }

    pub fn days(&self) -> impl Iterator<Item = Weekday> {
        Weekday::ALL.into_iter().filter(|day| self.allows(*day))
    }

    const fn allows(&self, day: Weekday) -> bool {
        self.days[day as usize]
    }
}

/// The instant at which what is due at `due` may be sent: `due` itself, else the first allowed date's first allowed time after it. Where
/// summer time skips that time it is the first instant after; where it comes twice, the first of both that is not before `due`.
pub fn send(due: Time, hours: &SendHours, zone: &Zone) -> Time {
    let local = zone.local_millis(due);
    let (day, time) = (local.div_euclid(Span::DAY.as_millis()), local.rem_euclid(Span::DAY.as_millis()));
    let is_allowed = |day: i64| hours.allows(Weekday::of(Day(day as i32)));
    let (from, until) = (hours.from.as_millis(), hours.until.as_millis());
    if is_allowed(day) && (from..until).contains(&time) {
        return due;
    }
    let first = if time < from { day } else { day + 1 };
    let allowed = (first..first + 7).find(|day| is_allowed(*day)).expect("a day of the week is allowed");
    zone.first_at(allowed * Span::DAY.as_millis() + from, due)
}

/// The due instant of the next turn: `anchor` + i · `period` for the smallest i from 1 on that lies after the last emitted turn and not
/// before the clock. `period` is positive.
pub fn next_turn(anchor: Time, period: Span, last: Option<Time>, clock: Time) -> Time {
    debug_assert!(period > Span::ZERO);
    let earliest = last.map_or(clock, |last| clock.max(last.plus(Span::from_millis(1))));
    let (passed, period) = (earliest.since(anchor).as_millis(), period.as_millis());
    let turns = if passed <= 0 { 1 } else { (passed - 1) / period + 1 };
    anchor.plus(Span::from_millis(turns.saturating_mul(period)))
}

/// A date in the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DateOfYear {
    /// None: each year.
    year: Option<i32>,
    /// Within the year, 1 to 12.
    month: i32,
    /// Within the month.
    day: i32,
}

impl DateOfYear {
    /// Of one year, 1970 to 9999. `None` if the calendar has no such date.
    pub fn once(year: i32, month: i32, day: i32) -> Option<Self> {
        let is_date = (1970..=9999).contains(&year) && date(year, month, day).is_some();
        is_date.then_some(Self { year: Some(year), month, day })
    }

    /// Of each year. `None` for a date that some years do not have.
    pub fn yearly(month: i32, day: i32) -> Option<Self> {
        // A year without a leap day.
        date(1970, month, day).map(|_| Self { year: None, month, day })
    }

    fn in_year(self, year: i32) -> Day {
        date(year, self.month, self.day).expect("every year that is asked for has the date")
    }
}

/// As `11-27` or `2026-11-27`.
impl std::fmt::Display for DateOfYear {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(year) = self.year {
            write!(formatter, "{year:04}-")?;
        }
        write!(formatter, "{:02}-{:02}", self.month, self.day)
    }
}

fn date(year: i32, month: i32, day: i32) -> Option<Day> {
    let month = Month::new(year, month)?;
    let Day(first) = month.first_day();
    let Day(next) = month.plus(1).first_day();
    (1..=next - first).contains(&day).then_some(Day(first + day - 1))
}

/// The next due instant of a date trigger after `clock`, for the customer with this key; none if it never comes again.
pub fn next_date(
    trigger: &DateTrigger,
    rule_name: &str,
    customer: (&[u8], Hash),
    zone: &Zone,
    clock: Time,
) -> Option<Time> {
    let later = spread(trigger.spread, rule_name, customer.0, customer.1);
    let instant = |year: i32| {
        let Day(day) = trigger.date.in_year(year);
        let local = i64::from(day) * Span::DAY.as_millis() + trigger.time.as_millis();
        zone.first_at(local, Time::MIN).plus(later)
    };
    let local_day = (zone.local_millis(clock).div_euclid(Span::DAY.as_millis())) as i32;
    let year = Month::of(Day(local_day)).year();
    match trigger.date.year {
        Some(year) => Some(instant(year)).filter(|instant| *instant > clock),
        // Of the year before, as its turn may be spread into this one.
        None => (year - 1..=year + 1).map(instant).find(|instant| *instant > clock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hash::hash;

    const HOUR: i64 = 3_600_000;

    /// Of an instant such as `2025-01-12T09:30Z`.
    fn at(text: &str) -> Time {
        let part = |range: std::ops::Range<usize>| text[range].parse::<i32>().expect("digits");
        let Day(day) = date(part(0..4), part(5..7), part(8..10)).expect("a date");
        let minutes = i64::from(part(11..13) * 60 + part(14..16));
        Time::from_millis(i64::from(day) * Span::DAY.as_millis() + minutes * 60_000).expect("in range")
    }

    /// Berlin around 2025: winter time, with two summers.
    fn berlin() -> Zone {
        let transitions = [
            ("2024-10-27T01:00", 3_600),
            ("2025-03-30T01:00", 7_200),
            ("2025-10-26T01:00", 3_600),
            ("2026-03-29T01:00", 7_200),
        ];
        let transitions = transitions.map(|(text, offset)| (at(text).as_millis(), offset));
        Zone::new(3_600, transitions.to_vec())
    }

    fn time(hour: u32, minute: u32) -> TimeOfDay {
        TimeOfDay::new(hour, minute).expect("a time of day")
    }

    fn hours(from: TimeOfDay, until: TimeOfDay, days: usize) -> SendHours {
        SendHours::new(from, until, &Weekday::ALL[..days]).expect("hours")
    }

    #[test]
    fn what_is_due_outside_of_the_hours_is_sent_at_the_next_allowed_time() {
        let working = hours(time(9, 0), time(20, 0), 6);
        let always = hours(TimeOfDay::MIDNIGHT, TimeOfDay::END_OF_DAY, 7);
        let sundays = SendHours::new(time(9, 0), time(20, 0), &[Weekday::Sunday]).expect("hours");
        for (due, hours, expected) in [
            // A Sunday, 10:30 in Berlin.
            ("2025-01-12T09:30", working, "2025-01-13T08:00"),
            ("2025-01-11T09:30", working, "2025-01-11T09:30"),
            ("2025-01-11T07:59", working, "2025-01-11T08:00"),
            ("2025-01-11T08:00", working, "2025-01-11T08:00"),
            ("2025-01-10T18:59", working, "2025-01-10T18:59"),
            ("2025-01-10T19:00", working, "2025-01-11T08:00"),
            // Sunday in Berlin, Saturday in UTC.
            ("2025-01-11T23:30", working, "2025-01-13T08:00"),
            ("2025-01-12T23:30", always, "2025-01-12T23:30"),
            ("2025-01-12T20:00", sundays, "2025-01-19T08:00"),
            // Between a Saturday and a Monday the clocks change.
            ("2025-03-29T20:00", working, "2025-03-31T07:00"),
        ] {
            assert_eq!(send(at(due), &hours, &berlin()), at(expected), "{due}");
        }
    }

    #[test]
    fn summer_time_skips_and_repeats_an_hour() {
        let early = hours(time(2, 0), time(20, 0), 7);
        let quarter = hours(time(2, 45), time(20, 0), 7);
        for (due, hours, expected) in [
            // 02:00 does not come: 03:00 of summer time.
            ("2025-03-30T00:15", early, "2025-03-30T01:00"),
            ("2025-03-30T00:15", quarter, "2025-03-30T01:00"),
            // 02:00 comes twice, at midnight UTC and an hour later.
            ("2025-10-25T23:15", early, "2025-10-26T00:00"),
            ("2025-10-25T23:15", quarter, "2025-10-26T00:45"),
            // The first 02:45 has passed in the second 02:30.
            ("2025-10-26T01:30", quarter, "2025-10-26T01:45"),
        ] {
            assert_eq!(send(at(due), &hours, &berlin()), at(expected), "{due}");
        }
    }

    #[test]
    fn a_firing_is_never_sent_before_it_is_due_and_nearly_always_within_the_hours() {
        let hours = hours(time(9, 30), time(17, 15), 5);
        let zone = berlin();
        let mut millis = at("2025-01-01T00:00").as_millis();
        while millis < at("2026-12-31T00:00").as_millis() {
            millis += 2_777_777;
            let due = Time::from_millis(millis).expect("in range");
            let sent = send(due, &hours, &zone);
            assert!(sent >= due && sent.since(due) < Span::days(3), "{due:?}");
            assert_eq!(send(sent, &hours, &zone), sent, "{due:?}");
        }
    }

    #[test]
    fn turns_follow_the_anchor() {
        let anchor = at("2025-02-04T18:15");
        let days = |days: i64| Span::days(days);
        let next = |last: Option<&str>, clock: &str| next_turn(anchor, days(21), last.map(at), at(clock));
        // The story: news for c-1042, every 21 days after the order of 2025-02-04.
        assert_eq!(next(None, "2025-02-04T18:15"), at("2025-02-25T18:15"));
        assert_eq!(next(None, "2025-02-25T18:15"), at("2025-02-25T18:15"));
        assert_eq!(next(Some("2025-02-25T18:15"), "2025-02-25T18:15"), at("2025-03-18T18:15"));
        assert_eq!(next(None, "2025-02-25T18:16"), at("2025-03-18T18:15"));
        // A turn that was emitted ahead of the clock, and a clock ahead of the anchor's day.
        assert_eq!(next(Some("2025-03-18T18:15"), "2025-02-10T00:00"), at("2025-04-08T18:15"));
        assert_eq!(next(None, "2025-01-01T00:00"), at("2025-02-25T18:15"));
        assert_eq!(next_turn(Time::MIN, days(1), None, Time::MAX), Time::MAX);
    }

    #[test]
    fn a_date_comes_each_year_or_once() {
        let trigger = |date: DateOfYear, spread_hours: i64| DateTrigger {
            date,
            time: time(9, 0),
            spread: Span::from_millis(spread_hours * HOUR),
        };
        let yearly = |month, day| DateOfYear::yearly(month, day).expect("a date");
        let next = |trigger: &DateTrigger, clock: &str| {
            next_date(trigger, "black-friday", (b"c-1042", hash), &berlin(), at(clock))
        };
        let friday = trigger(yearly(11, 27), 0);
        assert_eq!(next(&friday, "2025-01-01T00:00"), Some(at("2025-11-27T08:00")));
        assert_eq!(next(&friday, "2025-11-27T08:00"), Some(at("2026-11-27T07:00"))); // The table ends in summer.
        let spread = trigger(yearly(11, 27), 6);
        let later = Span::from_millis(16_924_911);
        assert_eq!(next(&spread, "2025-11-27T08:00"), Some(at("2025-11-27T08:00").plus(later)));
        // Spread over New Year.
        let eve = DateTrigger { time: time(23, 0), ..trigger(yearly(12, 31), 6) };
        assert_eq!(next(&eve, "2026-01-01T01:00"), Some(at("2025-12-31T22:00").plus(later)));
        let once = trigger(DateOfYear::once(2026, 2, 1).expect("a date"), 0);
        assert_eq!(next(&once, "2025-11-27T08:00"), Some(at("2026-02-01T08:00")));
        assert_eq!(next(&once, "2026-02-01T08:00"), None);
    }

    #[test]
    fn only_dates_of_the_calendar_are_dates() {
        assert_eq!(DateOfYear::yearly(2, 29), None);
        assert_eq!(DateOfYear::once(2027, 2, 29), None);
        assert_eq!(DateOfYear::yearly(13, 1), None);
        assert_eq!(DateOfYear::yearly(11, 31), None);
        let leap = DateOfYear::once(2028, 2, 29).expect("a leap day");
        assert_eq!(leap.to_string(), "2028-02-29");
        assert_eq!(DateOfYear::yearly(1, 2).expect("a date").to_string(), "01-02");
        assert_eq!([time(9, 5), TimeOfDay::END_OF_DAY].map(|time| time.to_string()), ["09:05", "24:00"]);
        assert_eq!([TimeOfDay::new(24, 1), TimeOfDay::new(9, 60)], [None, None]);
        assert_eq!(SendHours::new(time(9, 0), time(9, 0), &[Weekday::Monday]), None);
        assert_eq!(SendHours::new(time(9, 0), time(10, 0), &[]), None);
    }
}
