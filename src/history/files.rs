//! The inputs of a replay: opened first, so that they may say what the configuration leaves open, then read.

use std::borrow::Cow;

use serde::Deserialize;

use super::documents::{self, Documents};
use super::input::InputFile;
use super::map::ColumnMap;
use super::progress::Progress;
use super::refused::Refused;
use super::source::{Line, Origin, Source};
use super::table::Table;
use crate::commands::cli::ReplayArguments;
use crate::domain::values::money::Currency;
use crate::exit::Failure;
use crate::formats::native::{Decoder, Limits};
use crate::topic::Input;

/// Inputs that are open.
pub(crate) struct Files {
    orders: Orders,
    returns: Option<InputFile>,
    erasures: Option<InputFile>,
}

enum Orders {
    Lines(InputFile),
    Table(Box<Table>, Box<ColumnMap>),
}

/// Everything that was read.
pub(crate) struct History {
    /// In the order of ties.
    pub(crate) sources: Vec<Source>,
    /// Where documents come from, with a map.
    pub(crate) table: Option<GroupedTable>,
}

/// A CSV file and what it came to.
pub(crate) struct GroupedTable {
    pub(crate) table: Box<Table>,
    pub(crate) map: Box<ColumnMap>,
    pub(crate) documents: Documents,
}

impl Files {
    /// Opens every input.
    ///
    /// # Errors
    /// One cannot be read, or the map does not fit.
    pub(crate) fn open(arguments: &ReplayArguments, progress: &Progress) -> Result<Self, Failure> {
        let map = arguments.map.as_deref().map(ColumnMap::load).transpose()?;
        let open = |path: &std::path::PathBuf| InputFile::open(path, progress);
        let orders = open(&arguments.orders)?;
        let returns = arguments.returns.as_ref().map(open).transpose()?;
        let erasures = arguments.erasures.as_ref().map(open).transpose()?;
        let orders = match map {
            Some(map) => Orders::Table(Box::new(Table::read(orders, &map)?), Box::new(map)),
            None => Orders::Lines(orders),
        };
        Ok(Self { orders, returns, erasures })
    }

    /// What the configuration may leave out, because the orders say it: key, value, and who says so.
    pub(crate) fn fallbacks(&self) -> Vec<(&'static str, String, &'static str)> {
        let (currency, zone, by) = match &self.orders {
            Orders::Table(table, map) => {
                (map.currency.or_else(|| table.first_currency()), map.zone, "column map")
            }
            Orders::Lines(file) => (first_currency(file.head()), None, "first order"),
        };
        let currency = currency.map(|currency| ("shop.currency", currency.to_string(), by));
        let zone = zone.map(|zone| ("shop.time_zone", zone.name().to_owned(), by));
        currency.into_iter().chain(zone).collect()
    }

    /// The name of the orders' file.
    pub(crate) fn orders_name(&self) -> &str {
        match &self.orders {
            Orders::Lines(file) => &file.name,
            Orders::Table(table, _) => &table.file,
        }
    }

    /// Reads everything; what cannot be used is refused.
    pub(crate) fn read(
        self,
        decoder: &Decoder,
        limits: Limits,
        refused: &mut Refused,
    ) -> Result<History, Failure> {
        let mut lines =
            |input, file: InputFile| Source::read(input, file, decoder, limits.bytes_max, refused);
        let (orders, table, map) = match self.orders {
            Orders::Lines(file) => (Some(lines(Input::Orders, file)?), None, None),
            Orders::Table(table, map) => (None, Some(table), Some(map)),
        };
        let returns = self.returns.map(|file| lines(Input::Returns, file)).transpose()?;
        let erasures = self.erasures.map(|file| lines(Input::Erasures, file)).transpose()?;
        let (Some(table), Some(map)) = (table, map) else {
            let sources = orders.into_iter().chain(returns).chain(erasures).collect();
            return Ok(History { sources, table: None });
        };
        let mut documents = documents::group(&table, &map, decoder, limits.bytes_max, refused)?;
        let made = documents.take_sources();
        let sources = made.into_iter().chain(returns).chain(erasures).collect();
        Ok(History { sources, table: Some(GroupedTable { table, map, documents }) })
    }
}

impl History {
    /// How many records can be applied.
    pub(crate) fn events(&self) -> u64 {
        self.sources.iter().map(|source| source.len() as u64).sum()
    }

    /// The bytes from which a record was made, or the first line of them.
    pub(crate) fn original<'s>(&'s self, source: &'s Source, line: &Line) -> &'s [u8] {
        match (source.origin, &self.table) {
            (Origin::Documents, Some(grouped)) => grouped.documents.original(line.number, &grouped.table),
            (Origin::Documents | Origin::Lines, _) => source.record(line),
        }
    }
}

/// The first currency among the lines of a text.
fn first_currency(text: &[u8]) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Money<'a> {
        #[serde(borrow)]
        currency: Cow<'a, str>,
    }
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice::<Money<'_>>(line).ok())
        .find_map(|money| Currency::from_code(money.currency.as_bytes()))
}
