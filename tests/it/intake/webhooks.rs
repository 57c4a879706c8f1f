//! A shop that sends Shopify webhooks, from a seed: orders that are touched, edited, refunded and cancelled, customers who are to be
//! forgotten, deliveries that come twice or late.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::live::shop::time_text;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000;
/// Above 2^53, as Shopify's own example is.
const FIRST_ORDER: u64 = 820_982_911_900_000_000;
const FIRST_CUSTOMER: u64 = 7_100_000_000_000;

/// How deliveries come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deliveries {
    /// When they were caused, repetitions at once. Nothing comes behind a cancellation, edits come with their order, and no payment is
    /// voided: a replay, which knows all versions of an order when it is placed, then sees what a live service sees.
    InOrder,
    /// Hours later, repetitions a day later, and everything that shops do.
    AsShopifyDoes,
}

/// One webhook.
pub struct Delivery {
    pub at: i64,
    pub topic: &'static str,
    pub order_id: u64,
    pub body: Value,
}

/// See the module.
pub struct Webhooks {
    /// By the time of delivery.
    pub deliveries: Vec<Delivery>,
    /// Customers who are to be forgotten, and since when.
    pub redacted: Vec<(u64, i64)>,
    /// Orders whose payment was voided at some time.
    voided: BTreeSet<u64>,
    /// An instant after everything.
    pub end: i64,
}

/// An order at one of its versions.
#[derive(Clone)]
struct Order {
    number: u64,
    customer: Option<u64>,
    placed_at: i64,
    updated_at: i64,
    cents: u32,
    financial_status: &'static str,
    cancelled_at: Option<i64>,
    refunds: Vec<(i64, u32)>,
}

impl Webhooks {
    /// So many orders over `days`, with a customer for each fourth.
    pub fn random(seed: u64, orders: u64, days: i64, deliveries: Deliveries) -> Webhooks {
        let mut rng = Rng::with_seed(seed);
        let customers = orders / 4 + 1;
        let mut redacted = Vec::new();
        for customer in 0..customers {
            if rng.u8(0..200) == 0 {
                redacted.push((FIRST_CUSTOMER + customer, START + seconds(&mut rng, days * DAY)));
            }
        }
        let (mut all, mut voided) = (Vec::new(), BTreeSet::new());
        for number in 0..orders {
            let customer = (rng.u8(0..33) > 0).then(|| FIRST_CUSTOMER + rng.u64(0..customers));
            let placed_at = START + seconds(&mut rng, days * DAY);
            let order = Order {
                number,
                customer,
                placed_at,
                updated_at: placed_at,
                cents: rng.u32(500..20_000),
                financial_status: "paid",
                cancelled_at: None,
                refunds: Vec::new(),
            };
            let forgotten_at = redacted.iter().find(|(of, _)| Some(*of) == customer).map(|(_, at)| *at);
            let life = order.life(&mut rng, deliveries);
            if life.iter().any(|delivery| delivery.body["financial_status"] == "voided") {
                voided.insert(FIRST_ORDER + number);
            }
            all.extend(life.into_iter().filter(|delivery| forgotten_at.is_none_or(|at| delivery.at < at)));
        }
        all.extend(redacted.iter().map(|(customer, at)| Delivery {
            at: *at,
            topic: "customers/redact",
            order_id: 0,
            body: json!({"shop_id": 1, "customer": {"id": customer}, "orders_to_redact": []}),
        }));
        all.sort_by_key(|delivery| delivery.at);
        Webhooks { deliveries: all, redacted, voided, end: START + (days + 200) * DAY }
    }

    pub fn was_voided(&self, order_id: &str) -> bool {
        order_id.parse().is_ok_and(|order: u64| self.voided.contains(&order))
    }

    pub fn is_redacted(&self, customer: &str) -> bool {
        self.redacted.iter().any(|(redacted, _)| redacted.to_string() == customer)
    }
}

impl Order {
    /// All deliveries of it.
    fn life(self, rng: &mut Rng, deliveries: Deliveries) -> Vec<Delivery> {
        let mut states = vec![(self.placed_at, self.clone())];
        let mut order = self;
        let is_calm = deliveries == Deliveries::InOrder;
        if rng.u8(0..10) == 0 {
            order.cents = rng.u32(500..20_000);
            let at = order.placed_at + if is_calm { 0 } else { seconds(rng, 3 * DAY) };
            order.change(&mut states, at);
        }
        if !is_calm && rng.u8(0..50) == 0 {
            order.financial_status = "voided";
            let at = order.last_at(&states) + seconds(rng, DAY);
            order.change(&mut states, at);
            if rng.bool() {
                order.financial_status = "paid";
                let at = at + seconds(rng, 2 * DAY);
                order.change(&mut states, at);
            }
        }
        for _ in 0..rng.u8(0..3) {
            let at = order.last_at(&states) + seconds(rng, 20 * DAY);
            match rng.u8(0..8) {
                0..4 => {}
                4..6 => order.refund(rng, at),
                6 => {
                    order.cancelled_at = Some(at);
                    if rng.bool() {
                        order.refund(rng, at);
                    }
                }
                _ => order.financial_status = "partially_refunded",
            }
            order.change(&mut states, at);
            if is_calm && order.cancelled_at.is_some() {
                break;
            }
        }
        let mut sent = Vec::new();
        for (number, (at, state)) in states.into_iter().enumerate() {
            let topic = if number == 0 { "orders/create" } else { "orders/updated" };
            let mut at = if is_calm { at } else { at + seconds(rng, 2 * HOUR) };
            sent.push(state.delivery(at, topic));
            while rng.u8(0..20) == 0 {
                at += if is_calm { 0 } else { seconds(rng, DAY) };
                sent.push(state.delivery(at, topic));
            }
        }
        sent
    }

    fn last_at(&self, states: &[(i64, Order)]) -> i64 {
        states.last().map_or(self.placed_at, |(at, _)| *at)
    }

    fn change(&mut self, states: &mut Vec<(i64, Order)>, at: i64) {
        self.updated_at = at.max(self.updated_at + SECOND);
        states.push((at, self.clone()));
    }

    fn refund(&mut self, rng: &mut Rng, at: i64) {
        let cents = if rng.bool() { self.cents } else { rng.u32(1..=self.cents) };
        self.refunds.push((at, cents));
    }

    fn delivery(&self, at: i64, topic: &'static str) -> Delivery {
        let order_id = FIRST_ORDER + self.number;
        let refunds = self.refunds.iter().enumerate().map(|(number, (at, cents))| {
            let subtotal = money(*cents);
            json!({
                "id": self.number * 10 + number as u64 + 1, "created_at": time_text(*at), "processed_at": time_text(*at),
                "refund_line_items": [{"subtotal": subtotal, "subtotal_set": {"shop_money": {"amount": subtotal}}}],
                "transactions": [],
            })
        });
        let body = json!({
            "id": order_id, "created_at": time_text(self.placed_at), "processed_at": time_text(self.placed_at),
            "updated_at": time_text(self.updated_at), "cancelled_at": self.cancelled_at.map(time_text), "test": false,
            "currency": "GBP", "financial_status": self.financial_status, "subtotal_price": money(self.cents),
            "total_price": money(self.cents + 490), "customer": self.customer.map(|id| json!({"id": id})),
            "line_items": [{"sku": format!("TEA-{}", self.number % 7)}], "refunds": refunds.collect::<Vec<_>>(),
        });
        Delivery { at, topic, order_id, body }
    }
}

fn money(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A whole number of seconds in a span.
fn seconds(rng: &mut Rng, span: i64) -> i64 {
    rng.i64(0..span / SECOND) * SECOND
}
