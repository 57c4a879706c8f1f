//! `check`: is everything in place? Step by step, each said on standard output, the first that fails ends it.

use std::io::{self, Write};

use crate::cli::CheckArguments;
use crate::config::{Config, Origin};

/// The first step, after the configuration was read without a problem.
///
/// # Errors
/// Standard output cannot be written.
pub fn report_configuration(
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
