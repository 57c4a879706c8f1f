//! The kept orders of one customer, taken in time order: how many, how far apart, how much.

use super::ids::OrderHash;
use super::lapse::{LapsePolicy, Patience};
use super::number::Ratio;
use super::time::{Day, Time};

/// How many gaps and values count as recent in the ratio signals.
pub const RECENT: usize = 3;

/// A running account of kept orders. Pushing in (time, id) order after a summary equals pushing everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptRun {
    pub count: u32,
    /// Sum of net values.
    pub net: i64,
    /// Net values of the last three, the latest last; zeros before the first.
    pub last_values: [i64; RECENT],
    /// Net values of the first two. Not part of a summary: once an order has folded they have been told.
    pub first_values: [i64; 2],
    pub first_at: Time,
    pub last_at: Time,
    pub last_id: OrderHash,
    /// Time of the kept order before the last. Not part of a summary.
    pub previous_at: Option<Time>,
    pub days: PurchaseDays,
}

impl Default for KeptRun {
    fn default() -> Self {
        Self {
            count: 0,
            net: 0,
            last_values: [0; RECENT],
            first_values: [0; 2],
            first_at: Time::MIN,
            last_at: Time::MIN,
            last_id: OrderHash(0),
            previous_at: None,
            days: PurchaseDays::default(),
        }
    }
}

impl KeptRun {
    /// Adds the next kept order in (time, id) order.
    pub fn push(&mut self, placed_at: Time, id: OrderHash, net: i64, day: Day) {
        match self.count {
            0 => {
                self.first_at = placed_at;
                self.first_values[0] = net;
            }
            1 => self.first_values[1] = net,
            2.. => {}
        }
        self.previous_at = (self.count > 0).then_some(self.last_at);
        self.count += 1;
        self.net += net;
        let [_, second, third] = self.last_values;
        self.last_values = [second, third, net];
        (self.last_at, self.last_id) = (placed_at, id);
        self.days.push(day);
    }

    /// The sum of the last three values and of those before them; none with fewer than `earlier_min` of these.
    pub fn recent_and_earlier(&self, earlier_min: u32) -> Option<(i64, i64, u32)> {
        let earlier_count =
            self.count.checked_sub(RECENT as u32).filter(|count| *count >= earlier_min.max(1))?;
        let recent = self.last_values.iter().sum();
        Some((recent, self.net - recent, earlier_count))
    }
}

/// Calendar dates with a kept order and the gaps between neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PurchaseDays {
    pub count: u32,
    pub first: i32,
    /// The last four, the latest last; zeros before the first.
    pub last: [i32; RECENT + 1],
    /// Sum of squared gaps.
    pub squares: u64,
}

impl PurchaseDays {
    /// Adds a date not before the last one. A zone that steps back may give an earlier date for a later instant; it then counts
    /// as the same purchase day, so that folding cannot change the gaps.
    pub fn push(&mut self, day: Day) {
        let latest = self.last[RECENT];
        if self.count == 0 {
            self.first = day.0;
        } else {
            if day.0 <= latest {
                return;
            }
            let gap = u64::from(day.0.abs_diff(latest));
            self.squares += gap * gap;
        }
        let [_, second, third, fourth] = self.last;
        self.last = [second, third, fourth, day.0];
        self.count += 1;
    }

    pub const fn gaps(&self) -> u32 {
        self.count.saturating_sub(1)
    }

    /// Days from the first to the last purchase day: the sum of the gaps.
    pub const fn span(&self) -> i32 {
        self.last[RECENT] - self.first
    }

    pub fn mean_gap(&self) -> Option<Ratio> {
        Ratio::new(self.span(), self.gaps())
    }

    /// Population coefficient of variation at most 0.5 over at least three gaps: 4·(n·Σg² − (Σg)²) ≤ (Σg)².
    pub fn is_regular(&self) -> bool {
        let (gaps, sum) = (i128::from(self.gaps()), i128::from(self.span()));
        gaps >= 3 && 4 * (gaps * i128::from(self.squares) - sum * sum) <= sum * sum
    }

    /// Days in the last three gaps, days in the earlier ones, and how many these are; none with fewer than `earlier_min`.
    pub fn recent_and_earlier(&self, earlier_min: u32) -> Option<(i32, i32, u32)> {
        let earlier_count =
            self.gaps().checked_sub(RECENT as u32).filter(|count| *count >= earlier_min.max(1))?;
        let recent = self.last[RECENT] - self.last[0];
        Some((recent, self.span() - recent, earlier_count))
    }

    /// How long this rhythm's silence may last.
    pub fn patience(&self, policy: &LapsePolicy) -> Patience {
        policy.patience(self.gaps(), self.span())
    }

    /// The gap that a policy expects of this rhythm, in days.
    pub fn expected_gap(&self, policy: &LapsePolicy) -> Option<Ratio> {
        policy.expected_gap(self.gaps(), self.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(dates: &[i32]) -> PurchaseDays {
        let mut days = PurchaseDays::default();
        dates.iter().for_each(|date| days.push(Day(*date)));
        days
    }

    #[test]
    fn several_orders_on_one_date_are_one_purchase_day() {
        assert_eq!(days(&[5, 5, 9, 9, 9, 12]), days(&[5, 9, 12]));
        assert_eq!(days(&[5, 9, 8, 12]), days(&[5, 9, 12]));
    }

    #[test]
    fn regularity_is_decided_exactly_at_one_half() {
        assert!(days(&[0, 10, 20, 30]).is_regular());
        assert!(!days(&[0, 10, 20]).is_regular()); // two gaps
        assert!(days(&[0, 1, 4, 5, 8]).is_regular()); // gaps 1 3 1 3: mean 2, deviation 1
        assert!(!days(&[0, 1, 5, 6, 10]).is_regular()); // gaps 1 4 1 4: mean 2.5, deviation 1.5
    }

    #[test]
    fn recent_gaps_need_enough_earlier_ones() {
        assert_eq!(days(&[0, 1, 2, 3, 10, 20]).recent_and_earlier(3), None);
        assert_eq!(days(&[0, 1, 2, 3, 10, 20, 40]).recent_and_earlier(3), Some((37, 3, 3)));
    }
}
