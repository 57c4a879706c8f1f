//! The files of a history, as `replay`, `fit` and `backtest` take them.

use std::path::PathBuf;

use clap::Args;

use crate::commands::cli::{self, CommonArguments};
use crate::config::{self, Config, Purpose, Secret};
use crate::exit::Failure;
use crate::formats::native::Limits;
use crate::history::files::{Files, Hashing, InputPaths, MapContext};
use crate::maps::Options;
use crate::stream::registry::Registry;

/// Which files, and what they hold.
#[derive(Args, Clone, Debug)]
pub struct FileArguments {
    /// Orders and cancellations: JSON, one a line, in arrays or in pages; with --map, order lines as CSV. gzip and zstd are read
    /// directly. Give it again for another file
    #[arg(long, value_name = "FILE", required = true)]
    pub orders: Vec<PathBuf>,

    #[command(flatten)]
    pub others: OtherFileArguments,
}

/// What comes beside the orders, and what the files hold.
#[derive(Args, Clone, Debug)]
pub struct OtherFileArguments {
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
}

/// What the maps of a history are given.
pub(crate) struct MapSettings {
    options: Options,
    /// What the intake hashes identities with, so that customers have the same ids here.
    secret: Option<Secret>,
}

impl MapSettings {
    /// # Errors
    /// The configuration cannot be read.
    pub(crate) fn of(common: &CommonArguments, others: &OtherFileArguments) -> Result<Self, Failure> {
        let secret = config::intake_secret(&common.sources()?);
        Ok(Self { options: others.options.iter().cloned().collect(), secret })
    }

    fn context(&self) -> MapContext<'_> {
        let hashing = self.secret.as_ref().map_or(Hashing::Alone, |secret| Hashing::AsIntake(Some(secret)));
        MapContext { options: &self.options, hashing, store: None }
    }
}

impl FileArguments {
    pub(crate) fn paths<'a>(&'a self, maps: &'a MapSettings) -> InputPaths<'a> {
        self.others.paths(&self.orders, maps)
    }
}

impl OtherFileArguments {
    /// Whether anything is given, for a command that can do without files.
    pub(crate) fn is_any(&self) -> bool {
        let Self { returns, erasures, map, returns_map, options, with } = self;
        let has_files = !returns.is_empty() || !erasures.is_empty() || !with.is_empty();
        has_files || map.is_some() || returns_map.is_some() || !options.is_empty()
    }

    pub(crate) fn paths<'a>(&'a self, orders: &'a [PathBuf], maps: &'a MapSettings) -> InputPaths<'a> {
        InputPaths {
            orders,
            returns: &self.returns,
            erasures: &self.erasures,
            map: self.map.as_deref(),
            returns_map: self.returns_map.as_deref(),
            context: maps.context(),
            with: &self.with,
        }
    }
}

/// The configuration, with the models of `registry.file`; what it leaves out, the files may say.
pub(crate) fn load(common: &CommonArguments, files: &Files) -> Result<Config, Failure> {
    let mut sources = common.sources()?;
    sources.fallbacks = files.fallbacks();
    let names_currency = sources.fallbacks.iter().any(|(key, _, _)| *key == "shop.currency");
    let mut config = cli::load(&sources, Purpose::Offline).map_err(|failure| {
        if names_currency {
            return failure;
        }
        let message = format!(
            "{failure}\n{} names no currency in its first lines either; if it is CSV, give its column map with --map",
            files.orders_names()
        );
        Failure::message(failure.exit, message)
    })?;
    if let Some(path) = &config.registry_file {
        let contents = Registry::read_file(path)?.contents_of_file(path, &config.settings.shops)?;
        config.settings = config.settings.with_registry(contents.models, &contents.cuts);
    }
    Ok(config)
}

/// How large and deep a record may be.
pub(crate) fn limits(config: &Config) -> Limits {
    Limits { bytes_max: config.record_bounds.bytes_max, depth_max: config.record_bounds.depth_max }
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
