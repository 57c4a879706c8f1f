//! The records of one input, in the order of their times: what is merged and applied.

use std::collections::{BTreeMap, HashSet};

use super::files::{OnUnusable, UnusableLine};
use super::guests::GuestOrder;
use super::input::InputFile;
use super::json_values::for_each_record;
use crate::domain::values::event::{GuestRecord, Record};
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::exit::Failure;
use crate::formats::native::{Decoder, Event, GuestEvent, NativeLines, Subject};
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
    pub(super) amounts: AmountForms,
    /// Returns that name an order but no customer, and whose they are once that is known.
    customers: BTreeMap<Place, Option<Box<str>>>,
    /// Orders of guests, and their versions.
    guest_orders: BTreeMap<Place, (GuestOrder, u64)>,
    /// Of the source record whose native records are added.
    original: u32,
}

/// Whether the records are the lines of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Lines,
    /// They were made from records of another system, in this file of the history.
    Records(usize),
    /// They were made from documents of this table of the history.
    Documents(usize),
}

/// One record of a [`Source`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) time: Time,
    /// In the file, from 1; of a document, the first of its lines.
    pub(crate) number: u64,
    pub(super) place: Place,
    /// For [`Origin::Records`]: which source record of the file it was made from.
    pub(super) original: u32,
}

impl Source {
    pub(crate) fn new(input: Input, file: String, origin: Origin) -> Self {
        Self {
            input,
            file,
            origin,
            texts: Texts::default(),
            lines: Vec::new(),
            amounts: AmountForms::default(),
            customers: BTreeMap::new(),
            guest_orders: BTreeMap::new(),
            original: 0,
        }
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

    /// Reads records in arrays and pages, or over several lines.
    ///
    /// # Errors
    /// The file cannot be read to its end, is not UTF-8, or `unusable` fails.
    pub(crate) fn read_values(
        input: Input,
        file: InputFile,
        decoder: &Decoder,
        bytes_max: usize,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<Self, Failure> {
        let mut source = Self::new(input, file.name.clone(), Origin::Lines);
        let text = file.read_text()?;
        let mut key = Vec::new();
        let broken = for_each_record(&text, &mut |record, number| {
            let added = if record.len() > bytes_max {
                let detail = format!("{} bytes, allowed are {bytes_max}", record.len());
                Err(Refusal::new(Reason::TooLarge, detail))
            } else {
                NativeLines(input)
                    .records(record.as_bytes(), &mut |record| source.add(record, number, decoder, &mut key))
            };
            added.or_else(|refusal| {
                let original = record.as_bytes();
                unusable(UnusableLine { refusal: &refusal, file: &source.file, line: number, original })
            })
        })?;
        if let Some(broken) = broken {
            let refusal = broken.refusal();
            let original = &text.as_bytes()[broken.place..];
            let line = broken.line;
            unusable(UnusableLine { refusal: &refusal, file: &source.file, line, original })?;
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
        match self.origin {
            Origin::Lines | Origin::Records(_) => self.amounts.add(&event, record.value),
            Origin::Documents(_) => {}
        }
        let place = self.texts.add(record.value);
        if event.is_return_without_customer() {
            self.customers.insert(place, None);
        }
        if let Subject::Guest(GuestEvent { record: GuestRecord::Order { id, placed_at, .. }, .. }) =
            event.subject
        {
            self.guest_orders.insert(place, GuestOrder::of(record.value, event.shop, id, placed_at));
        }
        self.lines.push(Line { time, number, place, original: self.original });
        Ok(())
    }

    /// Decodes a record that was added before.
    pub(crate) fn decode<'a>(&'a self, line: &Line, decoder: &Decoder, key: &'a mut Vec<u8>) -> Event<'a> {
        let record = NativeRecord { input: self.input, value: self.record(line) };
        let customer = self.customers.get(&line.place).and_then(Option::as_deref);
        decoder.decode_line(record, customer, key).expect("it was decoded when it was added")
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Returns that name an order but no customer.
    pub(crate) fn without_customer(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| self.customers.contains_key(&line.place))
    }

    /// Whether the customer of a return was found by its order; `None` for a record that needed none to be found.
    pub(crate) fn customer_found(&self, line: &Line) -> Option<bool> {
        self.customers.get(&line.place).map(Option::is_some)
    }

    /// The customer of a return that names none itself, found by its order.
    pub(crate) fn found_customer(&self, line: &Line) -> Option<&str> {
        self.customers.get(&line.place)?.as_deref()
    }

    /// Sets the customer of a return that names none itself.
    pub(super) fn set_customer(&mut self, place: Place, customer: Box<str>) {
        self.customers.insert(place, Some(customer));
    }

    /// Takes back what was added behind so many records.
    pub(super) fn truncate(&mut self, length: usize) {
        for line in self.lines.drain(length..) {
            self.customers.remove(&line.place);
            self.guest_orders.remove(&line.place);
        }
    }

    /// What is added next is made from this source record.
    pub(super) fn set_original(&mut self, original: u32) {
        self.original = original;
    }

    /// Orders of guests, and their versions.
    pub(super) fn guest_orders(&self) -> impl Iterator<Item = (&Place, &(GuestOrder, u64))> {
        self.guest_orders.iter()
    }

    /// Forgets the records at these places.
    pub(super) fn leave_out(&mut self, places: &HashSet<Place>) {
        self.lines.retain(|line| !places.contains(&line.place));
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

/// Whether amounts have digits after the point, as they are written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct AmountForms {
    pub(crate) has_decimals: bool,
    /// Amounts without, of currencies that have them; not counted any more when one with decimals was found.
    pub(crate) whole: u64,
}

impl AmountForms {
    pub(crate) const fn merge(self, other: Self) -> Self {
        Self { has_decimals: self.has_decimals || other.has_decimals, whole: self.whole + other.whole }
    }

    fn add(&mut self, event: &Event<'_>, text: &[u8]) {
        if self.has_decimals {
            return;
        }
        let Some((currency, name)) = amount_of(&event.subject) else { return };
        let Some(start) = memchr::memmem::find(text, name) else { return };
        let rest = &text[start + name.len()..];
        let amount = &rest[..memchr::memchr2(b',', b'}', rest).unwrap_or(rest.len())];
        if currency.digits() == 0 || !amount.iter().any(|byte| matches!(byte, b'1'..=b'9')) {
            return;
        }
        match memchr::memchr(b'.', amount) {
            Some(_) => self.has_decimals = true,
            None => self.whole += 1,
        }
    }
}

/// The currency of an amount, and the name of its field.
fn amount_of(subject: &Subject<'_>) -> Option<(Currency, &'static [u8])> {
    const TOTAL: &[u8] = b"\"total\"";
    const REFUND: &[u8] = b"\"refund\"";
    match subject {
        Subject::Customer(event) => match &event.record {
            Record::Order(order) => Some((order.currency, TOTAL)),
            Record::Return(returned) => Some((returned.currency, REFUND)),
            Record::Cancellation(_) => None,
        },
        Subject::Guest(event) => match &event.record {
            GuestRecord::Order { currency, .. } => Some((*currency, TOTAL)),
            GuestRecord::Return { currency, .. } => Some((*currency, REFUND)),
        },
        Subject::Erasure { .. } => None,
    }
}

/// Many texts one after the other, in blocks: a single one would be copied whenever it grows, and take twice the memory then.
#[derive(Default)]
pub(super) struct Texts {
    blocks: Vec<Vec<u8>>,
}

const BLOCK_BYTES: usize = 8 << 20;

/// Where a text is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    block: u32,
    start: u32,
    length: u32,
}

impl Texts {
    pub(super) fn add(&mut self, text: &[u8]) -> Place {
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

    pub(super) fn get(&self, place: Place) -> &[u8] {
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
