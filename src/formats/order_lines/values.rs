//! Values of a document: what its lines say about it together.

use std::borrow::Cow;

use super::column_map::{ColumnMap, CustomerRules};
use super::millionths::{self, Millionths};
use crate::domain::values::time::Time;
use crate::formats::csv::{Column, Row};
use crate::wire::reason::{Reason, Refusal};

/// The one value of a document: empty cells say nothing, and two others must be equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known<T> {
    value: Option<T>,
    /// Where it stands first.
    line: u32,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { value: None, line: 0 }
    }
}

impl<T> Known<T> {
    pub(super) const fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub(super) fn agree(
        &mut self,
        row: &Row<'_>,
        column: &Column,
        is_equal: impl FnOnce(&T) -> bool,
        value: impl FnOnce() -> T,
    ) -> Result<(), Refusal> {
        match &self.value {
            Some(known) if is_equal(known) => Ok(()),
            Some(_) => Err(differs(column, self.line)),
            None => {
                *self = Self { value: Some(value()), line: short(row.number) };
                Ok(())
            }
        }
    }
}

impl Known<Box<str>> {
    /// The text of a column without blanks around it.
    pub(super) fn agree_text(&mut self, row: &Row<'_>, column: Option<&Column>) -> Result<(), Refusal> {
        match (column, row.text(column).trim()) {
            (Some(column), text) if !text.is_empty() => {
                self.agree(row, column, |known| **known == *text, || text.into())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// What only some maps ask for.
#[derive(Default, Debug)]
pub(super) struct Extras {
    /// By column of the map, behind the first.
    pub(super) other_customers: Vec<Known<Box<str>>>,
    /// By column of the map.
    pub(super) subtracted: Vec<Known<Millionths>>,
    pub(super) total: Known<Millionths>,
    pub(super) refunded: Known<Millionths>,
    pub(super) cancelled_at: Known<Time>,
    pub(super) returned_order: Known<Box<str>>,
    /// Hashes of the lines, if repeated ones count once.
    pub(super) lines: hashbrown::HashSet<u64>,
}

/// What a document is, by the rules of the map.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct RuleBits {
    fits: u32,
    differs: u32,
    line: u32,
}

impl RuleBits {
    /// A line says that the rule fits, or that it does not.
    pub(super) fn add(
        &mut self,
        rule: usize,
        fits: bool,
        row: &Row<'_>,
        column: &Column,
    ) -> Result<(), Refusal> {
        let bit = 1 << rule;
        let (said, other) =
            if fits { (&mut self.fits, self.differs) } else { (&mut self.differs, self.fits) };
        if other & bit != 0 {
            return Err(differs(column, self.line));
        }
        *said |= bit;
        if self.line == 0 {
            self.line = short(row.number);
        }
        Ok(())
    }

    pub(super) const fn fits(self, rule: usize) -> bool {
        self.fits & (1 << rule) != 0
    }
}

fn differs(column: &Column, line: u32) -> Refusal {
    Refusal::new(
        Reason::InvalidEvent,
        format!("{} differs from that of line {line}, which is of the same document", column.name),
    )
}

/// A line number in few bytes: files have fewer lines.
pub(super) fn short(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// The customer that a cell names, if it names one.
pub(super) fn customer_id<'t>(text: &'t str, rules: &CustomerRules) -> Option<Cow<'t, str>> {
    let text = text.trim();
    let is_guest = |text: &str| text.is_empty() || rules.guests.iter().any(|guest| guest == text);
    if is_guest(text) {
        return None;
    }
    let text = if rules.has_whole_numbers { without_zero_fraction(text) } else { text };
    let id = if rules.ignores_case { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
    (!is_guest(&id)).then_some(id)
}

/// `17850` of `17850.0`: numbers come with a point where other cells of their column are empty.
fn without_zero_fraction(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, fraction))
            if !whole.is_empty()
                && whole.bytes().all(|byte| byte.is_ascii_digit())
                && fraction.bytes().all(|byte| byte == b'0') =>
        {
            whole
        }
        Some(_) | None => text,
    }
}

/// The number in a cell that must not be empty.
pub(super) fn number(row: &Row<'_>, column: &Column, map: &ColumnMap) -> Result<Millionths, Refusal> {
    match optional_number(row, column, map)? {
        Some(number) => Ok(number),
        None => Err(column.refuse(Reason::MissingField, "is empty")),
    }
}

/// The number in a cell; `None` if it is empty.
pub(super) fn optional_number(
    row: &Row<'_>,
    column: &Column,
    map: &ColumnMap,
) -> Result<Option<Millionths>, Refusal> {
    let text = row.text(Some(column)).trim();
    if text.is_empty() {
        return Ok(None);
    }
    map.numbers.read(text).map(Some).map_err(|fault| match fault {
        millionths::Fault::Form => column.refuse(
            Reason::InvalidAmount,
            "is not a decimal number; money.decimal, group and signs of the map say which marks it may have",
        ),
        millionths::Fault::Digits => {
            column.refuse(Reason::InvalidAmount, "has more than 6 digits after the point")
        }
        millionths::Fault::TooLarge => column.refuse(Reason::OutOfRange, "has more than 12 digits"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_names_a_customer_or_none() {
        let rules = |whole: bool, case: bool| CustomerRules {
            guests: vec!["0".to_owned(), "NULL".to_owned()],
            has_whole_numbers: whole,
            ignores_case: case,
        };
        for (text, rules, expected) in [
            (" 17850 ", rules(false, false), Some("17850")),
            ("", rules(false, false), None),
            ("0", rules(false, false), None),
            ("NULL", rules(false, true), None),
            ("0.0", rules(true, false), None),
            ("0.0", rules(false, false), Some("0.0")),
            ("17850.0", rules(true, false), Some("17850")),
            ("17850.5", rules(true, false), Some("17850.5")),
            ("Ada@X", rules(false, true), Some("ada@x")),
        ] {
            assert_eq!(customer_id(text, &rules).as_deref(), expected, "{text}");
        }
    }
}
