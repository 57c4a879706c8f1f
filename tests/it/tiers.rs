//! Tiers: random ones for the laws and the oracle, the law of what is emitted, and what happens when they are configured or change.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::customer::Customer;
use retention_signals::domain::engine::restore::Restore;
use retention_signals::domain::engine::{Engine, Progress};
use retention_signals::domain::rules::expression::parser::{Scope, parse};
use retention_signals::domain::rules::points::{Points, PointsPer};
use retention_signals::domain::rules::rule::{Rule, Trigger};
use retention_signals::domain::rules::tiers::{EmittedTier, Tier, TierIndex, Tiers};
use retention_signals::domain::settings::Settings;
use retention_signals::domain::signals::kind::{SignalKind, SignalType};
use retention_signals::domain::signals::signal::TierChange;
use retention_signals::domain::store::packed::{self, Format};
use retention_signals::domain::values::event::{OrderRecord, Record, SkuVariety, WatchedSkus};
use retention_signals::domain::values::ids::{OrderHash, ShopIndex};
use retention_signals::domain::values::money::SentAmount;
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::{Span, Time};

use crate::laws::{self, key};
use crate::oracle::club;
use crate::{oracle, rules};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("laws::the_emitted_tier_is_that_of_the_facts", || laws::over_seeds(follows, 4_000)),
        Trial::test("laws::random_histories_change_tiers", histories_change_tiers),
        Trial::test("differential::histories_change_tiers", oracle_histories_change_tiers),
        Trial::test("tiers::who_was_there_before_is_taken_over_without_a_signal", taken_over),
        Trial::test("tiers::another_list_is_followed_from_the_next_record_on", another_list),
        Trial::test("tiers::what_history_reaches_is_not_emitted", settled),
        Trial::test("tiers::rules_start_on_them_and_ask_for_them", with_rules),
    ]
}

/// What tiers are made of: names with the amounts that reach them, and the share in thousandths that keeps them.
struct Club {
    amounts: Vec<(&'static str, i64)>,
    keep_thousandths: u64,
}

impl Club {
    fn random(random: &mut Rng, step: i64) -> Club {
        let mut amount = 0;
        let names = ["bronze", "silver", "gold"];
        let amounts = names[..random.usize(1..=3)].iter().map(|name| {
            amount += random.i64(1..=4) * step;
            (*name, amount)
        });
        Club { amounts: amounts.collect(), keep_thousandths: [1_000, 800, 500, 333][random.usize(0..4)] }
    }

    fn tiers(&self) -> Tiers {
        let decimal = |units: u64, digits| Decimal::new(units, digits).expect("few digits");
        let tier = |(name, amount): &(&str, i64)| Tier {
            name: (*name).into(),
            from: decimal(amount.unsigned_abs(), 2),
        };
        Tiers::new(self.amounts.iter().map(tier).collect(), decimal(self.keep_thousandths, 3))
            .expect("they rise")
    }

    /// Written in another way than the tiers are.
    fn expected(&self, before: Option<usize>, net: i64) -> Option<usize> {
        let reached = self.amounts.iter().rposition(|(_, amount)| net >= *amount);
        let kept = self.amounts.iter().rposition(|(_, amount)| {
            i128::from(net) * 1_000 >= i128::from(*amount) * i128::from(self.keep_thousandths)
        });
        reached.max(kept.min(before))
    }
}

/// For the laws, whose orders are worth a few cents. None: there are no tiers.
pub fn random(random: &mut Rng) -> Option<Arc<Tiers>> {
    let club = Club::random(random, 5);
    (random.u8(0..3) > 0).then(|| Arc::new(club.tiers()))
}

/// For the oracle, whose orders are worth up to ten euros.
pub fn for_oracle(random: &mut Rng) -> Option<club::Tiers> {
    let club = Club::random(random, 500);
    let text = |amount: i64| format!("{}.{:02}", amount / 100, amount % 100);
    let amounts = club.amounts.iter().map(|(name, amount)| ((*name).to_owned(), text(*amount)));
    let keep = format!("{}.{:03}", club.keep_thousandths / 1_000, club.keep_thousandths % 1_000);
    (random.u8(0..3) > 0).then(|| club::Tiers { amounts: amounts.collect(), keep })
}

pub fn points_for_oracle(random: &mut Rng) -> Option<club::Points> {
    let factor = random.i128(1..=3);
    match random.u8(0..3) {
        0 => None,
        1 => Some(club::Points::PerOrder { factor }),
        _ => Some(club::Points::PerAmount { amount: "2.5".to_owned(), factor }),
    }
}

fn emitted(engine: &Engine) -> Option<EmittedTier> {
    let slot = engine.find(key())?;
    let mut customer = Customer::default();
    packed::unpack(engine.packed(slot), &mut customer).expect("packed by the engine");
    Some(customer.emitted.tier)
}

fn position(tier: EmittedTier) -> Option<usize> {
    tier.index().map(|TierIndex(index)| usize::from(index))
}

/// Signals about tiers since the last time: before, after, and the cause.
fn changes(engine: &mut Engine) -> Vec<(TierChange, String)> {
    let signals = engine.drain_signals().filter_map(|(_, signal)| {
        let SignalKind::TierChanged(change) = signal.kind else { return None };
        Some((change, format!("{:?}", signal.cause)))
    });
    signals.collect()
}

/// What random histories lead to: how often a tier changes, by cause and direction.
type Seen = BTreeMap<String, u32>;

fn follows(seed: u64) -> Result<(), String> {
    seen(seed, &mut Seen::new())
}

/// After each record and each timer the emitted tier is that of the one before and the net value of the year, and a signal tells each
/// change with both names.
fn seen(seed: u64, seen: &mut Seen) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let club = Club::random(&mut random, 5);
    let settings = laws::settings(&mut random);
    let settings = Arc::new(Settings { tiers: Some(Arc::new(club.tiers())), ..(*settings).clone() });
    let records = laws::history(&mut random);
    let arrivals = laws::arrivals(&mut random, &records);
    let end = laws::end_of(&records).plus(Span::days(400));
    let mut engine = Engine::new(settings);
    let mut before = EmittedTier::Unknown;
    let mut check = |engine: &mut Engine, what: &str| -> Result<(), String> {
        let Some(after) = emitted(engine) else { return Ok(()) };
        let (slot, clock) = (engine.find(key()).ok_or("held")?, engine.clock().ok_or("a clock")?);
        let profile = engine.profile(slot, clock);
        let expected = match profile.blocks[0].kept {
            0 => EmittedTier::Unknown,
            _ => match club.expected(position(before), profile.blocks[3].net().minor()) {
                Some(index) => EmittedTier::Reached(TierIndex(index as u8)),
                None => EmittedTier::Below,
            },
        };
        let name = |tier: EmittedTier| position(tier).map(|index| club.amounts[index].0);
        if after != expected || profile.tier.name() != name(after) {
            return Err(format!("{what}: {after:?} after {before:?}, not {expected:?}\n{profile:#?}"));
        }
        let changes = changes(engine);
        let is_told = after != EmittedTier::Unknown && name(before) != name(after);
        let told: Vec<_> =
            changes.iter().map(|(it, _)| (it.before.as_deref(), it.after.as_deref(), it.net)).collect();
        let right = [(name(before), name(after), profile.blocks[3].net())];
        if told != right[..usize::from(is_told)] {
            return Err(format!("{what}: {changes:?} from {before:?} to {after:?}"));
        }
        if is_told {
            let direction = if position(after) > position(before) { "up" } else { "down" };
            let cause = changes[0].1.split('(').next().unwrap_or_default();
            *seen.entry(format!("{direction} by {cause} of {what}")).or_default() += 1;
        }
        before = after;
        Ok(())
    };
    for record in &arrivals {
        while let Some(due) = engine.next_due(record.time()) {
            engine.advance_clock(due, usize::MAX);
            check(&mut engine, "timer")?;
        }
        laws::apply(&mut engine, record)?;
        let what = match record {
            Record::Order(_) => "order",
            Record::Return(_) => "return",
            Record::Cancellation(_) => "cancellation",
        };
        check(&mut engine, what)?;
    }
    while let Some(due) = engine.next_due(end) {
        engine.advance_clock(due, usize::MAX);
        check(&mut engine, "timer")?;
    }
    Ok(())
}

/// The law would say nothing about tiers that never change.
fn histories_change_tiers() -> Result<(), Failed> {
    let mut counts = Seen::new();
    for seed in 0..1_500 {
        seen(seed, &mut counts)?;
    }
    let kinds = [
        "up by Record of order",
        "down by Expiry of timer",
        "up by Expiry of timer",
        "down by Record of return",
        "down by Record of cancellation",
    ];
    are_frequent(&kinds, &counts, 15)
}

/// The histories that service and oracle are compared on have changes of every kind.
fn oracle_histories_change_tiers() -> Result<(), Failed> {
    let mut counts = Seen::new();
    for seed in 0..300 {
        let mut history = oracle::history(seed);
        history.config.tiers = for_oracle(&mut Rng::with_seed(seed));
        for signal in oracle::run(&history.config, &history.wild).signals {
            if signal["type"] == "tier_changed" {
                let direction = if signal["data"]["after"].is_null() { "out" } else { "in" };
                let cause = signal["cause"]["kind"].as_str().unwrap_or_default();
                *counts.entry(format!("{direction} by {cause}")).or_default() += 1;
            }
        }
    }
    let kinds = ["in by order", "out by expiry", "in by expiry", "out by return", "out by cancellation"];
    are_frequent(&kinds, &counts, 3)
}

fn are_frequent(kinds: &[&str], counts: &Seen, least: u32) -> Result<(), Failed> {
    let rare: Vec<&&str> = kinds.iter().filter(|kind| counts.get(**kind) < Some(&least)).collect();
    if rare.is_empty() { Ok(()) } else { Err(format!("{rare:?} are rare: {counts:?}").into()) }
}

fn settings(amounts: &[(&'static str, i64)]) -> Arc<Settings> {
    let club = Club { amounts: amounts.to_vec(), keep_thousandths: 800 };
    let tiers = (!amounts.is_empty()).then(|| Arc::new(club.tiers()));
    let without = laws::settings(&mut Rng::with_seed(0));
    Arc::new(Settings { tiers, rules: None, segments: None, points: None, ..(*without).clone() })
}

const SILVER: (&str, i64) = ("silver", 15_000);
const GOLD: (&str, i64) = ("gold", 50_000);

fn order(id: u64, day: i64, total: i64) -> Record {
    let placed_at = Time::MIN.plus(Span::days(day));
    let (id, total, currency) = (OrderHash(id), SentAmount(total), laws::currency("EUR"));
    Record::Order(OrderRecord {
        id,
        version: 0,
        placed_at,
        total,
        currency,
        test: false,
        skus: SkuVariety::Unknown,
        watched: WatchedSkus::NONE,
    })
}

fn restored(engine: &Engine, settings: &Arc<Settings>) -> Result<Engine, String> {
    let mut restore = Restore::new(Arc::clone(settings));
    let slot = engine.find(key()).ok_or("it is held")?;
    restore.customer(key(), engine.packed(slot)).map_err(|error| format!("{error:?}"))?;
    restore.finish(engine.clock()).map_err(|error| format!("{error:?}"))
}

/// The emitted tier, the one of the profile, the lowest format, and the changes that were emitted: before and after.
fn state(engine: &mut Engine) -> Result<String, String> {
    let (slot, clock) = (engine.find(key()).ok_or("held")?, engine.clock().ok_or("a clock")?);
    let profile = engine.profile(slot, clock);
    let name = |name: Option<&str>| name.unwrap_or("none").to_owned();
    let changes: Vec<String> = changes(engine)
        .iter()
        .map(|(change, _)| format!("{} to {}", name(change.before.as_deref()), name(change.after.as_deref())))
        .collect();
    let emitted = emitted(engine).map(|tier| format!("{tier:?}")).unwrap_or_default();
    Ok(format!("{emitted}, {}, {:?}, {}", name(profile.tier.name()), engine.format(), changes.join(" ")))
}

fn check(engine: &mut Engine, expected: &str) -> Result<(), String> {
    let found = state(engine)?;
    if found == expected { Ok(()) } else { Err(format!("{found}\nexpected {expected}")) }
}

/// Tiers are configured over existing state: the next record or timer takes the tier over, and later changes are emitted.
fn taken_over() -> Result<(), Failed> {
    let (without, with) = (settings(&[]), settings(&[SILVER, GOLD]));
    let mut engine = Engine::new(Arc::clone(&without));
    laws::apply(&mut engine, &order(1, 0, 16_000))?;
    check(&mut engine, "Unknown, none, V1, ")?;
    let mut engine = restored(&engine, &with)?;
    // The profile tells it at once where it is asked for.
    check(&mut engine, "Unknown, silver, V1, ")?;
    laws::apply(&mut engine, &order(2, 10, 100))?;
    check(&mut engine, "Reached(TierIndex(0)), silver, V4, ")?;
    let mut again = restored(&engine, &with)?;
    laws::apply(&mut again, &order(3, 11, 40_000))?;
    check(&mut again, "Reached(TierIndex(1)), gold, V4, silver to gold")?;
    if engine.advance_clock(Time::MIN.plus(Span::days(364)), usize::MAX) != Progress::Done {
        return Err("timers are left".into());
    }
    check(&mut engine, "Reached(TierIndex(0)), silver, V4, ")?;
    engine.advance_clock(Time::MIN.plus(Span::days(365)), usize::MAX);
    check(&mut engine, "Below, none, V4, silver to none")?;
    // Switched off, the tier is forgotten with the next record, and the format is the first one again.
    let mut engine = restored(&engine, &without)?;
    check(&mut engine, "Below, none, V4, ")?;
    laws::apply(&mut engine, &order(4, 366, 20_000))?;
    check(&mut engine, "Unknown, none, V1, ")?;
    Ok(())
}

/// A tier that is not in the list any more counts as none.
fn another_list() -> Result<(), Failed> {
    let mut engine = Engine::new(settings(&[SILVER, GOLD]));
    laws::apply(&mut engine, &order(1, 0, 50_000))?;
    check(&mut engine, "Reached(TierIndex(1)), gold, V4, none to gold")?;
    let mut engine = restored(&engine, &settings(&[("member", 10_000)]))?;
    check(&mut engine, "Reached(TierIndex(1)), member, V4, ")?;
    laws::apply(&mut engine, &order(2, 1, 100))?;
    check(&mut engine, "Reached(TierIndex(0)), member, V4, none to member")?;
    // Under another name it is the same tier: the signals name it as it is called now.
    let mut engine = restored(&engine, &settings(&[("friend", 10_000)]))?;
    laws::apply(&mut engine, &order(3, 2, 100))?;
    check(&mut engine, "Reached(TierIndex(0)), friend, V4, ")?;
    engine.advance_clock(Time::MIN.plus(Span::days(400)), usize::MAX);
    check(&mut engine, "Below, none, V4, friend to none")?;
    Ok(())
}

/// Where history ends, the tier that the net value of the year reaches counts as emitted.
fn settled() -> Result<(), Failed> {
    let mut engine = Engine::new(settings(&[SILVER, GOLD]));
    engine.begin_history(usize::MAX);
    for record in [order(2, 200, 10_000), order(1, 0, 60_000), order(3, 210, 5_000)] {
        engine.handle_record(key(), ShopIndex(0), &record, usize::MAX);
    }
    engine.settle_history(usize::MAX);
    check(&mut engine, "Reached(TierIndex(1)), gold, V4, ")?;
    if engine.format() != Format::V4 {
        return Err("another format".into());
    }
    engine.advance_clock(Time::MIN.plus(Span::days(365)), usize::MAX);
    check(&mut engine, "Reached(TierIndex(0)), silver, V4, gold to silver")?;
    Ok(())
}

/// A welcome, a word to who has left, and thanks for the orders of a tier.
fn with_rules() -> Result<(), Failed> {
    let tiers = ["silver".to_owned(), "gold".to_owned()];
    let on_tier = Trigger::Signal(SignalType::TierChanged);
    let scope = Scope::Trigger { signal: Some(SignalType::TierChanged), has_sku: false, tiers: &tiers };
    let when = |text| parse(text, scope).map_err(|error| error.message);
    let of_customer = |text| {
        let scope = Scope::Customer { has_sku: false, tiers: &tiers };
        parse(text, scope).map_err(|error| error.message)
    };
    let rules = vec![
        Rule {
            when: when("trigger.after in [\"silver\", \"gold\"] and trigger.before is null")?,
            ..rules::rule("welcome", on_tier.clone())
        },
        Rule {
            when: when("trigger.after is null and trigger.net < 120.00")?,
            condition: of_customer("tier is null and points = 2")?,
            ..rules::rule("farewell", on_tier)
        },
        Rule {
            condition: of_customer("tier = \"silver\" and points = 1")?,
            ..rules::rule("thanks", Trigger::Order)
        },
    ];
    let points = Some(Points { per: PointsPer::Order, factor: 1 });
    let with = settings(&[SILVER, GOLD]);
    let mut engine = Engine::new(Arc::new(Settings {
        points,
        rules: Some(rules::book(rules, vec![], 0)),
        ..(*with).clone()
    }));
    laws::apply(&mut engine, &order(1, 0, 15_000))?;
    laws::apply(&mut engine, &order(2, 10, 11_999))?;
    engine.advance_clock(Time::MIN.plus(Span::days(380)), usize::MAX);
    let fired: Vec<String> = engine
        .drain_signals()
        .filter_map(|(_, signal)| {
            let at = signal.occurred_at.as_millis() / Span::DAY.as_millis();
            signal.kind.rule().map(|rule| format!("{} {at}", rule.rule))
        })
        .collect();
    // With 119.99 she falls out as the first order leaves the year.
    if fired == ["thanks 0", "welcome 0", "farewell 365"] { Ok(()) } else { Err(format!("{fired:?}").into()) }
}
