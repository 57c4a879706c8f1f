//! What kind of schedule a seed stands for.

use retention_signals::config::DeadLetterLimit;
use retention_signals::domain::values::number::Decimal;

/// Whether workers of this schedule keep snapshots. Two in five do; the others are as they were before there were any.
pub fn keeps_snapshots(seed: u64) -> bool {
    matches!(seed % 5, 2 | 3)
}

/// In one of thirteen schedules workers stop at dead letters, which are few: each time once more, before the operator accepts them.
pub fn dead_letter_limit(seed: u64) -> Option<DeadLetterLimit> {
    let share_max = Decimal::new(2, 1).expect("one digit");
    (seed % 13 == 5).then_some(DeadLetterLimit { share_max, window: 4 })
}

/// From how many bytes on workers of this schedule flush early: never, or in two of seven schedules, soon.
pub fn early_flush_bytes(seed: u64) -> Option<usize> {
    matches!(seed % 7, 1 | 2).then(|| [1, 1, 700, 2_500][(seed / 7 % 4) as usize])
}

/// In one of eleven schedules guests order too.
pub fn has_guests(seed: u64) -> bool {
    seed % 11 == 4
}
