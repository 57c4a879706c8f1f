//! `send`: the local times at which firings may be sent.

use toml::de::DeValue;

use super::table::Table;
use super::values;
use crate::domain::rules::schedule::{SendHours, TimeOfDay, Weekday};

/// Reads `send` of a table that has it; none if something is wrong with it.
pub(super) fn read(table: &mut Table<'_, '_>) -> Option<SendHours> {
    let inner = table.optional("send", |value| match value {
        DeValue::Table(inner) => Ok(inner),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => Err(format!(
            "is {}; give a table such as {{ from = \"09:00\", until = \"20:00\" }}, or \"always\"",
            values::kind(value)
        )),
    })?;
    let begin = inner.iter().next().map_or(0, |(name, _)| name.span().start);
    let mut send = table.below("send", begin, inner);
    send.check_keys(&["from", "until", "days"]);
    let from = send.optional("from", values::time_of_day).unwrap_or(TimeOfDay::MIDNIGHT);
    let until = send.optional("until", values::time_of_day).unwrap_or(TimeOfDay::END_OF_DAY);
    let days = send.optional("days", values::weekdays).unwrap_or_else(|| Weekday::ALL.to_vec());
    let hours = SendHours::new(from, until, &days);
    if hours.is_none() {
        send.refuse("until", format!("{until} must be later than from, which is {from}"));
    }
    hours
}
