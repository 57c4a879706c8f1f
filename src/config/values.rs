//! How the text of a value is read, within what its key takes. The error is a sentence that goes on behind the key's name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use toml::de::DeInteger;

use super::keys::{DECIMAL_DIGITS_MAX, KeyForm, Kind, NAME_BYTES_MAX, ONE, PolicyName, TOPIC_BYTES_MAX};
use super::text::{parse_duration, parse_size};
use super::{AtEnd, DeadLetterValues, HistorySignals, LogFormat, LogLevel, SegmentRefresh, suggest};
use crate::domain::rules::points::PointsPer;
use crate::domain::values::money::Currency;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::{Span, Time, Zone};

pub(super) fn name(text: &str, kind: Kind) -> Result<String, String> {
    if is_name(text, NAME_BYTES_MAX) { Ok(text.to_owned()) } else { Err(outside(text, kind)) }
}

pub(super) fn topic(text: &str, kind: Kind) -> Result<String, String> {
    let is_allowed = is_name(text, TOPIC_BYTES_MAX) && text != "." && text != "..";
    if is_allowed { Ok(text.to_owned()) } else { Err(outside(text, kind)) }
}

/// Topic names with commas between them, as a list in the file is handed over.
pub(super) fn topics(text: &str, _: Kind) -> Result<Vec<String>, String> {
    text.split(',').map(|name| topic(name.trim(), Kind::Topic)).collect()
}

/// Paths with commas between them, as a list in the file is handed over.
pub(super) fn paths(text: &str, kind: Kind) -> Result<Vec<PathBuf>, String> {
    text.split(',').map(|name| path(name.trim(), kind)).collect()
}

pub(super) fn text(text: &str, _: Kind) -> Result<String, String> {
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn dead_letter_values(text: &str, kind: Kind) -> Result<DeadLetterValues, String> {
    match text {
        "keep" => Ok(DeadLetterValues::Keep),
        "drop" => Ok(DeadLetterValues::Drop),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn count<N: TryFrom<u64>>(text: &str, kind: Kind) -> Result<N, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let number = digits.ok_or_else(|| format!("{text:?} is not a whole number of {}", kind.unit()))?;
    within(number, text, kind)
}

pub(super) fn size(text: &str, kind: Kind) -> Result<usize, String> {
    within(parse_size(text)?, text, kind)
}

pub(super) fn duration(text: &str, kind: Kind) -> Result<Duration, String> {
    within(parse_duration(text)?, text, kind).map(Duration::from_millis)
}

pub(super) fn span(text: &str, kind: Kind) -> Result<Span, String> {
    within(parse_duration(text)?, text, kind).map(Span::from_millis)
}

pub(super) fn decimal(text: &str, kind: Kind) -> Result<Decimal, String> {
    let decimal = Decimal::parse(text).ok_or_else(|| not_decimal(text))?;
    let scaled = decimal.numerator() * i128::from(ONE);
    if scaled % decimal.denominator() != 0 {
        return Err(format!("{text} has more than {DECIMAL_DIGITS_MAX} digits after the point"));
    }
    let scaled = u64::try_from(scaled / decimal.denominator()).unwrap_or(u64::MAX);
    within::<u64>(scaled, text, kind).map(|_| decimal)
}

pub(super) fn path(text: &str, _: Kind) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty; give a path or leave the key out".to_owned());
    }
    Ok(PathBuf::from(text))
}

pub(super) fn address(text: &str, _: Kind) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IP address and a port, such as 127.0.0.1:9464"))
}

pub(super) fn clock_end(text: &str, kind: Kind) -> Result<AtEnd, String> {
    match text {
        "wall" => Ok(AtEnd::Wall),
        "stay" => Ok(AtEnd::Stay),
        _ => rfc3339(text)
            .map(AtEnd::At)
            .ok_or_else(|| format!("{text:?} is none of {} (with an offset)", kind.bounds())),
    }
}

pub(super) fn instant(text: &str, kind: Kind) -> Result<Time, String> {
    rfc3339(text).ok_or_else(|| {
        format!("{text:?} is not {}, such as 2026-01-31T00:00:00Z (with an offset)", kind.bounds())
    })
}

fn rfc3339(text: &str) -> Option<Time> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    Time::from_millis(instant.timestamp_millis())
}

pub(super) fn history_signals(text: &str, kind: Kind) -> Result<HistorySignals, String> {
    match text {
        "hold_back" => Ok(HistorySignals::HoldBack),
        "publish" => Ok(HistorySignals::Publish),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn flag(text: &str, kind: Kind) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn segment_refresh(text: &str, kind: Kind) -> Result<SegmentRefresh, String> {
    match text {
        "monthly" => Ok(SegmentRefresh::Monthly),
        "weekly" => Ok(SegmentRefresh::Weekly),
        "never" => Ok(SegmentRefresh::Never),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn key_form(text: &str, kind: Kind) -> Result<KeyForm, String> {
    match text {
        "customer_id" => Ok(KeyForm::Customer),
        "store_id/customer_id" => Ok(KeyForm::StoreAndCustomer),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn policy(text: &str, kind: Kind) -> Result<PolicyName, String> {
    match text {
        "cadence" => Ok(PolicyName::Cadence),
        "fixed" => Ok(PolicyName::Fixed),
        "model" => Ok(PolicyName::Model),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn log_level(text: &str, kind: Kind) -> Result<LogLevel, String> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn log_format(text: &str, kind: Kind) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(none_of(text, kind)),
    }
}

pub(super) fn currency(text: &str, _: Kind) -> Result<Currency, String> {
    Currency::from_code(text.as_bytes()).ok_or_else(|| {
        let capitals = text.to_uppercase();
        let known = Currency::from_code(capitals.as_bytes()).map(|_| capitals.as_str());
        let hint = suggest::nearest(&capitals, known)
            .map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("{text:?} is not the code of an ISO 4217 currency, such as EUR{hint}")
    })
}

pub(super) fn zone(text: &str, _: Kind) -> Result<Zone, String> {
    super::zone::parse(text)
}

pub(super) fn rate(text: &str, _: Kind) -> Result<Decimal, String> {
    match Decimal::parse(text) {
        Some(rate) if rate.numerator() > 0 => Ok(rate),
        Some(_) => Err("a rate must be above 0".to_owned()),
        None => Err(not_decimal(text)),
    }
}

pub(super) fn points_per(text: &str, kind: Kind) -> Result<PointsPer, String> {
    match (text, Decimal::parse(text)) {
        ("order", _) => Ok(PointsPer::Order),
        (_, Some(amount)) if amount.numerator() > 0 => Ok(PointsPer::Amount(amount)),
        (_, Some(_) | None) => Err(none_of(text, kind)),
    }
}

/// The client reads its options itself.
pub(super) fn client(text: &str, _: Kind) -> Result<String, String> {
    Ok(text.to_owned())
}

fn not_decimal(text: &str) -> String {
    format!("{text:?} is not a decimal; write digits with at most one point, such as 45 or 1.5")
}

/// A number within the bounds of its key; they fit the type that it becomes.
fn within<N: TryFrom<u64>>(number: u64, text: &str, kind: Kind) -> Result<N, String> {
    let is_within = kind.limits().is_none_or(|limits| limits.contains(&number));
    is_within.then(|| N::try_from(number).ok()).flatten().ok_or_else(|| outside(text, kind))
}

fn outside(text: &str, kind: Kind) -> String {
    format!("{text:?} is out of bounds; give {}", kind.bounds().replace('`', ""))
}

fn none_of(text: &str, kind: Kind) -> String {
    format!("{text:?} is none of {}", kind.bounds())
}

/// The digits in base ten; a number of another base or too large stays as it was written and is refused later.
pub(super) fn integer_text(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.to_string(),
    }
}

/// Words as a sentence lists them.
pub(super) fn or_list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.as_slice() {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
