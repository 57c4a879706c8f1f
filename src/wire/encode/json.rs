//! JSON values one by one, appended to a buffer that is used again: strings of any length, and those of [`Text`](super::text::Text).

use super::text::{append, put_time};
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;

/// A string in quotes. `content` is UTF-8.
pub(super) fn string(out: &mut Vec<u8>, content: &[u8]) {
    out.push(b'"');
    if any_needs_escape(content) {
        escaped(out, content);
    } else {
        out.extend_from_slice(content);
    }
    out.push(b'"');
}

/// Looks at whole blocks, the last of which overlaps the one before: no byte of an id is looked at alone, unless it is a short one.
pub(super) fn any_needs_escape(content: &[u8]) -> bool {
    if let Some(last) = content.last_chunk::<16>() {
        let (blocks, rest) = content.as_chunks::<16>();
        let found = blocks.iter().fold(false, |found, block| found | any(block));
        return found | (!rest.is_empty() && any(last));
    }
    match (content.first_chunk::<8>(), content.last_chunk::<8>()) {
        (Some(first), Some(last)) => any(first) | any(last),
        (None, _) | (_, None) => content.iter().any(|byte| needs_escape(*byte)),
    }
}

/// Of a constant length, so that the compiler compares all bytes of it at once.
fn any<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(false, |found, byte| found | needs_escape(*byte))
}

const fn needs_escape(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

#[cold]
fn escaped(out: &mut Vec<u8>, content: &[u8]) {
    for byte in content {
        if needs_escape(*byte) {
            escape(out, *byte);
        } else {
            out.push(*byte);
        }
    }
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

pub(super) fn integer(out: &mut Vec<u8>, value: impl Into<u64>) {
    append(out, SHORT, |text| text.integer(value.into()));
}

/// See [`Text::money`](super::text::Text::money).
pub(super) fn money(out: &mut Vec<u8>, minor: i64, digits: u8) {
    append(out, SHORT, |text| text.money(minor, digits));
}

pub(super) fn currency(out: &mut Vec<u8>, currency: Currency) {
    let [a, b, c] = currency.code();
    out.extend_from_slice(&[b'"', a, b, c, b'"']);
}

/// See [`Text::time`](super::text::Text::time).
pub(super) fn time(out: &mut Vec<u8>, time: Time) {
    append(out, SHORT, |text| text.time(time));
}

/// `2025-04-05T18:15:00.000Z`: always UTC, always three digits after the second.
pub fn time_text(time: Time) -> [u8; 24] {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put_time(&mut text, time);
    text
}

/// Room for one value: 39 digits of 128 bits, a sign, a point and six decimals, and some.
const SHORT: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::number::Ratio;
    use crate::domain::values::time::Span;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn strings_are_escaped_as_any_reader_expects() {
        for text in ["", "c-1", "a\"b\\c", "tab\tline\nreturn\rnull\0bell\u{7}", "Zürich 🛒\u{7f}\u{2028}"]
        {
            let json = written(|out| string(out, text.as_bytes()));
            assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text);
        }
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        for (minor, digits, expected) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-400, 2, "-4.00"),
            (-5, 2, "-0.05"),
            (1_230, 2, "12.30"),
            (500, 0, "500"),
            (0, 0, "0"),
            (1, 3, "0.001"),
            (1_250, 3, "1.250"),
            (12_345, 4, "1.2345"),
            (i64::MIN, 2, "-92233720368547758.08"),
        ] {
            assert_eq!(written(|out| money(out, minor, digits)), format!("\"{expected}\""));
        }
    }

    #[test]
    fn numbers_are_rounded_half_even_to_six_decimals() {
        for (numerator, denominator, expected) in [
            (3, 1, "3"),
            (1, 2, "0.5"),
            (4, 3, "1.333333"),
            (5, 3, "1.666667"),
            (1, 2_000_000, "0"),
            (3, 2_000_000, "0.000002"),
            (-1, 3, "-0.333333"),
            (-1, 3_000_000, "0"),
            (10, 1, "10"),
            (1_000_001, 1_000_000, "1.000001"),
            (120_340, 1_000, "120.34"),
            (1i128 << 80, 1, "1208925819614629174706176"),
            ((1i128 << 80) * 2 + 1, 2, "1208925819614629174706176.5"),
        ] {
            let value = Ratio::new(numerator, denominator).expect("a positive denominator");
            assert_eq!(written(|out| append(out, SHORT, |text| text.ratio(value))), expected);
        }
        for (millis, expected) in [(129_600_000, "1.5"), (-86_400_000, "-1"), (0, "0"), (1, "0")] {
            let days = |out: &mut Vec<u8>| append(out, SHORT, |text| text.days(Span::from_millis(millis)));
            assert_eq!(written(days), expected);
        }
    }

    #[test]
    fn every_day_is_written_as_it_is_read() {
        let of_day = 23 * 3_600_000 + 59 * 60_000 + 58 * 1_000 + 907;
        let mut last = String::new();
        for day in 0..=2_932_896i64 {
            let time = Time::from_millis(day * 86_400_000 + of_day).expect("in range");
            let text = String::from_utf8(time_text(time).to_vec()).expect("UTF-8");
            assert_eq!(crate::formats::native::from_rfc3339(&text), Some(time), "{text}");
            last = text;
        }
        assert_eq!(last, "9999-12-31T23:59:58.907Z");
        assert_eq!(time_text(Time::MIN), *b"1970-01-01T00:00:00.000Z");
    }
}
