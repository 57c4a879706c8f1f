//! One document of a file, and the records that it means.

use std::borrow::Cow;
use std::ops::Range;

use super::column_map::{ColumnMap, ReturnRule};
use super::columns::{AmountColumns, LineTable, TableColumns};
use super::millionths::Total;
use super::values::{Extras, Known, RuleBits, short};
use crate::domain::settings::Shops;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::formats::csv::{Column, Row, Table};
use crate::formats::{Format, NativeRecord};
use crate::topic::Input;
use crate::wire::encode::{CancellationText, OrderText, ReturnText};
use crate::wire::reason::{Reason, Refusal};

/// What the documents of a table mean.
pub struct OrderLines<'t> {
    pub lines: &'t LineTable,
    pub map: &'t ColumnMap,
    /// Know the digits of declared currencies.
    pub shops: &'t Shops,
    pub role: Role,
}

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Orders, and the returns that the rules of its map find.
    Orders,
    /// Returns only.
    Returns,
}

/// The lines of one identity.
pub struct Document {
    /// The id, and behind it what else identifies the document.
    pub(super) key: Box<str>,
    id_length: u32,
    /// How many lines it has.
    pub(super) lines: u32,
    /// The number of its first line.
    pub line: u64,
    /// The number of its last line.
    pub(super) end_line: u32,
    place: Range<usize>,
    /// The earliest.
    pub(super) time: Option<Time>,
    /// Of its lines.
    pub(super) total: Total,
    pub(super) customer_id: Known<Box<str>>,
    pub(super) store_id: Known<Box<str>>,
    currency: Known<Currency>,
    /// Two different ones say as much as all.
    skus: [Option<Box<str>>; 2],
    pub(super) rules: RuleBits,
    extras: Option<Box<Extras>>,
    pub(super) is_broken: bool,
}

impl Format for OrderLines<'_> {
    type Source = Document;

    fn records(
        &self,
        document: &Document,
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let meaning = Meaning::new(self, document)?;
        if meaning.is_return { meaning.write_return(each) } else { meaning.write_order(each) }
    }
}

impl Document {
    /// The bytes of its first line.
    pub fn original<'t>(&self, table: &'t Table) -> Cow<'t, [u8]> {
        table.original(&self.place)
    }

    pub(super) fn new(key: &str, id_length: usize, row: &Row<'_>) -> Self {
        Self {
            key: key.into(),
            id_length: u32::try_from(id_length).expect("a line is shorter"),
            lines: 0,
            line: row.number,
            end_line: short(row.number),
            place: row.place.clone(),
            time: None,
            total: Total::default(),
            customer_id: Known::default(),
            store_id: Known::default(),
            currency: Known::default(),
            skus: [None, None],
            rules: RuleBits::default(),
            extras: None,
            is_broken: false,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.key[..self.id_length as usize]
    }

    /// Whether its last line is that one.
    pub(super) fn reaches(&self, line: u64) -> bool {
        self.end_line == short(line)
    }

    pub(super) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(super) fn add_currency(&mut self, row: &Row<'_>, column: Option<&Column>) -> Result<(), Refusal> {
        let Some(column) = column else { return Ok(()) };
        let code = row.text(Some(column)).trim();
        if code.is_empty() {
            return Ok(());
        }
        let currency = Currency::from_letters(code.as_bytes()).ok_or_else(|| {
            column.refuse(Reason::UnknownCurrency, "is not the three letters of a currency")
        })?;
        self.currency.agree(row, column, |known| *known == currency, || currency)
    }

    pub(super) fn add_sku(&mut self, sku: &str) {
        let [first, second] = &mut self.skus;
        match first {
            _ if sku.is_empty() => {}
            None => *first = Some(sku.into()),
            Some(first) if **first == *sku => {}
            Some(_) => {
                second.get_or_insert_with(|| sku.into());
            }
        }
    }

    /// Of the first column that names one.
    fn customer(&self) -> Option<&str> {
        let others = self.extras.iter().flat_map(|extras| &extras.other_customers);
        std::iter::once(&self.customer_id).chain(others).find_map(|known| known.get().map(|id| &**id))
    }
}

/// What a document comes to.
struct Meaning<'m> {
    document: &'m Document,
    map: &'m ColumnMap,
    columns: &'m TableColumns,
    time: Time,
    currency: Currency,
    total: Total,
    is_return: bool,
}

impl<'m> Meaning<'m> {
    fn new(format: &'m OrderLines<'_>, document: &'m Document) -> Result<Self, Refusal> {
        let (map, columns) = (format.map, &format.lines.columns);
        let time = document
            .time
            .ok_or_else(|| columns.time[0].refuse(Reason::MissingField, "is empty in every line"))?;
        let total = total(document, columns)?;
        let is_negative = total.is_negative() && map.returns.contains(&ReturnRule::NegativeTotal);
        let fits_a_rule = (0..map.return_rules().count()).any(|rule| document.rules.fits(rule));
        Ok(Self {
            document,
            map,
            columns,
            time,
            currency: currency(document, map, columns, format.shops)?,
            total,
            is_return: format.role == Role::Returns || fits_a_rule || is_negative,
        })
    }

    /// The refund is the amount whatever its sign: some exports write returns as negative sums, others as what was given back.
    fn write_return(
        &self,
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let order = self.document.extras.as_ref().and_then(|extras| extras.returned_order.get());
        self.emit_return(self.document.id(), self.time, self.total, order.map(|id| &**id), each)
    }

    fn write_order(
        &self,
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let document = self.document;
        let extras = document.extras.as_deref();
        let cancelled_at = extras.and_then(|extras| extras.cancelled_at.get()).copied();
        let customer_id = document.customer();
        let skus: Vec<&str> = document.skus.iter().flatten().map(|sku| &**sku).collect();
        let mut text = Vec::new();
        OrderText {
            order_id: document.id(),
            placed_at: self.time,
            currency: self.currency,
            total: self.minor(self.total)?,
            customer_id,
            store_id: self.store_id(),
            version: 0,
            // A guest's order cannot be cancelled, but it can be one that does not count.
            test: customer_id.is_none() && cancelled_at.is_some(),
            skus: &skus,
        }
        .encode(&mut text);
        each(NativeRecord { input: Input::Orders, value: &text })?;
        if let (Some(customer_id), Some(cancelled_at)) = (customer_id, cancelled_at) {
            text.clear();
            CancellationText {
                order_id: document.id(),
                cancelled_at,
                customer_id,
                store_id: self.store_id(),
                version: None,
            }
            .encode(&mut text);
            each(NativeRecord { input: Input::Orders, value: &text })?;
        }
        let refunded = extras
            .and_then(|extras| extras.refunded.get())
            .and_then(|amount| Total::default().minus(*amount).filter(|total| *total != Total::default()));
        match refunded {
            Some(refunded) => {
                let return_id = format!("{}/refunds", document.id());
                let returned_at = cancelled_at.unwrap_or(self.time);
                self.emit_return(&return_id, returned_at, refunded, Some(document.id()), each)
            }
            None => Ok(()),
        }
    }

    fn emit_return(
        &self,
        return_id: &str,
        returned_at: Time,
        amount: Total,
        order_id: Option<&str>,
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut text = Vec::new();
        ReturnText {
            return_id,
            returned_at,
            currency: self.currency,
            refund: self.minor(amount.magnitude())?,
            customer_id: self.document.customer(),
            store_id: self.store_id(),
            order_id,
        }
        .encode(&mut text);
        each(NativeRecord { input: Input::Returns, value: &text })
    }

    fn store_id(&self) -> Option<&'m str> {
        self.document.store_id.get().map(|id| &**id)
    }

    fn minor(&self, total: Total) -> Result<i64, Refusal> {
        let minor = if self.map.is_in_minor_units {
            total.to_minor_as_written()
        } else {
            total.to_minor(self.currency.digits())
        };
        minor.ok_or_else(|| too_large(self.columns))
    }
}

fn total(document: &Document, columns: &TableColumns) -> Result<Total, Refusal> {
    let extras = document.extras.as_deref();
    let mut total = match &columns.amount {
        AmountColumns::Lines { .. } => document.total,
        AmountColumns::Total(column) => {
            let amount = extras.and_then(|extras| extras.total.get());
            let amount =
                amount.ok_or_else(|| column.refuse(Reason::MissingField, "is empty in every line"))?;
            Total::of(*amount)
        }
    };
    for amount in extras.iter().flat_map(|extras| &extras.subtracted).filter_map(Known::get) {
        total = total.minus(*amount).ok_or_else(|| too_large(columns))?;
    }
    Ok(total)
}

fn too_large(columns: &TableColumns) -> Refusal {
    columns.amount.named().refuse(Reason::OutOfRange, "makes the total too large")
}

/// With its digits.
fn currency(
    document: &Document,
    map: &ColumnMap,
    columns: &TableColumns,
    shops: &Shops,
) -> Result<Currency, Refusal> {
    let column = columns.currency.as_ref().unwrap_or(columns.amount.named());
    let currency = document.currency.get().copied().or(map.currency).ok_or_else(|| {
        column.refuse(Reason::MissingField, "is empty in every line, and the map names no currency")
    })?;
    shops.with_digits(currency).ok_or_else(|| {
        let what = "is not an ISO 4217 code, and the configuration does not declare it";
        column.refuse(Reason::UnknownCurrency, what)
    })
}
