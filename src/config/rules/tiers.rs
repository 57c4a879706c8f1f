//! `[[tiers]]`: the names of tiers, and from which amounts on.

use toml::de::DeValue;

use super::super::values::integer_text;
use super::table::Table;
use super::values;
use crate::domain::rules::tiers::{TIERS_MAX, Tier, Tiers};
use crate::domain::values::number::Decimal;

/// Reads all tiers; none if there are none, or something is wrong with them.
pub(super) fn read(whole: &mut Table<'_, '_>, keep: Decimal) -> Option<Tiers> {
    let items = whole.optional("tiers", |value| Ok(values::list(value)?.collect::<Vec<_>>()))?;
    let mut tiers: Vec<Tier> = Vec::with_capacity(items.len());
    for item in &items {
        let DeValue::Table(inner) = item else {
            whole.refuse("tiers", format!("holds {}; a tier is a table: [[tiers]]", values::kind(item)));
            return None;
        };
        let begin = inner.iter().map(|(name, _)| name.span().start).min().unwrap_or_default();
        let mut table = whole.below("tiers", begin, inner);
        table.check_keys(&["name", "from"]);
        let name = table.required("name", "give each tier a name, such as \"silver\"", values::name);
        let why = "give the net value of a year from which on a customer belongs to it, such as \"150.00\"";
        let from = table.required("from", why, amount);
        if name.is_some_and(|name| tiers.iter().any(|tier| *tier.name == *name)) {
            table.refuse("name", "is the name of an earlier tier too".to_owned());
        }
        tiers.push(Tier { name: name?.into(), from: from? });
    }
    let read = Tiers::new(tiers, keep);
    if read.is_none() {
        let message =
            format!("must be 1 to {TIERS_MAX} tiers, each from a greater amount on than the one before");
        whole.refuse("tiers", message);
    }
    read
}

/// An amount above 0, as a text or a number.
fn amount(value: &DeValue<'_>) -> Result<Decimal, String> {
    let written = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => integer_text(number),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return Err(format!("is {}; give an amount such as \"150.00\"", values::kind(value)));
        }
    };
    let amount = Decimal::parse(&written).filter(|amount| amount.numerator() > 0);
    amount.ok_or_else(|| format!("{written:?} is no amount above 0, such as \"150.00\""))
}
