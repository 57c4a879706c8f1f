//! A column map as it is written, and what is wrong with it.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Deserialize;

use super::{Amount, ColumnMap, Columns, CustomerRules, DocumentRule, DocumentRules, ReturnRule, SkipRule};
use crate::domain::values::money::Currency;
use crate::formats::csv::{CsvSettings, Names};
use crate::formats::order_lines::local_time::TimeForms;
use crate::formats::order_lines::numbers::NumberForm;

/// Rules of one map: each has a bit.
const RULES_MAX: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMap {
    columns: RawColumns,
    #[serde(default)]
    document: RawDocument,
    #[serde(default)]
    customer: RawCustomer,
    #[serde(default)]
    time: RawTime,
    #[serde(default)]
    money: RawMoney,
    #[serde(default)]
    csv: CsvSettings,
    #[serde(default)]
    returns: Vec<RawReturnRule>,
    #[serde(default)]
    skip: Vec<RawSkipRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumns {
    order_id: String,
    time: Names,
    price: Option<String>,
    quantity: Option<String>,
    total: Option<String>,
    subtract: Option<Names>,
    customer_id: Option<Names>,
    store_id: Option<String>,
    sku: Option<String>,
    currency: Option<String>,
    zone: Option<String>,
    cancelled_at: Option<String>,
    refunded: Option<String>,
    returned_order: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawDocument {
    columns: Vec<String>,
    by_day: bool,
    repeated_lines: RepeatedLines,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum RepeatedLines {
    #[default]
    Keep,
    Drop,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawCustomer {
    guests: Vec<String>,
    whole_numbers: bool,
    ignore_case: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTime {
    format: Names,
    zone: Option<String>,
    zones: BTreeMap<String, String>,
}

impl Default for RawTime {
    fn default() -> Self {
        Self { format: Names::One("rfc3339".to_owned()), zone: None, zones: BTreeMap::new() }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawMoney {
    currency: Option<String>,
    decimal: Option<char>,
    group: Option<char>,
    signs: Vec<String>,
    parentheses: bool,
    minor_units: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReturnRule {
    id_prefix: Option<String>,
    column: Option<String>,
    equals: Option<String>,
    total: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSkipRule {
    id_prefix: Option<String>,
    column: Option<String>,
    equals: Option<String>,
    name: String,
}

impl RawMap {
    pub(super) fn validate(self, file: String) -> Result<ColumnMap, String> {
        let columns = self.columns.validate()?;
        let time =
            TimeForms::new(self.time.format.iter()).map_err(|problem| format!("time.format: {problem}"))?;
        let zone = self.time.zone.as_deref().map(parse_zone).transpose()?;
        let zones = self.time.zones.into_iter().map(|(name, zone)| Ok((name, parse_zone(&zone)?)));
        let zones = zones.collect::<Result<_, String>>()?;
        if !time.have_offsets() && zone.is_none() && columns.zone.is_none() {
            return Err("times have no offset; give time.zone, such as \"Europe/London\"".to_owned());
        }
        let currency = self.money.currency.as_deref().map(parse_currency).transpose()?;
        if currency.is_none() && columns.currency.is_none() {
            return Err("prices have no currency; give money.currency, such as \"GBP\", or columns.currency"
                .to_owned());
        }
        let is_in_minor_units = self.money.minor_units;
        let returns: Vec<_> =
            self.returns.into_iter().map(RawReturnRule::validate).collect::<Result<_, _>>()?;
        let skip: Vec<_> = self.skip.into_iter().map(RawSkipRule::validate).collect::<Result<_, _>>()?;
        if returns.len() + skip.len() > RULES_MAX {
            return Err(format!("a map has at most {RULES_MAX} rules for returns and skips"));
        }
        Ok(ColumnMap {
            file,
            columns,
            time,
            zone,
            zones,
            currency,
            numbers: self.money.validate()?,
            is_in_minor_units,
            csv: self.csv,
            documents: DocumentRules {
                columns: self.document.columns,
                by_day: self.document.by_day,
                drops_repeated_lines: self.document.repeated_lines == RepeatedLines::Drop,
            },
            customers: CustomerRules {
                guests: self.customer.guests,
                has_whole_numbers: self.customer.whole_numbers,
                ignores_case: self.customer.ignore_case,
            },
            returns,
            skip,
        })
    }
}

impl RawColumns {
    fn validate(self) -> Result<Columns, String> {
        let amount = match (self.price, self.total, self.quantity) {
            (Some(price), None, quantity) => Amount::Lines { price, quantity },
            (None, Some(total), None) => Amount::Total(total),
            (None, Some(_), Some(_)) => {
                return Err("columns.quantity belongs to columns.price, not to columns.total".to_owned());
            }
            (Some(_), Some(_), _) | (None, None, _) => {
                return Err("give either columns.price or columns.total".to_owned());
            }
        };
        let list = |names: Option<Names>| -> Vec<String> {
            names.iter().flat_map(Names::iter).map(str::to_owned).collect()
        };
        let time = list(Some(self.time));
        if time.is_empty() {
            return Err("columns.time is empty".to_owned());
        }
        Ok(Columns {
            order_id: self.order_id,
            time,
            amount,
            subtract: list(self.subtract),
            customer_id: list(self.customer_id),
            store_id: self.store_id,
            sku: self.sku,
            currency: self.currency,
            zone: self.zone,
            cancelled_at: self.cancelled_at,
            refunded: self.refunded,
            returned_order: self.returned_order,
        })
    }
}

impl RawMoney {
    fn validate(self) -> Result<NumberForm, String> {
        let decimal = self.decimal.unwrap_or('.');
        if !matches!(decimal, '.' | ',') {
            return Err("money.decimal is \".\" or \",\"".to_owned());
        }
        if self.group == Some(decimal) {
            return Err("money.decimal and money.group are the same mark".to_owned());
        }
        if self.group.is_some_and(|group| !matches!(group, '.' | ',' | ' ' | '\'' | '’')) {
            return Err("money.group is \".\", \",\", \" \" or \"'\"".to_owned());
        }
        let is_number = |sign: &String| {
            sign.trim().is_empty() || sign.contains(|c: char| c.is_ascii_digit() || "+-()".contains(c))
        };
        if self.signs.iter().any(is_number) {
            return Err("money.signs are signs of currencies, such as \"$\"".to_owned());
        }
        Ok(NumberForm { decimal, group: self.group, signs: self.signs, parentheses: self.parentheses })
    }
}

impl RawReturnRule {
    fn validate(self) -> Result<ReturnRule, String> {
        match (self.total.as_deref(), &self.id_prefix, &self.column) {
            (None, _, _) => {
                document_rule("returns", self.id_prefix, self.column, self.equals).map(ReturnRule::Document)
            }
            (Some("negative"), None, None) => Ok(ReturnRule::NegativeTotal),
            (Some(_), _, _) => Err("returns: write total = \"negative\", and nothing beside it".to_owned()),
        }
    }
}

impl RawSkipRule {
    fn validate(self) -> Result<SkipRule, String> {
        let rule = document_rule("skip", self.id_prefix, self.column, self.equals)?;
        Ok(SkipRule { rule, name: self.name })
    }
}

fn document_rule(
    section: &str,
    id_prefix: Option<String>,
    column: Option<String>,
    equals: Option<String>,
) -> Result<DocumentRule, String> {
    match (id_prefix, column, equals) {
        (Some(prefix), None, None) if !prefix.is_empty() => Ok(DocumentRule::IdPrefix(prefix)),
        (None, Some(column), Some(value)) => Ok(DocumentRule::Equals { column, value }),
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
