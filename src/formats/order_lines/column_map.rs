//! The column map: a TOML file that names the columns of a CSV file of order lines.
//!
//! `maps/online-retail.toml` is one, with every key explained.

mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use chrono_tz::Tz;

use super::local_time::TimeForms;
use super::numbers::NumberForm;
use super::zones;
use crate::domain::values::money::Currency;
use crate::exit::{Exit, Failure};
use crate::formats::csv::CsvSettings;

/// A validated column map.
#[derive(Debug)]
pub struct ColumnMap {
    /// The file it was read from, for messages.
    pub(crate) file: String,
    pub(super) columns: Columns,
    pub(super) time: TimeForms,
    /// The zone of local times, unless a column has it.
    pub zone: Option<Tz>,
    /// Zones as the file names them.
    pub(super) zones: BTreeMap<String, Tz>,
    /// The currency of all prices, unless a column has it.
    pub currency: Option<Currency>,
    pub(super) numbers: NumberForm,
    /// Whether 4250 is 42.50.
    pub(super) is_in_minor_units: bool,
    pub(super) csv: CsvSettings,
    pub(super) documents: DocumentRules,
    pub(super) customers: CustomerRules,
    /// A document that one of these fits is a return.
    pub(super) returns: Vec<ReturnRule>,
    /// A document that one of these fits is neither order nor return.
    pub skip: Vec<SkipRule>,
}

/// Names of columns, as the file has them.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) order_id: String,
    /// A date and a time may stand in two.
    pub(super) time: Vec<String>,
    pub(super) amount: Amount,
    /// Amounts of the document that are not for goods, such as a discount: taken off.
    pub(super) subtract: Vec<String>,
    /// The first that is not empty counts.
    pub(super) customer_id: Vec<String>,
    pub(super) store_id: Option<String>,
    pub(super) sku: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) cancelled_at: Option<String>,
    pub(super) refunded: Option<String>,
    /// The order that a return is about.
    pub(super) returned_order: Option<String>,
}

/// Where the amount of a document comes from.
#[derive(Debug)]
pub(super) enum Amount {
    /// The sum of its lines.
    Lines { price: String, quantity: Option<String> },
    /// One value of the document.
    Total(String),
}

/// What makes lines one document.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct DocumentRules {
    /// Columns besides that of the id, which must be equal too.
    pub(super) columns: Vec<String>,
    /// Whether each day has documents of its own.
    pub(super) by_day: bool,
    /// Whether a line that repeats another one of its document counts once.
    pub(super) drops_repeated_lines: bool,
}

/// How the ids of customers are read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct CustomerRules {
    /// Ids that stand for no customer.
    pub(super) guests: Vec<String>,
    /// Whether `17850.0` is `17850`.
    pub(super) has_whole_numbers: bool,
    /// Whether `Ada@x` is `ada@x`.
    pub(super) ignores_case: bool,
}

/// What makes a document a return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ReturnRule {
    Document(DocumentRule),
    /// Its amount is below zero.
    NegativeTotal,
}

/// Documents that are passed over, and what they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SkipRule {
    pub(super) rule: DocumentRule,
    pub name: String,
}

/// A rule that a document fits or does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum DocumentRule {
    IdPrefix(String),
    /// The one value of a column is exactly this.
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
        Self::named(file, &text)
    }

    /// The map in a text.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn named(file: String, text: &str) -> Result<Self, Failure> {
        Self::parse(file.clone(), text).map_err(|problem| {
            let message = format!("the column map {file} cannot be used: {}", problem.trim_end());
            Failure::message(Exit::Configuration, message)
        })
    }

    /// Whether amounts are written in minor units: 4250 is 42.50.
    pub const fn is_in_minor_units(&self) -> bool {
        self.is_in_minor_units
    }

    /// Whether the text of a map has columns rather than a program.
    pub fn is_one(text: &str) -> bool {
        text.lines().any(|line| line.trim_start().starts_with("[columns]"))
    }

    /// Every column that the map names.
    pub(super) fn column_names(&self) -> Vec<&str> {
        let columns = &self.columns;
        let of_rule = |rule| match rule {
            &DocumentRule::IdPrefix(_) => None,
            DocumentRule::Equals { column, .. } => Some(column),
        };
        let of_amount = match &columns.amount {
            Amount::Lines { price, quantity } => [Some(price), quantity.as_ref()],
            Amount::Total(total) => [Some(total), None],
        };
        let optional = [
            &columns.store_id,
            &columns.sku,
            &columns.currency,
            &columns.zone,
            &columns.cancelled_at,
            &columns.refunded,
            &columns.returned_order,
        ];
        let mut names: Vec<&str> = [&columns.order_id]
            .into_iter()
            .chain(&columns.time)
            .chain(of_amount.into_iter().flatten())
            .chain(&columns.subtract)
            .chain(&columns.customer_id)
            .chain(optional.into_iter().flatten())
            .chain(&self.documents.columns)
            .chain(self.rules().filter_map(of_rule))
            .map(String::as_str)
            .collect();
        let mut known = hashbrown::HashSet::new();
        names.retain(|name| known.insert(*name));
        names
    }

    /// All rules, those about returns first.
    pub(super) fn rules(&self) -> impl Iterator<Item = &DocumentRule> {
        self.return_rules().chain(self.skip.iter().map(|skip| &skip.rule))
    }

    /// The rules for returns that look at the lines.
    pub(super) fn return_rules(&self) -> impl Iterator<Item = &DocumentRule> {
        self.returns.iter().filter_map(|rule| match rule {
            ReturnRule::Document(rule) => Some(rule),
            ReturnRule::NegativeTotal => None,
        })
    }

    /// The zone of a name in the file.
    pub(super) fn zone_of(&self, name: &str) -> Option<Tz> {
        self.zones.get(name).copied().or_else(|| zones::zone(name))
    }

    fn parse(file: String, text: &str) -> Result<Self, String> {
        let raw: raw::RawMap = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.validate(file)
    }
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
        assert_eq!(map.returns, [ReturnRule::Document(DocumentRule::IdPrefix("C".to_owned()))]);
        assert_eq!(map.skip.len(), 1);
    }

    #[test]
    fn a_minimal_map_has_times_with_offsets() {
        let map = parse(&format!("{COLUMNS}{MONEY}")).expect("a valid map");
        assert!(map.time.have_offsets());
        assert_eq!((map.returns.len(), map.skip.len()), (0, 0));
        assert_eq!(map.column_names(), ["id", "at", "price"]);
    }

    #[test]
    fn a_wrong_map_says_what_would_be_right() {
        for (more, expected) in [
            ("", "give money.currency"),
            ("[money]\ncurrency = \"EURO\"", "\"EURO\" is not the code"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nformat = \"%d.%m.%Y\"", "give time.zone"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nformat = []", "time.format: is empty"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nzone = \"Mars\"", "\"Mars\" is not an IANA time zone"),
            ("[money]\ncurrency = \"EUR\"\n[time]\nformat = \"%Q\"", "is not a pattern"),
            (
                "[money]\ncurrency = \"EUR\"\n[time.zones]\nhere = \"Mars\"",
                "\"Mars\" is not an IANA time zone",
            ),
            ("[money]\ncurrency = \"EUR\"\ndecimal = \",\"\ngroup = \",\"", "the same mark"),
            ("[money]\ncurrency = \"EUR\"\ndecimal = \"x\"", "money.decimal"),
            ("[money]\ncurrency = \"EUR\"\nsigns = [\"1\"]", "money.signs"),
            ("[money]\ncurrency = \"EUR\"\n[csv]\ndelimiter = \"tab\"", "or one character"),
            ("[money]\ncurrency = \"EUR\"\n[csv]\nencoding = \"latin\"", "the name of an encoding"),
            ("[money]\ncurrency = \"EUR\"\n[csv]\nescape = \"ab\"", "one character"),
            ("[money]\ncurrency = \"EUR\"\n[[returns]]\n", "give either id_prefix, or column and equals"),
            ("[money]\ncurrency = \"EUR\"\n[[returns]]\ncolumn = \"kind\"", "give either id_prefix"),
            ("[money]\ncurrency = \"EUR\"\n[[returns]]\ntotal = \"below\"", "total = \"negative\""),
            ("[money]\ncurrency = \"EUR\"\n[[skip]]\nid_prefix = \"A\"", "missing field `name`"),
            ("[money]\ncurrency = \"EUR\"\n[colums]", "unknown field `colums`"),
        ] {
            let problem = parse(&format!("{COLUMNS}{more}")).expect_err(more);
            assert!(problem.contains(expected), "{more}\n{problem}");
        }
        for (columns, expected) in [
            ("price = \"p\"\ntotal = \"t\"", "either columns.price or columns.total"),
            ("", "either columns.price or columns.total"),
            ("total = \"t\"\nquantity = \"q\"", "columns.quantity belongs to columns.price"),
        ] {
            let text = format!("[columns]\norder_id = \"id\"\ntime = \"at\"\n{columns}\n{MONEY}");
            let problem = parse(&text).expect_err(columns);
            assert!(problem.contains(expected), "{columns}\n{problem}");
        }
    }
}
