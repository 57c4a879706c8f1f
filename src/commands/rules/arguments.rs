//! What can be asked of `rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::cli::{RULES_CODES, TRY_CODES, time};
use crate::commands::history_files::FileArguments;
use crate::domain::values::time::Time;

/// Commands about rules.
#[derive(Subcommand, Clone, Debug)]
pub enum RulesCommand {
    /// Checks rules, and compares them with the shop's settings
    #[command(after_long_help = RULES_CODES)]
    Check(CheckArguments),
    /// Says each rule in a sentence
    #[command(after_long_help = RULES_CODES)]
    List(CheckArguments),
    /// Applies a shop's history from files, and tells what the rules would have done: who would have got what, and when
    #[command(after_long_help = TRY_CODES)]
    Try(Box<TryArguments>),
}

/// Arguments of `rules check` and `rules list`.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// Files of rules, in place of those that rules.files names
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `rules try`.
#[derive(Args, Clone, Debug)]
pub struct TryArguments {
    #[command(flatten)]
    pub files: FileArguments,

    /// A file of rules, in place of those that rules.files names. Give it again for another one
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,

    /// Moves the clock on to this instant at the end (RFC 3339, with offset); default: it stays at the last event
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Time>,

    /// Writes each firing to this file, one signal a line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Replaces that file
    #[arg(long, requires = "out")]
    pub force: bool,
}
