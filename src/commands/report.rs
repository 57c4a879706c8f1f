//! `report`: a shop's history from files to one page that its owner understands.
//!
//! The page is one file without scripts and without anything from elsewhere. Its numbers are those of the summary of a replay of the
//! same files, and the same files give the same page, byte for byte.

pub mod arguments;

pub(crate) mod html;
pub(crate) mod svg;

mod observed;
mod stage;

pub(crate) mod page;
mod sections;
mod settings_file;

use std::path::Path;
use std::time::Instant;

use crate::commands::backtest;
use crate::commands::backtest::result::Backtest;
use crate::commands::cli::CommonArguments;
use crate::commands::history_files::{self, MapSettings};
use crate::commands::progress::Progress;
use crate::commands::replay::dead_letters::DeadLetters;
use crate::commands::replay::input_remarks::InputRemarks;
use crate::commands::replay::replay_run::ReplayRun;
use crate::commands::replay::{self, results};
use crate::commands::shop_history::ShopHistory;
use crate::exit::{Exit, Failure};
use crate::formats::native::Decoder;
use crate::history::files::Files;
use crate::wire::encode::Summary;
use arguments::ReportArguments;
use observed::{Observed, ReportObserver};

/// The files that are written, in the order in which they are named to users.
const NAMES: [&str; 3] = ["report.html", settings_file::NAME, "dead-letters.jsonl"];

/// Everything that the page is about.
pub(crate) struct Report<'a> {
    config: &'a crate::config::Config,
    /// None where the history is too short.
    backtest: Option<&'a Backtest>,
    summary: &'a Summary,
    observed: &'a Observed,
    /// What looks wrong with the inputs, as paragraphs of lines.
    remarks: Vec<Vec<String>>,
    files: Vec<String>,
}

/// Writes the page and gives what to print.
///
/// # Errors
/// Arguments or configuration are wrong, an input cannot be read, nothing of it could be used, or the page cannot be written.
pub fn run(common: &CommonArguments, arguments: &ReportArguments) -> Result<String, Failure> {
    let started = Instant::now();
    let progress = Progress::new();
    let maps = MapSettings::of(common, &arguments.others)?;
    let paths = arguments.others.paths(&arguments.files, &maps);
    let files = Files::open(paths, &|file| progress.reading(file))?;
    let config = history_files::load(common, &files)?;
    let inputs: Vec<&Path> = paths.all().collect();
    let [mut page, mut settings, dead_letters] =
        results::create(NAMES, &arguments.out, &inputs, arguments.force)?;
    let limits = history_files::limits(&config);
    let decoder = Decoder::of(&config.settings, limits);
    let mut dead_letters = DeadLetters::new(dead_letters, limits.bytes_max);
    let history = files.read(&decoder, limits, &mut |unusable| dead_letters.write(&unusable))?;
    let records = history.events() + history.repeated_guest_orders + dead_letters.total();

    let mut run = ReplayRun::new(&config, &decoder, ReportObserver::new(&config.settings));
    replay::apply_all(&mut run, &history, &mut dead_letters, &progress)?;
    run.counts.events.duplicates += history.repeated_guest_orders;
    if let Some(until) = arguments.until {
        run.advance(until)?;
    }
    run.end()?;
    let input_remarks = InputRemarks::new(&run, &config, &history);
    let remarks = input_remarks.paragraphs().into_iter().chain(run.remarks.paragraphs()).collect();
    let retention = run.observer().retention().to_vec();
    let summary = replay::summary(&mut run, &dead_letters, &input_remarks, retention, (records, started));
    progress.end();
    let problem = replay::refused_too_many(&config, &summary, history.events());
    let Some(observed) = run.into_observer().into_observed() else {
        let problem = problem.unwrap_or_else(|| "there is no record".to_owned());
        return Err(Failure::message(Exit::Data, format!("{problem}; a report needs orders")));
    };
    let names =
        paths.all().map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
    let history = ShopHistory::new(config, decoder, history, summary.refused());
    let backtest = backtest::of(&history, &progress);
    progress.end();
    let report = Report {
        config: &history.config,
        backtest: backtest.as_ref(),
        summary: &summary,
        observed: &observed,
        remarks,
        files: names.collect(),
    };
    page.write(page::html(&report).as_bytes())?;
    settings.write(settings_file::toml(&report).as_bytes())?;
    for output in [page, settings, dead_letters.into_output()] {
        output.complete()?;
    }
    let text = format!(
        "report              {}\nresults             {}: {}\n",
        arguments.out.join(NAMES[0]).display(),
        arguments.out.display(),
        NAMES.join(", ")
    );
    match problem {
        Some(problem) => Err(Failure::message(Exit::Data, format!("{problem}\n\n{text}").trim_end())),
        None => Ok(text),
    }
}
