//! The map of a file: columns or a program, named by the user or found by the columns of the file.

use std::path::Path;
use std::rc::Rc;

use crate::config::Secret;
use crate::exit::{Exit, Failure};
use crate::formats::csv::{DocumentInput, DocumentTable, TableError};
use crate::formats::order_lines::{ColumnMap, LineTable};
use crate::maps::{InputFormat, Map, Options, PRESETS};

/// Presets of plain columns, beside those of [`PRESETS`].
const COLUMN_PRESETS: [(&str, &str); 1] = [("online-retail", include_str!("../../maps/online-retail.toml"))];

/// What identities are hashed with where they need not agree with any others.
const NO_SECRET: &[u8] = b"";

/// What a map is given beside its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapContext<'a> {
    pub(crate) options: &'a Options,
    pub(crate) hashing: Hashing<'a>,
    /// Of records for which the map gives none.
    pub(crate) store: Option<&'a str>,
}

/// What a map hashes identities with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hashing<'a> {
    /// They need not agree with those of an intake.
    Alone,
    /// With the secret of the intake. Without one, a record that needs it is refused.
    AsIntake(Option<&'a Secret>),
}

impl<'a> Hashing<'a> {
    /// Whether it agrees with an intake.
    pub(super) const fn is_of_intake(self) -> bool {
        match self {
            Self::Alone => false,
            Self::AsIntake(_) => true,
        }
    }

    fn secret(self) -> Option<&'a [u8]> {
        match self {
            Self::Alone => Some(NO_SECRET),
            Self::AsIntake(secret) => secret.map(Secret::expose),
        }
    }
}

/// A map that is ready.
#[derive(Clone)]
pub(super) enum ChosenMap {
    Columns(Rc<ColumnMap>),
    Program(Rc<ProgramMap>),
}

/// A program and what it reads.
pub(super) struct ProgramMap {
    pub(super) map: Map,
    /// Of CSV; none for JSON.
    pub(super) documents: Option<DocumentInput>,
}

/// A file and the map that fits it.
pub(super) enum FoundTable {
    Lines(Box<LineTable>, Rc<ColumnMap>),
    Documents(Box<DocumentTable>, Rc<ProgramMap>),
}

impl ChosenMap {
    /// The preset of this name, or the map in this file.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub(super) fn load(name: &str, context: MapContext<'_>) -> Result<Self, Failure> {
        if let Some((name, text)) = COLUMN_PRESETS.iter().find(|(preset, _)| *preset == name) {
            return Ok(Self::Columns(Rc::new(ColumnMap::named((*name).to_owned(), text)?)));
        }
        let path = Path::new(name);
        let is_preset = PRESETS.iter().any(|preset| preset.name == name);
        if !is_preset && std::fs::read_to_string(path).is_ok_and(|text| ColumnMap::is_one(&text)) {
            if !context.options.is_empty() {
                let message = format!("{name} names columns and has no options; leave --option out");
                return Err(Failure::message(Exit::Usage, message));
            }
            return ColumnMap::load(path).map(|map| Self::Columns(Rc::new(map)));
        }
        let mut map = Map::load(name, context.options, context.hashing.secret())?;
        if let Some(store) = context.store {
            map.set_store(store);
        }
        let documents = match map.input() {
            InputFormat::Json => None,
            InputFormat::Csv(table) => Some(
                DocumentInput::new(table)
                    .map_err(|problem| Failure::message(Exit::Configuration, format!("{name}: {problem}")))?,
            ),
        };
        Ok(Self::Program(Rc::new(ProgramMap { map, documents })))
    }

    /// As messages name it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Columns(map) => &map.file,
            Self::Program(program) => program.map.name(),
        }
    }

    /// Whether it reads CSV.
    pub(super) fn reads_csv(&self) -> bool {
        match self {
            Self::Columns(_) => true,
            Self::Program(program) => program.documents.is_some(),
        }
    }

    /// The table of a file, by the columns that the map needs.
    pub(super) fn table(&self, file: String, bytes: Vec<u8>) -> Result<FoundTable, TableError> {
        match self {
            Self::Columns(map) => LineTable::new(file, bytes, map)
                .map(|table| FoundTable::Lines(Box::new(table), Rc::clone(map))),
            Self::Program(program) => {
                let documents = program.documents.as_ref().expect("a map that reads CSV");
                let table = DocumentTable::new(file, bytes, documents, program.map.name())?;
                Ok(FoundTable::Documents(Box::new(table), Rc::clone(program)))
            }
        }
    }

    /// The one preset whose columns a file has.
    ///
    /// # Errors
    /// None has, or several have; or the preset needs an option.
    pub(super) fn find(file: &str, bytes: &[u8], context: MapContext<'_>) -> Result<Self, Failure> {
        let fits = |is_found: Result<(), TableError>| is_found.is_ok();
        let of_columns = COLUMN_PRESETS.iter().filter(|(name, text)| {
            ColumnMap::named((*name).to_owned(), text)
                .is_ok_and(|map| fits(LineTable::new(file.to_owned(), bytes.to_vec(), &map).map(|_| ())))
        });
        let of_programs = PRESETS.iter().filter(|preset| {
            document_input(preset.text).is_some_and(|input| {
                fits(DocumentTable::new(file.to_owned(), bytes.to_vec(), &input, preset.name).map(|_| ()))
            })
        });
        let names: Vec<&str> =
            of_columns.map(|(name, _)| *name).chain(of_programs.map(|preset| preset.name)).collect();
        match names.as_slice() {
            [name] => Self::load(name, context).map_err(|failure| {
                let message = format!("{file} has the columns of the map {name}, which needs more: {failure}; give --map {name} and --option NAME=VALUE");
                Failure::message(failure.exit, message)
            }),
            [] => Err(Failure::message(
                Exit::Data,
                format!("{file} is no JSON, and its columns are those of no preset: if it is CSV, give its map with --map (docs/REPLAY.md)"),
            )),
            several => Err(Failure::message(
                Exit::Data,
                format!("{file} has the columns of several presets: choose one with --map {}", several.join(", or --map ")),
            )),
        }
    }
}

/// What a preset reads, if that is CSV.
fn document_input(text: &str) -> Option<DocumentInput> {
    let map: toml::Table = text.parse().ok()?;
    let mut input = map.get("input")?.as_table()?.clone();
    let format = input.remove("format")?;
    (format.as_str() == Some("csv")).then(|| DocumentInput::new(&input).ok()).flatten()
}
