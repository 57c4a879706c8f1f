//! From the bytes of a record to a validated event, or to the reason why not.
//!
//! The checks come in one order, so that a record with several faults always has the same reason: size, null, UTF-8, depth, form of
//! the JSON, then the fields: what kind of event it is, its store, its customer and key, its own fields. Nothing is
//! guessed, and nothing is allocated unless a string holds escapes.

mod amount;
mod characters;
mod depth;
mod event;
mod items;
mod object;
mod registry_prefix;
mod scan;
mod time;
mod value;

use std::borrow::Cow;
use std::sync::Arc;

pub use event::{CustomerEvent, Event, GuestEvent, Subject};
pub use time::from_rfc3339;
pub use value::ID_BYTES_MAX;

use characters::Characters;
use items::Skus;
use object::{Field, Object};
use registry_prefix::without_registry_prefix;
use value::{Value, refuse};

use crate::domain::settings::{Settings, Shops};
use crate::domain::values::event::{
    CancellationRecord, ErasureRecord, GuestRecord, OrderRecord, Record, ReturnRecord,
};
use crate::domain::values::ids::{CustomerKey, OrderHash, ReturnHash, ShopIndex};
use crate::domain::values::money::{Currency, SentAmount};
use crate::domain::values::time::Time;
use crate::formats::{Format, NativeRecord};
use crate::topic::Input;
use crate::wire::hash::hash;
use crate::wire::reason::{Reason, Refusal};

/// How large and how deep a record may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Of key and value together.
    pub bytes_max: usize,
    /// Objects and arrays inside each other.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 1 << 20, depth_max: 32 }
    }
}

/// Lines of a file that are native records of one input already.
#[derive(Clone, Copy, Debug)]
pub struct NativeLines(pub Input);

impl Format for NativeLines {
    type Source = [u8];

    fn records(
        &self,
        line: &[u8],
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        each(NativeRecord { input: self.0, value: line })
    }
}

/// Reads records as the configured shops send them.
#[derive(Clone, Debug)]
pub struct Decoder {
    shops: Shops,
    limits: Limits,
    /// By shop: looking a currency up takes longer than all the rest of reading an amount.
    own_currencies: Box<[OwnCurrency]>,
    /// Hashes of the SKUs that rules watch, sorted.
    watched: Arc<[u64]>,
}

#[derive(Clone, Copy, Debug)]
struct OwnCurrency {
    currency: Currency,
    code: [u8; 3],
    digits: u8,
}

impl Decoder {
    pub fn new(shops: Shops, limits: Limits) -> Self {
        let own = |index| {
            let currency = shops.get(index).currency;
            OwnCurrency { currency, code: currency.code(), digits: currency.digits() }
        };
        Self { own_currencies: shops.indexes().map(own).collect(), shops, limits, watched: Arc::default() }
    }

    /// Of the records that an engine with these settings applies: it also tells which SKUs an order holds that rules watch.
    pub fn of(settings: &Settings, limits: Limits) -> Self {
        let watched = settings.rules.as_ref().map(|rules| Arc::clone(rules.watched())).unwrap_or_default();
        Self { watched, ..Self::new(settings.shops.clone(), limits) }
    }

    /// The shops whose records are read.
    pub fn shops(&self) -> &Shops {
        &self.shops
    }

    /// How large and how deep a record may be.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Reads one record. What depends on the clock, the partition or the customer's history is not checked here.
    pub fn decode<'a>(
        &self,
        input: Input,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Event<'a>, Refusal> {
        let bytes = self.sized(key, value)?;
        let object = Object::empty(characters(bytes)?, &self.watched);
        let mut record = Incoming { decoder: self, key, customer: None, object };
        self.fill(&mut record.object, bytes)?;
        record.event(input)
    }

    /// The same without the fast pass over usual records, which must make no difference.
    #[cfg(feature = "faults")]
    pub fn decode_in_general<'a>(
        &self,
        input: Input,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Event<'a>, Refusal> {
        let bytes = self.sized(key, value)?;
        let object = Object::empty(characters(bytes)?, &self.watched);
        let mut record = Incoming { decoder: self, key, customer: None, object };
        self.fill_in_general(&mut record.object, bytes)?;
        record.event(input)
    }

    /// Reads a record of a file. It has no record key: it counts as sent with the key of its customer, which is written to `key`.
    /// `customer` is used for a record that names none.
    pub fn decode_line<'a>(
        &self,
        record: NativeRecord<'a>,
        customer: Option<&'a str>,
        key: &'a mut Vec<u8>,
    ) -> Result<Event<'a>, Refusal> {
        let bytes = self.sized(None, Some(record.value))?;
        let mut object = Object::empty(characters(bytes)?, &self.watched);
        self.fill(&mut object, bytes)?;
        key.clear();
        // What is wrong with these ids is found when they are read as fields.
        let id = |field: Field| object.get(field).and_then(|value| value.id(field.name()).ok().flatten());
        if let Shops::ByStore(_) = self.shops {
            key.extend_from_slice(id(Field::StoreId).unwrap_or_default().as_bytes());
            key.push(b'/');
        }
        let customer_id = id(Field::CustomerId);
        key.extend_from_slice(customer_id.as_deref().or(customer).unwrap_or_default().as_bytes());
        let mut event = Incoming { decoder: self, key: Some(key), customer, object }.event(record.input)?;
        if let Subject::Guest(guest) = &mut event.subject {
            guest.key = None;
        }
        Ok(event)
    }

    /// The JSON of the value, unless that is too large.
    fn sized<'a>(&self, key: Option<&[u8]>, value: Option<&'a [u8]>) -> Result<&'a [u8], Refusal> {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if bytes > self.limits.bytes_max {
            let detail = format!("{bytes} bytes, allowed are {}", self.limits.bytes_max);
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let value = value.ok_or_else(|| Refusal::new(Reason::NullValue, "the value is null"))?;
        Ok(without_registry_prefix(value))
    }

    fn fill<'a>(&self, object: &mut Object<'a, '_>, bytes: &'a [u8]) -> Result<(), Refusal> {
        if object.fill_usual(bytes, self.limits.depth_max) {
            return Ok(());
        }
        self.fill_in_general(object, bytes)
    }

    #[inline(never)]
    fn fill_in_general<'a>(&self, object: &mut Object<'a, '_>, bytes: &'a [u8]) -> Result<(), Refusal> {
        let depth_max = self.limits.depth_max;
        if depth::exceeds(bytes, depth_max) {
            return Err(Refusal::new(Reason::TooDeep, format!("more than {depth_max} levels deep")));
        }
        object.fill(std::str::from_utf8(bytes).expect("its characters were looked at"))
    }
}

fn characters(bytes: &[u8]) -> Result<Characters, Refusal> {
    Characters::of(bytes).map_err(|error| {
        Refusal::new(Reason::InvalidUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to()))
    })
}

/// A record on its way in.
struct Incoming<'s, 'a> {
    decoder: &'s Decoder,
    key: Option<&'a [u8]>,
    /// Whose record it is if it names no customer itself.
    customer: Option<&'a str>,
    object: Object<'a, 's>,
}

impl<'a> Incoming<'_, 'a> {
    fn event(&mut self, input: Input) -> Result<Event<'a>, Refusal> {
        match input {
            Input::Orders => self.order_or_cancellation(),
            Input::Returns => self.returned(),
            Input::Erasures => self.erasure(),
        }
    }

    fn order_or_cancellation(&mut self) -> Result<Event<'a>, Refusal> {
        match (self.object.get(Field::PlacedAt), self.object.get(Field::CancelledAt)) {
            (Some(placed_at), None) => self.order(placed_at),
            (None, Some(cancelled_at)) => self.cancellation(cancelled_at),
            (Some(_), Some(_)) => Err(Refusal::new(Reason::InvalidEvent, "both placed_at and cancelled_at")),
            (None, None) => Err(Refusal::new(Reason::InvalidEvent, "neither placed_at nor cancelled_at")),
        }
    }

    fn order(&mut self, placed_at: Value<'a>) -> Result<Event<'a>, Refusal> {
        let origin = self.origin()?;
        let id = self.required_id(Field::OrderId)?;
        let placed_at = placed_at.time(Field::PlacedAt.name())?;
        let (currency, total) = self.money(origin.shop, Field::Total)?;
        let version = self.optional(Field::Version, Value::version)?.unwrap_or(0);
        let test = self.optional(Field::Test, Value::bool)?.unwrap_or(false);
        let Skus { variety, watched } = self.object.take_skus()?;
        let subject = match origin.customer {
            None => {
                let order = OrderHash(hash(id.as_bytes()));
                self.guest(id, GuestRecord::Order { id: order, placed_at, total, currency, test })
            }
            Some(key) => Subject::Customer(CustomerEvent {
                key,
                record: Record::Order(OrderRecord {
                    id: OrderHash(hash(id.as_bytes())),
                    version,
                    placed_at,
                    total,
                    currency,
                    test,
                    skus: variety,
                    watched,
                }),
                id,
            }),
        };
        Ok(Event { shop: origin.shop, store_id: origin.store_id, named_order: None, subject })
    }

    fn cancellation(&self, cancelled_at: Value<'a>) -> Result<Event<'a>, Refusal> {
        let (shop, store_id, key) = self.customer_origin()?;
        let id = self.required_id(Field::OrderId)?;
        let record = Record::Cancellation(CancellationRecord {
            order: OrderHash(hash(id.as_bytes())),
            cancelled_at: cancelled_at.time(Field::CancelledAt.name())?,
            version: self.optional(Field::Version, Value::version)?,
        });
        let subject = Subject::Customer(CustomerEvent { key, id, record });
        Ok(Event { shop, store_id, named_order: None, subject })
    }

    fn returned(&self) -> Result<Event<'a>, Refusal> {
        let origin = self.origin()?;
        let id = self.required_id(Field::ReturnId)?;
        let returned_at = self.required_time(Field::ReturnedAt)?;
        let (currency, refund) = self.money(origin.shop, Field::Refund)?;
        let named_order = self.optional_id(Field::OrderId)?;
        let subject = match origin.customer {
            None => self.guest(id, GuestRecord::Return { returned_at, refund, currency }),
            Some(key) => Subject::Customer(CustomerEvent {
                key,
                record: Record::Return(ReturnRecord {
                    id: ReturnHash(hash(id.as_bytes())),
                    returned_at,
                    refund,
                    currency,
                    order: named_order.as_ref().map(|order| OrderHash(hash(order.as_bytes()))),
                }),
                id,
            }),
        };
        Ok(Event { shop: origin.shop, store_id: origin.store_id, named_order, subject })
    }

    fn erasure(&self) -> Result<Event<'a>, Refusal> {
        let (shop, store_id, key) = self.customer_origin()?;
        let record = ErasureRecord { requested_at: self.required_time(Field::RequestedAt)? };
        Ok(Event { shop, store_id, named_order: None, subject: Subject::Erasure { key, record } })
    }

    fn guest(&self, id: Cow<'a, str>, record: GuestRecord) -> Subject<'a> {
        Subject::Guest(GuestEvent { key: self.key.filter(|key| !key.is_empty()), id, record })
    }

    // === Whose record it is ===

    #[inline(always)]
    fn origin(&self) -> Result<Origin<'a>, Refusal> {
        let store_id = self.optional_id(Field::StoreId)?;
        if store_id.as_ref().is_some_and(|id| id.as_bytes().contains(&b'/')) {
            return Err(refuse(Reason::InvalidField, Field::StoreId.name(), "holds a '/'"));
        }
        let shop = self.shop(store_id.as_deref())?;
        let customer_id = self.optional(Field::CustomerId, Value::id_bytes)?.flatten();
        let customer = match customer_id.or(self.customer.map(|id| Cow::Borrowed(id.as_bytes()))) {
            Some(customer_id) => Some(self.customer_key(store_id.as_deref(), &customer_id)?),
            None => None,
        };
        Ok(Origin { shop, store_id, customer })
    }

    /// The same for records that need a customer.
    fn customer_origin(&self) -> Result<(ShopIndex, Option<Cow<'a, str>>, CustomerKey<'a>), Refusal> {
        let Origin { shop, store_id, customer } = self.origin()?;
        let key = customer
            .ok_or_else(|| refuse(Reason::MissingField, Field::CustomerId.name(), "is missing or empty"))?;
        Ok((shop, store_id, key))
    }

    #[inline]
    fn shop(&self, store_id: Option<&str>) -> Result<ShopIndex, Refusal> {
        match &self.decoder.shops {
            Shops::One(_) => Ok(ShopIndex(0)),
            Shops::ByStore(stores) => {
                let store_id = store_id.ok_or_else(|| missing(Field::StoreId))?;
                let index = stores
                    .binary_search_by(|(id, _)| id.as_ref().cmp(store_id))
                    .map_err(|_| refuse(Reason::UnknownStore, Field::StoreId.name(), "is not configured"))?;
                Ok(ShopIndex(u16::try_from(index).expect("configuration bounds the number of stores")))
            }
        }
    }

    /// The record key, which must name the customer, or partitions and joins would be wrong.
    #[inline]
    fn customer_key(&self, store_id: Option<&str>, customer_id: &[u8]) -> Result<CustomerKey<'a>, Refusal> {
        let key = self.key.unwrap_or_default();
        let (matches, expected) = match &self.decoder.shops {
            Shops::One(_) => (key == customer_id, "customer_id"),
            Shops::ByStore(_) => {
                let store_id = store_id.unwrap_or_default().as_bytes();
                let rest = key.strip_prefix(store_id).and_then(|rest| rest.strip_prefix(b"/"));
                (rest == Some(customer_id), "store_id/customer_id")
            }
        };
        if !matches {
            let is_not = if key.is_empty() { "missing; it must be" } else { "not" };
            let detail = format!("the record key is {is_not} {expected}");
            return Err(Refusal::new(Reason::KeyMismatch, detail));
        }
        Ok(CustomerKey { bytes: key, hash: hash(key) })
    }

    // === Fields ===

    #[inline(always)]
    fn optional<T>(
        &self,
        field: Field,
        read: impl FnOnce(Value<'a>, &'static str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        self.object.get(field).map(|value| read(value, field.name())).transpose()
    }

    /// An id that may be absent, null or empty.
    #[inline(always)]
    fn optional_id(&self, field: Field) -> Result<Option<Cow<'a, str>>, Refusal> {
        Ok(self.optional(field, Value::id)?.flatten())
    }

    #[inline(always)]
    fn required_id(&self, field: Field) -> Result<Cow<'a, str>, Refusal> {
        match self.optional(field, Value::id)? {
            Some(Some(id)) => Ok(id),
            Some(None) => Err(refuse(Reason::InvalidField, field.name(), "is empty")),
            None => Err(missing(field)),
        }
    }

    fn required_time(&self, field: Field) -> Result<Time, Refusal> {
        self.optional(field, Value::time)?.ok_or_else(|| missing(field))
    }

    /// The currency and the amount in its minor units.
    fn money(&self, shop: ShopIndex, field: Field) -> Result<(Currency, SentAmount), Refusal> {
        let code = self.object.get(Field::Currency).ok_or_else(|| missing(Field::Currency))?;
        let own = &self.decoder.own_currencies[usize::from(shop.0)];
        let (currency, digits) = if code.is_code(own.code) {
            (own.currency, own.digits)
        } else {
            let currency = self.other_currency(shop, code)?;
            (currency, currency.digits())
        };
        let value = self.object.get(field).ok_or_else(|| missing(field))?;
        Ok((currency, value.amount(field.name(), digits)?))
    }

    #[inline(never)]
    fn other_currency(&self, shop: ShopIndex, code: Value<'a>) -> Result<Currency, Refusal> {
        let name = Field::Currency.name();
        let currency = code.currency(name)?;
        self.decoder.shops.get(shop).accepted(currency).ok_or_else(|| {
            let what = if currency.has_digits() {
                "has no rate in the configuration"
            } else {
                "is not an ISO 4217 code, and the configuration does not declare it"
            };
            refuse(Reason::UnknownCurrency, name, what)
        })
    }
}

/// The shop, the store as named, and the customer unless it is a guest's.
struct Origin<'a> {
    shop: ShopIndex,
    store_id: Option<Cow<'a, str>>,
    customer: Option<CustomerKey<'a>>,
}

#[cold]
fn missing(field: Field) -> Refusal {
    refuse(Reason::MissingField, field.name(), "is missing")
}
