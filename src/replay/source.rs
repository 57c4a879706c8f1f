//! The records of one input, in the order of their times: what is merged and applied.

use super::input::InputFile;
use super::refused::Refused;
use crate::domain::time::Time;
use crate::exit::Failure;
use crate::wire::Input;
use crate::wire::decode::Decoder;
use crate::wire::reason::{Reason, Refusal};

/// Records as text, and where each stands. A record is decoded twice, once for its time and once to be applied: that is cheaper
/// than to hold what was decoded.
pub(super) struct Source {
    pub(super) input: Input,
    /// Where the records come from, for dead letters.
    pub(super) file: String,
    pub(super) origin: Origin,
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Whether the records are the lines of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    Lines,
    /// They were made from documents.
    Documents,
}

/// One record of a [`Source`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) time: Time,
    /// In the file, from 1; of a document, the first of its lines.
    pub(super) number: u64,
    start: usize,
    length: u32,
}

impl Source {
    pub(super) fn new(input: Input, file: String, origin: Origin) -> Self {
        Self { input, file, origin, text: Vec::new(), lines: Vec::new() }
    }

    /// Reads JSON Lines; what cannot be decoded is refused at once.
    ///
    /// # Errors
    /// The file cannot be read to its end, or a dead letter not written.
    pub(super) fn read(
        input: Input,
        mut file: InputFile,
        decoder: &Decoder,
        bytes_max: usize,
        refused: &mut Refused,
    ) -> Result<Self, Failure> {
        let mut source = Self::new(input, file.name.clone(), Origin::Lines);
        let mut key = Vec::new();
        let mut number = 0;
        loop {
            let start = source.text.len();
            let Some(line) = file.read_line(bytes_max, &mut source.text)? else { break };
            number += 1;
            let added = if line.length > bytes_max as u64 {
                let detail = format!("{} bytes, allowed are {bytes_max}", line.length);
                Err(Refusal::new(Reason::TooLarge, detail))
            } else if source.text[start..].trim_ascii().is_empty() {
                Err(Refusal::new(Reason::MalformedJson, "the line is empty"))
            } else {
                source.add(start, number, decoder, &mut key)
            };
            if let Err(refusal) = added {
                refused.refuse(&refusal, &source.file, number, &source.text[start..])?;
                source.text.truncate(start);
            }
        }
        source.sort();
        Ok(source)
    }

    /// Adds a record that was made from other text; one that cannot be decoded is not added.
    pub(super) fn add_record(
        &mut self,
        number: u64,
        decoder: &Decoder,
        key: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let start = self.text.len();
        write(&mut self.text);
        self.add(start, number, decoder, key).inspect_err(|_| self.text.truncate(start))
    }

    /// Stable: records of one instant stay in their order.
    pub(super) fn sort(&mut self) {
        self.lines.sort_by_key(|line| line.time);
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The text of a record.
    pub(super) fn record(&self, line: &Line) -> &[u8] {
        &self.text[line.start..][..line.length as usize]
    }

    fn add(
        &mut self,
        start: usize,
        number: u64,
        decoder: &Decoder,
        key: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let record = &self.text[start..];
        let time = decoder.decode_line(self.input, record, key)?.time();
        let length = u32::try_from(record.len()).expect("the configuration bounds records at 16 MiB");
        self.lines.push(Line { time, number, start, length });
        Ok(())
    }
}

/// All records by time; at one time orders before returns before erasures, then by file and line. `sources` must be in that
/// order.
pub(super) fn merged(sources: &[Source]) -> impl Iterator<Item = (&Source, &Line)> {
    let mut positions = vec![0; sources.len()];
    std::iter::from_fn(move || {
        let next = (0..sources.len())
            .filter_map(|index| Some((index, sources[index].lines.get(positions[index])?)))
            // The first of equals.
            .min_by_key(|(_, line)| line.time);
        next.map(|(index, line)| {
            positions[index] += 1;
            (&sources[index], line)
        })
    })
}
