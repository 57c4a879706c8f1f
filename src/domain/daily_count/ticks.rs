//! The midnights (UTC) at which a partition counts its customers.
//!
//! ```text
//!  counted through │ skipped: too long ago to be counted │ to count, one after the other │ clock │ the next tick
//! ```

use crate::domain::values::time::{Span, Time};

/// Midnights that lie further back than this are not counted: while a load of years is read, each day of them would be.
pub const BACK_MAX: Span = Span::days(40);

/// How far a partition has counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ticks {
    /// The last midnight that was counted or skipped; none before the first.
    pub through: Option<Time>,
}

/// What is to be done with the ticks that a clock has crossed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DueTick {
    /// The customers are to be counted as of this midnight. Ticks before it that were not counted are skipped.
    Count(Time),
    /// All ticks up to this one are skipped.
    Skip(Time),
}

impl DueTick {
    pub const fn midnight(self) -> Time {
        match self {
            Self::Count(tick) | Self::Skip(tick) => tick,
        }
    }
}

impl Ticks {
    /// What is due at this clock. A partition that has counted nothing begins with the last midnight.
    pub fn due(&self, clock: Time, shop_now: Time) -> Option<DueTick> {
        let crossed = midnight(clock);
        let first = self.through.map_or(crossed, |through| through.plus(Span::DAY));
        if first > crossed {
            return None;
        }
        let tick = first.max(oldest(shop_now));
        Some(if tick <= crossed { DueTick::Count(tick) } else { DueTick::Skip(crossed) })
    }

    /// The first tick after the clock, if it lies at or before `by`. A partition without a clock has one too: other partitions wait
    /// for it.
    pub fn next(&self, clock: Option<Time>, by: Time) -> Option<Time> {
        let after_through = self.through.map(|through| through.plus(Span::DAY));
        let after_clock = clock.map(Time::next_midnight);
        let next = after_clock.max(after_through).unwrap_or_else(|| midnight(by));
        (next <= by).then_some(next)
    }
}

/// The last UTC midnight at or before an instant.
pub fn midnight(instant: Time) -> Time {
    instant.minus(Span::from_millis(instant.as_millis() % Span::DAY.as_millis()))
}

/// The first midnight that is not too long ago to be counted.
pub fn oldest(shop_now: Time) -> Time {
    let instant = shop_now.minus(BACK_MAX);
    let before = midnight(instant);
    if before == instant { before } else { instant.next_midnight() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64, hours: i64) -> Time {
        Time::from_millis((days * 24 + hours) * 3_600_000).expect("in range")
    }

    #[test]
    fn ticks_are_counted_in_order_and_old_ones_are_skipped() {
        let through = |days| Ticks { through: Some(at(days, 0)) };
        let none = Ticks::default();
        for (ticks, clock, shop_now, expected) in [
            (none, at(100, 5), at(100, 6), Some(DueTick::Count(at(100, 0)))),
            (none, at(100, 0), at(100, 6), Some(DueTick::Count(at(100, 0)))),
            (none, at(50, 5), at(100, 6), Some(DueTick::Skip(at(50, 0)))),
            (through(100), at(100, 23), at(100, 23), None),
            (through(100), at(101, 0), at(101, 1), Some(DueTick::Count(at(101, 0)))),
            (through(100), at(103, 7), at(103, 8), Some(DueTick::Count(at(101, 0)))),
            (through(10), at(100, 5), at(100, 6), Some(DueTick::Count(at(61, 0)))),
            (through(10), at(100, 5), at(100, 0), Some(DueTick::Count(at(60, 0)))),
            (through(10), at(50, 5), at(100, 6), Some(DueTick::Skip(at(50, 0)))),
            // The first tick of a partition without a clock lay ahead of its first record.
            (through(100), at(95, 1), at(100, 6), None),
        ] {
            assert_eq!(ticks.due(clock, shop_now), expected, "{ticks:?} {clock:?} {shop_now:?}");
        }
    }

    #[test]
    fn the_next_tick_lies_behind_the_clock() {
        let through = |days| Ticks { through: Some(at(days, 0)) };
        for (ticks, clock, by, expected) in [
            (Ticks::default(), Some(at(100, 5)), at(100, 23), None),
            (Ticks::default(), Some(at(100, 5)), at(101, 0), Some(at(101, 0))),
            (Ticks::default(), Some(at(100, 0)), at(105, 0), Some(at(101, 0))),
            (Ticks::default(), None, at(100, 7), Some(at(100, 0))),
            (through(100), None, at(100, 23), None),
            (through(100), None, at(101, 2), Some(at(101, 0))),
            (through(100), Some(at(95, 1)), at(100, 23), None),
        ] {
            assert_eq!(ticks.next(clock, by), expected, "{ticks:?} {clock:?} {by:?}");
        }
    }
}
