//! What an intake works by.

use std::collections::BTreeMap;

use crate::config::{CommitPace, Config, DeadLetterLimit, DeadLetterValues, IntakeSource, Secret, Topics};
use crate::exit::{Exit, Failure};
use crate::formats::native::{Decoder, Limits};
use crate::maps::Map;
use crate::topic::{Input, Output, Topic};
use crate::wire::hash::intake_secret_fingerprint;

use super::port::IntakeOutput;

/// The option of presets, and its choice, with which they hash. What another map hashes without a secret becomes a dead letter.
const IDENTITY: (&str, &str) = ("identity", "email");

/// How the fingerprint of a secret begins, where it is committed beside an offset.
const SECRET_METADATA: &str = "secret ";

/// What to do where the group has committed no offset of a topic that holds records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithoutOffsets {
    /// Ends the process: whether the records were read before, only an operator knows.
    Stop,
    /// Reads everything that is there.
    FromBeginning,
    /// Passes over what is there.
    FromEnd,
}

/// What to do where the group has committed offsets under another secret than the configured one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnOtherSecret {
    /// Ends the process: each customer who is a hash would become another one.
    Stop,
    /// Goes on with the configured one, and remembers it.
    Accept,
}

/// The same for all workers of a process.
#[derive(Clone)]
pub struct IntakeRules {
    pub sources: Vec<IntakeSource>,
    secret: Option<Secret>,
    pub decoder: Decoder,
    pub commit: CommitPace,
    pub dead_letters: DeadLetterLimit,
    pub dead_letter_values: DeadLetterValues,
    /// Refused records that were appended before do not count towards the limit.
    pub dead_letters_accepted_before_ms: Option<i64>,
    pub without_offsets: WithoutOffsets,
    pub on_other_secret: OnOtherSecret,
    topics: Topics,
}

/// A source with its map, compiled. It belongs to one thread.
pub struct MappedSource {
    pub name: String,
    pub map: Map,
    /// For headers: the map's name and hash.
    pub map_label: String,
    /// What is committed beside its offsets: a fingerprint of the secret, if its map hashes identities.
    pub offset_metadata: String,
}

impl IntakeRules {
    /// None if no source is configured.
    pub fn new(config: &Config, without_offsets: WithoutOffsets) -> Option<Self> {
        let intake = config.intake.as_ref()?;
        let limits =
            Limits { bytes_max: config.record_bounds.bytes_max, depth_max: config.record_bounds.depth_max };
        Some(Self {
            sources: intake.sources.clone(),
            secret: intake.secret.clone(),
            decoder: Decoder::new(config.settings.shops.clone(), limits),
            commit: config.commit,
            dead_letters: config.dead_letters,
            dead_letter_values: intake.dead_letter_values,
            dead_letters_accepted_before_ms: None,
            without_offsets,
            on_other_secret: OnOtherSecret::Stop,
            topics: config.topics.clone(),
        })
    }

    /// Compiles the maps of all sources, in their order.
    ///
    /// # Errors
    /// 78: a map or one of its options is wrong.
    pub fn load_maps(&self) -> Result<Vec<MappedSource>, Failure> {
        let secret = self.secret.as_ref().map(Secret::expose);
        let load = |source: &IntakeSource| {
            let mut map = Map::load(&source.map, &source.options, secret).map_err(|failure| {
                let context = format!("intake.sources.{}", source.name);
                Failure { error: failure.error.context(context), ..failure }
            })?;
            let is_hashed = source.options.get(IDENTITY.0).is_some_and(|chosen| chosen == IDENTITY.1);
            if is_hashed && map.needs_secret() && secret.is_none() {
                return Err(Failure::message(
                    Exit::Configuration,
                    format!(
                        "intake.sources.{}: its map hashes identities and there is no secret; name a file that holds one in \
                         intake.secret_file (`openssl rand -hex 32` makes one), and keep it: with another one every customer is new",
                        source.name
                    ),
                ));
            }
            if let Some(store) = &source.store {
                map.set_store(store);
            }
            let map_label = format!("{} {}", map.name(), map.hash());
            let offset_metadata = secret.filter(|_| map.hashes_identities()).map(secret_metadata);
            let offset_metadata = offset_metadata.unwrap_or_default();
            Ok(MappedSource { name: source.name.clone(), map, map_label, offset_metadata })
        };
        self.sources.iter().map(load).collect()
    }

    /// Which source each raw topic belongs to.
    pub fn source_of_topics(&self) -> BTreeMap<String, usize> {
        let sources = self.sources.iter().enumerate();
        sources
            .flat_map(|(index, source)| source.topics.iter().map(move |topic| (topic.clone(), index)))
            .collect()
    }

    pub fn output_name(&self, output: IntakeOutput) -> &str {
        match output {
            IntakeOutput::Input(input) => self.topics.name(Topic::Input(input)),
            IntakeOutput::DeadLetters => self.topics.name(Topic::Output(Output::DeadLetters)),
        }
    }
}

impl MappedSource {
    /// Whether offsets with this beside them were committed while identities were hashed with another secret.
    pub fn has_other_secret(&self, metadata: &str) -> bool {
        self.map.hashes_identities()
            && metadata.starts_with(SECRET_METADATA)
            && *metadata != *self.offset_metadata
    }

    /// What a start with another secret costs, and how to go on.
    pub fn explain_other_secret(&self, topic: &str) -> String {
        format!(
            "intake.sources.{}: customers of {topic} were hashed with another secret than the one in intake.secret_file: with this one each \
             of them would be a new customer, and the old ones would lapse. Put the old secret back; if it is lost, start `intake` once \
             with --accept-new-secret (docs/INTAKE.md says what that costs)",
            self.name
        )
    }
}

fn secret_metadata(secret: &[u8]) -> String {
    use std::fmt::Write;
    let mut metadata = SECRET_METADATA.to_owned();
    for byte in intake_secret_fingerprint(secret) {
        write!(metadata, "{byte:02x}").expect("a text takes what is written");
    }
    metadata
}

impl IntakeOutput {
    /// All of them, in the order of their indexes.
    pub const ALL: [Self; Input::COUNT + 1] = {
        let mut all = [Self::DeadLetters; Input::COUNT + 1];
        let mut index = 0;
        while index < Input::COUNT {
            all[index] = Self::Input(Input::ALL[index]);
            index += 1;
        }
        all
    };

    pub const fn index(self) -> usize {
        match self {
            Self::Input(input) => input.index(),
            Self::DeadLetters => Input::COUNT,
        }
    }
}
