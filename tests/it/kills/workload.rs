//! What is loaded into a shop before processes are interrupted in it: a year of orders, cancellations, returns and erasures, with
//! duplicates and with unusable records.

use std::collections::BTreeMap;

use anyhow::Result;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::kafka::Record;
use crate::live::history::{self, History};
use crate::live::shop::Shop;
use crate::oracle::OracleOutput;

/// Producer batches of this many records: a fetch brings few at a time, so that a worker has many commits to be killed in.
const BATCH: [(&str, &str); 1] = [("batch.num.messages", "20")];

/// Days that the orders of a history are spread over.
const DAYS: i64 = 400;

/// Append times of unusable records, by which their dead letters are found again.
const POISON_TIMESTAMP: i64 = 1_717_200_000_000;

/// See the module.
pub struct Workload {
    pub history: History,
    /// Each with the reason of its dead letter.
    poison: Vec<(&'static str, Record)>,
    /// Whether clocks go to the history's end once everything is read.
    pub is_ended: bool,
}

impl Workload {
    /// The whole of a history, to be loaded before the start: the merge of its inputs is only known if nothing arrives late.
    pub fn complete(seed: u64, customers: usize) -> Workload {
        let mut rng = Rng::with_seed(seed ^ 0xd0b1);
        let mut history = history::random(seed, customers, DAYS);
        history.orders = with_duplicates(&mut rng, history.orders);
        history.returns = with_duplicates(&mut rng, history.returns);
        history.erasures = erasures(&mut rng, customers, history.end);
        Workload { history, poison: poison(&mut rng, customers), is_ended: true }
    }

    /// Orders and cancellations alone: one input is applied in the order in which it was written, however late it comes.
    pub fn orders_only(seed: u64, customers: usize) -> Workload {
        let mut rng = Rng::with_seed(seed ^ 0xd0b1);
        let mut history = history::random(seed, customers, DAYS);
        history.orders = with_duplicates(&mut rng, history.orders);
        history.returns = Vec::new();
        Workload { history, poison: Vec::new(), is_ended: false }
    }

    /// Appends everything: orders with the unusable records spread among them, then returns, then erasures.
    pub fn load(&self, shop: &Shop) -> Result<()> {
        println!("workload of seed {:#x}", self.history.seed);
        let [orders, returns, erasures] = shop.input_names();
        let share = self.history.orders.len() / (self.poison.len() + 1) + 1;
        let mut poison = self.poison.iter().map(|(_, record)| record.clone());
        let mut mixed = Vec::new();
        for chunk in self.history.orders.chunks(share) {
            mixed.extend(chunk.iter().map(record));
            mixed.extend(poison.next());
        }
        mixed.extend(poison);
        shop.client().produce_with(orders, mixed, &BATCH)?;
        shop.client().produce_with(returns, self.history.returns.iter().map(record), &BATCH)?;
        shop.client().produce_with(erasures, self.history.erasures.iter().map(record), &BATCH)?;
        Ok(())
    }

    /// What must come out.
    pub fn expected(&self, shop: &Shop) -> Expected {
        let config = shop.oracle_config();
        let output = if self.is_ended {
            self.history.expected(&config, shop.partitions)
        } else {
            self.history.expected_without_end(&config, shop.partitions)
        };
        let OracleOutput { signals, profiles, refused, .. } = output;
        let mut letters = BTreeMap::new();
        let reasons = refused.iter().map(|(_, reason)| *reason);
        for reason in reasons.chain(self.poison.iter().map(|(reason, _)| *reason)) {
            *letters.entry(reason.to_owned()).or_insert(0) += 1;
        }
        Expected { signals, profiles, letters }
    }
}

/// What a reference says of a workload.
pub struct Expected {
    pub signals: Vec<Value>,
    pub profiles: BTreeMap<String, Value>,
    /// How many dead letters there are of each reason.
    pub letters: BTreeMap<String, usize>,
}

/// A record under its customer's key.
pub fn record(value: &Value) -> Record {
    Record::json(history::key_of(value), value)
}

/// One in thirty is sent again.
fn with_duplicates(rng: &mut Rng, records: Vec<Value>) -> Vec<Value> {
    let mut doubled = Vec::with_capacity(records.len() + records.len() / 20);
    for record in records {
        if rng.u8(0..30) == 0 {
            doubled.push(record.clone());
        }
        doubled.push(record);
    }
    doubled
}

/// One customer in fifty is erased somewhere in the year.
fn erasures(rng: &mut Rng, customers: usize, end: i64) -> Vec<Value> {
    let start = end - (DAYS + 100) * 86_400_000;
    let mut erasures: Vec<(i64, usize)> = (0..customers / 50)
        .map(|_| (start + rng.i64(0..DAYS * 86_400_000), rng.usize(0..customers)))
        .collect();
    erasures.sort_unstable();
    let value = |(at, customer)| json!({"customer_id": format!("c{customer}"), "requested_at": at});
    erasures.into_iter().map(value).collect()
}

/// A few of several kinds; one of them from a future that must not move anybody's clock.
fn poison(rng: &mut Rng, customers: usize) -> Vec<(&'static str, Record)> {
    let mut poison = Vec::new();
    for index in 0..24 {
        let key = format!("c{}", rng.usize(0..customers));
        let order = |field: &str, value: Value| {
            let mut order = json!({
                "order_id": format!("poison-{index}"), "customer_id": key, "placed_at": "2024-05-01T00:00:00Z",
                "currency": "GBP", "total": "1.00",
            });
            order[field] = value;
            Record::json(key.as_str(), &order)
        };
        let (reason, record) = match index % 6 {
            0 => ("null_value", Record::tombstone(key.as_str())),
            1 => ("malformed_json", Record::new(key.as_str(), "{\"order_id\": ")),
            2 => ("invalid_amount", order("total", json!("1.005"))),
            3 => ("unknown_currency", order("currency", json!("XXX"))),
            4 => ("key_mismatch", order("customer_id", json!("somebody else"))),
            _ => ("in_future", order("placed_at", json!("2199-01-01T00:00:00Z"))),
        };
        poison.push((reason, record.at_timestamp(POISON_TIMESTAMP + index)));
    }
    poison
}
