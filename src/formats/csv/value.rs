//! A document as a program of jq gets it: `{"lines": [{column: text}], column: text, "with": {file: {column: text}}}`. Empty cells are null.

use hashbrown::HashMap;
use jaq_json::{Map, Val};

use super::documents::{CsvDocument, DocumentInput, DocumentTable, Join};
use super::settings::CsvSettings;
use super::table::{Row, Table, Wanted};
use crate::exit::{Exit, Failure};
use crate::wire::reason::{Reason, Refusal};

/// Makes the values of documents.
pub struct DocumentValues<'t> {
    table: &'t DocumentTable,
    joined: &'t [JoinedFile],
    lines_key: Val,
    with_key: Val,
    names: Vec<Option<Val>>,
}

/// A file of which each document has one row at most, in memory.
pub struct JoinedFile {
    name: String,
    join: Join,
    rows: HashMap<Box<str>, Val>,
}

impl JoinedFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no text, lacks the column of the key, or the key is not unique.
    pub fn new(
        name: &str,
        file: String,
        bytes: Vec<u8>,
        input: &DocumentInput,
        map: &str,
    ) -> Result<Self, Failure> {
        let join = input.with.get(name).cloned().ok_or_else(|| {
            let known = input.with.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "joins none".to_owned() } else { format!("joins {known}") };
            Failure::message(Exit::Usage, format!("--with {name}={file}: {map} {known}"))
        })?;
        let wanted = [join.key.as_str()];
        let table = Table::new(file, bytes, &CsvSettings::default(), Wanted { columns: &wanted, map })?;
        let key = table.column(&join.key);
        let names = keys(&table.own_names());
        let mut rows = HashMap::new();
        table.for_each_row(|row| {
            let problem = |what: &str| {
                Failure::message(Exit::Data, format!("{} line {}: {what}", table.file, row.number))
            };
            if let Some(refusal) = &row.unsound {
                return Err(problem(&refusal.detail));
            }
            let id = row.text(Some(&key)).trim();
            if rows.insert(id.into(), object(&names, row)).is_some() {
                return Err(problem(&format!("{} is there twice, and has to be unique", join.key)));
            }
            Ok(())
        })?;
        Ok(Self { name: name.to_owned(), join, rows })
    }
}

impl<'t> DocumentValues<'t> {
    pub fn new(table: &'t DocumentTable, joined: &'t [JoinedFile]) -> Self {
        let key = |name: &str| Val::from(name.to_owned());
        Self { table, joined, lines_key: key("lines"), with_key: key("with"), names: keys(&table.names) }
    }

    /// The value of a document.
    ///
    /// # Errors
    /// Two of its lines disagree.
    pub fn value(&self, document: &CsvDocument) -> Result<Val, Refusal> {
        let mut lines = Vec::with_capacity(document.rows.len());
        let mut values: Vec<Option<(Box<str>, u64)>> = vec![None; self.table.values.len()];
        for (start, line) in &document.rows {
            self.table.table.with_row(*start, *line, |row| {
                lines.push(object(&self.names, row));
                self.agree(&mut values, row)
            })?;
        }
        let mut members = Map::default();
        for (column, value) in self.table.values.iter().zip(&values) {
            let value = value.as_ref().map_or(Val::Null, |(text, _)| Val::from(text.to_string()));
            members.insert(Val::from(column.name.clone()), value);
        }
        let with = self.with(&members);
        members.insert(self.lines_key.clone(), lines.into_iter().collect());
        members.extend(with.map(|with| (self.with_key.clone(), with)));
        Ok(Val::obj(members))
    }

    fn agree(&self, values: &mut [Option<(Box<str>, u64)>], row: &Row<'_>) -> Result<(), Refusal> {
        for (column, value) in self.table.values.iter().zip(values) {
            match (value, row.text(Some(column))) {
                (_, "") => {}
                (Some((known, _)), text) if **known == *text => {}
                (Some((_, line)), _) => {
                    let detail = format!(
                        "{} on line {} differs from that of line {line}, which is of the same document",
                        column.name, row.number
                    );
                    return Err(Refusal::new(Reason::InvalidEvent, detail));
                }
                (value @ None, text) => *value = Some((text.into(), row.number)),
            }
        }
        Ok(())
    }

    /// The rows of other files that belong to a document.
    fn with(&self, members: &Map) -> Option<Val> {
        if self.joined.is_empty() {
            return None;
        }
        let mut with: HashMap<&str, &Val> = HashMap::new();
        // A file that is found by another one may stand before it.
        for _ in 0..self.joined.len() {
            for file in
                self.joined.iter().filter(|file| !with.contains_key(file.name.as_str())).collect::<Vec<_>>()
            {
                let key = match file.join.by.split_once('.') {
                    None => members.get(&Val::from(file.join.by.clone())),
                    Some((other, column)) => with.get(other).and_then(|row| member(row, column)),
                };
                let row = key.and_then(text).and_then(|key| file.rows.get(key.trim()));
                with.extend(row.map(|row| (file.name.as_str(), row)));
            }
        }
        let row_of = |file: &JoinedFile| with.get(file.name.as_str()).map_or(Val::Null, |row| (*row).clone());
        let rows = self.joined.iter().map(|file| (Val::from(file.name.clone()), row_of(file)));
        Some(Val::obj(rows.collect()))
    }
}

fn keys(names: &[String]) -> Vec<Option<Val>> {
    names.iter().map(|name| (!name.is_empty()).then(|| Val::from(name.clone()))).collect()
}

/// The cells of a row by the names of their columns.
fn object(names: &[Option<Val>], row: &Row<'_>) -> Val {
    let cells = names.iter().zip(row.cells()).filter_map(|(name, text)| {
        let value = if text.is_empty() { Val::Null } else { Val::from(text.to_owned()) };
        Some((name.as_ref()?.clone(), value))
    });
    Val::obj(cells.collect())
}

fn member<'v>(object: &'v Val, name: &str) -> Option<&'v Val> {
    match object {
        Val::Obj(members) => members.get(&Val::from(name.to_owned())),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Arr(_) => None,
    }
}

fn text(value: &Val) -> Option<&str> {
    match value {
        Val::TStr(text) => std::str::from_utf8(text).ok(),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}
