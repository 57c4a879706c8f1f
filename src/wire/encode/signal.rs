//! Signals as JSON: what happened to a customer, when, why and under which policy.

use super::json;
use super::shops::ShopTexts;
use crate::domain::event::Record;
use crate::domain::settings::Shops;
use crate::domain::signal::{
    Cause, FrequencyChange, OrderValueChange, ReturnedOrder, Signal, SignalKind, Silence,
};
use crate::domain::time::Time;
use crate::wire::decode::{Event, Subject};
use crate::wire::hash::SignalId;

/// What a signal tells about the record that caused it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordContext<'a> {
    pub kind: RecordKind<'a>,
    /// The order id of an order or a cancellation, the return id of a return.
    pub id: &'a str,
    pub at: Time,
    /// As the record names it, if it does.
    pub store_id: Option<&'a str>,
}

/// The kinds of records that cause signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind<'a> {
    Order {
        version: u32,
    },
    Cancellation,
    /// With the order that it names, if it names one.
    Return {
        order_id: Option<&'a str>,
    },
}

impl<'a> RecordContext<'a> {
    /// None for guests and erasures, which cause no signal.
    pub fn of(event: &'a Event<'_>) -> Option<Self> {
        let Subject::Customer(customer) = &event.subject else {
            return None;
        };
        let kind = match &customer.record {
            Record::Order(order) => RecordKind::Order { version: order.version },
            Record::Cancellation(_) => RecordKind::Cancellation,
            Record::Return(_) => RecordKind::Return { order_id: customer.named_order.as_deref() },
            Record::Erasure(_) => return None,
        };
        Some(Self {
            kind,
            id: customer.id.as_deref()?,
            at: event.time(),
            store_id: event.store_id.as_deref(),
        })
    }
}

/// Writes signals under one set of settings.
#[derive(Clone, Debug)]
pub struct SignalEncoder {
    shops: ShopTexts,
    /// `,"policy":{…},"cause":{"kind":"`
    policy: Box<[u8]>,
}

impl SignalEncoder {
    /// With the policy's name and the version by which signals tell its settings.
    pub fn new(shops: &Shops, policy_name: &str, policy_version: &str) -> Self {
        let policy = format!(
            r#"}},"policy":{{"name":"{policy_name}","version":"{policy_version}"}},"cause":{{"kind":""#
        );
        Self { shops: ShopTexts::new(shops), policy: policy.into_bytes().into() }
    }

    /// Appends a signal and returns its id. `record` is the record being applied, none if only the clock moved; a signal of the
    /// clock does not look at it.
    ///
    /// # Panics
    /// If a record caused the signal and none is given.
    pub fn encode(
        &self,
        customer_key: &[u8],
        signal: &Signal,
        record: Option<&RecordContext<'_>>,
        out: &mut Vec<u8>,
    ) -> SignalId {
        let id = SignalId::of(customer_key, signal.kind.name(), &signal.cause, out);
        let shop = self.shops.get(signal.shop);
        let record = caused_by_record(&signal.cause)
            .then(|| record.expect("a record's signal is encoded while that record is applied"));
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&id.to_hex());
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(signal.kind.name().as_bytes());
        out.extend_from_slice(b"\",\"customer_id\":");
        json::string(out, self.shops.customer_id(customer_key));
        out.extend_from_slice(b",\"store_id\":");
        match &shop.store_id {
            Some(store_id) => out.extend_from_slice(store_id),
            None => json::optional_string(out, record.and_then(|record| record.store_id)),
        }
        out.extend_from_slice(b",\"occurred_at\":");
        json::time(out, signal.occurred_at);
        out.extend_from_slice(b",\"state\":{\"before\":\"");
        out.extend_from_slice(signal.before.name().as_bytes());
        out.extend_from_slice(b"\",\"after\":\"");
        out.extend_from_slice(signal.after.name().as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.policy);
        cause(out, signal, record);
        out.extend_from_slice(b",\"data\":");
        let data = Data { customer_key, signal, record, currency: &shop.currency, digits: shop.digits };
        data.encode(out);
        out.push(b'}');
        id
    }
}

const fn caused_by_record(cause: &Cause) -> bool {
    match cause {
        Cause::Deadline(_) | Cause::Expiry(_) => false,
        Cause::Record(_)
        | Cause::DeadlineByRecord(..)
        | Cause::Cancelled(_)
        | Cause::Returned(_)
        | Cause::Retraction(..) => true,
    }
}

/// Goes on behind `"cause":{"kind":"`.
fn cause(out: &mut Vec<u8>, signal: &Signal, record: Option<&RecordContext<'_>>) {
    let Some(record) = record else {
        let kind: &[u8] = if matches!(signal.cause, Cause::Expiry(_)) { b"expiry" } else { b"deadline" };
        out.extend_from_slice(kind);
        out.extend_from_slice(b"\",\"id\":null,\"version\":null,\"at\":");
        json::time(out, signal.occurred_at);
        out.push(b'}');
        return;
    };
    let (kind, version): (&[u8], _) = match record.kind {
        RecordKind::Order { version } => (b"order", Some(version)),
        RecordKind::Cancellation => (b"cancellation", None),
        RecordKind::Return { .. } => (b"return", None),
    };
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"id\":");
    json::string(out, record.id.as_bytes());
    out.extend_from_slice(b",\"version\":");
    json::optional(out, version, json::integer);
    out.extend_from_slice(b",\"at\":");
    json::time(out, record.at);
    out.push(b'}');
}

/// What the object under `data` is written from.
struct Data<'a> {
    customer_key: &'a [u8],
    signal: &'a Signal,
    record: Option<&'a RecordContext<'a>>,
    /// In quotes.
    currency: &'a [u8],
    digits: u8,
}

impl Data<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.signal.kind {
            SignalKind::FirstOrder { value } | SignalKind::SecondOrder { value } => self.order(out, *value),
            SignalKind::AtRisk(silence) | SignalKind::Lapsed(silence) => self::silence(out, silence),
            SignalKind::Recovered { away } | SignalKind::WonBack { away } => {
                out.extend_from_slice(b"{\"days_away\":");
                json::optional(out, *away, json::days);
            }
            SignalKind::LapseRetracted { retracted, told } => {
                let id = SignalId::retracted(self.customer_key, *retracted, *told, out);
                out.extend_from_slice(b"{\"retracts\":\"");
                out.extend_from_slice(&id.to_hex());
                out.extend_from_slice(b"\",\"retracted_type\":\"");
                out.extend_from_slice(retracted.name().as_bytes());
                out.push(b'"');
            }
            SignalKind::FrequencyFell(change) | SignalKind::FrequencyRose(change) => frequency(out, change),
            SignalKind::OrderValueFell(change) | SignalKind::OrderValueRose(change) => {
                self.order_value(out, change);
            }
            SignalKind::ReturnRateHigh { ratio, refunded, gross, placed } => {
                out.extend_from_slice(b"{\"ratio\":");
                json::optional(out, *ratio, json::ratio);
                out.extend_from_slice(b",\"refunded\":");
                json::money(out, *refunded, self.digits);
                out.extend_from_slice(b",\"gross\":");
                json::money(out, *gross, self.digits);
                out.extend_from_slice(b",\"placed_orders\":");
                json::integer(out, *placed);
            }
            SignalKind::OrderCancelled { order: _, value, net } => self.cancelled(out, *value, *net),
            SignalKind::OrderReturned { returned: _, refund, order } => {
                self.returned(out, *refund, order.as_ref());
            }
            SignalKind::BecameProspect => out.push(b'{'),
        }
        out.push(b'}');
    }

    fn order(&self, out: &mut Vec<u8>, value: i64) {
        out.extend_from_slice(b"{\"value\":");
        json::money(out, value, self.digits);
        out.extend_from_slice(b",\"currency\":");
        out.extend_from_slice(self.currency);
    }

    fn order_value(&self, out: &mut Vec<u8>, change: &OrderValueChange) {
        out.extend_from_slice(b"{\"ratio\":");
        json::ratio(out, change.ratio);
        out.extend_from_slice(b",\"recent\":");
        json::mean_money(out, change.recent, self.digits);
        out.extend_from_slice(b",\"earlier\":");
        json::mean_money(out, change.earlier, self.digits);
    }

    fn cancelled(&self, out: &mut Vec<u8>, value: Option<i64>, net: i64) {
        out.extend_from_slice(b"{\"value\":");
        json::optional(out, value, |out, value| json::money(out, value, self.digits));
        out.extend_from_slice(b",\"net\":");
        json::money(out, net, self.digits);
        out.extend_from_slice(b",\"order_id\":");
        json::optional_string(out, self.record.map(|record| record.id));
    }

    fn returned(&self, out: &mut Vec<u8>, refund: i64, order: Option<&ReturnedOrder>) {
        let order_id = match self.record.map(|record| record.kind) {
            Some(RecordKind::Return { order_id }) => order_id,
            Some(RecordKind::Order { .. } | RecordKind::Cancellation) | None => None,
        };
        out.extend_from_slice(b"{\"refund\":");
        json::money(out, refund, self.digits);
        out.extend_from_slice(b",\"order_id\":");
        json::optional_string(out, order_id);
        let Some(order) = order else {
            out.extend_from_slice(b",\"order_placed_at\":null,\"order_kept\":null,\"days_since_order\":null");
            return;
        };
        out.extend_from_slice(b",\"order_placed_at\":");
        json::time(out, order.placed_at);
        out.extend_from_slice(b",\"order_kept\":");
        json::bool(out, order.kept);
        out.extend_from_slice(b",\"days_since_order\":");
        json::days(out, order.after);
    }
}

fn silence(out: &mut Vec<u8>, silence: &Silence) {
    out.extend_from_slice(b"{\"deadline\":");
    json::time(out, silence.deadline);
    out.extend_from_slice(b",\"last_order_at\":");
    json::time(out, silence.last_order_at);
    out.extend_from_slice(b",\"silence_days\":");
    json::days(out, silence.deadline.since(silence.last_order_at));
    out.extend_from_slice(b",\"expected_gap_days\":");
    json::optional(out, silence.expected_gap, json::ratio);
}

fn frequency(out: &mut Vec<u8>, change: &FrequencyChange) {
    out.extend_from_slice(b"{\"ratio\":");
    json::ratio(out, change.ratio);
    out.extend_from_slice(b",\"recent\":");
    json::ratio(out, change.recent);
    out.extend_from_slice(b",\"earlier\":");
    json::ratio(out, change.earlier);
}
