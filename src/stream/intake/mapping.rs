//! One raw record → the native records that it means, or the dead letter that it becomes.

use std::collections::BTreeMap;

use super::port::{IntakeOutput, NativeOutput, RawRecord};
use super::rules::{IntakeRules, MappedSource};
use crate::config::DeadLetterValues;
use crate::domain::values::time::Time;
use crate::maps::{Content, Mapped, Meta, SourceRecord};
use crate::stream::broker::Offset;
use crate::wire::encode::{DeadLetter, Source};
use crate::wire::reason::Refusal;

/// Maps records of all sources.
pub struct Mapper {
    pub sources: Vec<MappedSource>,
    source_of_topics: BTreeMap<String, usize>,
}

/// Where a record lies.
#[derive(Clone, Debug)]
pub struct Place {
    pub topic: String,
    pub partition: u32,
    pub offset: Offset,
    pub timestamp_ms: Option<i64>,
}

/// What a raw record came to.
pub struct MappedRaw {
    pub place: Place,
    pub source: usize,
    pub content: Result<Mapped, RefusedRaw>,
}

/// A record of no use.
pub struct RefusedRaw {
    pub refusal: Refusal,
    pub letter: DeadLetter,
}

impl Mapper {
    pub fn new(rules: &IntakeRules, sources: Vec<MappedSource>) -> Self {
        Self { sources, source_of_topics: rules.source_of_topics() }
    }

    /// Whose topic it is.
    pub fn source_of(&self, topic: &str) -> usize {
        self.source_of_topics.get(topic).copied().expect("only topics of sources are subscribed to")
    }

    pub fn map(
        &self,
        rules: &IntakeRules,
        source: usize,
        topic: &str,
        partition: u32,
        raw: &RawRecord<'_>,
        bytes_max: usize,
    ) -> MappedRaw {
        let MappedSource { map, map_label, .. } = &self.sources[source];
        let timestamp = raw.timestamp_ms.and_then(Time::from_millis);
        let meta = Meta { topic, key: raw.key, timestamp, headers: &raw.headers };
        let content = raw.value.map_or(Content::Null, Content::Json);
        let mapped = map.records(&SourceRecord { content, meta }, &rules.decoder);
        let place =
            Place { topic: topic.to_owned(), partition, offset: raw.offset, timestamp_ms: raw.timestamp_ms };
        let content = mapped.map_err(|refusal| {
            let letter = letter(&refusal, &place, raw, map_label, rules.dead_letter_values, bytes_max);
            RefusedRaw { refusal, letter }
        });
        MappedRaw { place, source, content }
    }

    /// Gives each record to write to `send`; the number of them.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn write<E>(
        &self,
        mapped: &MappedRaw,
        mut send: impl FnMut(&NativeOutput<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let MappedRaw { place, source, content } = mapped;
        let (partition, offset) = (place.partition.to_string(), place.offset.0.to_string());
        let headers: [(&str, &[u8]); 4] = [
            ("intake_map", self.sources[*source].map_label.as_bytes()),
            ("intake_topic", place.topic.as_bytes()),
            ("intake_partition", partition.as_bytes()),
            ("intake_offset", offset.as_bytes()),
        ];
        match content {
            Ok(Mapped { records, .. }) => {
                for record in records {
                    send(&NativeOutput {
                        output: IntakeOutput::Input(record.input()),
                        key: record.key.as_deref(),
                        value: Some(&record.value),
                        headers: &headers,
                    })?;
                }
                Ok(records.len() as u64)
            }
            Err(RefusedRaw { letter, .. }) => {
                send(&NativeOutput {
                    output: IntakeOutput::DeadLetters,
                    key: letter.key.as_deref(),
                    value: letter.value.as_deref(),
                    headers: &letter.headers(),
                })?;
                Ok(1)
            }
        }
    }
}

/// What is kept of a record that the map could not read.
fn letter(
    refusal: &Refusal,
    place: &Place,
    raw: &RawRecord<'_>,
    map_label: &str,
    values: DeadLetterValues,
    bytes_max: usize,
) -> DeadLetter {
    let Place { topic, partition, offset, timestamp_ms } = place;
    let place = &Source { topic, partition: *partition, offset: offset.0, timestamp_ms: *timestamp_ms };
    let mut letter = match values {
        DeadLetterValues::Keep => DeadLetter::new(refusal, place, raw.key, raw.value, bytes_max),
        DeadLetterValues::Drop => DeadLetter::without_content(refusal, place, raw.key, raw.value),
    };
    letter.add_header("dlq_map", map_label.as_bytes());
    if values == DeadLetterValues::Keep {
        // A webhook says in its headers what it is: without them it could not be mapped again.
        for (name, value) in raw.headers.iter().filter(|(name, _)| !name.starts_with("dlq_")) {
            letter.add_header_within(name, value, bytes_max);
        }
    }
    letter
}
