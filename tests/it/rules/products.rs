//! Rules on products: what is planned from which order on, what moves it and what takes it back, with exact values.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::{Engine, Progress};
use retention_signals::domain::rules::counts::RuleCounts;
use retention_signals::domain::rules::expression::parser::{Scope, parse};
use retention_signals::domain::rules::rule::{Again, Rule};
use retention_signals::domain::settings::Settings;
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::values::event::{
    CancellationRecord, OrderRecord, Record, ReturnRecord, SkuVariety, WatchedSkus,
};
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ReturnHash, ShopIndex};
use retention_signals::domain::values::money::{Currency, SentAmount};
use retention_signals::wire::hash::{SignalId, hash};

use super::scenarios::{KEY, Scenario, at, order};
use super::{goods, rule, working_hours};

pub fn trials() -> Vec<Trial> {
    let scenarios: [(&str, fn() -> Result<(), String>); 17] = [
        ("a_product_fires_before_its_end", fires_before_the_end),
        ("buying_again_moves_the_firing", buying_again),
        ("a_late_older_order_moves_nothing", late_older_order),
        ("a_late_order_of_goods_fires_with_its_record", late_order),
        ("a_lost_order_takes_its_goods_back", lost_orders),
        ("each_sku_has_its_own_firing", two_skus),
        ("conditions_know_the_sku", conditions),
        ("a_cool_down_of_goods_is_asked_at_the_end", cool_down),
        ("eight_products_are_planned_at_most", nine_skus),
        ("a_new_version_adds_no_goods_and_takes_off_what_it_lacks", versions),
        ("an_order_that_comes_back_plans_nothing", brought_back),
        ("goods_wait_for_the_hours", hours),
        ("goods_that_are_no_longer_watched_are_dropped", no_longer_watched),
        ("signals_cancel_goods_before_the_order_plans_new_ones", cancelled_by_signals),
        ("folded_orders_keep_their_goods", folded),
        ("history_plans_no_goods", history),
        ("the_id_of_a_product_is_made_as_documented", id),
    ];
    let trial = |(name, scenario): (&str, fn() -> Result<(), String>)| {
        Trial::test(format!("rules::{name}"), move || scenario().map_err(Failed::from))
    };
    scenarios.into_iter().map(trial).collect()
}

/// Five days before 30 days of coffee are over.
fn refill() -> Rule {
    rule("refill", goods(&[("COFFEE", 30)], 5))
}

fn announced() -> Rule {
    Rule { announce: true, ..refill() }
}

impl Scenario {
    /// A version of an order with these goods.
    pub fn holding(&self, id: u64, version: u64, day: i64, skus: &[&str]) -> Record {
        let Record::Order(order) = order(id, version, day) else { unreachable!("an order") };
        let rules = self.settings.rules.as_ref().expect("rules");
        let mut watched = WatchedSkus::NONE;
        for sku in skus {
            if let Ok(place) = rules.watched().binary_search(&hash(sku.as_bytes())) {
                watched.add(place as u16);
            }
        }
        let skus = match skus {
            [] => SkuVariety::Unknown,
            [sku] => SkuVariety::One(hash(sku.as_bytes())),
            [..] => SkuVariety::Varied,
        };
        Record::Order(OrderRecord { skus, watched, ..order })
    }

    /// The first version at nine on a day.
    pub fn buy(&mut self, id: u64, day: i64, skus: &[&str]) {
        let record = self.holding(id, 0, day, skus);
        self.apply(&record);
    }

    fn refund(&mut self, id: u64, order: u64, day: i64, minor: i64) {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let (returned_at, refund, order) = (at(day, 9), SentAmount(minor), Some(OrderHash(order)));
        let id = ReturnHash(id);
        self.apply(&Record::Return(ReturnRecord { id, returned_at, refund, currency, order }));
    }

    /// Somebody else's order moves the clock.
    fn other(&mut self, day: i64) {
        let other = CustomerKey { bytes: b"c-2", hash: hash(b"c-2") };
        self.engine.handle_record(other, ShopIndex(0), &order(99, 0, day), usize::MAX);
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{actual:?}, not {expected:?}")) }
}

fn fires_before_the_end() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.buy(1, 100, &["TEA", "COFFEE", "COFFEE"]);
    scenario.check(&[])?;
    expect(scenario.planned(), 1)?;
    scenario.to(125);
    scenario.check(&[])?;
    scenario.to(200);
    let signals: Vec<_> = scenario.engine.drain_signals().map(|(_, signal)| signal).collect();
    let [signal] = signals.iter().filter(|signal| signal.kind.rule().is_some()).collect::<Vec<_>>()[..]
    else {
        return Err(format!("{signals:?}"));
    };
    let rule = signal.kind.rule().expect("a rule's");
    let told =
        (signal.occurred_at, rule.due_at, rule.expires_at, rule.sku.as_deref(), rule.trigger, rule.points);
    expect(told, (at(125, 9), at(125, 9), at(132, 9), Some("COFFEE"), None, None))?;
    expect(scenario.planned(), 0)
}

fn buying_again() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![announced()]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.check(&["refill planned 100d9h due 125d9h"])?;
    scenario.buy(2, 110, &["TEA"]);
    scenario.check(&[])?;
    scenario.buy(3, 120, &["COFFEE"]);
    scenario.check(&["refill cancelled 120d9h due 125d9h", "refill planned 120d9h due 145d9h"])?;
    expect(scenario.planned(), 1)?;
    scenario.to(300);
    scenario.check(&["refill fired 145d9h"])
}

fn late_older_order() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![announced()]);
    scenario.buy(2, 110, &["COFFEE"]);
    scenario.check(&["refill planned 110d9h due 135d9h"])?;
    scenario.buy(1, 105, &["COFFEE"]);
    scenario.check(&[])?;
    // Of two orders of one instant the one with the greater hash counts.
    scenario.buy(3, 110, &["COFFEE"]);
    scenario.check(&["refill cancelled 110d9h due 135d9h", "refill planned 110d9h due 135d9h"])?;
    scenario.buy(0, 110, &["COFFEE"]);
    scenario.to(300);
    scenario.check(&["refill fired 135d9h"])
}

fn late_order() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.other(130);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.check(&["refill fired 130d9h due 125d9h"])?;
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.check(&[])
}

fn lost_orders() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![announced()]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.fired();
    scenario.cancel(1, 101);
    scenario.check(&["refill cancelled 101d9h due 125d9h"])?;
    // Of 10 EUR.
    scenario.buy(2, 102, &["COFFEE"]);
    scenario.refund(1, 2, 103, 400);
    scenario.check(&["refill planned 102d9h due 127d9h"])?;
    scenario.refund(2, 2, 104, 600);
    scenario.check(&["refill cancelled 104d9h due 127d9h"])?;
    // A test, and one that was cancelled before it came.
    let Record::Order(order) = scenario.holding(3, 0, 105, &["COFFEE"]) else { unreachable!("an order") };
    scenario.apply(&Record::Order(OrderRecord { test: true, ..order }));
    scenario.cancel(4, 106);
    scenario.buy(4, 106, &["COFFEE"]);
    expect(scenario.planned(), 0)?;
    // A later version is a test.
    scenario.buy(5, 107, &["COFFEE"]);
    let Record::Order(order) = scenario.holding(5, 1, 107, &["COFFEE"]) else { unreachable!("an order") };
    scenario.apply(&Record::Order(OrderRecord { test: true, ..order }));
    scenario.to(300);
    scenario.check(&["refill planned 107d9h due 132d9h", "refill cancelled 107d9h due 132d9h"])
}

fn two_skus() -> Result<(), String> {
    let rules = || vec![rule("refill", goods(&[("COFFEE", 30), ("FILTER", 60)], 5)), refill_later()];
    let mut scenario = Scenario::new(rules());
    scenario.buy(1, 100, &["FILTER", "COFFEE"]);
    expect(scenario.planned(), 3)?;
    scenario.buy(2, 110, &["COFFEE"]);
    scenario.restored(rules());
    scenario.to(300);
    scenario.check(&["refill fired 135d9h", "refill fired 155d9h", "refill-later fired 170d9h"])
}

fn refill_later() -> Rule {
    rule("refill-later", goods(&[("COFFEE", 60)], 0))
}

fn conditions() -> Result<(), String> {
    let only = |text: &str, scope| parse(text, scope).expect("a condition");
    let customer = Scope::Customer { has_sku: true, tiers: &[] };
    let trigger = Scope::Trigger { signal: None, has_sku: true, tiers: &[] };
    let both = || goods(&[("COFFEE", 30), ("FILTER", 60)], 0);
    let mut scenario = Scenario::new(vec![
        Rule { condition: only("sku = \"FILTER\"", customer), ..rule("at-the-end", both()) },
        Rule { when: only("sku = \"COFFEE\"", trigger), ..rule("at-once", both()) },
    ]);
    scenario.buy(1, 100, &["COFFEE", "FILTER"]);
    expect(scenario.planned(), 3)?;
    scenario.to(300);
    scenario.check(&["at-once fired 130d9h", "at-the-end fired 160d9h"])?;
    let unfired = scenario.engine.take_rule_counts().unfired;
    expect(unfired.iter().map(|unfired| unfired.refused).collect::<Vec<u64>>(), vec![0, 1])
}

fn cool_down() -> Result<(), String> {
    let both = |again| Rule { again, ..rule("refill", goods(&[("COFFEE", 30), ("FILTER", 60)], 0)) };
    let days = |days| Again::After(retention_signals::domain::values::time::Span::days(days));
    for (again, expected) in [
        // The rule fires for the coffee on day 130, the filters are over on day 160.
        (days(31), &["refill fired 130d9h"][..]),
        (days(30), &["refill fired 130d9h", "refill fired 160d9h"]),
        (Again::Never, &["refill fired 130d9h"]),
    ] {
        let mut scenario = Scenario::new(vec![both(again)]);
        scenario.buy(1, 100, &["COFFEE", "FILTER"]);
        scenario.to(300);
        scenario.check(expected)?;
    }
    // Bought within the cool-down, and over behind it.
    let mut scenario = Scenario::new(vec![both(days(32))]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.to(131);
    scenario.buy(2, 131, &["COFFEE"]);
    expect(scenario.planned(), 0)?;
    scenario.buy(3, 132, &["COFFEE"]);
    scenario.to(300);
    scenario.check(&["refill fired 130d9h", "refill fired 162d9h"])
}

fn nine_skus() -> Result<(), String> {
    let skus: Vec<String> = (1..=9).map(|number| format!("SKU-{number}")).collect();
    let names: Vec<&str> = skus.iter().map(String::as_str).collect();
    let lives: Vec<(&str, i64)> = names.iter().map(|sku| (*sku, 30)).collect();
    let mut scenario = Scenario::new(vec![rule("refill", goods(&lives, 0))]);
    scenario.buy(1, 100, &names);
    expect(scenario.planned(), 8)?;
    expect(scenario.engine.take_rule_counts().no_room, 1)?;
    // In another order, there is no room either; bought again, there is.
    scenario.buy(2, 101, &["SKU-9", "SKU-1"]);
    expect(scenario.planned(), 8)?;
    expect(scenario.engine.take_rule_counts().no_room, 1)?;
    scenario.to(200);
    let fired: Vec<String> = scenario
        .engine
        .drain_signals()
        .filter_map(|(_, signal)| Some(signal.kind.rule()?.sku.as_deref()?.to_owned()))
        .collect();
    let expected: Vec<&str> = vec!["SKU-2", "SKU-3", "SKU-4", "SKU-5", "SKU-6", "SKU-7", "SKU-8", "SKU-1"];
    let mut first = fired[..7].to_vec();
    first.sort();
    expect(
        (first.as_slice(), &*fired[7]),
        (&expected[..7].iter().map(|sku| (*sku).to_owned()).collect::<Vec<_>>()[..], "SKU-1"),
    )?;
    // Eight of 16 are for goods.
    let many: Vec<Rule> =
        (1..=9).map(|number| rule(&format!("rule-{number}"), goods(&[("COFFEE", 30)], 0))).collect();
    let mut scenario = Scenario::new(many);
    scenario.buy(1, 100, &["COFFEE"]);
    let counts = scenario.engine.take_rule_counts();
    expect((scenario.planned(), counts), (8, RuleCounts { no_room: 1, ..RuleCounts::default() }))
}

fn versions() -> Result<(), String> {
    let both = rule("refill", goods(&[("COFFEE", 30), ("FILTER", 60)], 0));
    let mut scenario = Scenario::new(vec![Rule { announce: true, ..both }]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.check(&["refill planned 100d9h due 130d9h"])?;
    let versions: [(u64, &[&str]); 3] = [(1, &["COFFEE", "FILTER"]), (2, &[]), (1, &["FILTER"])];
    for (version, skus) in versions {
        let record = scenario.holding(1, version, 100, skus);
        scenario.apply(&record);
        scenario.check(&[])?;
    }
    let record = scenario.holding(1, 3, 100, &["TEA"]);
    scenario.apply(&record);
    scenario.check(&["refill cancelled 100d9h due 130d9h"])?;
    let record = scenario.holding(1, 4, 100, &["COFFEE"]);
    scenario.apply(&record);
    scenario.to(300);
    scenario.check(&[])
}

fn brought_back() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.buy(1, 100, &["COFFEE"]);
    let (order, cancelled_at, version) = (OrderHash(1), at(101, 9), Some(1));
    scenario.apply(&Record::Cancellation(CancellationRecord { order, cancelled_at, version }));
    expect(scenario.planned(), 0)?;
    let record = scenario.holding(1, 2, 100, &["COFFEE"]);
    scenario.apply(&record);
    scenario.to(300);
    scenario.check(&[])
}

fn hours() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![Rule { send: Some(working_hours()), ..refill() }]);
    // Day 100 is a Saturday, day 125 a Wednesday, day 128 a Saturday.
    scenario.buy(1, 103, &["COFFEE"]);
    scenario.to(300);
    scenario.check(&["refill fired 130d9h"])
}

fn no_longer_watched() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.buy(1, 100, &["COFFEE"]);
    let filters = || rule("refill", goods(&[("FILTER", 60)], 0));
    scenario.restored(vec![filters()]);
    // A version that lists no coffee says nothing of what is not watched.
    let record = scenario.holding(1, 1, 100, &["COFFEE"]);
    scenario.apply(&record);
    expect(scenario.planned(), 1)?;
    scenario.to(130);
    expect(scenario.planned(), 0)?;
    scenario.check(&[])?;
    // Another life decides about later orders only.
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.restored(vec![rule("refill", goods(&[("COFFEE", 90)], 5))]);
    scenario.to(130);
    scenario.check(&["refill fired 125d9h"])?;
    // One that is off keeps nothing that comes due, and plans nothing.
    let off = || Rule { enabled: false, ..refill() };
    let mut scenario = Scenario::new(vec![off()]);
    scenario.buy(1, 100, &["COFFEE"]);
    expect(scenario.planned(), 0)
}

fn cancelled_by_signals() -> Result<(), String> {
    let cancel_on = [SignalType::WonBack].into_iter().collect();
    let slow = Rule { cancel_on, announce: true, ..rule("refill", goods(&[("COFFEE", 100)], 0)) };
    let mut scenario = Scenario::new(vec![slow]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.check(&["refill planned 100d9h due 200d9h"])?;
    // Lapsed since day 160.
    scenario.buy(2, 170, &["COFFEE"]);
    scenario.check(&["refill cancelled 170d9h due 200d9h", "refill planned 170d9h due 270d9h"])?;
    scenario.to(300);
    scenario.check(&["refill fired 270d9h"])
}

fn folded() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![rule("pillow", goods(&[("PILLOW", 500)], 0))]);
    scenario.settings = Arc::new(Settings { orders_max: 2, ..(*scenario.settings).clone() });
    scenario.engine = Engine::new(Arc::clone(&scenario.settings));
    scenario.buy(1, 100, &["PILLOW"]);
    scenario.buy(2, 110, &["COFFEE"]);
    scenario.buy(3, 120, &["COFFEE"]);
    assert_eq!(scenario.engine.take_folded_early(), 1, "the first order has folded");
    scenario.cancel(2, 121);
    expect(scenario.planned(), 1)?;
    scenario.buy(4, 130, &["PILLOW"]);
    expect(scenario.planned(), 1)?;
    scenario.to(700);
    scenario.check(&["pillow fired 630d9h"])
}

fn history() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.engine.begin_history(usize::MAX);
    scenario.buy(1, 100, &["COFFEE"]);
    expect(scenario.engine.settle_history(usize::MAX), Progress::Done)?;
    expect(scenario.planned(), 0)?;
    scenario.buy(2, 110, &["COFFEE"]);
    scenario.to(300);
    scenario.check(&["refill fired 135d9h"])
}

/// Of the bytes as docs/RECORDS.md lists them.
fn id() -> Result<(), String> {
    let mut scenario = Scenario::new(vec![refill()]);
    scenario.buy(1, 100, &["COFFEE"]);
    scenario.to(200);
    let ids: Vec<String> = scenario
        .engine
        .drain_signals()
        .filter(|(_, signal)| signal.kind.rule().is_some())
        .map(|(key, signal)| {
            SignalId::of(key, signal.kind.name(), &signal.cause, &mut Vec::new()).to_string()
        })
        .collect();
    let mut cause = b"R".to_vec();
    cause.extend(hash(b"refill").to_le_bytes());
    cause.extend([1, b'p']);
    cause.extend(1u64.to_le_bytes());
    cause.extend(hash(b"COFFEE").to_le_bytes());
    let mut bytes = Vec::new();
    for part in [KEY, b"rule", &cause] {
        bytes.extend((part.len() as u32).to_le_bytes());
        bytes.extend(part);
    }
    expect(ids, vec![format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))])
}
