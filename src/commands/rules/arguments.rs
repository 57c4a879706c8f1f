//! What can be asked of `rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::cli::RULES_CODES;

/// Commands about rules.
#[derive(Subcommand, Clone, Debug)]
pub enum RulesCommand {
    /// Checks rules, and compares them with the shop's settings
    #[command(after_long_help = RULES_CODES)]
    Check(CheckArguments),
    /// Says each rule in a sentence
    #[command(after_long_help = RULES_CODES)]
    List(CheckArguments),
}

/// Arguments of `rules check` and `rules list`.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// Files of rules, in place of those that rules.files names
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}
