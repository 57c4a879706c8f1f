//! A history that was read from files: its records as they are written, and what is reported of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use crate::domain::values::number::{Decimal, Ratio};
use crate::exit::{Exit, Failure};
use crate::formats::native::Decoder;
use crate::history::files::{History, UnusableLine};
use crate::history::source::{self, Line, Source};
use crate::stream::intake::port::{IntakeOutput, NativeOutput};
use crate::topic::Input;
use crate::wire::reason::Refusal;

/// Names the source and the content of the history, on each of its records.
pub(super) const LOAD_HEADER: &str = "intake_load";
const FILE_HEADER: &str = "intake_file";
const LINE_HEADER: &str = "intake_line";

/// So many places are named of each reason.
const PLACES_MAX: usize = 3;

/// See the module.
pub(super) struct Loaded {
    name: String,
    label: String,
    history: History,
    decoder: Decoder,
    refusals: Refusals,
    /// By input.
    records: [u64; Input::COUNT],
}

/// What cannot be used, by reason: how often, and the first places.
#[derive(Default)]
pub(super) struct Refusals(BTreeMap<&'static str, (u64, Vec<String>)>);

impl Refusals {
    pub(super) fn add(&mut self, line: &UnusableLine<'_>) {
        self.add_at(line.refusal, line.file, line.line);
    }

    fn add_at(&mut self, refusal: &Refusal, file: &str, line: u64) {
        let (count, places) = self.0.entry(refusal.reason.name()).or_default();
        *count += 1;
        if places.len() < PLACES_MAX {
            places.push(format!("{file}:{line}: {}", refusal.detail));
        }
    }

    fn total(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    fn describe(&self, text: &mut String) {
        for (reason, (count, places)) in &self.0 {
            let _ = writeln!(text, "not loaded: {count} {reason}");
            for place in places {
                let _ = writeln!(text, "  {place}");
            }
        }
    }
}

impl Loaded {
    /// Checks each record as `run` will read it.
    ///
    /// # Errors
    /// 65: nothing can be used, or more is refused than `share_max` allows.
    pub(super) fn new(
        name: &str,
        history: History,
        decoder: Decoder,
        mut refusals: Refusals,
        share_max: Decimal,
    ) -> Result<Self, Failure> {
        let mut hasher = blake3::Hasher::new();
        let mut records = [0; Input::COUNT];
        let mut key = Vec::new();
        for (source, line) in source::merged(&history.sources) {
            let record = match record(source, line, &decoder, &mut key) {
                Ok(record) => record,
                Err(refusal) => {
                    refusals.add_at(&refusal, &source.file, line.number);
                    continue;
                }
            };
            records[record.input.index()] += 1;
            hasher.update(&[u8::try_from(record.input.index()).expect("there are few inputs")]);
            for part in [record.key.unwrap_or_default(), &record.value] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
        }
        let label = format!("{name} {}", &hasher.finalize().to_hex()[..16]);
        let loaded = Self { name: name.to_owned(), label, history, decoder, refusals, records };
        loaded.refuse_too_many(share_max).map_or(Ok(loaded), Err)
    }

    fn refuse_too_many(&self, share_max: Decimal) -> Option<Failure> {
        let (refused, used) = (self.refusals.total(), self.records());
        let all = refused + used;
        let problem = if used == 0 {
            "no record could be used, so nothing was written".to_owned()
        } else if Ratio::new(refused, all).is_some_and(|share| !share.at_most(share_max)) {
            format!(
                "{refused} of {all} records are refused, more than dead_letters.max_share ({share_max}) allows; nothing was written"
            )
        } else {
            return None;
        };
        let mut text = format!("{problem}\n");
        self.describe(&mut text);
        Some(Failure::message(Exit::Data, text.trim_end().to_owned()))
    }

    /// The name of the source.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The source, and digits that change with any record.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn records(&self) -> u64 {
        self.records.iter().sum()
    }

    /// Gives the records in the order of time, each with its number.
    ///
    /// # Errors
    /// Those of `each`.
    pub(super) fn for_each<E>(
        &self,
        mut each: impl FnMut(u64, &NativeOutput<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut key = Vec::new();
        let mut number = 0;
        for (source, line) in source::merged(&self.history.sources) {
            let Ok(record) = record(source, line, &self.decoder, &mut key) else { continue };
            let line_text = line.number.to_string();
            let headers: [(&str, &[u8]); 3] = [
                (LOAD_HEADER, self.label.as_bytes()),
                (FILE_HEADER, source.file.as_bytes()),
                (LINE_HEADER, line_text.as_bytes()),
            ];
            number += 1;
            each(
                number,
                &NativeOutput {
                    output: IntakeOutput::Input(record.input),
                    key: record.key,
                    value: Some(&record.value),
                    headers: &headers,
                },
            )?;
        }
        Ok(())
    }

    /// What was loaded.
    pub(super) fn report(&self) -> String {
        let mut text = format!("loaded {} records as {}:", self.records(), self.label);
        for (input, count) in Input::ALL.iter().zip(self.records) {
            let _ = write!(text, " {count} {}", input.name());
        }
        text.push('\n');
        self.describe(&mut text);
        text
    }

    fn describe(&self, text: &mut String) {
        for file in &self.history.counts {
            let map = file.map.as_ref().map(|map| format!(" by the map {map}")).unwrap_or_default();
            let _ = writeln!(text, "{}: {} records{map}", file.file, file.records);
            for (reason, count) in &file.skipped {
                let _ = writeln!(text, "  passed over: {count} {reason}");
            }
            for (count, what) in [(file.repeated, "in an earlier file too"), (file.left_out, "left out")] {
                if count > 0 {
                    let _ = writeln!(text, "  {what}: {count}");
                }
            }
        }
        self.refusals.describe(text);
    }
}

/// A record as it is written.
struct Record<'a> {
    input: Input,
    key: Option<&'a [u8]>,
    value: Cow<'a, [u8]>,
}

/// A record of a file with its key; a return whose customer was found by its order names that customer.
fn record<'a>(
    source: &'a Source,
    line: &Line,
    decoder: &Decoder,
    key: &'a mut Vec<u8>,
) -> Result<Record<'a>, Refusal> {
    let has_customer = source.decode(line, decoder, key).customer_key().is_some();
    let key = has_customer.then_some(key.as_slice());
    let value = match source.found_customer(line) {
        Some(customer) => Cow::Owned(with_customer(source.record(line), customer)),
        None => Cow::Borrowed(source.record(line)),
    };
    decoder.decode(source.input, key, Some(&value))?;
    Ok(Record { input: source.input, key, value })
}

fn with_customer(record: &[u8], customer: &str) -> Vec<u8> {
    let start = record.iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
    let customer = serde_json::to_string(customer).expect("a text is JSON");
    let mut value = Vec::with_capacity(record.len() + customer.len() + 16);
    value.extend_from_slice(&record[..start]);
    let _ = std::io::Write::write_fmt(&mut value, format_args!("\"customer_id\":{customer},"));
    value.extend_from_slice(&record[start..]);
    value
}
