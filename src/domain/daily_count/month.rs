//! Calendar months.

use crate::domain::values::time::{Day, Span, Time};

/// A calendar month: months since January of the year 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Month(i32);

impl Month {
    /// The month of a date, in the Gregorian calendar.
    pub const fn of(Day(day): Day) -> Self {
        // Years are counted from March, in eras of 400 years: then each month begins at a fixed day of its year.
        let days = day + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        Self((era * 400 + year_of_era) * 12 + month_from_march + 2)
    }

    /// Whether this midnight is the first of a month in UTC.
    pub fn begins_at(midnight: Time) -> bool {
        let day = i32::try_from(midnight.as_millis() / Span::DAY.as_millis()).expect("years up to 9999");
        Self::of(Day(day)) != Self::of(Day(day - 1))
    }

    /// The month with this number, 1 to 12; none for another number.
    pub const fn new(year: i32, of_year: i32) -> Option<Self> {
        match of_year {
            1..=12 => Some(Self(year * 12 + of_year - 1)),
            _ => None,
        }
    }

    pub const fn plus(self, months: i32) -> Self {
        Self(self.0 + months)
    }

    /// How many months lie between: 0 for the same month.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0 - earlier.0
    }

    /// The date on which it begins.
    pub const fn first_day(self) -> Day {
        // As in `of`: days of the years from March of the year 0 on, then of this year's months.
        let from_march = self.0 - 2;
        let (years, months) = (from_march.div_euclid(12), from_march.rem_euclid(12));
        let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
        Day(365 * years + leap_days + (153 * months + 2) / 5 - 719_468)
    }

    pub const fn year(self) -> i32 {
        self.0.div_euclid(12)
    }

    /// 1 to 12.
    pub const fn of_year(self) -> i32 {
        self.0.rem_euclid(12) + 1
    }
}

/// As `2010-11`.
impl std::fmt::Display for Month {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}-{:02}", self.year(), self.of_year())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_where_the_calendar_says() {
        let known = [(-1, "1969-12"), (0, "1970-01"), (30, "1970-01"), (31, "1970-02"), (11_016, "2000-02")];
        for (day, expected) in known.into_iter().chain([(11_017, "2000-03"), (2_932_896, "9999-12")]) {
            assert_eq!(Month::of(Day(day)).to_string(), expected, "{day}");
        }
        for day in -1_000..2_932_897 {
            let (month, Day(first)) = (Month::of(Day(day)), Month::of(Day(day)).first_day());
            assert!((day - 30..=day).contains(&first) && Month::of(Day(first)) == month, "{day}");
            assert!(Month::of(Day(first - 1)) != month, "{day}");
        }
        let mut lengths = [0; 12];
        (0..146_097).for_each(|day| lengths[Month::of(Day(day)).of_year() as usize - 1] += 1);
        // 400 years with 97 leap days.
        assert_eq!(
            lengths,
            [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
                .map(|days| { days * 400 + if days == 28 { 97 } else { 0 } })
        );
        let month = Month::of(Day(0));
        assert_eq!((month.plus(-1).to_string(), month.plus(14).since(month)), ("1969-12".to_owned(), 14));
    }
}
