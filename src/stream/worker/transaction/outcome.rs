//! Whether a batch whose commit has no known outcome was committed.

use crate::fault::{self, Mutation};
use crate::stream::partition::BatchName;

/// What the broker knows of a part whose commit's outcome is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Committed,
    NotCommitted,
    /// Neither: another process has written since.
    Superseded,
}

/// Compares the name of a part's batch with the one that the broker holds beside the committed offset of `orders`.
pub(super) fn verdict(name: BatchName<'_>, metadata: Option<&str>) -> Verdict {
    let committed = match metadata {
        None => Some(BatchName { number: 0, ..name }),
        Some(metadata) => BatchName::parse(metadata),
    };
    let is_ours = |committed: BatchName<'_>| {
        let is_same_process =
            committed.incarnation == name.incarnation || fault::is(Mutation::IgnoreIncarnation);
        committed.transactional_id == name.transactional_id && is_same_process
    };
    match committed {
        _ if fault::is(Mutation::UnknownIsAborted) => Verdict::NotCommitted,
        _ if fault::is(Mutation::UnknownIsCommitted) => Verdict::Committed,
        Some(committed) if fault::is(Mutation::IgnoreBatchNumber) && is_ours(committed) => Verdict::Committed,
        Some(_) if fault::is(Mutation::IgnoreBatchNumber) => Verdict::NotCommitted,
        Some(committed) if committed.number == name.number && is_ours(committed) => Verdict::Committed,
        Some(committed) if committed.number + 1 == name.number => Verdict::NotCommitted,
        Some(_) | None => Verdict::Superseded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_name_decides() {
        let check = |number, metadata, expected| {
            let name = BatchName { transactional_id: "shop-a-0", incarnation: 0xa1, number };
            assert_eq!(verdict(name, metadata), expected, "{number} {metadata:?}");
        };
        check(7, Some("shop-a-0 a1 7"), Verdict::Committed);
        check(7, Some("shop-a-0 a1 6"), Verdict::NotCommitted);
        check(7, Some("shop-a-0 b2 6"), Verdict::NotCommitted);
        check(7, Some("shop-b-0 b2 6"), Verdict::NotCommitted);
        // Another process wrote a batch of that number: ours was not it.
        check(7, Some("shop-b-0 a1 7"), Verdict::Superseded);
        // A process with the same id did, after ours was taken for dead.
        check(7, Some("shop-a-0 b2 7"), Verdict::Superseded);
        check(7, Some("shop-a-0 a1 8"), Verdict::Superseded);
        check(7, Some("shop-a-0 a1 5"), Verdict::Superseded);
        check(7, Some(""), Verdict::Superseded);
        check(7, Some("reset by hand"), Verdict::Superseded);
        check(1, None, Verdict::NotCommitted);
        check(2, None, Verdict::Superseded);
    }

    #[test]
    fn batch_names_can_be_read_back() {
        let name = BatchName { transactional_id: "a shop-0", incarnation: u64::MAX, number: 12 };
        assert_eq!(BatchName::parse(&name.to_string()), Some(name));
        assert_eq!(BatchName::parse("shop 12"), None);
    }
}
