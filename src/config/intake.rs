//! Sources of records in the form of shops, and their maps: `[intake]`.

use std::collections::BTreeMap;

use super::keys;
use super::layers::Path;
use super::reader::Reader;
use super::secret::Secret;
use super::{DeadLetterValues, Topics};
use crate::topic::Input;

/// What an application's name may not end with, and an instance's not begin with: the group and the transactional ids of the intake
/// of `shop` begin with `shop-intake`.
const RESERVED: &str = "intake";

/// The consumer group of an application's intake, and the beginning of its transactional ids.
pub fn intake_group(application: &str) -> String {
    format!("{application}-{RESERVED}")
}

/// Where records in the form of shops come from.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// By name; all topics differ.
    pub sources: Vec<IntakeSource>,
    /// The key under which identities are hashed.
    pub secret: Option<Secret>,
    pub dead_letter_values: DeadLetterValues,
}

impl IntakeSettings {
    /// The topics of all sources.
    pub fn topics(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().flat_map(|source| &source.topics)
    }
}

/// Topics whose records one map reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntakeSource {
    pub name: String,
    pub topics: Vec<String>,
    /// A preset, or the path of a map file.
    pub map: String,
    /// By the map's names.
    pub options: BTreeMap<String, String>,
    /// The store of records for which the map gives none.
    pub store: Option<String>,
}

/// Reads `[intake]`; none without a source.
pub(super) fn read(
    reader: &mut Reader<'_>,
    own: &Topics,
    application: &str,
    instance: &str,
) -> Option<IntakeSettings> {
    let secret = read_secret(reader);
    let dead_letter_values = reader.get(&keys::INTAKE_DEAD_LETTER_VALUES);
    let names = reader.layers.names_below_two("intake", "sources");
    if names.is_empty() {
        return None;
    }
    if application.ends_with(&format!("-{RESERVED}")) {
        let message = format!(
            "ends with \"-{RESERVED}\", as the group of another application's intake would; choose another name"
        );
        reader.refuse(Path::of(keys::APPLICATION.key.path), message);
    }
    if instance.starts_with(&format!("{RESERVED}-")) {
        let message = format!(
            "begins with \"{RESERVED}-\", and transactional ids of `run` and `intake` would meet; choose another name"
        );
        reader.refuse(Path::of(keys::INSTANCE.key.path), message);
    }
    let mut sources: Vec<IntakeSource> = Vec::new();
    for name in names {
        if let Some(source) = read_source(reader, &name) {
            refuse_shared_topics(reader, &source, &sources, own);
            sources.push(source);
        }
    }
    Some(IntakeSettings { sources, secret, dead_letter_values })
}

/// The key under which identities are hashed.
pub(super) fn read_secret(reader: &mut Reader<'_>) -> Option<Secret> {
    let path = reader.optional(&keys::INTAKE_SECRET_FILE)?;
    let secret = Secret::from_file_of_ours(&path);
    secret.map_err(|message| reader.refuse(Path::of(keys::INTAKE_SECRET_FILE.key.path), message)).ok()
}

fn read_source(reader: &mut Reader<'_>, name: &str) -> Option<IntakeSource> {
    let path = |last: &str| Path::below(&["intake", "sources", name, last]);
    let topics = reader.below(&path("topics"), &keys::INTAKE_TOPICS);
    let map = reader.below(&path("map"), &keys::INTAKE_MAP);
    let store = reader.below(&path("store"), &keys::INTAKE_STORE);
    let mut options = BTreeMap::new();
    for option in reader.layers.option_names(name) {
        let path = Path::below(&["intake", "sources", name, "options", &option]);
        if let Some(value) = reader.below(&path, &keys::INTAKE_OPTIONS) {
            options.insert(option, value);
        }
    }
    Some(IntakeSource { name: name.to_owned(), topics: topics?, map: map?, options, store })
}

/// A topic has one map, and what intake writes it does not read.
fn refuse_shared_topics(
    reader: &mut Reader<'_>,
    source: &IntakeSource,
    earlier: &[IntakeSource],
    own: &Topics,
) {
    for (index, topic) in source.topics.iter().enumerate() {
        let other = earlier.iter().find(|other| other.topics.contains(topic));
        let message = if let Some(other) = other {
            format!("{topic:?} belongs to the source {:?} already; a topic has one map", other.name)
        } else if source.topics[..index].contains(topic) {
            format!("{topic:?} stands there twice")
        } else if let Some(own) = own.all().find(|of| own.name(*of) == topic) {
            match own_input(own) {
                Some(input) => format!(
                    "{topic:?} is the topic of {} themselves, which intake writes; name the topic of the shop's records",
                    input.name()
                ),
                None => format!(
                    "{topic:?} is a topic that the service writes; name the topic of the shop's records"
                ),
            }
        } else {
            continue;
        };
        reader.refuse(Path::below(&["intake", "sources", &source.name, "topics"]), message);
    }
}

fn own_input(topic: crate::topic::Topic) -> Option<Input> {
    match topic {
        crate::topic::Topic::Input(input) => Some(input),
        crate::topic::Topic::Output(_) | crate::topic::Topic::Registry => None,
    }
}

/// The group under which the combiner commits how far it has combined shares.
pub fn combiner_group(application: &str) -> String {
    format!("{application}.combiner")
}
