//! Random histories of few customers with small ranges of ids, values and times, so that collisions happen:
//! the same order in several versions and contents, cancellations, returns with and without their order,
//! before and after it, equal times and amounts, test orders, several currencies, repetitions.

use fastrand::Rng;
use serde_json::{Value, json};

use super::number::{DAY_MS, time_text};
use super::scenario::DAY_ZERO_MS;
use super::{Input, OracleConfig, Policy, Shop, Shops, Topic};

/// One history, as inputs in several orders.
#[derive(Debug)]
pub struct History {
    pub config: OracleConfig,
    /// By event time, each record once.
    pub in_order: Vec<Input>,
    /// The same records, none later than the lateness; some more than once.
    pub as_arrived: Vec<Input>,
    /// Outside of the law: with guests, erasures, moves of the clock, and records that come too late.
    pub wild: Vec<Input>,
    /// Later than all of them.
    pub end: i64,
}

impl History {
    /// Leaves out inputs, in all their repetitions, for as long as the rest still fails.
    pub fn shrunk(mut self, fails: impl Fn(&History) -> bool) -> History {
        let inputs: Vec<String> = self.in_order.iter().chain(&self.wild).map(Input::to_string).collect();
        for input in inputs {
            let without = self.without(&input);
            if fails(&without) {
                self = without;
            }
        }
        self
    }

    fn without(&self, gone: &str) -> History {
        let rest = |inputs: &[Input]| {
            inputs.iter().filter(|input| input.to_string() != gone).cloned().collect::<Vec<Input>>()
        };
        History {
            config: self.config.clone(),
            in_order: rest(&self.in_order),
            as_arrived: rest(&self.as_arrived),
            wild: rest(&self.wild),
            end: self.end,
        }
    }
}

struct Event {
    time: i64,
    topic: Topic,
    input: Input,
}

impl Event {
    fn new(time: i64, topic: Topic, value: Value) -> Event {
        Event { time, topic, input: Input::Record { topic, value } }
    }
}

/// The history that a seed stands for.
pub fn history(seed: u64) -> History {
    let mut rng = Rng::with_seed(seed);
    let config = config(&mut rng);
    let span_days = pick(&mut rng, [3, 40, 400, 1500]);
    let bounds = Bounds::of(&config);
    let mut events = Vec::new();
    for customer in 0..rng.i64(1..=3) {
        events.extend(customer_events(&mut rng, &format!("c{customer}"), span_days, &bounds));
    }
    events.sort_by_key(|event| (event.time, event.topic));
    let lateness_ms = config.lateness_days * DAY_MS;
    let in_order = events.iter().map(|event| event.input.clone()).collect();
    // Whatever arrives before a record has at most its time plus the lateness.
    let as_arrived = arrivals(&mut rng, &events, lateness_ms);
    let end = DAY_ZERO_MS + rng.i64(span_days..span_days + 800) * DAY_MS;
    let wild_events = wild_events(&mut rng, &events, span_days, &bounds);
    events.extend(wild_events);
    let mut wild = arrivals(&mut rng, &events, 2 * lateness_ms);
    wild.push(Input::Clock(end));
    History { config, in_order, as_arrived, wild, end }
}

/// Each input once or twice, at most so long after its time.
fn arrivals(rng: &mut Rng, events: &[Event], delay_ms_max: i64) -> Vec<Input> {
    let mut arrivals: Vec<(i64, &Event)> = Vec::new();
    for event in events {
        for _ in 0..pick(rng, [1, 1, 1, 2]) {
            let some = rng.i64(0..=delay_ms_max);
            arrivals.push((event.time + pick(rng, [0, some, delay_ms_max]), event));
        }
    }
    rng.shuffle(&mut arrivals);
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals.into_iter().map(|(_, event)| event.input.clone()).collect()
}

/// What equalities are made of: the lengths of time that decide something, in milliseconds.
struct Bounds {
    return_window: i64,
    lateness: i64,
    others: [i64; 6],
}

impl Bounds {
    fn of(config: &OracleConfig) -> Bounds {
        let (return_window, lateness) = (config.return_window_days * DAY_MS, config.lateness_days * DAY_MS);
        // Both together are the horizon of folding and of erasures; then windows, and deadlines of the fixed policy.
        let days = [30, 60, 90, 365].map(|days| days * DAY_MS);
        let [month, two_months, quarter, year] = days;
        let horizon = return_window + lateness;
        Bounds {
            return_window,
            lateness,
            others: [horizon, month, two_months, quarter, year, horizon - year],
        }
    }

    /// A moment exactly on a bound of another one, or a millisecond to either side of it.
    fn away(&self, rng: &mut Rng, moment_ms: i64) -> i64 {
        let other = pick(rng, self.others);
        let bound = pick(rng, [self.return_window, self.return_window, self.lateness, other]);
        let distance = bound + pick(rng, [0, 0, 1, -1]);
        (moment_ms + pick(rng, [distance, distance, -distance])).max(DAY_ZERO_MS)
    }
}

/// Inputs that have to do with the others by bounds, and edits of orders that come whenever a shop makes them.
fn wild_events(rng: &mut Rng, known: &[Event], span_days: i64, bounds: &Bounds) -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..rng.i64(0..=8) {
        let of_known = rng.choice(known).map(|event| event.time);
        let time = match (of_known, rng.u8(0..3)) {
            (Some(known), 0) => bounds.away(rng, known),
            (Some(known), 1) => known,
            (Some(_) | None, _) => moment(rng, span_days),
        };
        let (currency, amount) = money(rng);
        let erasure = json!({"customer_id": format!("c{}", number % 3), "requested_at": time_text(time)});
        let order = json!({
            "order_id": "o1", "currency": currency, "total": amount, "placed_at": time, "test": rng.u8(0..4) == 0,
        });
        let goods = json!({
            "return_id": "r1", "currency": currency, "refund": amount, "returned_at": time, "store_id": "s1",
        });
        events.push(match rng.u8(0..5) {
            0 => Event::new(time, Topic::Erasures, erasure),
            1 => Event::new(time, Topic::Orders, order),
            2 => Event::new(time, Topic::Returns, goods),
            _ => Event { time, topic: Topic::Erasures, input: Input::Clock(time) },
        });
    }
    for _ in 0..rng.i64(0..=6) {
        events.extend(rng.choice(known).and_then(|event| edited(rng, event, bounds)));
    }
    events
}

/// A record of the orders' topic that comes again at any time after it, perhaps in another version or with another amount.
fn edited(rng: &mut Rng, event: &Event, bounds: &Bounds) -> Option<Event> {
    let Input::Record { topic: Topic::Orders, value } = &event.input else { return None };
    let mut value = value.clone();
    if rng.u8(0..4) > 0 {
        let version = value.get("version").and_then(Value::as_u64).unwrap_or(0);
        value["version"] = json!(version.saturating_sub(1) + rng.u64(0..4));
    }
    if rng.u8(0..4) == 0 && value.get("total").is_some() {
        let (currency, total) = money(rng);
        (value["currency"], value["total"]) = (json!(currency), json!(total));
    }
    let some = rng.i64(0..=500) * DAY_MS;
    let delay =
        pick(rng, [some, bounds.lateness, bounds.lateness + 1, bounds.return_window + bounds.lateness]);
    Some(Event {
        time: event.time + delay,
        topic: Topic::Orders,
        input: Input::Record { topic: Topic::Orders, value },
    })
}

fn config(rng: &mut Rng) -> OracleConfig {
    let mut config = OracleConfig { shop_metrics: false, ..OracleConfig::new("EUR") };
    let mut shop = Shop::new("EUR", pick(rng, ["UTC", "Europe/Berlin", "America/New_York"]));
    shop.rates.insert("USD".to_owned(), pick(rng, ["0.5", "0.333", "1"]).to_owned());
    shop.rates.insert("JPY".to_owned(), "0.005".to_owned());
    config.shops = Shops::One(shop);
    config.policy = match rng.u8(0..4) {
        0 => Policy::fixed("30", "60"),
        1 => Policy::fixed("0.5", "2.25"),
        2 => quick_cadence(),
        _ => Policy::default(),
    };
    if rng.bool() {
        config.thresholds.return_rate = "0.3".to_owned();
        config.thresholds.return_rate_rearm = "0.25".to_owned();
        config.thresholds.order_value_fell = "0.95".to_owned();
        config.thresholds.order_value_fell_rearm = "0.951".to_owned();
    }
    (config.return_window_days, config.lateness_days) =
        pick(rng, [(365, 35), (365, 35), (360, 5), (200, 165)]);
    config
}

/// Bounds that meet, and numbers that are no whole days.
fn quick_cadence() -> Policy {
    Policy::Cadence {
        prior_gap_days: "10.5".to_owned(),
        prior_weight: "1.25".to_owned(),
        at_risk_factor: "1.1".to_owned(),
        at_risk_days_min: "2".to_owned(),
        at_risk_days_max: "20".to_owned(),
        lapsed_factor: "1.15".to_owned(),
        lapsed_days_min: "2.5".to_owned(),
        lapsed_days_max: "20.5".to_owned(),
    }
}

fn customer_events(rng: &mut Rng, customer_id: &str, span_days: i64, bounds: &Bounds) -> Vec<Event> {
    let mut events = Vec::new();
    // Counted by the shop, or milliseconds of its clock; 2³² lies among those of some.
    let versions = pick(rng, [0, 0, 0, (1 << 32) - 1, 1_764_000_000_000]);
    let mut placed_before = DAY_ZERO_MS;
    for order in 0..rng.i64(0..=9) {
        let order_id = format!("o{order}");
        let placed_at = near(rng, placed_before, span_days, bounds);
        placed_before = placed_at;
        let placed = |rng: &mut Rng, version: u64| {
            let placed_at = varied(rng, placed_at);
            let (currency, total) = money(rng);
            let mut value = json!({
                "order_id": order_id, "customer_id": customer_id, "version": version, "currency": currency,
                "placed_at": time_text(placed_at), "total": total, "test": rng.u8(0..10) == 0,
            });
            if rng.bool() {
                value["items"] =
                    json!([{"sku": pick(rng, ["red", "blue"]), "quantity": 1, "unit_price": "1"}]);
            }
            Event::new(placed_at, Topic::Orders, value)
        };
        for _ in 0..pick(rng, [0, 1, 1, 1, 1, 1, 2, 3]) {
            let version = versions + pick(rng, [0, 0, 1, 2]);
            events.push(placed(rng, version));
        }
        let first_cancelled_at = near(rng, placed_at, span_days, bounds);
        for _ in 0..pick(rng, [0, 0, 0, 0, 1, 2]) {
            let cancelled_at = varied(rng, first_cancelled_at);
            let mut value = json!({
                "order_id": order_id, "customer_id": customer_id, "cancelled_at": time_text(cancelled_at),
            });
            if rng.bool() {
                value["version"] = json!(versions + rng.u64(0..3));
            }
            events.push(Event::new(cancelled_at, Topic::Orders, value));
        }
        for part in 0..pick(rng, [0, 0, 0, 1, 1, 3]) {
            let return_id = format!("r{order}-{part}");
            let first_returned_at = match rng.u8(0..4) {
                0 => first_cancelled_at,
                _ => near(rng, placed_at, span_days, bounds),
            };
            for _ in 0..pick(rng, [1, 1, 1, 2]) {
                let returned_at = varied(rng, first_returned_at);
                let (currency, refund) = money(rng);
                let mut value = json!({
                    "return_id": return_id, "customer_id": customer_id, "currency": currency, "refund": refund,
                    "returned_at": time_text(returned_at),
                });
                if rng.bool() {
                    value["order_id"] = json!(order_id);
                }
                events.push(Event::new(returned_at, Topic::Returns, value));
            }
        }
    }
    events
}

/// One of few amounts, so that a refund often equals a total.
fn money(rng: &mut Rng) -> (&'static str, &'static str) {
    let amounts = [
        ("EUR", "10.00"),
        ("EUR", "10.00"),
        ("EUR", "3.00"),
        ("EUR", "0.00"),
        ("USD", "0.03"),
        ("USD", "10.00"),
        ("JPY", "101"),
    ];
    pick(rng, amounts)
}

/// A moment of the span, often a whole day.
fn moment(rng: &mut Rng, span_days: i64) -> i64 {
    let day = DAY_ZERO_MS + rng.i64(0..=span_days) * DAY_MS;
    let some = rng.i64(0..DAY_MS);
    day + pick(rng, [0, 0, 23 * 3_600_000, some])
}

/// A moment that often has to do with another one.
fn near(rng: &mut Rng, moment_ms: i64, span_days: i64, bounds: &Bounds) -> i64 {
    match rng.u8(0..6) {
        0 => moment_ms,
        1 => moment_ms + rng.i64(0..=30) * DAY_MS,
        2 => (moment_ms - rng.i64(0..=3) * DAY_MS).max(DAY_ZERO_MS),
        3 => bounds.away(rng, moment_ms),
        _ => moment(rng, span_days),
    }
}

/// Another moment for a record of the same identity; further apart than the lateness they would be outside of
/// the law.
fn varied(rng: &mut Rng, moment_ms: i64) -> i64 {
    moment_ms + pick(rng, [0, 0, 0, 0, 1, 3]) * DAY_MS
}

fn pick<T: Copy, const COUNT: usize>(rng: &mut Rng, from: [T; COUNT]) -> T {
    from[rng.usize(0..COUNT)]
}
