//! The arguments of `report`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::cli::time;
use crate::commands::history_files::OtherFileArguments;
use crate::domain::values::time::Time;

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// Orders, and everything else that the map reads from these files: as --orders of replay
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub others: OtherFileArguments,

    /// The day of the report (RFC 3339, with offset); default: the last event
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Time>,

    /// Folder for the page; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Replaces an earlier report in that folder
    #[arg(long)]
    pub force: bool,
}
