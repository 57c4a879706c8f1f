//! Policies by name, with settings of their own: `fixed:at_risk_days=45,lapsed_days=90`.

use crate::commands::cli::{self, CommonArguments};
use crate::config::Purpose;
use crate::domain::lapse::LapsePolicy;
use crate::exit::{Exit, Failure};

/// Reads policies as the configuration would.
///
/// # Errors
/// [`Exit::Usage`] for a policy or a setting that the configuration does not know.
pub(super) fn policies(
    common: &CommonArguments,
    specs: &[String],
) -> Result<Vec<(String, LapsePolicy)>, Failure> {
    let read = |spec: &String| {
        let (name, settings) = spec.split_once(':').unwrap_or((spec, ""));
        let mut sources = common.sources()?;
        // Only the policy matters here.
        sources.fallbacks.push(("shop.currency", "EUR".to_owned(), "backtest"));
        sources.assignments.push(format!("lapse.policy={name}"));
        let settings = settings.split(',').map(str::trim).filter(|setting| !setting.is_empty());
        sources.assignments.extend(settings.map(|setting| format!("lapse.{name}.{setting}")));
        let config = cli::load(&sources, Purpose::Offline)
            .map_err(|failure| Failure::message(Exit::Usage, format!("--policy {spec}: {failure}")))?;
        Ok((spec.clone(), config.settings.lapse.policy().clone()))
    };
    specs.iter().map(read).collect()
}
