//! Signals as JSON: what happened to a customer, when, why and under which policy.

use super::shops::ShopTexts;
use super::text::{QUOTED, Text, Word, append};
use super::{json, words};
use crate::domain::settings::Shops;
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{
    Cause, FrequencyChange, OrderValueChange, ReturnedOrder, Signal, Silence, State,
};
use crate::domain::values::event::Record;
use crate::domain::values::time::Time;
use crate::formats::native::{Event, Subject};
use crate::wire::hash::{self, SignalId};

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
        version: u64,
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
        };
        Some(Self { kind, id: &customer.id, at: event.time(), store_id: event.store_id.as_deref() })
    }
}

/// Writes signals under one set of settings.
#[derive(Clone, Debug)]
pub struct SignalEncoder {
    shops: ShopTexts,
}

impl SignalEncoder {
    pub fn new(shops: &Shops) -> Self {
        Self { shops: ShopTexts::new(shops) }
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
        append::<HEAD_ROOM>(out, |text| {
            text.put(b"{\"id\":\"")
                .put(&id.to_hex())
                .put(b"\",\"type\":\"")
                .word(words::type_then_customer(&signal.kind))
        });
        json::string_content(out, self.shops.customer_id(customer_key));
        match (&shop.store, record.and_then(|record| record.store_id)) {
            (Some(store), _) => out.extend_from_slice(store),
            (None, Some(store_id)) => {
                out.extend_from_slice(b"\",\"store_id\":");
                json::string(out, store_id.as_bytes());
            }
            (None, None) => out.extend_from_slice(b"\",\"store_id\":null"),
        }
        static BEFORE: [Word; State::ALL.len()] = words::states("\",\"after\":");
        static AFTER: [Word; State::ALL.len()] = words::states("\"");
        let start = out.len() + OCCURRED_AT.len();
        append::<PART_ROOM>(out, |text| {
            text.put(OCCURRED_AT)
                .time(signal.occurred_at)
                .put(b",\"state\":{\"before\":")
                .word(&BEFORE[signal.before as usize])
                .word(&AFTER[signal.after as usize])
                .put(b"},\"policy\":{\"name\":\"")
                .slice(signal.policy.name.as_bytes())
                .put(b"\",\"version\":\"")
                .put(&hash::hex_16(signal.policy.version))
                .put(b"\"},\"cause\":{\"kind\":\"")
                .word(cause_kind(signal, record))
        });
        let occurred_at = *out[start..].first_chunk().expect("just appended");
        if let Some(record) = record {
            json::string(out, record.id.as_bytes());
        }
        let data =
            Data { customer_key, signal, record, occurred_at, currency: shop.currency, digits: shop.digits };
        data.encode(out);
        id
    }
}

const OCCURRED_AT: &[u8; 15] = b",\"occurred_at\":";

/// An id, a type of 16 letters, and names.
const HEAD_ROOM: usize = 128;

/// As much as a signal has between two strings: two times, three numbers of 48 digits, or three amounts of 24, and names.
const PART_ROOM: usize = 320;

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

/// Goes on behind `"cause":{"kind":"`, up to the id.
fn cause_kind(signal: &Signal, record: Option<&RecordContext<'_>>) -> &'static Word {
    static EXPIRY: Word = Word::new("expiry", "\",\"id\":", "null");
    static DEADLINE: Word = Word::new("deadline", "\",\"id\":", "null");
    static ORDER: Word = Word::new("order", "\",\"id\":", "");
    static CANCELLATION: Word = Word::new("cancellation", "\",\"id\":", "");
    static RETURN: Word = Word::new("return", "\",\"id\":", "");
    match record.map(|record| record.kind) {
        Some(RecordKind::Order { .. }) => &ORDER,
        Some(RecordKind::Cancellation) => &CANCELLATION,
        Some(RecordKind::Return { .. }) => &RETURN,
        None if matches!(signal.cause, Cause::Expiry(_)) => &EXPIRY,
        None => &DEADLINE,
    }
}

/// What the object under `data` is written from.
struct Data<'a> {
    customer_key: &'a [u8],
    signal: &'a Signal,
    record: Option<&'a RecordContext<'a>>,
    /// As it is written: the record's time is mostly the same.
    occurred_at: [u8; QUOTED],
    /// In quotes.
    currency: [u8; 5],
    digits: u8,
}

impl Data<'_> {
    /// Goes on behind the id of the cause.
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.signal.kind {
            SignalKind::FirstOrder { value } | SignalKind::SecondOrder { value } => self.order(out, *value),
            SignalKind::AtRisk(silence) | SignalKind::Lapsed(silence) => self.silence(out, silence),
            SignalKind::Recovered { away } | SignalKind::WonBack { away } => {
                self.append(out, |text| text.put(b"\"days_away\":").optional(*away, Text::days).put(b"}}"));
            }
            SignalKind::LapseRetracted { retracted, emitted } => {
                let id = SignalId::retracted(self.customer_key, *retracted, *emitted, out);
                self.append(out, |text| {
                    text.put(b"\"retracts\":\"")
                        .put(&id.to_hex())
                        .put(b"\",\"retracted_type\":\"")
                        .slice(retracted.name().as_bytes())
                        .put(b"\"}}")
                });
            }
            SignalKind::FrequencyFell(change) | SignalKind::FrequencyRose(change) => {
                self.frequency(out, change)
            }
            SignalKind::OrderValueFell(change) | SignalKind::OrderValueRose(change) => {
                self.order_value(out, change);
            }
            SignalKind::ReturnRateHigh { ratio, refunded, gross, placed } => {
                self.append(out, |text| {
                    text.put(b"\"ratio\":")
                        .optional(*ratio, Text::ratio)
                        .put(b",\"refunded\":")
                        .money(*refunded, self.digits)
                        .put(b",\"gross\":")
                        .money(*gross, self.digits)
                        .put(b",\"placed_orders\":")
                        .integer(u64::from(*placed))
                        .put(b"}}")
                });
            }
            SignalKind::OrderCancelled { order: _, value, net } => self.cancelled(out, *value, *net),
            SignalKind::OrderReturned { returned: _, refund, order } => {
                self.returned(out, *refund, order.as_ref());
            }
            SignalKind::BecameProspect => self.append(out, |text| text.put(b"}}")),
        }
    }

    /// Appends the rest of the cause and what `write` puts into the object under `data`.
    fn append(&self, out: &mut Vec<u8>, write: impl FnOnce(Text<'_, PART_ROOM>) -> Text<'_, PART_ROOM>) {
        let (version, at) = match self.record {
            Some(RecordContext { kind: RecordKind::Order { version }, at, .. }) => (Some(*version), *at),
            Some(record) => (None, record.at),
            None => (None, self.signal.occurred_at),
        };
        append::<PART_ROOM>(out, |text| {
            let text = text
                .put(b",\"version\":")
                .optional(version, |text, version| text.integer(version))
                .put(b",\"at\":");
            let text =
                if at == self.signal.occurred_at { text.put(&self.occurred_at) } else { text.time(at) };
            write(text.put(b"},\"data\":{"))
        });
    }

    fn order(&self, out: &mut Vec<u8>, value: i64) {
        self.append(out, |text| {
            text.put(b"\"value\":")
                .money(value, self.digits)
                .put(b",\"currency\":")
                .put(&self.currency)
                .put(b"}}")
        });
    }

    fn order_value(&self, out: &mut Vec<u8>, change: &OrderValueChange) {
        self.append(out, |text| {
            text.put(b"\"ratio\":")
                .ratio(change.ratio)
                .put(b",\"recent\":")
                .mean_money(change.recent, self.digits)
                .put(b",\"earlier\":")
                .mean_money(change.earlier, self.digits)
                .put(b"}}")
        });
    }

    fn cancelled(&self, out: &mut Vec<u8>, value: Option<i64>, net: i64) {
        self.append(out, |text| {
            text.put(b"\"value\":")
                .optional(value, |text, value| text.money(value, self.digits))
                .put(b",\"net\":")
                .money(net, self.digits)
                .put(b",\"order_id\":")
        });
        json::optional_string(out, self.record.map(|record| record.id));
        out.extend_from_slice(b"}}");
    }

    fn returned(&self, out: &mut Vec<u8>, refund: i64, order: Option<&ReturnedOrder>) {
        let order_id = match self.record.map(|record| record.kind) {
            Some(RecordKind::Return { order_id }) => order_id,
            Some(RecordKind::Order { .. } | RecordKind::Cancellation) | None => None,
        };
        self.append(out, |text| text.put(b"\"refund\":").money(refund, self.digits).put(b",\"order_id\":"));
        json::optional_string(out, order_id);
        let Some(order) = order else {
            out.extend_from_slice(
                b",\"order_placed_at\":null,\"order_kept\":null,\"days_since_order\":null}}",
            );
            return;
        };
        append::<PART_ROOM>(out, |text| {
            text.put(b",\"order_placed_at\":")
                .time(order.placed_at)
                .put(b",\"order_kept\":")
                .word(words::bool_then_days(order.kept))
                .days(order.after)
                .put(b"}}")
        });
    }

    fn silence(&self, out: &mut Vec<u8>, silence: &Silence) {
        self.append(out, |text| {
            text.put(b"\"deadline\":")
                .time(silence.deadline)
                .put(b",\"last_order_at\":")
                .time(silence.last_order_at)
                .put(b",\"silence_days\":")
                .days(silence.deadline.since(silence.last_order_at))
                .put(b",\"expected_gap_days\":")
                .optional(silence.expected_gap, Text::ratio)
                .put(b"}}")
        });
    }

    fn frequency(&self, out: &mut Vec<u8>, change: &FrequencyChange) {
        self.append(out, |text| {
            text.put(b"\"ratio\":")
                .ratio(change.ratio)
                .put(b",\"recent\":")
                .ratio(change.recent)
                .put(b",\"earlier\":")
                .ratio(change.earlier)
                .put(b"}}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lapse::PolicyId;
    use crate::domain::settings::Shop;
    use crate::domain::signals::kind::SignalType;
    use crate::domain::signals::signal::{OpenAlert, RetractedKind};
    use crate::domain::values::event::VERSION_LIMIT;
    use crate::domain::values::ids::{CustomerSlot, OrderHash, ReturnHash, ShopIndex};
    use crate::domain::values::money::Currency;
    use crate::domain::values::number::Ratio;
    use crate::domain::values::time::{Span, Time, Zone};

    #[test]
    fn the_longest_signals_have_their_room() {
        let ratio = Ratio::new(i128::MIN / 1_000_000, 1).expect("a positive denominator");
        let mean = Ratio::new(i64::MIN, 1).expect("a positive denominator");
        let silence = Silence { deadline: Time::MIN, last_order_at: Time::MAX, expected_gap: Some(ratio) };
        let frequency = FrequencyChange { ratio, recent: ratio, earlier: ratio };
        let order_value = OrderValueChange { ratio, recent: mean, earlier: mean };
        let emitted = OpenAlert { deadline: Time::MAX, record: None };
        let returned =
            ReturnedOrder { placed_at: Time::MAX, kept: false, after: Span::from_millis(i64::MIN) };
        let amount = i64::MIN;
        let kinds = [
            SignalKind::FirstOrder { value: amount },
            SignalKind::SecondOrder { value: amount },
            SignalKind::AtRisk(silence),
            SignalKind::Lapsed(silence),
            SignalKind::Recovered { away: Some(Span::from_millis(i64::MIN)) },
            SignalKind::WonBack { away: None },
            SignalKind::LapseRetracted { retracted: RetractedKind::AtRisk, emitted },
            SignalKind::FrequencyFell(frequency),
            SignalKind::FrequencyRose(frequency),
            SignalKind::OrderValueFell(order_value),
            SignalKind::OrderValueRose(order_value),
            SignalKind::ReturnRateHigh {
                ratio: Some(ratio),
                refunded: amount,
                gross: amount,
                placed: u32::MAX,
            },
            SignalKind::OrderCancelled { order: OrderHash(0), value: Some(amount), net: amount },
            SignalKind::OrderReturned { returned: ReturnHash(0), refund: amount, order: Some(returned) },
            SignalKind::BecameProspect,
        ];
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let shops = Shops::One(Shop { currency, zone: Zone::utc(), conversions: Vec::new() });
        let encoder = SignalEncoder::new(&shops);
        let policy = PolicyId { name: "cadence", version: 0x0123_4567_89ab_cdef };
        let kind = RecordKind::Order { version: VERSION_LIMIT - 1 };
        let record = RecordContext { kind, id: "o1", at: Time::MIN, store_id: None };
        for (kind, name) in kinds.into_iter().zip(SignalType::NAMES) {
            for cause in [Cause::Deadline(Time::MAX), Cause::Cancelled(OrderHash(0))] {
                let signal = Signal {
                    customer: CustomerSlot(0),
                    shop: ShopIndex(0),
                    kind: kind.clone(),
                    occurred_at: Time::MAX,
                    before: State::Prospect,
                    after: State::Prospect,
                    cause,
                    policy,
                };
                let mut out = Vec::new();
                let id = encoder.encode(b"c1", &signal, Some(&record), &mut out);
                let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
                assert_eq!((&json["id"], &json["type"]), (&id.to_string().into(), &name.into()));
                assert_eq!(json["policy"]["version"], "0123456789abcdef");
            }
        }
    }
}
