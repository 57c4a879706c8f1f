//! One `[[rule]]`.

use toml::de::DeValue;

use super::super::suggest;
use super::super::values::or_list;
use super::Common;
use super::say::say;
use super::table::Table;
use super::values::{self, DAY, HOUR};
use super::{hours, trigger};
use crate::domain::rules::expression::condition::Condition;
use crate::domain::rules::expression::parser::{self, Scope};
use crate::domain::rules::rule::{
    Again, CapIndex, Rule, SignalTypes, Trigger, Variant, Variants, WhilePlanned,
};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::time::Span;
use crate::wire::hash::hash;

/// The keys of a rule, as docs/RULES.md lists them.
pub const RULE_KEYS: [&str; 25] = [
    "name",
    "on",
    "when",
    "after",
    "lives",
    "lead",
    "reach",
    "every",
    "from",
    "date",
    "time",
    "spread",
    "if",
    "cancel_on",
    "again",
    "while_planned",
    "send",
    "expires",
    "cap",
    "priority",
    "variants",
    "split",
    "announce",
    "measure",
    "enabled",
];

/// The keys of a variant.
const VARIANT_KEYS: [&str; 4] = ["name", "weight", "say", "holdout"];

/// The longest delay.
const AFTER_MAX: u64 = 400 * DAY;

/// The longest cool-down.
const AGAIN_MAX: u64 = 3_650 * DAY;

const MINUTE: u64 = 60_000;

const WEIGHT_MAX: u64 = 10_000;

/// The most variants of a rule.
const VARIANTS_MAX: usize = 16;

/// Reads a rule; none if something is wrong with it.
pub(super) fn read(table: &mut Table<'_, '_>, common: &Common) -> Option<Rule> {
    let name = table.required("name", "a rule is known by its name", values::name);
    if let Some(name) = name {
        table.rename(&["rule", name]);
    }
    table.check_keys(&[RULE_KEYS.as_slice(), &["say"]].concat());
    let trigger = trigger::read(table, common);
    let (when, condition) = conditions(table, trigger.as_ref(), common);
    let cancel_on = table.optional("cancel_on", values::signal_types);
    let variants = variants(table, name);
    let after = table.optional("after", |value| values::duration(value, 0, AFTER_MAX));
    let expires = table.optional("expires", |value| values::duration(value, MINUTE, 365 * DAY));
    let measure = table.optional("measure", |value| values::duration(value, HOUR, 365 * DAY));
    let planned = [("keep", WhilePlanned::Keep), ("restart", WhilePlanned::Restart)];
    let while_planned = table.optional("while_planned", |value| values::choice(value, &planned));
    let priority = table.optional("priority", |value| values::count(value, 0, 100));
    let (again, send, cap) = (table.optional("again", again), send(table, common), cap(table, common));
    let announce = table.optional("announce", values::flag);
    let enabled = table.optional("enabled", values::flag);
    let (name, trigger) = (name?, trigger?);
    let cancel_on = cancel_on.unwrap_or_else(|| default_cancels(&trigger));
    let again = again.unwrap_or_else(|| default_again(&trigger));
    Some(Rule {
        name: name.into(),
        hash: hash(name.as_bytes()),
        trigger,
        when: when?,
        after: after.unwrap_or(Span::ZERO),
        condition: condition?,
        cancel_on,
        again,
        while_planned: while_planned.unwrap_or(WhilePlanned::Keep),
        send,
        expires: expires.unwrap_or(Span::days(7)),
        cap,
        priority: priority.map_or(50, |priority| u8::try_from(priority).expect("at most 100")),
        variants: variants?,
        announce: announce.unwrap_or(false),
        measure: measure.unwrap_or(Span::days(30)),
        enabled: enabled.unwrap_or(true),
    })
}

/// A rule that `became_prospect` starts would be ended by it at once, and no signal is about a guest.
fn default_cancels(trigger: &Trigger) -> SignalTypes {
    let end = SignalType::BecameProspect;
    let is_ended = *trigger != Trigger::Signal(end) && *trigger != Trigger::GuestOrder;
    [end].into_iter().filter(|_| is_ended).collect()
}

/// A multiple of points is reached once anyway, and nothing is remembered of guests.
const fn default_again(trigger: &Trigger) -> Again {
    match trigger {
        Trigger::Points { .. } | Trigger::GuestOrder => Again::Always,
        Trigger::Signal(_) | Trigger::Order | Trigger::Every(_) | Trigger::Date(_) | Trigger::Product(_) => {
            Again::Never
        }
    }
}

/// `when` and `if`. Without a trigger it is not known what `when` may ask for; what is wrong with `if` is named all the same.
fn conditions(
    table: &mut Table<'_, '_>,
    trigger: Option<&Trigger>,
    common: &Common,
) -> (Option<Condition>, Option<Condition>) {
    let (signal, has_sku) = match trigger {
        Some(Trigger::Signal(signal_type)) => (Some(*signal_type), false),
        Some(Trigger::Product(_)) | None => (None, true),
        Some(
            Trigger::Order
            | Trigger::Every(_)
            | Trigger::Date(_)
            | Trigger::Points { .. }
            | Trigger::GuestOrder,
        ) => (None, false),
    };
    let tiers = common.tiers.as_slice();
    let mut read = |key: &str, scope: Scope<'_>| {
        if !table.has(key) {
            return Some(Condition::always());
        }
        table.optional(key, |value| condition(value, scope))
    };
    let when = trigger.and_then(|_| read("when", Scope::Trigger { signal, has_sku, tiers }));
    (when, read("if", Scope::Customer { has_sku, tiers }))
}

fn condition(value: &DeValue<'_>, scope: Scope<'_>) -> Result<Condition, String> {
    parser::parse(values::text(value)?, scope).map_err(|error| {
        let hint = error.unknown.as_ref().and_then(|(word, known)| hint(word, known)).unwrap_or_default();
        format!("at character {}: {}{hint}", error.position, error.message)
    })
}

/// The word that was probably meant: a figure without its window, such as `net`, or a word like it.
fn hint(word: &str, known: &[String]) -> Option<String> {
    let is_it = |name: &&String| name.rsplit_once('.').is_some_and(|(_, figure)| figure == word);
    let windows: Vec<&str> = known.iter().filter(is_it).map(String::as_str).collect();
    let near = suggest::nearest(word, known.iter().map(String::as_str));
    match (&*windows, near) {
        ([], near) => near.map(|near| format!("; did you mean {near}?")),
        ([..], _) => Some(format!("; did you mean {}?", or_list(windows.iter().copied()))),
    }
}

fn again(value: &DeValue<'_>) -> Result<Again, String> {
    match values::text(value)? {
        "never" => Ok(Again::Never),
        "always" => Ok(Again::Always),
        written => values::span(written, MINUTE, AGAIN_MAX)
            .map(Again::After)
            .map_err(|message| format!("{message}, or \"never\" or \"always\"")),
    }
}

/// The rule's own hours, or those of all rules.
fn send(table: &mut Table<'_, '_>, common: &Common) -> Option<crate::domain::rules::schedule::SendHours> {
    if !table.has("send") {
        return common.send;
    }
    match table.optional("send", |value| Ok(matches!(value, DeValue::String(text) if text == "always"))) {
        Some(true) => None,
        Some(false) | None => hours::read(table),
    }
}

fn cap(table: &mut Table<'_, '_>, common: &Common) -> Option<CapIndex> {
    table.optional("cap", |value| {
        let name = values::name(value)?;
        let index = common.caps.iter().position(|cap| *cap.name == *name);
        let index = index.and_then(|index| u8::try_from(index).ok()).map(CapIndex);
        index.ok_or_else(|| {
            let near = suggest::nearest(name, common.caps.iter().map(|cap| &*cap.name));
            match near {
                Some(near) => format!("{name:?} is no cap; did you mean {near}?"),
                None => format!("{name:?} is no cap; say how often it allows in [rules.caps.{name}]"),
            }
        })
    })
}

fn variants(table: &mut Table<'_, '_>, rule_name: Option<&str>) -> Option<Variants> {
    let has_say = table.has("say");
    let rule_say = table.optional("say", say);
    if has_say && rule_say.is_none() {
        return None;
    }
    let split = table.optional("split", values::name);
    if !table.has("variants") {
        if table.has("split") {
            table.refuse("split", "says nothing without variants; leave it out".to_owned());
        }
        let variant = Variant { name: "".into(), weight: 1, holdout: false, say: rule_say };
        return Some(Variants { split: rule_name?.into(), list: [variant].into() });
    }
    let tables = table.optional("variants", |value| {
        let tables: Option<Vec<_>> = values::list(value)?
            .map(|item| match item {
                DeValue::Table(table) => Some(table),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => None,
            })
            .collect();
        let tables = tables
            .ok_or("holds something that is no variant, such as { name = \"percent\", weight = 45 }")?;
        match tables.len() {
            1..=VARIANTS_MAX => Ok(tables),
            length => Err(format!("holds {length} variants; give 1 to {VARIANTS_MAX}")),
        }
    })?;
    let mut list: Vec<Variant> = Vec::with_capacity(tables.len());
    for variant_table in tables {
        let begin = variant_table.iter().next().map_or(0, |(name, _)| name.span().start);
        let variant = variant(table.below("variants", begin, variant_table), rule_say.as_deref())?;
        if list.iter().any(|earlier| earlier.name == variant.name) {
            table
                .refuse("variants", format!("holds {:?} twice; each variant has its own name", variant.name));
            return None;
        }
        list.push(variant);
    }
    Some(Variants { split: split.or(rule_name)?.into(), list: list.into() })
}

fn variant(mut table: Table<'_, '_>, rule_say: Option<&str>) -> Option<Variant> {
    table.check_keys(&VARIANT_KEYS);
    let name = table.required("name", "give each variant a name", values::name);
    let why = "give the share of the customers, beside those of the other variants";
    let weight = table.required("weight", why, |value| values::count(value, 1, WEIGHT_MAX));
    let holdout = table.optional("holdout", values::flag).unwrap_or(false);
    if holdout && table.has("say") {
        table
            .refuse("say", "says nothing in a holdout: these customers get nothing; leave it out".to_owned());
    }
    let said = table.optional("say", say);
    let say = if holdout { None } else { said.or_else(|| rule_say.map(Into::into)) };
    Some(Variant { name: name?.into(), weight: u32::try_from(weight?).expect("within bounds"), holdout, say })
}
