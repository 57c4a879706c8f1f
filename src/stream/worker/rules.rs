//! What a worker does its work by: settings, as the processor needs them, and what follows from them.

use std::sync::Arc;

use crate::config::{ClockRules, CommitPace, Config, DeadLetterLimit, Topics};
use crate::domain::settings::Settings;
use crate::formats::native::{Decoder, Limits};
use crate::observe::metrics::CurrencyLabel;
use crate::snapshot::Snapshots;
use crate::stream::partition::restore::{OnOtherOffsets, RestoreRules};
use crate::topic::Topic;
use crate::wire::encode::{CloudEvents, ProfileEncoder, SignalEncoder};

use super::clock::ShopTime;

/// See the module. Shared by the workers of a process, but for the partition count.
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
    pub on_other_offsets: OnOtherOffsets,
    /// None: no snapshots are kept.
    pub snapshots: Option<Snapshots>,
    /// Of the erasure secret.
    pub secret: [u8; 8],
    /// Each shop's own.
    pub currencies: Vec<CurrencyLabel>,
    /// Of every input and of the changelog; learned from the broker at the start.
    pub partitions: u32,
    /// Whether profiles go to the partition of their customer's state: the topic has as many.
    pub profiles_follow: bool,
    topics: Topics,
}

impl Rules {
    pub fn new(config: &Config, shop_time: ShopTime, on_other_offsets: OnOtherOffsets) -> Self {
        let shops = &config.settings.shops;
        let limits =
            Limits { bytes_max: config.record_bounds.bytes_max, depth_max: config.record_bounds.depth_max };
        let currencies = shops.indexes().map(|shop| {
            let currency = shops.get(shop).currency;
            let code = currency.to_string();
            CurrencyLabel::new(&code, currency.digits())
                .expect("a known currency has three letters and few digits")
        });
        Self {
            decoder: Decoder::new(shops.clone(), limits),
            signals: SignalEncoder::new(shops),
            profiles: ProfileEncoder::new(shops),
            events: CloudEvents::new(&config.application),
            clock: config.clock,
            shop_time,
            commit: config.commit,
            dead_letters: config.dead_letters,
            on_other_offsets,
            snapshots: None,
            secret: config.erasure_fingerprint,
            currencies: currencies.collect(),
            partitions: 1,
            profiles_follow: false,
            topics: config.topics.clone(),
            settings: Arc::new(config.settings.clone()),
        }
    }

    /// The configured name of a topic.
    pub fn topic_name(&self, topic: Topic) -> &str {
        self.topics.name(topic)
    }

    pub fn restore_rules(&self) -> RestoreRules {
        RestoreRules {
            settings: Arc::clone(&self.settings),
            dead_letters: self.dead_letters,
            secret: self.secret,
            on_other_offsets: self.on_other_offsets,
            snapshots: self.snapshots.clone(),
        }
    }
}
