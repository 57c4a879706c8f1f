//! Instants, spans and calendar days.

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Time(i64);

impl Time {
    pub const MIN: Self = Self(0);
    /// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write. It fits in 48 bits.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// `None` outside of [`Self::MIN`] to [`Self::MAX`].
    pub fn from_millis(millis: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&millis).then_some(Self(millis))
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant plus a span, not beyond [`Self::MAX`]: what is due then is never due.
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// This instant minus a span, not before [`Self::MIN`].
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The last instant before this one.
    pub fn just_before(self) -> Self {
        self.minus(Span::from_millis(1))
    }

    /// The span from `earlier` to this instant; negative if this one is the earlier.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0 - earlier.0)
    }

    /// How far apart two instants are, in either direction.
    pub const fn distance(self, other: Self) -> Span {
        Span((self.0 - other.0).abs())
    }

    /// The first UTC midnight after this instant.
    pub fn next_midnight(self) -> Self {
        Self((self.0 / Span::DAY.0 + 1) * Span::DAY.0).min(Self::MAX)
    }
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span(i64);

impl Span {
    pub const ZERO: Self = Self(0);
    /// 24 hours: a day of silence, of a window, of lateness. Not a calendar day.
    pub const DAY: Self = Self(86_400_000);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn days(days: i64) -> Self {
        Self(days * Self::DAY.0)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// A calendar date: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(pub i32);

/// A time zone as a table: from each instant on (milliseconds), the offset to UTC in seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    first_offset_seconds: i32,
    transitions: Box<[(i64, i32)]>,
}

impl Zone {
    /// `transitions` must be sorted by instant; before the first one `first_offset_seconds` holds.
    pub fn new(first_offset_seconds: i32, transitions: Vec<(i64, i32)>) -> Self {
        debug_assert!(transitions.is_sorted_by_key(|transition| transition.0));
        Self { first_offset_seconds, transitions: transitions.into() }
    }

    pub fn utc() -> Self {
        Self::new(0, Vec::new())
    }

    /// What a local clock shows: milliseconds since its own 1970-01-01T00:00.
    pub fn local_millis(&self, time: Time) -> i64 {
        time.0 + self.offset_millis(self.following(time))
    }

    /// The first instant, not before `earliest`, at which a local clock shows `local_millis` or more: that reading where it comes once or
    /// twice, and the end of the gap where the clock skips it.
    pub fn first_at(&self, local_millis: i64, earliest: Time) -> Time {
        let mut from = earliest.0;
        for following in self.following(earliest)..=self.transitions.len() {
            let until = self.transitions.get(following).map_or(i64::MAX, |transition| transition.0);
            let instant = from.max(local_millis - self.offset_millis(following));
            if instant < until {
                return Time(instant.clamp(Time::MIN.0, Time::MAX.0));
            }
            from = until;
        }
        unreachable!("the last offset holds for ever")
    }

    /// The index of the first transition after an instant.
    fn following(&self, time: Time) -> usize {
        self.transitions.partition_point(|transition| transition.0 <= time.0)
    }

    /// The offset that holds up to a transition.
    fn offset_millis(&self, following: usize) -> i64 {
        let offset_seconds = match following.checked_sub(1) {
            None => self.first_offset_seconds,
            Some(index) => self.transitions[index].1,
        };
        i64::from(offset_seconds) * 1_000
    }

    /// The local calendar dates of instants, cheaper where one lies near the one before.
    pub fn days(&self) -> Days<'_> {
        Days { zone: self, from: 0, until: 0, offset_millis: 0 }
    }
}

/// Made by [`Zone::days`]. The table is searched only where another offset may hold than for the date before.
#[derive(Clone, Debug)]
pub struct Days<'z> {
    zone: &'z Zone,
    /// From here on the offset holds, up to `until`.
    from: i64,
    until: i64,
    offset_millis: i64,
}

impl Days<'_> {
    /// The local calendar date at an instant.
    pub fn of(&mut self, time: Time) -> Day {
        if time.0 < self.from || self.until <= time.0 {
            self.search(time);
        }
        // Counted from a day earlier, so that it is positive: offsets are shorter than a day. Years up to 9999 have 22-bit days.
        let local = (time.0 + self.offset_millis + Span::DAY.0) as u64;
        Day((local / Span::DAY.0 as u64) as i32 - 1)
    }

    fn search(&mut self, time: Time) {
        let transitions = &self.zone.transitions;
        let following = self.zone.following(time);
        self.from = following.checked_sub(1).map_or(i64::MIN, |index| transitions[index].0);
        self.until = transitions.get(following).map_or(i64::MAX, |transition| transition.0);
        self.offset_millis = self.zone.offset_millis(following);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_changes_the_calendar_date_at_its_transitions() {
        let hour = 3_600_000;
        let zone = Zone::new(0, vec![(100 * hour, 3_600), (200 * hour, -3_600)]);
        let time = |hours: i64| Time::from_millis(hours * hour).expect("in range");
        let day = |hours: i64| zone.days().of(time(hours));
        assert_eq!(day(95), Day(3));
        assert_eq!(day(96), Day(4));
        assert_eq!(day(118), Day(4));
        assert_eq!(day(119), Day(5)); // 23:00 UTC is midnight at +01:00
        assert_eq!(day(216), Day(8)); // midnight UTC is 23:00 of the day before at -01:00
        assert_eq!(day(217), Day(9));
        let mut days = zone.days();
        for hours in [95, 96, 119, 118, 217, 216, 118, 0, 217] {
            assert_eq!(days.of(time(hours)), day(hours), "{hours} after others");
        }
    }

    #[test]
    fn a_local_reading_is_skipped_or_comes_twice() {
        let hour = 3_600_000;
        let zone = Zone::new(0, vec![(100 * hour, 3_600), (200 * hour, -3_600)]);
        let time = |hours: i64| Time::from_millis(hours * hour).expect("in range");
        let first = |local: i64, earliest: i64| zone.first_at(local * hour, time(earliest));
        assert_eq!([99, 100, 101, 102].map(|local| first(local, 0)), [99, 100, 100, 101].map(time));
        // From hour 200 on, clocks show 199 again.
        assert_eq!([200, 201].map(|local| first(local, 0)), [199, 202].map(time));
        assert_eq!([199, 200, 202].map(|local| first(local, 200)), [200, 201, 203].map(time));
        for hours in 90..210 {
            assert!(first(zone.local_millis(time(hours)) / hour, 0) <= time(hours), "{hours}");
        }
    }

    #[test]
    fn the_first_instant_may_fall_on_the_day_before_1970() {
        assert_eq!(Zone::new(-3_600, Vec::new()).days().of(Time::MIN), Day(-1));
        assert_eq!(Zone::new(3_600, Vec::new()).days().of(Time::MIN), Day(0));
    }
}
