//! Signals as JSON: what happened to a customer, when, why and under which policy.

use super::context::{RecordContext, RecordKind};
use super::fields::{
    Count, Currency, Days, Field, FieldType, Flag, Id, Id128, MeanDays, MeanMoney, Money, Named, Nullable,
    Shape, Share, SignedDays, SignedMoney, StoreId, Time, Version, record,
};
use super::policy::Policy;
use super::rule::{self, RuleData};
use super::segment::SegmentChange;
use super::shops::ShopTexts;
use super::text::{Text, append};
use super::tier::{self, TierChange};
use crate::domain::settings::Shops;
use crate::domain::signals::kind::{CauseKind, SignalKind, SignalType};
use crate::domain::signals::signal as domain;
use crate::domain::signals::signal::{Cause, RetractedKind, ReturnedOrder, Signal, State};
use crate::domain::values::money::{self, ShopAmount};
use crate::domain::values::number::Ratio;
use crate::domain::values::time;
use crate::wire::hash::SignalId;

record! {
    /// Something happened to a customer: what, when, why and under which policy.
    SignalRecord(of: &'v Parts<'v>) {
        /// Identifies the signal; also the ce_id header.
        "id": Id128 = of.id;
        /// What happened.
        "type": Named<SignalType> = of.signal.kind.signal_type();
        /// The customer. Null of a rule on an order of a guest.
        "customer_id": Nullable<Id> = of.customer_id;
        /// The store. With the key form 'customer_id' it is the store that the causing record names, and null for signals of the clock.
        "store_id": Nullable<StoreId> = of.store_id;
        /// When it happened: the causing record's time, the deadline, or the instant of the expiry or boundary; of a rule, when it fires.
        "occurred_at": Time = of.signal.occurred_at;
        /// The customer's lifecycle state around what caused the signal: prospect (no kept order), active, at_risk or lapsed (by the length
        /// of the silence since the last kept order).
        "state": StateChange = of.signal;
        /// Which rules the lifecycle followed.
        "policy": Policy = of.signal.policy;
        /// What caused the signal: a record, or the clock.
        "cause": CauseRecord = of;
        /// The numbers behind it, by type.
        "data": Data = of;
    }
}

record! {
    /// The state around a signal.
    StateChange(signal: &'v Signal) {
        /// The state before the record or instant. Null of a guest.
        "before": Nullable<Named<State>> = signal.customer.map(|_| signal.before);
        /// The state from now on. Null of a guest.
        "after": Nullable<Named<State>> = signal.customer.map(|_| signal.after);
    }
}

record! {
    /// What caused a signal: a record, or the clock.
    CauseRecord(of: &'v Parts<'v>) {
        /// The kind of record, or the clock: deadline (a silence became too long), expiry (an order or a refund left the 365-day
        /// window) or boundary (a silence went beyond a cut point of segments), or a configured rule.
        "kind": Named<CauseKind> = of.cause_kind();
        /// The record's own id: the order_id of an order or a cancellation, the return_id of a return; of a rule on an order of a guest
        /// its order_id. Null for the clock and all other rules.
        "id": Nullable<Id> = of.record.map(|record| record.id.as_bytes());
        /// The version of the order record; null for all other causes.
        "version": Nullable<Version> = of.version();
        /// The record's time, the deadline, or the instant of the expiry or boundary; of a rule, when it fires.
        "at": Time = of.record.map_or(of.signal.occurred_at, |record| record.at);
    }
}

/// The object under `data`.
pub(super) struct Data;

impl FieldType for Data {
    type Value<'v> = &'v Parts<'v>;
    const SHAPE: Shape = Shape::Data;

    fn put<'o>(text: Text<'o>, of: &Parts<'_>, digits: u8) -> Text<'o> {
        match &of.signal.kind {
            SignalKind::FirstOrder { value } | SignalKind::SecondOrder { value } => {
                OrderValue::put(text, (*value, of.currency), digits)
            }
            SignalKind::AtRisk(silence) | SignalKind::Lapsed(silence) => {
                let text = Silence::put_fields(text, silence, digits);
                let text = match silence.order_probability {
                    Some(probability) => {
                        Share::put(text.put(b",\"order_probability\":"), probability, digits)
                    }
                    None => text,
                };
                text.put(b"}")
            }
            SignalKind::Recovered { away } | SignalKind::WonBack { away } => Away::put(text, *away, digits),
            SignalKind::LapseRetracted { retracted, emitted: _ } => {
                Retraction::put(text, (of.retracts, *retracted), digits)
            }
            SignalKind::FrequencyFell(change) | SignalKind::FrequencyRose(change) => {
                FrequencyChange::put(text, change, digits)
            }
            SignalKind::OrderValueFell(change) | SignalKind::OrderValueRose(change) => {
                OrderValueChange::put(text, change, digits)
            }
            SignalKind::ReturnRateHigh { ratio, refunded, gross, placed } => {
                ReturnRate::put(text, (*ratio, *refunded, *gross, *placed), digits)
            }
            SignalKind::SegmentChanged(change) => SegmentChange::put(text, change, digits),
            SignalKind::TierChanged(change) => TierChange::put(text, change, digits),
            SignalKind::OrderCancelled { order: _, value, net } => {
                CancelledOrder::put(text, (*value, *net, of.record_id()), digits)
            }
            SignalKind::OrderReturned { returned: _, refund, order } => {
                ReturnedGoods::put(text, (*refund, of.named_order(), order.as_ref()), digits)
            }
            SignalKind::BecameProspect => text.put(b"{}"),
            SignalKind::Rule(rule) => RuleData::put(text, rule, digits),
        }
    }
}

/// The fields of a signal.
pub const fn fields() -> &'static [Field] {
    SignalRecord::FIELDS
}

/// The fields under `data` of a type.
pub const fn data_fields(signal_type: SignalType) -> &'static [Field] {
    match signal_type {
        SignalType::FirstOrder | SignalType::SecondOrder => OrderValue::FIELDS,
        SignalType::AtRisk | SignalType::Lapsed => &SILENCE,
        SignalType::Recovered | SignalType::WonBack => Away::FIELDS,
        SignalType::LapseRetracted => Retraction::FIELDS,
        SignalType::FrequencyFell | SignalType::FrequencyRose => FrequencyChange::FIELDS,
        SignalType::OrderValueFell | SignalType::OrderValueRose => OrderValueChange::FIELDS,
        SignalType::ReturnRateHigh => ReturnRate::FIELDS,
        SignalType::SegmentChanged => SegmentChange::FIELDS,
        SignalType::TierChanged => TierChange::FIELDS,
        SignalType::OrderCancelled => CancelledOrder::FIELDS,
        SignalType::OrderReturned => ReturnedGoods::FIELDS,
        SignalType::BecameProspect => &[],
        SignalType::Rule => RuleData::FIELDS,
    }
}

record! {
    /// The data of `first_order` and `second_order`.
    OrderValue(order: (ShopAmount, money::Currency)) {
        /// The net value of the order, in the store's currency.
        "value": Money = order.0;
        /// The store's currency.
        "currency": Currency = order.1;
    }
}

record! {
    /// The data of `at_risk` and `lapsed`.
    Silence(silence: &'v domain::Silence) {
        /// The instant at which the silence became this long.
        "deadline": Time = silence.deadline;
        /// The last kept order: where the silence began.
        "last_order_at": Time = silence.last_order_at;
        /// deadline − last_order_at, in days of 24 hours.
        "silence_days": Days = silence.deadline.since(silence.last_order_at);
        /// The gap between purchases that is expected of this customer, in days, from which the deadline was computed. Null under the
        /// policies 'fixed' and 'model', which expect none.
        "expected_gap_days": Nullable<MeanDays> = silence.expected_gap;
    }
}

/// The data of `at_risk` and `lapsed`, with what only a model tells.
const SILENCE: [Field; 5] = {
    let [deadline, last_order_at, silence_days, expected_gap_days] =
        *Silence::FIELDS.first_chunk().expect("four fields");
    let order_probability = Field {
        name: "order_probability",
        shape: Shape::Optional(&Share::SHAPE),
        about: "The probability of an order within lapse.model.horizon after the deadline. The field is there under the policy 'model'.",
    };
    [deadline, last_order_at, silence_days, expected_gap_days, order_probability]
};

record! {
    /// The data of `recovered` and `won_back`.
    Away(away: Option<time::Span>) {
        /// From the kept order before it to the last kept order, in days of 24 hours. Null if no kept order came before.
        "days_away": Nullable<Days> = away;
    }
}

record! {
    /// The data of `lapse_retracted`.
    Retraction(of: (SignalId, RetractedKind)) {
        /// The id of the signal that is taken back.
        "retracts": Id128 = of.0;
        /// The type of the signal that is taken back.
        "retracted_type": Named<RetractedKind> = of.1;
    }
}

record! {
    /// The data of `frequency_fell` and `frequency_rose`.
    FrequencyChange(change: &'v domain::FrequencyChange) {
        /// recent / earlier.
        "ratio": Share = change.ratio;
        /// The mean of the customer's last three gaps between purchase days, in days.
        "recent": MeanDays = change.recent;
        /// The mean of all gaps before those three, in days.
        "earlier": MeanDays = change.earlier;
    }
}

record! {
    /// The data of `order_value_fell` and `order_value_rose`.
    OrderValueChange(change: &'v domain::OrderValueChange) {
        /// recent / earlier.
        "ratio": Share = change.ratio;
        /// The mean net value of the last three kept orders, in the store's currency, rounded half even.
        "recent": MeanMoney = change.recent;
        /// The mean net value of all kept orders before those three, in the store's currency, rounded half even.
        "earlier": MeanMoney = change.earlier;
    }
}

record! {
    /// The data of `return_rate_high`.
    ReturnRate(year: (Option<Ratio>, ShopAmount, ShopAmount, u32)) {
        /// refunded / gross; null if gross is 0.
        "ratio": Nullable<Share> = year.0;
        /// Refunds of the last 365 days, in the store's currency.
        "refunded": Money = year.1;
        /// The totals of the orders placed in the last 365 days, in the store's currency.
        "gross": Money = year.2;
        /// How many orders were placed in the last 365 days.
        "placed_orders": Count = year.3.into();
    }
}

record! {
    /// The data of `order_cancelled`.
    CancelledOrder(order: (Option<ShopAmount>, ShopAmount, &'v [u8])) {
        /// What the cancellation takes back, in the store's currency: the order's total less what was refunded of it already. Null if
        /// the order has not arrived yet.
        "value": Nullable<Money> = order.0;
        /// What remains: the customer's net revenue of all time after it, in the store's currency.
        "net": SignedMoney = order.1;
        /// The order that was cancelled.
        "order_id": Id = order.2;
    }
}

record! {
    /// The data of `order_returned`.
    ReturnedGoods(of: (ShopAmount, Option<&'v [u8]>, Option<&'v ReturnedOrder>)) {
        /// The money given back, in the store's currency.
        "refund": Money = of.0;
        /// The order that the return record names; null if it names none.
        "order_id": Nullable<Id> = of.1;
        /// When the order was placed to which the return is attributed, named or found; null if it stands without an order.
        "order_placed_at": Nullable<Time> = of.2.map(|order| order.placed_at);
        /// Whether that order is still a kept one: not cancelled and not fully refunded. Null without an order.
        "order_kept": Nullable<Flag> = of.2.map(|order| order.kept);
        /// returned_at − placed_at of that order, in days of 24 hours. Negative if the return bears the earlier time; null without an
        /// order.
        "days_since_order": Nullable<SignedDays> = of.2.map(|order| order.after);
    }
}

/// What a signal is written from.
pub(super) struct Parts<'v> {
    id: SignalId,
    customer_id: Option<&'v [u8]>,
    store_id: Option<&'v [u8]>,
    currency: money::Currency,
    signal: &'v Signal,
    /// The record that caused it; none if the clock did.
    record: Option<&'v RecordContext<'v>>,
    /// Of a retraction alone, else the signal's own id.
    retracts: SignalId,
}

impl Parts<'_> {
    fn cause_kind(&self) -> CauseKind {
        match self.record.map(|record| record.kind) {
            Some(RecordKind::Order { .. }) => CauseKind::Order,
            Some(RecordKind::Cancellation) => CauseKind::Cancellation,
            Some(RecordKind::Return { .. }) => CauseKind::Return,
            Some(RecordKind::GuestOrder { .. }) => CauseKind::Rule,
            None if matches!(self.signal.cause, Cause::Expiry(_)) => CauseKind::Expiry,
            None if matches!(self.signal.cause, Cause::Boundary(_)) => CauseKind::Boundary,
            None if matches!(self.signal.cause, Cause::Rule(_)) => CauseKind::Rule,
            None => CauseKind::Deadline,
        }
    }

    fn version(&self) -> Option<u64> {
        match self.record?.kind {
            RecordKind::Order { version } => Some(version),
            RecordKind::Cancellation | RecordKind::Return { .. } | RecordKind::GuestOrder { .. } => None,
        }
    }

    fn record_id(&self) -> &[u8] {
        self.record.map_or(b"", |record| record.id.as_bytes())
    }

    /// The order that a return names.
    fn named_order(&self) -> Option<&[u8]> {
        match self.record?.kind {
            RecordKind::Return { order_id } => order_id.map(str::as_bytes),
            RecordKind::Order { .. } | RecordKind::Cancellation | RecordKind::GuestOrder { .. } => None,
        }
    }

    /// More than the longest signal takes.
    fn room(&self) -> usize {
        let ids = self.customer_id.map_or(0, <[u8]>::len)
            + self.store_id.map_or(0, <[u8]>::len)
            + 2 * self.record_id().len()
            + self.named_order().map_or(0, <[u8]>::len);
        let names = self.signal.kind.rule().map_or(0, rule::room) + tier::room(&self.signal.kind);
        FIXED_ROOM + ESCAPED * ids + names
    }
}

/// Four times, three numbers of 48 digits or amounts of 24, and names.
const FIXED_ROOM: usize = 768;

/// An escaped byte takes so many.
pub(super) const ESCAPED: usize = 6;

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
    /// clock does not look at it. A guest's has no customer's key.
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
        let shop = self.shops.get(signal.shop);
        let id = match signal.customer {
            Some(_) => SignalId::of(customer_key, signal.kind.name(), &signal.cause, out),
            None => SignalId::of(&shop.guest_key(), signal.kind.name(), &signal.cause, out),
        };
        let retracts = if let SignalKind::LapseRetracted { retracted, emitted } = &signal.kind {
            SignalId::retracted(customer_key, *retracted, *emitted, out)
        } else {
            id
        };
        let record = caused_by_record(&signal.cause)
            .then(|| record.expect("a record's signal is encoded while that record is applied"));
        let parts = Parts {
            id,
            customer_id: signal.customer.map(|_| self.shops.customer_id(customer_key)),
            store_id: shop.store_id.as_deref().or_else(|| Some(record?.store_id?.as_bytes())),
            currency: shop.currency,
            signal,
            record,
            retracts,
        };
        append(out, parts.room(), |text| SignalRecord::put(text, &parts, shop.digits));
        id
    }
}

const fn caused_by_record(cause: &Cause) -> bool {
    match cause {
        Cause::Deadline(_) | Cause::Expiry(_) | Cause::Boundary(_) | Cause::Rule(_) => false,
        Cause::Record(_)
        | Cause::DeadlineByRecord(..)
        | Cause::Cancelled(_)
        | Cause::Returned(_)
        | Cause::Retraction(..)
        | Cause::GuestRule(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment;
    use super::*;
    use crate::domain::lapse::PolicyId;
    use crate::domain::settings::Shop;
    use crate::domain::signals::signal::{FrequencyChange, OpenAlert, OrderValueChange, Silence};
    use crate::domain::values::event::VERSION_LIMIT;
    use crate::domain::values::ids::{CustomerSlot, OrderHash, ReturnHash, ShopIndex};
    use crate::domain::values::money::Currency;
    use crate::domain::values::number::Ratio;
    use crate::domain::values::time::{Span, Time, Zone};

    #[test]
    fn the_longest_signals_have_their_room() {
        let ratio = Ratio::new(i128::MIN / 1_000_000, 1).expect("a positive denominator");
        let mean = Ratio::new(i64::MIN, 1).expect("a positive denominator");
        let silence = Silence {
            deadline: Time::MIN,
            last_order_at: Time::MAX,
            expected_gap: Some(ratio),
            order_probability: Some(ratio),
        };
        let frequency = FrequencyChange { ratio, recent: ratio, earlier: ratio };
        let order_value = OrderValueChange { ratio, recent: mean, earlier: mean };
        let emitted = OpenAlert { deadline: Time::MAX, record: None };
        let returned =
            ReturnedOrder { placed_at: Time::MAX, kept: false, after: Span::from_millis(i64::MIN) };
        let amount = ShopAmount(i64::MIN);
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
            SignalKind::SegmentChanged(segment::longest()),
            SignalKind::TierChanged(tier::longest()),
            SignalKind::OrderCancelled { order: OrderHash(0), value: Some(amount), net: amount },
            SignalKind::OrderReturned { returned: ReturnHash(0), refund: amount, order: Some(returned) },
            SignalKind::BecameProspect,
            SignalKind::Rule(Box::new(rule::longest())),
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
                    customer: Some(CustomerSlot(0)),
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
