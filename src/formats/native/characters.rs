//! What kinds of characters a record consists of, found before anything is parsed.

use std::str::Utf8Error;

/// Whether strings of a record may need a second look. Found once, over the whole record: that is cheaper than in every string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Characters {
    /// Neither backslashes, so that no string holds an escape, nor control characters, which no string may hold and which are
    /// unusual white space elsewhere.
    Unescaped,
    Any,
}

impl Characters {
    /// Fails if the record is not UTF-8.
    pub(super) fn of(record: &[u8]) -> Result<Self, Utf8Error> {
        if is_plain(record) {
            return Ok(Self::Unescaped);
        }
        std::str::from_utf8(record)?;
        let is_unescaped =
            record.iter().fold(true, |so_far, byte| so_far & (*byte >= b' ') & (*byte != b'\\'));
        Ok(if is_unescaped { Self::Unescaped } else { Self::Any })
    }
}

/// Whether these are unescaped characters of ASCII, which are always UTF-8. One comparison finds both control characters and what
/// is beyond ASCII, because signed those bytes are negative.
fn is_plain(bytes: &[u8]) -> bool {
    const LANES: usize = 32;
    let is_plain = |byte: u8| (byte.cast_signed() >= 0x20) & (byte != b'\\');
    // A mask for each lane instead of a `bool` for all, so that it vectorises.
    let note = |mut found: [u8; LANES], chunk: &[u8; LANES]| {
        for (found, byte) in found.iter_mut().zip(chunk) {
            *found |= u8::from(!is_plain(*byte)).wrapping_neg();
        }
        found
    };
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(|byte| is_plain(*byte));
    };
    let (chunks, _) = bytes.as_chunks();
    // The last chunk may overlap the one before it, which does no harm.
    note(chunks.iter().fold([0; LANES], note), last) == [0; LANES]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_printable_ascii_without_backslashes() {
        for length in 0..100 {
            let mut bytes = vec![b'a'; length];
            assert!(is_plain(&bytes), "{length}");
            for place in 0..length {
                for byte in 0..=255 {
                    bytes[place] = byte;
                    let expected = matches!(byte, b' '..=0x7f) && byte != b'\\';
                    assert_eq!(is_plain(&bytes), expected, "{length} {place} {byte}");
                }
                bytes[place] = b'a';
            }
        }
    }

    #[test]
    fn unescaped_characters_may_lie_beyond_ascii() {
        for length in [0, 1, 30, 31, 32, 33, 64, 100] {
            let of = |end: &[u8]| Characters::of(&[&b"a".repeat(length), end].concat());
            for (end, expected) in [
                ("", Characters::Unescaped),
                ("\u{7f}", Characters::Unescaped),
                ("\u{80}\u{e9}\u{1f600}", Characters::Unescaped),
                ("\u{e9}\t", Characters::Any),
                ("\u{e9}\\", Characters::Any),
                ("\n", Characters::Any),
                ("\\", Characters::Any),
            ] {
                assert_eq!(of(end.as_bytes()), Ok(expected), "{length} {end:?}");
            }
            for end in [&b"\xe9"[..], b"\x80", b"\xff", b"\\\xed\xa0\x80"] {
                assert_eq!(of(end).map_err(|error| error.valid_up_to() >= length), Err(true), "{length}");
            }
        }
    }
}
