//! A CSV file: where its column names stand, and the rows below them.

use std::borrow::Cow;
use std::ops::Range;

use super::encoding::Decoded;
use super::rows::{Cells, Dialect, Fault, FaultKind, Rows};
use super::settings::{CsvSettings, DelimiterChoice, Mark};
use crate::exit::{Exit, Failure};
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// How many rows may stand above the column names.
const ROWS_ABOVE_MAX: usize = 100;

const DELIMITERS: [u8; 4] = *b",;\t|";

/// A CSV file in memory, with its column names found.
pub struct Table {
    pub file: String,
    decoded: Decoded,
    dialect: Dialect,
    text_mark: Option<Mark>,
    header: Vec<String>,
    body: usize,
    body_line: u64,
}

/// The columns that a map needs.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    pub columns: &'w [&'w str],
    /// Where they are named.
    pub map: &'w str,
}

/// A column by its place and name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    index: usize,
    pub name: String,
}

/// One row of the table; a quoted cell may stretch over several lines of the file.
pub struct Row<'a> {
    text: &'a str,
    cells: &'a Cells,
    text_mark: Option<Mark>,
    /// The line of the file on which it begins, from 1.
    pub number: u64,
    /// Its place in the text, without the end of the line.
    pub place: Range<usize>,
    /// Why it cannot be used, whatever its cells hold.
    pub unsound: Option<Refusal>,
}

/// Why a file is no table that a map fits.
#[derive(Debug)]
pub enum TableError {
    /// Its column names are others.
    OtherColumns(String),
    Unreadable(String),
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        match error {
            TableError::OtherColumns(message) | TableError::Unreadable(message) => {
                Self::message(Exit::Data, message)
            }
        }
    }
}

impl Table {
    /// Finds the columns of the map in a file.
    ///
    /// # Errors
    /// Its encoding is not known, or it lacks a column.
    pub fn new(
        file: String,
        bytes: Vec<u8>,
        settings: &CsvSettings,
        wanted: Wanted<'_>,
    ) -> Result<Self, TableError> {
        let decoded = Decoded::new(bytes, settings.encoding)
            .map_err(|problem| TableError::Unreadable(format!("{file} {problem}")))?;
        if decoded.text.contains('\0') {
            let message = format!(
                "{file} is no text; if it is UTF-16 without a mark, give csv.encoding = \"utf-16le\" in the map"
            );
            return Err(TableError::Unreadable(message));
        }
        let search = Search::new(&decoded.text, settings);
        let head = search.find(wanted).map_err(|problem| problem.error(&file, wanted))?;
        Ok(Self {
            file,
            dialect: head.dialect,
            text_mark: settings.text_mark,
            header: head.names,
            body: head.body,
            body_line: head.body_line,
            decoded,
        })
    }

    /// The column of this name, which is among those that the table was made with.
    pub(crate) fn column(&self, name: &str) -> Column {
        let index = self.header.iter().position(|column| column == name);
        Column { index: index.expect("the table was made with it"), name: name.to_owned() }
    }

    /// The names by place; empty for a column without a name, or with one that another column has too.
    pub(crate) fn own_names(&self) -> Vec<String> {
        let is_own = |name: &&String| self.header.iter().filter(|other| other == name).count() == 1;
        self.header.iter().map(|name| Some(name).filter(is_own).cloned().unwrap_or_default()).collect()
    }

    /// The bytes of a row in the file.
    pub(crate) fn original(&self, place: &Range<usize>) -> Cow<'_, [u8]> {
        self.decoded.original(&self.decoded.text[place.clone()])
    }

    /// Calls `each` with every row below the names that holds anything: spreadsheets write rows of commas alone.
    pub(crate) fn for_each_row<E>(&self, mut each: impl FnMut(&Row<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut rows = self.rows(self.body, self.body_line);
        let mut cells = Cells::default();
        while let Some(read) = rows.read(&mut cells) {
            let is_sound = read.is_ok();
            let row = self.row(read, &cells);
            let is_blank = is_sound && (0..cells.len()).all(|index| row.cell(index).trim().is_empty());
            if !is_blank {
                each(&row)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with the row that begins there.
    pub(crate) fn with_row<T>(&self, start: usize, line: u64, each: impl FnOnce(&Row<'_>) -> T) -> T {
        let mut cells = Cells::default();
        let read = self.rows(start, line).read(&mut cells).expect("a row begins there");
        each(&self.row(read, &cells))
    }

    fn rows(&self, start: usize, line: u64) -> Rows<'_> {
        Rows::from(&self.decoded.text, self.dialect, start, line, self.header.len())
    }

    fn row<'a>(&'a self, read: Result<super::rows::RowPlace, Fault>, cells: &'a Cells) -> Row<'a> {
        let width = self.header.len();
        let (row, unsound) = match read {
            Ok(row) => {
                let found = cells.len();
                let is_whole = found == width;
                let refusal = || {
                    let detail = format!("the line has {found} cells, there are {width} columns");
                    Refusal::new(Reason::InvalidEvent, detail)
                };
                (row, (!is_whole).then(refusal))
            }
            Err(fault) => {
                let refusal = self.refusal(&fault);
                (fault.row, Some(refusal))
            }
        };
        Row {
            text: &self.decoded.text,
            cells,
            text_mark: self.text_mark,
            number: row.line,
            place: row.place,
            unsound,
        }
    }

    fn refusal(&self, fault: &Fault) -> Refusal {
        let column = match self.header.get(fault.cell) {
            Some(name) if !name.is_empty() => name.clone(),
            Some(_) | None => format!("cell {}", fault.cell + 1),
        };
        let start = fault.row.line;
        let detail = match fault.kind {
            FaultKind::Unclosed { line } => {
                format!("the quote that opens {column} on line {line} is never closed")
            }
            FaultKind::TextBehindQuote { line } => {
                format!(
                    "text stands behind the closing quote of {column} on line {line}; a quote inside of quotes is doubled"
                )
            }
            FaultKind::HoldsLines { lines } => format!(
                "{column} would hold the lines up to {}: the quote that opens it is a character, and must be doubled and quoted",
                start + lines
            ),
            FaultKind::CarriageReturn => {
                format!(
                    "{column} holds a carriage return outside of quotes; use one kind of line end in the file"
                )
            }
        };
        Refusal::new(Reason::InvalidEvent, detail)
    }
}

impl<'a> Row<'a> {
    /// The text of a cell; empty where there is no such column or the row is too short.
    pub(crate) fn text(&self, column: Option<&Column>) -> &'a str {
        column.map_or("", |column| self.cell(column.index))
    }

    /// Every cell by its place.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &'a str> {
        (0..self.cells.len()).map(|index| self.cell(index))
    }

    /// Of its text as it stands in the file.
    pub(crate) fn hash(&self) -> u64 {
        hash(self.text[self.place.clone()].as_bytes())
    }

    /// Whether the cells that were read go that far.
    pub(crate) fn reaches(&self, column: &Column) -> bool {
        column.index < self.cells.len()
    }

    fn cell(&self, index: usize) -> &'a str {
        let text = self.cells.get(self.text, index).unwrap_or_default();
        match self.text_mark {
            Some(mark) => text.strip_prefix(char::from(mark.0)).unwrap_or(text),
            None => text,
        }
    }
}

impl Column {
    /// A refusal because of this column's cell.
    pub(crate) fn refuse(&self, reason: Reason, what: &str) -> Refusal {
        Refusal::new(reason, format!("{} {what}", self.name))
    }
}

/// The search for the column names.
struct Search<'t> {
    text: &'t str,
    start: usize,
    line: u64,
    line_end: u8,
    escape: Option<Mark>,
    delimiters: Vec<u8>,
}

/// Column names that were found.
struct Head {
    dialect: Dialect,
    names: Vec<String>,
    body: usize,
    body_line: u64,
}

/// Why the column names are not found.
enum HeadProblem {
    Empty,
    /// The row that fits best, what it lacks, and the delimiter with which all would be found.
    Missing {
        names: Vec<String>,
        column: String,
        line: u64,
        better: Option<u8>,
    },
    Twice {
        column: String,
        line: u64,
    },
}

impl<'t> Search<'t> {
    fn new(text: &'t str, settings: &CsvSettings) -> Self {
        let line_end = if text.contains('\n') { b'\n' } else { b'\r' };
        let first = text.split(char::from(line_end)).next().unwrap_or_default();
        let named = first.trim_end_matches('\r').trim_matches('"').as_bytes();
        let mut search = Self {
            text,
            start: 0,
            line: 1,
            line_end,
            escape: settings.escape,
            delimiters: match settings.delimiter {
                DelimiterChoice::Auto => DELIMITERS.to_vec(),
                DelimiterChoice::Is(delimiter) => vec![delimiter],
            },
        };
        // A line that spreadsheets write for each other.
        if let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] = named {
            search.delimiters = vec![*delimiter];
            search.start = (first.len() + 1).min(text.len());
            search.line = 2;
        }
        search
    }

    fn find(&self, wanted: Wanted<'_>) -> Result<Head, HeadProblem> {
        let mut best: Option<(usize, HeadProblem)> = None;
        for delimiter in &self.delimiters {
            match self.find_with(*delimiter, wanted) {
                Ok(head) => return Ok(head),
                Err((_, HeadProblem::Twice { column, line })) => {
                    return Err(HeadProblem::Twice { column, line });
                }
                Err((found, problem)) => {
                    if best.as_ref().is_none_or(|(most, _)| found > *most) {
                        best = Some((found, problem));
                    }
                }
            }
        }
        let (_, mut problem) = best.expect("there is a delimiter");
        if let HeadProblem::Missing { better, .. } = &mut problem {
            *better = DELIMITERS.into_iter().find(|delimiter| self.find_with(*delimiter, wanted).is_ok());
        }
        Err(problem)
    }

    /// With one delimiter; the problem with how many columns were found at best.
    fn find_with(&self, delimiter: u8, wanted: Wanted<'_>) -> Result<Head, (usize, HeadProblem)> {
        let dialect = Dialect { delimiter, escape: self.escape, line_end: self.line_end };
        let mut rows = Rows::new(self.text, dialect);
        (rows.position, rows.line) = (self.start, self.line);
        let mut cells = Cells::default();
        let mut best = (0, HeadProblem::Empty);
        for _ in 0..ROWS_ABOVE_MAX {
            let Some(read) = rows.read(&mut cells) else { break };
            let Ok(row) = read else { continue };
            let texts = (0..cells.len()).filter_map(|index| cells.get(self.text, index));
            let names: Vec<String> = texts.map(|text| text.trim().to_owned()).collect();
            let count = |column: &str| names.iter().filter(|name| *name == column).count();
            let missing = wanted.columns.iter().find(|column| count(column) == 0);
            let Some(missing) = missing else {
                if let Some(column) = wanted.columns.iter().find(|column| count(column) > 1) {
                    let problem = HeadProblem::Twice { column: (*column).to_owned(), line: row.line };
                    return Err((wanted.columns.len(), problem));
                }
                return Ok(Head { dialect, names, body: rows.position, body_line: rows.line });
            };
            let found = wanted.columns.iter().filter(|column| count(column) > 0).count();
            let is_better = found > best.0 || matches!(best.1, HeadProblem::Empty);
            if is_better && names.iter().any(|name| !name.is_empty()) {
                let column = (*missing).to_owned();
                best = (found, HeadProblem::Missing { names, column, line: row.line, better: None });
            }
        }
        Err(best)
    }
}

impl HeadProblem {
    fn error(self, file: &str, wanted: Wanted<'_>) -> TableError {
        let map = wanted.map;
        TableError::OtherColumns(match self {
            Self::Empty => format!("{file} has no line with column names"),
            Self::Twice { column, line } => format!(
                "{file} has two columns {column:?} on line {line}, and {map} names it: rename one of them in the file"
            ),
            Self::Missing { names, column, line, better } => {
                let where_found = match line {
                    1 => String::new(),
                    line => format!(" (line {line})"),
                };
                let shown: Vec<String> = names.iter().map(|name| printable(name)).collect();
                let help = match better {
                    Some(delimiter) => {
                        format!(
                            "; with csv.delimiter = {:?} all of them are found",
                            char::from(delimiter).to_string()
                        )
                    }
                    None => String::new(),
                };
                format!(
                    "{file} has no column {column:?}, which {map} names; its columns are {}{where_found}{help}",
                    shown.join(", ")
                )
            }
        })
    }
}

/// The beginning of a text, without what would disturb a terminal.
fn printable(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let plain = text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character });
    let mut shown: String = plain.take(CHARACTERS_MAX).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, settings: &str) -> Result<Table, String> {
        let settings: CsvSettings = toml::from_str(settings).expect("settings");
        let wanted = Wanted { columns: &["id", "at"], map: "map.toml" };
        Table::new("orders.csv".to_owned(), text.as_bytes().to_vec(), &settings, wanted).map_err(|error| {
            match error {
                TableError::OtherColumns(message) | TableError::Unreadable(message) => message,
            }
        })
    }

    #[test]
    fn column_names_are_found_where_they_stand() {
        for (text, settings, line) in [
            ("id,at\n1,2\n", "", 2),
            ("id;at\n1;2\n", "", 2),
            ("id\tat\r1\t2\r", "", 2),
            ("id|at\n1|2", "", 2),
            ("sep=;\nid;at\n1;2", "", 3),
            ("\"sep=|\"\r\nid|at\r\n1|2", "delimiter = \";\"", 3),
            ("Orders of March\n\n\"a\nb\"\nid,at\n1,2", "", 6),
            ("no \"name\n id , at \n1,2", "", 3),
        ] {
            let table = table(text, settings).expect(text);
            let mut rows = Vec::new();
            let at = table.column("at");
            table
                .for_each_row(|row| {
                    rows.push((row.number, row.text(Some(&at)).to_owned()));
                    Ok::<(), ()>(())
                })
                .expect("no error");
            assert_eq!(rows, [(line, "2".to_owned())], "{text:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, settings, expected) in [
            ("id,when\n", "", "has no column \"at\", which map.toml names; its columns are id, when"),
            ("id;at\n", "delimiter = \",\"", "with csv.delimiter = \";\" all of them are found"),
            ("", "", "has no line with column names"),
            ("id,at,at\n1,2,3", "", "has two columns \"at\" on line 1"),
            ("\0id", "", "is no text"),
        ] {
            let problem = table(text, settings).err().expect(text);
            assert!(problem.contains(expected), "{text:?}: {problem}");
        }
    }
}
