//! What a file is, by its first bytes: records, a table, or something that has to be made one of these first.

use memchr::memchr_iter;

/// How JSON records stand in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JsonLayout {
    /// One a line.
    Lines,
    /// In arrays, in pages such as `{"orders": […]}`, or over several lines.
    Values,
}

/// What a file seems to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Json(JsonLayout),
    /// Text that is no JSON, or nothing at all.
    Text,
    /// Nothing that can be read; what it is and what to do.
    Other(&'static str),
}

/// Beginnings of files that are no text.
const SIGNATURES: [(&[u8], &str); 11] = [
    (b"PK\x03\x04", "is a zip archive, such as an .xlsx: save the sheet as CSV in UTF-8 and give that file"),
    (b"\xd0\xcf\x11\xe0", "is an .xls of old Excel: save the sheet as CSV in UTF-8 and give that file"),
    (b"%PDF", "is a PDF: export the orders as CSV or JSON"),
    (b"PAR1", "is Parquet: write its rows as CSV or JSON Lines first"),
    (b"Obj\x01", "is Avro: write its records as JSON Lines first"),
    (b"BZh", "is compressed with bzip2: decompress it first; gzip and zstd are read as they are"),
    (b"\xfd7zXZ", "is compressed with xz: decompress it first; gzip and zstd are read as they are"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it first"),
    (b"<!DOCTYPE", "is a web page, most likely one about an error: download the export again"),
    (b"<html", "is a web page, most likely one about an error: download the export again"),
    (b"<?xml", "is XML: export the orders as CSV or JSON"),
];

/// What begins so. Of a file that is longer, `head` is the first part.
pub(super) fn of(head: &[u8]) -> Kind {
    if let Some((_, what)) = SIGNATURES.iter().find(|(signature, _)| {
        head.get(..signature.len()).is_some_and(|start| start.eq_ignore_ascii_case(signature))
    }) {
        return Kind::Other(what);
    }
    if head.first() == Some(&0) {
        return after_zero(head);
    }
    match head.trim_ascii_start() {
        [b'[', ..] => Kind::Json(JsonLayout::Values),
        text @ [b'{', ..] => Kind::Json(layout(text)),
        _ => Kind::Text,
    }
}

fn after_zero(head: &[u8]) -> Kind {
    match head.get(5) {
        // The decoder passes over the prefix of a schema registry before an object.
        Some(b'{') => Kind::Json(JsonLayout::Lines),
        Some(_) if head[1] == 0 => Kind::Other(
            "begins with the prefix of a schema registry, and is no JSON behind it: write the records as JSON Lines first",
        ),
        Some(_) | None => Kind::Text,
    }
}

/// Whether the first line is a record, and no page of them.
fn layout(text: &[u8]) -> JsonLayout {
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let first = lines.next().unwrap_or_default();
    let is_whole = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
    let is_object = |line: &[u8]| line.starts_with(b"{") && is_whole(line);
    if is_whole(first) {
        let is_page = super::json_values::page(first).is_some();
        return if is_page { JsonLayout::Values } else { JsonLayout::Lines };
    }
    // A broken first line before sound ones is one dead letter. A first line without an end is a page.
    let has_lines = memchr_iter(b'\n', text).next().is_some();
    match lines.next() {
        Some(second) if !is_object(second) => JsonLayout::Values,
        None if !has_lines => JsonLayout::Values,
        Some(_) | None => JsonLayout::Lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_it_is() {
        for (head, kind) in [
            (&b""[..], Kind::Text),
            (b"id,at\n", Kind::Text),
            (b"{\"order_id\":\"1\"}\n{", Kind::Json(JsonLayout::Lines)),
            (b"\n{\"order_id\":\"1\", \"items\":[{}]}", Kind::Json(JsonLayout::Lines)),
            (b"{\"order_id\":\n{\"order_id\":\"1\"}", Kind::Json(JsonLayout::Lines)),
            (b"{\n \"order_id\":\"1\"}", Kind::Json(JsonLayout::Values)),
            (b"{\"orders\":[{\"id\":1}]}", Kind::Json(JsonLayout::Values)),
            (b"{\"orders\":[{\"id\":1}, {\"id", Kind::Json(JsonLayout::Values)),
            (b" [{}]", Kind::Json(JsonLayout::Values)),
            (b"\0\0\0\0\x07{}", Kind::Json(JsonLayout::Lines)),
        ] {
            assert_eq!(of(head), kind, "{:?}", String::from_utf8_lossy(head));
        }
        for (head, expected) in [
            (&b"PK\x03\x04rest"[..], ".xlsx"),
            (b"<!doctype html>", "web page"),
            (b"\0\0\0\0\x07\x02abc", "schema registry"),
        ] {
            let Kind::Other(what) = of(head) else { panic!("{head:?}") };
            assert!(what.contains(expected), "{what}");
        }
    }
}
