//! `dead-letters list`: counts by topic, partition and reason, and the latest rows. No keys and no values: they name customers.

use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::{Origin, filter};
use crate::commands::dead_letters::ListArguments;
use crate::exit::{Failure, output_closed};
use crate::kafka::{DeadLetterReader, StoredLetter};
use crate::wire::reason::Reason;

/// Dead letters of one topic, partition and reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Group {
    count: u64,
    first_offset: u64,
    last_offset: u64,
}

/// One dead letter, without what it holds.
struct Row {
    origin: Origin,
    partition: u32,
    offset: u64,
}

/// What was found.
struct Listing {
    rows_max: usize,
    groups: BTreeMap<(String, u32, String), Group>,
    /// The latest, by when they were refused and where they lie.
    rows: BTreeMap<(i64, u32, u64), Row>,
    /// Records without the headers of a dead letter.
    foreign: u64,
}

pub(super) fn run(
    reader: &DeadLetterReader,
    arguments: &ListArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let mut listing =
        Listing { rows_max: arguments.rows, groups: BTreeMap::new(), rows: BTreeMap::new(), foreign: 0 };
    reader.read(|letter| {
        match Origin::of(&letter) {
            Some(origin) if filter::passes(&arguments.filter, &letter, &origin) => {
                listing.add(&letter, origin)
            }
            Some(_) => {}
            None => listing.foreign += 1,
        }
        Ok(())
    })?;
    let written = if arguments.json {
        writeln!(output, "{:#}", listing.json(reader.topic()))
    } else {
        listing.write(reader.topic(), output)
    };
    written.or_else(output_closed)
}

impl Listing {
    fn add(&mut self, letter: &StoredLetter, origin: Origin) {
        let offset = origin.offset;
        let place = (origin.topic.clone(), origin.partition, origin.reason.clone());
        let group =
            self.groups.entry(place).or_insert(Group { count: 0, first_offset: offset, last_offset: offset });
        group.count += 1;
        group.first_offset = group.first_offset.min(offset);
        group.last_offset = group.last_offset.max(offset);
        let (partition, offset) = (letter.partition.0, letter.offset);
        self.rows.insert((letter.refused_at_ms, partition, offset), Row { origin, partition, offset });
        if self.rows.len() > self.rows_max {
            self.rows.pop_first();
        }
    }

    fn total(&self) -> u64 {
        self.groups.values().map(|group| group.count).sum()
    }

    fn write(&self, topic: &str, output: &mut impl Write) -> io::Result<()> {
        writeln!(output, "{} dead letters in {topic}", self.total())?;
        if self.foreign > 0 {
            writeln!(output, "{} other records, which no retention-signals has written", self.foreign)?;
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        let mut counts = Table::new(["count", "reason", "topic", "partition", "offsets"]);
        for ((topic, partition, reason), group) in &self.groups {
            counts.push([
                group.count.to_string(),
                reason.clone(),
                topic.clone(),
                partition.to_string(),
                format!("{} to {}", group.first_offset, group.last_offset),
            ]);
        }
        counts.write(output)?;
        let mut rows = Table::new(["refused at", "show", "reason", "record", "detail"]);
        for ((refused_at_ms, _, _), row) in self.rows.iter().rev() {
            rows.push([
                time_text(*refused_at_ms),
                format!("{} {}", row.partition, row.offset),
                row.origin.reason.clone(),
                format!("{} {}@{}", row.origin.topic, row.origin.partition, row.origin.offset),
                row.origin.detail.clone(),
            ]);
        }
        rows.write(output)?;
        let mut reasons: Vec<&str> = self.groups.keys().map(|(_, _, reason)| reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        writeln!(output)?;
        for reason in Reason::ALL.iter().filter(|reason| reasons.contains(&reason.name())) {
            writeln!(output, "{}: {}", reason.name(), reason.advice())?;
        }
        Ok(())
    }

    fn json(&self, topic: &str) -> Value {
        let counts: Vec<Value> = self
            .groups
            .iter()
            .map(|((topic, partition, reason), group)| {
                json!({
                    "topic": topic, "partition": partition, "reason": reason, "count": group.count,
                    "first_offset": group.first_offset, "last_offset": group.last_offset,
                })
            })
            .collect();
        let rows: Vec<Value> = self
            .rows
            .iter()
            .rev()
            .map(|((refused_at_ms, _, _), Row { origin, partition, offset })| {
                json!({
                    "partition": partition, "offset": offset, "refused_at": time_text(*refused_at_ms),
                    "reason": origin.reason, "detail": origin.detail, "cut": origin.is_cut,
                    "record": {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset},
                })
            })
            .collect();
        json!({"topic": topic, "count": self.total(), "counts": counts, "rows": rows})
    }
}

/// An instant as text.
pub(super) fn time_text(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis)
        .map_or_else(|| millis.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Columns as wide as they must be.
struct Table<const COLUMNS: usize> {
    lines: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    fn new(head: [&str; COLUMNS]) -> Self {
        Self { lines: vec![head.map(str::to_owned)] }
    }

    fn push(&mut self, line: [String; COLUMNS]) {
        self.lines.push(line);
    }

    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        writeln!(output)?;
        let width =
            |column: usize| self.lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for line in &self.lines {
            let cells: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(output, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dead_letters::letter_of;

    fn listing() -> Listing {
        let mut listing = Listing { rows_max: 2, groups: BTreeMap::new(), rows: BTreeMap::new(), foreign: 1 };
        for (offset, reason) in [(5, "wrong_partition"), (6, "wrong_partition"), (7, "invalid_time")] {
            let at = offset.to_string();
            let headers = [
                ("dlq_reason", reason),
                ("dlq_detail", "a detail"),
                ("dlq_topic", "orders"),
                ("dlq_partition", "1"),
                ("dlq_offset", at.as_str()),
            ];
            let letter = letter_of(3, offset, &headers);
            let origin = Origin::of(&letter).expect("a dead letter");
            listing.add(&letter, origin);
        }
        listing
    }

    #[test]
    fn counts_come_first_then_the_latest_rows_and_what_to_do() {
        let mut text = Vec::new();
        listing().write("retention.dead-letters", &mut text).expect("memory");
        let text = String::from_utf8(text).expect("UTF-8");
        let expected = "\
3 dead letters in retention.dead-letters
1 other records, which no retention-signals has written

count  reason           topic   partition  offsets
1      invalid_time     orders  1          7 to 7
2      wrong_partition  orders  1          5 to 6

refused at                show  reason           record      detail
2024-06-01T00:00:00.007Z  3 7   invalid_time     orders 1@7  a detail
2024-06-01T00:00:00.006Z  3 6   wrong_partition  orders 1@6  a detail

invalid_time: ";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\nwrong_partition: Mend the producer's partitioner"), "{text}");
    }

    #[test]
    fn json_has_the_same() {
        let json = listing().json("retention.dead-letters");
        assert_eq!(json["count"], 3);
        assert_eq!(
            json["counts"][1],
            json!({"topic": "orders", "partition": 1, "reason": "wrong_partition", "count": 2, "first_offset": 5, "last_offset": 6})
        );
        assert_eq!(json["rows"][0]["record"]["offset"], 7);
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(2));
    }
}
