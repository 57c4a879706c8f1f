//! The changelog's records: the state of one partition as a compacted topic.
//!
//! ```text
//!  key                          value
//!  'c' customer key             version │ packed customer           null: erased
//!  'm' keyed hash (16 bytes)    version │ requested_at              null: ended
//!  's'                          version │ seal: see `seal`
//! ```
//! Every value begins with the version of its own kind: the lowest one that expresses the content, so that the program before can
//! read what uses nothing new. Every version since the first is read. All numbers are little endian. Decoding is strict: what is not
//! exactly a record of ours is an error, never a guess, and no bytes make it panic.

mod outcomes;
mod reader;
mod seal;

pub use outcomes::{Outcome, OutcomeRun, OutcomeWindow};
pub use seal::{Seal, SealedEnds, SealedHistory, SealedInput, SealedRawEnd};

use std::borrow::Cow;

use reader::Reader;

use crate::domain::store::packed::{self, Format};
use crate::domain::values::time::Time;

const CUSTOMER: u8 = b'c';
const MARKER: u8 = b'm';
const SEAL: u8 = b's';

/// The newest version of marker values.
const MARKER_FORMAT: u8 = 1;

/// The key of a partition's seal.
pub const SEAL_KEY: &[u8] = &[SEAL];

/// One record of the changelog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateRecord<'a> {
    /// The customer's whole state in the domain's newest format, which the domain checks; none if it is gone.
    Customer {
        key: &'a [u8],
        packed: Option<Cow<'a, [u8]>>,
    },
    /// An erased customer's marker; none if it has ended.
    Marker {
        hash: [u8; 16],
        requested_at: Option<Time>,
    },
    Seal(Seal),
}

/// Why a changelog record cannot be used. None of them goes away by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "the changelog was written by a newer version of retention-signals ({kind} state of format {found}; this program reads up to \
         {known}): start that version again; docs/OPERATING.md, Upgrading, says what else can be done"
    )]
    Newer { kind: &'static str, found: u8, known: u8 },
    #[error("a {0} in the changelog is cut short")]
    Truncated(&'static str),
    #[error("a {0} in the changelog has bytes left over")]
    TrailingBytes(&'static str),
    #[error("a {0} in the changelog holds a value that no writer writes")]
    Invalid(&'static str),
    #[error("a record in the changelog has a key of no known kind")]
    UnknownKey,
}

/// Reads a record.
pub fn decode<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Result<StateRecord<'a>, StateError> {
    match key {
        Some([CUSTOMER, key @ ..]) if !key.is_empty() => {
            Ok(StateRecord::Customer { key, packed: value.map(decode_customer).transpose()? })
        }
        Some([MARKER, hash @ ..]) => {
            let hash = hash.try_into().map_err(|_| StateError::UnknownKey)?;
            let requested_at = value.map(decode_marker).transpose()?;
            Ok(StateRecord::Marker { hash, requested_at })
        }
        Some([SEAL]) => {
            let value = value.ok_or(StateError::Truncated("seal"))?;
            Ok(StateRecord::Seal(Seal::decode(value)?))
        }
        Some(_) | None => Err(StateError::UnknownKey),
    }
}

/// The customer whose state a record of this key holds, if it is one.
pub fn customer_of(key: Option<&[u8]>) -> Option<&[u8]> {
    match key {
        Some([CUSTOMER, key @ ..]) => Some(key),
        Some(_) | None => None,
    }
}

/// Appends the key of a customer's state.
pub fn encode_customer_key(out: &mut Vec<u8>, customer_key: &[u8]) {
    out.push(CUSTOMER);
    out.extend_from_slice(customer_key);
}

/// Appends a customer's state, packed by the domain.
pub fn encode_customer(out: &mut Vec<u8>, packed: &[u8]) {
    out.push(Format::of(packed).number());
    out.extend_from_slice(packed);
}

/// The most bytes that a customer's record takes, key and value: see [`packed::bytes_max`].
pub const fn customer_bytes_max(key_bytes: usize, entries_max: usize) -> usize {
    1 + key_bytes + 1 + packed::bytes_max(key_bytes, entries_max)
}

fn decode_customer(value: &[u8]) -> Result<Cow<'_, [u8]>, StateError> {
    const KIND: &str = "customer";
    let reader = Reader::versioned(value, KIND, Format::NEWEST.number())?;
    let invalid = reader.invalid();
    let format = Format::from_number(reader.version()).ok_or(invalid)?;
    let packed = reader.into_rest();
    // Written is the lowest one.
    if Format::of(packed) != format {
        return Err(invalid);
    }
    packed::upgrade(packed, format).map_err(|packed::Corrupt| invalid)
}

/// The key of an erased customer's marker.
pub fn marker_key(hash: [u8; 16]) -> [u8; 17] {
    let mut key = [MARKER; 17];
    key[1..].copy_from_slice(&hash);
    key
}

/// Appends an erased customer's marker.
pub fn encode_marker(out: &mut Vec<u8>, requested_at: Time) {
    out.push(MARKER_FORMAT);
    out.extend_from_slice(&requested_at.as_millis().to_le_bytes());
}

fn decode_marker(value: &[u8]) -> Result<Time, StateError> {
    let mut reader = Reader::versioned(value, "marker", MARKER_FORMAT)?;
    let requested_at = reader.time()?;
    reader.end()?;
    Ok(requested_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::PerInput;

    fn time(millis: i64) -> Time {
        Time::from_millis(millis).expect("in range")
    }

    fn seal() -> Seal {
        let mut outcomes = OutcomeWindow::new(100);
        for index in 0..150 {
            outcomes.push(match index % 40 {
                0 => Outcome::Refused,
                1..20 => Outcome::TooOld,
                _ => Outcome::Passed,
            });
        }
        Seal {
            batch: 77,
            inputs: PerInput([
                SealedInput { next: 1_000, merge_key: Some(time(5)) },
                SealedInput { next: 0, merge_key: None },
                SealedInput { next: u64::MAX, merge_key: Some(Time::MAX) },
            ]),
            clock: Some(time(123_456)),
            outcomes: outcomes.runs().collect(),
            secret: [9; 8],
            history: None,
            signals_from: None,
            counted_through: None,
        }
    }

    fn seal_in_history() -> Seal {
        let ends = SealedEnds::Known(PerInput([2_000, 0, u64::MAX]));
        let history = SealedHistory { ends, records: 1_000 };
        Seal { history: Some(history), signals_from: Some(time(77)), ..seal() }
    }

    fn seal_behind_an_intake() -> Seal {
        let end = |topic: &str, partition, end| SealedRawEnd { topic: topic.into(), partition, end };
        let ends = vec![end("shop", 1, 5), end("shop", 20, u64::MAX), end("shop.2", 0, 700)];
        let history = SealedHistory { ends: SealedEnds::Behind(ends), records: 9 };
        Seal { history: Some(history), ..seal_in_history() }
    }

    fn seals_with_a_count() -> [Seal; 2] {
        [seal(), seal_behind_an_intake()].map(|seal| Seal { counted_through: Some(time(86_400_000)), ..seal })
    }

    /// Keys and values of one record of each kind and state.
    fn records() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let written = |write: fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        let customer = written(|out| encode_customer_key(out, b"c-1"));
        let [counted, counted_behind] = seals_with_a_count().map(|seal| {
            let mut out = Vec::new();
            seal.encode(&mut out);
            (SEAL_KEY.to_vec(), Some(out))
        });
        vec![
            (customer.clone(), Some(written(|out| encode_customer(out, b"packed")))),
            (customer, None),
            (marker_key([7; 16]).to_vec(), Some(written(|out| encode_marker(out, time(99))))),
            (marker_key([7; 16]).to_vec(), None),
            (SEAL_KEY.to_vec(), Some(written(|out| seal().encode(out)))),
            (
                SEAL_KEY.to_vec(),
                Some(written(|out| Seal { clock: None, outcomes: Vec::new(), ..seal() }.encode(out))),
            ),
            (SEAL_KEY.to_vec(), Some(written(|out| seal_in_history().encode(out)))),
            (SEAL_KEY.to_vec(), Some(written(|out| Seal { history: None, ..seal_in_history() }.encode(out)))),
            (SEAL_KEY.to_vec(), Some(written(|out| seal_behind_an_intake().encode(out)))),
            counted,
            counted_behind,
        ]
    }

    #[test]
    fn what_was_written_is_read() {
        let read: Vec<_> = records()
            .into_iter()
            .map(|(key, value)| match decode(Some(&key), value.as_deref()).expect("our own record") {
                StateRecord::Customer { key, packed } => {
                    format!(
                        "{} {:?}",
                        String::from_utf8_lossy(key),
                        packed.as_deref().map(String::from_utf8_lossy)
                    )
                }
                StateRecord::Marker { hash, requested_at } => format!("{} {requested_at:?}", hash[15]),
                StateRecord::Seal(read) if read.counted_through.is_some() => {
                    format!("counted {:?}", seals_with_a_count().iter().position(|written| *written == read))
                }
                StateRecord::Seal(read) if read.signals_from.is_some() => {
                    let written = [
                        seal_in_history(),
                        Seal { history: None, ..seal_in_history() },
                        seal_behind_an_intake(),
                    ];
                    format!("written {:?}", written.iter().position(|written| *written == read))
                }
                StateRecord::Seal(read) => match read.clock {
                    Some(_) => (read == seal()).to_string(),
                    None => (read == Seal { clock: None, outcomes: Vec::new(), ..seal() }).to_string(),
                },
            })
            .collect();
        assert_eq!(
            read,
            [
                "c-1 Some(\"packed\")",
                "c-1 None",
                &format!("7 {:?}", Some(time(99))),
                "7 None",
                "true",
                "true",
                "written Some(0)",
                "written Some(1)",
                "written Some(2)",
                "counted Some(0)",
                "counted Some(1)",
            ]
        );
    }

    #[test]
    fn versions_and_lengths_are_checked() {
        for (key, value) in records() {
            let Some(mut value) = value else { continue };
            let found = value[0];
            let known = match key[0] {
                CUSTOMER => Format::NEWEST.number(),
                SEAL => 3,
                _ => 1,
            };
            value[0] = known + 1;
            let error = decode(Some(&key), Some(&value)).expect_err("a newer format");
            let named = format!("of format {}; this program reads up to {known})", known + 1);
            assert!(error.to_string().contains(&named), "{error}");
            value[0] = 0;
            assert!(matches!(decode(Some(&key), Some(&value)), Err(StateError::Invalid(_))));
            value[0] = found;
            assert!(matches!(decode(Some(&key), Some(&[])), Err(StateError::Truncated(_))));
            if key[0] == CUSTOMER {
                continue; // What follows the version is the domain's.
            }
            for length in 0..value.len() {
                let error = decode(Some(&key), Some(&value[..length])).expect_err("cut short");
                assert!(matches!(error, StateError::Truncated(_)), "{length}: {error}");
            }
            value.push(0);
            assert!(matches!(decode(Some(&key), Some(&value)), Err(StateError::TrailingBytes(_))));
        }
        assert_eq!(decode(Some(SEAL_KEY), None), Err(StateError::Truncated("seal")));
        for key in [&b""[..], b"c", b"x1", b"m123", b"s1"] {
            assert_eq!(decode(Some(key), Some(b"\x01")), Err(StateError::UnknownKey), "{key:?}");
        }
        assert_eq!(decode(None, None), Err(StateError::UnknownKey));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        const SEED: u64 = 20_260_101;
        let mut random = fastrand::Rng::with_seed(SEED);
        let records = records();
        let (mut accepted, mut refused) = (0, 0);
        for round in 0..200_000 {
            let (key, value) = &records[random.usize(..records.len())];
            let (mut key, mut value) = (key.clone(), value.clone().unwrap_or_default());
            for _ in 0..random.usize(1..4) {
                let bytes = if random.u8(..8) == 0 { &mut key } else { &mut value };
                match random.u8(..3) {
                    0 => bytes.truncate(random.usize(..=bytes.len())),
                    1 => bytes.push(random.u8(..)),
                    _ => {
                        if let Some(index) = bytes.len().checked_sub(1).map(|last| random.usize(..=last)) {
                            bytes[index] = random.u8(..);
                        }
                    }
                }
            }
            match decode(Some(&key), Some(&value)) {
                Ok(StateRecord::Seal(seal)) => {
                    let mut again = Vec::new();
                    seal.encode(&mut again);
                    assert_eq!(again, value, "seed {SEED}, round {round}: a seal has one form only");
                    accepted += 1;
                }
                Ok(StateRecord::Customer { .. } | StateRecord::Marker { .. }) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
    }
}
