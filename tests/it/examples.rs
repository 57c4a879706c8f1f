//! The records under `schemas/examples`, read as `schemas/README.md` describes them, for the schemas' and the decoder's tests.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The input topics' schemas; all others describe what we write.
pub const INPUTS: [&str; 3] = ["orders", "returns", "erasures"];

/// Every schema, by name.
pub const SCHEMAS: [&str; 11] = [
    "orders",
    "returns",
    "erasures",
    "signals",
    "customers",
    "dead-letters",
    "shop-metrics",
    "cohorts",
    "cohort-months",
    "summary",
    "backtest",
];

/// A record that its schema accepts, and the decoder too if it is an input.
pub struct ValidExample {
    /// Path below the project, for messages.
    pub path: String,
    pub text: String,
}

/// A record that is wrong in one way.
pub struct InvalidExample {
    /// Path below the project, for messages.
    pub path: String,
    /// The dead-letter reason; none for outputs.
    pub reason: Option<String>,
    pub verdict: Verdict,
    pub settings: Settings,
    /// None: a record without a key, or an output.
    pub key: Option<Vec<u8>>,
    /// None: a null value.
    pub value: Option<Vec<u8>>,
}

/// What the schema says about an invalid example.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Refuses,
    Accepts,
    NotApplicable,
}

/// With which settings the decoder refuses an invalid example.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settings {
    #[default]
    OneShop,
    Stores,
}

/// The file format of an invalid example.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapper {
    about: String,
    reason: Option<String>,
    schema: Verdict,
    #[serde(default)]
    settings: Settings,
    key: Option<String>,
    key_base64: Option<String>,
    record: Option<Box<RawValue>>,
    text: Option<String>,
    base64: Option<String>,
    #[serde(default)]
    absent: bool,
    pad_to_bytes: Option<usize>,
}

/// The valid examples of a schema, by name.
pub fn valid(schema: &str) -> Vec<ValidExample> {
    files(&format!("schemas/examples/{schema}/valid"))
        .into_iter()
        .map(|path| ValidExample { text: read(&path), path })
        .collect()
}

/// The invalid examples of a schema, by name.
pub fn invalid(schema: &str) -> Vec<InvalidExample> {
    files(&format!("schemas/examples/{schema}/invalid"))
        .into_iter()
        .map(|path| {
            let wrapper =
                serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            unwrap(path, wrapper)
        })
        .collect()
}

/// The id that a field of a record means: a string that is not empty, or the digits of a whole number.
pub fn id(field: &Value) -> Option<String> {
    let digits = field.as_u64().map(|number| number.to_string());
    digits.or_else(|| field.as_str().filter(|id| !id.is_empty()).map(str::to_owned))
}

/// A schema as JSON.
pub fn schema(name: &str) -> Value {
    let path = format!("schemas/{name}.schema.json");
    serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file of the project as text.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The JSON files of a folder of the project, sorted.
pub fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<String> = entries
        .map(|entry| entry.expect("a readable folder").file_name())
        .map(|name| name.into_string().expect("names in UTF-8"))
        .filter(|name| name.ends_with(".json"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn unwrap(path: String, wrapper: Wrapper) -> InvalidExample {
    assert!(!wrapper.about.is_empty(), "{path}: about says nothing");
    assert!(wrapper.key.is_none() || wrapper.key_base64.is_none(), "{path}: two keys");
    let key = match wrapper.key_base64 {
        None => wrapper.key.map(String::into_bytes),
        Some(key) => Some(STANDARD.decode(key).expect("a key in base64")),
    };
    let value = match (wrapper.record, wrapper.text, wrapper.base64, wrapper.absent) {
        (Some(record), None, None, false) => Some(record.get().as_bytes().to_vec()),
        (None, Some(text), None, false) => Some(text.into_bytes()),
        (None, None, Some(bytes), false) => Some(STANDARD.decode(bytes).expect("a value in base64")),
        (None, None, None, true) => None,
        _ => panic!("{path}: needs exactly one of record, text, base64 and absent"),
    };
    let value = value.map(|mut value| {
        if let Some(bytes) = wrapper.pad_to_bytes {
            assert!(value.len() < bytes, "{path}: nothing to pad");
            value.resize(bytes, b' ');
        }
        value
    });
    InvalidExample {
        path,
        reason: wrapper.reason,
        verdict: wrapper.schema,
        settings: wrapper.settings,
        key,
        value,
    }
}
