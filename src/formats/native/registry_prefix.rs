//! The prefix that clients of a schema registry put before a value: a byte 0 and the schema's id in four bytes.
//!
//! Behind it stands the JSON of any other producer, so the prefix is passed over. The id is not looked up: what a record must
//! hold is decided here, not by a registry.

const MAGIC: u8 = 0;
const ID_BYTES: usize = 4;

/// The JSON of a value. A byte 0 begins no JSON, so a value that does not go on as a registry's client writes it stays whole and
/// is refused.
#[inline]
pub(super) fn without_registry_prefix(value: &[u8]) -> &[u8] {
    if value.first() != Some(&MAGIC) {
        return value;
    }
    match value.get(1 + ID_BYTES..) {
        Some(json) if json.first() == Some(&b'{') => json,
        Some(_) | None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_prefix_before_an_object_is_passed_over() {
        for (value, expected) in [
            (&b"{}"[..], &b"{}"[..]),
            (b"\0\0\0\0\x07{}", b"{}"),
            (b"\0{{{{{}", b"{}"),
            (b"\0\xff\xff\xff\xff{\"a\":1}", b"{\"a\":1}"),
            (b"\0\0\0\0\x07 {}", b"\0\0\0\0\x07 {}"),
            (b"\0\0\0\0\x07\0\0\0\0\x07{}", b"\0\0\0\0\x07\0\0\0\0\x07{}"),
            (b"\0\0\0\0{}", b"\0\0\0\0{}"),
            (b"\x01\0\0\0\x07{}", b"\x01\0\0\0\x07{}"),
            (b"\0\0\0\0\x07", b"\0\0\0\0\x07"),
            (b"\0", b"\0"),
            (b"", b""),
        ] {
            assert_eq!(without_registry_prefix(value), expected, "{value:?}");
        }
    }
}
