//! Rules under kills: every firing comes once, and is one that the rule allows.
//!
//! What is to fire comes from a second application that reads the same inputs and that nobody disturbs; that each firing is allowed is
//! asked of the committed signals alone, without the engine: their order, their triggers, caps, cool-downs and hours.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::PATIENCE;
use super::workload::{Expected, Workload};
use crate::live::history::instant_of;
use crate::live::shop::{More, Shop};
use crate::oracle::club::{Points, Tiers};
use crate::service::ServiceProcess;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What [`SETTINGS`] says of a rule, in the words of this module.
struct Allowed {
    name: &'static str,
    /// The type of signal that triggers it, and its delay.
    trigger: Option<(&'static str, i64)>,
    cancel_on: &'static [&'static str],
    /// None: never again.
    again_ms: Option<i64>,
    is_capped: bool,
    /// Hours of the day in UTC.
    hours: Option<(i64, i64)>,
    /// The only state after which it may fire.
    state: Option<&'static str>,
}

const CAP: (usize, i64) = (2, 30 * DAY_MS);

/// A rule with nothing that limits it but its own triggers.
const UNLIMITED: Allowed = Allowed {
    name: "",
    trigger: None,
    cancel_on: &["became_prospect"],
    again_ms: Some(0),
    is_capped: false,
    hours: None,
    state: None,
};

const RULES: [Allowed; 9] = [
    Allowed {
        name: "thank-you",
        trigger: Some(("first_order", 7 * DAY_MS)),
        cancel_on: &["became_prospect", "order_returned"],
        again_ms: None,
        ..UNLIMITED
    },
    Allowed {
        name: "win-back",
        trigger: Some(("lapsed", 0)),
        cancel_on: &["won_back", "lapse_retracted", "became_prospect"],
        again_ms: Some(90 * DAY_MS),
        is_capped: true,
        hours: Some((9, 20)),
        state: Some("lapsed"),
    },
    Allowed {
        name: "sorry",
        trigger: Some(("order_returned", 2 * DAY_MS)),
        again_ms: Some(60 * DAY_MS),
        ..UNLIMITED
    },
    Allowed {
        name: "news",
        again_ms: Some(14 * DAY_MS),
        is_capped: true,
        state: Some("active"),
        ..UNLIMITED
    },
    Allowed { name: "each", ..UNLIMITED },
    Allowed { name: "summer", again_ms: Some(300 * DAY_MS), is_capped: true, ..UNLIMITED },
    Allowed { name: "reward", ..UNLIMITED },
    Allowed { name: "refill", ..UNLIMITED },
    Allowed {
        name: "club",
        trigger: Some(("tier_changed", DAY_MS)),
        again_ms: Some(200 * DAY_MS),
        ..UNLIMITED
    },
];

/// The rules of this module, and what they ask for.
const SETTINGS: &str = r#"
points = { per = "1.00" }
tiers_keep = 0.8
[rules]
holdout = 0.05
[rules.caps.marketing]
max = 2
per = "30d"
[[rule]]
name = "thank-you"
on = "first_order"
after = "7d"
cancel_on = ["became_prospect", "order_returned"]
announce = true
[[rule]]
name = "win-back"
on = "lapsed"
if = 'state = "lapsed"'
cancel_on = ["won_back", "lapse_retracted", "became_prospect"]
again = "90d"
cap = "marketing"
send = { from = "09:00", until = "20:00" }
variants = [
    { name = "percent", weight = 45, say = { discount_percent = 20 } },
    { name = "credit", weight = 45 },
    { name = "control", weight = 10, holdout = true },
]
[[rule]]
name = "sorry"
on = "order_returned"
after = "2d"
again = "60d"
[[rule]]
name = "news"
on = "every"
every = "14d..21d"
if = 'state = "active"'
again = "14d"
cap = "marketing"
[[rule]]
name = "each"
on = "order"
after = "1h"
again = "always"
while_planned = "restart"
[[rule]]
name = "summer"
on = "date"
date = "07-01"
spread = "6h"
again = "300d"
cap = "marketing"
priority = 60
[[rule]]
name = "reward"
on = "points"
reach = 100
say = { voucher = "5.00" }
[[rule]]
name = "refill"
on = "product"
lives = { s0 = "30d", s1 = "60d" }
lead = "5d"
again = "always"
[[rule]]
name = "club"
on = "tier_changed"
when = 'trigger.after in ["silver", "gold"]'
after = "1d"
again = "200d"
[[tiers]]
name = "silver"
from = "150.00"
[[tiers]]
name = "gold"
from = "400.00"
"#;

/// A shop with them.
pub fn of_a_shop() -> More {
    let amounts = [("silver", "150.00"), ("gold", "400.00")];
    let amounts = amounts.map(|(name, from)| (name.to_owned(), from.to_owned())).into();
    More {
        settings: SETTINGS.parse().expect("TOML"),
        points: Some(Points::PerAmount { amount: "1.00".to_owned(), factor: 1 }),
        tiers: Some(Tiers { amounts, keep: "0.8".to_owned() }),
    }
}

/// Adds what the rules of a shop that nobody disturbs emit.
pub fn expect_undisturbed(expected: &mut Expected, shop: &Shop, workload: &Workload) -> Result<()> {
    let calm = shop.beside()?;
    let service = ServiceProcess::start(&calm.settings("calm", workload.history.end))?;
    calm.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    let undisturbed = calm.signals()?;
    expected.signals.extend(undisturbed.into_iter().filter(is_of_a_rule));
    Ok(())
}

/// Whether every rule of a shop has fired, and every firing is one that its rule allows. Who was erased begins afresh.
pub fn check(shop: &Shop, workload: &Workload) -> Result<()> {
    let mut by_customer: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for signal in shop.signals()? {
        by_customer.entry(text(&signal, "customer_id").to_owned()).or_default().push(signal);
    }
    let mut fired = BTreeSet::new();
    for (customer, signals) in &by_customer {
        let erasures =
            workload.history.erasures.iter().filter(|erasure| erasure["customer_id"] == **customer);
        let erased_at: Vec<i64> = erasures.filter_map(|erasure| erasure["requested_at"].as_i64()).collect();
        for (place, signal) in signals.iter().enumerate().filter(|(_, signal)| has_fired(signal)) {
            let name = rule_of(signal);
            let rule =
                RULES.iter().find(|rule| rule.name == name).with_context(|| format!("no rule {name}"))?;
            let at = instant_of(signal);
            let erased_at = erased_at.iter().copied().filter(|erased_at| *erased_at <= at).max();
            let since = signals[..place].iter().filter(|other| Some(instant_of(other)) > erased_at);
            let since: Vec<Value> = since.cloned().collect();
            check_firing(rule, signal, &since).with_context(|| format!("{signal}"))?;
            fired.insert(name.to_owned());
        }
    }
    let silent: Vec<&str> =
        RULES.iter().map(|rule| rule.name).filter(|name| !fired.contains(*name)).collect();
    ensure!(silent.is_empty(), "{silent:?} never fired");
    Ok(())
}

fn check_firing(rule: &Allowed, signal: &Value, earlier: &[Value]) -> Result<()> {
    let at = instant_of(signal);
    let mut firings = earlier.iter().filter(|other| has_fired(other));
    let cools = |other: &&Value| {
        rule_of(other) == rule.name && rule.again_ms.is_none_or(|again| instant_of(other) + again > at)
    };
    if let Some(other) = firings.clone().find(cools) {
        bail!("in the cool-down of {other}");
    }
    if rule.is_capped && text(&signal["data"], "action") == "fired" {
        let counts = |other: &&Value| {
            let is_capped = RULES.iter().any(|rule| rule.name == rule_of(other) && rule.is_capped);
            is_capped && text(&other["data"], "action") == "fired" && instant_of(other) > at - CAP.1
        };
        let count = firings.clone().filter(counts).count();
        ensure!(count < CAP.0, "{count} have fired before, the cap is reached");
    }
    if let Some((from, until)) = rule.hours {
        ensure!((from * HOUR_MS..until * HOUR_MS).contains(&at.rem_euclid(DAY_MS)), "outside of its hours");
    }
    if let Some(state) = rule.state {
        ensure!(signal["state"]["after"] == state, "its condition is false");
    }
    let Some((trigger, delay_ms)) = rule.trigger else { return Ok(()) };
    let id = text(&signal["data"], "trigger");
    let place = earlier.iter().position(|other| text(other, "id") == id).context("no trigger")?;
    ensure!(text(&earlier[place], "type") == trigger, "triggered by {}", earlier[place]);
    ensure!(at >= instant_of(&earlier[place]) + delay_ms, "before its delay is over");
    ensure!(
        !firings.any(|other| rule_of(other) == rule.name && text(&other["data"], "trigger") == id),
        "twice for one trigger"
    );
    let cancels = |other: &&Value| rule.cancel_on.contains(&text(other, "type"));
    match earlier[place + 1..].iter().find(cancels) {
        None => Ok(()),
        Some(other) => bail!("cancelled by {other}"),
    }
}

fn is_of_a_rule(signal: &Value) -> bool {
    signal["type"] == "rule"
}

fn has_fired(signal: &Value) -> bool {
    is_of_a_rule(signal) && ["fired", "withheld"].contains(&text(&signal["data"], "action"))
}

fn rule_of(signal: &Value) -> &str {
    text(&signal["data"], "rule")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
