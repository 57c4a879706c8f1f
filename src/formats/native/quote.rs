//! The first quote among a few bytes: most of what a scan of JSON does.

/// Few strings are longer.
pub(super) const CHUNK: usize = 16;

/// Where the first quote of a chunk stands.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn first_in(chunk: &[u8; CHUNK]) -> Option<usize> {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};

    #[expect(unsafe_code, reason = "the compiler does not find these instructions in safe code")]
    // SAFETY: every processor of this architecture has SSE2, and the load may be unaligned and reads what the array holds.
    let quotes = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed())))
    };
    (quotes != 0).then(|| quotes.trailing_zeros() as usize)
}

/// Where the first quote of a chunk stands.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn first_in(chunk: &[u8; CHUNK]) -> Option<usize> {
    portable_first_in(chunk)
}

/// The same everywhere, eight bytes at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_first_in(chunk: &[u8; CHUNK]) -> Option<usize> {
    let (words, _) = chunk.as_chunks();
    words.iter().enumerate().find_map(|(index, word)| {
        let quotes = quotes_in(u64::from_le_bytes(*word));
        (quotes != 0).then(|| index * 8 + (quotes.trailing_zeros() / 8) as usize)
    })
}

/// The highest bit of the lowest byte that is a quote; zero if none is. Bits above the first are not to be trusted.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn quotes_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zero_where_quote = word ^ (ONES * b'"' as u64);
    zero_where_quote.wrapping_sub(ONES) & !zero_where_quote & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_is_found() {
        for other in 0..=255 {
            let without = [if other == b'"' { b'x' } else { other }; CHUNK];
            assert_eq!((first_in(&without), portable_first_in(&without)), (None, None), "{other}");
            for place in 0..CHUNK {
                let mut chunk = without;
                chunk[place] = b'"';
                chunk[place + 1..].fill(other);
                let expected = Some(place);
                assert_eq!(first_in(&chunk), expected, "{place} {other}");
                assert_eq!(portable_first_in(&chunk), expected, "{place} {other}");
            }
        }
    }
}
