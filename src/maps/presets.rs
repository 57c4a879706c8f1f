//! The maps that ship, compiled in from the folder `maps`.

use std::path::Path;

use super::map_file::MapFile;
use super::or_list;
use crate::config::suggest;
use crate::exit::{Exit, Failure};

/// A map that ships.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub name: &'static str,
    pub kind: PresetKind,
    /// Its file.
    pub text: &'static str,
    /// The files beside it that its fixtures need, by name.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// How a map says what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresetKind {
    /// By a program: a [`Map`](super::Map).
    Program,
    /// By the columns of a CSV file: a [`ColumnMap`](crate::formats::order_lines::ColumnMap).
    Columns,
}

impl Preset {
    /// A file beside it.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn file(&self, path: &Path) -> Result<Vec<u8>, String> {
        let file = self.files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| "it is not compiled in".to_owned())
    }
}

/// A preset and its fixtures, from files of one name.
macro_rules! preset {
    ($name:literal) => {
        Preset {
            name: $name,
            kind: PresetKind::Program,
            text: include_str!(concat!("../../maps/", $name, ".toml")),
            files: &[(concat!($name, ".jsonl"), include_bytes!(concat!("../../maps/", $name, ".jsonl")))],
        }
    };
}

/// All of them.
pub const PRESETS: &[Preset] = &[
    preset!("shopify"),
    preset!("woocommerce"),
    preset!("segment"),
    preset!("shopify-csv"),
    preset!("woocommerce-csv"),
    preset!("olist"),
    preset!("spreadsheet"),
    Preset {
        name: "online-retail",
        kind: PresetKind::Columns,
        text: include_str!("../../maps/online-retail.toml"),
        files: &[],
    },
];

/// The preset of this name.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// What a preset says about itself.
pub fn about(preset: &Preset) -> String {
    match preset.kind {
        PresetKind::Program => {
            MapFile::parse(preset.text, preset.name).expect("a trial parses every preset").about
        }
        PresetKind::Columns => "UCI Online Retail: order lines as CSV, by their columns".to_owned(),
    }
}

/// The text of a map file.
///
/// # Errors
/// It cannot be read.
pub fn read_file(name: &str) -> Result<String, Failure> {
    std::fs::read_to_string(name).map_err(|error| {
        let is_refused = error.kind() == std::io::ErrorKind::PermissionDenied;
        let exit = if is_refused { Exit::Permission } else { Exit::Configuration };
        Failure::message(exit, unknown(name, &error))
    })
}

/// What to say where only a preset can be meant.
pub fn no_preset(name: &str) -> String {
    format!("there is no preset {name:?}; {}", hint(name))
}

/// What to say about a name that is neither a preset nor a file that can be read.
fn unknown(name: &str, error: &std::io::Error) -> String {
    format!("{name:?} is no preset, and no map file can be read there ({error}); {}", hint(name))
}

fn hint(name: &str) -> String {
    let names = || PRESETS.iter().map(|preset| preset.name);
    match suggest::nearest(name, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("presets are {}", or_list(names())),
    }
}
