//! The files of a history: opened first, so that they may say what the configuration leaves open, then read.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize;

use super::customers;
use super::input::{InputFile, Watch};
use super::source::{Line, Origin, Source};
use crate::domain::values::money::Currency;
use crate::exit::Failure;
use crate::formats::native::{Decoder, Limits};
use crate::formats::order_lines::{ColumnMap, Documents, OrderLines, Table};
use crate::formats::{Format, Unusable};
use crate::topic::Input;
use crate::wire::reason::Refusal;

/// Where the inputs lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputPaths<'a> {
    pub(crate) orders: &'a PathBuf,
    pub(crate) returns: Option<&'a PathBuf>,
    pub(crate) erasures: Option<&'a PathBuf>,
    /// What the columns of the orders mean, if they are CSV.
    pub(crate) map: Option<&'a PathBuf>,
}

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

/// A line that cannot be used, and its file.
pub(crate) struct UnusableLine<'a> {
    pub(crate) refusal: &'a Refusal,
    pub(crate) file: &'a str,
    /// From 1.
    pub(crate) line: u64,
    pub(crate) original: &'a [u8],
}

/// Takes what cannot be used.
pub(crate) type OnUnusable<'u> = dyn FnMut(UnusableLine<'_>) -> Result<(), Failure> + 'u;

impl Files {
    /// Opens every input.
    ///
    /// # Errors
    /// One cannot be read, or the map does not fit.
    pub(crate) fn open(paths: InputPaths<'_>, watch: &Watch<'_>) -> Result<Self, Failure> {
        let map = paths.map.map(|path| ColumnMap::load(path)).transpose()?;
        let open = |path: &PathBuf| InputFile::open(path, watch);
        let orders = open(paths.orders)?;
        let returns = paths.returns.map(open).transpose()?;
        let erasures = paths.erasures.map(open).transpose()?;
        let orders = match map {
            Some(map) => {
                let (name, text) = (orders.name.clone(), orders.read_all()?);
                Orders::Table(Box::new(Table::new(name, text, &map)?), Box::new(map))
            }
            None => Orders::Lines(orders),
        };
        Ok(Self { orders, returns, erasures })
    }

    /// Settings that the orders give where the configuration does not: key, value, and where it is from.
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

    /// Reads everything.
    ///
    /// # Errors
    /// A file cannot be read to its end, or `unusable` fails.
    pub(crate) fn read(
        self,
        decoder: &Decoder,
        limits: Limits,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<History, Failure> {
        let mut history = self.read_sources(decoder, limits, unusable)?;
        customers::find(&mut history.sources, decoder);
        Ok(history)
    }

    fn read_sources(
        self,
        decoder: &Decoder,
        limits: Limits,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<History, Failure> {
        let mut lines =
            |input, file: InputFile| Source::read(input, file, decoder, limits.bytes_max, unusable);
        let (orders, table) = match self.orders {
            Orders::Lines(file) => (Some(lines(Input::Orders, file)?), None),
            Orders::Table(table, map) => (None, Some((table, map))),
        };
        let returns = self.returns.map(|file| lines(Input::Returns, file)).transpose()?;
        let erasures = self.erasures.map(|file| lines(Input::Erasures, file)).transpose()?;
        let Some((table, map)) = table else {
            let sources = orders.into_iter().chain(returns).chain(erasures).collect();
            return Ok(History { sources, table: None });
        };
        let file = table.file.clone();
        let mut unusable = |Unusable { refusal, line, original }: Unusable<'_>| {
            unusable(UnusableLine { refusal, file: &file, line, original })
        };
        let documents = Documents::group(&table, &map, limits.bytes_max, &mut unusable)?;
        let mut made = [Input::Orders, Input::Returns]
            .map(|input| Source::new(input, table.file.clone(), Origin::Documents));
        let format = OrderLines::new(&table, &map, decoder.shops());
        let mut key = Vec::new();
        for document in &documents.used {
            let added = format.records(document, &mut |record| {
                let source = made.iter_mut().find(|source| source.input == record.input);
                let source = source.expect("order lines mean orders and returns");
                source.add(record, document.line, decoder, &mut key)
            });
            if let Err(refusal) = added {
                let original = document.original(&table);
                unusable(Unusable { refusal: &refusal, line: document.line, original })?;
            }
        }
        made.iter_mut().for_each(Source::sort);
        let sources = made.into_iter().chain(returns).chain(erasures).collect();
        Ok(History { sources, table: Some(GroupedTable { table, map, documents }) })
    }
}

impl History {
    /// How many records can be applied.
    pub(crate) fn events(&self) -> u64 {
        self.sources.iter().map(|source| source.lines().len() as u64).sum()
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
    let mut currencies = lines
        .filter_map(|line| serde_json::from_slice::<Money<'_>>(line).ok())
        .filter_map(|money| Currency::from_letters(money.currency.as_bytes()));
    // Without an ISO 4217 currency the other one is given: the message that refuses it explains what to do.
    let first = currencies.next()?;
    if first.has_digits() { Some(first) } else { currencies.find(|other| other.has_digits()).or(Some(first)) }
}
