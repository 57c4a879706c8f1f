//! The column map: a TOML file that names the columns of a CSV file of order lines.
//!
//! `maps/online-retail.toml` is one, with every key explained.

use std::fs;
use std::io;
use std::path::Path;

use chrono_tz::Tz;
use serde::Deserialize;

use super::local_time::TimeForm;
use crate::domain::values::money::Currency;
use crate::exit::{Exit, Failure};

/// A validated column map.
#[derive(Debug)]
pub struct ColumnMap {
    /// The file it was read from, for messages.
    pub(super) file: String,
    pub(super) columns: Columns,
    pub(super) time: TimeForm,
    /// The zone of local times, unless a column has it.
    pub zone: Option<Tz>,
    /// The currency of all prices, unless a column has it.
    pub currency: Option<Currency>,
    pub(super) delimiter: u8,
    /// A document that one of these fits is a return.
    pub(super) returns: Vec<ReturnRule>,
    /// A document that one of these fits is neither order nor return.
    pub skip: Vec<SkipRule>,
}

/// Names of columns, as the first line of the file has them.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Columns {
    pub(super) order_id: String,
    pub(super) time: String,
    pub(super) price: String,
    pub(super) quantity: Option<String>,
    pub(super) customer_id: Option<String>,
    pub(super) store_id: Option<String>,
    pub(super) sku: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) zone: Option<String>,
}

/// What makes a document a return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ReturnRule {
    Lines(LineRule),
    /// The sum of its lines is below zero.
    NegativeTotal,
}

/// Documents that are passed over, and what they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SkipRule {
    pub(super) rule: LineRule,
    pub name: String,
}

/// A rule that each line of a document fits or does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineRule {
    IdPrefix(String),
    /// A column holds exactly this.
    Equals {
        column: String,
        value: String,
    },
}

impl ColumnMap {
    /// Reads a map.
    ///
    /// # Errors
    /// [`Exit::Configuration`] with what is wrong, or the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            let exit = if denied { Exit::Permission } else { Exit::Configuration };
            Failure::message(exit, format!("cannot read the column map {file}: {error}"))
        })?;
        Self::parse(file.clone(), &text).map_err(|problem| {
            let message = format!("the column map {file} cannot be used: {}", problem.trim_end());
            Failure::message(Exit::Configuration, message)
        })
    }

    /// The rules for returns that look at each line.
    pub(super) fn line_rules(&self) -> impl Iterator<Item = &LineRule> {
        self.returns.iter().filter_map(|rule| match rule {
            ReturnRule::Lines(rule) => Some(rule),
            ReturnRule::NegativeTotal => None,
        })
    }

    fn parse(file: String, text: &str) -> Result<Self, String> {
        let raw: RawMap = toml::from_str(text).map_err(|error| error.to_string())?;
        let time = TimeForm::new(&raw.time.format).map_err(|problem| format!("time.format: {problem}"))?;
        let zone = raw.time.zone.map(|name| parse_zone(&name)).transpose()?;
        if !time.has_offset() && zone.is_none() && raw.columns.zone.is_none() {
            return Err("times have no offset; give time.zone, such as \"Europe/London\"".to_owned());
        }
        let currency = raw.money.currency.map(|code| parse_currency(&code)).transpose()?;
        if currency.is_none() && raw.columns.currency.is_none() {
            return Err("prices have no currency; give money.currency, such as \"GBP\", or columns.currency"
                .to_owned());
        }
        let delimiter = match raw.csv.delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => *byte,
            _ => return Err("csv.delimiter: give one character, such as \";\" or \"\\t\"".to_owned()),
        };
        let returns = raw.returns.into_iter().map(RawReturnRule::validate).collect::<Result<_, _>>()?;
        let skip = raw.skip.into_iter().map(RawSkipRule::validate).collect::<Result<_, _>>()?;
        Ok(Self { file, columns: raw.columns, time, zone, currency, delimiter, returns, skip })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMap {
    columns: Columns,
    #[serde(default)]
    time: RawTime,
    #[serde(default)]
    money: RawMoney,
    #[serde(default)]
    csv: RawCsv,
    #[serde(default)]
    returns: Vec<RawReturnRule>,
    #[serde(default)]
    skip: Vec<RawSkipRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTime {
    format: String,
    zone: Option<String>,
}

impl Default for RawTime {
    fn default() -> Self {
        Self { format: "rfc3339".to_owned(), zone: None }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawMoney {
    currency: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCsv {
    delimiter: String,
}

impl Default for RawCsv {
    fn default() -> Self {
        Self { delimiter: ",".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReturnRule {
    id_prefix: Option<String>,
    column: Option<String>,
    equals: Option<String>,
    total: Option<String>,
}

impl RawReturnRule {
    fn validate(self) -> Result<ReturnRule, String> {
        match (self.total.as_deref(), &self.id_prefix, &self.column) {
            (None, _, _) => {
                line_rule("returns", self.id_prefix, self.column, self.equals).map(ReturnRule::Lines)
            }
            (Some("negative"), None, None) => Ok(ReturnRule::NegativeTotal),
            (Some(_), _, _) => Err("returns: write total = \"negative\", and nothing beside it".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSkipRule {
    id_prefix: Option<String>,
    column: Option<String>,
    equals: Option<String>,
    name: String,
}

impl RawSkipRule {
    fn validate(self) -> Result<SkipRule, String> {
        let rule = line_rule("skip", self.id_prefix, self.column, self.equals)?;
        Ok(SkipRule { rule, name: self.name })
    }
}

fn line_rule(
    section: &str,
    id_prefix: Option<String>,
    column: Option<String>,
    equals: Option<String>,
) -> Result<LineRule, String> {
    match (id_prefix, column, equals) {
        (Some(prefix), None, None) if !prefix.is_empty() => Ok(LineRule::IdPrefix(prefix)),
        (None, Some(column), Some(value)) => Ok(LineRule::Equals { column, value }),
        (_, _, _) => Err(format!("{section}: give either id_prefix, or column and equals")),
    }
}

fn parse_zone(name: &str) -> Result<Tz, String> {
    name.parse()
        .map_err(|_| format!("time.zone: {name:?} is not an IANA time zone such as \"Europe/London\""))
}

fn parse_currency(code: &str) -> Result<Currency, String> {
    Currency::from_letters(code.as_bytes())
        .ok_or_else(|| format!("money.currency: {code:?} is not the code of a currency, such as \"GBP\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str = "[columns]\norder_id = \"id\"\ntime = \"at\"\nprice = \"price\"\n";
    const MONEY: &str = "[money]\ncurrency = \"EUR\"\n";

    fn parse(text: &str) -> Result<ColumnMap, String> {
        ColumnMap::parse("map.toml".to_owned(), text)
    }

    #[test]
    fn the_map_that_ships_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("maps/online-retail.toml");
        let map = ColumnMap::load(&path).expect("a valid map");
        assert_eq!(map.zone, Some(Tz::Europe__London));
        assert_eq!(map.returns, [ReturnRule::Lines(LineRule::IdPrefix("C".to_owned()))]);
        assert_eq!(map.skip.len(), 1);
    }

    #[test]
    fn a_minimal_map_has_times_with_offsets() {
        let map = parse(&format!("{COLUMNS}{MONEY}")).expect("a valid map");
        assert!(map.time.has_offset());
        assert_eq!((map.delimiter, map.returns.len(), map.skip.len()), (b',', 0, 0));
    }

    #[test]
    fn a_wrong_map_says_what_would_be_right() {
        for (more, expected) in [
            ("", "give money.currency"),
            ("[money]\ncurrency = \"EURO\"", "\"EURO\" is not the code"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nformat = \"%d.%m.%Y\"", "give time.zone"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nzone = \"Mars\"", "\"Mars\" is not an IANA time zone"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nformat = \"%Q\"", "is not a pattern"),
            ("[money]\ncurrency = \"EUR\"\n[csv]\ndelimiter = \"tab\"", "give one character"),
            ("[money]\ncurrency = \"EUR\"\n[[returns]]\n", "give either id_prefix, or column and equals"),
            ("[money]\ncurrency = \"EUR\"\n[[returns]]\ncolumn = \"kind\"", "give either id_prefix"),
            ("[money]\ncurrency = \"EUR\"\n[[returns]]\ntotal = \"below\"", "total = \"negative\""),
            ("[money]\ncurrency = \"EUR\"\n[[skip]]\nid_prefix = \"A\"", "missing field `name`"),
            ("[money]\ncurrency = \"EUR\"\n[colums]", "unknown field `colums`"),
        ] {
            let problem = parse(&format!("{COLUMNS}{more}")).expect_err(more);
            assert!(problem.contains(expected), "{more}\n{problem}");
        }
    }
}
