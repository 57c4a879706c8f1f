//! What starts a rule: `on`, and the keys that belong to it.

use toml::de::DeValue;

use super::super::suggest;
use super::Common;
use super::table::Table;
use super::values::{self, DAY, HOUR};
use crate::domain::rules::rule::{
    Anchor, DateTrigger, Every, ProductLife, ProductTrigger, SKUS_WATCHED_MAX, Trigger,
};
use crate::domain::rules::schedule::TimeOfDay;
use crate::domain::values::ids::SkuHash;
use crate::domain::values::time::Span;
use crate::wire::hash::hash;

/// The longest period and life, in days.
const DAYS_MAX: u64 = 3_650;

/// The most points of one reward.
const REACH_MAX: u64 = 1_000_000_000;

/// What starts a rule beside signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Order,
    Every,
    Date,
    Product,
    Points,
    GuestOrder,
}

const KINDS: [(&str, Kind); 6] = [
    ("order", Kind::Order),
    ("every", Kind::Every),
    ("date", Kind::Date),
    ("product", Kind::Product),
    ("points", Kind::Points),
    ("guest_order", Kind::GuestOrder),
];

/// The keys that belong to one trigger alone, and which.
const KEYS_OF: [(&str, &str); 8] = [
    ("every", "every"),
    ("from", "every"),
    ("date", "date"),
    ("time", "date"),
    ("spread", "date"),
    ("lives", "product"),
    ("lead", "product"),
    ("reach", "points"),
];

/// Keys that say nothing for a trigger, and why.
const IDLE: [(&str, &[&str], &str); 5] = [
    ("every", &["after"], "a turn has its own instant: say it by `every` and `from`"),
    ("date", &["after"], "a date has its own instant: say it by `date` and `time`"),
    ("product", &["after"], "goods have their own instant: say it by `lives` and `lead`"),
    ("product", &["while_planned"], "buying again always moves the firing"),
    (
        "guest_order",
        &["if", "cancel_on", "again", "while_planned", "cap", "announce", "measure"],
        "nothing is remembered of guests, so each order fires at once",
    ),
];

/// Reads `on` and its keys.
pub(super) fn read(table: &mut Table<'_, '_>, common: &Common) -> Option<Trigger> {
    let why = "say what starts the rule: a signal type such as \"first_order\", or order, every, date, product, points, guest_order";
    let on = table.required("on", why, values::text)?;
    for (key, of) in KEYS_OF.into_iter().filter(|(key, of)| *of != on && table.has(key)).collect::<Vec<_>>() {
        table.refuse(key, format!("is for rules on {of:?}, and this one is on {on:?}; leave it out"));
    }
    for (_, keys, reason) in IDLE.into_iter().filter(|(of, ..)| *of == on) {
        for key in keys.iter().copied().filter(|key| table.has(key)).collect::<Vec<_>>() {
            table.refuse(key, format!("says nothing for a rule on {on:?}: {reason}"));
        }
    }
    if let Some(signal_type) = values::signal_type(on) {
        return Some(Trigger::Signal(signal_type));
    }
    match KINDS.into_iter().find(|(name, _)| *name == on).map(|(_, kind)| kind) {
        Some(Kind::Order) => Some(Trigger::Order),
        Some(Kind::Every) => every(table).map(Trigger::Every),
        Some(Kind::Date) => date(table).map(Trigger::Date),
        Some(Kind::Product) => product(table, common).map(Trigger::Product),
        Some(Kind::Points) => points(table, common),
        Some(Kind::GuestOrder) => Some(Trigger::GuestOrder),
        None => {
            let known = values::signal_names().chain(KINDS.iter().map(|(name, _)| *name));
            let hint = match suggest::nearest(on, known) {
                Some(near) => format!("did you mean {near}?"),
                None => why.to_owned(),
            };
            table.refuse("on", format!("{on:?} is nothing that starts a rule; {hint}"));
            None
        }
    }
}

fn every(table: &mut Table<'_, '_>) -> Option<Every> {
    let why = "say how often, such as \"21d\" or \"14d..21d\"";
    let days = table.required("every", why, |value| {
        let written = values::text(value)?;
        let (min, max) = written.split_once("..").unwrap_or((written, written));
        let (min, max) = (values::whole_days(min, DAYS_MAX)?, values::whole_days(max, DAYS_MAX)?);
        if min > max {
            return Err(format!("{written:?} ends before it begins"));
        }
        Ok((min, max))
    });
    let anchors = [("last_order", Anchor::LastOrder), ("first_order", Anchor::FirstOrder)];
    let from = table.optional("from", |value| values::choice(value, &anchors)).unwrap_or(Anchor::LastOrder);
    days.map(|(days_min, days_max)| Every { days_min, days_max, from })
}

fn date(table: &mut Table<'_, '_>) -> Option<DateTrigger> {
    let date = table.required("date", "give one such as \"11-27\" or \"2026-11-27\"", values::date);
    let nine = TimeOfDay::new(9, 0).expect("a time of day");
    let time = table.optional("time", |value| {
        values::time_of_day(value).and_then(|time| match time {
            TimeOfDay::END_OF_DAY => Err("\"24:00\" is the next date at \"00:00\"".to_owned()),
            time => Ok(time),
        })
    });
    let spread = table.optional("spread", |value| values::duration(value, 0, DAY));
    Some(DateTrigger { date: date?, time: time.unwrap_or(nine), spread: spread.unwrap_or(Span::ZERO) })
}

fn points(table: &mut Table<'_, '_>, common: &Common) -> Option<Trigger> {
    if !common.has_points {
        table.refuse(
            "on",
            "\"points\" needs points.per in the settings file, such as \"1.00\" or \"order\"".to_owned(),
        );
    }
    let why = "say at which number of points, and at each multiple of it, such as 100";
    let reach = table.required("reach", why, |value| values::count(value, 1, REACH_MAX))?;
    Some(Trigger::Points { reach })
}

fn product(table: &mut Table<'_, '_>, common: &Common) -> Option<ProductTrigger> {
    let own = table.optional("lives", lives);
    let is_own = table.has("lives");
    let lives = own.unwrap_or_else(|| common.lives.clone());
    if lives.is_empty() && !is_own {
        let message = "is not set, and there is no [lives]; give how long goods last, such as { \"COFFEE-1KG\" = \"30d\" }";
        table.refuse("lives", message.to_owned());
        return None;
    }
    let shortest = lives.iter().map(|life| life.life).min()?;
    let lead =
        table.optional("lead", |value| values::duration(value, 0, DAYS_MAX * DAY)).unwrap_or(Span::ZERO);
    if lead >= shortest {
        let message = "must be shorter than every life; the goods would be due before they were bought";
        table.refuse("lead", message.to_owned());
    }
    Some(ProductTrigger { lives: lives.into(), lead })
}

/// Lives by SKU, as the domain looks them up.
pub(super) fn lives(value: &DeValue<'_>) -> Result<Vec<ProductLife>, String> {
    let DeValue::Table(table) = value else {
        return Err(format!(
            "is {}; give a table such as {{ \"COFFEE-1KG\" = \"30d\" }}",
            values::kind(value)
        ));
    };
    let life = |(sku, life): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let sku: &toml::de::DeString<'_> = sku.get_ref();
        let span = values::duration(life.get_ref(), HOUR, DAYS_MAX * DAY);
        let span = span.map_err(|message| format!("holds {sku:?}: {message}"))?;
        Ok(ProductLife { sku: sku.as_ref().into(), sku_hash: SkuHash(hash(sku.as_bytes())), life: span })
    };
    let mut lives = table.iter().map(life).collect::<Result<Vec<_>, String>>()?;
    lives.sort_by_key(|life| life.sku_hash);
    match lives.as_slice() {
        [] => Err("is empty; name at least one SKU".to_owned()),
        [..] if lives.len() > SKUS_WATCHED_MAX => {
            Err(format!("holds {} SKUs; at most {SKUS_WATCHED_MAX} are watched", lives.len()))
        }
        [..] => Ok(lives),
    }
}
