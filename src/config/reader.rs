//! Typed values out of the layers. A value that cannot be read becomes a problem and its default is used instead, so
//! that one run finds everything that is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;

use super::AtEnd;
use super::keys::{DECIMAL_DIGITS_MAX, KEYS, KeyDefault, Kind, NAME_BYTES_MAX, ONE, TOPIC_BYTES_MAX};
use super::layers::{Entry, Layers, Origin, Path, Raw};
use super::problem::{Problem, Problems};
use super::text::{parse_duration, parse_size};
use crate::domain::values::number::Decimal;
use crate::domain::values::time::{Span, Time};

/// Reads keys and remembers what is wrong.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    pub(super) fn name(&mut self, path: &str) -> String {
        self.required(path, |text, kind| {
            let is_allowed = is_name(text, NAME_BYTES_MAX);
            is_allowed.then(|| text.to_owned()).ok_or_else(|| outside(text, kind))
        })
    }

    pub(super) fn topic(&mut self, path: &str) -> String {
        self.required(path, parse_topic)
    }

    /// A topic that may be left out.
    pub(super) fn optional_topic(&mut self, path: &str) -> Option<String> {
        let path = Path::of(path);
        self.read(&path, parse_topic)
    }

    /// The choice as the table writes it.
    pub(super) fn choice(&mut self, path: &str) -> &'static str {
        self.required(path, |text, kind| {
            let Kind::Choice(choices) = kind else { unreachable!("{path} is a choice") };
            choices
                .iter()
                .find(|choice| **choice == text)
                .copied()
                .ok_or_else(|| format!("{text:?} is none of {}", kind.bounds()))
        })
    }

    pub(super) fn count(&mut self, path: &str) -> u64 {
        self.required(path, |text, kind| {
            let Kind::Count { unit, min, max } = kind else { unreachable!("{path} is a count") };
            let number = whole(text).ok_or_else(|| format!("{text:?} is not a whole number of {unit}"))?;
            within(number, min, max, text, kind)
        })
    }

    pub(super) fn size(&mut self, path: &str) -> u64 {
        self.required(path, |text, kind| {
            let Kind::SizeBytes { min, max } = kind else { unreachable!("{path} is a size") };
            within(parse_size(text)?, min, max, text, kind)
        })
    }

    fn millis(&mut self, path: &str) -> u64 {
        self.required(path, |text, kind| {
            let Kind::DurationMillis { min, max } = kind else { unreachable!("{path} is a duration") };
            within(parse_duration(text)?, min, max, text, kind)
        })
    }

    pub(super) fn duration(&mut self, path: &str) -> Duration {
        Duration::from_millis(self.millis(path))
    }

    pub(super) fn span(&mut self, path: &str) -> Span {
        Span::from_millis(i64::try_from(self.millis(path)).expect("bounded by the table"))
    }

    pub(super) fn decimal(&mut self, path: &str) -> Decimal {
        self.required(path, |text, kind| {
            let Kind::Decimal { min, max, .. } = kind else { unreachable!("{path} is a decimal") };
            let decimal = Decimal::parse(text).ok_or_else(|| not_decimal(text))?;
            let scaled = decimal.numerator() * i128::from(ONE);
            if scaled % decimal.denominator() != 0 {
                return Err(format!("{text} has more than {DECIMAL_DIGITS_MAX} digits after the point"));
            }
            let scaled = u64::try_from(scaled / decimal.denominator()).unwrap_or(u64::MAX);
            within(scaled, min, max, text, kind).map(|_| decimal)
        })
    }

    pub(super) fn path(&mut self, path: &str) -> PathBuf {
        self.required(path, parse_path)
    }

    /// A path that may be left out.
    pub(super) fn optional_path(&mut self, path: &str) -> Option<PathBuf> {
        let path = Path::of(path);
        self.read(&path, parse_path)
    }

    pub(super) fn address(&mut self, path: &str) -> SocketAddr {
        self.required(path, |text, _| {
            text.parse()
                .map_err(|_| format!("{text:?} is not an IP address and a port, such as 127.0.0.1:9464"))
        })
    }

    pub(super) fn clock_end(&mut self, path: &str) -> AtEnd {
        self.required(path, |text, kind| match text {
            "wall" => Ok(AtEnd::Wall),
            "stay" => Ok(AtEnd::Stay),
            _ => DateTime::parse_from_rfc3339(text)
                .ok()
                .and_then(|instant| Time::from_millis(instant.timestamp_millis()))
                .map(AtEnd::At)
                .ok_or_else(|| format!("{text:?} is none of {} (with an offset)", kind.bounds())),
        })
    }

    /// A value of a key below a name that the user chose; what it holds by default must be in the table too.
    pub(super) fn below<T>(&mut self, path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let key = path.key().expect("the table has a row for it");
        let given = self.layers.get(path).is_some();
        self.read(path, |text, _| parse(text)).or_else(|| match key.default {
            KeyDefault::Value(text) => Some(parse(text).expect("defaults can be read")),
            KeyDefault::Required if !given => {
                self.missing(path);
                None
            }
            KeyDefault::Required | KeyDefault::HostName | KeyDefault::Nothing => None,
        })
    }

    /// Two settings that must fit each other; not said of one that could not be read.
    pub(super) fn relation(&mut self, paths: [&str; 2], holds: bool, message: impl FnOnce() -> String) {
        let [path, other] = paths.map(Path::of);
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
            | Kind::Path
            | Kind::Choice(_)
            | Kind::DurationMillis { .. }
            | Kind::SizeBytes { .. }
            | Kind::Count { .. }
            | Kind::Decimal { .. }
            | Kind::Zone
            | Kind::Rate
            | Kind::Address
            | Kind::ClockEnd => "is not set",
        };
        self.problems.add(Problem::missing(path.clone(), message.to_owned()));
    }

    /// The value, or else the default so that reading goes on.
    fn required<T>(&mut self, path: &str, parse: impl Fn(&str, Kind) -> Result<T, String>) -> T {
        let key = KEYS.iter().find(|key| key.path == path).expect("the table lists every key that is read");
        let given = self.layers.get(&Path::of(path)).is_some();
        let value = self.read(&Path::of(path), &parse);
        if value.is_none() && !given {
            self.missing(&Path::of(path));
        }
        let stand_in = match key.default {
            KeyDefault::Value(text) => text,
            KeyDefault::HostName | KeyDefault::Nothing | KeyDefault::Required => "unset",
        };
        value.unwrap_or_else(|| parse(stand_in, key.kind).expect("defaults can be read"))
    }

    fn read<T>(&mut self, path: &Path, parse: impl Fn(&str, Kind) -> Result<T, String>) -> Option<T> {
        let key = path.key().expect("the table has a row for it");
        let Entry { value, origin } = self.layers.get(path)?;
        let read = match value {
            Raw::Scalar(text) => parse(text, key.kind),
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

/// Why a text is no exact decimal.
pub(super) fn not_decimal(text: &str) -> String {
    format!("{text:?} is not a decimal; write digits with at most one point, such as 45 or 1.5")
}

fn parse_topic(text: &str, kind: Kind) -> Result<String, String> {
    let is_allowed = is_name(text, TOPIC_BYTES_MAX) && text != "." && text != "..";
    is_allowed.then(|| text.to_owned()).ok_or_else(|| outside(text, kind))
}

fn parse_path(text: &str, _: Kind) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty; give a path or leave the key out".to_owned());
    }
    Ok(PathBuf::from(text))
}

fn within(number: u64, min: u64, max: u64, text: &str, kind: Kind) -> Result<u64, String> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(outside(text, kind))
}

fn outside(text: &str, kind: Kind) -> String {
    format!("{text:?} is out of bounds; give {}", kind.bounds().replace('`', ""))
}

fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
