//! The files of a history: opened first, so that they may say what the configuration leaves open, then read.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::chosen_map::{ChosenMap, FoundTable};
pub(crate) use super::chosen_map::{Hashing, MapContext};
use super::counts::FileCounts;
use super::customers;
use super::guests;
use super::input::{InputFile, Watch};
use super::kind::JsonLayout;
use super::mapped::{self, EarlierJson, GroupedDocuments};
use super::opened::{Opened, Reading, WhoChose, role};
use super::source::{AmountForms, Line, Origin, Source};
use crate::domain::values::money::Currency;
use crate::exit::{Exit, Failure};
use crate::formats::csv::{CsvDocuments, JoinedFile};
use crate::formats::native::{Decoder, Limits};
use crate::formats::order_lines::{ColumnMap, Documents, LineTable, OrderLines};
use crate::formats::{Format, Unusable};
use crate::topic::Input;
use crate::wire::reason::Refusal;

/// Where the inputs lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputPaths<'a> {
    pub(crate) orders: &'a [PathBuf],
    pub(crate) returns: &'a [PathBuf],
    pub(crate) erasures: &'a [PathBuf],
    /// What files hold that are no native records: a preset or the path of a map.
    pub(crate) map: Option<&'a str>,
    /// The same of returns, if it is another.
    pub(crate) returns_map: Option<&'a str>,
    pub(crate) context: MapContext<'a>,
    /// Files that are joined to documents, by name.
    pub(crate) with: &'a [(String, PathBuf)],
}

/// Inputs that are open.
pub(crate) struct Files {
    /// Whether maps hash with the secret of the intake.
    has_secret: bool,
    /// In the order of ties.
    inputs: Vec<(Input, Vec<Opened>)>,
    joined: Vec<JoinedFile>,
}

/// Everything that was read.
#[derive(Default)]
pub(crate) struct History {
    /// In the order of ties.
    pub(crate) sources: Vec<Source>,
    /// Where documents come from.
    tables: Vec<Grouped>,
    mapped_json: EarlierJson,
    /// Records that repeat an order of a guest, which are not among the sources.
    pub(crate) repeated_guest_orders: u64,
    /// Source records of which a map has hashed something without the secret of the intake.
    pub(crate) hashed_without_secret: u64,
    /// By file.
    pub(crate) counts: Vec<FileCounts>,
}

/// A CSV file and what it came to.
enum Grouped {
    Lines(GroupedLines),
    Documents(GroupedDocuments, WhoChose),
}

/// A file of order lines.
struct GroupedLines {
    lines: Box<LineTable>,
    map: Rc<ColumnMap>,
    documents: Documents,
    input: Input,
    who_chose: WhoChose,
}

/// A line that cannot be used, and its file.
pub(crate) struct UnusableLine<'a> {
    pub(crate) refusal: &'a Refusal,
    pub(crate) file: &'a str,
    /// From 1.
    pub(crate) line: u64,
    pub(crate) original: &'a [u8],
}

/// Takes what cannot be used.
pub(crate) type OnUnusable<'u> = dyn FnMut(UnusableLine<'_>) -> Result<(), Failure> + 'u;

impl<'a> InputPaths<'a> {
    /// Every file that is given.
    pub(crate) fn all(self) -> impl Iterator<Item = &'a Path> {
        let joined = self.with.iter().map(|(_, path)| path);
        [self.orders, self.returns, self.erasures].into_iter().flatten().chain(joined).map(PathBuf::as_path)
    }
}

impl Files {
    /// Opens every input.
    ///
    /// # Errors
    /// One cannot be read, or the map does not fit.
    pub(crate) fn open(paths: InputPaths<'_>, watch: &Watch<'_>) -> Result<Self, Failure> {
        let load = |name: Option<&str>| name.map(|name| ChosenMap::load(name, paths.context)).transpose();
        let map = load(paths.map)?;
        let returns_map = load(paths.returns_map)?.or_else(|| map.clone());
        let inputs = [
            (Reading { input: Input::Orders, map, context: paths.context }, paths.orders),
            (Reading { input: Input::Returns, map: returns_map, context: paths.context }, paths.returns),
            (Reading { input: Input::Erasures, map: None, context: paths.context }, paths.erasures),
        ];
        let open = |(reading, paths): (Reading<'_>, &[PathBuf])| {
            let files = paths.iter().map(|path| Opened::open(path, &reading, watch));
            Ok((reading.input, files.collect::<Result<_, Failure>>()?))
        };
        let inputs = inputs.into_iter().map(open).collect::<Result<_, Failure>>()?;
        let mut files = Self { has_secret: paths.context.hashing.is_of_intake(), inputs, joined: Vec::new() };
        files.joined = files.join(paths.with, watch)?;
        Ok(files)
    }

    /// Reads the files that documents are joined with.
    fn join(&self, with: &[(String, PathBuf)], watch: &Watch<'_>) -> Result<Vec<JoinedFile>, Failure> {
        let mut programs = self.inputs.iter().flat_map(|(_, files)| files).filter_map(|file| match file {
            Opened::Table(FoundTable::Documents(_, program), _) => Some(program),
            Opened::Table(FoundTable::Lines(..), _) | Opened::Json(..) | Opened::MappedJson(..) => None,
        });
        let Some(program) = programs.next() else {
            return match with.first() {
                Some((name, path)) => {
                    let message = format!("--with {name}={}: no map joins files", path.display());
                    Err(Failure::message(Exit::Usage, message))
                }
                None => Ok(Vec::new()),
            };
        };
        let input = program.documents.as_ref().expect("a map that reads CSV");
        if let Some(name) = input.with.keys().find(|name| with.iter().all(|(given, _)| given != *name)) {
            let message =
                format!("the map {} joins another file: give it as --with {name}=FILE", program.map.name());
            return Err(Failure::message(Exit::Usage, message));
        }
        let read = |(name, path): &(String, PathBuf)| {
            let file = InputFile::open(path, watch)?;
            let (file_name, bytes) = (file.name.clone(), file.read_all()?);
            JoinedFile::new(name, file_name, bytes, input, program.map.name())
        };
        with.iter().map(read).collect()
    }

    /// Settings that the orders give where the configuration does not: key, value, and where it is from.
    pub(crate) fn fallbacks(&self) -> Vec<(&'static str, String, &'static str)> {
        let all: Vec<_> = self.orders().map(|file| self.fallbacks_of(file)).collect();
        let currency = all.iter().find_map(|(currency, _, by)| Some((currency.as_ref()?, *by)));
        let currency = currency.map(|(currency, by)| ("shop.currency", currency.to_string(), by));
        let zone = all.iter().find_map(|(_, zone, by)| Some((zone.as_ref()?, *by)));
        let zone = zone.map(|(zone, by)| ("shop.time_zone", zone.name().to_owned(), by));
        currency.into_iter().chain(zone).collect()
    }

    fn fallbacks_of(&self, file: &Opened) -> (Option<Currency>, Option<chrono_tz::Tz>, &'static str) {
        match file {
            Opened::Json(..) | Opened::Table(FoundTable::Lines(..), _) => file.fallbacks(),
            Opened::MappedJson(file, layout, program) => {
                (mapped::first_currency_of_json(file, *layout, program), None, "first order")
            }
            Opened::Table(FoundTable::Documents(table, program), _) => {
                (mapped::first_currency_of_documents(table, &self.joined, program), None, "first order")
            }
        }
    }

    /// The names of the orders' files.
    pub(crate) fn orders_names(&self) -> String {
        self.orders().map(Opened::name).collect::<Vec<_>>().join(", ")
    }

    fn orders(&self) -> impl Iterator<Item = &Opened> {
        self.inputs.iter().filter(|(input, _)| *input == Input::Orders).flat_map(|(_, files)| files)
    }

    /// Reads everything.
    ///
    /// # Errors
    /// A file cannot be read to its end, or `unusable` fails.
    pub(crate) fn read(
        self,
        decoder: &Decoder,
        limits: Limits,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<History, Failure> {
        let mut history = History::default();
        for (input, files) in self.inputs {
            let first_table = history.tables.len();
            for file in files {
                history.add(input, file, decoder, limits, unusable)?;
            }
            Grouped::drop_repeated(&mut history.tables[first_table..]);
        }
        for (index, table) in history.tables.iter().enumerate() {
            let (sources, counts) = table.read(index, &self.joined, decoder, unusable)?;
            history.sources.extend(sources);
            history.counts.push(counts);
        }
        if !self.has_secret {
            history.hashed_without_secret = history.counts.iter().map(|file| file.hashed).sum();
        }
        // Stable: files of one input stay in their order.
        history.sources.sort_by_key(|source| source.input.index());
        history.repeated_guest_orders = guests::count_once(&mut history.sources);
        customers::find(&mut history.sources, decoder);
        Ok(history)
    }
}

impl History {
    /// Reads a file, or groups its lines.
    fn add(
        &mut self,
        input: Input,
        file: Opened,
        decoder: &Decoder,
        limits: Limits,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<(), Failure> {
        match file {
            Opened::Json(file, layout) => {
                let read = match layout {
                    JsonLayout::Lines => Source::read,
                    JsonLayout::Values => Source::read_values,
                };
                let source = read(input, file, decoder, limits.bytes_max, unusable)?;
                let records = source.lines().len() as u64;
                self.counts.push(FileCounts { records, ..FileCounts::of(&source.file) });
                self.sources.push(source);
            }
            Opened::MappedJson(file, layout, program) => {
                let json = &mut self.mapped_json;
                let (sources, counts) =
                    mapped::read_json(file, layout, &program, decoder, limits, json, unusable)?;
                self.sources.extend(sources);
                self.counts.push(counts);
            }
            Opened::Table(FoundTable::Lines(lines, map), who_chose) => {
                let group = GroupedLines::group(lines, map, (input, who_chose), limits, unusable)?;
                self.tables.push(Grouped::Lines(group));
            }
            Opened::Table(FoundTable::Documents(table, program), who_chose) => {
                let group = GroupedDocuments::group(table, program, limits, unusable)?;
                self.tables.push(Grouped::Documents(group, who_chose));
            }
        }
        Ok(())
    }

    /// How many records can be applied.
    pub(crate) fn events(&self) -> u64 {
        self.sources.iter().map(|source| source.lines().len() as u64).sum()
    }

    /// How amounts are written, taken together.
    pub(crate) fn amounts(&self) -> AmountForms {
        let of_sources = self.sources.iter().map(|source| source.amounts);
        let of_tables = self.tables.iter().map(Grouped::amounts);
        of_sources.chain(of_tables).fold(AmountForms::default(), AmountForms::merge)
    }

    /// The bytes from which a record was made, or the first line of them.
    pub(crate) fn original<'s>(&'s self, source: &'s Source, line: &Line) -> Cow<'s, [u8]> {
        match source.origin {
            Origin::Documents(index) => self.tables[index].original(line.number),
            Origin::Records(index) => Cow::Borrowed(self.mapped_json.originals[index].get(line.original)),
            Origin::Lines => Cow::Borrowed(source.record(line)),
        }
    }
}

impl Grouped {
    /// Leaves each document in one of the files of an input.
    fn drop_repeated(tables: &mut [Self]) {
        let (mut lines, mut documents): (Vec<&mut Documents>, Vec<&mut CsvDocuments>) =
            (Vec::new(), Vec::new());
        for table in tables {
            match table {
                Self::Lines(group) => lines.push(&mut group.documents),
                Self::Documents(group, _) => documents.push(&mut group.documents),
            }
        }
        Documents::drop_repeated(&mut lines);
        CsvDocuments::drop_repeated(&mut documents);
    }

    /// The records that the documents mean, by input.
    fn read(
        &self,
        index: usize,
        joined: &[JoinedFile],
        decoder: &Decoder,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<(Vec<Source>, FileCounts), Failure> {
        match self {
            Self::Lines(group) => group.read(index, decoder, unusable),
            Self::Documents(group, who_chose) => {
                let (sources, counts) = group.read(index, joined, decoder, unusable)?;
                Ok((sources, FileCounts { is_found: *who_chose == WhoChose::Columns, ..counts }))
            }
        }
    }

    fn original(&self, line: u64) -> Cow<'_, [u8]> {
        match self {
            Self::Lines(group) => group.documents.beginning_at(line).original(&group.lines.table),
            Self::Documents(group, _) => group.original(line),
        }
    }

    fn amounts(&self) -> AmountForms {
        match self {
            Self::Lines(group) => {
                let has_decimals = group.documents.has_decimals || group.map.is_in_minor_units();
                AmountForms { has_decimals, whole: group.documents.used.len() as u64 }
            }
            // What a program makes of amounts is its own affair.
            Self::Documents(..) => AmountForms::default(),
        }
    }
}

impl GroupedLines {
    fn group(
        lines: Box<LineTable>,
        map: Rc<ColumnMap>,
        (input, who_chose): (Input, WhoChose),
        limits: Limits,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<Self, Failure> {
        let file = lines.table.file.clone();
        let mut unusable = |Unusable { refusal, line, original }: Unusable<'_>| {
            unusable(UnusableLine { refusal, file: &file, line, original })
        };
        let documents = Documents::group(&lines, &map, limits.bytes_max, &mut unusable)?;
        Ok(Self { lines, map, documents, input, who_chose })
    }

    fn read(
        &self,
        index: usize,
        decoder: &Decoder,
        unusable: &mut OnUnusable<'_>,
    ) -> Result<(Vec<Source>, FileCounts), Failure> {
        let file = &self.lines.table.file;
        let mut made = [Input::Orders, Input::Returns]
            .map(|input| Source::new(input, file.clone(), Origin::Documents(index)));
        let format =
            OrderLines { lines: &self.lines, map: &self.map, shops: decoder.shops(), role: role(self.input) };
        let mut key = Vec::new();
        for document in &self.documents.used {
            // A document is used as a whole or not at all.
            let lengths = [made[0].lines().len(), made[1].lines().len()];
            let added = format.records(document, &mut |record| {
                let source = made.iter_mut().find(|source| source.input == record.input);
                let source = source.expect("order lines mean orders and returns");
                source.add(record, document.line, decoder, &mut key)
            });
            if let Err(refusal) = added {
                made.iter_mut().zip(lengths).for_each(|(source, length)| source.truncate(length));
                let original = document.original(&self.lines.table);
                unusable(UnusableLine { refusal: &refusal, file, line: document.line, original: &original })?;
            }
        }
        made.iter_mut().for_each(Source::sort);
        Ok((made.into_iter().collect(), self.counts()))
    }

    fn counts(&self) -> FileCounts {
        let documents = &self.documents;
        let skipped = self.map.skip.iter().zip(&documents.skipped);
        FileCounts {
            file: self.lines.table.file.clone(),
            map: Some(self.map.file.clone()),
            is_found: self.who_chose == WhoChose::Columns,
            lines: Some(documents.lines),
            records: documents.used.len() as u64,
            skipped: skipped.map(|(skip, count)| (skip.name.clone(), *count)).collect(),
            hashed: 0,
            repeated: documents.repeated,
            left_out: documents.left_out,
        }
    }
}
