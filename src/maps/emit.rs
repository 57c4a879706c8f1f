//! What a program emits → records of input topics, each checked as the service itself will read it.

use jaq_json::{Num, Val};

use super::amount::Amount;
use super::{EMITTED_MAX, Map, Mapped, or_list, times};
use crate::config::suggest;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::formats::NativeRecord;
use crate::formats::native::Decoder;
use crate::topic::Input;
use crate::wire::reason::{Reason, Refusal};

/// What a record tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    Order,
    Cancellation,
    Return,
    Erasure,
}

impl EventKind {
    pub const ALL: [Self; 4] = [Self::Order, Self::Cancellation, Self::Return, Self::Erasure];

    /// As programs and labels name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cancellation => "cancellation",
            Self::Return => "return",
            Self::Erasure => "erasure",
        }
    }

    /// The input that it is a record of.
    pub const fn input(self) -> Input {
        match self {
            Self::Order | Self::Cancellation => Input::Orders,
            Self::Return => Input::Returns,
            Self::Erasure => Input::Erasures,
        }
    }

    const fn fields(self) -> &'static [Field] {
        use Field::{Bool, Id, Items, Money, Note, Skus, Version};
        const CUSTOMER: Field = Id("customer_id");
        const STORE: Field = Id("store_id");
        const CURRENCY: Field = Note("currency");
        match self {
            Self::Order => &[
                CUSTOMER,
                STORE,
                Id("order_id"),
                Field::Time("placed_at"),
                CURRENCY,
                Money("total"),
                Version,
                Bool("test"),
                Items,
                Skus,
            ],
            Self::Cancellation => {
                &[CUSTOMER, STORE, Id("order_id"), Field::Time("cancelled_at"), Version, Note("reason")]
            }
            Self::Return => &[
                CUSTOMER,
                STORE,
                Id("return_id"),
                Id("order_id"),
                Field::Time("returned_at"),
                CURRENCY,
                Money("refund"),
                Note("reason"),
                Items,
                Skus,
            ],
            Self::Erasure => &[CUSTOMER, STORE, Field::Time("requested_at")],
        }
    }
}

/// A field that a program may emit, by how it is written.
#[derive(Clone, Copy)]
enum Field {
    Id(&'static str),
    Time(&'static str),
    Money(&'static str),
    Bool(&'static str),
    /// Any text.
    Note(&'static str),
    Version,
    Items,
    /// A list of SKUs, short for items.
    Skus,
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Self::Id(name) | Self::Time(name) | Self::Money(name) | Self::Bool(name) | Self::Note(name) => {
                name
            }
            Self::Version => "version",
            Self::Items => "items",
            Self::Skus => "skus",
        }
    }
}

/// A native record that a map has emitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappedRecord {
    pub kind: EventKind,
    /// The record key, as the service demands it; none for a guest.
    pub key: Option<Vec<u8>>,
    /// JSON.
    pub value: Vec<u8>,
    /// When it happened.
    pub time: Time,
}

impl MappedRecord {
    /// Whose topic it belongs to.
    pub const fn input(&self) -> Input {
        self.kind.input()
    }
}

/// Collects what a program emits for one source record.
pub(super) struct Emitter<'m> {
    map: &'m Map,
    decoder: &'m Decoder,
    mapped: Mapped,
}

impl<'m> Emitter<'m> {
    pub(super) fn new(map: &'m Map, decoder: &'m Decoder) -> Self {
        Self { map, decoder, mapped: Mapped::default() }
    }

    pub(super) fn add(&mut self, output: &Val) -> Result<(), Refusal> {
        let emitted = self.mapped.records.len() + self.mapped.skipped.len();
        if emitted == EMITTED_MAX {
            let detail = format!("the map emits more than {EMITTED_MAX} records for it");
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let Val::Obj(object) = output else {
            return Err(not_understood());
        };
        let get = |name: &str| object.get(&Val::from(name.to_owned()));
        match (get("event").and_then(text), get("skip").and_then(text)) {
            (Some(event), None) => {
                let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == event).ok_or_else(|| {
                    let detail = format!(
                        "an emitted event is none of {}",
                        or_list(EventKind::ALL.map(EventKind::name))
                    );
                    Refusal::new(Reason::InvalidEvent, detail)
                })?;
                let record = self.record(kind, output)?;
                self.mapped.records.push(record);
            }
            (None, Some(skip)) if object.len() == 1 => {
                let reason = self.map.skip_reasons().iter().position(|reason| reason == skip);
                self.mapped.skipped.push(reason.ok_or_else(|| {
                    Refusal::new(
                        Reason::Unmapped,
                        "the reason of a skip is not written in the map as a text behind skip:",
                    )
                })?);
            }
            _ => return Err(not_understood()),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Mapped, Refusal> {
        if self.mapped.records.is_empty() && self.mapped.skipped.is_empty() {
            return Err(Refusal::new(Reason::Unmapped, "the map emits nothing for it"));
        }
        Ok(self.mapped)
    }

    fn record(&self, kind: EventKind, output: &Val) -> Result<MappedRecord, Refusal> {
        let value = self.native(kind, output)?;
        let mut key = Vec::new();
        let native = NativeRecord { input: kind.input(), value: &value };
        let event = self.decoder.decode_line(native, None, &mut key)?;
        let (time, is_guest) = (event.time(), event.customer_key().is_none());
        Ok(MappedRecord { kind, key: (!is_guest).then_some(key), value, time })
    }

    /// The JSON of an emitted record. Ids become texts, times UTC, and amounts have the digits of their currency, if they can.
    fn native(&self, kind: EventKind, output: &Val) -> Result<Vec<u8>, Refusal> {
        let Val::Obj(object) = output else { return Err(not_understood()) };
        let currency = object.get(&Val::from("currency".to_owned())).and_then(text);
        let currency = currency.and_then(|code| Currency::from_letters(code.as_bytes()));
        let digits =
            currency.and_then(|currency| self.decoder.shops().with_digits(currency)).map(Currency::digits);
        let mut json = vec![b'{'];
        for (name, value) in object.iter() {
            let name = text(name).unwrap_or_default();
            // Null is absent, and what is no test order need not say so.
            let is_absent = matches!((name, value), (_, Val::Null) | ("test", Val::Bool(false)));
            if name == "event" || is_absent {
                continue;
            }
            let Some(field) = kind.fields().iter().find(|field| field.name() == name) else {
                return Err(unknown_field(kind, name));
            };
            if json.len() > 1 {
                json.push(b',');
            }
            let written = if matches!(field, Field::Skus) { "items" } else { name };
            json.extend_from_slice(format!("\"{written}\":").as_bytes());
            write(&mut json, *field, value, digits)?;
        }
        let has_store =
            object.get(&Val::from("store_id".to_owned())).is_some_and(|store| !matches!(store, Val::Null));
        if let Some(store) = self.map.store.as_deref().filter(|_| !has_store) {
            json.extend_from_slice(if json.len() > 1 { b",\"store_id\":" } else { b"\"store_id\":" });
            put_text(&mut json, store);
        }
        json.push(b'}');
        Ok(json)
    }
}

fn not_understood() -> Refusal {
    Refusal::new(Reason::InvalidEvent, "the map emits what is neither {event: …} nor {skip: …} alone")
}

/// The name is from the program, or else not shown.
fn unknown_field(kind: EventKind, name: &str) -> Refusal {
    let names = || kind.fields().iter().map(|field| field.name());
    let hint =
        suggest::nearest(name, names()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    let detail = format!("the map emits a field that no {} has{hint}", kind.name());
    Refusal::new(Reason::InvalidField, detail)
}

fn text(value: &Val) -> Option<&str> {
    match value {
        Val::TStr(text) => std::str::from_utf8(text).ok(),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}

fn write(json: &mut Vec<u8>, field: Field, value: &Val, digits: Option<u8>) -> Result<(), Refusal> {
    match (field, value) {
        (Field::Id(_), Val::Num(number @ (Num::Int(_) | Num::BigInt(_))))
            if !matches!(number, Num::Int(..0)) =>
        {
            put_text(json, &number.to_string());
            Ok(())
        }
        (Field::Time(_), Val::TStr(_) | Val::Num(Num::Int(_))) => {
            match times::of(value) {
                Some(time) => put_text(json, &times::text(time)),
                // The decoder says what is wrong with it.
                None => return put(json, field, value),
            }
            Ok(())
        }
        (Field::Money(_), Val::TStr(_) | Val::Num(Num::Int(_) | Num::Dec(_))) => {
            let amount = Amount::of(value).ok().flatten();
            let exact = amount.zip(digits).and_then(|(amount, digits)| amount.exactly(u32::from(digits)));
            match exact {
                Some(amount) => put_text(json, &amount.to_string()),
                None => return put(json, field, value),
            }
            Ok(())
        }
        (Field::Version, Val::TStr(_)) => match times::of(value) {
            Some(time) => {
                json.extend_from_slice(time.as_millis().to_string().as_bytes());
                Ok(())
            }
            None => Err(Refusal::new(Reason::InvalidTime, "version is a text, and no time with an offset")),
        },
        (Field::Skus, Val::Arr(skus)) => {
            json.push(b'[');
            for (index, sku) in skus.iter().enumerate() {
                json.extend_from_slice(if index == 0 { b"{\"sku\":" } else { b",{\"sku\":" });
                put(json, field, sku)?;
                json.push(b'}');
            }
            json.push(b']');
            Ok(())
        }
        (
            Field::Id(_)
            | Field::Time(_)
            | Field::Money(_)
            | Field::Bool(_)
            | Field::Note(_)
            | Field::Version
            | Field::Items
            | Field::Skus,
            _,
        ) => put(json, field, value),
    }
}

fn put_text(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a Vec takes everything");
}

/// A value as it is; the decoder says whether it fits.
fn put(json: &mut Vec<u8>, field: Field, value: &Val) -> Result<(), Refusal> {
    match value {
        Val::Null => json.extend_from_slice(b"null"),
        Val::Bool(value) => json.extend_from_slice(if *value { b"true" } else { b"false" }),
        Val::Num(Num::Float(_)) => {
            let detail = format!(
                "{} was computed with + - * or /, which are not exact; use the filters money_…",
                field.name()
            );
            return Err(Refusal::new(Reason::InvalidAmount, detail));
        }
        Val::Num(number @ (Num::Int(_) | Num::BigInt(_) | Num::Dec(_))) => {
            json.extend_from_slice(number.to_string().as_bytes());
        }
        Val::TStr(_) => match text(value) {
            Some(text) => put_text(json, text),
            None => return Err(Refusal::new(Reason::InvalidUtf8, format!("{} is no UTF-8", field.name()))),
        },
        Val::BStr(_) => {
            return Err(Refusal::new(Reason::InvalidType, format!("{} holds bytes", field.name())));
        }
        Val::Arr(elements) => {
            json.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                put(json, field, element)?;
            }
            json.push(b']');
        }
        Val::Obj(fields) => {
            json.push(b'{');
            for (index, (name, value)) in fields.iter().enumerate() {
                let Some(name) = text(name) else {
                    return Err(Refusal::new(
                        Reason::InvalidType,
                        format!("{} has a name that is no text", field.name()),
                    ));
                };
                if index > 0 {
                    json.push(b',');
                }
                put_text(json, name);
                json.push(b':');
                put(json, field, value)?;
            }
            json.push(b'}');
        }
    }
    Ok(())
}
