//! Input files that are open, each as what it is.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use super::chosen_map::{ChosenMap, FoundTable, MapContext, ProgramMap};
use super::input::{InputFile, Watch};
use super::kind::{self, JsonLayout, Kind};
use crate::domain::values::money::Currency;
use crate::exit::{Exit, Failure};
use crate::formats::order_lines::Role;
use crate::topic::Input;

/// A file that can be read.
pub(super) enum Opened {
    /// Native records.
    Json(InputFile, JsonLayout),
    /// Records of another system.
    MappedJson(InputFile, JsonLayout, Rc<ProgramMap>),
    Table(FoundTable, WhoChose),
}

/// How the map of a table was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WhoChose {
    User,
    /// The columns of the file are those of this preset only.
    Columns,
}

/// How the files of one input are read.
pub(super) struct Reading<'a> {
    pub(super) input: Input,
    pub(super) map: Option<ChosenMap>,
    pub(super) context: MapContext<'a>,
}

impl Opened {
    /// Opens a file, and reads it if it is a table.
    ///
    /// # Errors
    /// It cannot be read, is no text, or the map does not fit.
    pub(super) fn open(path: &Path, reading: &Reading<'_>, watch: &Watch<'_>) -> Result<Self, Failure> {
        let file = InputFile::open(path, watch)?;
        let kind = kind::of(file.head());
        let fail = |message: String| Err(Failure::message(Exit::Data, message));
        match (kind, &reading.map) {
            (Kind::Other(what), _) => fail(format!("{} {what}", file.name)),
            (Kind::Json(layout), Some(ChosenMap::Program(program))) if program.documents.is_none() => {
                Ok(Self::MappedJson(file, layout, Rc::clone(program)))
            }
            (Kind::Json(_), Some(map)) if reading.input == Input::Orders => fail(format!(
                "{} is JSON, but the map {} reads CSV: leave it out, or give another",
                file.name,
                map.name()
            )),
            (Kind::Json(layout), _) => Self::json(file, layout),
            (Kind::Text, Some(map)) if map.reads_csv() => {
                let (name, bytes) = (file.name.clone(), file.read_all()?);
                Ok(Self::Table(map.table(name, bytes)?, WhoChose::User))
            }
            (Kind::Text, Some(map)) if !file.head().is_empty() => {
                fail(format!("{} is no JSON, which the map {} reads", file.name, map.name()))
            }
            (Kind::Text, Some(_) | None) => Self::text(file, reading),
        }
    }

    /// Text without a map: CSV of which the columns tell what it is, or broken JSON Lines.
    fn text(file: InputFile, reading: &Reading<'_>) -> Result<Self, Failure> {
        if file.head().trim_ascii().is_empty() || reading.input == Input::Erasures {
            return Ok(Self::Json(file, JsonLayout::Lines));
        }
        let head = file.head();
        let end = memchr::memrchr2(b'\n', b'\r', head).unwrap_or(head.len());
        let map = ChosenMap::find(&file.name, &head[..end], reading.context)?;
        let (name, bytes) = (file.name.clone(), file.read_all()?);
        Ok(Self::Table(map.table(name, bytes)?, WhoChose::Columns))
    }

    /// Refuses what is no JSON of records at all.
    fn json(file: InputFile, layout: JsonLayout) -> Result<Self, Failure> {
        if let [b'[', elements @ ..] = file.head().trim_ascii_start()
            && let Some(what) = not_records(elements.trim_ascii_start())
        {
            let message = format!(
                "{} is a JSON array of {what}, not of records: export each order as an object",
                file.name
            );
            return Err(Failure::message(Exit::Data, message));
        }
        Ok(Self::Json(file, layout))
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Json(file, _) | Self::MappedJson(file, ..) => &file.name,
            Self::Table(FoundTable::Lines(lines, _), _) => &lines.table.file,
            Self::Table(FoundTable::Documents(documents, _), _) => &documents.table.file,
        }
    }

    /// The currency and the zone that the file gives where the configuration does not, and where they are from.
    pub(super) fn fallbacks(&self) -> (Option<Currency>, Option<chrono_tz::Tz>, &'static str) {
        match self {
            Self::Table(FoundTable::Lines(lines, map), _) => {
                (map.currency.or_else(|| lines.first_currency()), map.zone, "column map")
            }
            Self::Json(file, layout) => (first_currency(file.head(), *layout), None, "first order"),
            Self::Table(FoundTable::Documents(..), _) | Self::MappedJson(..) => (None, None, "map"),
        }
    }
}
/// What the elements of an array are, if they are no objects.
fn not_records(elements: &[u8]) -> Option<&'static str> {
    match elements.first()? {
        b'"' => Some("strings"),
        b'-' | b'0'..=b'9' => Some("numbers"),
        b'[' if !matches!(
            elements.trim_ascii_start().get(1..)?.trim_ascii_start().first(),
            Some(b'{' | b']')
        ) =>
        {
            Some("arrays")
        }
        _ => None,
    }
}

/// What documents of a file are, by the input it was given as.
pub(super) const fn role(input: Input) -> Role {
    match input {
        Input::Orders | Input::Erasures => Role::Orders,
        Input::Returns => Role::Returns,
    }
}

/// The first currency among the records of a text.
fn first_currency(text: &[u8], layout: JsonLayout) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Money<'a> {
        #[serde(borrow)]
        currency: Cow<'a, str>,
    }
    let mut currencies = Vec::new();
    let mut look = |record: &[u8]| {
        let money = serde_json::from_slice::<Money<'_>>(record).ok();
        currencies.extend(money.and_then(|money| Currency::from_letters(money.currency.as_bytes())));
    };
    match layout {
        JsonLayout::Lines => text.split(|byte| *byte == b'\n').for_each(look),
        JsonLayout::Values => {
            // Only the first part of a file is at hand, and may end anywhere.
            let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            let _: Result<_, std::convert::Infallible> =
                super::json_values::for_each_record(valid, &mut |record, _| {
                    look(record.as_bytes());
                    Ok(())
                });
        }
    }
    // Without an ISO 4217 currency the other one is given: the message that refuses it explains what to do.
    let first = *currencies.first()?;
    Some(currencies.into_iter().find(|currency| currency.has_digits()).unwrap_or(first))
}
