//! JSON → the values of jq, strictly and within bounds. jq's own parser takes more than JSON and recurses, so that it only ever sees
//! text that was checked; it keeps every number as it is written.

use jaq_json::{Val, read::parse_single};
use serde::de::IgnoredAny;

use crate::formats::native::Limits;
use crate::wire::reason::{Reason, Refusal};

/// An array or object with more than this many elements was built to hurt: an order has some hundred lines.
const ELEMENTS_MAX: u32 = 10_000;

/// All values of a record together.
const VALUES_MAX: u32 = 200_000;

/// Longer numbers are no ids and no amounts, and take time that grows with the square of their length.
const NUMBER_BYTES_MAX: usize = 128;

/// Objects and arrays inside each other, whatever the limits say: parsers recurse.
const DEPTH_MAX: usize = 120;

/// Reads one JSON value.
///
/// # Errors
/// It is no JSON, or larger or deeper than allowed.
pub fn read(bytes: &[u8], limits: Limits) -> Result<Val, Refusal> {
    if bytes.len() > limits.bytes_max {
        let detail = format!("{} bytes, allowed are {}", bytes.len(), limits.bytes_max);
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    read_within(bytes, limits.depth_max.min(DEPTH_MAX))
}

/// The same for text that a record holds.
pub(super) fn read_within(bytes: &[u8], depth_max: usize) -> Result<Val, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Refusal::new(Reason::InvalidUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to()))
    })?;
    measure(bytes, depth_max)?;
    // These messages are fixed texts with a position; they quote nothing.
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| Refusal::new(Reason::MalformedJson, error.to_string()))?;
    parse_single(bytes).map_err(|_| Refusal::new(Reason::MalformedJson, "a string holds an invalid escape"))
}

/// Refuses what is too deep, too wide or has too long a number, before anything is built. Text that is no JSON gets some answer.
fn measure(bytes: &[u8], depth_max: usize) -> Result<(), Refusal> {
    let mut elements = [0u32; DEPTH_MAX + 1];
    let (mut depth, mut values, mut number) = (0, 0u32, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        number = if matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E') { number + 1 } else { 0 };
        if number > NUMBER_BYTES_MAX {
            return Err(Refusal::new(
                Reason::TooLarge,
                format!("a number is longer than {NUMBER_BYTES_MAX} characters"),
            ));
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err(Refusal::new(Reason::TooDeep, format!("more than {depth_max} levels deep")));
                }
                elements[depth] = 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => {
                elements[depth] += 1;
                values += 1;
                if elements[depth] > ELEMENTS_MAX {
                    let detail = format!("an array or object has more than {ELEMENTS_MAX} elements");
                    return Err(Refusal::new(Reason::TooLarge, detail));
                }
            }
            _ => {}
        }
        if values > VALUES_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("it holds more than {VALUES_MAX} values")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> Option<Reason> {
        read(bytes, Limits::default()).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in [
            "820982911946154508",
            "-115310627314723954999",
            "12345678901234567890.123456789",
            "22.499999999999996",
            "1.10",
            "1e2",
            r#"{"a":[0.10,100000000000000000000000]}"#,
        ] {
            assert_eq!(read(text.as_bytes(), Limits::default()).expect("JSON").to_string(), text);
        }
    }

    #[test]
    fn only_json_is_read() {
        for text in [
            "NaN",
            "[1,]",
            "{a:1}",
            "b\"a\"",
            "# c\n1",
            "+1",
            "01",
            "1.",
            "\"\\x41\"",
            "webhook_id=12",
            "",
            "{} {}",
            "\"\\ud83d\"",
        ] {
            assert_eq!(reason(text.as_bytes()), Some(Reason::MalformedJson), "{text}");
        }
        assert_eq!(reason(b"\"\xff\""), Some(Reason::InvalidUtf8));
        assert_eq!(reason(b"\xef\xbb\xbf{}"), None);
    }

    #[test]
    fn what_was_built_to_hurt_is_refused_before_it_is_built() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!(reason(nested(32).as_bytes()), None);
        assert_eq!(reason(nested(33).as_bytes()), Some(Reason::TooDeep));
        assert_eq!(reason("[".repeat(1_000_000).as_bytes()), Some(Reason::TooDeep));
        assert_eq!(reason(format!("[{}0]", "0,".repeat(9_999)).as_bytes()), None);
        assert_eq!(reason(format!("[{}0]", "0,".repeat(10_000)).as_bytes()), Some(Reason::TooLarge));
        let wide = format!("[{}[]]", format!("[{}0],", "0,".repeat(5_000)).repeat(45));
        assert_eq!(reason(wide.as_bytes()), Some(Reason::TooLarge));
        assert_eq!(reason("9".repeat(129).as_bytes()), Some(Reason::TooLarge));
        assert_eq!(reason(format!("\"{}\"", "9".repeat(129)).as_bytes()), None);
    }
}
