//! What a map makes of records, printed for the person who tries it.

use std::io::Write;

use super::arguments::TryArguments;
use crate::exit::{Exit, Failure, output_closed};
use crate::formats::native::Decoder;
use crate::maps::{Content, EventKind, Map, Mapped, Meta, Refused, SourceRecord};
use crate::wire::reason::Refusal;

/// Counts what came of the records.
pub(super) struct Trial<'a> {
    map: &'a Map,
    arguments: &'a TryArguments,
    sources: usize,
    /// By kind of event.
    emitted: [usize; EventKind::ALL.len()],
    skipped: usize,
    refused: usize,
}

impl<'a> Trial<'a> {
    pub(super) fn new(map: &'a Map, arguments: &'a TryArguments) -> Self {
        Self { map, arguments, sources: 0, emitted: [0; EventKind::ALL.len()], skipped: 0, refused: 0 }
    }

    /// Tries one record and prints what comes of it.
    pub(super) fn record(
        &mut self,
        line: u64,
        content: Content<'_>,
        decoder: &Decoder,
        output: &mut impl Write,
    ) -> Result<(), Failure> {
        self.begin(output)?;
        let headers: Vec<(&str, &[u8])> =
            self.arguments.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let meta = Meta { headers: &headers, ..Meta::default() };
        let source = SourceRecord { content, meta };
        let text = match self.map.try_records(&source, decoder) {
            Ok(mapped) => self.mapped(line, &mapped),
            Err(refused) => self.refused(line, &refused),
        };
        output.write_all(text.as_bytes()).or_else(output_closed)
    }

    /// Prints why a line or a document never comes to the map.
    pub(super) fn refusal(
        &mut self,
        line: u64,
        refusal: &Refusal,
        output: &mut impl Write,
    ) -> Result<(), Failure> {
        self.begin(output)?;
        let text = self.refused(line, &Refused::from(refusal.clone()));
        output.write_all(text.as_bytes()).or_else(output_closed)
    }

    pub(super) fn map_name(&self) -> &str {
        self.map.name()
    }

    fn begin(&mut self, output: &mut impl Write) -> Result<(), Failure> {
        if self.sources == 0 && !self.arguments.json {
            let how = "# line of the file, then what its record means: input records, or why it is passed over or refused";
            writeln!(output, "{how}").or_else(output_closed)?;
        }
        self.sources += 1;
        Ok(())
    }

    fn mapped(&mut self, line: u64, mapped: &Mapped) -> String {
        let mut text = String::new();
        for record in &mapped.records {
            self.emitted[record.kind as usize] += 1;
            let value = String::from_utf8_lossy(&record.value);
            text.push_str(&self.line(line, record.kind.name(), &value));
        }
        for skip in &mapped.skipped {
            self.skipped += 1;
            let reason = &self.map.skip_reasons()[*skip];
            let reason = if self.arguments.json { quoted(reason) } else { reason.clone() };
            text.push_str(&self.line(line, "skip", &reason));
        }
        text
    }

    fn refused(&mut self, line: u64, refused: &Refused) -> String {
        self.refused += 1;
        let refusal = &refused.refusal;
        let detail = refused.message.as_deref().unwrap_or(&refusal.detail);
        if self.arguments.json {
            let (reason, detail) = (quoted(refusal.reason.name()), quoted(detail));
            return format!("{{\"line\":{line},\"refused\":{reason},\"detail\":{detail}}}\n");
        }
        self.line(line, "refused", &format!("{}: {detail}", refusal.reason.name()))
    }

    fn line(&self, line: u64, what: &str, value: &str) -> String {
        if self.arguments.json {
            format!("{{\"line\":{line},\"{what}\":{value}}}\n")
        } else {
            format!("{line:>6}  {what:<12}  {value}\n")
        }
    }

    /// Says on standard error what came of all, so that standard output holds nothing else.
    pub(super) fn end(self) -> Result<(), Failure> {
        let kinds = EventKind::ALL.into_iter().filter(|kind| self.emitted[*kind as usize] > 0);
        let kinds: Vec<String> =
            kinds.map(|kind| counted(self.emitted[kind as usize], kind.name())).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        let emitted: usize = self.emitted.iter().sum();
        eprintln!(
            "{}: {}{kinds}, {} passed over, {} refused",
            counted(self.sources, "source record"),
            counted(emitted, "input record"),
            self.skipped,
            self.refused
        );
        if self.map.needs_secret() {
            eprintln!("hashes are those of a trial; the service hashes with its own secret");
        }
        if self.refused > 0 {
            let message = format!("{} refused", counted(self.refused, "source record"));
            return Err(Failure::message(Exit::Data, message));
        }
        Ok(())
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}
