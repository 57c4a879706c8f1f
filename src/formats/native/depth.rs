//! How deep objects and arrays are nested, checked before a record is parsed.

/// Whether brackets are nested more than `depth_max` deep, brackets in strings aside.
///
/// A value that is not JSON gets some answer; the parser refuses it afterwards.
pub(super) fn exceeds(value: &[u8], depth_max: usize) -> bool {
    // Nothing is deeper than it has brackets, and counting them is nearly free.
    opening_brackets(value) > depth_max && measured_depth_exceeds(value, depth_max)
}

fn opening_brackets(value: &[u8]) -> usize {
    // One bit apart, the two opening brackets are one comparison. Chunks of 255 keep the counters in bytes, so that it vectorises.
    value
        .chunks(255)
        .map(|chunk| {
            let count: u8 = chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum();
            usize::from(count)
        })
        .sum()
}

fn measured_depth_exceeds(value: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in value {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_inside_each_other_count() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        for (value, expected) in [
            (nested(4), false),
            (nested(5), true),
            (b"[".repeat(5), true),
            (nested(4).repeat(9), false),
            (b"{\"[[[[[\":1}".to_vec(), false),
            (b"{\"\\\"[[[[[\":1}".to_vec(), false),
            (b"{\"\\\\\":[[[[1]]]]}".to_vec(), true),
            (b"{\"a\":[{\"b\":[{}]}]}".to_vec(), true),
            ([b"[1]".repeat(1_000), nested(5)].concat(), true),
        ] {
            assert_eq!(exceeds(&value, 4), expected, "{}", String::from_utf8_lossy(&value));
        }
    }
}
