//! Values of rules files. The error is a sentence that goes on behind the key's name.

use toml::de::DeValue;

use super::super::suggest;
use super::super::text::{format_duration, parse_duration};
use super::super::values::{integer_text, or_list};
use crate::domain::rules::rule::SignalTypes;
use crate::domain::rules::schedule::{DateOfYear, TimeOfDay, Weekday};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::time::Span;

pub(super) const HOUR: u64 = 3_600_000;
pub(super) const DAY: u64 = 24 * HOUR;

/// How long the name of a rule, a cap or a variant is at most.
const NAME_MAX: usize = 40;

/// The signals that rules themselves emit start and end nothing.
const OF_RULES: &str = "rule";

pub(super) fn text<'r>(value: &'r DeValue<'r>) -> Result<&'r str, String> {
    match value {
        DeValue::String(text) => Ok(text.as_ref()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Err(format!("is {}; give a text in quotes", kind(value))),
    }
}

pub(super) fn name<'r>(value: &'r DeValue<'r>) -> Result<&'r str, String> {
    let name = text(value)?;
    let is_allowed = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
        Ok(name)
    } else {
        Err(format!("{name:?} is no name: give 1 to {NAME_MAX} of a-z 0-9 -"))
    }
}

pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(truth) => Ok(*truth),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Err(format!("is {}; give true or false", kind(value))),
    }
}

/// A whole number within bounds.
pub(super) fn count(value: &DeValue<'_>, min: u64, max: u64) -> Result<u64, String> {
    let DeValue::Integer(number) = value else {
        return Err(format!("is {}; give a whole number from {min} to {max}", kind(value)));
    };
    let written = integer_text(number);
    let number = written.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("{written} is out of bounds; give {min} to {max}"))
}

/// A duration within bounds, in milliseconds.
pub(super) fn duration(value: &DeValue<'_>, min: u64, max: u64) -> Result<Span, String> {
    span(text(value)?, min, max)
}

/// The same out of a text.
pub(super) fn span(written: &str, min: u64, max: u64) -> Result<Span, String> {
    let millis = parse_duration(written)?;
    if !(min..=max).contains(&millis) {
        let (min, max) = (format_duration(min), format_duration(max));
        return Err(format!("{written:?} is out of bounds; give {min} to {max}"));
    }
    Ok(Span::from_millis(i64::try_from(millis).expect("within bounds")))
}

/// Whole days from 1 on.
pub(super) fn whole_days(written: &str, max: u64) -> Result<u32, String> {
    let millis = span(written, DAY, max * DAY)?.as_millis() as u64;
    if millis.is_multiple_of(DAY) {
        Ok(u32::try_from(millis / DAY).expect("within bounds"))
    } else {
        Err(format!("{written:?} is no number of whole days, such as \"21d\""))
    }
}

/// One of some words, each with what it stands for.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&'static str, T)]) -> Result<T, String> {
    let word = text(value)?;
    let chosen = choices.iter().find(|(name, _)| *name == word).map(|(_, chosen)| *chosen);
    chosen.ok_or_else(|| {
        let names = choices.iter().map(|(name, _)| *name);
        let list = or_list(names.clone());
        match suggest::nearest(word, names) {
            Some(near) => format!("{word:?} is not {list}; did you mean {near}?"),
            None => format!("{word:?} is not {list}"),
        }
    })
}

/// A time of day such as `09:00`.
pub(super) fn time_of_day(value: &DeValue<'_>) -> Result<TimeOfDay, String> {
    let written = text(value)?;
    let parts = written.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2);
    let time = parts.and_then(|(hour, minute)| TimeOfDay::new(digits(hour)?, digits(minute)?));
    time.ok_or_else(|| {
        format!("{written:?} is no time of day from \"00:00\" to \"24:00\", such as \"09:00\"")
    })
}

/// A date such as `11-27`, or `2026-11-27`.
pub(super) fn date(value: &DeValue<'_>) -> Result<DateOfYear, String> {
    let written = match value {
        DeValue::Datetime(date) => date.to_string(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => text(value)?.to_owned(),
    };
    let parts: Vec<&str> = written.split('-').collect();
    let number =
        |text: &str, length: usize| digits(text).filter(|_| text.len() == length).map(|number| number as i32);
    let date = match parts.as_slice() {
        [month, day] => {
            number(month, 2).zip(number(day, 2)).and_then(|(month, day)| DateOfYear::yearly(month, day))
        }
        [year, month, day] => (|| DateOfYear::once(number(year, 4)?, number(month, 2)?, number(day, 2)?))(),
        _ => None,
    };
    date.ok_or_else(|| {
        let leap = if written == "02-29" { "; not every year has a 29th of February" } else { "" };
        format!("{written:?} is no date such as \"11-27\" (each year) or \"2026-11-27\"{leap}")
    })
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn weekdays(value: &DeValue<'_>) -> Result<Vec<Weekday>, String> {
    let choices = Weekday::ALL.map(|day| (day.name(), day));
    let days = list(value)?.map(|day| choice(day, &choices)).collect::<Result<Vec<_>, String>>()?;
    if days.is_empty() {
        Err("is empty; name at least one day, such as \"mon\"".to_owned())
    } else {
        Ok(days)
    }
}

/// The type of signals with a name.
pub(super) fn signal_type(word: &str) -> Option<SignalType> {
    SignalType::of_name(word).filter(|_| word != OF_RULES)
}

/// The names of signal types that rules may name.
pub(super) fn signal_names() -> impl Iterator<Item = &'static str> + Clone {
    SignalType::NAMES.into_iter().filter(|name| *name != OF_RULES)
}

pub(super) fn signal_types(value: &DeValue<'_>) -> Result<SignalTypes, String> {
    let type_of = |value| {
        let word = text(value)?;
        signal_type(word).ok_or_else(|| {
            let hint = suggest::nearest(word, signal_names())
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("{word:?} is no type of signal{hint}")
        })
    };
    list(value)?.map(type_of).collect()
}

/// The items of a list.
pub(super) fn list<'r>(value: &'r DeValue<'r>) -> Result<impl Iterator<Item = &'r DeValue<'r>>, String> {
    match value {
        DeValue::Array(items) => Ok(items.iter().map(|item| item.get_ref())),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => Err(format!("is {}; give a list in [ ]", kind(value))),
        DeValue::Table(_) => {
            Err("is one table; a list of tables has two brackets around its name, as in [[rule]]".to_owned())
        }
    }
}

/// What a value is, for a message.
pub(super) const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
