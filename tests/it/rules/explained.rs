//! What `explain` says of rules is what rules do: asked just before each timer, as of the instant at which it fires.

use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::Engine;
use retention_signals::domain::engine::rule_evidence::RuleEvidence;
use retention_signals::domain::rules::rule::{Rule, Trigger};
use retention_signals::domain::settings::Settings;
use retention_signals::domain::signals::rule::RuleAction;
use retention_signals::domain::values::time::{Span, Time};

use crate::laws::{self, arrivals, end_of, history, key};

/// Each asks for an explanation at every timer, which goes on without records each time.
const SEEDS: u64 = 900;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("explain: what hinders a rule is what keeps it from firing", hindrances)]
}

/// How much was compared.
#[derive(Default)]
struct Compared {
    fired: u32,
    /// Firings that were the only one of their instant, with and without a hindrance.
    hindered: u32,
    free: u32,
}

fn hindrances() -> Result<(), Failed> {
    let mut compared = Compared::default();
    for seed in 0..SEEDS {
        compare(seed, &mut compared).map_err(|fault| format!("seed {seed}: {fault}"))?;
    }
    let Compared { fired, hindered, free } = compared;
    let is_enough = fired > 100 && hindered > 20 && free > 20;
    if is_enough { Ok(()) } else { Err(format!("{fired} fired, {hindered} hindered, {free} free").into()) }
}

fn compare(seed: u64, compared: &mut Compared) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let settings = laws::settings(&mut random);
    let records = history(&mut random);
    let mut engine = Engine::new(Arc::clone(&settings));
    for record in arrivals(&mut random, &records) {
        while let Some(due) = engine.next_due(record.time()) {
            fire(&mut engine, &settings, due, compared)?;
        }
        laws::apply(&mut engine, &record)?;
        engine.drain_signals().for_each(drop);
    }
    while let Some(due) = engine.next_due(end_of(&records).plus(Span::days(60))) {
        fire(&mut engine, &settings, due, compared)?;
    }
    Ok(())
}

/// Fires the timer of an instant, and compares.
fn fire(engine: &mut Engine, settings: &Settings, due: Time, compared: &mut Compared) -> Result<(), String> {
    let slot = engine.find(key()).ok_or("it is held")?;
    let before = engine.explain(slot, due).rules;
    engine.advance_clock(due, usize::MAX);
    let (mut fired, mut others) = (Vec::new(), 0);
    for (_, signal) in engine.drain_signals() {
        match signal.kind.rule() {
            Some(rule) if matches!(rule.action, RuleAction::Fired | RuleAction::Withheld) => {
                fired.push(rule.rule.to_string());
            }
            Some(_) => {}
            None => others += 1,
        }
    }
    for name in &fired {
        let said = before.iter().find(|rule| *rule.rule == **name).ok_or("explain leaves it out")?;
        if said.hindrance.is_some() {
            return Err(format!("it fires at {due:?}, and explain says {said:?}"));
        }
        compared.fired += 1;
    }
    let Some(book) = &settings.rules else { return Ok(()) };
    let planned: Vec<&RuleEvidence> = before.iter().filter(|rule| rule.planned.contains(&due)).collect();
    let [only] = *planned else { return Ok(()) };
    let rule = book.set().rules().iter().find(|rule| rule.name == only.rule).ok_or("no such rule")?;
    // Signals of the instant may end it, rules of its turns may use up its cap, and which goods it is about is not asked.
    if others > 0 || only.planned.len() > 1 || !is_alone(rule) {
        return Ok(());
    }
    let has_fired = fired.contains(&only.rule.to_string());
    if has_fired == only.hindrance.is_some() {
        return Err(format!("fired: {has_fired} at {due:?}, and explain says {only:?}"));
    }
    *(if has_fired { &mut compared.free } else { &mut compared.hindered }) += 1;
    Ok(())
}

fn is_alone(rule: &Rule) -> bool {
    rule.cap.is_none() && !matches!(rule.trigger, Trigger::Product(_))
}
