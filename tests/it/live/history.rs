//! A shop's year of random orders, cancellations and returns: what the tests load.

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;
use retention_signals::wire::hash;
use serde_json::{Value, json};

use crate::oracle::online_retail::{self, Kind};
use crate::oracle::{self, Input, OracleConfig, OracleOutput};

const DAY_MILLIS: i64 = 86_400_000;
/// 2024-01-01T00:00:00Z
pub const START_MILLIS: i64 = 1_704_067_200_000;

/// Records by event time, and an instant after all of them.
pub struct History {
    pub seed: u64,
    pub orders: Vec<Value>,
    pub returns: Vec<Value>,
    pub erasures: Vec<Value>,
    pub end: i64,
}

/// The history that a seed stands for: `customers` with a few orders each over `days`.
pub fn random(seed: u64, customers: usize, days: i64) -> History {
    let mut rng = Rng::with_seed(seed);
    let (mut orders, mut returns) = (Vec::new(), Vec::new());
    for customer in 0..customers {
        let customer = format!("c{customer}");
        for number in 0..rng.usize(1..8) {
            let order = format!("{customer}-{number}");
            let placed_at = START_MILLIS + rng.i64(0..days * DAY_MILLIS);
            let total = format!("{}.{:02}", rng.u32(5..200), rng.u32(0..100));
            orders.push((
                placed_at,
                json!({
                    "order_id": order, "customer_id": customer, "placed_at": placed_at, "currency": "GBP",
                    "total": total, "items": [{"sku": format!("s{}", rng.u8(0..5)), "quantity": 1}],
                }),
            ));
            let later = placed_at + rng.i64(1..40 * DAY_MILLIS);
            match rng.u8(0..8) {
                0 => orders.push((
                    later,
                    json!({
                        "order_id": order, "customer_id": customer, "cancelled_at": later,
                    }),
                )),
                1 => returns.push((
                    later,
                    json!({
                        "return_id": format!("r-{order}"), "order_id": order, "customer_id": customer,
                        "returned_at": later, "currency": "GBP", "refund": total,
                    }),
                )),
                2 => returns.push((
                    later,
                    json!({
                        "return_id": format!("r-{order}"), "customer_id": customer, "returned_at": later,
                        "currency": "GBP", "refund": "3.00",
                    }),
                )),
                _ => {}
            }
        }
    }
    let sorted = |mut records: Vec<(i64, Value)>| {
        records.sort_by_key(|(time, _)| *time);
        records.into_iter().map(|(_, value)| value).collect()
    };
    let end = START_MILLIS + (days + 100) * DAY_MILLIS;
    History { seed, orders: sorted(orders), returns: sorted(returns), erasures: Vec::new(), end }
}

/// The Online Retail history: the documents of known customers, and the instant of the last one. Guests leave no trace in what is
/// compared, and without a key they would lie in any partition.
pub fn online_retail(path: &Path) -> History {
    let documents = online_retail::documents(path);
    let known = || documents.iter().filter(|document| document.customer_id.is_some());
    let end = known().map(|document| document.time).max().expect("the file has documents");
    let of_kind = |kind: Kind| {
        let records =
            known().filter(|document| document.kind == kind).map(|document| match document.input() {
                Input::Record { value, .. } => value,
                Input::Clock(_) => unreachable!("a document is a record"),
            });
        records.collect()
    };
    History {
        seed: 0,
        orders: of_kind(Kind::Order),
        returns: of_kind(Kind::Return),
        erasures: Vec::new(),
        end,
    }
}

impl History {
    /// What must come out: each partition has a clock of its own.
    pub fn expected(&self, config: &OracleConfig, partitions: u32) -> OracleOutput {
        self.recomputed(config, partitions, Some(Input::Clock(self.end)))
    }

    /// The same, if clocks stay where the last record put them.
    pub fn expected_without_end(&self, config: &OracleConfig, partitions: u32) -> OracleOutput {
        self.recomputed(config, partitions, None)
    }

    fn recomputed(&self, config: &OracleConfig, partitions: u32, end: Option<Input>) -> OracleOutput {
        let mut all = OracleOutput::default();
        for partition in 0..partitions {
            let mine = |values: &[Value]| {
                let mine = values.iter().filter(|value| partition_of(value, partitions) == partition);
                mine.cloned().collect::<Vec<_>>()
            };
            let mut inputs =
                oracle::merge_order(mine(&self.orders), mine(&self.returns), mine(&self.erasures));
            inputs.extend(end.clone());
            let output = oracle::run(config, &inputs);
            all.signals.extend(output.signals);
            all.profiles.extend(output.profiles);
            // Across several partitions only the reasons are comparable.
            all.refused.extend(output.refused);
        }
        all
    }
}

/// When what a record says has happened.
pub fn time_of(record: &Value) -> i64 {
    let times = ["placed_at", "cancelled_at", "returned_at"].map(|field| record[field].as_i64());
    times.into_iter().flatten().next().expect("a record has a time")
}

/// Where the record of a customer lies.
pub fn partition_of(value: &Value, partitions: u32) -> u32 {
    hash::partition(key_of(value).as_bytes(), partitions)
}

pub fn key_of(value: &Value) -> &str {
    value["customer_id"].as_str().unwrap_or("a guest's record may have any key")
}

/// When a signal occurred, in milliseconds since 1970.
pub fn instant_of(signal: &Value) -> i64 {
    let text = signal["occurred_at"].as_str().expect("a signal has a time");
    chrono::DateTime::parse_from_rfc3339(text).expect("the service's own").timestamp_millis()
}

/// Signals by id: each may be there once only.
pub fn by_id(signals: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut by_id: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for signal in signals {
        by_id.entry(signal["id"].as_str().expect("signals have an id").to_owned()).or_default().push(signal);
    }
    by_id
}
