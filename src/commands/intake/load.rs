//! `intake load`: writes a shop's history from files into the inputs, before `run` and `intake` have ever started.
//!
//! ```text
//!  history: files ──► records by time ──► has anything started? is it there already? ──► one transaction into the inputs
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::earlier::{self, Earlier};
use super::loaded::{Loaded, Refusals};
use crate::commands::history_files::{file_pair, pair};
use crate::commands::progress::Progress;
use crate::config::{Config, IntakeSettings, IntakeSource};
use crate::exit::{Exit, Failure};
use crate::formats::native::{Decoder, Limits};
use crate::history::files::{Files, Hashing, InputPaths, MapContext};
use crate::kafka::{self, KafkaIntake, KafkaSettings, Layout, Role, SlotSettings, Troubles, host_wall_clock};
use crate::maps::Options;
use crate::stream::intake::load::HistoryLoad;
use crate::stream::intake::rules::{IntakeRules, WithoutOffsets};
use crate::stream::worker::Stop;

/// Arguments of `intake load`.
#[derive(Args, Clone, Debug)]
pub struct LoadArguments {
    /// Orders and whatever else the map reads: JSON, one a line, in arrays or in pages, or CSV. gzip and zstd are read directly
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The source of [intake.sources] whose history it is: its map, options and store apply. Default: the only one
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,

    /// Another map than that of the source: a preset (`maps list`) or the path of a map
    #[arg(long, value_name = "NAME_OR_PATH")]
    pub map: Option<String>,

    /// An option of the map, beside those of the source. Give it again for another one
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = pair)]
    pub options: Vec<(String, String)>,

    /// Returns: JSON, or what --returns-map reads
    #[arg(long, value_name = "FILE")]
    pub returns: Vec<PathBuf>,

    /// The map of returns; default: that of the other files
    #[arg(long, value_name = "NAME_OR_PATH", requires = "returns")]
    pub returns_map: Option<String>,

    /// Erasures: JSON
    #[arg(long, value_name = "FILE")]
    pub erasures: Vec<PathBuf>,

    /// A file that the map joins to documents, by the name in the map. Give it again for another one
    #[arg(long, value_name = "NAME=FILE", value_parser = file_pair)]
    pub with: Vec<(String, PathBuf)>,
}

/// Loads and gives the report to print.
///
/// # Errors
/// An input cannot be read, too much of it cannot be used, `run` or `intake` has started already, or the brokers refuse or do not answer.
pub fn run(config: &Config, arguments: &LoadArguments) -> Result<String, Failure> {
    let source = chosen_source(config.intake.as_ref(), arguments.source.as_deref())?;
    if source.is_some()
        && let Some(rules) = IntakeRules::new(config, WithoutOffsets::Stop)
    {
        // A mistake in the section is that of `intake` too.
        rules.load_maps()?;
    }
    let progress = Progress::new();
    let loaded = read(config, arguments, source, &progress)?;
    let of_service = Arc::new(KafkaSettings::new(config));
    let ended = write(config, &of_service, &loaded, &progress);
    progress.end();
    ended.map_err(|failure| kafka::explain(&of_service, &of_service.required(&Role::Loader), failure))
}

/// The source whose history it is; none if none is configured.
fn chosen_source<'c>(
    intake: Option<&'c IntakeSettings>,
    name: Option<&str>,
) -> Result<Option<&'c IntakeSource>, Failure> {
    let sources = intake.map_or(&[][..], |intake| &intake.sources);
    let names = || sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, sources) {
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only)),
        (None, _) => Err(Failure::message(
            Exit::Usage,
            format!("several sources are configured: say with --source whose history it is: {}", names()),
        )),
        (Some(name), _) => match sources.iter().find(|source| source.name == name) {
            Some(source) => Ok(Some(source)),
            None if sources.is_empty() => Err(Failure::message(
                Exit::Usage,
                format!("--source {name}: no source is configured in [intake.sources]"),
            )),
            None => {
                Err(Failure::message(Exit::Usage, format!("--source {name}: configured are {}", names())))
            }
        },
    }
}

/// Reads and maps everything; nothing is written yet.
fn read(
    config: &Config,
    arguments: &LoadArguments,
    source: Option<&IntakeSource>,
    progress: &Progress,
) -> Result<Loaded, Failure> {
    let mut options: Options = source.map(|source| source.options.clone()).unwrap_or_default();
    options.extend(arguments.options.iter().cloned());
    let secret = config.intake.as_ref().and_then(|intake| intake.secret.as_ref());
    let context = MapContext {
        options: &options,
        hashing: Hashing::AsIntake(secret),
        store: source.and_then(|source| source.store.as_deref()),
    };
    let paths = InputPaths {
        orders: &arguments.files,
        returns: &arguments.returns,
        erasures: &arguments.erasures,
        map: arguments.map.as_deref().or(source.map(|source| source.map.as_str())),
        returns_map: arguments.returns_map.as_deref(),
        context,
        with: &arguments.with,
    };
    if let Some(path) = paths.all().find(|path| *path == Path::new("-")) {
        let message =
            format!("{}: a history is read from files, so that it can be loaded again", path.display());
        return Err(Failure::message(Exit::Usage, message));
    }
    let limits =
        Limits { bytes_max: config.record_bounds.bytes_max, depth_max: config.record_bounds.depth_max };
    let decoder = Decoder::new(config.settings.shops.clone(), limits);
    let mut refusals = Refusals::default();
    let files = Files::open(paths, &|file| progress.reading(file))?;
    let history = files.read(&decoder, limits, &mut |unusable| {
        refusals.add(&unusable);
        Ok(())
    })?;
    let name = source.map_or("files", |source| source.name.as_str());
    Loaded::new(name, history, decoder, refusals, config.dead_letters.share_max)
}

fn write(
    config: &Config,
    of_service: &Arc<KafkaSettings>,
    loaded: &Loaded,
    progress: &Progress,
) -> Result<String, Failure> {
    let patience = config.commit.patience;
    let raw_topics: Vec<String> = config.intake.iter().flat_map(IntakeSettings::topics).cloned().collect();
    let settings = Arc::new(of_service.of_load());
    let layout = kafka::examine_intake(&settings, &raw_topics, patience)?;
    let mut lookup =
        kafka::lookup(of_service, layout).map_err(|error| Failure::new(Exit::Configuration, error))?;
    earlier::refuse_if_started(&mut lookup, config, layout)?;
    // Once the producer is open, no earlier one can commit any more: what is looked at stays so.
    let broker = open(settings, layout, raw_topics).map_err(Stop::into_failure)?;
    let mut load = HistoryLoad::open(broker, patience).map_err(Stop::into_failure)?;
    match earlier::find(&mut lookup, layout, loaded.name(), loaded.label())? {
        Earlier::None => {}
        Earlier::Same => {
            return Ok(format!("this history is loaded already ({}); nothing was written\n", loaded.label()));
        }
        Earlier::Other(other) => return Err(another(loaded, &other)),
    }
    progress.writing(loaded.records());
    let written = (|| {
        load.begin()?;
        loaded.for_each(|index, record| {
            progress.applied(index);
            load.write(record)
        })?;
        load.commit()
    })();
    written.map_err(Stop::into_failure)?;
    Ok(loaded.report())
}

fn open(settings: Arc<KafkaSettings>, layout: Layout, raw_topics: Vec<String>) -> Result<KafkaIntake, Stop> {
    let troubles = Arc::new(Troubles::default());
    let slot = SlotSettings { settings, layout, slot: 0, wall: host_wall_clock(), troubles };
    Ok(KafkaIntake::open(slot, raw_topics, None)?)
}

fn another(loaded: &Loaded, other: &str) -> Failure {
    Failure::message(
        Exit::Configuration,
        format!(
            "the inputs hold another history of {} already ({other}, and this one is {}): guests of both would count twice. Give all files \
             of a source in one command; to load it anew, delete the inputs and create them again (`topics apply`)",
            loaded.name(),
            loaded.label()
        ),
    )
}
