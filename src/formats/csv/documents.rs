//! Documents of a CSV file for programs of jq: the lines that belong together, wherever they stand.

use std::collections::BTreeMap;
use std::ops::Range;

use hashbrown::{HashMap, HashTable};
use serde::Deserialize;

use super::settings::{CsvSettings, Names};
use super::table::{Column, Row, Table, TableError, Wanted};
use crate::exit::Failure;
use crate::formats::Unusable;
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// Between the parts of an identity: no cell that is read holds it.
const SEPARATOR: char = '\u{1f}';

/// The part `[input]` of a map for CSV, its format aside.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct DocumentInput {
    /// The columns that make lines one document.
    document: Names,
    /// Columns that hold one value for the whole document.
    #[serde(default)]
    values: Vec<String>,
    /// Other columns that the program needs of each line.
    #[serde(default)]
    columns: Vec<String>,
    /// Other files, by the name under which the program finds their row.
    #[serde(default)]
    pub with: BTreeMap<String, Join>,
    #[serde(default)]
    csv: CsvSettings,
}

/// A file of which each document has one row at most.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The column of that file that is unique.
    pub key: String,
    /// Where the key stands: a column of the document, or `other.column` of a file that is joined as well.
    pub by: String,
}

/// A file and its columns for a map.
pub struct DocumentTable {
    pub table: Table,
    pub(super) identity: Vec<Column>,
    /// The identity too.
    pub(super) values: Vec<Column>,
    /// By place; empty where a column has no name of its own.
    pub(super) names: Vec<String>,
}

/// What a file came to.
pub struct CsvDocuments {
    pub used: Vec<CsvDocument>,
    /// Documents with lines that cannot be read.
    pub left_out: u64,
    /// Lines below the column names that hold anything.
    pub lines: u64,
    /// Documents that a later file has again.
    pub repeated: u64,
    /// The first and the last of these lines.
    ends: (u64, u64),
}

/// The lines of one identity.
pub struct CsvDocument {
    key: Box<str>,
    /// The number of its first line.
    pub line: u64,
    /// The place of its first line.
    pub place: Range<usize>,
    /// Where its lines begin, and their numbers.
    pub(super) rows: Vec<(usize, u64)>,
    is_broken: bool,
}

impl DocumentInput {
    /// Reads the part `[input]` of a map.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(table: &toml::Table) -> Result<Self, String> {
        let input: Self =
            table.clone().try_into().map_err(|error: toml::de::Error| format!("input: {error}"))?;
        if input.document.iter().next().is_none() {
            return Err("input.document: name the columns that make lines one document".to_owned());
        }
        Ok(input)
    }

    /// Every column that the map needs.
    fn wanted(&self) -> Vec<&str> {
        let joined = self.with.values().map(|join| join.by.as_str()).filter(|by| !by.contains('.'));
        let named = self.values.iter().chain(&self.columns).map(String::as_str);
        let mut names: Vec<&str> = self.document.iter().chain(named).chain(joined).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl DocumentTable {
    /// Finds the columns of a map in a file.
    ///
    /// # Errors
    /// The file is no text, or lacks a column.
    pub fn new(file: String, bytes: Vec<u8>, input: &DocumentInput, map: &str) -> Result<Self, TableError> {
        let wanted = input.wanted();
        let table = Table::new(file, bytes, &input.csv, Wanted { columns: &wanted, map })?;
        let mut values: Vec<&str> =
            input.document.iter().chain(input.values.iter().map(String::as_str)).collect();
        values.dedup();
        Ok(Self {
            identity: input.document.iter().map(|name| table.column(name)).collect(),
            values: values.into_iter().map(|name| table.column(name)).collect(),
            names: table.own_names(),
            table,
        })
    }
}

impl CsvDocuments {
    /// Groups the lines of a table.
    ///
    /// # Errors
    /// `unusable` fails.
    pub fn group(
        table: &DocumentTable,
        bytes_max: usize,
        unusable: &mut dyn FnMut(Unusable<'_>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut grouping =
            Grouping { table, documents: Vec::new(), by_key: HashTable::new(), key: String::new() };
        let (mut lines, mut ends) = (0, (0, 0));
        table.table.for_each_row(|row| {
            lines += 1;
            ends = (if lines == 1 { row.number } else { ends.0 }, row.number);
            grouping.add(row, bytes_max).or_else(|refusal| {
                let original = table.table.original(&row.place);
                unusable(Unusable { refusal: &refusal, line: row.number, original: &original })
            })
        })?;
        let all = grouping.documents.len();
        let used: Vec<_> = grouping.documents.into_iter().filter(|document| !document.is_broken).collect();
        Ok(Self { left_out: (all - used.len()) as u64, used, lines, repeated: 0, ends })
    }

    /// Drops the documents that a later file has again. The later one is the newer state, unless it or the earlier one was cut: at the
    /// beginning and at the end of a file the one with more lines stands.
    pub fn drop_repeated(files: &mut [&mut Self]) {
        for later in 1..files.len() {
            let (earlier, rest) = files.split_at_mut(later);
            let later = &mut *rest[0];
            let mut cut = Vec::new();
            let again: HashMap<&str, (usize, &CsvDocument)> = later
                .used
                .iter()
                .enumerate()
                .map(|(index, document)| (&*document.key, (index, document)))
                .collect();
            let mut dropped = 0;
            for file in earlier {
                let before = file.used.len();
                let ends = file.ends;
                file.used.retain(|document| {
                    let Some((index, again)) = again.get(&*document.key) else { return true };
                    let is_cut = document.reaches(ends) || again.reaches(later.ends);
                    let stands = is_cut && document.rows.len() > again.rows.len();
                    if stands {
                        cut.push(*index);
                    }
                    stands
                });
                dropped += before - file.used.len();
            }
            drop(again);
            let mut index = 0;
            later.used.retain(|_| {
                index += 1;
                !cut.contains(&(index - 1))
            });
            later.repeated += (dropped + cut.len()) as u64;
        }
    }

    /// The document whose lines begin there.
    pub fn beginning_at(&self, line: u64) -> &CsvDocument {
        let index = self.used.binary_search_by_key(&line, |document| document.line);
        &self.used[index.expect("every document is in the list")]
    }
}

impl CsvDocument {
    /// How many lines of the file it has.
    pub fn lines(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has the first or the last of these lines.
    fn reaches(&self, (first, last): (u64, u64)) -> bool {
        self.line == first || self.rows.last().is_some_and(|(_, line)| *line == last)
    }
}

struct Grouping<'t> {
    table: &'t DocumentTable,
    documents: Vec<CsvDocument>,
    by_key: HashTable<usize>,
    key: String,
}

impl Grouping<'_> {
    fn add(&mut self, row: &Row<'_>, bytes_max: usize) -> Result<(), Refusal> {
        let refusal = match &row.unsound {
            Some(refusal) => Some(refusal.clone()),
            None if row.place.len() > bytes_max => {
                let detail = format!("{} bytes, allowed are {bytes_max}", row.place.len());
                Some(Refusal::new(Reason::TooLarge, detail))
            }
            None => None,
        };
        let index = match (self.document_of(row), &refusal) {
            (Ok(index), _) => index,
            (Err(_), Some(refusal)) => return Err(refusal.clone()),
            (Err(refusal), None) => return Err(refusal),
        };
        match refusal {
            Some(refusal) => {
                self.documents[index].is_broken = true;
                Err(Refusal::new(refusal.reason, format!("{}; its document is left out", refusal.detail)))
            }
            None => {
                self.documents[index].rows.push((row.place.start, row.number));
                Ok(())
            }
        }
    }

    fn document_of(&mut self, row: &Row<'_>) -> Result<usize, Refusal> {
        self.key.clear();
        for column in &self.table.identity {
            let text = row.text(Some(column)).trim();
            if text.is_empty() {
                return Err(column.refuse(Reason::MissingField, "is empty, and identifies the document"));
            }
            if !self.key.is_empty() {
                self.key.push(SEPARATOR);
            }
            self.key.push_str(text);
        }
        let documents = &mut self.documents;
        // Lines of one document mostly follow each other.
        if documents.last().is_some_and(|document| *document.key == *self.key) {
            return Ok(documents.len() - 1);
        }
        let hash_of = hash(self.key.as_bytes());
        if let Some(index) = self.by_key.find(hash_of, |index| *documents[*index].key == *self.key) {
            return Ok(*index);
        }
        let index = documents.len();
        documents.push(CsvDocument {
            key: self.key.as_str().into(),
            line: row.number,
            place: row.place.clone(),
            rows: Vec::new(),
            is_broken: false,
        });
        self.by_key.insert_unique(hash_of, index, |index| hash(documents[*index].key.as_bytes()));
        Ok(index)
    }
}
