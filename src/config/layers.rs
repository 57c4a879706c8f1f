//! Raw settings: flags over environment over file over fallbacks over defaults, each value with its origin.

use std::collections::BTreeMap;

use toml::de::{DeArray, DeTable, DeValue};

use super::keys::{KEYS, Key, KeyDefault, Kind, RULES_FILES};
use super::problem::{Problem, Problems};
use super::secret::Secret;
use super::values::integer_text;
use super::{Sources, kafka, rules, suggest};
use crate::domain::rules::rule::RuleSet;

/// What every environment variable of ours begins with. Sections are joined by two underscores.
pub const ENVIRONMENT_PREFIX: &str = "RETENTION_";

/// The environment variable that names the file; handled with the flags.
pub const ENVIRONMENT_CONFIG: &str = "RETENTION_CONFIG";

/// A key that was written somewhere: its sections and name. A client option's name is one segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Path(Vec<String>);

/// A value as it was written, and where.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Raw,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// A string, number, boolean or date, as its text.
    Scalar(String),
    /// A client option that is never printed.
    Secret(Secret),
    /// What no key takes: its name for the message.
    Other(&'static str),
}

/// Where a value comes from, from weak to strong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    Default,
    /// What a command assumes where the user sets nothing, such as the currency of a column map.
    Fallback(&'static str),
    File {
        line: usize,
    },
    /// A file that the settings name.
    OtherFile {
        file: String,
        line: usize,
    },
    Environment(String),
    Flag,
}

/// All layers merged: the strongest value of each key.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub(super) entries: BTreeMap<Path, Entry>,
    /// The text of the file: rules are read from it by themselves.
    pub(super) file_text: Option<String>,
    /// Names and texts of files of rules that no key names.
    pub(super) rule_files: Vec<(&'static str, String)>,
}

impl Layers {
    /// Merges the sources. An unknown key, or one that its source may not hold, becomes a problem.
    pub(super) fn merge(sources: &Sources, problems: &mut Problems) -> Self {
        let mut layers = Self {
            entries: BTreeMap::new(),
            file_text: sources.file_text.clone(),
            rule_files: sources.rule_files.clone(),
        };
        layers.add_defaults(sources);
        for (path, value, by) in &sources.fallbacks {
            layers.add(Path::of(path), Raw::Scalar(value.clone()), Origin::Fallback(by), problems);
        }
        if let Some(text) = &sources.file_text {
            layers.add_file(text, problems);
        }
        for (name, value) in &sources.environment {
            layers.add_variable(name, value, problems);
        }
        for assignment in &sources.assignments {
            layers.add_assignment(assignment, problems);
        }
        layers
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Adds a line about the rules, which come from the file or from those that it names.
    pub(super) fn add_rules(&mut self, rules: Option<&RuleSet>) {
        let Some(summary) = rules.map(rules::summary) else { return };
        let files = self.get(&Path::of(RULES_FILES.key.path)).map(|entry| entry.origin.clone());
        let line =
            self.file_text.as_deref().unwrap_or_default().lines().position(|line| line.contains("rule"));
        let origin = files.unwrap_or(Origin::File { line: line.unwrap_or_default() + 1 });
        self.entries.insert(Path(vec!["rule".to_owned()]), Entry { value: Raw::Scalar(summary), origin });
    }

    /// The names directly below a section that were set: store ids, currencies, client options.
    pub(super) fn names_below(&self, section: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .entries
            .keys()
            .filter(|path| path.0[0] == section)
            .filter_map(|path| path.0.get(1).cloned())
            .collect();
        names.dedup();
        names
    }

    /// The names directly below two sections that were set, such as those of sources.
    pub(super) fn names_below_two(&self, outer: &str, inner: &str) -> Vec<String> {
        let below = self
            .entries
            .keys()
            .filter(|path| path.0[0] == outer && path.0.get(1).is_some_and(|name| name == inner));
        let mut names: Vec<String> = below.filter_map(|path| path.0.get(2).cloned()).collect();
        names.dedup();
        names
    }

    /// The names below the options of a source, in their order.
    pub(super) fn option_names(&self, source: &str) -> Vec<String> {
        let prefix = ["intake", "sources", source, "options"];
        let below = self
            .entries
            .keys()
            .filter(|path| path.0.len() == 5 && path.0.iter().zip(prefix).all(|(name, of)| name == of));
        below.filter_map(|path| path.0.last().cloned()).collect()
    }

    fn add_defaults(&mut self, sources: &Sources) {
        for key in KEYS.iter().filter(|key| !key.path.contains('<')) {
            let text = match key.default {
                KeyDefault::Value(text) => text.to_owned(),
                KeyDefault::HostName => match &sources.host_name {
                    Some(name) => name.clone(),
                    None => continue,
                },
                KeyDefault::Nothing | KeyDefault::Required => continue,
            };
            let entry = Entry { value: Raw::Scalar(text), origin: Origin::Default };
            self.entries.insert(Path::of(key.path), entry);
        }
    }

    fn add_file(&mut self, text: &str, problems: &mut Problems) {
        let line_at = |offset: usize| 1 + text[..offset].bytes().filter(|byte| *byte == b'\n').count();
        match DeTable::parse(text) {
            Ok(table) => {
                let mut leaves = Vec::new();
                flatten(table.get_ref(), &Path(Vec::new()), &mut leaves);
                // What rules and their like are made of is read elsewhere.
                let is_layered =
                    |path: &Path| path.key().is_some() || !rules::SECTIONS.contains(&path.0[0].as_str());
                for (path, value, offset) in leaves.into_iter().filter(|(path, ..)| is_layered(path)) {
                    let origin = Origin::File { line: line_at(offset) };
                    self.add(path, value, origin, problems);
                }
            }
            Err(error) => {
                let line = error.span().map_or(1, |span| line_at(span.start));
                let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
                problems.add(Problem::at(Origin::File { line }, message));
            }
        }
    }

    fn add_variable(&mut self, name: &str, value: &str, problems: &mut Problems) {
        let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
            return;
        };
        let origin = Origin::Environment(name.to_owned());
        let path = match rest.split_once("__") {
            Some(("STORES", _)) => {
                let message = "stores cannot be set by the environment, because ids keep their case; write them in the file";
                return problems.add(Problem::at(origin, message.to_owned()));
            }
            Some(("KAFKA", option)) => Path::client(&option.to_lowercase().replace('_', ".")),
            Some((section @ ("RATES" | "CURRENCIES"), code)) => {
                Path(vec![section.to_lowercase(), code.to_owned()])
            }
            Some(_) | None => Path(rest.split("__").map(str::to_lowercase).collect()),
        };
        if path.key().is_some() {
            return self.add(path, Raw::Scalar(value.to_owned()), origin, problems);
        }
        let names: Vec<String> = KEYS.iter().map(|key| environment_name(key.path)).collect();
        // Kubernetes sets RETENTION_PORT and the like for a service called `retention`: only what looks like a
        // misspelt name of ours is an error.
        let is_ours =
            rest.contains("__") || names.iter().any(|known| strsim::damerau_levenshtein(name, known) <= 2);
        if is_ours && name != ENVIRONMENT_CONFIG {
            let near = suggest::nearest(name, names.iter().map(String::as_str));
            problems.add(Problem::at(origin, unknown(near)));
        }
    }

    fn add_assignment(&mut self, assignment: &str, problems: &mut Problems) {
        let Some((name, value)) = assignment.split_once('=') else {
            let message = format!("{assignment:?} is not KEY=VALUE, such as commit.interval=50ms");
            return problems.add(Problem::at(Origin::Flag, message));
        };
        let document = format!("{} = ''", name.trim());
        let mut leaves = Vec::new();
        if let Ok(table) = DeTable::parse(&document) {
            flatten(table.get_ref(), &Path(Vec::new()), &mut leaves);
        }
        match <[_; 1]>::try_from(leaves) {
            Ok([(path, _, _)]) => {
                self.add(path, Raw::Scalar(without_quotes(value.trim()).to_owned()), Origin::Flag, problems);
            }
            Err(_) => {
                let message =
                    format!("{name:?} is not a key; write it as in the file, such as commit.interval");
                problems.add(Problem::at(Origin::Flag, message));
            }
        }
    }

    fn add(&mut self, path: Path, value: Raw, origin: Origin, problems: &mut Problems) {
        if path.key().is_none() {
            let near = path.nearest();
            return problems.add(Problem::of(path, origin, unknown(near.as_deref())));
        }
        let value = match (value, path.client_option()) {
            (Raw::Scalar(text), Some(option)) if kafka::is_secret(option) => {
                if !matches!(origin, Origin::Environment(_)) {
                    let message = kafka::secret_misplaced(option);
                    return problems.add(Problem::of(path, origin, message));
                }
                Raw::Secret(Secret::new(text.into_bytes()))
            }
            (value, _) => value,
        };
        self.entries.insert(path, Entry { value, origin });
    }
}

fn unknown(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("unknown key; did you mean {near}?"),
        None => "unknown key; docs/CONFIGURATION.md lists all of them".to_owned(),
    }
}

/// The environment variable that sets a key of the table.
pub fn environment_name(path: &str) -> String {
    let name = match path.split_once('.') {
        Some(("kafka", option)) => format!("kafka__{}", option.replace('.', "_")),
        Some(_) | None => path.replace('.', "__"),
    };
    format!("{ENVIRONMENT_PREFIX}{}", name.to_uppercase())
}

/// The leaves of a table with their paths and byte offsets.
fn flatten(table: &DeTable<'_>, prefix: &Path, leaves: &mut Vec<(Path, Raw, usize)>) {
    for (name, value) in table {
        let path = prefix.join(name.get_ref());
        let scalar = |text: String| Raw::Scalar(text);
        let raw = match value.get_ref() {
            DeValue::String(text) => scalar(text.to_string()),
            DeValue::Integer(number) => scalar(integer_text(number)),
            DeValue::Float(number) => scalar(number.as_str().to_owned()),
            DeValue::Boolean(truth) => scalar(truth.to_string()),
            DeValue::Datetime(instant) => scalar(instant.to_string()),
            DeValue::Array(items) => list(&path, items),
            // A store with nothing but a name must be noticed; a section whose lines are all comments need not.
            DeValue::Table(table) if table.is_empty() && path.0[0] == "stores" && path.0.len() == 2 => {
                Raw::Other("an empty table")
            }
            DeValue::Table(table) => {
                flatten(table, &path, leaves);
                continue;
            }
        };
        leaves.push((path, raw, name.span().start));
    }
}

/// A list where a key takes one, as the text that the environment would give.
fn list(path: &Path, items: &DeArray<'_>) -> Raw {
    let is_taken = path.key().is_some_and(|key| matches!(key.kind, Kind::Topics | Kind::Paths));
    let texts = items.iter().map(|item| match item.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    });
    let texts: Option<Vec<&str>> = texts.collect();
    texts.filter(|_| is_taken).map_or(Raw::Other("a list"), |texts| Raw::Scalar(texts.join(",")))
}

// === impl Entry ===

impl Entry {
    /// Whether the user set it, not a default or a fallback.
    pub(super) fn is_given(&self) -> bool {
        match self.origin {
            Origin::Default | Origin::Fallback(_) => false,
            Origin::File { .. } | Origin::OtherFile { .. } | Origin::Environment(_) | Origin::Flag => true,
        }
    }
}

// === impl Path ===

impl Path {
    /// The path of a key of the table.
    pub(super) fn of(path: &str) -> Self {
        match path.split_once('.') {
            Some(("kafka", option)) => Self::client(option),
            Some(_) | None => Self(path.split('.').map(str::to_owned).collect()),
        }
    }

    pub(super) fn client(option: &str) -> Self {
        Self(vec!["kafka".to_owned(), option.to_owned()])
    }

    /// A key below a name that the user chose.
    pub(super) fn below(segments: &[&str]) -> Self {
        Self(segments.iter().map(|segment| (*segment).to_owned()).collect())
    }

    /// The row of the table that this path belongs to.
    pub(super) fn key(&self) -> Option<&'static Key> {
        let dotted = self.0.join(".");
        KEYS.iter().find(|key| key.path == dotted).or_else(|| {
            let pattern = match self.0.as_slice() {
                [section, _, name] if section == "stores" => format!("stores.<id>.{name}"),
                // Without a key of its own, so that the message names the store.
                [section, _] if section == "stores" => "stores.<id>.currency".to_owned(),
                [intake, sources, _, name] if intake == "intake" && sources == "sources" => {
                    format!("intake.sources.<name>.{name}")
                }
                [intake, sources, _, options, _]
                    if intake == "intake" && sources == "sources" && options == "options" =>
                {
                    "intake.sources.<name>.options.<option>".to_owned()
                }
                [section, _] if section == "rates" => "rates.<code>".to_owned(),
                [section, _] if section == "currencies" => "currencies.<code>".to_owned(),
                [section, _] if section == "kafka" => "kafka.<name>".to_owned(),
                _ => return None,
            };
            KEYS.iter().find(|key| key.path == pattern)
        })
    }

    fn client_option(&self) -> Option<&str> {
        let key = self.key()?;
        match key.kind {
            Kind::Client => Some(&self.0[1]),
            Kind::Name
            | Kind::Topic
            | Kind::Topics
            | Kind::Paths
            | Kind::Map
            | Kind::Text
            | Kind::Path
            | Kind::Choice(_)
            | Kind::DurationMillis { .. }
            | Kind::SizeBytes { .. }
            | Kind::Count { .. }
            | Kind::Decimal { .. }
            | Kind::Currency
            | Kind::Zone
            | Kind::Rate
            | Kind::Points
            | Kind::Address
            | Kind::ClockEnd
            | Kind::Instant => None,
        }
    }

    /// The known key most like this one, by its whole path or by its last name alone.
    fn nearest(&self) -> Option<String> {
        let dotted = self.0.join(".");
        let id = self.0.get(1).map_or("", String::as_str);
        let paths: Vec<String> = KEYS.iter().map(|key| key.path.replace("<id>", id)).collect();
        let fixed = || paths.iter().map(String::as_str).filter(|path| !path.contains('<'));
        suggest::nearest(&dotted, fixed())
            .or_else(|| {
                let last = self.0.last()?;
                fixed().find(|path| path.rsplit('.').next() == Some(last))
            })
            .map(str::to_owned)
    }

    fn join(&self, name: &str) -> Self {
        let mut segments = self.0.clone();
        match segments.as_mut_slice() {
            [section, option] if section == "kafka" => {
                option.push('.');
                option.push_str(name);
            }
            _ => segments.push(name.to_owned()),
        }
        Self(segments)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_bare = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        for (index, segment) in self.0.iter().enumerate() {
            let point = if index == 0 { "" } else { "." };
            let is_plain = match self.0[0].as_str() {
                "kafka" => segment.split('.').all(is_bare),
                _ => is_bare(segment),
            };
            if is_plain {
                write!(formatter, "{point}{segment}")?;
            } else {
                write!(formatter, "{point}{segment:?}")?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => write!(formatter, "default"),
            Self::Fallback(by) => write!(formatter, "{by}"),
            Self::File { line } => write!(formatter, "line {line}"),
            Self::OtherFile { file, line } => write!(formatter, "{} line {line}", file.escape_debug()),
            // A name may hold anything but `=`; control characters must not reach a terminal.
            Self::Environment(name) => write!(formatter, "{}", name.escape_debug()),
            Self::Flag => write!(formatter, "--set"),
        }
    }
}

/// A text of the command line may stand in quotes, as in the file.
fn without_quotes(value: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}
