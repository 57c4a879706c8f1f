//! CSV order lines: grouped to documents over the whole file, and those written as the records that JSON Lines would hold.
//!
//! A line that cannot be read makes its document's total unknown: the line is a dead letter, and the document is left out.

use std::collections::HashMap;
use std::ops::Range;

use chrono_tz::Tz;

use super::local_time;
use super::map::{ColumnMap, LineRule, ReturnRule};
use super::millionths::{self, Millionths, Total};
use super::table::{Column, Row, Table};
use crate::domain::settings::Shops;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::exit::Failure;
use crate::formats::{Format, NativeRecord, Unusable};
use crate::topic::Input;
use crate::wire::encode::{OrderText, ReturnText};
use crate::wire::reason::{Reason, Refusal};

/// What the documents of a table mean.
pub struct OrderLines<'t> {
    table: &'t Table,
    map: &'t ColumnMap,
    /// Know the digits of declared currencies.
    shops: &'t Shops,
}

/// What a file of order lines came to.
pub struct Documents {
    /// Orders and returns, by their first lines.
    pub used: Vec<Document>,
    /// Documents that the map passes over, by its rules.
    pub skipped: Vec<u64>,
    /// Documents with lines that cannot be read.
    pub left_out: u64,
    /// Lines behind the column names that hold anything.
    pub lines: u64,
}

impl Documents {
    /// Groups the lines of a table.
    ///
    /// # Errors
    /// `unusable` fails.
    pub fn group(
        table: &Table,
        map: &ColumnMap,
        bytes_max: usize,
        unusable: &mut dyn FnMut(Unusable<'_>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut grouping = Grouping {
            table,
            map,
            documents: Vec::new(),
            by_id: HashMap::new(),
            latest: 0,
            latest_time: LatestTime::default(),
        };
        let mut lines = 0;
        table.for_each_row(|row| {
            lines += 1;
            grouping.add(row, bytes_max).or_else(|refusal| {
                let original = table.original(&row.place);
                unusable(Unusable { refusal: &refusal, line: row.number, original })
            })
        })?;
        let mut documents = Self { used: Vec::new(), skipped: vec![0; map.skip.len()], left_out: 0, lines };
        for document in grouping.documents {
            match document.kind {
                _ if document.is_broken => documents.left_out += 1,
                Kind::Skipped(rule) => documents.skipped[rule] += 1,
                Kind::Order | Kind::Return => documents.used.push(document),
            }
        }
        Ok(documents)
    }

    /// The first line of the used document that begins there.
    pub fn original<'t>(&self, line: u64, table: &'t Table) -> &'t [u8] {
        let index = self.used.binary_search_by_key(&line, |document| document.line);
        self.used[index.expect("every document is in the list")].original(table)
    }
}

impl<'t> OrderLines<'t> {
    pub fn new(table: &'t Table, map: &'t ColumnMap, shops: &'t Shops) -> Self {
        Self { table, map, shops }
    }
}

impl Format for OrderLines<'_> {
    type Source = Document;

    fn records(
        &self,
        document: &Document,
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut text = Vec::new();
        let input = document.write(self, &mut text)?;
        each(NativeRecord { input, value: &text })
    }
}

/// The lines of one id.
pub struct Document {
    id: Box<str>,
    kind: Kind,
    /// The number of its first line.
    pub line: u64,
    place: Range<usize>,
    /// The earliest.
    time: Option<Time>,
    total: Total,
    customer_id: Option<Box<str>>,
    store_id: Option<Box<str>>,
    currency: Option<Currency>,
    /// Two different ones say as much as all.
    skus: [Option<Box<str>>; 2],
    is_broken: bool,
}

/// What the lines of a document say that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Order,
    Return,
    /// By this rule of the map.
    Skipped(usize),
}

struct Grouping<'t> {
    table: &'t Table,
    map: &'t ColumnMap,
    documents: Vec<Document>,
    by_id: HashMap<Box<str>, usize>,
    /// Lines of one document mostly follow each other.
    latest: usize,
    latest_time: LatestTime,
}

impl Grouping<'_> {
    fn add(&mut self, row: &Row<'_>, bytes_max: usize) -> Result<(), Refusal> {
        let id = row.text(Some(&self.table.columns.order_id))?;
        if id.is_empty() {
            return Err(self.table.columns.order_id.refuse(Reason::MissingField, "is empty"));
        }
        let index = self.document_of(id, row);
        self.add_to(index, row, bytes_max).map_err(|refusal| {
            self.documents[index].is_broken = true;
            Refusal::new(refusal.reason, format!("{}; its document is left out", refusal.detail))
        })
    }

    fn document_of(&mut self, id: &str, row: &Row<'_>) -> usize {
        let is_latest = self.documents.get(self.latest).is_some_and(|document| *document.id == *id);
        if is_latest {
            return self.latest;
        }
        self.latest = match self.by_id.get(id) {
            Some(index) => *index,
            None => {
                let kind = self.kind_of(id, row);
                self.by_id.insert(id.into(), self.documents.len());
                self.documents.push(Document::new(id, kind, row));
                self.documents.len() - 1
            }
        };
        self.latest
    }

    fn kind_of(&self, id: &str, row: &Row<'_>) -> Kind {
        let fits = |rule: &LineRule, column: &Option<Column>| match (rule, column) {
            (LineRule::IdPrefix(prefix), _) => id.starts_with(prefix.as_str()),
            (LineRule::Equals { value, .. }, Some(column)) => row.equals(column, value),
            (LineRule::Equals { .. }, None) => unreachable!("the table has found the columns of all rules"),
        };
        let skips = self.map.skip.iter().map(|skip| &skip.rule).zip(&self.table.skip_columns);
        if let Some(rule) = skips.into_iter().position(|(rule, column)| fits(rule, column)) {
            return Kind::Skipped(rule);
        }
        let is_return =
            self.map.line_rules().zip(&self.table.return_columns).any(|(rule, column)| fits(rule, column));
        if is_return { Kind::Return } else { Kind::Order }
    }

    fn add_to(&mut self, index: usize, row: &Row<'_>, bytes_max: usize) -> Result<(), Refusal> {
        row.check_width()?;
        if row.place.len() > bytes_max {
            let detail = format!("{} bytes, allowed are {bytes_max}", row.place.len());
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let kind = self.kind_of(&self.documents[index].id, row);
        let columns = &self.table.columns;
        let time = self.latest_time.read(row, self.table, self.map)?;
        let document = &mut self.documents[index];
        if kind != document.kind {
            let detail = "the lines of the document disagree about what it is";
            return Err(Refusal::new(Reason::InvalidEvent, detail));
        }
        if let Kind::Skipped(_) = kind {
            return Ok(());
        }
        document.time = document.time.into_iter().chain(time).min();
        let quantity = match &columns.quantity {
            Some(column) => number(row, column)?,
            None => Millionths::ONE,
        };
        let price = number(row, &columns.price)?;
        document.total = document
            .total
            .plus(quantity, price)
            .ok_or_else(|| columns.price.refuse(Reason::OutOfRange, "makes the total too large"))?;
        agree(&mut document.customer_id, row, columns.customer_id.as_ref())?;
        agree(&mut document.store_id, row, columns.store_id.as_ref())?;
        document.add_currency(row, columns.currency.as_ref())?;
        document.add_sku(row.text(columns.sku.as_ref())?);
        Ok(())
    }
}

impl Document {
    /// The bytes of its first line.
    pub fn original<'t>(&self, table: &'t Table) -> &'t [u8] {
        table.original(&self.place)
    }

    fn new(id: &str, kind: Kind, row: &Row<'_>) -> Self {
        Self {
            id: id.into(),
            kind,
            line: row.number,
            place: row.place.clone(),
            time: None,
            total: Total::default(),
            customer_id: None,
            store_id: None,
            currency: None,
            skus: [None, None],
            is_broken: false,
        }
    }

    fn add_currency(&mut self, row: &Row<'_>, column: Option<&Column>) -> Result<(), Refusal> {
        let Some(column) = column else { return Ok(()) };
        let code = row.text(Some(column))?;
        if code.is_empty() {
            return Ok(());
        }
        let currency = Currency::from_letters(code.as_bytes()).ok_or_else(|| {
            column.refuse(Reason::UnknownCurrency, "is not the three letters of a currency")
        })?;
        if *self.currency.get_or_insert(currency) == currency { Ok(()) } else { Err(disagreement(column)) }
    }

    fn add_sku(&mut self, sku: &str) {
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

    /// Writes the order or return that this document is.
    fn write(
        &self,
        OrderLines { table, map, shops }: &OrderLines<'_>,
        text: &mut Vec<u8>,
    ) -> Result<Input, Refusal> {
        let columns = &table.columns;
        let time =
            self.time.ok_or_else(|| columns.time.refuse(Reason::MissingField, "is empty in every line"))?;
        let currency_column = columns.currency.as_ref().unwrap_or(&columns.price);
        let currency = self.currency.or(map.currency).ok_or_else(|| {
            currency_column
                .refuse(Reason::MissingField, "is empty in every line, and the map names no currency")
        })?;
        let currency = shops.with_digits(currency).ok_or_else(|| {
            currency_column.refuse(
                Reason::UnknownCurrency,
                "is not an ISO 4217 code, and the configuration does not declare it",
            )
        })?;
        let minor = |total: Total| {
            let too_large = || columns.price.refuse(Reason::OutOfRange, "makes the total too large");
            total.to_minor(currency.digits()).ok_or_else(too_large)
        };
        let (customer_id, store_id) = (self.customer_id.as_deref(), self.store_id.as_deref());
        let is_negative_return = map.returns.contains(&ReturnRule::NegativeTotal) && self.total.is_negative();
        if self.kind == Kind::Return || is_negative_return {
            let returned = ReturnText {
                return_id: &self.id,
                returned_at: time,
                currency,
                refund: minor(self.total.negated())?,
                customer_id,
                store_id,
                order_id: None,
            };
            returned.encode(text);
            return Ok(Input::Returns);
        }
        let skus: Vec<&str> = self.skus.iter().flatten().map(|sku| &**sku).collect();
        let order = OrderText {
            order_id: &self.id,
            placed_at: time,
            currency,
            total: minor(self.total)?,
            customer_id,
            store_id,
            version: 0,
            test: false,
            skus: &skus,
        };
        order.encode(text);
        Ok(Input::Orders)
    }
}

/// The time of the line before, which mostly is that of the next one too.
#[derive(Default)]
struct LatestTime {
    text: String,
    zone_text: String,
    time: Option<Time>,
}

impl LatestTime {
    /// The time of a row; `None` if its cell is empty.
    fn read(&mut self, row: &Row<'_>, table: &Table, map: &ColumnMap) -> Result<Option<Time>, Refusal> {
        let column = &table.columns.time;
        let (text, zone_text) =
            (row.text(Some(column))?.trim(), row.text(table.columns.zone.as_ref())?.trim());
        if text.is_empty() {
            return Ok(None);
        }
        if self.time.is_some() && self.text == text && self.zone_text == zone_text {
            return Ok(self.time);
        }
        let zone = match (&table.columns.zone, zone_text) {
            (Some(column), name) if !name.is_empty() => Some(
                name.parse::<Tz>()
                    .map_err(|_| column.refuse(Reason::InvalidTime, "is not an IANA time zone"))?,
            ),
            (Some(_) | None, _) => map.zone,
        };
        let time = map.time.read(text, zone).map_err(|fault| {
            column.refuse(
                Reason::InvalidTime,
                match fault {
                    local_time::Fault::Form => "is not written as the map says",
                    local_time::Fault::Skipped => "is a time that clocks skipped in its zone",
                    local_time::Fault::Zone => "has no offset, and neither line nor map name a zone",
                    local_time::Fault::Range => "is not from 1970 to 9999",
                },
            )
        })?;
        text.clone_into(&mut self.text);
        zone_text.clone_into(&mut self.zone_text);
        self.time = Some(time);
        Ok(self.time)
    }
}

/// Empty cells are passed over; two others must hold the same.
fn agree(known: &mut Option<Box<str>>, row: &Row<'_>, column: Option<&Column>) -> Result<(), Refusal> {
    let Some(column) = column else { return Ok(()) };
    let text = row.text(Some(column))?;
    match known {
        _ if text.is_empty() => Ok(()),
        Some(known) if **known == *text => Ok(()),
        Some(_) => Err(disagreement(column)),
        None => {
            *known = Some(text.into());
            Ok(())
        }
    }
}

fn disagreement(column: &Column) -> Refusal {
    column.refuse(Reason::InvalidEvent, "differs from that of another line of the document")
}

fn number(row: &Row<'_>, column: &Column) -> Result<Millionths, Refusal> {
    let text = row.text(Some(column))?.trim();
    if text.is_empty() {
        return Err(column.refuse(Reason::MissingField, "is empty"));
    }
    Millionths::parse(text).map_err(|fault| match fault {
        millionths::Fault::Form => column.refuse(Reason::InvalidAmount, "is not a decimal number"),
        millionths::Fault::Digits => {
            column.refuse(Reason::InvalidAmount, "has more than 6 digits after the point")
        }
        millionths::Fault::TooLarge => column.refuse(Reason::OutOfRange, "has more than 12 digits"),
    })
}
