//! Dead letters of the intake: whether the source's map, as it is now, reads the record that is to be written again.

use crate::config::Config;
use crate::exit::Failure;
use crate::stream::broker::Offset;
use crate::stream::intake::mapping::{Mapper, RefusedRaw};
use crate::stream::intake::port::RawRecord;
use crate::stream::intake::rules::{IntakeRules, WithoutOffsets};
use crate::wire::reason::Refusal;

/// The sources of the intake and their maps.
pub(super) struct RawSources {
    rules: IntakeRules,
    mapper: Mapper,
}

impl RawSources {
    /// None without an intake.
    ///
    /// # Errors
    /// 78: a map or one of its options is wrong.
    pub(super) fn load(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(rules) = IntakeRules::new(config, WithoutOffsets::Stop) else { return Ok(None) };
        let sources = rules.load_maps()?;
        Ok(Some(Self { mapper: Mapper::new(&rules, sources), rules }))
    }

    /// Why the intake would refuse such a record of this topic; none for a topic of no source. Headers tell maps what a webhook is.
    pub(super) fn refusal(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Option<Refusal> {
        let source = *self.rules.source_of_topics().get(topic)?;
        let bytes_max = self.rules.decoder.limits().bytes_max;
        // It will have another timestamp, which decides about no refusal.
        let record =
            RawRecord { offset: Offset(0), timestamp_ms: Some(0), key, value, headers: headers.to_vec() };
        let mapped = self.mapper.map(&self.rules, source, topic, 0, &record, bytes_max);
        mapped.content.err().map(|RefusedRaw { refusal, .. }| refusal)
    }
}
