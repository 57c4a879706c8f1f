//! What rules brought: scenarios with values on every bound, and a law against a count that follows signals and orders.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::daily_count::outcomes::{Outcome, RuleOutcomes};
use retention_signals::domain::engine::Engine;
use retention_signals::domain::engine::as_of::AsOf;
use retention_signals::domain::engine::evidence::OrderStanding;
use retention_signals::domain::lapse::{LapsePolicies, LapsePolicy};
use retention_signals::domain::rules::firing::Rulebook;
use retention_signals::domain::rules::points::{Points, PointsPer};
use retention_signals::domain::rules::rule::{Again, Anchor, Every, Rule, Trigger, Variant, Variants};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::signals::rule::RuleAction;
use retention_signals::domain::signals::signal::Signal;
use retention_signals::domain::values::event::{
    CancellationRecord, OrderRecord, Record, ReturnRecord, SkuVariety, WatchedSkus,
};
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ReturnHash, ShopIndex};
use retention_signals::domain::values::money::{Currency, SentAmount, ShopAmount};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::hash;

use super::{book, rule};
use crate::{daily_count, laws};

pub fn trials() -> Vec<Trial> {
    let scenarios: [(&str, fn() -> Result<(), String>); 4] = [
        ("outcomes_on_every_bound", on_every_bound),
        ("a_later_firing_replaces_the_outcome", a_later_firing_replaces),
        ("outcomes_need_every_order", need_every_order),
        ("outcomes_outlive_a_cool_down", outlive_a_cool_down),
    ];
    let scenarios = scenarios.into_iter().map(|(name, scenario)| {
        Trial::test(format!("rules::{name}"), move || scenario().map_err(Failed::from))
    });
    let law = Trial::test("laws::outcomes_follow_signals_and_orders", || {
        laws::over_seeds(follow_signals_and_orders, 300)
    });
    let enough = Trial::test("laws::random_histories_have_outcomes", histories_have_outcomes);
    scenarios.chain([law, enough]).collect()
}

fn at(day: i64, hour: i64) -> Time {
    Time::MIN.plus(Span::from_millis((day * 24 + hour) * 3_600_000))
}

fn key(name: &str) -> CustomerKey<'_> {
    CustomerKey { bytes: name.as_bytes(), hash: hash(name.as_bytes()) }
}

fn euro() -> Currency {
    Currency::from_code(b"EUR").expect("a currency")
}

/// A shop whose customers lapse after 60 days.
struct Story(Engine);

impl Story {
    fn new(rules: Vec<Rule>, holdout: u16, orders_max: usize) -> Self {
        let erasure_hash =
            Arc::new(|key: &[u8]| std::array::from_fn(|index| key.get(index).copied().unwrap_or(0)));
        let defaults = Settings::with_defaults(Shops::One(Shop::in_currency(euro())), hash, erasure_hash);
        let lapse = LapsePolicy::Fixed { at_risk: Span::days(30), lapsed: Span::days(60) };
        let rules = Some(book(rules, Vec::new(), holdout));
        let lapse = LapsePolicies::new(lapse, hash);
        Self(Engine::new(Arc::new(Settings { rules, lapse, orders_max, ..defaults })))
    }

    fn apply(&mut self, customer: &str, record: &Record) {
        self.0.handle_record(key(customer), ShopIndex(0), record, usize::MAX);
        self.0.drain_signals().for_each(drop);
        self.0.changes_committed();
    }

    /// An order of 10 EUR.
    fn order(&mut self, customer: &str, id: u64, placed_at: Time) {
        let order = OrderRecord {
            id: OrderHash(id),
            version: 0,
            placed_at,
            total: SentAmount(1_000),
            currency: euro(),
            test: false,
            skus: SkuVariety::Unknown,
            watched: WatchedSkus::NONE,
        };
        self.apply(customer, &Record::Order(order));
    }

    fn give_back(&mut self, customer: &str, order: u64, cents: i64, returned_at: Time) {
        let (id, order) = (ReturnHash(order), Some(OrderHash(order)));
        let returned = ReturnRecord { id, returned_at, refund: SentAmount(cents), currency: euro(), order };
        self.apply(customer, &Record::Return(returned));
    }

    /// Each group at midnight of a day: rule, variant, customers, ordered, orders, net.
    fn check(&mut self, day: i64, expected: &[&str]) -> Result<(), String> {
        self.0.advance_clock(at(day, 0), usize::MAX);
        self.0.drain_signals().for_each(drop);
        self.0.changes_committed();
        let counts = self.0.counted(AsOf::midnight(at(day, 0)), 0);
        let found = counts[0].rules.groups().map(|(group, of)| {
            let did = if group.withheld { "withheld" } else { "fired" };
            let Outcome { customers, ordered, orders, net } = of;
            format!("{} {} {did} {customers} {ordered} {orders} {}", group.rule, group.variant, net.minor())
        });
        let found: Vec<String> = found.collect();
        if found == expected { Ok(()) } else { Err(format!("day {day}: {found:#?}, not {expected:#?}")) }
    }
}

fn win_back() -> Rule {
    let variant = |(name, weight, holdout): (&str, u32, bool)| Variant {
        name: name.into(),
        weight,
        holdout,
        say: None,
    };
    let list = [("percent", 45, false), ("credit", 45, false), ("control", 10, true)].map(variant);
    Rule {
        again: Again::Never,
        variants: Variants { split: "win-back".into(), list: list.into() },
        ..rule("win-back", Trigger::Signal(SignalType::Lapsed))
    }
}

/// All order at nine on day 100, lapse on day 160 at nine, and are measured until day 190 at nine.
fn on_every_bound() -> Result<(), String> {
    // c-1042 is held out (2,025 of 10,000); c-2077 (4,665) and c-3310 (2,483) are not.
    let mut story = Story::new(vec![win_back()], 2_026, 1_000);
    let customers = ["c-1042", "c-2077", "c-3310", "c-0002", "c-0003", "c-0004"];
    for (index, customer) in customers.iter().enumerate() {
        story.order(customer, index as u64, at(100, 9));
    }
    // At the very instant of the firing: the timer fires first.
    story.order("c-0003", 10, at(160, 9));
    story.order("c-0004", 20, at(160, 10));
    story.order("c-3310", 30, at(165, 9));
    story.order("c-2077", 40, at(170, 9));
    let cancelled_at = at(171, 9);
    story.apply(
        "c-2077",
        &Record::Cancellation(CancellationRecord { order: OrderHash(40), cancelled_at, version: None }),
    );
    story.order("c-3310", 31, at(180, 9));
    story.give_back("c-3310", 30, 400, at(185, 9));
    // The time that is measured is not over.
    story.check(190, &[])?;
    // The last instant of it, and one after it.
    story.order("c-1042", 50, at(190, 9));
    story.order("c-2077", 41, at(190, 9).plus(Span::from_millis(1)));
    story.check(
        191,
        &[
            "win-back control withheld 1 0 0 0",
            "win-back credit fired 2 1 1 1000",
            "win-back percent fired 2 1 2 1600",
            "win-back percent withheld 1 1 1 1000",
        ],
    )?;
    // What comes back later takes the order away, as known then.
    story.give_back("c-0004", 20, 1_000, at(200, 9));
    let a_year = [
        "win-back control withheld 1 0 0 0",
        "win-back credit fired 2 0 0 0",
        "win-back percent fired 2 1 2 1600",
        "win-back percent withheld 1 1 1 1000",
    ];
    story.check(201, &a_year)?;
    story.check(555, &a_year)?;
    story.check(556, &[])
}

fn a_later_firing_replaces() -> Result<(), String> {
    let each = Rule { measure: Span::days(10), ..rule("each", Trigger::Order) };
    let mut story = Story::new(vec![each], 0, 1_000);
    story.order("c-1042", 1, at(100, 9));
    story.order("c-1042", 2, at(105, 9));
    // The first firing would have an order by now; the second one is not measured yet.
    story.check(111, &[])?;
    story.check(115, &[])?;
    story.check(116, &["each  fired 1 0 0 0"])?;
    // An order later than what is measured fires again.
    story.order("c-1042", 3, at(130, 9));
    story.check(131, &[])
}

/// A customer of whom more orders came than are kept says nothing about the time that they were placed in.
fn need_every_order() -> Result<(), String> {
    for (orders_max, expected) in [(3, &["win-back percent fired 1 1 3 3000"][..]), (2, &[])] {
        let mut story = Story::new(vec![win_back()], 0, orders_max);
        story.order("c-1042", 1, at(100, 9));
        for (id, day) in [(2, 161), (3, 162), (4, 163)] {
            story.order("c-1042", id, at(day, 9));
        }
        story.check(200, expected)?;
    }
    // Ledgers hold 400 days: of a year that is measured from day 160 on, all is known until day 560.
    let mut story = Story::new(vec![Rule { measure: Span::days(365), ..win_back() }], 0, 1_000);
    story.order("c-1042", 1, at(100, 9));
    story.check(525, &[])?;
    story.check(526, &["win-back percent fired 1 0 0 0"])?;
    story.check(560, &["win-back percent fired 1 0 0 0"])?;
    story.check(561, &[])
}

/// What rules remember of a firing stays as long as it is counted, although another rule fires.
fn outlive_a_cool_down() -> Result<(), String> {
    let careful =
        Rule { again: Again::After(Span::days(7)), ..rule("careful", Trigger::Signal(SignalType::AtRisk)) };
    let each = Rule { again: Again::Never, ..rule("each", Trigger::Order) };
    // On days 300 and 500, so that no outcome of it is known yet.
    let every = Every { days_min: 200, days_max: 200, from: Anchor::FirstOrder };
    let ping = Rule { measure: Span::days(365), ..rule("ping", Trigger::Every(every)) };
    let mut story = Story::new(vec![careful, each, ping], 0, 1_000);
    story.order("c-1042", 1, at(100, 9));
    // It fires on day 130, and is measured until day 160.
    story.check(161, &["careful  fired 1 0 0 0", "each  fired 1 0 0 0"])?;
    story.check(495, &["careful  fired 1 0 0 0", "each  fired 1 0 0 0"])?;
    story.check(525, &["careful  fired 1 0 0 0"])?;
    story.check(526, &[])
}

/// Rule, variant, and whether it withheld.
type Group = (String, String, bool);

/// The last firing of a rule for a customer, with the group that the signal names.
type LastFirings = BTreeMap<(Vec<u8>, String), (Time, Group)>;

fn follow_signals_and_orders(seed: u64) -> Result<(), String> {
    compare(seed).map(drop)
}

/// The settings with random rules.
pub fn with_rules(random: &mut Rng, settings: &Settings) -> (Arc<Settings>, Arc<Rulebook>) {
    let rules = (0..random.usize(1..=4)).map(|number| super::random_rule(random, number)).collect();
    let rules = book(rules, vec![super::cap(2, 30)], [0, 5_000, 10_000][random.usize(0..3)]);
    let points = Some(Points { per: PointsPer::Order, factor: 1 });
    (Arc::new(Settings { rules: Some(rules.clone()), points, ..settings.clone() }), rules)
}

/// Returns how many customers were counted.
fn compare(seed: u64) -> Result<u64, String> {
    let mut random = Rng::with_seed(seed);
    let (settings, mut records) = daily_count::shop(&mut random);
    let (with_rules, rules) = with_rules(&mut random, &settings);
    let counted_at = Time::MIN.plus(Span::days(random.i64(200..1_600)));
    let clock = counted_at.plus(Span::days([0, random.i64(0..35)][random.usize(0..2)]));
    records.retain(|(_, record)| record.time() < clock);
    daily_count::leave_out_edits(&mut records, counted_at);

    let mut firings = LastFirings::new();
    let one = outcomes(&with_rules, &records, 1, (counted_at, clock), &mut firings)?;
    let expected = recount(&settings, &rules, &records, (counted_at, clock), &firings)?;
    let found: BTreeMap<Group, Outcome> = one
        .groups()
        .map(|(group, outcome)| ((group.rule.into(), group.variant.into(), group.withheld), *outcome))
        .collect();
    if found != expected {
        return Err(format!("at {counted_at:?}, clock {clock:?}: {found:#?}\nnot {expected:#?}"));
    }
    for partitions in [2, 4, 7] {
        let sum = outcomes(&with_rules, &records, partitions, (counted_at, clock), &mut LastFirings::new())?;
        if sum != one {
            return Err(format!("{partitions} partitions: {sum:#?}\none: {one:#?}"));
        }
    }
    Ok(found.values().map(|outcome| outcome.customers).sum())
}

/// What so many partitions count as of an instant when their clocks are further, added up from the last to the first.
fn outcomes(
    settings: &Arc<Settings>,
    records: &[(String, Record)],
    partitions: u64,
    (counted_at, clock): (Time, Time),
    firings: &mut LastFirings,
) -> Result<RuleOutcomes, String> {
    let mut engines: Vec<Engine> = (0..partitions).map(|_| Engine::new(settings.clone())).collect();
    for (customer, record) in records {
        let key = key(customer);
        let engine = &mut engines[(key.hash % partitions) as usize];
        engine.handle_record(key, ShopIndex(0), record, usize::MAX);
        note(engine, firings);
    }
    let mut sum = RuleOutcomes::default();
    for engine in engines.iter_mut().rev() {
        engine.advance_clock(clock, usize::MAX);
        note(engine, firings);
        let counts = engine.counted(AsOf::midnight(counted_at), 0);
        counts.iter().for_each(|count| sum.merge(&count.rules));
    }
    Ok(sum)
}

fn note(engine: &mut Engine, firings: &mut LastFirings) {
    for (key, signal) in engine.drain_signals() {
        if let Some((rule, group)) = firing(&signal) {
            firings.insert((key.to_vec(), rule), (signal.occurred_at, group));
        }
    }
    engine.changes_committed();
}

fn firing(signal: &Signal) -> Option<(String, Group)> {
    let rule = signal.kind.rule()?;
    let name = rule.rule.to_string();
    let variant = rule.variant.as_deref().unwrap_or_default().to_owned();
    match rule.action {
        RuleAction::Fired => Some((name.clone(), (name, variant, false))),
        RuleAction::Withheld => Some((name.clone(), (name, variant, true))),
        RuleAction::Planned | RuleAction::Cancelled => None,
    }
}

/// Outcomes from the signals that were emitted, and from what an engine without rules says of each order before the instant.
fn recount(
    settings: &Arc<Settings>,
    rules: &Rulebook,
    records: &[(String, Record)],
    (counted_at, clock): (Time, Time),
    firings: &LastFirings,
) -> Result<BTreeMap<Group, Outcome>, String> {
    let mut engine = Engine::new(Arc::clone(settings));
    for (customer, record) in records.iter().filter(|(_, record)| record.time() < counted_at) {
        daily_count::apply(&mut engine, customer, record);
    }
    engine.advance_clock(counted_at, usize::MAX);
    let mut outcomes: BTreeMap<Group, Outcome> = BTreeMap::new();
    for ((customer, rule), (fired_at, group)) in firings {
        let rule = rules.set().rules().iter().find(|held| *held.name == **rule).ok_or("no such rule")?;
        let end = fired_at.plus(rule.measure);
        let is_known = end < counted_at && *fired_at >= clock.minus(settings.ledger_horizon());
        if !is_known || end.plus(Span::days(365)) <= counted_at {
            continue;
        }
        let slot = engine.find(CustomerKey { bytes: customer, hash: hash(customer) }).ok_or("no customer")?;
        let orders = engine.explain(slot, counted_at).evidence.orders;
        let kept: Vec<ShopAmount> = orders
            .iter()
            .filter(|order| order.standing == OrderStanding::Kept)
            .filter(|order| order.placed_at > *fired_at && order.placed_at <= end)
            .map(|order| order.net)
            .collect();
        let outcome = outcomes.entry(group.clone()).or_default();
        outcome.customers += 1;
        outcome.ordered += u64::from(!kept.is_empty());
        outcome.orders += kept.len() as u64;
        kept.iter().for_each(|net| outcome.net += *net);
    }
    Ok(outcomes)
}

/// The law would say nothing about shops without outcomes.
fn histories_have_outcomes() -> Result<(), Failed> {
    let mut customers = 0;
    for seed in 0..60 {
        customers += compare(seed)?;
    }
    if customers > 100 { Ok(()) } else { Err(format!("{customers} customers").into()) }
}
