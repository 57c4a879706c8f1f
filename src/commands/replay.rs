//! `replay`: a shop's history from files, through the engine of `run`, and what comes of it to files.
//!
//! ```text
//!  history: files ──► events by time ──► replay_run ──┬──► signals, shop metrics
//!     │                                   (engine)      ├──► profiles, summary
//!     │                                      │          └──► report on standard output
//!     └──────────────► dead letters ◄────────┘
//! ```

pub mod arguments;

pub(crate) mod results;

pub(crate) mod dead_letters;
pub(crate) mod input_remarks;

mod remarks;

mod own_cuts;
pub(crate) mod replay_run;
pub(crate) mod result_files;

mod report;

use std::path::Path;
use std::time::Instant;

use crate::commands::cli::CommonArguments;
use crate::commands::history_files::{self, MapSettings};
use crate::commands::progress::Progress;
use crate::config::Config;
use crate::domain::values::money::Currency;
use crate::exit::{Exit, Failure};
use crate::formats::native::Decoder;
use crate::wire::encode::{Retention, Summary, encode_summary};

use crate::history::files::{Files, History};
use crate::history::source;
use arguments::ReplayArguments;
use dead_letters::DeadLetters;
use input_remarks::InputRemarks;
use replay_run::{Observer, ReplayRun};
use report::Report;
use result_files::ResultFiles;

/// Replays and gives the report to print.
///
/// # Errors
/// Arguments or configuration are wrong, an input cannot be read, or the results cannot be written. Broken lines are no
/// error, unless there is nothing else.
pub fn run(common: &CommonArguments, arguments: &ReplayArguments) -> Result<String, Failure> {
    let started = Instant::now();
    let progress = Progress::new();
    let maps = MapSettings::of(common, &arguments.files.others)?;
    let paths = arguments.files.paths(&maps);
    let files = Files::open(paths, &|file| progress.reading(file))?;
    let config = history_files::load(common, &files)?;
    let inputs: Vec<&Path> = paths.all().collect();
    let [signals, mut customers, shop_metrics, cohorts, dead_letters, mut summary_file] =
        results::create(results::NAMES, &arguments.out, &inputs, arguments.force)?;

    let limits = history_files::limits(&config);
    let decoder = Decoder::of(&config.settings, limits);
    let mut dead_letters = DeadLetters::new(dead_letters, limits.bytes_max);
    let history = files.read(&decoder, limits, &mut |unusable| dead_letters.write(&unusable))?;
    let records = history.events() + history.repeated_guest_orders + dead_letters.total();

    let files_of_run = ResultFiles::new(&config.settings, signals, shop_metrics, cohorts);
    let mut run = ReplayRun::new(&config, &decoder, files_of_run);
    apply_all(&mut run, &history, &mut dead_letters, &progress)?;
    run.counts.events.duplicates += history.repeated_guest_orders;
    let last_event_at = run.clock();
    if let Some(until) = arguments.until {
        run.advance(until)?;
    }
    run.end()?;
    run.write_profiles(&mut customers)?;

    let input_remarks = InputRemarks::new(&run, &config, &history);
    let retention = run.observer().retention().to_vec();
    let summary = summary(&mut run, &dead_letters, &input_remarks, retention, (records, started));
    let mut text = Vec::new();
    encode_summary(&mut text, &summary);
    summary_file.write(&text)?;
    progress.end();
    let report = Report {
        arguments,
        config: &config,
        summary: &summary,
        erasures: run.counts.erasures,
        remarks: &run.remarks,
        input_remarks: &input_remarks,
        computed_cuts: run.computed_cuts(),
        last_event_at,
        clock: run.clock(),
        files: &history.counts,
    };
    let text = report.text();
    let [signals, shop_metrics, cohorts] = run.into_observer().into_outputs();
    for output in [signals, customers, shop_metrics, cohorts, dead_letters.into_output(), summary_file] {
        output.complete()?;
    }
    match refused_too_many(&config, &summary, history.events()) {
        Some(problem) => Err(Failure::message(Exit::Data, format!("{problem}\n\n{text}").trim_end())),
        None => Ok(text),
    }
}

/// Applies a history from its first record to its last.
///
/// # Errors
/// What the observer or the file of dead letters cannot write.
pub(crate) fn apply_all<O: Observer>(
    run: &mut ReplayRun<'_, O>,
    history: &History,
    dead_letters: &mut DeadLetters,
    progress: &Progress,
) -> Result<(), Failure> {
    progress.applying(history.events());
    for (index, (source, line)) in source::merged(&history.sources).enumerate() {
        run.apply(source, line, dead_letters, || history.original(source, line))?;
        progress.applied(index as u64 + 1);
    }
    Ok(())
}

/// What a run came to. `input` is how many records were read, and when that began.
pub(crate) fn summary<O: Observer>(
    run: &mut ReplayRun<'_, O>,
    dead_letters: &DeadLetters,
    input_remarks: &InputRemarks,
    retention: Vec<(Currency, Retention)>,
    input: (u64, Instant),
) -> Summary {
    let (records, started) = input;
    Summary {
        events: run.counts.events,
        dead_letters: dead_letters.counts,
        remarks: run.remarks.counts,
        input_remarks: input_remarks.counts(),
        signals: run.counts.signals,
        truncated: run.counts.truncated,
        shops: run.figures(),
        retention,
        elapsed: started.elapsed(),
        records,
    }
}

/// What is wrong with the inputs as a whole, if so many records are refused that the service would stop.
pub(crate) fn refused_too_many(config: &Config, summary: &Summary, events: u64) -> Option<String> {
    let share = config.dead_letters.share_max;
    let is_allowed = summary.unusable_share_is_at_most(share);
    match (events, is_allowed) {
        (0, _) if summary.refused() > 0 => Some("no line could be used".to_owned()),
        (_, true) => None,
        (_, false) => Some(format!(
            "{} of {} records are refused, more than dead_letters.max_share ({share}) allows; the results are written all the same",
            summary.unusable(),
            summary.records
        )),
    }
}
