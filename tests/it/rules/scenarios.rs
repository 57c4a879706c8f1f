//! What happens to planned firings when records come late or take something back, with exact values.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::restore::Restore;
use retention_signals::domain::engine::{Engine, Outcome, Progress};
use retention_signals::domain::lapse::{LapsePolicies, LapsePolicy};
use retention_signals::domain::rules::counts::{RuleCounts, Unfired};
use retention_signals::domain::rules::firing::Rulebook;
use retention_signals::domain::rules::points::{Points, PointsPer};
use retention_signals::domain::rules::rule::{
    Again, Anchor, CapIndex, DateTrigger, Every, Rule, Trigger, WhilePlanned,
};
use retention_signals::domain::rules::schedule::{DateOfYear, TimeOfDay};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::store::packed::Format;
use retention_signals::domain::values::event::{
    CancellationRecord, ErasureRecord, OrderRecord, Record, SkuVariety, WatchedSkus,
};
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ShopIndex};
use retention_signals::domain::values::money::{Currency, SentAmount};
use retention_signals::domain::values::number::Decimal;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::hash;

use super::{book, cap, condition, rule, working_hours};

pub fn trials() -> Vec<Trial> {
    let scenarios: [(&str, fn() -> Result<(), String>); 18] = [
        ("a_rule_fires_after_its_delay", fires_after_its_delay),
        ("a_retracted_trigger_cancels", retracted_before_firing),
        ("a_retraction_after_the_firing_takes_nothing_back", retracted_after_firing),
        ("became_prospect_cancels_and_memory_survives", became_prospect),
        ("a_late_trigger_fires_with_its_record", late_trigger),
        ("a_late_trigger_waits_for_the_hours", late_trigger_outside_of_hours),
        ("versions_and_duplicates_trigger_nothing", versions_and_duplicates),
        ("an_erased_customer_begins_afresh", erased),
        ("a_changed_condition_decides_at_the_due_instant", changed_text),
        ("a_rule_that_was_removed_keeps_its_memory", removed_and_back),
        ("while_planned_keeps_or_restarts", while_planned),
        ("a_cap_counts_all_its_rules_by_priority", capped),
        ("a_customer_held_out_is_withheld_from", held_out),
        ("turns_follow_the_last_order", turns),
        ("a_date_comes_each_year", dates),
        ("points_are_rewarded_once_a_multiple", points),
        ("sixteen_firings_are_planned_at_most", no_room),
        ("history_and_what_is_held_back_start_nothing", history_starts_nothing),
    ];
    let trial = |(name, scenario): (&str, fn() -> Result<(), String>)| {
        Trial::test(format!("rules::{name}"), move || scenario().map_err(Failed::from))
    };
    scenarios.into_iter().map(trial).collect()
}

/// One customer of a shop that lapses after 30 and 60 days, and the rules.
pub struct Scenario {
    pub settings: Arc<Settings>,
    pub engine: Engine,
}

pub const KEY: &[u8] = b"c-1042";

pub fn key() -> CustomerKey<'static> {
    CustomerKey { bytes: KEY, hash: hash(KEY) }
}

/// Day 4 of 1970 is a Monday.
pub fn at(day: i64, hour: i64) -> Time {
    Time::MIN.plus(Span::from_millis((day * 24 + hour) * 3_600_000))
}

pub fn settings(rules: Option<Arc<Rulebook>>) -> Arc<Settings> {
    let shop = Shop::in_currency(Currency::from_code(b"EUR").expect("a currency"));
    let erasure_hash =
        Arc::new(|key: &[u8]| std::array::from_fn(|index| key.get(index).copied().unwrap_or(0)));
    let defaults = Settings::with_defaults(Shops::One(shop), hash, erasure_hash);
    let lapse = LapsePolicy::Fixed { at_risk: Span::days(30), lapsed: Span::days(60) };
    Arc::new(Settings { rules, lapse: LapsePolicies::new(lapse, hash), ..defaults })
}

impl Scenario {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::with(book(rules, vec![cap(2, 30)], 0))
    }

    pub fn with(rules: Arc<Rulebook>) -> Self {
        let settings = settings(Some(rules));
        Self { engine: Engine::new(Arc::clone(&settings)), settings }
    }

    pub fn apply(&mut self, record: &Record) -> Outcome {
        self.engine.handle_record(key(), ShopIndex(0), record, usize::MAX)
    }

    /// An order of 10 EUR at nine on a day.
    pub fn order(&mut self, id: u64, day: i64) -> Outcome {
        self.apply(&order(id, 0, day))
    }

    pub fn cancel(&mut self, id: u64, day: i64) {
        let (order, cancelled_at) = (OrderHash(id), at(day, 9));
        self.apply(&Record::Cancellation(CancellationRecord { order, cancelled_at, version: None }));
    }

    pub fn to(&mut self, day: i64) {
        assert_eq!(self.engine.advance_clock(at(day, 0), usize::MAX), Progress::Done);
    }

    pub fn restored(&mut self, rules: Vec<Rule>) {
        self.settings = settings(Some(book(rules, vec![cap(2, 30)], 0)));
        let mut restore = Restore::new(Arc::clone(&self.settings));
        let slot = self.engine.find(key()).expect("it is held");
        restore.customer(key(), self.engine.packed(slot)).expect("packed by the engine");
        self.engine = restore.finish(self.engine.clock()).expect("it is sound");
    }

    /// What rules have emitted since the last time: rule, action, when, and when it was due.
    pub fn fired(&mut self) -> Vec<String> {
        let signals = self.engine.drain_signals().filter_map(|(_, signal)| {
            let rule = signal.kind.rule()?;
            let due = match rule.due_at == signal.occurred_at {
                true => String::new(),
                false => format!(" due {}", text(rule.due_at)),
            };
            Some(format!("{} {} {}{due}", rule.rule, rule.action.name(), text(signal.occurred_at)))
        });
        signals.collect()
    }

    pub fn check(&mut self, expected: &[&str]) -> Result<(), String> {
        let fired = self.fired();
        if fired == expected { Ok(()) } else { Err(format!("{fired:?}\nexpected {expected:?}")) }
    }

    pub fn planned(&self) -> usize {
        self.engine.firings_planned()
    }
}

/// Day and hour.
fn text(time: Time) -> String {
    let hours = time.as_millis() / 3_600_000;
    format!("{}d{}h", hours / 24, hours % 24)
}

pub fn order(id: u64, version: u64, day: i64) -> Record {
    Record::Order(OrderRecord {
        id: OrderHash(id),
        version,
        placed_at: at(day, 9),
        total: SentAmount(1_000),
        currency: Currency::from_code(b"EUR").expect("a currency"),
        test: false,
        skus: SkuVariety::Unknown,
        watched: WatchedSkus::NONE,
    })
}

fn on(name: &str, signal_type: SignalType) -> Rule {
    rule(name, Trigger::Signal(signal_type))
}

fn thanks() -> Rule {
    Rule { after: Span::days(7), again: Again::Never, ..on("thank-you", SignalType::FirstOrder) }
}

fn fires_after_its_delay() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![thanks(), on("hello", SignalType::FirstOrder)]);
    scenario.order(1, 100);
    scenario.check(&["hello fired 100d9h"])?;
    assert_eq!((scenario.planned(), scenario.engine.format()), (1, Format::V2));
    scenario.to(107);
    scenario.check(&[])?;
    scenario.to(200);
    scenario.check(&["thank-you fired 107d9h"])?;
    assert_eq!(scenario.planned(), 0);
    Ok(())
}

fn win_back(after: i64) -> Rule {
    let cancel_on = [SignalType::WonBack, SignalType::BecameProspect].into_iter().collect();
    Rule { after: Span::days(after), cancel_on, ..on("win-back", SignalType::Lapsed) }
}

fn retracted_before_firing() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![Rule { announce: true, ..win_back(5) }]);
    scenario.order(1, 100);
    scenario.to(162);
    scenario.check(&["win-back planned 160d9h due 165d9h"])?;
    // It was placed before the customer lapsed, and comes after that.
    scenario.order(2, 155);
    scenario.check(&["win-back cancelled 162d0h due 165d9h"])?;
    scenario.to(170);
    scenario.check(&[])?;
    // A customer who comes back in time order is no longer to be won back.
    scenario.to(216);
    scenario.check(&["win-back planned 215d9h due 220d9h"])?;
    scenario.order(3, 216);
    scenario.check(&["win-back cancelled 216d9h due 220d9h"])
}

fn retracted_after_firing() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![win_back(1)]);
    scenario.order(1, 100);
    scenario.to(162);
    scenario.check(&["win-back fired 161d9h"])?;
    scenario.order(2, 155);
    scenario.check(&[])
}

fn became_prospect() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![thanks()]);
    scenario.order(1, 100);
    scenario.cancel(1, 101);
    assert_eq!(scenario.planned(), 0, "became_prospect cancels");
    scenario.order(2, 110);
    scenario.to(130);
    scenario.check(&["thank-you fired 117d9h"])?;
    scenario.cancel(2, 131);
    scenario.order(3, 132);
    scenario.to(160);
    scenario.check(&[])
}

fn late_trigger() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![thanks()]);
    scenario.to(0);
    let other = CustomerKey { bytes: b"c-2", hash: hash(b"c-2") };
    scenario.engine.handle_record(other, ShopIndex(0), &order(9, 0, 120), usize::MAX);
    scenario.order(1, 110);
    scenario.check(&["thank-you fired 120d9h due 117d9h"])?;
    scenario.order(1, 110);
    scenario.to(130);
    scenario.check(&["thank-you fired 127d9h"])
}

fn late_trigger_outside_of_hours() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![Rule { send: Some(working_hours()), ..thanks() }]);
    let other = CustomerKey { bytes: b"c-2", hash: hash(b"c-2") };
    // A Saturday; day 110 is a Tuesday, and so is day 117.
    scenario.engine.handle_record(other, ShopIndex(0), &order(9, 0, 121), usize::MAX);
    scenario.fired();
    scenario.order(1, 110);
    scenario.check(&[])?;
    scenario.to(124);
    // Day 123 is a Monday.
    scenario.check(&["thank-you fired 123d9h due 117d9h"])
}

fn versions_and_duplicates() -> Result<(), String> {
    let rules = vec![on("hello", SignalType::FirstOrder), rule("each", Trigger::Order)];
    let mut scenario = Scenario::new(rules);
    scenario.order(1, 100);
    scenario.check(&["each fired 100d9h", "hello fired 100d9h"])?;
    for version in [0, 1, 2, 1] {
        scenario.apply(&order(1, version, 100));
    }
    scenario.check(&[])?;
    scenario.order(2, 101);
    scenario.check(&["each fired 101d9h"])
}

fn erased() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![thanks()]);
    scenario.order(1, 100);
    scenario.to(110);
    scenario.order(2, 110);
    scenario.check(&["thank-you fired 107d9h"])?;
    scenario.engine.handle_erasure(key(), &ErasureRecord { requested_at: at(112, 0) }, usize::MAX);
    scenario.order(3, 113);
    assert_eq!(scenario.planned(), 1);
    scenario.engine.handle_erasure(key(), &ErasureRecord { requested_at: at(114, 0) }, usize::MAX);
    assert_eq!(scenario.planned(), 0);
    scenario.order(4, 115);
    scenario.to(140);
    scenario.check(&["thank-you fired 122d9h"])
}

fn changed_text() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![thanks()]);
    scenario.order(1, 100);
    let never = Rule { condition: condition("all_time.kept >= 2"), after: Span::days(1), ..thanks() };
    scenario.restored(vec![never]);
    scenario.to(106);
    scenario.check(&[])?;
    scenario.order(2, 106);
    scenario.to(120);
    scenario.check(&["thank-you fired 107d9h"])
}

fn removed_and_back() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![thanks()]);
    scenario.order(1, 100);
    scenario.to(110);
    scenario.check(&["thank-you fired 107d9h"])?;
    scenario.restored(vec![on("hello", SignalType::FirstOrder)]);
    scenario.cancel(1, 111);
    scenario.order(2, 112);
    scenario.check(&["hello fired 112d9h"])?;
    scenario.restored(vec![thanks()]);
    scenario.cancel(2, 113);
    scenario.order(3, 114);
    scenario.to(140);
    scenario.check(&[])?;
    // One that is off drops what is due.
    scenario.restored(vec![win_back(5)]);
    scenario.to(175);
    assert_eq!(scenario.planned(), 1);
    scenario.restored(vec![Rule { enabled: false, ..win_back(5) }]);
    scenario.to(190);
    assert_eq!(scenario.planned(), 0);
    scenario.check(&[])
}

fn while_planned() -> Result<(), String> {
    let each = |while_planned| Rule { after: Span::days(7), while_planned, ..rule("each", Trigger::Order) };
    for (while_planned, expected) in
        [(WhilePlanned::Keep, &["each fired 107d9h"][..]), (WhilePlanned::Restart, &["each fired 110d9h"])]
    {
        let mut scenario = Scenario::new(vec![each(while_planned)]);
        scenario.order(1, 100);
        scenario.order(2, 103);
        scenario.to(130);
        scenario.check(expected)?;
    }
    Ok(())
}

fn capped() -> Result<(), String> {
    let each = |name: &str, priority| {
        let cap = Some(CapIndex(0));
        Rule { cap, priority, ..rule(name, Trigger::Order) }
    };
    let mut scenario = Scenario::new(vec![each("a", 10), each("b", 20), each("c", 20)]);
    scenario.order(1, 100);
    scenario.check(&["b fired 100d9h", "c fired 100d9h"])?;
    let (none, capped) = (Unfired::default(), Unfired { capped: 1, ..Unfired::default() });
    let counts = RuleCounts { unfired: vec![none, none, capped], ..RuleCounts::default() };
    assert_eq!(scenario.engine.take_rule_counts(), counts);
    scenario.order(2, 129);
    scenario.check(&[])?;
    // 30 days later the first two no longer count.
    scenario.order(3, 130);
    scenario.check(&["b fired 130d9h", "c fired 130d9h"])
}

fn held_out() -> Result<(), String> {
    // XXH3-64("holdout" ‖ 0 ‖ key) mod 10,000 is 2,025.
    for (share, expected) in [(2_025, "fired"), (2_026, "withheld")] {
        let rules = vec![Rule { cap: Some(CapIndex(0)), ..thanks() }];
        let mut scenario = Scenario::with(book(rules, vec![cap(1, 30)], share));
        scenario.order(1, 100);
        scenario.to(120);
        scenario.check(&[&format!("thank-you {expected} 107d9h")])?;
    }
    Ok(())
}

fn turns() -> Result<(), String> {
    let every = Every { days_min: 21, days_max: 21, from: Anchor::LastOrder };
    let news = Rule { condition: condition("state = \"active\""), ..rule("news", Trigger::Every(every)) };
    let mut scenario = Scenario::new(vec![news]);
    scenario.order(1, 100);
    scenario.to(125);
    scenario.check(&["news fired 121d9h"])?;
    // At risk from day 130 on: turns pass without a firing.
    scenario.to(170);
    scenario.check(&[])?;
    scenario.order(2, 171);
    scenario.to(200);
    scenario.check(&["news fired 192d9h"])
}

fn dates() -> Result<(), String> {
    let date = DateTrigger {
        date: DateOfYear::yearly(6, 1).expect("a date"),
        time: TimeOfDay::new(9, 0).expect("a time of day"),
        spread: Span::days(0),
    };
    let mut scenario = Scenario::new(vec![rule("summer", Trigger::Date(date))]);
    scenario.order(1, 100);
    scenario.to(151);
    scenario.check(&[])?;
    scenario.to(600);
    scenario.check(&["summer fired 151d9h", "summer fired 516d9h"])
}

/// An order of 10 EUR gives 10 points.
fn points() -> Result<(), String> {
    let reward = Rule { again: Again::Never, ..rule("reward", Trigger::Points { reach: 20 }) };
    let points = Points { per: PointsPer::Amount(Decimal::whole(1)), factor: 1 };
    let settings = settings(Some(book(vec![reward], Vec::new(), 0)));
    let settings = Arc::new(Settings { points: Some(points), ..(*settings).clone() });
    let mut scenario = Scenario { engine: Engine::new(Arc::clone(&settings)), settings };
    scenario.order(1, 100);
    scenario.order(2, 101);
    scenario.check(&["reward fired 101d9h"])?;
    // 20, 10 and 20 points: the multiple was rewarded.
    scenario.cancel(2, 102);
    scenario.order(3, 103);
    scenario.check(&[])?;
    scenario.order(4, 104);
    scenario.order(5, 105);
    let multiples: Vec<Option<u64>> =
        scenario.engine.drain_signals().filter_map(|(_, signal)| Some(signal.kind.rule()?.points)).collect();
    if multiples == [Some(2)] { Ok(()) } else { Err(format!("{multiples:?}")) }
}

fn no_room() -> Result<(), String> {
    let later = |number: i64| Rule {
        after: Span::days(number),
        ..on(&format!("rule-{number:02}"), SignalType::FirstOrder)
    };
    let mut scenario = Scenario::new((1..=18).map(later).collect());
    scenario.order(1, 100);
    assert_eq!(scenario.planned(), 16);
    assert_eq!(scenario.engine.take_rule_counts().no_room, 2);
    scenario.to(200);
    let fired = scenario.fired();
    assert_eq!((fired.len(), &*fired[15]), (16, "rule-16 fired 116d9h"));
    Ok(())
}

fn history_starts_nothing() -> Result<(), String> {
    let rules = || vec![win_back(0), on("careful", SignalType::AtRisk), rule("each", Trigger::Order)];
    let mut scenario = Scenario::new(rules());
    scenario.engine.begin_history(usize::MAX);
    scenario.order(1, 100);
    scenario.order(2, 162);
    assert_eq!(scenario.engine.settle_history(usize::MAX), Progress::Done);
    scenario.check(&[])?;
    // At risk on day 192, lapsed on day 222.
    scenario.engine.hold_back_until(at(200, 0));
    scenario.to(210);
    scenario.check(&[])?;
    scenario.to(230);
    scenario.check(&["win-back fired 222d9h"])?;
    // What was planned for an instant that is held back is dropped.
    let mut scenario = Scenario::new(vec![thanks()]);
    scenario.engine.hold_back_until(at(108, 0));
    scenario.order(1, 100);
    assert_eq!(scenario.planned(), 1);
    scenario.to(130);
    assert_eq!(scenario.planned(), 0);
    assert_eq!(scenario.engine.take_held_back(), 1);
    scenario.check(&[])
}
