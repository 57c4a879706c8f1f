//! A synthetic shop: who comes, how often they buy, when they slow down, leave and return, and what they send back.
//!
//! Deterministic for a seed, and endless. Nothing here is measured on a real shop; the numbers are chosen so that every kind of
//! customer and every signal occurs within a shop year. Records come in the order in which the shop learns of them, which is
//! that of their times but for what a market stall's till keeps to itself for some weeks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::domain::values::time::{Span, Time};

/// New customers a day, before the season.
const ARRIVALS_A_DAY: f64 = 14.0;
/// The season moves arrivals up and down by this share, with the peak in late November.
const SEASON: f64 = 0.35;
const SEASON_PEAK_DAY: f64 = 330.0;

/// The share of orders that are taken at a market stall, and how many days later its till is read out: later than the
/// clock waits, earlier than records are refused.
const STALL_SHARE: f64 = 0.02;
const STALL_DELAY_DAYS: (f64, f64) = (9.0, 24.0);

/// Something that happened in the shop.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ShopRecord {
    /// When it happened, not when the shop learned of it.
    pub at: Time,
    pub event: ShopEvent,
}

/// What happened. Money is in minor units.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ShopEvent {
    Order { order_id: String, customer_id: Option<String>, total: i64, skus: Vec<&'static str> },
    Cancellation { order_id: String, customer_id: String },
    Return { return_id: String, customer_id: String, order_id: Option<String>, refund: i64 },
}

/// The shop's future.
pub struct Population {
    random: Rng,
    customers: Vec<Customer>,
    plans: BinaryHeap<Reverse<Plan>>,
    plans_made: u64,
    orders: u64,
    returns: u64,
}

/// How one customer behaves.
struct Customer {
    name: String,
    /// Mean days between orders; changes by `pace` with each.
    gap_days: f64,
    pace: f64,
    /// 0: every gap differs, 1: like clockwork.
    regularity: f64,
    basket: f64,
    /// How the basket grows with each order.
    appetite: f64,
    /// Chance to leave after an order.
    fickleness: f64,
    /// Chance to send an order back.
    returning: f64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Plan {
    at: Time,
    /// Plans for one instant happen in the order in which they were made.
    number: u64,
    step: Step,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Arrive,
    Guest,
    Buy {
        customer: usize,
    },
    Cancel {
        customer: usize,
        order_id: String,
    },
    SendBack {
        customer: usize,
        order_id: Option<String>,
        refund: i64,
    },
    /// The till of the market stall is read out.
    ReadOut(ShopRecord),
}

impl Population {
    /// A shop that opens at `opening`.
    pub fn new(seed: u64, opening: Time) -> Self {
        let mut population = Self {
            random: Rng::with_seed(seed),
            customers: Vec::new(),
            plans: BinaryHeap::new(),
            plans_made: 0,
            orders: 0,
            returns: 0,
        };
        population.plan(opening, Step::Arrive);
        population.plan(opening, Step::Guest);
        population
    }

    /// The next record, if the shop learns of it at or before `by`.
    pub fn next_record(&mut self, by: Time) -> Option<ShopRecord> {
        loop {
            let Reverse(plan) = self.plans.peek()?;
            if plan.at > by {
                return None;
            }
            let Reverse(Plan { at, step, .. }) = self.plans.pop().expect("peeked just now");
            if let Some(record) = self.live(at, step) {
                return Some(record);
            }
        }
    }

    fn plan(&mut self, at: Time, step: Step) {
        self.plans_made += 1;
        self.plans.push(Reverse(Plan { at, number: self.plans_made, step }));
    }

    fn live(&mut self, at: Time, step: Step) -> Option<ShopRecord> {
        let event = match step {
            Step::Arrive => {
                self.arrive(at);
                return None;
            }
            Step::ReadOut(record) => return Some(record),
            Step::Buy { customer } => {
                let event = self.buy(at, customer);
                if self.random.f64() < STALL_SHARE {
                    let delay = self.between(STALL_DELAY_DAYS.0, STALL_DELAY_DAYS.1);
                    self.plan(after(at, delay), Step::ReadOut(ShopRecord { at, event }));
                    return None;
                }
                event
            }
            Step::Guest => {
                let wait = self.exponential(0.5);
                self.plan(after(at, wait), Step::Guest);
                let total = self.random.i64(900..12_000);
                let skus = self.goods();
                ShopEvent::Order { order_id: self.next_order_id(), customer_id: None, total, skus }
            }
            Step::Cancel { customer, order_id } => {
                ShopEvent::Cancellation { order_id, customer_id: self.customers[customer].name.clone() }
            }
            Step::SendBack { customer, order_id, refund } => {
                self.returns += 1;
                let return_id = format!("r-{}", 1_000 + self.returns);
                let customer_id = self.customers[customer].name.clone();
                ShopEvent::Return { return_id, customer_id, order_id, refund }
            }
        };
        Some(ShopRecord { at, event })
    }

    #[expect(clippy::disallowed_methods, reason = "a made-up shop may differ between systems")]
    fn arrive(&mut self, at: Time) {
        let customer = self.customers.len();
        let newcomer = self.newcomer();
        self.customers.push(newcomer);
        self.plan(at, Step::Buy { customer });
        let day_of_year = at.as_millis() as f64 / Span::DAY.as_millis() as f64 % 365.25;
        let season = 1.0 + SEASON * ((day_of_year - SEASON_PEAK_DAY) / 365.25 * std::f64::consts::TAU).cos();
        let wait = self.exponential(1.0 / (ARRIVALS_A_DAY * season));
        self.plan(after(at, wait), Step::Arrive);
    }

    fn newcomer(&mut self) -> Customer {
        let (first, last) = (self.random.usize(0..FIRST_NAMES.len()), self.random.usize(0..LAST_NAMES.len()));
        let number = self.customers.len() + 1;
        let name = format!("{}-{}-{number}", FIRST_NAMES[first], LAST_NAMES[last]);
        // Half of all newcomers never come back much; the others are loyal in their own rhythm.
        let is_loyal = self.random.bool();
        let drift = |random: &mut Rng| [0.86, 1.0, 1.0, 1.0, 1.18][random.usize(0..5)];
        Customer {
            name,
            gap_days: if is_loyal { self.between(9.0, 45.0) } else { self.between(25.0, 90.0) },
            pace: drift(&mut self.random),
            regularity: self.between(0.0, 1.0),
            basket: self.between(1_500.0, 9_000.0),
            appetite: drift(&mut self.random),
            fickleness: if is_loyal { 0.07 } else { 0.45 },
            returning: [0.03, 0.1, 0.1, 0.5][self.random.usize(0..4)],
        }
    }

    fn buy(&mut self, at: Time, customer: usize) -> ShopEvent {
        let order_id = self.next_order_id();
        let spread = self.between(0.75, 1.3);
        let total = (self.customers[customer].basket * spread).round() as i64;
        let skus = self.goods();
        self.plan_regret(at, customer, &order_id, total);
        self.plan_next_order(at, customer);
        let customer_id = Some(self.customers[customer].name.clone());
        ShopEvent::Order { order_id, customer_id, total, skus }
    }

    /// An order may be cancelled, or come back as a whole or in part; some shops do not say which order a return belongs to.
    fn plan_regret(&mut self, at: Time, customer: usize, order_id: &str, total: i64) {
        if self.random.f64() < 0.02 {
            let wait = self.exponential(0.5);
            self.plan(after(at, wait), Step::Cancel { customer, order_id: order_id.to_owned() });
        } else if self.random.f64() < self.customers[customer].returning {
            let wait = 2.0 + self.exponential(8.0);
            let is_whole = self.random.bool();
            let refund = if is_whole { total } else { total * self.random.i64(10..80) / 100 };
            let order_id = (!is_whole || self.random.bool()).then(|| order_id.to_owned());
            self.plan(after(at, wait), Step::SendBack { customer, order_id, refund });
        }
    }

    fn plan_next_order(&mut self, at: Time, customer: usize) {
        let chance = self.random.f64();
        let erratic_share = self.exponential(1.0);
        let comes_back_after = self.between(95.0, 240.0);
        let comes_back = self.random.f64() < 0.3;
        let buyer = &mut self.customers[customer];
        buyer.gap_days = (buyer.gap_days * buyer.pace).clamp(4.0, 160.0);
        buyer.basket = (buyer.basket * buyer.appetite).clamp(600.0, 60_000.0);
        let wait = if chance < buyer.fickleness {
            if !comes_back {
                return;
            }
            comes_back_after
        } else {
            buyer.gap_days * (buyer.regularity + (1.0 - buyer.regularity) * erratic_share)
        };
        self.plan(after(at, wait.max(0.02)), Step::Buy { customer });
    }

    fn next_order_id(&mut self) -> String {
        self.orders += 1;
        format!("o-{}", 10_000 + self.orders)
    }

    fn goods(&mut self) -> Vec<&'static str> {
        (0..self.random.usize(1..=3)).map(|_| GOODS[self.random.usize(0..GOODS.len())]).collect()
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random.f64()
    }

    /// Exponentially distributed with this mean.
    #[expect(clippy::disallowed_methods, reason = "a made-up shop may differ between systems")]
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random.f64()).ln()
    }
}

fn after(at: Time, days: f64) -> Time {
    at.plus(Span::from_millis((days * Span::DAY.as_millis() as f64) as i64))
}

const FIRST_NAMES: [&str; 16] = [
    "ada",
    "alan",
    "barbara",
    "claude",
    "donald",
    "edsger",
    "frances",
    "grace",
    "hedy",
    "john",
    "katherine",
    "leslie",
    "margaret",
    "niklaus",
    "radia",
    "tony",
];

const LAST_NAMES: [&str; 12] =
    ["ash", "birch", "cedar", "elm", "hazel", "juniper", "linden", "maple", "oak", "pine", "rowan", "willow"];

const GOODS: [&str; 9] = [
    "assam-250g",
    "darjeeling-100g",
    "earl-grey-250g",
    "sencha-100g",
    "oolong-100g",
    "rooibos-250g",
    "teapot-blue",
    "infuser-steel",
    "cup-set-4",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Time {
        Time::from_millis(1_760_000_000_000).expect("in range")
    }

    fn first_year(seed: u64) -> Vec<ShopRecord> {
        let mut population = Population::new(seed, opening());
        std::iter::from_fn(|| population.next_record(opening().plus(Span::days(365)))).collect()
    }

    #[test]
    fn a_seed_gives_one_history() {
        let records = first_year(1);
        assert_eq!(records, first_year(1));
        assert_ne!(records, first_year(2));
    }

    #[test]
    fn only_the_market_stall_comes_late() {
        let records = first_year(1);
        let mut newest = opening();
        let mut late = 0;
        for record in &records {
            let delay = newest.since(record.at);
            if delay > Span::ZERO {
                assert!(delay <= Span::days(24), "{record:?}");
                late += 1;
            }
            newest = newest.max(record.at);
        }
        assert!(late * 100 < records.len() * 4 && late * 100 > records.len(), "{late} of {}", records.len());
    }

    #[test]
    fn a_year_has_every_kind_of_event() {
        let records = first_year(1);
        let count = |is: fn(&ShopEvent) -> bool| records.iter().filter(|record| is(&record.event)).count();
        assert!((8_000..40_000).contains(&count(|event| matches!(event, ShopEvent::Order { .. }))));
        assert!(count(|event| matches!(event, ShopEvent::Order { customer_id: None, .. })) > 300);
        assert!(count(|event| matches!(event, ShopEvent::Cancellation { .. })) > 100);
        assert!(count(|event| matches!(event, ShopEvent::Return { order_id: None, .. })) > 100);
        assert!(count(|event| matches!(event, ShopEvent::Return { order_id: Some(_), .. })) > 300);
    }
}
