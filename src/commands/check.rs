//! `check`: reports each step on standard output; the first step that fails ends it.

pub(in crate::commands) mod state;

use std::io::{self, Write};
use std::sync::Arc;

use crate::commands::cli::CheckArguments;
use crate::commands::intake;
use crate::config::{Config, Origin};
use crate::exit::{Exit, Failure, output_closed};
use crate::formats::native::ID_BYTES_MAX;
use crate::kafka::{self, CustomerBytes, KafkaSettings, Layout};
use crate::wire::changelog;

use state::{Expected, Secrets, StateReport};

/// A store's id, a stroke, a customer's id.
const KEY_BYTES_MAX: usize = 2 * ID_BYTES_MAX + 1;

/// All steps, after the configuration was read without a problem.
///
/// # Errors
/// The first step that failed.
pub fn run(config: &Config, arguments: &CheckArguments, output: &mut impl Write) -> Result<(), Failure> {
    report_configuration(config, arguments, output).or_else(output_closed)?;
    let settings = Arc::new(KafkaSettings::new(config));
    let orders_max = config.settings.orders_max;
    let record_bytes_max = changelog::customer_bytes_max(KEY_BYTES_MAX, orders_max);
    let customers = CustomerBytes { orders_max, record_bytes_max };
    let mut report = |step: &str, found: &str| {
        let outcome = if step == "note" { "" } else { "ok: " };
        writeln!(output, "{step:13}  {outcome}{found}").or_else(output_closed)
    };
    if config.settings.rules.is_some() && !config.topics.has_shares {
        report("note", "the service counts what rules bring only with metrics.shares")?;
    }
    let layout = kafka::check(&settings, config.commit.patience, customers, &mut report)?;
    let found = state_of(config, &settings, layout)?;
    for remark in &found.remarks {
        report("note", remark)?;
    }
    if let Some(found) = intake::check(config, &settings)? {
        report("intake", &found)?;
    }
    if found.faults.is_empty() {
        return report("state", &format!("in {} of {} partitions", found.sealed, layout.partitions));
    }
    Err(Failure::message(Exit::Configuration, found.faults.join("; ")))
}

/// What the topics hold.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub fn state_of(
    config: &Config,
    settings: &Arc<KafkaSettings>,
    layout: Layout,
) -> Result<StateReport, Failure> {
    let lookup = kafka::lookup(settings, layout);
    let mut lookup = lookup.map_err(|error| Failure::new(Exit::Configuration, error))?;
    let secrets = Secrets { current: config.erasure_fingerprint, former: config.former_erasure_fingerprint };
    let expected = Expected { settings: &config.settings, secrets };
    state::look(&mut lookup, layout.partitions, &config.application, &expected)
}

/// The first step, after the configuration was read without a problem.
///
/// # Errors
/// Standard output cannot be written.
fn report_configuration(
    config: &Config,
    arguments: &CheckArguments,
    output: &mut impl Write,
) -> io::Result<()> {
    let given = config.effective().filter(|(_, _, origin)| **origin != Origin::Default).count();
    writeln!(output, "configuration  ok: {given} settings given, the others have their defaults")?;
    if arguments.show {
        for (path, value, origin) in config.effective() {
            writeln!(output, "  {path} = {value}  ({origin})")?;
        }
    }
    Ok(())
}
