//! `maps`: lists the maps that ship, shows one, tries one on records, runs fixtures.

mod arguments;
mod documents;
mod source_values;
mod trial;

use std::fs;
use std::io::Write;
use std::path::Path;

pub use arguments::MapsCommand;

use arguments::{TestArguments, TryArguments};
use source_values::SourceValues;
use trial::Trial;

use crate::commands::cli::CommonArguments;
use crate::config::Purpose;
use crate::exit::{Exit, Failure, output_closed};
use crate::formats::csv::DocumentInput;
use crate::formats::native::{Decoder, Limits};
use crate::maps::{self, Content, FixtureReport, InputFormat, Map, Options, PRESETS, Preset, PresetKind};

/// Does what the command says.
///
/// # Errors
/// There is no such map, a file cannot be read, a record was refused, or a fixture gave something else.
pub fn run(common: &CommonArguments, command: &MapsCommand, output: &mut impl Write) -> Result<(), Failure> {
    match command {
        MapsCommand::List => list(output),
        MapsCommand::Show(arguments) => show(&arguments.name, output),
        MapsCommand::Try(arguments) => try_map(common, arguments, output),
        MapsCommand::Test(arguments) => test(arguments, output),
    }
}

fn list(output: &mut impl Write) -> Result<(), Failure> {
    let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or_default();
    for preset in PRESETS {
        let about = maps::about(preset);
        writeln!(output, "{:width$}  {about}", preset.name).or_else(output_closed)?;
    }
    Ok(())
}

fn show(name: &str, output: &mut impl Write) -> Result<(), Failure> {
    let preset = preset(name).ok_or_else(|| Failure::message(Exit::Configuration, maps::no_preset(name)))?;
    output.write_all(preset.text.as_bytes()).or_else(output_closed)
}

fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

fn try_map(
    common: &CommonArguments,
    arguments: &TryArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let options: Options = arguments.options.iter().cloned().collect();
    let map = Map::load(&arguments.map, &options, Some(TRIAL_SECRET))?;
    let decoder = decoder(common)?;
    let mut trial = Trial::new(&map, arguments);
    match map.input() {
        InputFormat::Csv(settings) => {
            let input = DocumentInput::new(settings).map_err(|problem| {
                Failure::message(Exit::Configuration, format!("{}: {problem}", map.name()))
            })?;
            documents::try_documents(&mut trial, &input, arguments, &decoder, output)?;
        }
        InputFormat::Json if !arguments.with.is_empty() => {
            let message = format!("the map {} reads JSON, and no map of JSON joins files", map.name());
            return Err(Failure::message(Exit::Usage, message));
        }
        InputFormat::Json => {
            for (line, value) in SourceValues::read(&arguments.file)?.iter() {
                trial.record(line as u64, Content::Json(value), &decoder, output)?;
            }
        }
    }
    trial.end()
}

/// Hashes of a trial differ from those of the service, so that a map can be tried without the service's secret.
const TRIAL_SECRET: &[u8] = b"hashes of a trial";

/// As the service would decode, if a configuration is given; else every currency is taken.
fn decoder(common: &CommonArguments) -> Result<Decoder, Failure> {
    if common.config.is_none() && common.assignments.is_empty() {
        return Ok(maps::any_currency_decoder());
    }
    let config = common.load(Purpose::Offline)?;
    let bounds = &config.record_bounds;
    let limits = Limits { bytes_max: bounds.bytes_max, depth_max: bounds.depth_max };
    Ok(Decoder::new(config.settings.shops.clone(), limits))
}

fn test(arguments: &TestArguments, output: &mut impl Write) -> Result<(), Failure> {
    let programs = PRESETS.iter().filter(|preset| preset.kind == PresetKind::Program);
    let all = programs.map(|preset| preset.name.to_owned()).collect();
    let names: &Vec<String> = if arguments.maps.is_empty() { &all } else { &arguments.maps };
    let mut differences = 0;
    for name in names {
        let report = test_one(name)?;
        let count = report.differences.len();
        differences += count;
        let verdict = if count == 0 { "as expected".to_owned() } else { format!("{count} not as expected") };
        writeln!(output, "{name}: {} fixtures, {verdict}", report.cases).or_else(output_closed)?;
        for difference in report.differences {
            let maps::Difference { line, about, expected, found } = difference;
            let text = format!("  line {line}: {about}\n    expected {expected}\n    found    {found}");
            writeln!(output, "{text}").or_else(output_closed)?;
        }
    }
    if differences > 0 {
        return Err(Failure::message(Exit::Data, format!("{differences} fixtures gave something else")));
    }
    Ok(())
}

fn test_one(name: &str) -> Result<FixtureReport, Failure> {
    let report = match preset(name) {
        Some(preset) => maps::test_fixtures(preset.text, name, &|path| preset.file(path)),
        None => {
            let text = maps::read_file(name)?;
            let folder = Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
            maps::test_fixtures(&text, name, &|path| {
                fs::read(folder.join(path)).map_err(|error| error.to_string())
            })
        }
    };
    report.map_err(|problem| Failure::message(Exit::Configuration, problem))
}
