//! Lapse policies for random histories.

use fastrand::Rng;
use retention_signals::domain::lapse::model::{Model, ModelSettings, ModelVersion};
use retention_signals::domain::lapse::{Cadence, LapsePolicies, LapsePolicy};
use retention_signals::domain::model::mbg_nbd::MbgNbd;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::hash;

/// Any policy. Histories last a few years from 1970 on.
pub fn random(random: &mut Rng) -> LapsePolicies {
    let lapse = match random.u8(0..3) {
        0 => LapsePolicy::Cadence(Cadence::default()),
        1 => LapsePolicy::Fixed { at_risk: Span::days(5), lapsed: Span::days(9) },
        _ => LapsePolicy::Model(ModelSettings::default()),
    };
    // Models that come into force while the histories last.
    let model = |version, days| Model {
        version: ModelVersion::Fitted(version),
        effective_at: Time::MIN.plus(Span::days(days)),
        orders: MbgNbd { r: 0.3 + version as f64, alpha_days: 20.0, a: 0.5, b: 2.0 },
        ..Model::PRIOR
    };
    let models = (1..=random.u64(0..=3)).map(|version| model(version, random.i64(0..1_000))).collect();
    LapsePolicies::new(lapse, hash).with_models(models)
}
