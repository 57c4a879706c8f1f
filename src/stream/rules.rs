//! The settings that a worker and its partitions work by, and what follows from them.

use std::sync::Arc;

use crate::config::{
    ClockRules, CommitPace, Config, DeadLetterLimit, HistoryRules, IntakeSettings, SegmentSettings, Topics,
};
use crate::domain::settings::Settings;
use crate::domain::values::time::Time;
use crate::formats::native::{Decoder, Limits};
use crate::observe::metrics::CurrencyLabel;
use crate::snapshot::Snapshots;
use crate::stream::partition::restore::{OnOtherOffsets, RestoreRules};
use crate::stream::registry::RegistrySource;
use crate::topic::Topic;
use crate::wire::encode::{CloudEvents, ProfileEncoder, SignalEncoder};

use super::shop_time::{self, ShopTime};

/// See the module. The workers of a process share them.
#[derive(Clone)]
pub struct Rules {
    pub settings: Arc<Settings>,
    pub decoder: Decoder,
    pub signals: SignalEncoder,
    pub profiles: ProfileEncoder,
    pub events: CloudEvents,
    pub clock: ClockRules,
    pub shop_time: ShopTime,
    pub commit: CommitPace,
    pub dead_letters: DeadLetterLimit,
    /// Refused records that were appended before do not count towards the limit: `--accept-dead-letters-before`.
    pub dead_letters_accepted_before_ms: Option<i64>,
    pub on_other_offsets: OnOtherOffsets,
    pub history: HistoryRules,
    /// `metrics.shares`
    pub counts_days: bool,
    /// None: no cut points are published.
    pub published_segments: Option<SegmentSettings>,
    /// What the intake in front of the inputs reads; empty without one.
    pub raw_topics: Arc<[String]>,
    /// None until it is opened.
    pub registry: RegistrySource,
    /// None: no snapshots are kept.
    pub snapshots: Option<Snapshots>,
    /// Of the erasure secret.
    pub secret: [u8; 8],
    /// Of what was in force before a secret was configured.
    pub former_secret: Option<[u8; 8]>,
    /// Each shop's own.
    pub currencies: Vec<CurrencyLabel>,
    topics: Topics,
}

impl Rules {
    pub fn new(config: &Config, shop_time: ShopTime, on_other_offsets: OnOtherOffsets) -> Self {
        let shops = &config.settings.shops;
        let limits =
            Limits { bytes_max: config.record_bounds.bytes_max, depth_max: config.record_bounds.depth_max };
        let currencies = shops.indexes().map(|shop| CurrencyLabel::of(shops.get(shop).currency));
        Self {
            decoder: Decoder::of(&config.settings, limits),
            signals: SignalEncoder::new(shops),
            profiles: ProfileEncoder::new(shops),
            events: CloudEvents::new(&config.application),
            clock: config.clock,
            shop_time,
            commit: config.commit,
            dead_letters: config.dead_letters,
            dead_letters_accepted_before_ms: None,
            on_other_offsets,
            history: config.history,
            counts_days: config.topics.has_shares,
            published_segments: config.segments.filter(|_| config.topics.writes_registry),
            raw_topics: config.intake.iter().flat_map(IntakeSettings::topics).cloned().collect(),
            registry: RegistrySource::None,
            snapshots: None,
            secret: config.erasure_fingerprint,
            former_secret: config.former_erasure_fingerprint,
            currencies: currencies.collect(),
            topics: config.topics.clone(),
            settings: Arc::new(config.settings.clone()),
        }
    }

    /// The configured name of a topic.
    pub fn topic_name(&self, topic: Topic) -> &str {
        self.topics.name(topic)
    }

    /// Where wall time would put the clocks.
    pub fn clock_target(&self, wall_ms: i64) -> Option<Time> {
        shop_time::target(&self.clock, self.shop_time.at(wall_ms))
    }

    pub fn restore_rules(&self) -> RestoreRules {
        RestoreRules {
            settings: Arc::clone(&self.settings),
            dead_letters: self.dead_letters,
            secret: self.secret,
            former_secret: self.former_secret,
            on_other_offsets: self.on_other_offsets,
            history: self.history,
            counts_days: self.counts_days,
            raw_topics: Arc::clone(&self.raw_topics),
            snapshots: self.snapshots.clone(),
        }
    }
}
