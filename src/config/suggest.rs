//! The known name that was probably meant.

/// Below this likeness a suggestion confuses more than it helps.
const LIKENESS_MIN: f64 = 0.6;

/// The candidate most like `text`, if one is like it at all; the first of equals.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    for candidate in candidates {
        let likeness = strsim::normalized_damerau_levenshtein(text, candidate);
        if likeness >= LIKENESS_MIN && best.is_none_or(|(_, least)| likeness > least) {
            best = Some((candidate, likeness));
        }
    }
    best.map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_or_none() {
        let names = ["commit.interval", "commit.backlog_interval", "clock.grace"];
        for (text, expected) in [
            ("comit.interval", Some("commit.interval")),
            ("commit.backlog.interval", Some("commit.backlog_interval")),
            ("clock.graze", Some("clock.grace")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(text, names), expected, "{text}");
        }
    }
}
