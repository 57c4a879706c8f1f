//! Typed values out of the layers. A value that cannot be read becomes a problem and its default is used instead, so
//! that one run finds everything that is wrong.

use super::keys::{Key, KeyDefault, Kind, Setting};
use super::layers::{Entry, Layers, Origin, Path, Raw};
use super::problem::{Problem, Problems};

/// Reads keys and remembers what is wrong.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The value, or else the default so that reading goes on.
    pub(super) fn get<T>(&mut self, setting: &Setting<T>) -> T {
        let Setting { key, parse } = setting;
        let path = Path::of(key.path);
        let value = self.read(&path, setting);
        if value.is_none() && self.layers.get(&path).is_none() {
            self.missing(&path);
        }
        let stand_in = match key.default {
            KeyDefault::Value(text) => text,
            KeyDefault::HostName | KeyDefault::Nothing | KeyDefault::Required => "unset",
        };
        value.unwrap_or_else(|| parse(stand_in, key.kind).expect("defaults can be read"))
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T>(&mut self, setting: &Setting<T>) -> Option<T> {
        self.read(&Path::of(setting.key.path), setting)
    }

    /// The value at a path with a name that the user chose, or else the default of such paths.
    pub(super) fn below<T>(&mut self, path: &Path, setting: &Setting<T>) -> Option<T> {
        self.below_by(path, setting, |text| (setting.parse)(text, setting.key.kind))
    }

    /// The same where the text means something only together with other settings.
    pub(super) fn below_by<T>(
        &mut self,
        path: &Path,
        setting: &Setting<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let key = setting.key;
        let given = self.layers.get(path).is_some();
        self.read_by(path, &parse).or_else(|| match key.default {
            KeyDefault::Value(text) => Some(parse(text).expect("defaults can be read")),
            KeyDefault::Required if !given => {
                self.missing(path);
                None
            }
            KeyDefault::Required | KeyDefault::HostName | KeyDefault::Nothing => None,
        })
    }

    /// Two settings that must fit each other. Nothing is reported of one that could not be read.
    pub(super) fn relation(&mut self, keys: [&Key; 2], holds: bool, message: impl FnOnce() -> String) {
        let [path, other] = keys.map(|key| Path::of(key.path));
        if holds || self.problems.concern(&path) || self.problems.concern(&other) {
            return;
        }
        self.refuse(path, message());
    }

    /// A problem with a value, wherever it comes from.
    pub(super) fn refuse(&mut self, path: Path, message: String) {
        let origin = self.layers.get(&path).map(|entry| entry.origin.clone());
        self.problems.add(match origin {
            Some(origin) => Problem::of(path, origin, message),
            None => Problem::missing(path, message),
        });
    }

    /// A problem with a key that has no default and was not set.
    pub(super) fn missing(&mut self, path: &Path) {
        let key = path.key().expect("the table has a row for it");
        let message = match key.kind {
            Kind::Currency => {
                "is not set; give the ISO 4217 code of the currency that figures are kept in, such as \"EUR\""
            }
            Kind::Name => "is not set and the host name is not known; give a name that is unique and stays",
            Kind::Client => "is not set; give the brokers to ask first, such as \"localhost:9092\"",
            Kind::Topic
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
            | Kind::Zone
            | Kind::Rate
            | Kind::Points
            | Kind::Address
            | Kind::ClockEnd
            | Kind::Instant => "is not set",
        };
        self.problems.add(Problem::missing(path.clone(), message.to_owned()));
    }

    fn read<T>(&mut self, path: &Path, setting: &Setting<T>) -> Option<T> {
        self.read_by(path, |text| (setting.parse)(text, setting.key.kind))
    }

    fn read_by<T>(&mut self, path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let Entry { value, origin } = self.layers.get(path)?;
        let read = match value {
            Raw::Scalar(text) => parse(text),
            Raw::Other(what) => Err(format!("is {what}; give one value")),
            Raw::Secret(_) => unreachable!("only client options are secret"),
        };
        match read {
            Ok(value) => Some(value),
            Err(message) => {
                assert_ne!(*origin, Origin::Default, "{path}: {message}");
                self.problems.add(Problem::of(path.clone(), origin.clone(), message));
                None
            }
        }
    }
}
