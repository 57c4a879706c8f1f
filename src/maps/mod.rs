//! Maps: what a shop sends → native records. A map is a small TOML file around a jq program; presets are compiled in.
//!
//! ```text
//!  source record           bytes of JSON, or a document of a CSV file that is built already
//!    │ json, envelope       read strictly, no number passes through a float; envelopes are taken off
//!    ▼
//!  jq program              run within a budget of steps and stack
//!    │ emit                 `{event: …}` → JSON of an input topic, `{skip: …}` → a reason of the map
//!    ▼
//!  native::Decoder         as the service itself will read the record
//! ```
//!
//! Use: `Map::load("shopify", &options, secret)` once, then [`Map::records`] for each source record: all that it means, or one
//! [`Refusal`] and nothing. Each [`MappedRecord`] has its input topic, its record key (the customer's, as the service demands),
//! its JSON and its event time. `docs/MAPS.md` describes map files and filters.

mod amount;
mod arithmetic;
mod emit;
mod envelope;
mod filters;
mod fixtures;
mod json;
mod map_file;
mod presets;
mod program;
mod rewrite;
mod run;
mod times;

use std::fmt::Write;

use jaq_json::Val;

pub use emit::{EventKind, MappedRecord};
pub use fixtures::{Difference, FixtureReport, any_currency_decoder, described, test_fixtures};
pub use json::read as read_json;
pub use map_file::{InputFormat, Options};
pub use presets::{PRESETS, Preset, PresetKind, about, no_preset, read_file};

use emit::Emitter;
use envelope::Envelope;
use map_file::MapFile;
use program::Program;
use run::{Failed, Run};

use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};
use crate::formats::native::Decoder;
use crate::wire::reason::{Reason, Refusal};

/// At most so many records come from one source record; a page of orders has 250.
pub const EMITTED_MAX: usize = 1_000;

/// At most so many reasons to pass a record over does a map have: each is a metric's label.
pub const SKIP_REASONS_MAX: usize = 32;

/// A compiled map with its options.
pub struct Map {
    name: String,
    hash: String,
    about: String,
    input: InputFormat,
    envelopes: Vec<Envelope>,
    program: Program,
    options: Val,
    secret: Option<[u8; 32]>,
    hashes_identities: bool,
    /// Of records for which the program gives none.
    store: Option<String>,
}

/// What is given to a map at once.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a> {
    pub content: Content<'a>,
    pub meta: Meta<'a>,
}

/// The record itself.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A record without a value.
    Null,
    /// Bytes that should be JSON.
    Json(&'a [u8]),
    /// A value that is built already: a document of a CSV file.
    Document(&'a Val),
}

/// What is known of a record beside its value: `$meta` of the program.
#[derive(Clone, Copy, Default, Debug)]
pub struct Meta<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub timestamp: Option<Time>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What a source record means.
#[derive(Default, Debug)]
pub struct Mapped {
    /// In the order in which the program emits them.
    pub records: Vec<MappedRecord>,
    /// Positions in [`Map::skip_reasons`].
    pub skipped: Vec<usize>,
    /// Whether the program has hashed something with the secret.
    pub has_hashed: bool,
}

/// Why a source record is refused, and what jq says about it. The message may hold data of the record: it is for the person who
/// tries a map, never for a log or a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    pub refusal: Refusal,
    pub message: Option<String>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, message: None }
    }
}

impl Map {
    /// The preset of this name, or else the map file at this path.
    ///
    /// `secret` is what the filter `hashed` hashes with; a map that does not use the filter needs none.
    ///
    /// # Errors
    /// 78: there is no such map, the file or its program is wrong, or an option is.
    pub fn load(name: &str, options: &Options, secret: Option<&[u8]>) -> Result<Self, Failure> {
        let map = match presets::find(name) {
            Some(preset) if preset.kind == PresetKind::Columns => {
                Err(format!("{name} says what columns mean and has no program; `replay --map` reads it"))
            }
            Some(preset) => Self::parse(preset.text, preset.name, options, secret),
            None => Self::parse(&presets::read_file(name)?, name, options, secret),
        };
        map.map_err(|problem| Failure::message(Exit::Configuration, problem))
    }

    /// A map from the text of its file; `origin` is what errors call it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str, origin: &str, options: &Options, secret: Option<&[u8]>) -> Result<Self, String> {
        let file = MapFile::parse(text, origin)?;
        let chosen = file.chosen(options).map_err(|problem| format!("{origin}: {problem}"))?;
        let mut program = Program::compile(&file.program, origin, file.program_line)?;
        if file.envelopes.contains(&Envelope::Debezium) {
            program.add_skip_reason(envelope::TOMBSTONE);
        }
        let secret = secret.map(|secret| blake3::derive_key(HASHED_CONTEXT, secret));
        let mut hasher = blake3::Hasher::new();
        hasher.update(text.as_bytes());
        for (name, value) in &chosen {
            let value = value.as_deref().unwrap_or("\0");
            for part in [name.as_str(), value] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
            }
        }
        let hash = hasher.finalize().to_hex()[..16].to_owned();
        // The choice of presets by which they do not hash although their program can.
        let hashes_by_choice = chosen.get("identity").and_then(Option::as_deref) != Some("id");
        let hashes_identities = hashes_by_choice && program.uses_hashed();
        let options = chosen.into_iter().map(|(name, value)| {
            let value = value.map_or(Val::Null, Val::from);
            (Val::from(name), value)
        });
        Ok(Self {
            name: file.name,
            hash,
            about: file.about,
            input: file.input,
            envelopes: file.envelopes,
            program,
            options: Val::obj(options.collect()),
            secret,
            hashes_identities,
            store: None,
        })
    }

    /// The store of records for which the program gives none.
    pub fn set_store(&mut self, store: &str) {
        self.store = Some(store.to_owned());
    }

    /// As the file names it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence about it.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Sixteen hex digits that change with the map's text and with its options.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it reads.
    pub fn input(&self) -> &InputFormat {
        &self.input
    }

    /// Why it passes records over; [`Mapped::skipped`] counts positions in this list.
    pub fn skip_reasons(&self) -> &[String] {
        self.program.skip_reasons()
    }

    /// Whether its program hashes with the secret.
    pub fn needs_secret(&self) -> bool {
        self.program.uses_hashed()
    }

    /// Whether customers are hashes under the secret, with the options that were chosen.
    pub fn hashes_identities(&self) -> bool {
        self.hashes_identities
    }

    /// What a source record means.
    ///
    /// # Errors
    /// Why nothing of it can be used.
    pub fn records(&self, source: &SourceRecord<'_>, decoder: &Decoder) -> Result<Mapped, Refusal> {
        self.try_records(source, decoder).map_err(|refused| refused.refusal)
    }

    /// The same with what jq says, for the person who tries a map.
    ///
    /// # Errors
    /// Why nothing of it can be used.
    pub fn try_records(&self, source: &SourceRecord<'_>, decoder: &Decoder) -> Result<Mapped, Refused> {
        let mut attributes = Vec::new();
        let value = match source.content {
            Content::Document(document) => document.clone(),
            Content::Json(bytes) => {
                let bytes = envelope::without_prefix(bytes, &self.envelopes)?;
                let value = json::read(bytes, decoder.limits())?;
                envelope::unwrap(value, &self.envelopes, &mut attributes)?
            }
            Content::Null => Val::Null,
        };
        if matches!((&value, source.content), (Val::Null, Content::Json(_) | Content::Null)) {
            return self.without_value();
        }
        let meta = self.program.uses_meta().then(|| meta_value(&source.meta, attributes));
        let run = Run::new(&self.program, &source.meta, decoder, self.secret.as_ref());
        let mut emitter = Emitter::new(self, decoder);
        let variables = [self.options.clone(), meta.unwrap_or(Val::Null)];
        let outcome = run::each_output(&self.program, &run, value, variables, &mut |output| {
            emitter.add(&output).map_err(Failed::Refused)
        });
        match outcome {
            Ok(()) => {
                let mapped = emitter.finish()?;
                Ok(Mapped { has_hashed: run.has_hashed(), ..mapped })
            }
            Err(Failed::Refused(refusal)) => Err(refusal.into()),
            Err(Failed::Jq { refusal, message }) => Err(Refused { refusal, message: Some(message) }),
        }
    }

    /// A tombstone follows each deleted row of Debezium; of all others a record without a value means nothing.
    fn without_value(&self) -> Result<Mapped, Refused> {
        if self.envelopes.contains(&Envelope::Debezium) {
            return Ok(Mapped { skipped: vec![self.skip_reasons().len() - 1], ..Mapped::default() });
        }
        Err(Refusal::new(Reason::NullValue, "the value is null").into())
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Map")
            .field("name", &self.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// Separates these hashes from all others that are made with the same secret.
const HASHED_CONTEXT: &str = "retention-signals 2026 maps: hashed";

fn meta_value(meta: &Meta<'_>, attributes: Vec<(Val, Val)>) -> Val {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map_or(Val::Null, |text| Val::from(text.to_owned()));
    let headers = meta.headers.iter().map(|(name, value)| (Val::from((*name).to_owned()), text(value)));
    let fields = [
        ("topic", Val::from(meta.topic.to_owned())),
        ("key", meta.key.map_or(Val::Null, text)),
        ("timestamp", meta.timestamp.map_or(Val::Null, |time| Val::from(times::text(time)))),
        ("headers", Val::obj(headers.collect())),
    ];
    let fields = fields.map(|(name, value)| (Val::from(name.to_owned()), value));
    Val::obj(fields.into_iter().chain(attributes).collect())
}

/// A list as a sentence has it: `a, b or c`.
fn or_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let before = match index {
            0 => "",
            _ if index + 1 == names.len() => " or ",
            _ => ", ",
        };
        write!(text, "{before}{name}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests;
