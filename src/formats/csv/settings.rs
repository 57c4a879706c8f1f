//! How a CSV file is written: the part `[csv]` of maps.

use encoding_rs::Encoding;
use serde::Deserialize;

/// The part `[csv]` of a map.
#[derive(Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct CsvSettings {
    pub(super) encoding: EncodingChoice,
    pub(super) delimiter: DelimiterChoice,
    /// The character that takes away the meaning of the next one, besides a doubled quote.
    pub(super) escape: Option<Mark>,
    /// What spreadsheets put before a cell so that it stays text.
    pub(super) text_mark: Option<Mark>,
}

/// The encoding of a file.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(try_from = "String")]
pub(super) enum EncodingChoice {
    /// That of the byte order mark, else UTF-8.
    #[default]
    Auto,
    Named(&'static Encoding),
}

/// What stands between cells.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(try_from = "String")]
pub(super) enum DelimiterChoice {
    /// The one with which the columns of the map are found.
    #[default]
    Auto,
    Is(u8),
}

/// One ASCII character.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub(super) struct Mark(pub(super) u8);

/// One name or several.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(untagged)]
pub enum Names {
    One(String),
    Several(Vec<String>),
}

impl Names {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

impl TryFrom<String> for EncodingChoice {
    type Error = String;

    fn try_from(label: String) -> Result<Self, String> {
        if label == "auto" {
            return Ok(Self::Auto);
        }
        Encoding::for_label_no_replacement(label.as_bytes()).map(Self::Named).ok_or_else(|| {
            format!(
                "csv.encoding: {label:?} is not \"auto\" or the name of an encoding such as \"windows-1252\""
            )
        })
    }
}

impl TryFrom<String> for DelimiterChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            b"auto" => Ok(Self::Auto),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(Self::Is(*byte)),
            _ => Err("csv.delimiter: give \"auto\" or one character, such as \";\" or \"\\t\"".to_owned()),
        }
    }
}

impl TryFrom<String> for Mark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Ok(Self(*byte)),
            _ => {
                Err(format!("csv.escape and csv.text_mark are one character such as \"\\\\\", not {text:?}"))
            }
        }
    }
}
