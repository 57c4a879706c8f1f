//! The oracle itself: one clock, all customers, and all signals, profiles and refused records so far.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike};
use serde_json::{Value, json};

use super::config::{OracleConfig, Settings};
use super::customer::Customer;
use super::figures::Figures;
use super::ledger::Novelty;
use super::number::DAY_MS;
use super::record::{Body, Record};
use super::retention::{self, Store};
use super::shop::{Guests, Population, by_state, metrics_line};
use super::{Input, OracleOutput, Topic};

const CHANGED: &str = "a customer is there since a first change";

/// The summary counts them all.
const SIGNAL_TYPES: [&str; 18] = [
    "first_order",
    "second_order",
    "at_risk",
    "lapsed",
    "recovered",
    "won_back",
    "lapse_retracted",
    "frequency_fell",
    "frequency_rose",
    "order_value_fell",
    "order_value_rose",
    "return_rate_high",
    "segment_changed",
    "tier_changed",
    "order_cancelled",
    "order_returned",
    "became_prospect",
    "rule",
];

pub struct Oracle {
    settings: Settings,
    clock: Option<i64>,
    customers: BTreeMap<String, Customer>,
    /// Each customer's next instant, in the order in which they fire.
    timers: BTreeSet<(i64, String)>,
    /// Erased customers, with the latest request.
    erased: BTreeMap<String, i64>,
    guests: Vec<Guests>,
    inputs: usize,
    events: Events,
    output: OracleOutput,
}

/// Accepted records.
#[derive(Debug, Default)]
struct Events {
    orders: u64,
    cancellations: u64,
    returns: u64,
}

impl Oracle {
    pub fn new(config: &OracleConfig) -> Oracle {
        let settings = Settings::new(config);
        Oracle {
            guests: vec![Guests::default(); settings.shops.len()],
            settings,
            clock: None,
            customers: BTreeMap::new(),
            timers: BTreeSet::new(),
            erased: BTreeMap::new(),
            inputs: 0,
            events: Events::default(),
            output: OracleOutput::default(),
        }
    }

    /// Takes the next input.
    pub fn apply(&mut self, input: &Input) {
        match input {
            Input::Clock(clock) => self.advance(*clock),
            Input::Record { topic, value } => {
                let record = match topic {
                    Topic::Orders => Record::order_or_cancellation(value),
                    Topic::Returns => Record::goods_returned(value),
                    Topic::Erasures => Record::erasure(value),
                };
                self.take(&record);
            }
        }
        self.inputs += 1;
    }

    /// What was put out so far, with the figures at the clock.
    pub fn output(&self) -> OracleOutput {
        let mut output = self.output.clone();
        for (key, customer) in &self.customers {
            let as_of = customer.as_of.expect(CHANGED);
            output.profiles.insert(key.clone(), self.profile(customer, as_of));
        }
        if let Some(clock) = self.clock
            && self.settings.shop_metrics
        {
            output.shop_metrics.extend(self.metrics_lines(clock, true));
        }
        output.summary = self.summary();
        output
    }

    /// What was put out so far, but for profiles and all figures, which are not made here.
    pub fn log(&self) -> &OracleOutput {
        &self.output
    }

    /// The profile of a customer as last published; null if there is none.
    pub fn published_profile(&self, key: &str) -> Value {
        let customer = self.customers.get(key);
        customer.map_or(Value::Null, |customer| self.profile(customer, customer.as_of.expect(CHANGED)))
    }

    /// All profiles as they would be at the clock: what the law compares.
    pub fn profiles_at_clock(&self) -> BTreeMap<String, Value> {
        let Some(clock) = self.clock else {
            return BTreeMap::new();
        };
        let profiles =
            self.customers.iter().map(|(key, customer)| (key.clone(), self.profile(customer, clock)));
        profiles.collect()
    }

    /// Every profile is published, as of the clock.
    pub fn publish_all(&mut self) {
        for customer in self.customers.values_mut() {
            customer.as_of = self.clock;
        }
    }

    fn profile(&self, customer: &Customer, clock: i64) -> Value {
        customer.profile_at(clock, &self.settings)
    }

    fn take(&mut self, record: &Record) {
        let Some(shop) = self.shop_of(record) else {
            return self.refuse("unknown_store");
        };
        if record.currency().is_some_and(|currency| !self.settings.shops[shop].knows(currency)) {
            return self.refuse("unknown_currency");
        }
        let Some(customer_id) = &record.customer_id else {
            return self.take_guest(record, shop);
        };
        let key = match &self.settings.shops[shop].store_id {
            Some(store_id) if self.settings.keyed_by_store => format!("{store_id}/{customer_id}"),
            _ => customer_id.clone(),
        };
        match record.body {
            Body::Erasure => self.erase(key, record.time),
            Body::Order(_) | Body::Cancellation(_) | Body::Return(_) => {
                self.take_identified(record, key, customer_id, shop);
            }
        }
    }

    fn shop_of(&self, record: &Record) -> Option<usize> {
        if !self.settings.keyed_by_store {
            return Some(0);
        }
        self.settings.shops.iter().position(|shop| shop.store_id == record.store_id)
    }

    fn take_guest(&mut self, record: &Record, shop: usize) {
        if self.is_too_old(record.time) {
            return self.refuse("too_old");
        }
        self.advance(record.time);
        self.count(record);
        let (guests, shop) = (&mut self.guests[shop], &self.settings.shops[shop]);
        match &record.body {
            Body::Order(order) if order.test => {}
            Body::Order(order) => {
                guests.orders += 1;
                guests.gross += shop.convert(order.total, &order.currency);
            }
            Body::Return(goods) => {
                guests.returns += 1;
                guests.refunded += shop.convert(goods.refund, &goods.currency);
            }
            Body::Cancellation(_) | Body::Erasure => unreachable!("these need a customer"),
        }
    }

    fn take_identified(&mut self, record: &Record, key: String, customer_id: &str, shop: usize) {
        if self.is_erased(&key, record) {
            return self.refuse("erased");
        }
        let customer = self.customers.get(&key);
        let is_known = customer.is_some_and(|customer| customer.ledger.takes_at_any_age(&record.body));
        if !is_known && self.is_too_old(record.time) {
            let is_folded =
                customer.is_some_and(|customer| customer.ledger.is_of_forgotten_times(&record.body));
            self.output.folded += u64::from(is_folded);
            return self.refuse("too_old");
        }
        self.advance(record.time);
        let clock = self.clock.expect("a record was accepted");
        let customer = self
            .customers
            .entry(key.clone())
            .or_insert_with(|| Customer::new(key.clone(), customer_id.to_owned(), shop));
        let heard = customer.hear(record, clock, &self.settings);
        let ineffective = heard.novelty == Novelty::First && is_ineffective(customer, record, &self.settings);
        self.output.ineffective += u64::from(ineffective);
        match heard.novelty {
            Novelty::Duplicate => self.output.duplicates += 1,
            Novelty::Loses { conflict: true } => self.output.conflicting_held += 1,
            Novelty::Replaces { conflict: true } => self.output.conflicting_arrived += 1,
            Novelty::First | Novelty::Replaces { .. } | Novelty::Loses { .. } | Novelty::RaisesVersion => {}
        }
        if heard.novelty != Novelty::Duplicate {
            self.count(record);
        }
        self.output.signals.extend(heard.signals);
        if heard.changed {
            self.output.published.push((self.inputs, key.clone(), clock));
        }
        self.settle(&key);
    }

    fn is_too_old(&self, time: i64) -> bool {
        self.clock.is_some_and(|clock| time < clock - self.settings.lateness_ms)
    }

    /// Erased customers stay so: no record from before the request, none that refers to what is gone.
    fn is_erased(&self, key: &str, record: &Record) -> bool {
        let horizon = self.settings.return_window_ms + self.settings.lateness_ms;
        let Some(requested_at) =
            self.erased.get(key).filter(|requested_at| record.time < *requested_at + horizon)
        else {
            return false;
        };
        let named = match &record.body {
            Body::Cancellation(gone) => Some(gone.order_hash),
            Body::Return(goods) => goods.order.as_ref().map(|order| order.id_hash),
            Body::Order(_) | Body::Erasure => None,
        };
        let knows = |order| {
            self.customers.get(key).is_some_and(|customer| customer.ledger.known_order(order).is_some())
        };
        record.time <= *requested_at || named.is_some_and(|order| !knows(order))
    }

    fn erase(&mut self, key: String, requested_at: i64) {
        self.advance(requested_at);
        if let Some(Customer { timer: Some(instant), .. }) = self.customers.remove(&key) {
            self.timers.remove(&(instant, key.clone()));
        }
        let latest = self.erased.entry(key).or_insert(requested_at);
        *latest = requested_at.max(*latest);
        self.drop_old_markers();
    }

    fn refuse(&mut self, reason: &'static str) {
        self.output.refused.push((self.inputs, reason));
    }

    fn count(&mut self, record: &Record) {
        match record.body {
            Body::Order(_) => self.events.orders += 1,
            Body::Cancellation(_) => self.events.cancellations += 1,
            Body::Return(_) => self.events.returns += 1,
            Body::Erasure => {}
        }
    }

    /// Moves the clock, never backwards; what is due on the way happens at its own instant.
    fn advance(&mut self, to: i64) {
        let Some(from) = self.clock else {
            self.clock = Some(to);
            return;
        };
        if to <= from {
            return;
        }
        if self.settings.shop_metrics {
            // A midnight is crossed when the clock leaves it: then all that happened at it is counted.
            let first_midnight = -(-from).div_euclid(DAY_MS) * DAY_MS;
            for midnight in (first_midnight..to).step_by(DAY_MS as usize) {
                let lines = self.metrics_lines(midnight, begins_month(midnight));
                self.output.shop_metrics.extend(lines);
            }
        }
        while let Some((instant, key)) = self.timers.first().cloned()
            && instant <= to
        {
            self.timers.pop_first();
            self.clock = Some(instant);
            let customer = self.customers.get_mut(&key).expect("timers are of customers");
            let (published, signals) = customer.hear_timer(instant, &self.settings);
            self.output.signals.extend(signals);
            if published {
                self.output.published.push((self.inputs, key.clone(), instant));
            }
            self.settle(&key);
        }
        self.clock = Some(to);
        self.drop_old_markers();
    }

    /// After each change: the emitted state is that of the facts, and the timer is set.
    fn settle(&mut self, key: &str) {
        let clock = self.clock.expect("something was accepted");
        let customer = self.customers.get_mut(key).expect("the customer was just heard");
        assert_eq!(customer.told_name(), customer.name_at(clock), "told and facts of {key} at {clock}");
        if let Some(instant) = customer.timer.take() {
            self.timers.remove(&(instant, key.to_owned()));
        }
        customer.timer = customer.next_timer(clock, &self.settings);
        if let Some(instant) = customer.timer {
            self.timers.insert((instant, key.to_owned()));
        }
    }

    fn drop_old_markers(&mut self) {
        let clock = self.clock.expect("something was accepted");
        let horizon = self.settings.return_window_ms + self.settings.lateness_ms;
        self.erased.retain(|_, requested_at| clock < *requested_at + horizon);
    }

    fn metrics_lines(&self, clock: i64, is_counted: bool) -> Vec<Value> {
        let horizon = self.settings.return_window_ms + self.settings.lateness_ms;
        let lines = self.settings.shops.iter().enumerate().map(|(index, shop)| {
            let customers = self.customers.values().filter(|customer| customer.shop == index);
            metrics_line(shop, &customers.collect::<Vec<_>>(), clock, is_counted.then_some(horizon))
        });
        lines.collect()
    }

    /// By currency.
    fn retention(&self, clock: i64) -> Value {
        let mut by_currency: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, shop) in self.settings.shops.iter().enumerate() {
            by_currency.entry(&shop.currency).or_default().push(index);
        }
        let of_shop = |index: usize| -> Vec<&Figures> {
            let customers = self.customers.values().filter(|customer| customer.shop == index);
            customers.map(|customer| &customer.figures).collect()
        };
        let entries = by_currency.into_iter().filter(|_| self.clock.is_some()).map(|(currency, shops)| {
            let zone = |index: usize| self.settings.shops[index].time_zone;
            let horizon = self.settings.return_window_ms + self.settings.lateness_ms;
            let stores: Vec<Store> = shops
                .iter()
                .map(|index| Store::new(zone(*index), clock, horizon, &of_shop(*index)))
                .collect();
            let customers = shops.iter().flat_map(|index| of_shop(*index)).map(|figures| (currency, figures));
            let population = Population { currencies: vec![currency], customers: customers.collect() };
            let year = population.blocks(clock).1["365d"].clone();
            let mut fields = retention::fields(&stores, clock, currency, &year);
            let (segments, places) = retention::segments(&stores, clock);
            fields.insert("segments".to_owned(), segments);
            fields.insert("value_matrix".to_owned(), places);
            (currency.to_owned(), Value::Object(fields))
        });
        Value::Object(entries.collect())
    }

    fn summary(&self) -> Value {
        let clock = self.clock.unwrap_or(0);
        let shops = &self.settings.shops;
        let customers = self.customers.values();
        let population = Population {
            currencies: shops.iter().map(|shop| shop.currency.as_str()).collect(),
            customers: customers
                .map(|customer| (shops[customer.shop].currency.as_str(), &customer.figures))
                .collect(),
        };
        let (mut summary, windows) = population.blocks(clock);
        summary["customers"]["total"] = json!(self.customers.len());
        let customers: Vec<&Customer> = self.customers.values().collect();
        summary["customers"]["by_state"] = by_state(&customers, clock);
        summary.insert("windows".to_owned(), Value::Object(windows));
        summary.insert("retention".to_owned(), self.retention(clock));
        let guests: Vec<(&str, Guests)> =
            shops.iter().map(|shop| shop.currency.as_str()).zip(self.guests.iter().copied()).collect();
        summary.insert("guests".to_owned(), Guests::to_json(&guests));
        let published = self.customers.keys().map(|key| self.published_profile(key));
        let truncated = published.filter(|profile| profile["truncated"] == true).count();
        // The oracle remembers any number of orders.
        summary.insert("truncated".to_owned(), json!({"customers": truncated, "orders": 0}));
        summary.insert(
            "events".to_owned(),
            json!({
                "orders": self.events.orders,
                "cancellations": self.events.cancellations,
                "returns": self.events.returns,
                "duplicates": self.output.duplicates,
            }),
        );
        let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, reason) in &self.output.refused {
            *refused.entry(reason).or_default() += 1;
        }
        summary.insert("dead_letters".to_owned(), json!(refused));
        let mut said: BTreeMap<&str, u64> = SIGNAL_TYPES.iter().map(|name| (*name, 0)).collect();
        for signal in &self.output.signals {
            *said.entry(signal["type"].as_str().expect("a signal has a type")).or_default() += 1;
        }
        summary.insert("signals".to_owned(), json!(said));
        Value::Object(summary)
    }
}

/// Whether a UTC midnight is the first of its month.
fn begins_month(midnight: i64) -> bool {
    DateTime::from_timestamp_millis(midnight).is_some_and(|midnight| midnight.day() == 1)
}

fn is_ineffective(customer: &Customer, record: &Record, settings: &Settings) -> bool {
    let Body::Cancellation(gone) = &record.body else {
        return false;
    };
    let order = customer.ledger.known_order(gone.order_hash);
    order.is_some_and(|order| (order.placed_at - gone.cancelled_at).abs() > settings.return_window_ms)
}
