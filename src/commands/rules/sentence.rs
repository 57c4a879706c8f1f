//! A rule as a sentence.

use crate::config::format_duration;
use crate::domain::rules::rule::{
    Again, Anchor, Every, ProductTrigger, Rule, RuleSet, Trigger, WhilePlanned,
};
use crate::domain::rules::schedule::SendHours;
use crate::domain::values::time::Span;

/// When, for whom and how often a rule fires.
pub(super) fn of(rule: &Rule, rules: &RuleSet) -> String {
    let mut parts = vec![start(rule)];
    if !rule.when.is_always() {
        parts.push(format!("when {}", rule.when));
    }
    if !rule.condition.is_always() {
        parts.push(format!("if {}", rule.condition));
    }
    parts.push(match rule.again {
        _ if rule.trigger == Trigger::GuestOrder => "each time".to_owned(),
        Again::Never => "once for each customer".to_owned(),
        Again::Always => "each time".to_owned(),
        Again::After(span) => format!("again after {} at the earliest", length(span)),
    });
    if rule.while_planned == WhilePlanned::Restart {
        parts.push("from the latest of several triggers".to_owned());
    }
    if let Some(cap) = rule.cap.map(|index| rules.cap(index)) {
        parts.push(format!("at most {} of {} within {}", cap.max, cap.name, length(cap.per)));
    }
    if let Some(hours) = &rule.send {
        parts.push(sent(hours));
    }
    if let [_, _, ..] = &*rule.variants.list {
        parts.push(variants(rule));
    }
    let ends: Vec<&str> = rule.cancel_on.iter().map(|signal_type| signal_type.name()).collect();
    let is_planned = rule.after > Span::ZERO || rule.send.is_some() || rule.product().is_some();
    if !ends.is_empty() && is_planned {
        parts.push(format!("not after {}", or(&ends)));
    }
    let off = if rule.enabled { "" } else { "switched off: " };
    format!("{off}{}.", parts.join(", "))
}

fn start(rule: &Rule) -> String {
    let after = |what: &str| match rule.after {
        Span::ZERO => format!("at {what}"),
        span => format!("{} after {what}", length(span)),
    };
    match &rule.trigger {
        Trigger::Signal(signal_type) => after(signal_type.name()),
        Trigger::Order => after("each order"),
        Trigger::GuestOrder => match rule.after {
            Span::ZERO => "at each order of a guest".to_owned(),
            span => format!("at each order of a guest, due {} later", length(span)),
        },
        Trigger::Points { reach } => after(&format!("each {reach} points")),
        Trigger::Every(every) => turns(*every),
        Trigger::Date(date) => {
            let spread = match date.spread {
                Span::ZERO => String::new(),
                span => format!(", spread over {}", length(span)),
            };
            format!("on {} at {}{spread}", date.date, date.time)
        }
        Trigger::Product(product) => goods(product),
    }
}

fn turns(every: Every) -> String {
    let from = match every.from {
        Anchor::FirstOrder => "the first order",
        Anchor::LastOrder => "the last order",
    };
    match (every.days_min, every.days_max) {
        (min, max) if min == max => format!("every {} from {from} on", length(Span::days(i64::from(min)))),
        (min, max) => format!("every {min} to {max} days, by customer, from {from} on"),
    }
}

fn goods(product: &ProductTrigger) -> String {
    let end = |what: &str| match product.lead {
        Span::ZERO => format!("when {what}"),
        span => format!("{} before {what}", length(span)),
    };
    match &*product.lives {
        [life] => end(&format!("the {} of {} are over", length(life.life), life.sku)),
        lives => end(&format!("one of {} products is used up", lives.len())),
    }
}

fn sent(hours: &SendHours) -> String {
    let days: Vec<&str> = hours.days().map(|day| day.name()).collect();
    let days = if days.len() == 7 { String::new() } else { format!(" on {}", days.join(" ")) };
    format!("sent from {} until {}{days}", hours.from(), hours.until())
}

fn variants(rule: &Rule) -> String {
    let sum: u32 = rule.variants.list.iter().map(|variant| variant.weight).sum();
    let shares = rule.variants.list.iter().map(|variant| {
        let holdout = if variant.holdout { " withheld" } else { "" };
        format!("{} {} of {sum}{holdout}", variant.name, variant.weight)
    });
    format!("as {}", shares.collect::<Vec<_>>().join(", "))
}

/// A week, 36 hours, 14 days.
fn length(span: Span) -> String {
    let written = format_duration(span.as_millis().unsigned_abs());
    let digits = written.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &written[digits.len()..] {
        "d" => "day",
        "h" => "hour",
        "m" => "minute",
        "s" => "second",
        _ => "millisecond",
    };
    match (digits, unit) {
        ("7", "day") => "a week".to_owned(),
        ("1", "hour") => "an hour".to_owned(),
        ("1", unit) => format!("a {unit}"),
        (number, unit) => format!("{number} {unit}s"),
    }
}

fn or(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
