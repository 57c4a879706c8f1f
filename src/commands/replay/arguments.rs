//! The arguments of `replay`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::cli::time;
use crate::domain::values::time::Time;

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArguments {
    /// Orders and cancellations: JSON, one a line, in arrays or in pages; with --map, order lines as CSV. gzip and zstd are read
    /// directly. Give it again for another file
    #[arg(long, value_name = "FILE", required = true)]
    pub orders: Vec<PathBuf>,

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

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}

pub(crate) fn file_pair(text: &str) -> Result<(String, PathBuf), String> {
    pair(text).map(|(name, path)| (name, path.into())).map_err(|_| "write NAME=FILE".to_owned())
}
