//! Records in JSON that is not one a line: arrays, pages of an API, records over several lines, and all of these one after the other.

use std::borrow::Cow;

use memchr::memchr_iter;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::reason::{Reason, Refusal};

/// Members under which pages hold records. A record has none of them as its only content.
const PAGES: [&str; 9] =
    ["orders", "returns", "refunds", "erasures", "data", "results", "records", "value", "batch"];

/// Members that make an object a record, whatever else it holds.
const RECORDS: [&str; 8] =
    ["id", "order_id", "return_id", "customer_id", "placed_at", "event", "type", "messageId"];

/// How arrays may be nested.
const DEPTH_MAX: usize = 4;

/// Where a value is not JSON, and all behind it with it.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) line: u64,
    pub(super) place: usize,
    pub(super) what: &'static str,
}

impl Broken {
    pub(super) fn refusal(&self) -> Refusal {
        Refusal::new(Reason::MalformedJson, format!("{}: the rest of the file is not read", self.what))
    }
}

/// Calls `each` with every record of a text and the line on which it begins.
pub(super) fn for_each_record<E>(
    text: &str,
    each: &mut dyn FnMut(&str, u64) -> Result<(), E>,
) -> Result<Option<Broken>, E> {
    let mut walk = Walk { text, position: 0, line: 1, counted: 0, each };
    walk.values()
}

/// The array of records that an object holds, if it is a page of them.
pub(super) fn page(object: &[u8]) -> Option<&[u8]> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let (mut page, mut is_record) = (None, false);
            while let Some((name, value)) = members.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                is_record |= RECORDS.contains(&&*name);
                if PAGES.contains(&&*name) && value.get().starts_with('[') {
                    page = Some(value);
                }
            }
            Ok(page.filter(|_| !is_record))
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(object);
    let page = deserializer.deserialize_map(Members).ok()??;
    Some(page.get().as_bytes())
}

struct Walk<'t, 'e, E> {
    text: &'t str,
    position: usize,
    /// The line of the byte up to which lines were counted.
    line: u64,
    counted: usize,
    each: &'e mut dyn FnMut(&str, u64) -> Result<(), E>,
}

impl<E> Walk<'_, '_, E> {
    fn values(&mut self) -> Result<Option<Broken>, E> {
        let mut depth = 0;
        loop {
            let rest = &self.text[self.position..];
            self.position += rest.len() - rest.trim_ascii_start().len();
            match self.text.as_bytes().get(self.position) {
                None if depth == 0 => return Ok(None),
                None => return Ok(Some(self.broken("the array breaks off here"))),
                Some(b'[') if depth < DEPTH_MAX => depth += 1,
                Some(b']') if depth > 0 => depth -= 1,
                Some(b',') if depth > 0 => {}
                Some(_) => {
                    if let Some(broken) = self.value(depth)? {
                        return Ok(Some(broken));
                    }
                    continue;
                }
            }
            self.position += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Option<Broken>, E> {
        let text = self.text;
        let rest = &text[self.position..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = match values.next() {
            Some(Ok(value)) => value.get(),
            Some(Err(_)) | None => return Ok(Some(self.broken("what follows is no JSON"))),
        };
        let end = self.position + values.byte_offset();
        match page(value.as_bytes()).filter(|_| depth < DEPTH_MAX) {
            Some(records) => {
                // The array is a part of the text: the walk goes through it alone, and on behind its page.
                let start = records.as_ptr().addr() - text.as_ptr().addr();
                let whole = std::mem::replace(&mut self.text, &text[..start + records.len()]);
                self.position = start;
                let broken = self.values()?;
                self.text = whole;
                if broken.is_some() {
                    return Ok(broken);
                }
            }
            None => {
                let line = self.line();
                (self.each)(value, line)?;
            }
        }
        self.position = end;
        Ok(None)
    }

    /// The line of the position.
    fn line(&mut self) -> u64 {
        self.line += memchr_iter(b'\n', &self.text.as_bytes()[self.counted..self.position]).count() as u64;
        self.counted = self.position;
        self.line
    }

    fn broken(&mut self, what: &'static str) -> Broken {
        Broken { line: self.line(), place: self.position, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_in_arrays_and_pages() {
        for (text, expected) in [
            ("", &[][..]),
            ("[]", &[]),
            ("[{\"a\":1},\n {\"b\":[2]}]\n", &["1 {\"a\":1}", "2 {\"b\":[2]}"]),
            (
                "{\"orders\":[{\"a\":1}], \"page\":2}\n{\"orders\":\n[{\"a\":2}]}",
                &["1 {\"a\":1}", "3 {\"a\":2}"],
            ),
            ("{\"id\":1,\"refunds\":[{}]}", &["1 {\"id\":1,\"refunds\":[{}]}"]),
            ("[1]\n{\n\"a\":1}", &["1 1", "2 {\n\"a\":1}"]),
            ("[[{\"a\":1}],[{\"a\":2}]]", &["1 {\"a\":1}", "1 {\"a\":2}"]),
            ("[{\"a\":1},\n{\"a\"", &["1 {\"a\":1}", "2 what follows is no JSON"]),
            ("[{\"a\":1},\n", &["1 {\"a\":1}", "2 the array breaks off here"]),
        ] {
            let mut found = Vec::new();
            let broken = for_each_record(text, &mut |record, line| {
                found.push(format!("{line} {record}"));
                Ok::<(), ()>(())
            });
            found.extend(broken.expect("no error").map(|broken| format!("{} {}", broken.line, broken.what)));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
