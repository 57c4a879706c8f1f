//! Records of the changelog.
//!
//! ```text
//!  flags: 1 no key, 2 no value          length of the key          key          value
//! ```

use retention_signals::domain::store::packed::Format;
use retention_signals::wire::changelog::{
    self, OutcomeWindow, Seal, StateError, StateRecord, encode_customer, encode_customer_key, encode_marker,
    marker_key,
};

use super::{Verdict, customer};

/// What is read is, written again, the same bytes; a customer's bytes that the domain accepts can be gone on from.
pub fn changelog(bytes: &[u8]) -> Verdict {
    let Some(([flags, key_bytes], rest)) = bytes.split_first_chunk() else { return Verdict::Refused };
    let (key, value) = rest.split_at(usize::from(*key_bytes).min(rest.len()));
    let key = (flags & 1 == 0).then_some(key);
    let value = (flags & 2 == 0).then_some(value);
    match changelog::decode(key, value) {
        Ok(record) => {
            let (key_again, value_again) = encode(&record);
            assert_eq!((Some(&key_again[..]), value_again.as_deref()), (key, value), "{record:?}");
            match record {
                StateRecord::Customer { packed: Some(packed), .. } => customer::check(&packed),
                StateRecord::Customer { packed: None, .. } | StateRecord::Marker { .. } => Verdict::Accepted,
                StateRecord::Seal(seal) => {
                    check_outcomes(&seal);
                    Verdict::Accepted
                }
            }
        }
        Err(error) => {
            let found = value.and_then(|value| value.first()).copied();
            match error {
                StateError::Newer { found: named, known, .. } => {
                    assert!(found == Some(named) && named > known, "{error}");
                }
                StateError::Truncated(_)
                | StateError::TrailingBytes(_)
                | StateError::Invalid(_)
                | StateError::UnknownKey => {}
            }
            Verdict::Refused
        }
    }
}

fn encode(record: &StateRecord<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let is_there = match record {
        StateRecord::Customer { key: customer, packed } => {
            encode_customer_key(&mut key, customer);
            packed.as_deref().is_some_and(|packed| {
                encode_customer(&mut value, packed);
                assert_eq!(value[0], Format::of(packed).number());
                true
            })
        }
        StateRecord::Marker { hash, requested_at } => {
            key.extend_from_slice(&marker_key(*hash));
            requested_at.is_some_and(|requested_at| {
                encode_marker(&mut value, requested_at);
                true
            })
        }
        StateRecord::Seal(seal) => {
            key.extend_from_slice(changelog::SEAL_KEY);
            seal.encode(&mut value);
            true
        }
    };
    (key, is_there.then_some(value))
}

/// The window of the last records goes on from any seal, whatever its capacity is now.
fn check_outcomes(seal: &Seal) {
    for capacity in [1, 1_000, 100_000] {
        let window = OutcomeWindow::restore(capacity, &seal.outcomes);
        let records = window.runs().map(|run| u64::from(run.records)).sum::<u64>();
        let sealed = seal.outcomes.iter().map(|run| u64::from(run.records)).sum::<u64>();
        assert_eq!(records, sealed.min(u64::from(capacity)));
        assert!(u64::from(window.refused()) + u64::from(window.too_old()) <= records);
    }
}
