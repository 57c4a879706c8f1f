//! `rules`: checks files of rules, says each rule in a sentence, and tries rules on a history.

pub mod arguments;
mod outcomes;
mod remarks;
mod sentence;
mod trial;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use arguments::{CheckArguments, RulesCommand};

use super::cli::{self, CommonArguments};
use crate::config::{Config, Origin, Purpose};
use crate::exit::{Exit, Failure, output_closed};

/// The currency where the user gives no shop: conditions then mean its amounts.
const STAND_IN_CURRENCY: &str = "EUR";

/// Does what the command says.
///
/// # Errors
/// Settings or rules are wrong, or a file cannot be read.
pub fn run(common: &CommonArguments, command: &RulesCommand, output: &mut impl Write) -> Result<(), Failure> {
    match command {
        RulesCommand::Check(arguments) => check(common, arguments, output),
        RulesCommand::List(arguments) => {
            let config = load(common, arguments)?;
            sentences(&config, output)
        }
        RulesCommand::Try(arguments) => {
            let text = trial::run(common, arguments)?;
            output.write_all(text.as_bytes()).or_else(output_closed)
        }
    }
}

fn check(
    common: &CommonArguments,
    arguments: &CheckArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let config = load(common, arguments)?;
    let count = config.settings.rules.as_ref().map_or(0, |rules| rules.set().rules().len());
    match count {
        0 => writeln!(output, "There are no rules.").or_else(output_closed)?,
        1 => writeln!(output, "1 rule is right.").or_else(output_closed)?,
        _ => writeln!(output, "{count} rules are right.").or_else(output_closed)?,
    }
    if has_shop(&config) {
        for remark in remarks::of(&config) {
            writeln!(output, "note: {remark}").or_else(output_closed)?;
        }
    } else {
        let note = "note: they were not compared with a shop; --config names its settings file";
        writeln!(output, "{note}").or_else(output_closed)?;
    }
    Ok(())
}

fn sentences(config: &Config, output: &mut impl Write) -> Result<(), Failure> {
    let Some(rules) = config.settings.rules.as_ref().map(|rules| rules.set()) else {
        return writeln!(output, "There are no rules.").or_else(output_closed);
    };
    let width = rules.rules().iter().map(|rule| rule.name.len()).max().unwrap_or_default();
    for rule in rules.rules() {
        writeln!(output, "{:width$}  {}", rule.name, sentence::of(rule, rules)).or_else(output_closed)?;
    }
    Ok(())
}

/// The settings of the shop with the rules of the files, if any are named, instead of those that the settings name.
fn load(common: &CommonArguments, arguments: &CheckArguments) -> Result<Config, Failure> {
    let mut sources = with_files(common, &arguments.files)?.sources()?;
    sources.fallbacks.push(("shop.currency", STAND_IN_CURRENCY.to_owned(), "rules"));
    cli::load(&sources, Purpose::Offline)
}

/// The same settings with these files of rules, if any are named.
///
/// # Errors
/// A file cannot be read.
fn with_files(common: &CommonArguments, files: &[PathBuf]) -> Result<CommonArguments, Failure> {
    let mut common = common.clone();
    for file in files {
        if file.to_string_lossy().contains(',') {
            let message = format!("{}: rename it, commas separate the names of files", file.display());
            return Err(Failure::message(Exit::Configuration, message));
        }
        // The settings' own message would name a key that the user has not set.
        File::open(file).map_err(|error| {
            Failure::message(Exit::Configuration, format!("cannot read {}: {error}", file.display()))
        })?;
    }
    if !files.is_empty() {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        common.assignments.push(format!("rules.files={}", names.join(",")));
    }
    Ok(common)
}

fn has_shop(config: &Config) -> bool {
    !config
        .effective()
        .any(|(path, _, origin)| path == "shop.currency" && *origin == Origin::Fallback("rules"))
}
