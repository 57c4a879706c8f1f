//! What became of firings that were not emitted, counted.

/// What rules did beside their signals.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RuleCounts {
    /// Firings that came to nothing, by the rule's place in the set; places at the end may be missing.
    pub unfired: Vec<Unfired>,
    /// Triggers that found as many firings planned as may be.
    pub no_room: u64,
    /// Timers whose only effect were signals of rules.
    pub timers: u64,
}

/// How many firings of a rule came to nothing, by the reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Unfired {
    /// The condition did not hold.
    pub refused: u64,
    /// The last firing was too short a time ago, at the trigger or when it was due.
    pub cooling: u64,
    /// A cap held it back.
    pub capped: u64,
    /// It was planned, and a signal ended it, a later trigger took its place, or its order was lost.
    pub cancelled: u64,
}

impl RuleCounts {
    /// Firings that a cap held back.
    pub fn capped(&self) -> u64 {
        self.unfired.iter().map(|unfired| unfired.capped).sum()
    }

    pub(super) fn of(&mut self, place: usize) -> &mut Unfired {
        if self.unfired.len() <= place {
            self.unfired.resize(place + 1, Unfired::default());
        }
        &mut self.unfired[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_caps_held_back_is_counted_over_all_rules() {
        let mut counts = RuleCounts::default();
        assert_eq!(counts.capped(), 0);
        counts.of(3).capped += 2;
        counts.of(1).capped += 3;
        counts.of(3).cooling += 7;
        assert_eq!((counts.capped(), counts.unfired.len()), (5, 4));
    }
}
