//! The table of ratio signals: a signal fires when a ratio crosses one threshold, and may fire again once it was beyond another.
//!
//! The configuration keys of both thresholds stand in `config::policy`; [`lifecycle`](super::lifecycle) says what the ratios are.

use super::kind::SignalType;
use crate::domain::values::number::{Decimal, Ratio};

/// The side of the threshold on which a signal fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Fires at or above one ratio, may fire again below the other.
    Rising,
    /// Fires at or below one ratio, may fire again above the other.
    Falling,
}

/// A row: the type, its direction, and in hundredths the defaults of the ratio at which it fires and of the one beyond which it is
/// armed again. A row's number is that of its bit in the state, so a new row goes to the end.
macro_rules! ratio_signals {
    ($($signal:ident = $direction:ident, $fires:literal, $rearms:literal;)+) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum RatioSignal {
            $($signal,)+
        }

        impl RatioSignal {
            pub const ALL: [Self; [$(stringify!($signal)),+].len()] = [$(Self::$signal),+];

            pub const fn signal_type(self) -> SignalType {
                match self {
                    $(Self::$signal => SignalType::$signal,)+
                }
            }

            pub const fn direction(self) -> Direction {
                match self {
                    $(Self::$signal => Direction::$direction,)+
                }
            }

            const fn default_hundredths(self) -> (u64, u64) {
                match self {
                    $(Self::$signal => ($fires, $rearms),)+
                }
            }
        }
    };
}

ratio_signals! {
    FrequencyFell = Rising, 150, 125;
    FrequencyRose = Falling, 67, 80;
    OrderValueFell = Falling, 70, 85;
    OrderValueRose = Rising, 130, 115;
    ReturnRateHigh = Rising, 50, 40;
}

/// When a ratio signal fires, and when it may fire again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Threshold {
    pub direction: Direction,
    /// Fires at it or beyond.
    pub fires: Decimal,
    /// Armed again on the other side of it.
    pub rearms: Decimal,
}

impl Threshold {
    pub(super) fn fires(&self, ratio: Ratio) -> bool {
        match self.direction {
            Direction::Rising => ratio.at_least(self.fires),
            Direction::Falling => ratio.at_most(self.fires),
        }
    }

    pub(super) fn rearms(&self, ratio: Ratio) -> bool {
        match self.direction {
            Direction::Rising => !ratio.at_least(self.rearms),
            Direction::Falling => !ratio.at_most(self.rearms),
        }
    }
}

/// What decides when ratio signals fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    ratios: [Threshold; RatioSignal::ALL.len()],
    /// Gaps (orders) that must lie before the last three (3).
    pub earlier_min: u32,
    /// Placed orders in the last 365 days before a return rate means anything (3).
    pub return_rate_orders_min: u32,
}

impl Thresholds {
    /// `ratios` gives the ratio at which a signal fires, and the one beyond which it is armed again.
    pub fn new(
        mut ratios: impl FnMut(RatioSignal) -> (Decimal, Decimal),
        earlier_min: u32,
        return_rate_orders_min: u32,
    ) -> Self {
        let ratios = RatioSignal::ALL.map(|signal| {
            let (fires, rearms) = ratios(signal);
            Threshold { direction: signal.direction(), fires, rearms }
        });
        Self { ratios, earlier_min, return_rate_orders_min }
    }

    pub const fn of(&self, signal: RatioSignal) -> &Threshold {
        &self.ratios[signal as usize]
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        let decimal = |hundredths| Decimal::new(hundredths, 2).expect("two digits");
        let ratios = |signal: RatioSignal| {
            let (fires, rearms) = signal.default_hundredths();
            (decimal(fires), decimal(rearms))
        };
        Self::new(ratios, 3, 3)
    }
}

/// Which ratio signals may fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Armed(u8);

impl Armed {
    pub const ALL: Self = Self((1 << RatioSignal::ALL.len()) - 1);

    /// Bit *n* is that of row *n*; bits beyond the table are left out.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    pub const fn bits(self) -> u8 {
        self.0
    }

    pub const fn is(self, signal: RatioSignal) -> bool {
        self.0 >> signal as u8 & 1 != 0
    }

    pub const fn set(&mut self, signal: RatioSignal, is_armed: bool) {
        self.0 = self.0 & !(1 << signal as u8) | (is_armed as u8) << signal as u8;
    }
}
