//! Bytes as text, for strings of a few words.

/// The same as [`str::from_utf8`], which goes byte by byte until an address is aligned: for an id that is most of its bytes.
#[inline]
pub(super) fn of(bytes: &[u8]) -> Option<&str> {
    if !is_ascii(bytes) {
        return std::str::from_utf8(bytes).ok();
    }
    #[expect(unsafe_code, reason = "no safe way leaves out the second look")]
    // SAFETY: every sequence of ASCII is UTF-8.
    Some(unsafe { std::str::from_utf8_unchecked(bytes) })
}

/// Whether this byte is among them.
#[inline]
pub(super) fn holds(bytes: &[u8], byte: u8) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return bytes.contains(&byte);
    };
    let (words, _) = bytes.as_chunks();
    let marks = |word: &[u8; 8]| {
        let zero_where_found = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        zero_where_found.wrapping_sub(ONES) & !zero_where_found
    };
    words.iter().fold(marks(last), |all, word| all | marks(word)) & (ONES * 0x80) != 0
}

const ONES: u64 = u64::MAX / 255;

#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(u8::is_ascii);
    };
    let (words, _) = bytes.as_chunks();
    // The last word may overlap the one before it, which does no harm.
    let all = words.iter().fold(u64::from_le_bytes(*last), |all, word| all | u64::from_le_bytes(*word));
    all & (ONES * 0x80) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            for other in [b'a', b'.', b'0', 0, 0x80, 0xaf, 0xff] {
                let mut bytes = vec![other; length];
                assert!(!holds(&bytes, b'/'), "{length} {other}");
                for place in 0..length {
                    bytes[place] = b'/';
                    assert!(holds(&bytes, b'/'), "{length} {place} {other}");
                    bytes[place] = other;
                }
            }
        }
    }

    #[test]
    fn text_is_what_the_standard_library_says_it_is() {
        for length in 0..40 {
            for place in 0..=length {
                for insert in ["", "a", "\u{7f}", "\u{80}", "\u{e9}", "\u{1f600}"] {
                    let mut bytes = vec![b'a'; length];
                    bytes.splice(place..place, insert.bytes());
                    assert_eq!(of(&bytes), std::str::from_utf8(&bytes).ok(), "{length} {place} {insert}");
                    assert!(of(&bytes).is_some());
                }
                for byte in [0x80, 0xc3, 0xe2, 0xff] {
                    let mut bytes = vec![b'a'; length];
                    bytes.insert(place, byte);
                    assert_eq!(of(&bytes), None, "{length} {place} {byte}");
                }
            }
        }
    }
}
