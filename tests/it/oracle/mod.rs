//! The independent oracle: what the definitions say, recomputed from the full set of records each time.
//!
//! It shares no code with the service. Every accepted record of a customer is kept for good, and after each
//! record and at each deadline all facts are derived from all of them, as literally as the definitions read.
//!
//! ```text
//!  Input ─► world ─► customer ─► ledger (all records) ─► figures (attribution) ─► facts (rhythm, windows)
//!             │          └─────────────────────────────── signal, ratios (emitted against facts)
//!             └─► shop (sums over all customers)
//! ```
//!
//! Inputs are taken to be valid; refused are only `unknown_currency`, `unknown_store`, `erased` and
//! `too_old`. The bound on a ledger's length is not modelled.

pub mod club;
mod config;
mod customer;
mod facts;
mod figures;
mod history;
mod ledger;
mod number;
pub mod online_retail;
mod ratios;
mod record;
mod retention;
pub mod scenario;
pub mod segments;
mod selftest;
mod shop;
mod signal;
mod world;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

pub use config::{OracleConfig, Policy, Shop, Shops};
pub use history::{History, history};
pub use selftest::{SCENARIOS, trials};
pub use world::Oracle;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Orders and cancellations.
    Orders,
    Returns,
    Erasures,
}

#[derive(Clone, Debug)]
pub enum Input {
    /// A record, as the value of its JSON.
    Record { topic: Topic, value: Value },
    /// The clock moves to these UTC milliseconds, as at an idle end.
    Clock(i64),
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Record { topic, value } => write!(formatter, "{topic:?} {value}"),
            Input::Clock(clock) => write!(formatter, "clock {clock}"),
        }
    }
}

/// All that was put out, in the forms of the output records.
#[derive(Clone, Debug, Default)]
pub struct OracleOutput {
    /// In the order in which they are emitted.
    pub signals: Vec<Value>,
    /// As last published, by customer key; erased customers have none.
    pub profiles: BTreeMap<String, Value>,
    /// (index of the input, customer key, `as_of`) of each publication of a profile.
    pub published: Vec<(usize, String, i64)>,
    /// As in `summary.json`, without what is measured.
    pub summary: Value,
    /// The lines of `shop-metrics.jsonl`.
    pub shop_metrics: Vec<Value>,
    /// (index of the input, reason).
    pub refused: Vec<(usize, &'static str)>,
    /// Records that were in the ledger already.
    pub duplicates: u64,
    /// Accepted records with the identity and version, but not the content, of one held, which goes on to count.
    pub conflicting_held: u64,
    /// The same, but the new one counts from now on.
    pub conflicting_arrived: u64,
    /// Of the records refused as too old those of a part of the history that is forgotten.
    pub folded: u64,
    /// Orders whose first cancellation was too far away.
    pub ineffective: u64,
}

/// Applies inputs in the order given.
pub fn run(config: &OracleConfig, inputs: &[Input]) -> OracleOutput {
    let mut oracle = Oracle::new(config);
    for input in inputs {
        oracle.apply(input);
    }
    oracle.output()
}

/// The order in which a replay reads its files: by event time; ties orders, returns, erasures; then by line.
pub fn merge_order(orders: Vec<Value>, returns: Vec<Value>, erasures: Vec<Value>) -> Vec<Input> {
    let files = [(Topic::Orders, orders), (Topic::Returns, returns), (Topic::Erasures, erasures)];
    let records = files.into_iter().flat_map(|(topic, values)| {
        values.into_iter().map(move |value| (event_time(topic, &value), topic, value))
    });
    let mut records: Vec<(i64, Topic, Value)> = records.collect();
    records.sort_by_key(|(time, topic, _)| (*time, *topic));
    records.into_iter().map(|(_, topic, value)| Input::Record { topic, value }).collect()
}

fn event_time(topic: Topic, value: &Value) -> i64 {
    let fields = match topic {
        Topic::Orders => &["placed_at", "cancelled_at"][..],
        Topic::Returns => &["returned_at"][..],
        Topic::Erasures => &["requested_at"][..],
    };
    let mut times = fields.iter().filter_map(|field| value.get(field)).filter(|time| !time.is_null());
    number::parse_time(times.next().expect("a valid record has a time"))
}
