//! The times of lines.

use chrono_tz::Tz;

use super::column_map::ColumnMap;
use super::columns::TableColumns;
use super::local_time::{Fault, Instant};
use crate::formats::csv::{Column, Row};
use crate::wire::reason::{Reason, Refusal};

/// Reads the times of lines. The time of the line before mostly is that of the next one too.
#[derive(Default)]
pub(super) struct TimeReader {
    text: String,
    zone_text: String,
    latest: Option<Instant>,
    /// Where the texts of several columns are put together.
    joined: String,
}

impl TimeReader {
    /// The time of a row; `None` if its cells are empty.
    pub(super) fn read(
        &mut self,
        row: &Row<'_>,
        columns: &TableColumns,
        map: &ColumnMap,
    ) -> Result<Option<Instant>, Refusal> {
        let [first, others @ ..] = columns.time.as_slice() else { return Ok(None) };
        let mut joined = std::mem::take(&mut self.joined);
        let text = if others.is_empty() {
            row.text(Some(first)).trim()
        } else {
            joined.clear();
            for column in &columns.time {
                joined.push_str(row.text(Some(column)).trim());
                joined.push(' ');
            }
            joined.trim()
        };
        let read = self.read_text(text, first, row, columns, map);
        self.joined = joined;
        read
    }

    fn read_text(
        &mut self,
        text: &str,
        column: &Column,
        row: &Row<'_>,
        columns: &TableColumns,
        map: &ColumnMap,
    ) -> Result<Option<Instant>, Refusal> {
        let zone_text = row.text(columns.zone.as_ref()).trim();
        if text.is_empty() {
            return Ok(None);
        }
        if self.latest.is_some() && self.text == text && self.zone_text == zone_text {
            return Ok(self.latest);
        }
        let instant = read(text, column, zone(row, columns, map)?, map)?;
        text.clone_into(&mut self.text);
        zone_text.clone_into(&mut self.zone_text);
        self.latest = Some(instant);
        Ok(self.latest)
    }
}

/// The zone of the times of a row, if any is known.
pub(super) fn zone(row: &Row<'_>, columns: &TableColumns, map: &ColumnMap) -> Result<Option<Tz>, Refusal> {
    match (&columns.zone, row.text(columns.zone.as_ref()).trim()) {
        (Some(column), name) if !name.is_empty() => map.zone_of(name).map(Some).ok_or_else(|| {
            column.refuse(
                Reason::InvalidTime,
                "is not an IANA time zone, and time.zones of the map does not name it",
            )
        }),
        (Some(_) | None, _) => Ok(map.zone),
    }
}

/// Reads a text that is not empty.
pub(super) fn read(
    text: &str,
    column: &Column,
    zone: Option<Tz>,
    map: &ColumnMap,
) -> Result<Instant, Refusal> {
    map.time.read(text, zone).map_err(|fault| {
        column.refuse(
            Reason::InvalidTime,
            match fault {
                Fault::Form => "is not written as the map says",
                Fault::Ambiguous => "is read by two formats of the map as two different times",
                Fault::Skipped => "is a time that clocks skipped in its zone",
                Fault::Zone => "has no offset, and neither line nor map name a zone",
                Fault::ZoneName => {
                    "names its zone by letters that several zones use; give time.zone, or a column with the zone"
                }
                Fault::Range => "is not from 1970 to 9999",
            },
        )
    })
}
