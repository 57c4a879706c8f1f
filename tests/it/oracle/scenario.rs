//! Scenarios as text: a line for each input, and indented below it all that it causes. What is not written
//! must not happen.
//!
//! ```text
//! # Title
//! shop EUR Europe/Berlin USD=0.5          the defaults are EUR, UTC and no rates
//! policy fixed 30 60                      the default is cadence
//! limits 365 35                           return window and lateness, in days
//! points 1.00                             points by amount, or by order: points order
//! tiers 0.8 silver=150.00 gold=500.00     the share that keeps a tier, and tiers from the lowest on
//! order   c1 o1 day 0 100.00 USD v2 test sku=red
//!     first_order c1 prospect>active at 0 by order: currency=EUR value=50.00
//! cancel  c1 o1 day 3 v2                  without v2 it is final
//! return  c1 r1 day 5+1ms 20.00 of=o1     without of= it names no order
//! erase   c1 day 7
//! clock   day 40
//! profile c1 state=active all_time.net=80.00
//! summary repeat_purchase_rate.kept=0.5
//! ```
//!
//! Day 0 is 2024-01-01T00:00Z. The customer `guest` has no id; `store/c1` has a store. Besides signals an
//! input may cause `refused <reason>`, `folded` beside it, `duplicate`, `conflicting held` and `conflicting arrived`
//! by which of the two records stands, and `ineffective`. `retracts=#2` names the second signal of the scenario.

use serde_json::{Value, json};

use super::club::{Points, Tiers};
use super::number::{DAY_MS, Ratio, parse_time, time_text};
use super::{Input, Oracle, OracleConfig, OracleOutput, Policy, Shop, Shops, Topic};

/// 2024-01-01T00:00Z.
pub const DAY_ZERO_MS: i64 = 1_704_067_200_000;

#[derive(Debug)]
pub struct Scenario {
    pub title: String,
    pub config: OracleConfig,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub action: Action,
    pub expected: Vec<String>,
}

#[derive(Debug)]
pub enum Action {
    Apply(Input),
    /// The profile of a key, as last published.
    Profile(String, Vec<(String, String)>),
    Summary(Vec<(String, String)>),
}

impl Scenario {
    /// What is applied, without the questions in between.
    pub fn inputs(&self) -> Vec<Input> {
        let inputs = self.steps.iter().filter_map(|step| match &step.action {
            Action::Apply(input) => Some(input.clone()),
            Action::Profile(..) | Action::Summary(_) => None,
        });
        inputs.collect()
    }
}

/// Splits a file into its scenarios.
pub fn parse(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(title) = line.strip_prefix("# ") {
            let config = OracleConfig { shop_metrics: false, ..OracleConfig::new("EUR") };
            scenarios.push(Scenario { title: title.to_owned(), config, steps: Vec::new() });
            continue;
        }
        let Some(scenario) = scenarios.last_mut() else {
            assert!(words.is_empty(), "line {}: a scenario begins with its title", index + 1);
            continue;
        };
        if line.starts_with(' ') {
            let step = scenario.steps.last_mut().expect("an expectation follows an input");
            step.expected.push(words.join(" "));
        } else if !words.is_empty() && !configure(&mut scenario.config, &words) {
            let action = action(&words);
            scenario.steps.push(Step { line: index + 1, action, expected: Vec::new() });
        }
    }
    scenarios
}

/// Runs a scenario through the oracle; the error says at which line what happened instead.
pub fn check(scenario: &Scenario) -> Result<(), String> {
    let mut oracle = Oracle::new(&scenario.config);
    let mut before = oracle.output();
    for step in &scenario.steps {
        let happened = match &step.action {
            Action::Apply(input) => {
                oracle.apply(input);
                let after = oracle.output();
                let happened = happenings(&before, &after);
                before = after;
                happened
            }
            Action::Profile(key, fields) => {
                differences(before.profiles.get(key).unwrap_or(&Value::Null), fields)
            }
            Action::Summary(fields) => differences(&before.summary, fields),
        };
        if happened != step.expected {
            return Err(format!(
                "line {}\n  expected\n    {}\n  but\n    {}",
                step.line,
                step.expected.join("\n    "),
                happened.join("\n    ")
            ));
        }
    }
    Ok(())
}

fn configure(config: &mut OracleConfig, words: &[&str]) -> bool {
    match words {
        ["shop", currency, time_zone, rates @ ..] => {
            config.shops = Shops::One(shop(currency, time_zone, rates))
        }
        ["store", store_id, currency, time_zone, rates @ ..] => {
            let shop = shop(currency, time_zone, rates);
            match &mut config.shops {
                Shops::ByStore(shops) => {
                    shops.insert((*store_id).to_owned(), shop);
                }
                Shops::One(_) => config.shops = Shops::ByStore([((*store_id).to_owned(), shop)].into()),
            }
        }
        ["policy", "fixed", at_risk_days, lapsed_days] => {
            config.policy = Policy::fixed(at_risk_days, lapsed_days)
        }
        ["limits", return_window, lateness] => {
            config.return_window_days = return_window.parse().expect("days");
            config.lateness_days = lateness.parse().expect("days");
        }
        ["points", "order"] => config.points = Some(Points::PerOrder { factor: 1 }),
        ["points", amount] => {
            config.points = Some(Points::PerAmount { amount: (*amount).to_owned(), factor: 1 })
        }
        ["tiers", keep, amounts @ ..] => {
            config.tiers = Some(Tiers { keep: (*keep).to_owned(), amounts: fields(amounts) })
        }
        _ => return false,
    }
    true
}

fn shop(currency: &str, time_zone: &str, rates: &[&str]) -> Shop {
    let mut shop = Shop::new(currency, time_zone);
    for (code, rate) in fields(rates) {
        shop.rates.insert(code, rate);
    }
    shop
}

fn action(words: &[&str]) -> Action {
    match words {
        ["order", customer, id, "day", day, total, options @ ..] => {
            let mut value =
                json!({"order_id": id, "placed_at": time(day), "total": total, "currency": "EUR"});
            for option in options {
                match option.split_at(1) {
                    (_, "est") => value["test"] = json!(true),
                    ("v", version) => value["version"] = json!(version.parse::<u32>().expect("a version")),
                    ("s", sku) => {
                        let skus = sku.strip_prefix("ku=").expect("sku=").split(',');
                        value["items"] = skus.map(|sku| json!({"sku": sku, "quantity": 1})).collect();
                    }
                    _ => value["currency"] = json!(option),
                }
            }
            record(Topic::Orders, customer, value)
        }
        ["cancel", customer, id, "day", day, version @ ..] => {
            let mut value = json!({"order_id": id, "cancelled_at": time(day)});
            for version in version {
                value["version"] = json!(version[1..].parse::<u64>().expect("a version"));
            }
            record(Topic::Orders, customer, value)
        }
        ["return", customer, id, "day", day, refund, options @ ..] => {
            let mut value =
                json!({"return_id": id, "returned_at": time(day), "refund": refund, "currency": "EUR"});
            for option in options {
                match option.strip_prefix("of=") {
                    Some(order) => value["order_id"] = json!(order),
                    None => value["currency"] = json!(option),
                }
            }
            record(Topic::Returns, customer, value)
        }
        ["erase", customer, "day", day] => {
            record(Topic::Erasures, customer, json!({"requested_at": time(day)}))
        }
        ["clock", "day", day] => Action::Apply(Input::Clock(day_ms(day))),
        ["profile", key, expected @ ..] => Action::Profile((*key).to_owned(), fields(expected)),
        ["summary", expected @ ..] => Action::Summary(fields(expected)),
        _ => panic!("what is {words:?}?"),
    }
}

fn record(topic: Topic, customer: &str, mut value: Value) -> Action {
    let (store_id, customer_id) = match customer.split_once('/') {
        Some((store_id, customer_id)) => (Some(store_id), customer_id),
        None => (None, customer),
    };
    if let Some(store_id) = store_id {
        value["store_id"] = json!(store_id);
    }
    if customer_id != "guest" {
        value["customer_id"] = json!(customer_id);
    }
    Action::Apply(Input::Record { topic, value })
}

fn fields(words: &[&str]) -> Vec<(String, String)> {
    let pairs = words.iter().map(|word| word.split_once('=').expect("field=value"));
    pairs.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

fn time(day: &str) -> String {
    time_text(day_ms(day))
}

/// `12`, `12.5` or either with `+1ms` or `-1ms`.
fn day_ms(day: &str) -> i64 {
    let (day, shift) = match (day.strip_suffix("+1ms"), day.strip_suffix("-1ms")) {
        (Some(day), _) => (day, 1),
        (None, Some(day)) => (day, -1),
        (None, None) => (day, 0),
    };
    let milliseconds = Ratio::from_decimal(day) * Ratio::whole(i128::from(DAY_MS));
    DAY_ZERO_MS + i64::try_from(milliseconds.floor()).expect("a near day") + shift
}

/// What the last input caused, a line each.
fn happenings(before: &OracleOutput, after: &OracleOutput) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let known = before.signals.len();
    lines.extend(after.signals[known..].iter().map(|signal| signal_line(signal, &after.signals)));
    lines.extend(after.refused[before.refused.len()..].iter().map(|(_, reason)| format!("refused {reason}")));
    let duplicates = |output: &OracleOutput| output.summary["events"]["duplicates"].as_u64();
    let counted = [
        ("duplicate", duplicates(before) != duplicates(after)),
        ("folded", before.folded != after.folded),
        ("conflicting held", before.conflicting_held != after.conflicting_held),
        ("conflicting arrived", before.conflicting_arrived != after.conflicting_arrived),
        ("ineffective", before.ineffective != after.ineffective),
    ];
    lines.extend(counted.iter().filter(|(_, counted)| *counted).map(|(name, _)| (*name).to_owned()));
    lines
}

fn signal_line(signal: &Value, signals: &[Value]) -> String {
    let data = signal["data"].as_object().expect("data is an object");
    let mut data: Vec<String> = data
        .iter()
        .map(|(field, value)| match signals.iter().position(|said| said["id"] == *value) {
            Some(index) => format!("{field}=#{}", index + 1),
            None => format!("{field}={}", plain(value)),
        })
        .collect();
    data.sort();
    let store = signal["store_id"].as_str().map_or(String::new(), |store_id| format!("{store_id}/"));
    let line = format!(
        "{} {store}{} {}>{} at {} by {}: {}",
        plain(&signal["type"]),
        plain(&signal["customer_id"]),
        plain(&signal["state"]["before"]),
        plain(&signal["state"]["after"]),
        plain(&signal["occurred_at"]),
        plain(&signal["cause"]["kind"]),
        data.join(" ")
    );
    line.trim_end().to_owned()
}

/// The fields that are not as expected.
fn differences(value: &Value, expected: &[(String, String)]) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, expected) in expected {
        let found = path.split('.').fold(value, |value, field| &value[field]);
        if plain(found) != *expected {
            differences.push(format!("{path}={}", plain(found)));
        }
    }
    differences
}

/// A value as scenarios write it: times as days.
fn plain(value: &Value) -> String {
    let is_time = |text: &str| text.len() == 24 && text.ends_with('Z');
    match value.as_str() {
        Some(text) if is_time(text) => {
            let milliseconds = parse_time(value) - DAY_ZERO_MS;
            let day = Ratio::new(i128::from(milliseconds), i128::from(DAY_MS)).to_json();
            day.to_string()
        }
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}
