//! CSV order lines: grouped to documents over the whole file.
//!
//! A line that cannot be read makes its document's total unknown: the line is a dead letter, and the document is left out.

use hashbrown::{HashMap, HashSet, HashTable};

use super::column_map::{ColumnMap, DocumentRule};
use super::columns::{AmountColumns, InOrderId, LineTable, TableColumns};
use super::document::Document;
use super::local_time::Instant;
use super::millionths::Millionths;
use super::time_reader::{self, TimeReader};
use super::values;
use crate::exit::Failure;
use crate::formats::Unusable;
use crate::formats::csv::Row;
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// Between the parts of an identity: no cell that is read holds it.
const SEPARATOR: char = '\u{1f}';

/// What a file of order lines came to.
pub struct Documents {
    /// Orders and returns, by their first lines.
    pub used: Vec<Document>,
    /// Documents that the map passes over, by its rules.
    pub skipped: Vec<u64>,
    /// Their identities.
    skipped_keys: Vec<Box<str>>,
    /// Documents with lines that cannot be read.
    pub left_out: u64,
    /// Lines below the column names that hold anything.
    pub lines: u64,
    /// Documents that a later file has again.
    pub repeated: u64,
    /// Whether any amount has digits after the decimal mark.
    pub has_decimals: bool,
    /// The first and the last of these lines.
    first_line: u64,
    last_line: u64,
}

impl Documents {
    /// Groups the lines of a table.
    ///
    /// # Errors
    /// `unusable` fails.
    pub fn group(
        lines: &LineTable,
        map: &ColumnMap,
        bytes_max: usize,
        unusable: &mut dyn FnMut(Unusable<'_>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut grouping = Grouping {
            columns: &lines.columns,
            map,
            bytes_max,
            documents: Vec::new(),
            by_key: HashTable::new(),
            latest: 0,
            key: String::new(),
            times: TimeReader::default(),
            has_decimals: false,
        };
        let (mut count, mut first_line, mut last_line) = (0, 0, 0);
        lines.table.for_each_row(|row| {
            count += 1;
            first_line = if count == 1 { row.number } else { first_line };
            last_line = row.number;
            grouping.add(row).or_else(|refusal| {
                let original = lines.table.original(&row.place);
                unusable(Unusable { refusal: &refusal, line: row.number, original: &original })
            })
        })?;
        let mut documents = Self {
            used: Vec::new(),
            skipped: vec![0; map.skip.len()],
            skipped_keys: Vec::new(),
            left_out: 0,
            lines: count,
            repeated: 0,
            has_decimals: grouping.has_decimals,
            first_line,
            last_line,
        };
        let return_rules = map.return_rules().count();
        for document in grouping.documents {
            let skip = (0..map.skip.len()).find(|skip| document.rules.fits(return_rules + skip));
            match skip {
                _ if document.is_broken => documents.left_out += 1,
                Some(rule) => {
                    documents.skipped[rule] += 1;
                    documents.skipped_keys.push(document.key);
                }
                None => documents.used.push(document),
            }
        }
        Ok(documents)
    }

    /// Drops the documents that a later file has again. The later one is the newer state, unless it or the earlier one was cut: at the
    /// beginning and at the end of a file the one with more lines stands.
    pub fn drop_repeated(files: &mut [&mut Self]) {
        for index in 1..files.len() {
            let (earlier, rest) = files.split_at_mut(index);
            let cut = earlier.iter_mut().flat_map(|file| file.give_way_to(rest[0])).collect();
            rest[0].drop_documents(&cut);
        }
    }

    /// Drops what a later file has again, and gives the identities of what it has in part only.
    fn give_way_to(&mut self, later: &mut Self) -> Vec<Box<str>> {
        let index: HashMap<&str, &Document> =
            later.used.iter().map(|document| (&*document.key, document)).collect();
        let skipped: HashSet<&str> = later.skipped_keys.iter().map(|key| &**key).collect();
        let end = self.last_line;
        let mut cut = Vec::new();
        let before = self.used.len();
        self.used.retain(|document| {
            if skipped.contains(&*document.key) {
                return false;
            }
            let Some(again) = index.get(&*document.key) else { return true };
            let is_cut =
                document.reaches(end) || again.line == later.first_line || again.reaches(later.last_line);
            let stands = is_cut && document.lines > again.lines;
            if stands {
                cut.push(document.key.clone());
            }
            stands
        });
        let dropped = (before - self.used.len()) as u64;
        drop(index);
        later.repeated += dropped;
        cut
    }

    fn drop_documents(&mut self, keys: &HashSet<Box<str>>) {
        let before = self.used.len();
        self.used.retain(|document| !keys.contains(&document.key));
        self.repeated += (before - self.used.len()) as u64;
    }

    /// The used document whose lines begin there.
    pub fn beginning_at(&self, line: u64) -> &Document {
        let index = self.used.binary_search_by_key(&line, |document| document.line);
        &self.used[index.expect("every document is in the list")]
    }
}

struct Grouping<'t> {
    columns: &'t TableColumns,
    map: &'t ColumnMap,
    bytes_max: usize,
    documents: Vec<Document>,
    by_key: HashTable<u32>,
    /// Lines of one document mostly follow each other.
    latest: usize,
    /// The identity of the line that is added, if it has several parts.
    key: String,
    times: TimeReader,
    has_decimals: bool,
}

impl Grouping<'_> {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Refusal> {
        if let Some(refusal) = &row.unsound {
            // Of a line that breaks off, the cells before may still tell whose total is unknown now.
            if row.reaches(&self.columns.order_id)
                && let Ok(index) = self.document_of(row)
            {
                return Err(self.broken(index, refusal.clone()));
            }
            return Err(refusal.clone());
        }
        let index = self.document_of(row)?;
        self.add_to(index, row).map_err(|refusal| self.broken(index, refusal))
    }

    fn broken(&mut self, index: usize, refusal: Refusal) -> Refusal {
        self.documents[index].is_broken = true;
        Refusal::new(refusal.reason, format!("{}; its document is left out", refusal.detail))
    }

    /// The index of the document that a line is of.
    fn document_of(&mut self, row: &Row<'_>) -> Result<usize, Refusal> {
        let column = &self.columns.order_id;
        let id = row.text(Some(column)).trim();
        if id.is_empty() {
            return Err(column.refuse(Reason::MissingField, "is empty"));
        }
        if self.columns.identity.is_empty() && !self.map.documents.by_day {
            return Ok(self.document_at(id, id.len(), row));
        }
        let mut key = std::mem::take(&mut self.key);
        let read = self.identity(id, row, &mut key);
        let index = read.map(|id_length| self.document_at(&key, id_length, row));
        self.key = key;
        index
    }

    /// Writes an identity of several parts, and gives how long the id of the order is in it.
    fn identity(&mut self, id: &str, row: &Row<'_>, key: &mut String) -> Result<usize, Refusal> {
        key.clear();
        key.push_str(id);
        let columns = self.columns;
        let part = |in_id: InOrderId| columns.identity.iter().filter(move |(_, of)| *of == in_id);
        let text = |column: &crate::formats::csv::Column| match row.text(Some(column)).trim() {
            "" => Err(column.refuse(Reason::MissingField, "is empty, and identifies the document")),
            text => Ok(text.to_owned()),
        };
        for (column, _) in part(InOrderId::Yes) {
            key.push('/');
            key.push_str(&text(column)?);
        }
        if self.map.documents.by_day {
            let instant = self.times.read(row, columns, self.map)?;
            let column = &columns.time[0];
            let refusal = || column.refuse(Reason::MissingField, "is empty, and identifies the document");
            let Instant { day, .. } = instant.ok_or_else(refusal)?;
            let date = chrono::NaiveDate::from_num_days_from_ce_opt(day).expect("it was read as a date");
            key.push('/');
            key.push_str(&date.to_string());
        }
        let id_length = key.len();
        for (column, _) in part(InOrderId::No) {
            key.push(SEPARATOR);
            key.push_str(&text(column)?);
        }
        Ok(id_length)
    }

    fn document_at(&mut self, key: &str, id_length: usize, row: &Row<'_>) -> usize {
        let documents = &mut self.documents;
        if documents.get(self.latest).is_some_and(|document| *document.key == *key) {
            return self.latest;
        }
        let hash_of = hash(key.as_bytes());
        let found = self.by_key.find(hash_of, |index| *documents[*index as usize].key == *key);
        self.latest = match found {
            Some(index) => *index as usize,
            None => {
                let index = u32::try_from(documents.len()).expect("memory holds fewer documents");
                documents.push(Document::new(key, id_length, row));
                let by_index = |index: &u32| hash(documents[*index as usize].key.as_bytes());
                self.by_key.insert_unique(hash_of, index, by_index);
                index as usize
            }
        };
        self.latest
    }

    fn add_to(&mut self, index: usize, row: &Row<'_>) -> Result<(), Refusal> {
        if row.place.len() > self.bytes_max {
            let detail = format!("{} bytes, allowed are {}", row.place.len(), self.bytes_max);
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let (columns, map) = (self.columns, self.map);
        let instant = self.times.read(row, columns, map)?;
        let document = &mut self.documents[index];
        document.end_line = values::short(row.number);
        document.lines += 1;
        if map.documents.drops_repeated_lines {
            let is_new = document.extras().lines.insert(row.hash());
            if !is_new {
                return Ok(());
            }
        }
        if add_rules(document, row, columns, map)? == IsSkipped::Yes {
            return Ok(());
        }
        document.time = document.time.into_iter().chain(instant.map(|instant| instant.time)).min();
        self.has_decimals = self.has_decimals || {
            let text = row.text(Some(columns.amount.named()));
            map.numbers.has_decimals(text)
        };
        add_amounts(document, row, columns, map)?;
        add_texts(document, row, columns, map)
    }
}

/// Whether a line says that its document is passed over, so that the rest of it need not be read.
#[derive(PartialEq, Eq)]
enum IsSkipped {
    Yes,
    No,
}

fn add_rules(
    document: &mut Document,
    row: &Row<'_>,
    columns: &TableColumns,
    map: &ColumnMap,
) -> Result<IsSkipped, Refusal> {
    let return_rules = map.return_rules().count();
    let mut is_skipped = IsSkipped::No;
    for (index, (rule, column)) in map.rules().zip(&columns.rules).enumerate() {
        let fits = match (rule, column) {
            (DocumentRule::IdPrefix(prefix), _) => {
                let fits = document.id().starts_with(prefix.as_str());
                document.rules.add(index, fits, row, &columns.order_id)?;
                fits
            }
            (DocumentRule::Equals { value, .. }, Some(column)) => {
                let text = row.text(Some(column)).trim();
                if text.is_empty() && !value.is_empty() {
                    continue;
                }
                document.rules.add(index, text == value, row, column)?;
                text == value
            }
            (DocumentRule::Equals { .. }, None) => {
                unreachable!("the table has found the columns of all rules")
            }
        };
        if fits && index >= return_rules {
            is_skipped = IsSkipped::Yes;
        }
    }
    Ok(is_skipped)
}

fn add_amounts(
    document: &mut Document,
    row: &Row<'_>,
    columns: &TableColumns,
    map: &ColumnMap,
) -> Result<(), Refusal> {
    match &columns.amount {
        AmountColumns::Lines { price, quantity } => {
            let quantity = match quantity {
                Some(column) => values::number(row, column, map)?,
                None => Millionths::ONE,
            };
            let amount = values::number(row, price, map)?;
            document.total = document
                .total
                .plus(quantity, amount)
                .ok_or_else(|| price.refuse(Reason::OutOfRange, "makes the total too large"))?;
        }
        AmountColumns::Total(column) => {
            if let Some(amount) = values::optional_number(row, column, map)? {
                document.extras().total.agree(row, column, |known| *known == amount, || amount)?;
            }
        }
    }
    if let Some(column) = &columns.refunded
        && let Some(amount) = values::optional_number(row, column, map)?
    {
        document.extras().refunded.agree(row, column, |known| *known == amount, || amount)?;
    }
    for (index, column) in columns.subtract.iter().enumerate() {
        if let Some(amount) = values::optional_number(row, column, map)? {
            let subtracted = &mut document.extras().subtracted;
            subtracted.resize_with(columns.subtract.len(), Default::default);
            subtracted[index].agree(row, column, |known| *known == amount, || amount)?;
        }
    }
    Ok(())
}

fn add_texts(
    document: &mut Document,
    row: &Row<'_>,
    columns: &TableColumns,
    map: &ColumnMap,
) -> Result<(), Refusal> {
    for (index, column) in columns.customer_id.iter().enumerate() {
        let Some(id) = values::customer_id(row.text(Some(column)), &map.customers) else { continue };
        let known = match index.checked_sub(1) {
            None => &mut document.customer_id,
            Some(other) => {
                let others = &mut document.extras().other_customers;
                others.resize_with(columns.customer_id.len() - 1, Default::default);
                &mut others[other]
            }
        };
        known.agree(row, column, |known| **known == *id, || id.as_ref().into())?;
    }
    document.store_id.agree_text(row, columns.store_id.as_ref())?;
    document.add_currency(row, columns.currency.as_ref())?;
    document.add_sku(row.text(columns.sku.as_ref()).trim());
    if columns.returned_order.is_some() {
        document.extras().returned_order.agree_text(row, columns.returned_order.as_ref())?;
    }
    if let Some(column) = &columns.cancelled_at
        && let text = row.text(Some(column)).trim()
        && !text.is_empty()
    {
        let zone = time_reader::zone(row, columns, map)?;
        let time = time_reader::read(text, column, zone, map)?.time;
        document.extras().cancelled_at.agree(row, column, |known| *known == time, || time)?;
    }
    Ok(())
}
