//! The source records of a file: each line, each value, or each element of an array or page.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Deserializer, StreamDeserializer};

use crate::exit::{Exit, Failure};

/// A file in memory, and where its records lie in it.
pub(super) struct SourceValues {
    bytes: Vec<u8>,
    /// The line on which a record begins, and its bytes.
    places: Vec<(usize, std::ops::Range<usize>)>,
}

impl SourceValues {
    /// Reads a file, or standard input.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let is_standard_input = path == Path::new("-");
        let bytes = if is_standard_input {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            fs::read(path)
        };
        let bytes = bytes.map_err(|error| {
            let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
            let exit = if is_refused { Exit::Permission } else { Exit::Data };
            Failure::message(exit, format!("cannot read {}: {error}", path.display()))
        })?;
        Ok(Self { places: places(&bytes), bytes })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.places.iter().map(|(line, place)| (*line, &self.bytes[place.clone()]))
    }
}

/// A page of a REST API.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    orders: Vec<&'a RawValue>,
}

fn places(bytes: &[u8]) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut lines = LineNumbers { bytes, read: 0, line: 1 };
    match values(bytes) {
        Some(values) => values
            .into_iter()
            .map(|value| {
                let start = value.as_ptr() as usize - bytes.as_ptr() as usize;
                (lines.at(start), start..start + value.len())
            })
            .collect(),
        // Something is no JSON: each line counts for itself, so that the others are still seen.
        None => {
            let mut start = 0;
            let mut places = Vec::new();
            for line in bytes.split(|byte| *byte == b'\n') {
                if !line.trim_ascii().is_empty() {
                    places.push((lines.at(start), start..start + line.len()));
                }
                start += line.len() + 1;
            }
            places
        }
    }
}

/// All values of a text that is JSON as a whole; arrays and pages as their elements.
fn values(bytes: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = Vec::new();
    let stream: StreamDeserializer<'_, _, &RawValue> = Deserializer::from_str(text).into_iter();
    for value in stream {
        let value = value.ok()?.get();
        if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value) {
            values.extend(elements.into_iter().map(RawValue::get));
        } else if let Ok(page) = serde_json::from_str::<Page<'_>>(value) {
            values.extend(page.orders.into_iter().map(RawValue::get));
        } else {
            values.push(value);
        }
    }
    Some(values)
}

/// Counts lines up to places that come in order.
struct LineNumbers<'b> {
    bytes: &'b [u8],
    read: usize,
    line: usize,
}

impl LineNumbers<'_> {
    fn at(&mut self, place: usize) -> usize {
        self.line += memchr_count(&self.bytes[self.read..place]);
        self.read = place;
        self.line
    }
}

fn memchr_count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_lines_values_elements_or_orders_of_a_page() {
        for (text, expected) in [
            ("{\"a\":1}\n\n{\"a\":2}\n", &[(1, "{\"a\":1}"), (3, "{\"a\":2}")][..]),
            ("{\n \"a\":1\n}\n{\"a\":\n2}", &[(1, "{\n \"a\":1\n}"), (4, "{\"a\":\n2}")]),
            ("[{\"a\":1},\n {\"a\":2}]", &[(1, "{\"a\":1}"), (2, "{\"a\":2}")]),
            ("{\"orders\":[\n{\"a\":1}]}", &[(2, "{\"a\":1}")]),
            ("\u{feff}{}", &[(1, "{}")]),
            ("{}\nwebhook_id=1\n{}", &[(1, "{}"), (2, "webhook_id=1"), (3, "{}")]),
            ("", &[]),
        ] {
            let values = SourceValues { places: places(text.as_bytes()), bytes: text.as_bytes().to_vec() };
            let found: Vec<(usize, &[u8])> = values.iter().collect();
            let expected: Vec<(usize, &[u8])> =
                expected.iter().map(|(line, value)| (*line, value.as_bytes())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
