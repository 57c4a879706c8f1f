//! Which dead letters a command is about.

use super::Origin;
use crate::commands::dead_letters::DeadLetterFilter;
use crate::domain::values::time::Time;
use crate::kafka::StoredLetter;

/// Whether the filter lets a dead letter pass; each part that is not given lets all pass.
pub(super) fn passes(filter: &DeadLetterFilter, letter: &StoredLetter, origin: &Origin) -> bool {
    let refused_at = Time::from_millis(letter.refused_at_ms);
    (filter.reasons.is_empty() || filter.reasons.contains(&origin.reason))
        && filter.partition.is_none_or(|partition| partition == origin.partition)
        && filter.topic.as_ref().is_none_or(|topic| *topic == origin.topic)
        && filter.since.is_none_or(|since| refused_at.is_some_and(|at| at >= since))
        && filter.until.is_none_or(|until| refused_at.is_some_and(|at| at < until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dead_letters::letter_of;

    #[test]
    fn each_part_of_a_filter_narrows() {
        let letter = letter_of(
            0,
            7,
            &[
                ("dlq_reason", "too_old"),
                ("dlq_topic", "orders"),
                ("dlq_partition", "2"),
                ("dlq_offset", "9"),
            ],
        );
        let origin = Origin::of(&letter).expect("a dead letter");
        let at = |millis: i64| Time::from_millis(letter.refused_at_ms + millis);
        let none = DeadLetterFilter::default;
        for (filter, expected) in [
            (none(), true),
            (DeadLetterFilter { reasons: vec!["too_old".to_owned(), "erased".to_owned()], ..none() }, true),
            (DeadLetterFilter { reasons: vec!["erased".to_owned()], ..none() }, false),
            (DeadLetterFilter { partition: Some(2), ..none() }, true),
            (DeadLetterFilter { partition: Some(0), ..none() }, false),
            (DeadLetterFilter { topic: Some("returns".to_owned()), ..none() }, false),
            (DeadLetterFilter { since: at(0), until: at(1), ..none() }, true),
            (DeadLetterFilter { since: at(1), ..none() }, false),
            (DeadLetterFilter { until: at(0), ..none() }, false),
        ] {
            assert_eq!(passes(&filter, &letter, &origin), expected, "{filter:?}");
        }
    }
}
