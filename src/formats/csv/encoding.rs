//! From the bytes of a file to text, and back for dead letters.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::settings::EncodingChoice;

/// The text of a file, and the encoding it had.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) text: String,
    encoding: &'static Encoding,
}

impl Decoded {
    /// A byte order mark decides; then the map; else the text must be UTF-8. The error is what to say about the file.
    pub(super) fn new(bytes: Vec<u8>, choice: EncodingChoice) -> Result<Self, String> {
        let marked = Encoding::for_bom(&bytes);
        let encoding = match (marked, choice) {
            (Some((encoding, _)), _) | (None, EncodingChoice::Named(encoding)) => encoding,
            (None, EncodingChoice::Auto) => UTF_8,
        };
        let mark_length = marked.map_or(0, |(_, length)| length);
        if encoding == UTF_8 {
            return match String::from_utf8(bytes) {
                Ok(mut text) => {
                    text.drain(..mark_length);
                    Ok(Self { text, encoding })
                }
                Err(error) => Err(not_utf8(error.as_bytes(), error.utf8_error().valid_up_to())),
            };
        }
        match encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark_length..]) {
            Some(text) => Ok(Self { text: text.into_owned(), encoding }),
            None => Err(format!(
                "is not written in {}: give its own encoding as csv.encoding in the map",
                encoding.name().to_lowercase()
            )),
        }
    }

    /// A part of the text as it stands in the file.
    pub(super) fn original<'t>(&'t self, text: &'t str) -> Cow<'t, [u8]> {
        if self.encoding == UTF_8 {
            Cow::Borrowed(text.as_bytes())
        } else if self.encoding == UTF_16LE {
            Cow::Owned(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
        } else if self.encoding == UTF_16BE {
            Cow::Owned(text.encode_utf16().flat_map(u16::to_be_bytes).collect())
        } else {
            self.encoding.encode(text).0
        }
    }
}

fn not_utf8(bytes: &[u8], valid: usize) -> String {
    let zeros =
        |parity: usize| bytes.iter().take(512).skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let line = memchr::memchr_iter(b'\n', &bytes[..valid]).count() + 1;
    let example = match (zeros(0), zeros(1)) {
        (_, odd) if odd > 8 => "utf-16le",
        (even, _) if even > 8 => "utf-16be",
        (_, _) => "windows-1252",
    };
    format!(
        "is not UTF-8 (line {line}): give its encoding in the map, such as csv.encoding = \"{example}\" below [csv]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], label: &str) -> Result<String, String> {
        let choice = EncodingChoice::try_from(label.to_owned()).expect("an encoding");
        let decoded = Decoded::new(bytes.to_vec(), choice)?;
        let body = decoded.original(&decoded.text);
        assert!(bytes.ends_with(&body), "the original bytes of {:?}", decoded.text);
        Ok(decoded.text)
    }

    #[test]
    fn a_mark_decides_before_the_map() {
        for (bytes, label, text) in [
            (&b"a\xc3\xa9"[..], "auto", "aé"),
            (b"\xef\xbb\xbfa\xc3\xa9", "windows-1252", "aé"),
            (b"\xff\xfea\0\xe9\0", "auto", "aé"),
            (b"\xfe\xff\0a\0\xe9", "auto", "aé"),
            (b"a\xe9\x80", "windows-1252", "aé€"),
            (b"a\0\xe9\0", "utf-16le", "aé"),
            (b"", "auto", ""),
        ] {
            assert_eq!(decode(bytes, label).as_deref(), Ok(text), "{bytes:?}");
        }
    }

    #[test]
    fn eight_bits_are_never_guessed() {
        for (bytes, label, expected) in [
            (
                &b"a\nb\xe9"[..],
                "auto",
                "(line 2): give its encoding in the map, such as csv.encoding = \"windows-1252\"",
            ),
            (b"a\0b\0c\0d\0e\0f\0g\0h\0i\0j\0\xe9\0", "auto", "csv.encoding = \"utf-16le\""),
            (b"\x81\xff", "shift_jis", "is not written in shift_jis"),
        ] {
            let problem = decode(bytes, label).expect_err("not decoded");
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
