//! The arguments of `replay`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::cli::time;
use crate::commands::history_files::FileArguments;
use crate::domain::values::time::Time;

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArguments {
    #[command(flatten)]
    pub files: FileArguments,

    /// Moves the clock on to this instant at the end (RFC 3339, with offset); default: it stays at the last event
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Time>,

    /// Folder for the results; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Replaces the results of an earlier replay in that folder
    #[arg(long)]
    pub force: bool,
}
