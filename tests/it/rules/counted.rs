//! What rules did not do is counted, by rule and reason.

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::rules::rule::{Again, Anchor, Every, Rule, Trigger, WhilePlanned};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::values::time::Span;

use super::scenarios::Scenario;
use super::{goods, rule};

pub fn trials() -> Vec<Trial> {
    let scenarios: [(&str, fn() -> Result<(), String>); 5] = [
        ("a_cool_down_is_counted_when_it_is_asked", cool_downs),
        ("what_is_cancelled_is_counted", cancellations),
        ("turns_need_a_kept_order", turns_of_a_prospect),
        ("a_version_that_lacks_one_of_two_goods_cancels_that_one", one_of_two_goods),
        ("a_second_trigger_restarts_what_is_planned", restarted),
    ];
    let trial = |(name, scenario): (&str, fn() -> Result<(), String>)| {
        Trial::test(format!("rules::{name}"), move || scenario().map_err(Failed::from))
    };
    scenarios.into_iter().map(trial).collect()
}

impl Scenario {
    /// Of the only rule: cooling, capped and cancelled since the last time.
    fn unfired(&mut self) -> [u64; 3] {
        let counts = self.engine.take_rule_counts();
        counts.unfired.first().map_or([0; 3], |unfired| [unfired.cooling, unfired.capped, unfired.cancelled])
    }

    fn counts(&mut self, expected: [u64; 3]) -> Result<(), String> {
        let unfired = self.unfired();
        if unfired == expected { Ok(()) } else { Err(format!("{unfired:?}, not {expected:?}")) }
    }
}

fn cool_downs() -> Result<(), String> {
    let again = Again::After(Span::days(20));
    let mut at_the_trigger = Scenario::new(vec![Rule { again, ..rule("thanks", Trigger::Order) }]);
    at_the_trigger.order(1, 100);
    at_the_trigger.counts([0; 3])?;
    at_the_trigger.order(2, 110);
    at_the_trigger.order(3, 119);
    at_the_trigger.counts([2, 0, 0])?;
    at_the_trigger.order(4, 120);
    at_the_trigger.counts([0; 3])?;
    at_the_trigger.check(&["thanks fired 100d9h", "thanks fired 120d9h"])?;

    // Both goods are planned; when the second is over, the rule has just fired for the first.
    let both = goods(&[("COFFEE", 30), ("FILTER", 40)], 0);
    let mut when_due = Scenario::new(vec![Rule { again, ..rule("refill", both.clone()) }]);
    when_due.buy(1, 100, &["COFFEE", "FILTER"]);
    when_due.counts([0; 3])?;
    when_due.to(200);
    when_due.counts([1, 0, 0])?;
    when_due.check(&["refill fired 130d9h"])?;

    // Bought again while the rule still cools down at the end of the goods.
    let long = Again::After(Span::days(60));
    let mut at_the_order = Scenario::new(vec![Rule { again: long, ..rule("refill", both) }]);
    at_the_order.buy(1, 100, &["COFFEE"]);
    at_the_order.to(131);
    at_the_order.counts([0; 3])?;
    at_the_order.buy(2, 140, &["COFFEE"]);
    at_the_order.counts([1, 0, 0])
}

fn cancellations() -> Result<(), String> {
    let cancel_on = [SignalType::BecameProspect].into_iter().collect();
    let delayed = Rule { after: Span::days(5), cancel_on, ..rule("thanks", Trigger::Order) };
    let mut scenario = Scenario::new(vec![delayed]);
    scenario.order(1, 100);
    scenario.counts([0; 3])?;
    scenario.cancel(1, 101);
    scenario.counts([0, 0, 1])?;
    scenario.to(200);
    scenario.counts([0; 3])?;
    scenario.check(&[])
}

fn turns_of_a_prospect() -> Result<(), String> {
    let every = Every { days_min: 21, days_max: 21, from: Anchor::FirstOrder };
    let mut scenario = Scenario::new(vec![rule("news", Trigger::Every(every))]);
    scenario.order(1, 100);
    scenario.cancel(1, 101);
    scenario.to(400);
    scenario.check(&[])?;
    scenario.order(2, 400);
    scenario.to(430);
    scenario.check(&["news fired 421d9h"])
}

fn one_of_two_goods() -> Result<(), String> {
    let both = goods(&[("COFFEE", 30), ("FILTER", 40)], 0);
    let mut scenario = Scenario::new(vec![Rule { again: Again::Always, ..rule("refill", both) }]);
    scenario.buy(1, 100, &["COFFEE", "FILTER"]);
    let record = scenario.holding(1, 1, 100, &["FILTER"]);
    scenario.apply(&record);
    scenario.counts([0, 0, 1])?;
    scenario.to(300);
    scenario.check(&["refill fired 140d9h"])
}

fn restarted() -> Result<(), String> {
    let delayed = Rule {
        after: Span::days(5),
        while_planned: WhilePlanned::Restart,
        again: Again::Always,
        announce: true,
        ..rule("thanks", Trigger::Order)
    };
    let mut scenario = Scenario::new(vec![delayed]);
    scenario.order(1, 100);
    scenario.check(&["thanks planned 100d9h due 105d9h"])?;
    scenario.apply(&super::scenarios::order(1, 1, 100));
    scenario.check(&[])?;
    scenario.order(2, 102);
    scenario.check(&["thanks cancelled 102d9h due 105d9h", "thanks planned 102d9h due 107d9h"])?;
    scenario.counts([0, 0, 1])
}
