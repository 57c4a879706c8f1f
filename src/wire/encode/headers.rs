//! The envelope of signals and profiles: CloudEvents in binary mode, in the headers, so that a null value is still a tombstone.

use std::ffi::CStr;

use super::json::time_text;
use super::text::Text;
use crate::domain::values::time::Time;
use crate::wire::hash::SignalId;

/// The header of a native record that an intake has written: the map that has read it.
pub const INTAKE_MAP: &CStr = c"intake_map";

/// The header with the name of the rule that a signal is about.
pub const RULE: &str = "rs_rule";

/// Room for the longest id: a partition of 10 digits, two numbers of 20, two hyphens, and what a [`Text`] needs.
const ID_ROOM: usize = 80;

/// Makes the headers of one application's records.
#[derive(Clone, Debug)]
pub struct CloudEvents {
    source: Box<[u8]>,
}

/// The headers of one record, held in place: they are made at the very send.
#[derive(Clone, Debug)]
pub struct Headers<'s> {
    source: &'s [u8],
    type_name: &'static [u8],
    id: [u8; ID_ROOM],
    id_bytes: usize,
    time: [u8; 24],
}

impl CloudEvents {
    /// `application` is what the records name as their source.
    pub fn new(application: &str) -> Self {
        Self { source: application.as_bytes().into() }
    }

    pub fn signal(&self, id: SignalId, occurred_at: Time) -> Headers<'_> {
        self.headers(b"retention.signal.v1", occurred_at, |text| text.put(&id.to_hex()))
    }

    /// `number` distinguishes the profiles of one batch and partition.
    pub fn profile(&self, partition: u32, batch: u64, number: u64, as_of: Time) -> Headers<'_> {
        self.headers(b"retention.profile.v1", as_of, |text| {
            text.integer(u64::from(partition)).put(b"-").integer(batch).put(b"-").integer(number)
        })
    }

    fn headers(
        &self,
        type_name: &'static [u8],
        time: Time,
        write_id: impl FnOnce(Text<'_>) -> Text<'_>,
    ) -> Headers<'_> {
        let mut id = [0; ID_ROOM];
        let id_bytes = ID_ROOM - write_id(Text::new(&mut id)).room();
        Headers { source: &self.source, type_name, id, id_bytes, time: time_text(time) }
    }
}

impl Headers<'_> {
    /// Names and values.
    pub fn as_array(&self) -> [(&str, &[u8]); 6] {
        [
            ("ce_specversion", b"1.0"),
            ("ce_type", self.type_name),
            ("ce_source", self.source),
            ("ce_id", &self.id[..self.id_bytes]),
            ("ce_time", &self.time),
            ("content-type", b"application/json"),
        ]
    }

    /// The same of a signal of a rule, whose name connectors can route by.
    pub fn with_rule<'h>(&'h self, rule: &'h str) -> [(&'h str, &'h [u8]); 7] {
        let [version, type_name, source, id, time, content_type] = self.as_array();
        [version, type_name, source, id, time, content_type, (RULE, rule.as_bytes())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(headers: &Headers<'_>) -> Vec<String> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("UTF-8");
        headers.as_array().iter().map(|(name, value)| format!("{name}: {}", text(value))).collect()
    }

    #[test]
    fn signals_and_profiles_are_cloud_events() {
        let events = CloudEvents::new("shop");
        let time = Time::from_millis(1_743_869_700_123).expect("in range");
        assert_eq!(
            texts(&events.signal(SignalId(0xabc), time)),
            [
                "ce_specversion: 1.0",
                "ce_type: retention.signal.v1",
                "ce_source: shop",
                "ce_id: 00000000000000000000000000000abc",
                "ce_time: 2025-04-05T16:15:00.123Z",
                "content-type: application/json",
            ]
        );
        let signal = events.signal(SignalId(0xabc), time);
        assert_eq!(signal.with_rule("win-back")[..6], signal.as_array());
        assert_eq!(signal.with_rule("win-back")[6], ("rs_rule", &b"win-back"[..]));
        assert_eq!(texts(&events.profile(3, 17, 5, time))[3], "ce_id: 3-17-5");
        let longest = &texts(&events.profile(u32::MAX, u64::MAX, u64::MAX, time))[3];
        assert_eq!(longest, "ce_id: 4294967295-18446744073709551615-18446744073709551615");
    }
}
