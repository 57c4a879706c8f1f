//! A small shop: few customers, ids, amounts and times, so that everything collides; and when its records reach the brokers.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use retention_signals::topic::{Input, Topic};
use retention_signals::wire::hash;
use serde_json::{Value, json};

use super::log::{ProducerId, Record};
use super::world::{WALL_START_MS, World};

const DAY_MS: i64 = 86_400_000;
/// 2024-01-01T00:00:00Z: when the history begins.
pub const START_MS: i64 = 1_704_067_200_000;
/// Producers of the shop's own, beside those of the service.
const SHOP_PRODUCERS: u32 = 1_000_000;

/// How the shop's time goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Everything was written before the service starts. Clocks stay at the last record, or go to an end.
    Loaded { end: Option<i64> },
    /// Records come while the service runs; clocks stay at the last record.
    Live,
    /// Records come as they happen, and wall time moves the clocks: so many times as fast.
    Fast { factor: u32 },
}

/// What must become of a record.
#[derive(Clone, Debug)]
pub enum Meaning {
    Valid(Rc<Value>),
    Refused(&'static str),
}

/// Something that reaches the brokers.
#[derive(Clone, Debug)]
pub enum Arrival {
    Record {
        input: Input,
        partition: u32,
        record: Record,
        meaning: Meaning,
        writer: Option<ProducerId>,
    },
    /// A transaction of the shop's ends in one partition.
    End {
        input: Input,
        partition: u32,
        writer: ProducerId,
        is_commit: bool,
    },
}

/// See the module.
pub struct Shop {
    pub partitions: u32,
    pub pace: Pace,
    pub customers: Vec<String>,
    arrivals: VecDeque<(Duration, Arrival)>,
    pub meanings: BTreeMap<(Input, u32, u64), Meaning>,
}

impl Shop {
    /// The shop that a generator stands for; records come within `span`, so many in 32 of them erasures.
    pub fn random(rng: &mut Rng, span: Duration, erasures: u8) -> Shop {
        let partitions = rng.u32(1..=4);
        let pace = match rng.u8(..4) {
            0 => Pace::Loaded { end: None },
            1 => Pace::Loaded { end: Some(START_MS + rng.i64(300..600) * DAY_MS) },
            2 => Pace::Live,
            _ => Pace::Fast { factor: [100_000, 500_000, 1_000_000][rng.usize(..3)] },
        };
        let mut shop = Shop::empty(partitions, pace, rng.usize(2..=6));
        let count = rng.u32(8..=44);
        let mut writer = Writer { shop: &shop, rng, span, erasures, events: Vec::new() };
        for number in 0..count {
            writer.event(number, count);
        }
        let events = writer.events;
        shop.arrivals = Shop::schedule(rng, events);
        shop
    }

    pub fn empty(partitions: u32, pace: Pace, customers: usize) -> Shop {
        Shop {
            partitions,
            pace,
            customers: (0..customers).map(|number| format!("c{number}")).collect(),
            arrivals: VecDeque::new(),
            meanings: BTreeMap::new(),
        }
    }

    /// Some records are written in transactions of the shop's own, which end later, or are aborted.
    fn schedule(rng: &mut Rng, mut events: Vec<(Duration, Arrival)>) -> VecDeque<(Duration, Arrival)> {
        events.sort_by_key(|(due, _)| *due);
        let has_transactions = rng.u8(..3) == 0;
        let mut ends = Vec::new();
        let mut writers = SHOP_PRODUCERS;
        for (due, arrival) in &mut events {
            let Arrival::Record { input, partition, writer, .. } = arrival else { continue };
            if !has_transactions || rng.u8(..6) > 0 {
                continue;
            }
            writers += 1;
            let producer = ProducerId(writers);
            *writer = Some(producer);
            let open_for = if rng.u8(..8) == 0 { 20_000 } else { 300 };
            let end = *due + Duration::from_millis(rng.u64(0..open_for));
            let is_commit = rng.u8(..4) > 0;
            ends.push((
                end,
                Arrival::End { input: *input, partition: *partition, writer: producer, is_commit },
            ));
        }
        events.extend(ends);
        events.sort_by_key(|(due, _)| *due);
        events.into()
    }

    /// Beside every fourth order there is one of a guest, under the key of the same customer; some come twice.
    pub fn add_guests(&mut self) {
        let mut orders = 0;
        for (due, arrival) in std::mem::take(&mut self.arrivals) {
            let guest = guest_order(&arrival);
            self.arrivals.push_back((due, arrival));
            let Some(guest) = guest else { continue };
            orders += 1;
            let copies = [2, 0, 0, 0, 1, 0, 0, 0][orders % 8];
            self.arrivals.extend((0..copies).map(|_| (due, guest.clone())));
        }
    }

    /// No customer asks to be forgotten.
    pub fn without_erasures(&mut self) {
        self.arrivals.retain(|(_, arrival)| match arrival {
            Arrival::Record { input, .. } | Arrival::End { input, .. } => *input != Input::Erasures,
        });
    }

    pub fn push(&mut self, due: Duration, arrival: Arrival) {
        let index = self.arrivals.partition_point(|(other, _)| *other <= due);
        self.arrivals.insert(index, (due, arrival));
    }

    /// Everything that is still to come comes later by so much.
    pub fn postpone(&mut self, by: Duration) {
        for (due, _) in &mut self.arrivals {
            *due += by;
        }
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.arrivals.front().map(|(due, _)| *due)
    }

    pub fn next_arrival(&mut self, now: Duration) -> Option<Arrival> {
        let is_due = self.next_due().is_some_and(|due| due <= now);
        is_due.then(|| self.arrivals.pop_front().expect("one is due").1)
    }

    pub fn partition_of(&self, customer: &str) -> u32 {
        hash::partition(customer.as_bytes(), self.partitions)
    }

    /// A record of a customer, as it lies in its partition.
    pub fn record(&self, input: Input, value: Value) -> Arrival {
        let customer = value["customer_id"].as_str().expect("every valid record names a customer").to_owned();
        let record = Record {
            key: Some(customer.as_bytes().into()),
            value: Some(value.to_string().into_bytes().into()),
            timestamp_ms: WALL_START_MS,
            headers: Vec::new(),
        };
        let partition = self.partition_of(&customer);
        Arrival::Record { input, partition, record, meaning: Meaning::Valid(Rc::new(value)), writer: None }
    }
}

/// The same order without its customer.
fn guest_order(arrival: &Arrival) -> Option<Arrival> {
    let Arrival::Record { input: Input::Orders, partition, record, meaning: Meaning::Valid(value), .. } =
        arrival
    else {
        return None;
    };
    let mut value = Value::clone(value);
    value.get("placed_at")?;
    value.as_object_mut()?.remove("customer_id");
    value["order_id"] = format!("guest-{}", value["order_id"].as_str()?).into();
    let record = Record { value: Some(value.to_string().into_bytes().into()), ..record.clone() };
    let (input, partition, meaning) = (Input::Orders, *partition, Meaning::Valid(Rc::new(value)));
    Some(Arrival::Record { input, partition, record, meaning, writer: None })
}

impl World {
    pub fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Record { input, partition, mut record, meaning, writer } => {
                record.timestamp_ms = self.wall_ms() - self.rng.i64(0..3_000);
                let offset = self.append(Topic::Input(input), partition, record, writer);
                self.shop.meanings.insert((input, partition, offset), meaning);
            }
            Arrival::End { input, partition, writer, is_commit } => {
                self.event += 1;
                let event = self.event;
                self.log_mut(Topic::Input(input), partition).mark(writer, is_commit, event);
            }
        }
    }
}

/// Makes the events of a shop.
struct Writer<'a> {
    shop: &'a Shop,
    rng: &'a mut Rng,
    span: Duration,
    erasures: u8,
    events: Vec<(Duration, Arrival)>,
}

impl Writer<'_> {
    fn event(&mut self, number: u32, count: u32) {
        let part = f64::from(number) / f64::from(count);
        let (due, happened_at) = match self.shop.pace {
            Pace::Loaded { .. } => (Duration::ZERO, START_MS + (part * 300.0 * DAY_MS as f64) as i64),
            Pace::Live => (self.span.mul_f64(part), START_MS + (part * 300.0 * DAY_MS as f64) as i64),
            Pace::Fast { factor } => {
                let due = self.span.mul_f64(part);
                (due, START_MS + due.as_millis() as i64 * i64::from(factor))
            }
        };
        // Most happened just now; some are late, a few too late.
        let days_late = [0, 0, 0, 0, 2, 20, 34, 50][self.rng.usize(..8)];
        let time = (happened_at - self.rng.i64(0..=days_late) * DAY_MS).max(START_MS - 60 * DAY_MS);
        if !self.events.is_empty() && self.rng.u8(..12) == 0 {
            let (_, again) = self.events[self.rng.usize(..self.events.len())].clone();
            self.events.push((due, again));
            return;
        }
        let arrival = match self.rng.u8(..32) {
            0 => self.poison(),
            kind if kind == 1 || kind > 32 - self.erasures => {
                let customer = self.customer();
                let value = json!({"customer_id": customer, "requested_at": time});
                self.shop.record(Input::Erasures, value)
            }
            2..=4 => {
                let (customer, order) = (self.customer(), self.rng.u8(..5));
                let value = json!({"order_id": format!("{customer}-{order}"), "customer_id": customer, "cancelled_at": time});
                self.shop.record(Input::Orders, value)
            }
            5..=10 => self.goods_returned(time),
            _ => self.order(time),
        };
        self.events.push((due, arrival));
    }

    fn customer(&mut self) -> String {
        self.shop.customers[self.rng.usize(..self.shop.customers.len())].clone()
    }

    fn amount(&mut self) -> &'static str {
        ["10.00", "10.00", "3.00", "25.50"][self.rng.usize(..4)]
    }

    fn order(&mut self, time: i64) -> Arrival {
        let (customer, order) = (self.customer(), self.rng.u8(..8));
        let mut value = json!({
            "order_id": format!("{customer}-{order}"), "customer_id": customer, "placed_at": time, "currency": "EUR",
            "total": self.amount(), "version": self.rng.u8(..3),
        });
        if self.rng.u8(..4) == 0 {
            let sku = ["red", "blue"][self.rng.usize(..2)];
            value["items"] = json!([{"sku": sku, "quantity": 1}]);
        }
        self.shop.record(Input::Orders, value)
    }

    fn goods_returned(&mut self, time: i64) -> Arrival {
        let (customer, order) = (self.customer(), self.rng.u8(..8));
        let mut value = json!({
            "return_id": format!("r-{customer}-{}", self.rng.u8(..6)), "customer_id": customer, "returned_at": time,
            "currency": "EUR", "refund": self.amount(),
        });
        if self.rng.bool() {
            value["order_id"] = json!(format!("{customer}-{order}"));
        }
        self.shop.record(Input::Returns, value)
    }

    /// A record that can only become a dead letter.
    fn poison(&mut self) -> Arrival {
        let customer = self.customer();
        let far = json!({
            "order_id": "far", "customer_id": customer, "placed_at": "9999-01-01T00:00:00Z", "currency": "EUR",
            "total": "1.00",
        });
        let mut partition = self.shop.partition_of(&customer);
        let (value, reason) = match self.rng.u8(..5) {
            0 => (None, "null_value"),
            1 => (Some("{\"order_id\":".to_owned()), "malformed_json"),
            2 => (Some("{\"customer_id\":\"c0\"}".to_owned()), "invalid_event"),
            3 if self.shop.partitions > 1 => {
                partition = (partition + 1) % self.shop.partitions;
                let order = json!({
                    "order_id": "lost", "customer_id": customer, "placed_at": START_MS, "currency": "EUR", "total": "1.00",
                });
                (Some(order.to_string()), "wrong_partition")
            }
            _ => (Some(far.to_string()), "in_future"),
        };
        let record = Record {
            key: Some(customer.as_bytes().into()),
            value: value.map(|value| value.into_bytes().into()),
            timestamp_ms: WALL_START_MS,
            headers: Vec::new(),
        };
        Arrival::Record {
            input: Input::Orders,
            partition,
            record,
            meaning: Meaning::Refused(reason),
            writer: None,
        }
    }
}
