//! A CSV file and where its columns are.

use std::ops::Range;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::map::{ColumnMap, LineRule};
use crate::domain::values::money::Currency;
use crate::exit::{Exit, Failure};
use crate::wire::reason::{Reason, Refusal};

/// A CSV file in memory, with the columns that its map names.
pub struct Table {
    pub file: String,
    text: Vec<u8>,
    delimiter: u8,
    width: usize,
    pub(super) columns: TableColumns,
    /// By rule of the map; none where the rule is not about a column.
    pub(super) return_columns: Vec<Option<Column>>,
    pub(super) skip_columns: Vec<Option<Column>>,
}

/// A column by its place and name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    index: usize,
    name: String,
}

/// The columns that mean something.
pub(super) struct TableColumns {
    pub(super) order_id: Column,
    pub(super) time: Column,
    pub(super) price: Column,
    pub(super) quantity: Option<Column>,
    pub(super) customer_id: Option<Column>,
    pub(super) store_id: Option<Column>,
    pub(super) sku: Option<Column>,
    pub(super) currency: Option<Column>,
    pub(super) zone: Option<Column>,
}

/// One line of the table; a quoted cell may stretch over several lines of the file.
pub(super) struct Row<'a> {
    cells: &'a ByteRecord,
    width: usize,
    /// The line of the file on which it begins, from 1.
    pub(super) number: u64,
    /// Its bytes in the file, without the end of the line.
    pub(super) place: Range<usize>,
}

impl Table {
    /// Finds the columns of the map in the text of a file.
    ///
    /// # Errors
    /// The file lacks a column.
    pub fn new(name: String, text: Vec<u8>, map: &ColumnMap) -> Result<Self, Failure> {
        let mut reader = reader(&text, map.delimiter);
        let header = reader.byte_headers().map_err(|error| {
            Failure::message(Exit::Data, format!("cannot read the column names of {name}: {error}"))
        })?;
        let header: Vec<String> =
            header.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
        let find = |wanted: &str| column(&header, wanted, &name, &map.file);
        let optional = |wanted: &Option<String>| wanted.as_deref().map(find).transpose();
        let columns = TableColumns {
            order_id: find(&map.columns.order_id)?,
            time: find(&map.columns.time)?,
            price: find(&map.columns.price)?,
            quantity: optional(&map.columns.quantity)?,
            customer_id: optional(&map.columns.customer_id)?,
            store_id: optional(&map.columns.store_id)?,
            sku: optional(&map.columns.sku)?,
            currency: optional(&map.columns.currency)?,
            zone: optional(&map.columns.zone)?,
        };
        let of_rule = |rule: &LineRule| match rule {
            LineRule::IdPrefix(_) => Ok(None),
            LineRule::Equals { column, .. } => find(column).map(Some),
        };
        let return_columns = map.line_rules().map(of_rule).collect::<Result<_, _>>()?;
        let skip_columns = map.skip.iter().map(|skip| of_rule(&skip.rule)).collect::<Result<_, _>>()?;
        let width = header.len();
        Ok(Self { file: name, text, delimiter: map.delimiter, width, columns, return_columns, skip_columns })
    }

    /// The first currency that a line names.
    pub fn first_currency(&self) -> Option<Currency> {
        let column = self.columns.currency.as_ref()?;
        let mut rows = reader(&self.text, self.delimiter).into_byte_records().filter_map(Result::ok);
        rows.find_map(|row| Currency::from_letters(row.get(column.index)?))
    }

    /// The bytes of a row.
    pub(super) fn original(&self, place: &Range<usize>) -> &[u8] {
        &self.text[place.clone()]
    }

    /// Calls `each` with every row behind the names that holds anything: spreadsheets write rows of commas alone.
    pub(super) fn for_each_row(
        &self,
        mut each: impl FnMut(&Row<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut reader = reader(&self.text, self.delimiter);
        // The position before the first row is the one behind the names only when these were read.
        reader.byte_headers().expect("they were read before");
        let mut cells = ByteRecord::new();
        loop {
            let (start, line) = (reader.position().byte() as usize, reader.position().line());
            if !reader.read_byte_record(&mut cells).expect("text in memory of any width can be read") {
                return Ok(());
            }
            let end = reader.position().byte() as usize;
            // Behind a row the reader stands before the rest of its line's end, and before empty lines.
            let (skipped, row) = split_line_ends(&self.text[start..end]);
            let newlines = skipped.iter().filter(|byte| **byte == b'\n').count();
            let start = start + skipped.len();
            if cells.iter().all(|cell| cell.trim_ascii().is_empty()) {
                continue;
            }
            each(&Row {
                cells: &cells,
                width: self.width,
                number: line + newlines as u64,
                place: start..start + row.len(),
            })?;
        }
    }
}

impl<'a> Row<'a> {
    /// The text of a cell; empty where there is no such column or the row is too short.
    pub(super) fn text(&self, column: Option<&Column>) -> Result<&'a str, Refusal> {
        let Some(column) = column else { return Ok("") };
        std::str::from_utf8(self.cells.get(column.index).unwrap_or_default())
            .map_err(|_| column.refuse(Reason::InvalidUtf8, "is not UTF-8"))
    }

    /// Whether a cell holds exactly this.
    pub(super) fn equals(&self, column: &Column, value: &str) -> bool {
        self.cells.get(column.index) == Some(value.as_bytes())
    }

    /// Refuses rows with more or fewer cells than there are columns.
    pub(super) fn check_width(&self) -> Result<(), Refusal> {
        let (found, expected) = (self.cells.len(), self.width);
        if found == expected {
            return Ok(());
        }
        let detail = format!("the line has {found} cells, there are {expected} columns");
        Err(Refusal::new(Reason::InvalidEvent, detail))
    }
}

impl Column {
    /// A refusal because of this column's cell.
    pub(super) fn refuse(&self, reason: Reason, what: &str) -> Refusal {
        Refusal::new(reason, format!("{} {what}", self.name))
    }
}

fn reader(text: &[u8], delimiter: u8) -> Reader<&[u8]> {
    ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text)
}

/// What stands before a row, and the row without the end of its line.
fn split_line_ends(text: &[u8]) -> (&[u8], &[u8]) {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let first = text.iter().position(|byte| !is_end(byte)).unwrap_or(text.len());
    let behind_last = text.iter().rposition(|byte| !is_end(byte)).map_or(first, |last| last + 1);
    (&text[..first], &text[first..behind_last])
}

fn column(header: &[String], wanted: &str, file: &str, map: &str) -> Result<Column, Failure> {
    match header.iter().position(|name| name.trim() == wanted) {
        Some(index) => Ok(Column { index, name: wanted.to_owned() }),
        None => {
            let message = format!(
                "{file} has no column {wanted:?}, which {map} names; its columns are {}",
                header.iter().map(|name| name.trim()).collect::<Vec<_>>().join(", ")
            );
            Err(Failure::message(Exit::Data, message))
        }
    }
}
