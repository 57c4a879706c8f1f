//! `check`: reports each step on standard output; the first step that fails ends it.

use std::io::{self, Write};
use std::sync::Arc;

use crate::commands::cli::CheckArguments;
use crate::config::{Config, Origin};
use crate::exit::{Failure, output_closed};
use crate::kafka::{self, KafkaSettings};

/// All steps, after the configuration was read without a problem.
///
/// # Errors
/// The first step that failed.
pub fn run(config: &Config, arguments: &CheckArguments, output: &mut impl Write) -> Result<(), Failure> {
    report_configuration(config, arguments, output).or_else(output_closed)?;
    let settings = Arc::new(KafkaSettings::new(config));
    kafka::check(&settings, config.commit.patience, |step, found| {
        let outcome = if step == "note" { "" } else { "ok: " };
        writeln!(output, "{step:13}  {outcome}{found}").or_else(output_closed)
    })
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
