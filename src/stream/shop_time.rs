//! The time that the shop lives in, and where it puts the clocks.

use crate::config::{AtEnd, ClockRules};
use crate::domain::values::time::{Span, Time};

/// Which time the shop lives in: the machine's, or, in the demo, one that starts in the past and runs faster.
#[derive(Clone, Copy, Debug)]
pub enum ShopTime {
    Wall,
    Fast {
        /// The shop's time at `real_start_ms`, in milliseconds since 1970.
        start_ms: i64,
        real_start_ms: i64,
        /// How much faster it runs.
        factor: u32,
    },
}

impl ShopTime {
    /// The shop's time at an instant of the machine's wall clock, held within what a record can carry.
    pub fn at(&self, wall_ms: i64) -> Time {
        let millis = match *self {
            Self::Wall => wall_ms,
            Self::Fast { start_ms, real_start_ms, factor } => {
                start_ms + (wall_ms - real_start_ms).saturating_mul(i64::from(factor))
            }
        };
        Time::MIN.plus(Span::from_millis(millis.max(0)))
    }

    /// Whether the shop lives in the time that brokers stamp records with.
    pub const fn is_wall(&self) -> bool {
        matches!(self, Self::Wall)
    }
}

/// Where a clock may go at a confirmed end, if anywhere.
pub fn target(rules: &ClockRules, shop_now: Time) -> Option<Time> {
    match rules.at_end {
        AtEnd::Wall => Some(shop_now.minus(rules.grace)),
        AtEnd::Stay => None,
        AtEnd::At(instant) => Some(instant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shop_time_runs_as_fast_as_it_is_told() {
        let demo = ShopTime::Fast { start_ms: 1_000_000, real_start_ms: 5_000, factor: 500 };
        assert_eq!(demo.at(5_002).as_millis(), 1_001_000);
        assert_eq!(ShopTime::Wall.at(-1).as_millis(), 0);
    }

    #[test]
    fn the_clock_goes_where_it_is_told_at_the_end() {
        let time = |millis| Time::from_millis(millis).expect("in range");
        let rules = |at_end| ClockRules { grace: Span::from_millis(60), at_end, skew: Span::ZERO };
        assert_eq!(target(&rules(AtEnd::Wall), time(100)), Some(time(40)));
        assert_eq!(target(&rules(AtEnd::Stay), time(100)), None);
        assert_eq!(target(&rules(AtEnd::At(time(500))), time(100)), Some(time(500)));
    }
}
