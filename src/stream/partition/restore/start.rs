//! Where a partition starts: whether seal, committed offsets and inputs agree.
//!
//! | seal | offsets | changelog | start |
//! |---|---|---|---|
//! | no | no | empty | each input's low watermark |
//! | yes | no | – | the seal (offsets outside of the subscription expire) |
//! | yes | the same | – | the seal |
//! | yes | others | – | stop, or with `--accept-offsets` the offsets |
//! | no | yes | – | stop |
//! | no | no | holds records | stop |
//!
//! A changelog that does not begin at 0: stop, whatever else is there, because records were deleted from it.
//!
//! And a start outside of what an input holds: stop, because records would be left out, or come from another topic of that name.

use crate::stream::broker::{Committed, Position};
use crate::wire::changelog::Seal;

use super::OnOtherOffsets;
use crate::stream::partition::BatchName;
use crate::stream::partition::merge::MergeKey;
use crate::topic::{Input, PerInput};

/// What is known about a partition before it starts.
pub struct Evidence<'a> {
    pub seal: Option<&'a Seal>,
    /// None where the broker cannot give them: then only the seal counts.
    pub committed: Option<&'a PerInput<Option<Committed>>>,
    pub changelog_is_empty: bool,
    /// Low and high watermark of each input.
    pub edges: PerInput<(Position, Position)>,
}

/// Why a partition may not start. An operator must act on it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Disagreement {
    #[error(
        "the group's offset of {input:?} is {committed}, the state's is {sealed}: the group was reset; set it back, \
         or start once with --accept-offsets"
    )]
    OtherOffset { input: Input, committed: Position, sealed: Position },
    #[error(
        "the group's offsets are from batch {committed}, the state in the changelog is from batch {sealed}: records are \
         missing in the changelog; restore the topic, or rebuild the state from empty topics"
    )]
    OtherBatch { committed: u64, sealed: u64 },
    #[error(
        "the group has offsets, but the changelog holds no state: it was deleted or is another one; restore the topic, or \
         delete the group's offsets to build the state anew"
    )]
    OffsetsWithoutSeal,
    #[error(
        "the changelog holds records, but no seal: it is not this service's, or was cut; restore the topic"
    )]
    RecordsWithoutSeal,
    #[error(
        "{input:?} is to be read from {start}, but begins at {low}: records were deleted before they were read; restore them, or \
         set the group's offsets and start once with --accept-offsets"
    )]
    BelowLog { input: Input, start: Position, low: Position },
    #[error(
        "{input:?} is to be read from {start}, but ends at {high}: it was cut, or is another topic of the same name"
    )]
    AboveLog { input: Input, start: Position, high: Position },
    #[error(
        "the changelog begins at {low}: records were deleted from it, and customers with them, because compaction alone never \
         moves its beginning; restore the topic, or rebuild the state from empty topics"
    )]
    CutChangelog { low: Position },
    #[error(
        "the history waits for records of {topic:?}, which no source of [intake] names: name it again, or rebuild the state from empty \
         topics"
    )]
    AwaitsOtherTopic { topic: Box<str> },
    #[error(
        "erasure.secret_file or application changed: erased customers are remembered under the former secret and would not \
         be recognised; put the former file or name back"
    )]
    OtherSecret,
}

/// Compaction leaves the first position of a log where it was. If it has moved, records were deleted by hand or
/// by a retention time, and no seal shows which customers were in them.
pub fn check_beginning(low: Position) -> Result<(), Disagreement> {
    if low == Position(0) { Ok(()) } else { Err(Disagreement::CutChangelog { low }) }
}

/// The first position of each input, with the merge key so far.
pub fn starts(
    evidence: &Evidence<'_>,
    on_other_offsets: OnOtherOffsets,
    secret: [u8; 8],
    former_secret: Option<[u8; 8]>,
) -> Result<PerInput<(Position, MergeKey)>, Disagreement> {
    let committed = |input: Input| evidence.committed.and_then(|committed| committed[input].as_ref());
    let starts = match evidence.seal {
        None if Input::ALL.into_iter().any(|input| committed(input).is_some()) => {
            return Err(Disagreement::OffsetsWithoutSeal);
        }
        None if !evidence.changelog_is_empty => return Err(Disagreement::RecordsWithoutSeal),
        None => PerInput::from_fn(|input| (evidence.edges[input].0, None)),
        Some(seal) if seal.secret != secret && Some(seal.secret) != former_secret => {
            return Err(Disagreement::OtherSecret);
        }
        Some(seal) => {
            if let Some(error) = other_batch(seal, committed(Input::Orders)) {
                return Err(error);
            }
            let mut starts = PerInput::from_fn(|input| {
                let sealed = seal.inputs[input];
                (Position(sealed.next), sealed.merge_key)
            });
            for input in Input::ALL {
                let sealed = starts[input].0;
                match committed(input).map(|committed| committed.position) {
                    Some(committed) if committed != sealed => match on_other_offsets {
                        OnOtherOffsets::Accept => starts[input].0 = committed,
                        OnOtherOffsets::Stop => {
                            return Err(Disagreement::OtherOffset { input, committed, sealed });
                        }
                    },
                    Some(_) | None => {}
                }
            }
            starts
        }
    };
    for (input, (start, _)) in starts.iter() {
        let (low, high) = evidence.edges[input];
        if *start < low {
            return Err(Disagreement::BelowLog { input, start: *start, low });
        }
        if *start > high {
            return Err(Disagreement::AboveLog { input, start: *start, high });
        }
    }
    Ok(starts)
}

/// Offsets and seal are written by one transaction; if their batches differ, the changelog was not read to its end or has lost
/// some. Offsets that were reset by hand have no batch number.
fn other_batch(seal: &Seal, committed: Option<&Committed>) -> Option<Disagreement> {
    let committed = BatchName::parse(&committed?.metadata)?.number;
    (committed != seal.batch).then_some(Disagreement::OtherBatch { committed, sealed: seal.batch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::time::Time;
    use crate::wire::changelog::SealedInput;

    const SECRET: [u8; 8] = [7; 8];

    fn seal() -> Seal {
        let key = Time::from_millis(9);
        Seal {
            batch: 5,
            inputs: PerInput([10, 20, 30].map(|next| SealedInput { next, merge_key: key })),
            clock: key,
            outcomes: Vec::new(),
            secret: SECRET,
            history: None,
            signals_from: None,
            counted_through: None,
        }
    }

    fn offsets(positions: [Option<u64>; 3], metadata: &str) -> PerInput<Option<Committed>> {
        PerInput(
            positions.map(|position| {
                Some(Committed { position: Position(position?), metadata: metadata.to_owned() })
            }),
        )
    }

    fn check(
        seal: Option<&Seal>,
        committed: Option<PerInput<Option<Committed>>>,
        changelog_is_empty: bool,
        expected: Result<[u64; 3], Disagreement>,
    ) {
        let edges = PerInput([(Position(2), Position(100)); 3]);
        let evidence = Evidence { seal, committed: committed.as_ref(), changelog_is_empty, edges };
        let starts = starts(&evidence, OnOtherOffsets::Stop, SECRET, None)
            .map(|starts| starts.0.map(|(position, _)| position.0));
        assert_eq!(starts, expected);
    }

    #[test]
    fn the_start_matrix() {
        let none = || Some(offsets([None; 3], ""));
        let seal = seal();
        check(None, none(), true, Ok([2, 2, 2]));
        check(None, None, true, Ok([2, 2, 2]));
        check(None, none(), false, Err(Disagreement::RecordsWithoutSeal));
        check(None, Some(offsets([None, Some(3), None], "")), true, Err(Disagreement::OffsetsWithoutSeal));
        check(Some(&seal), none(), false, Ok([10, 20, 30]));
        check(Some(&seal), None, false, Ok([10, 20, 30]));
        check(
            Some(&seal),
            Some(offsets([Some(10), Some(20), Some(30)], "shop-a-0 a1 5")),
            false,
            Ok([10, 20, 30]),
        );
        // The offsets of a quiet sibling topic expire.
        check(Some(&seal), Some(offsets([Some(10), None, None], "shop-a-0 a1 5")), false, Ok([10, 20, 30]));
        let other = Disagreement::OtherOffset {
            input: Input::Returns,
            committed: Position(21),
            sealed: Position(20),
        };
        check(Some(&seal), Some(offsets([Some(10), Some(21), Some(30)], "")), false, Err(other));
        let other = Disagreement::OtherBatch { committed: 6, sealed: 5 };
        check(Some(&seal), Some(offsets([Some(10); 3], "shop-a-0 a1 6")), false, Err(other));
    }

    #[test]
    fn offsets_are_accepted_when_told_so() {
        let (seal, committed) = (seal(), offsets([Some(4), Some(20), None], ""));
        let mut evidence = Evidence {
            seal: Some(&seal),
            committed: Some(&committed),
            changelog_is_empty: false,
            edges: PerInput([(Position(2), Position(100)); 3]),
        };
        let accepted = starts(&evidence, OnOtherOffsets::Accept, SECRET, None).expect("accepted");
        assert_eq!(accepted.0.map(|(position, _)| position.0), [4, 20, 30]);
        evidence.edges[Input::Orders].0 = Position(5);
        let refused = starts(&evidence, OnOtherOffsets::Accept, SECRET, None).expect_err("below the log");
        assert_eq!(
            refused,
            Disagreement::BelowLog { input: Input::Orders, start: Position(4), low: Position(5) }
        );
    }

    #[test]
    fn a_start_lies_within_the_log() {
        let seal = seal();
        for (edges, expected) in [
            ((10, 30), None),
            (
                (11, 30),
                Some(Disagreement::BelowLog { input: Input::Orders, start: Position(10), low: Position(11) }),
            ),
            (
                (0, 29),
                Some(Disagreement::AboveLog {
                    input: Input::Erasures,
                    start: Position(30),
                    high: Position(29),
                }),
            ),
        ] {
            let edges = PerInput([(Position(edges.0), Position(edges.1)); 3]);
            let evidence = Evidence { seal: Some(&seal), committed: None, changelog_is_empty: false, edges };
            assert_eq!(starts(&evidence, OnOtherOffsets::Stop, SECRET, None).err(), expected);
        }
    }

    #[test]
    fn another_erasure_secret_stops() {
        let (seal, edges) = (seal(), PerInput([(Position(2), Position(100)); 3]));
        let evidence = Evidence { seal: Some(&seal), committed: None, changelog_is_empty: false, edges };
        let stop = OnOtherOffsets::Stop;
        assert_eq!(starts(&evidence, stop, [8; 8], None).err(), Some(Disagreement::OtherSecret));
        assert_eq!(starts(&evidence, stop, [8; 8], Some([6; 8])).err(), Some(Disagreement::OtherSecret));
        assert_eq!(starts(&evidence, stop, [8; 8], Some(SECRET)).err(), None);
    }
}
