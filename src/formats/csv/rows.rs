//! The rows of a CSV text, read strictly.
//!
//! A quote may open a cell, and must then be closed before a delimiter or the end of a line; inside of other cells it is a character. What
//! breaks that is a fault of the line on which the row begins, and reading goes on with the very next line: whatever an open quote would
//! have swallowed is read as rows of their own.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2, memchr3_iter, memrchr};

use super::settings::Mark;

const QUOTE: u8 = b'"';

/// What separates cells and lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) escape: Option<Mark>,
    pub(super) line_end: u8,
}

/// Reads one row after the other.
#[derive(Clone, Debug)]
pub(super) struct Rows<'t> {
    text: &'t str,
    dialect: Dialect,
    /// Cells of a whole row, if known: with it lines that stand inside of a cell are recognised.
    width: Option<usize>,
    pub(super) position: usize,
    /// The number of the line at the position, from 1.
    pub(super) line: u64,
}

/// The cells of the row that was read last.
#[derive(Default, Debug)]
pub(super) struct Cells {
    places: Vec<CellPlace>,
    /// Cells that do not stand in the text as they are meant.
    unescaped: String,
}

#[derive(Clone, Debug)]
enum CellPlace {
    Text(Range<usize>),
    Unescaped(Range<usize>),
}

/// A row by its place in the text, without the end of its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RowPlace {
    pub(super) line: u64,
    pub(super) place: Range<usize>,
}

/// A line that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// The cell where it lies.
    pub(super) cell: usize,
    /// The line on which the row begins.
    pub(super) row: RowPlace,
}

/// What is wrong with a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FaultKind {
    /// Its quote is never closed.
    Unclosed { line: u64 },
    /// Its closing quote is followed by text.
    TextBehindQuote { line: u64 },
    /// It holds what has the shape of whole lines.
    HoldsLines { lines: u64 },
    /// A carriage return outside of quotes, in a file whose lines end in newlines.
    CarriageReturn,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The text of a cell; `None` behind the last one, and from a broken one on.
    pub(super) fn get<'a>(&'a self, text: &'a str, index: usize) -> Option<&'a str> {
        self.places.get(index).map(|place| match place {
            CellPlace::Text(range) => &text[range.clone()],
            CellPlace::Unescaped(range) => &self.unescaped[range.clone()],
        })
    }

    fn clear(&mut self) {
        self.places.clear();
        self.unescaped.clear();
    }
}

impl<'t> Rows<'t> {
    pub(super) fn new(text: &'t str, dialect: Dialect) -> Self {
        Self { text, dialect, width: None, position: 0, line: 1 }
    }

    /// From a place on, with rows of so many cells.
    pub(super) fn from(text: &'t str, dialect: Dialect, position: usize, line: u64, width: usize) -> Self {
        Self { text, dialect, width: Some(width), position, line }
    }

    /// Reads the next row; `None` at the end of the text.
    pub(super) fn read(&mut self, cells: &mut Cells) -> Option<Result<RowPlace, Fault>> {
        cells.clear();
        let start = self.position;
        let rest = self.text.as_bytes().get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr(self.dialect.line_end, rest);
        let mut line = &rest[..end.unwrap_or(rest.len())];
        if let ([before @ .., b'\r'], b'\n') = (line, self.dialect.line_end) {
            line = before;
        }
        let row = RowPlace { line: self.line, place: start..start + line.len() };
        self.position = start + end.map_or(rest.len(), |end| end + 1);
        self.line += 1;
        if self.split_plain(line, start, cells) {
            return Some(Ok(row));
        }
        cells.clear();
        let read = self.read_quoted(start, &row, cells);
        if let Err(fault) = &read {
            // What the broken cell and those behind it say is not known.
            cells.places.truncate(fault.cell);
        }
        Some(read)
    }

    /// Splits a line without quotes and escapes; false if it has any.
    fn split_plain(&self, line: &[u8], start: usize, cells: &mut Cells) -> bool {
        if let Some(escape) = self.dialect.escape
            && memchr(escape.0, line).is_some()
        {
            return false;
        }
        let mut from = start;
        for index in memchr3_iter(self.dialect.delimiter, QUOTE, b'\r', line) {
            if line[index] != self.dialect.delimiter {
                return false;
            }
            cells.places.push(CellPlace::Text(from..start + index));
            from = start + index + 1;
        }
        cells.places.push(CellPlace::Text(from..start + line.len()));
        true
    }

    /// Reads the row at `start` cell by cell. Only if it is sound the position moves on behind its last line.
    fn read_quoted(&mut self, start: usize, first: &RowPlace, cells: &mut Cells) -> Result<RowPlace, Fault> {
        let mut position = start;
        let mut quoted = Vec::new();
        let fault = |cell: usize, kind| Fault { kind, cell, row: first.clone() };
        let end = loop {
            let cell = cells.len();
            let read = if self.text.as_bytes().get(position) == Some(&QUOTE) {
                let read = self.quoted_cell(position, cells);
                if let Ok(behind) = read {
                    quoted.push((cell, position + 1..behind));
                }
                read
            } else {
                self.bare_cell(position, cells)
            };
            let line = || first.line + self.line_ends(start, position);
            let behind = read.map_err(|broken| match broken {
                Broken::Unclosed => fault(cell, FaultKind::Unclosed { line: line() }),
                Broken::CarriageReturn => fault(cell, FaultKind::CarriageReturn),
            })?;
            match self.text.as_bytes().get(behind) {
                Some(byte) if *byte == self.dialect.delimiter => position = behind + 1,
                None => break behind,
                Some(byte) if *byte == self.dialect.line_end => break behind,
                Some(b'\r') if self.text.as_bytes().get(behind + 1) == Some(&b'\n') => break behind,
                Some(_) => {
                    let line = first.line + self.line_ends(start, behind);
                    return Err(fault(cell, FaultKind::TextBehindQuote { line }));
                }
            }
        };
        let lines = self.line_ends(start, end);
        if lines > 0 {
            if let Some(cell) = self.holds_lines(cells.len(), &quoted) {
                return Err(fault(cell, FaultKind::HoldsLines { lines }));
            }
            let rest = &self.text.as_bytes()[end..];
            self.position =
                memchr(self.dialect.line_end, rest).map_or(self.text.len(), |index| end + index + 1);
            self.line = first.line + lines + 1;
        }
        Ok(RowPlace { line: first.line, place: start..end })
    }

    /// Reads a cell that a quote opens, and gives where it ends behind its closing quote.
    fn quoted_cell(&self, start: usize, cells: &mut Cells) -> Result<usize, Broken> {
        let bytes = self.text.as_bytes();
        let escape = self.dialect.escape.map_or(QUOTE, |escape| escape.0);
        let unescaped_from = cells.unescaped.len();
        let (mut position, mut copied) = (start + 1, start + 1);
        loop {
            let found = memchr2(QUOTE, escape, &bytes[position..]).ok_or(Broken::Unclosed)? + position;
            let next = bytes.get(found + 1).copied();
            if bytes[found] != QUOTE {
                let escaped = self.text[found + 1..].chars().next().ok_or(Broken::Unclosed)?;
                cells.unescaped.push_str(&self.text[copied..found]);
                cells.unescaped.push(meant(escaped));
                position = found + 1 + escaped.len_utf8();
                copied = position;
            } else if next == Some(QUOTE) {
                cells.unescaped.push_str(&self.text[copied..=found]);
                position = found + 2;
                copied = position;
            } else {
                if copied == start + 1 {
                    cells.places.push(CellPlace::Text(copied..found));
                } else {
                    cells.unescaped.push_str(&self.text[copied..found]);
                    cells.places.push(CellPlace::Unescaped(unescaped_from..cells.unescaped.len()));
                }
                return Ok(found + 1);
            }
        }
    }

    /// Reads a cell that no quote opens, and gives where it ends.
    fn bare_cell(&self, start: usize, cells: &mut Cells) -> Result<usize, Broken> {
        let bytes = self.text.as_bytes();
        let unescaped_from = cells.unescaped.len();
        let (mut position, mut copied) = (start, start);
        while let Some(byte) = bytes.get(position) {
            if self.dialect.escape.is_some_and(|escape| escape.0 == *byte) {
                let Some(escaped) = self.text[position + 1..].chars().next() else { break };
                // MySQL's NULL stays as it is, for the map to name.
                if escaped != 'N' {
                    cells.unescaped.push_str(&self.text[copied..position]);
                    cells.unescaped.push(meant(escaped));
                    copied = position + 1 + escaped.len_utf8();
                }
                position += 1 + escaped.len_utf8();
                continue;
            }
            if *byte == self.dialect.delimiter || *byte == self.dialect.line_end {
                break;
            }
            if *byte == b'\r' {
                match bytes.get(position + 1) {
                    None | Some(b'\n') => break,
                    Some(_) => return Err(Broken::CarriageReturn),
                }
            }
            position += 1;
        }
        if copied == start {
            cells.places.push(CellPlace::Text(start..position));
        } else {
            cells.unescaped.push_str(&self.text[copied..position]);
            cells.places.push(CellPlace::Unescaped(unescaped_from..cells.unescaped.len()));
        }
        Ok(position)
    }

    /// The quoted cell, if one has swallowed lines: two quotes that stand bare in cells of their own make one cell of everything between
    /// them. Then the row has too few or too many cells, or the line where the quote opens is a whole row if the quotes are taken as characters,
    /// and so is the line where it closes, or are all lines between the two.
    fn holds_lines(&self, cells: usize, quoted: &[(usize, Range<usize>)]) -> Option<usize> {
        let width = self.width?;
        let mut over_lines = quoted.iter().filter(|(_, range)| self.line_ends(range.start, range.end) > 0);
        if cells != width {
            return over_lines.next().map(|(cell, _)| *cell);
        }
        let is_row = |place: usize| self.cells_of_line(place) == width;
        over_lines
            .find(|(_, range)| {
                width > 1 && is_row(range.start) && (is_row(range.end - 1) || self.all_between(range, is_row))
            })
            .map(|(cell, _)| *cell)
    }

    /// Whether there are lines between the first and the last one of a range, and `is_row` holds for where each of them begins.
    fn all_between(&self, range: &Range<usize>, is_row: impl Fn(usize) -> bool) -> bool {
        let ends = memchr_iter(self.dialect.line_end, &self.text.as_bytes()[range.clone()]);
        let begins: Vec<usize> = ends.map(|end| range.start + end + 1).collect();
        // The last one begins the line where the quote closes.
        begins.len() > 1 && begins[..begins.len() - 1].iter().all(|begin| is_row(*begin))
    }

    /// How many cells the line at a place has by itself, where quotes that do not close on it are characters.
    fn cells_of_line(&self, place: usize) -> usize {
        let bytes = self.text.as_bytes();
        let start = memrchr(self.dialect.line_end, &bytes[..place]).map_or(0, |index| index + 1);
        let end = memchr(self.dialect.line_end, &bytes[place..]).map_or(bytes.len(), |index| place + index);
        let line = bytes[start..end].strip_suffix(b"\r").unwrap_or(&bytes[start..end]);
        let (mut cells, mut position) = (1, 0);
        while position < line.len() {
            let closed = line[position..].strip_prefix(&[QUOTE]).and_then(|text| {
                let mut quotes = memchr_iter(QUOTE, text);
                quotes.find(|quote| text.get(quote + 1).is_none_or(|next| *next == self.dialect.delimiter))
            });
            let from = position + closed.map_or(0, |length| length + 2);
            let Some(length) = memchr(self.dialect.delimiter, &line[from..]) else { break };
            cells += 1;
            position = from + length + 1;
        }
        cells
    }

    fn line_ends(&self, start: usize, end: usize) -> u64 {
        memchr_iter(self.dialect.line_end, &self.text.as_bytes()[start..end]).count() as u64
    }
}

/// Why a cell cannot be read.
enum Broken {
    Unclosed,
    CarriageReturn,
}

/// The character behind an escape, as MySQL writes it.
const fn meant(escaped: char) -> char {
    match escaped {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, escape: Option<u8>, width: Option<usize>) -> Vec<String> {
        let line_end = if text.contains('\n') { b'\n' } else { b'\r' };
        let dialect = Dialect { delimiter: b',', escape: escape.map(Mark), line_end };
        let mut rows = Rows { width, ..Rows::new(text, dialect) };
        let mut cells = Cells::default();
        let mut found = Vec::new();
        while let Some(row) = rows.read(&mut cells) {
            found.push(match row {
                Ok(row) => {
                    let texts: Vec<_> = (0..cells.len()).filter_map(|index| cells.get(text, index)).collect();
                    format!("{} {}", row.line, texts.join("|"))
                }
                Err(fault) => format!("{} cell {} {:?}", fault.row.line, fault.cell, fault.kind),
            });
        }
        found
    }

    #[test]
    fn sound_rows_are_read() {
        for (text, expected) in [
            ("a,b\n1,2\r\n,\n", &["1 a|b", "2 1|2", "3 |"][..]),
            ("a,b\r1,2\r", &["1 a|b", "2 1|2"]),
            ("\"a\",\"b, \"\"c\"\"\"\nd,e", &["1 a|b, \"c\"", "2 d|e"]),
            ("\"a\nb\",c\nd,e\n", &["1 a\nb|c", "3 d|e"]),
            ("\"a\r\nb\",\"\"\r\nd,e\r\n", &["1 a\r\nb|", "3 d|e"]),
            ("19\" rack,5\"\nd,e\n", &["1 19\" rack|5\"", "2 d|e"]),
            ("a\n\n\nb", &["1 a", "2 ", "3 ", "4 b"]),
        ] {
            assert_eq!(read(text, None, None), expected, "{text:?}");
        }
    }

    #[test]
    fn a_backslash_escapes_if_the_map_says_so() {
        let text = "1,\"19\\\" rack, black\",\\N\n2,a\\,b\\\nc,\"d\\\\\"\n";
        assert_eq!(read(text, Some(b'\\'), None), ["1 1|19\" rack, black|\\N", "2 2|a,b\nc|d\\"]);
    }

    #[test]
    fn a_broken_cell_says_nothing() {
        for (text, sound) in [("\"1\"0,a\n", &[][..]), ("1,\"a\"b,c\n", &["1"]), ("1,a,\"b\n", &["1", "a"])] {
            let mut cells = Cells::default();
            let dialect = Dialect { delimiter: b',', escape: None, line_end: b'\n' };
            assert!(matches!(Rows::new(text, dialect).read(&mut cells), Some(Err(_))), "{text:?}");
            let texts: Vec<_> = (0..cells.len()).filter_map(|index| cells.get(text, index)).collect();
            assert_eq!(texts, sound, "{text:?}");
        }
    }

    #[test]
    fn no_line_vanishes_into_a_cell() {
        for (text, width, expected) in [
            ("1,\"x\n2,y\n3,z\n", None, &["1 cell 1 Unclosed { line: 1 }", "2 2|y", "3 3|z"][..]),
            ("1,\"x\n2,\"y\"\n", None, &["1 cell 1 TextBehindQuote { line: 2 }", "2 2|y"]),
            ("1,\"x\" y\n2,y\n", None, &["1 cell 1 TextBehindQuote { line: 1 }", "2 2|y"]),
            (
                "1,\",a\n2,b,c\n3,\",d\n4,e,f\n",
                Some(3),
                &["1 cell 1 HoldsLines { lines: 2 }", "2 2|b|c", "3 cell 1 Unclosed { line: 3 }", "4 4|e|f"],
            ),
            (
                "1,a,\"\n2,b,\"\n",
                Some(3),
                &["1 cell 2 HoldsLines { lines: 1 }", "2 cell 2 Unclosed { line: 2 }"],
            ),
            ("1,\"a\nb, c\",d\n", Some(3), &["1 1|a\nb, c|d"]),
            ("1,a,\"b\nc\"\n2,\"d, e\",\"f\ng, h\"\n", Some(3), &["1 1|a|b\nc", "3 2|d, e|f\ng, h"]),
            (
                "1,\"x,a\n2,b,y\"\n3,c,d\n",
                Some(3),
                &["1 cell 1 HoldsLines { lines: 1 }", "2 2|b|y\"", "3 3|c|d"],
            ),
            (
                "1,a,\"b\n2,c,d\n3,e,f\n\"\n",
                Some(3),
                &["1 cell 2 HoldsLines { lines: 3 }", "2 2|c|d", "3 3|e|f", "4 cell 0 Unclosed { line: 4 }"],
            ),
            ("1,a,\"b\nc\nd, e\"\n", Some(3), &["1 1|a|b\nc\nd, e"]),
            ("1,a\rb\n2,c\r\n", None, &["1 cell 1 CarriageReturn", "2 2|c"]),
        ] {
            assert_eq!(read(text, None, width), expected, "{text:?}");
        }
    }
}
