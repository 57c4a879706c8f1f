//! Records that were refused, as they go on: the original bytes, and beside them why and where from.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::fields::{Base64, Field, FieldType, LineNumber, Named, Words, record};
use super::text::append;
use crate::wire::reason::{Reason, Refusal};

/// Where a refused record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source<'a> {
    pub topic: &'a str,
    pub partition: u32,
    pub offset: u64,
    /// Milliseconds since 1970, if the record has a timestamp.
    pub timestamp_ms: Option<i64>,
}

/// A record for the topic of dead letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The original key, or its beginning.
    pub key: Option<Vec<u8>>,
    /// The original value, or its beginning.
    pub value: Option<Vec<u8>>,
    headers: Vec<(Cow<'static, str>, Box<[u8]>)>,
}

impl DeadLetter {
    /// Key, value and headers together take at most `bytes_max`, unless that is too little for the headers: the value is cut first,
    /// then the key.
    pub fn new(
        refusal: &Refusal,
        source: &Source<'_>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        bytes_max: usize,
    ) -> Self {
        let mut letter = Self { key: None, value: None, headers: headers(refusal, source) };
        let (key_bytes, value_bytes) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
        if letter.headers_bytes() + key_bytes + value_bytes > bytes_max {
            letter.headers.extend(original(["dlq_key_bytes", "dlq_key_sha256"], key));
            letter.headers.extend(original(["dlq_value_bytes", "dlq_value_sha256"], value));
        }
        let room = bytes_max.saturating_sub(letter.headers_bytes());
        letter.key = key.map(|key| key[..key_bytes.min(room)].to_vec());
        letter.value = value.map(|value| value[..value_bytes.min(room.saturating_sub(key_bytes))].to_vec());
        letter
    }

    /// The same without a content: only how long key and value are, and their SHA-256.
    pub fn without_content(
        refusal: &Refusal,
        source: &Source<'_>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Self {
        let mut letter = Self { key: None, value: None, headers: headers(refusal, source) };
        letter.headers.extend(original(["dlq_key_bytes", "dlq_key_sha256"], key));
        letter.headers.extend(original(["dlq_value_bytes", "dlq_value_sha256"], value));
        letter
    }

    /// Adds a header of the writer's own.
    pub fn add_header(&mut self, name: &'static str, value: &[u8]) {
        self.headers.push((name.into(), value.into()));
    }

    /// Adds a header of the original, unless the record would be too large with it.
    pub fn add_header_within(&mut self, name: &str, value: &[u8], bytes_max: usize) {
        let content = self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len);
        if self.headers_bytes() + content + name.len() + value.len() <= bytes_max {
            self.headers.push((name.to_owned().into(), value.into()));
        }
    }

    /// Names and values.
    pub fn headers(&self) -> Vec<(&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect()
    }

    fn headers_bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn headers(refusal: &Refusal, source: &Source<'_>) -> Vec<(Cow<'static, str>, Box<[u8]>)> {
    let text = |text: &str| text.as_bytes().into();
    let mut headers = vec![
        (Cow::Borrowed("dlq_reason"), text(refusal.reason.name())),
        ("dlq_detail".into(), text(&refusal.detail)),
        ("dlq_topic".into(), text(source.topic)),
        ("dlq_partition".into(), text(&source.partition.to_string())),
        ("dlq_offset".into(), text(&source.offset.to_string())),
    ];
    if let Some(millis) = source.timestamp_ms {
        headers.push(("dlq_timestamp".into(), text(&millis.to_string())));
    }
    headers
}

/// Size and SHA-256 of what is about to be cut.
fn original(
    [bytes_name, digest_name]: [&'static str; 2],
    content: Option<&[u8]>,
) -> Vec<(Cow<'static, str>, Box<[u8]>)> {
    let Some(content) = content else { return Vec::new() };
    let mut digest = String::with_capacity(64);
    for byte in Sha256::digest(content) {
        digest.push_str(&format!("{byte:02x}"));
    }
    let size = content.len().to_string();
    vec![(bytes_name.into(), size.into_bytes().into()), (digest_name.into(), digest.into_bytes().into())]
}

record! {
    /// A refused line of a file.
    LineRecord(of: &'v RefusedLine<'v>) {
        /// Why the record was refused.
        "reason": Named<Reason> = of.refusal.reason;
        /// A sentence for people: which field, what was expected. It never holds data of the record.
        "detail": Words = of.refusal.detail.as_bytes();
        /// The file, as it was named on the command line.
        "file": Words = of.file.as_bytes();
        /// The line in the file, from 1. For a document of several CSV rows: its first.
        "line": LineNumber = of.line;
        /// The bytes of the line without its line end, in base64 with padding; cut to the record size limit.
        "value_base64": Base64 = &of.value_base64;
    }
}

/// The fields of a dead letter of a file.
pub const fn fields() -> &'static [Field] {
    LineRecord::FIELDS
}

/// What is written of a refused line.
pub(super) struct RefusedLine<'v> {
    refusal: &'v Refusal,
    file: &'v str,
    line: u64,
    value_base64: String,
}

/// Appends a refused line of a file as a line of JSON, cut to `bytes_max` bytes of the original.
pub fn encode_line(
    out: &mut Vec<u8>,
    refusal: &Refusal,
    file: &str,
    line: u64,
    value: &[u8],
    bytes_max: usize,
) {
    let value_base64 = STANDARD.encode(&value[..value.len().min(bytes_max)]);
    let room = 256 + 6 * (refusal.detail.len() + file.len()) + value_base64.len();
    let refused = RefusedLine { refusal, file, line, value_base64 };
    append(out, room, |text| LineRecord::put(text, &refused, 0).put(b"\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(key: Option<&[u8]>, value: Option<&[u8]>, bytes_max: usize) -> DeadLetter {
        let refusal = Refusal::new(Reason::InvalidTime, "placed_at has no offset");
        let source =
            Source { topic: "orders", partition: 3, offset: 17, timestamp_ms: Some(1_743_869_700_123) };
        DeadLetter::new(&refusal, &source, key, value, bytes_max)
    }

    fn texts(letter: &DeadLetter) -> Vec<String> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("UTF-8");
        letter.headers().into_iter().map(|(name, value)| format!("{name}: {}", text(value))).collect()
    }

    const PLAIN: [&str; 6] = [
        "dlq_reason: invalid_time",
        "dlq_detail: placed_at has no offset",
        "dlq_topic: orders",
        "dlq_partition: 3",
        "dlq_offset: 17",
        "dlq_timestamp: 1743869700123",
    ];

    #[test]
    fn what_fits_stays_as_it_was() {
        let whole = letter(Some(b"key"), Some(b"value"), 1_000);
        assert_eq!((whole.key.as_deref(), whole.value.as_deref()), (Some(&b"key"[..]), Some(&b"value"[..])));
        assert_eq!(texts(&whole), PLAIN);
        let nothing = letter(None, None, 1_000);
        assert_eq!((nothing.key.as_deref(), nothing.value.as_deref()), (None, None));
        assert_eq!(texts(&nothing), PLAIN);
    }

    #[test]
    fn the_value_is_cut_first_then_the_key() {
        let (key, value) = (vec![b'k'; 1_000], vec![b'v'; 10_000]);
        for (bytes_max, key_left, value_left) in
            [(10_000, 1_000..=1_000, 8_000..=8_999), (800, 100..=799, 0..=0), (10, 0..=0, 0..=0)]
        {
            let cut = letter(Some(&key), Some(&value), bytes_max);
            let (key_bytes, value_bytes) =
                (cut.key.as_ref().map_or(0, Vec::len), cut.value.as_ref().map_or(0, Vec::len));
            assert!(key_left.contains(&key_bytes), "{bytes_max}: {key_bytes} bytes of the key");
            assert!(value_left.contains(&value_bytes), "{bytes_max}: {value_bytes} bytes of the value");
            let total = cut.headers_bytes() + key_bytes + value_bytes;
            assert!(total == bytes_max || bytes_max == 10, "{bytes_max}: {total} bytes");
            let headers = texts(&cut);
            assert_eq!(headers[..6], PLAIN);
            assert_eq!(headers[6], "dlq_key_bytes: 1000");
            assert_eq!(headers[8], "dlq_value_bytes: 10000");
        }
    }

    #[test]
    fn digests_are_of_the_original() {
        let cut = letter(None, Some(b"abc"), 0);
        assert_eq!(
            texts(&cut)[6..],
            [
                "dlq_value_bytes: 3",
                "dlq_value_sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ]
        );
    }

    #[test]
    fn a_line_keeps_its_bytes() {
        let refusal = Refusal::new(Reason::MalformedJson, "expected value at line 1 column 1");
        let mut out = Vec::new();
        encode_line(&mut out, &refusal, "orders \"a\".jsonl", 7, b"\xff{", 1);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "{\"reason\":\"malformed_json\",\"detail\":\"expected value at line 1 column 1\",\
             \"file\":\"orders \\\"a\\\".jsonl\",\"line\":7,\"value_base64\":\"/w==\"}\n"
        );
    }
}
