//! The records of one input, in the order of their times: what is merged and applied.

use std::collections::BTreeMap;

use super::files::{OnUnusable, UnusableLine};
use super::input::InputFile;
use crate::domain::values::time::Time;
use crate::exit::Failure;
use crate::formats::native::{Decoder, Event, NativeLines};
use crate::formats::{Format, NativeRecord};
use crate::topic::Input;
use crate::wire::reason::{Reason, Refusal};

/// Records as text, each with its file and line. A record is decoded twice, once for its time and once to be applied: that is cheaper
/// than to hold what was decoded.
pub(crate) struct Source {
    pub(crate) input: Input,
    /// Where the records come from, for dead letters.
    pub(crate) file: String,
    pub(crate) origin: Origin,
    texts: Texts,
    lines: Vec<Line>,
    /// By line: returns that name an order but no customer, and whose they are once that is known.
    customers: BTreeMap<u64, Option<Box<str>>>,
}

/// Whether the records are the lines of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Lines,
    /// They were made from documents.
    Documents,
}

/// One record of a [`Source`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) time: Time,
    /// In the file, from 1; of a document, the first of its lines.
    pub(crate) number: u64,
    place: Place,
}

impl Source {
    pub(crate) fn new(input: Input, file: String, origin: Origin) -> Self {
        Self { input, file, origin, texts: Texts::default(), lines: Vec::new(), customers: BTreeMap::new() }
    }

    /// Reads JSON Lines; blank lines are nothing.
    ///
    /// # Errors
    /// The file cannot be read to its end, or `unusable` fails.
    pub(crate) fn read(
        input: Input,
        mut file: InputFile,
        decoder: &Decoder,
        bytes_max: usize,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<Self, Failure> {
        let mut source = Self::new(input, file.name.clone(), Origin::Lines);
        let (mut key, mut text) = (Vec::new(), Vec::new());
        for number in 1.. {
            text.clear();
            let Some(line) = file.read_line(bytes_max, &mut text)? else { break };
            let added = if line.length > bytes_max as u64 {
                let detail = format!("{} bytes, allowed are {bytes_max}", line.length);
                Err(Refusal::new(Reason::TooLarge, detail))
            } else if text.trim_ascii().is_empty() {
                Ok(())
            } else {
                NativeLines(input).records(&text, &mut |record| source.add(record, number, decoder, &mut key))
            };
            if let Err(refusal) = added {
                unusable(UnusableLine {
                    refusal: &refusal,
                    file: &source.file,
                    line: number,
                    original: &text,
                })?;
            }
        }
        source.sort();
        Ok(source)
    }

    /// Adds a record of this input; one that cannot be decoded is not added.
    pub(crate) fn add(
        &mut self,
        record: NativeRecord<'_>,
        number: u64,
        decoder: &Decoder,
        key: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let event = decoder.decode_line(record, None, key)?;
        let time = event.time();
        if event.is_return_without_customer() {
            self.customers.insert(number, None);
        }
        let place = self.texts.add(record.value);
        self.lines.push(Line { time, number, place });
        Ok(())
    }

    /// Decodes a record that was added before.
    pub(crate) fn decode<'a>(&'a self, line: &Line, decoder: &Decoder, key: &'a mut Vec<u8>) -> Event<'a> {
        let record = NativeRecord { input: self.input, value: self.record(line) };
        let customer = self.customers.get(&line.number).and_then(Option::as_deref);
        decoder.decode_line(record, customer, key).expect("it was decoded when it was added")
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Returns that name an order but no customer.
    pub(crate) fn without_customer(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| self.customers.contains_key(&line.number))
    }

    /// Whether the customer of a return was found by its order; `None` for a record that needed none to be found.
    pub(crate) fn customer_found(&self, line: &Line) -> Option<bool> {
        self.customers.get(&line.number).map(Option::is_some)
    }

    /// Sets the customer of a return that names none itself.
    pub(crate) fn set_customer(&mut self, number: u64, customer: Box<str>) {
        self.customers.insert(number, Some(customer));
    }

    /// Stable: records of one instant stay in their order.
    pub(crate) fn sort(&mut self) {
        self.lines.sort_by_key(|line| line.time);
    }

    /// The text of a record.
    pub(crate) fn record(&self, line: &Line) -> &[u8] {
        self.texts.get(line.place)
    }
}

/// Many texts one after the other, in blocks: a single one would be copied whenever it grows, and take twice the memory then.
#[derive(Default)]
struct Texts {
    blocks: Vec<Vec<u8>>,
}

const BLOCK_BYTES: usize = 8 << 20;

/// The file and line of a text.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: u32,
    start: u32,
    length: u32,
}

impl Texts {
    fn add(&mut self, text: &[u8]) -> Place {
        let fits = self.blocks.last().is_some_and(|block| block.capacity() - block.len() >= text.len());
        if !fits {
            self.blocks.push(Vec::with_capacity(text.len().max(BLOCK_BYTES)));
        }
        let index = self.blocks.len() - 1;
        let block = &mut self.blocks[index];
        let narrow = |number: usize| {
            u32::try_from(number).expect("a block is small, and there are fewer than memory could hold")
        };
        let place = Place { block: narrow(index), start: narrow(block.len()), length: narrow(text.len()) };
        block.extend_from_slice(text);
        place
    }

    fn get(&self, place: Place) -> &[u8] {
        &self.blocks[place.block as usize][place.start as usize..][..place.length as usize]
    }
}

/// All records by time; at one time orders before returns before erasures, then by file and line. `sources` must be in that
/// order.
pub(crate) fn merged(sources: &[Source]) -> impl Iterator<Item = (&Source, &Line)> {
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
