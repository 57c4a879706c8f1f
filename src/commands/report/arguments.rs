//! The arguments of `report`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::cli::time;
use crate::commands::replay::arguments::{file_pair, pair};
use crate::domain::values::time::Time;

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// Orders, and whatever else the map makes of these files: as --orders of replay
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Returns: JSON, or CSV with --returns-map
    #[arg(long, value_name = "FILE")]
    pub returns: Vec<PathBuf>,

    /// Erasures: JSON
    #[arg(long, value_name = "FILE")]
    pub erasures: Vec<PathBuf>,

    /// What files hold that are no native records: a preset (`maps list`) or the path of a map. Without it CSV is read if its columns are
    /// those of one preset
    #[arg(long, value_name = "NAME_OR_PATH")]
    pub map: Option<String>,

    /// The same for returns; default: --map
    #[arg(long, value_name = "NAME_OR_PATH", requires = "returns")]
    pub returns_map: Option<String>,

    /// An option of the map. Give it again for another one
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = pair)]
    pub options: Vec<(String, String)>,

    /// A file that the map joins to documents, by the name in the map. Give it again for another one
    #[arg(long, value_name = "NAME=FILE", value_parser = file_pair)]
    pub with: Vec<(String, PathBuf)>,

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
