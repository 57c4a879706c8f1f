//! The intake of the demo: one worker of it, in the service's process.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::webhooks;
use crate::commands::service::{End, drive, tick};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kafka::{KafkaIntake, SlotSettings};
use crate::observe::metrics::{IntakeMetrics, Metrics, Vocabulary};
use crate::observe::status::ServiceStatus;
use crate::stream::intake::rules::{IntakeRules, WithoutOffsets};
use crate::stream::intake::worker::{IntakeHub, IntakeWorker};
use crate::stream::worker::Stop;

/// The source in the configuration, beside what the demo assumes anyway.
pub const SOURCE: [&str; 2] =
    ["intake.sources.shop.topics=shopify.webhooks", "intake.sources.shop.map=shopify"];

/// See the module.
pub struct DemoIntake {
    rules: IntakeRules,
    slot: SlotSettings,
    /// Of transactions and clients; those of the service say the same of its own.
    metrics: Arc<Metrics>,
    intake_metrics: IntakeMetrics,
}

impl DemoIntake {
    /// The intake that a configuration with [`SOURCE`] has; none without a source. Its metrics are exported beside those of the service.
    ///
    /// # Errors
    /// None that could happen; a name registered twice would be a bug.
    pub fn new(config: &Config, slot: SlotSettings, service: &Metrics) -> Result<Option<Self>, Failure> {
        let Some(rules) = IntakeRules::new(config, WithoutOffsets::FromBeginning) else { return Ok(None) };
        let vocabulary = Vocabulary { version: "", revision: "", currencies: Vec::new() };
        let internal = |error| Failure::new(Exit::Internal, error);
        let (metrics, _hidden) =
            Metrics::of_intake(&prometheus::Registry::new(), &vocabulary).map_err(internal)?;
        let intake_metrics = service.intake_beside().map_err(internal)?;
        Ok(Some(Self { rules, slot, metrics: Arc::new(metrics), intake_metrics }))
    }

    /// Passes records on until `stop` is set.
    ///
    /// # Errors
    /// Why it ended, if it was not asked to.
    pub fn run(self, stop: &OnceLock<End>) -> Result<(), Stop> {
        let Self { rules, slot, metrics, intake_metrics } = self;
        let sources = rules.load_maps().map_err(Stop::from_failure)?;
        for source in &sources {
            intake_metrics.prepare(&source.name, source.map.skip_reasons());
        }
        let (service, mut statuses) = ServiceStatus::new(1, Instant::now());
        let status = statuses.pop().expect("one was asked for");
        let broker = KafkaIntake::open(slot, vec![webhooks::TOPIC.to_owned()], None)?;
        let hub = IntakeHub { metrics: &metrics, intake: &intake_metrics, service, status, tick };
        drive(IntakeWorker::new(broker, rules, sources, hub), stop)
    }
}
