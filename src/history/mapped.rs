//! Records that a program makes of source records: JSON of another system, or documents of a CSV file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use jaq_json::Val;
use serde::Deserialize;

use super::chosen_map::ProgramMap;
use super::counts::FileCounts;
use super::files::{OnUnusable, UnusableLine};
use super::input::InputFile;
use super::json_values::for_each_record;
use super::kind::JsonLayout;
use super::originals::Originals;
use super::source::{Origin, Source};
use crate::domain::values::money::Currency;
use crate::exit::Failure;
use crate::formats::csv::{CsvDocuments, DocumentTable, DocumentValues, JoinedFile};
use crate::formats::native::{Decoder, Limits};
use crate::formats::{NativeRecord, Unusable};
use crate::maps::{Content, Mapped, Meta, SourceRecord, any_currency_decoder};
use crate::topic::Input;
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// How many source records are looked at for a currency.
const LOOKS_MAX: usize = 100;

/// Collects what a program makes of one file.
pub(super) struct Mapping<'m> {
    program: &'m ProgramMap,
    decoder: &'m Decoder,
    /// By input.
    sources: Vec<Source>,
    pub(super) counts: FileCounts,
    /// By reason of the map.
    skipped: Vec<u64>,
    /// Of JSON: what native records were made from.
    originals: Originals,
    /// Of JSON: hashes of source records that were passed over, in this file or an earlier one.
    seen: HashSet<u64>,
    key: Vec<u8>,
}

impl<'m> Mapping<'m> {
    pub(super) fn new(file: &str, program: &'m ProgramMap, origin: Origin, decoder: &'m Decoder) -> Self {
        let source = |input| Source::new(input, file.to_owned(), origin);
        Self {
            program,
            decoder,
            sources: Input::ALL.map(source).into_iter().collect(),
            counts: FileCounts { map: Some(program.map.name().to_owned()), ..FileCounts::of(file) },
            skipped: vec![0; program.map.skip_reasons().len()],
            originals: Originals::default(),
            seen: HashSet::new(),
            key: Vec::new(),
        }
    }

    /// Adds what a source record means, or nothing of it.
    pub(super) fn add(&mut self, content: Content<'_>, line: u64) -> Result<(), Refusal> {
        self.counts.records += 1;
        let source = SourceRecord { content, meta: Meta::default() };
        let mapped = self.program.map.records(&source, self.decoder)?;
        self.counts.hashed += u64::from(mapped.has_hashed);
        let lengths: Vec<usize> = self.sources.iter().map(|source| source.lines().len()).collect();
        self.sources.iter_mut().for_each(|source| source.set_original(self.originals.next()));
        let added = mapped.records.iter().try_for_each(|record| {
            let input = record.input();
            let native = NativeRecord { input, value: &record.value };
            self.sources[input.index()].add(native, line, self.decoder, &mut self.key)
        });
        match added {
            Ok(()) => self.count(content, &mapped),
            Err(_) => {
                self.sources.iter_mut().zip(lengths).for_each(|(source, length)| source.truncate(length))
            }
        }
        added
    }

    /// A JSON record that is passed over as a whole counts once, however often it comes: exports may overlap. That of records and
    /// documents is told by what they mean.
    fn count(&mut self, content: Content<'_>, mapped: &Mapped) {
        if let Content::Json(original) = content {
            if !mapped.records.is_empty() {
                self.originals.add(original);
            } else if !self.seen.insert(hash(original)) {
                self.counts.repeated += 1;
                return;
            }
        }
        mapped.skipped.iter().for_each(|reason| self.skipped[*reason] += 1);
    }

    pub(super) fn end(mut self) -> (Vec<Source>, FileCounts, Originals) {
        let reasons = self.program.map.skip_reasons().iter().zip(&self.skipped);
        let skipped =
            reasons.filter(|(_, count)| **count > 0).map(|(reason, count)| (reason.clone(), *count));
        self.counts.skipped = skipped.collect();
        self.sources.iter_mut().for_each(Source::sort);
        (self.sources, self.counts, self.originals)
    }
}

/// What is kept of the mapped JSON files that were read.
#[derive(Default)]
pub(crate) struct EarlierJson {
    /// By file.
    pub(super) originals: Vec<Originals>,
    /// Hashes of source records that were passed over.
    seen: HashSet<u64>,
}

/// Reads JSON of another system.
pub(super) fn read_json(
    mut file: InputFile,
    layout: JsonLayout,
    program: &ProgramMap,
    decoder: &Decoder,
    limits: Limits,
    earlier: &mut EarlierJson,
    unusable: &mut OnUnusable<'_>,
) -> Result<(Vec<Source>, FileCounts), Failure> {
    let EarlierJson { originals, seen } = earlier;
    let name = file.name.clone();
    let mut mapping = Mapping::new(&name, program, Origin::Records(originals.len()), decoder);
    mapping.seen = std::mem::take(seen);
    let mut add = |record: &[u8], length: u64, line: u64| {
        let added = if length > limits.bytes_max as u64 {
            let detail = format!("{length} bytes, allowed are {}", limits.bytes_max);
            Err(Refusal::new(Reason::TooLarge, detail))
        } else {
            mapping.add(Content::Json(record), line)
        };
        added.or_else(|refusal| {
            unusable(UnusableLine { refusal: &refusal, file: &name, line, original: record })
        })
    };
    match layout {
        JsonLayout::Lines => {
            let mut text = Vec::new();
            for line in 1.. {
                text.clear();
                let Some(read) = file.read_line(limits.bytes_max, &mut text)? else { break };
                if !text.trim_ascii().is_empty() {
                    add(&text, read.length, line)?;
                }
            }
        }
        JsonLayout::Values => {
            let text = file.read_text()?;
            let broken = for_each_record(&text, &mut |record, line| {
                add(record.as_bytes(), record.len() as u64, line)
            })?;
            if let Some(broken) = broken {
                let refusal = broken.refusal();
                let original = &text.as_bytes()[broken.place..];
                unusable(UnusableLine { refusal: &refusal, file: &name, line: broken.line, original })?;
            }
        }
    }
    *seen = std::mem::take(&mut mapping.seen);
    let (sources, counts, of_file) = mapping.end();
    originals.push(of_file);
    Ok((sources, counts))
}

/// A CSV file and the documents in it.
pub(crate) struct GroupedDocuments {
    pub(super) table: Box<DocumentTable>,
    pub(super) program: Rc<ProgramMap>,
    pub(super) documents: CsvDocuments,
}

impl GroupedDocuments {
    pub(super) fn group(
        table: Box<DocumentTable>,
        program: Rc<ProgramMap>,
        limits: Limits,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<Self, Failure> {
        let file = table.table.file.clone();
        let mut unusable = |Unusable { refusal, line, original }: Unusable<'_>| {
            unusable(UnusableLine { refusal, file: &file, line, original })
        };
        let documents = CsvDocuments::group(&table, limits.bytes_max, &mut unusable)?;
        Ok(Self { table, program, documents })
    }

    pub(super) fn original(&self, line: u64) -> Cow<'_, [u8]> {
        self.table.table.original(&self.documents.beginning_at(line).place)
    }

    /// The records that the documents mean.
    pub(super) fn read(
        &self,
        index: usize,
        joined: &[JoinedFile],
        decoder: &Decoder,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<(Vec<Source>, FileCounts), Failure> {
        let file = &self.table.table.file;
        let values = DocumentValues::new(&self.table, joined);
        let mut mapping = Mapping::new(file, &self.program, Origin::Documents(index), decoder);
        for document in &self.documents.used {
            let added = values
                .value(document)
                .and_then(|value| mapping.add(Content::Document(&value), document.line));
            if let Err(refusal) = added {
                let original = self.original(document.line);
                unusable(UnusableLine { refusal: &refusal, file, line: document.line, original: &original })?;
            }
        }
        mapping.counts.lines = Some(self.documents.lines);
        mapping.counts.left_out = self.documents.left_out;
        mapping.counts.repeated = self.documents.repeated;
        let (sources, counts, _) = mapping.end();
        Ok((sources, counts))
    }
}

/// The first currency in what a program makes of records.
pub(super) fn first_currency_of_json(
    file: &InputFile,
    layout: JsonLayout,
    program: &ProgramMap,
) -> Option<Currency> {
    let decoder = any_currency_decoder();
    let mut records: Vec<&[u8]> = Vec::new();
    // Only the first part of a file is at hand, and may end anywhere.
    let valid = file.head().utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match layout {
        JsonLayout::Lines => records.extend(valid.lines().map(str::as_bytes).take(LOOKS_MAX)),
        JsonLayout::Values => {
            let found = for_each_record(valid, &mut |record, _| {
                currency_of(Content::Json(record.as_bytes()), program, &decoder).map_or(Ok(()), Err)
            });
            return found.err();
        }
    }
    records.into_iter().find_map(|record| currency_of(Content::Json(record), program, &decoder))
}

/// The same of documents.
pub(super) fn first_currency_of_documents(
    table: &DocumentTable,
    joined: &[JoinedFile],
    program: &ProgramMap,
) -> Option<Currency> {
    let decoder = any_currency_decoder();
    let documents = CsvDocuments::group(table, usize::MAX, &mut |_| Ok(())).ok()?;
    let values = DocumentValues::new(table, joined);
    let values = documents.used.iter().take(LOOKS_MAX).filter_map(|document| values.value(document).ok());
    values.into_iter().find_map(|value: Val| currency_of(Content::Document(&value), program, &decoder))
}

fn currency_of(content: Content<'_>, program: &ProgramMap, decoder: &Decoder) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Money {
        currency: Option<String>,
    }
    let mapped = program.map.records(&SourceRecord { content, meta: Meta::default() }, decoder).ok()?;
    mapped.records.iter().find_map(|record| {
        let money: Money = serde_json::from_slice(&record.value).ok()?;
        Currency::from_letters(money.currency?.as_bytes())
    })
}
