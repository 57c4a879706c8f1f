//! What a record says, once it is decoded.

use std::borrow::Cow;

use crate::domain::values::event::{ErasureRecord, GuestRecord, Record};
use crate::domain::values::ids::{CustomerKey, ShopIndex};
use crate::domain::values::time::Time;
use crate::wire::remark::Remark;

/// An earlier time is most likely one in seconds, taken for milliseconds.
const YEAR_2000_MILLIS: i64 = 946_684_800_000;

/// A record that can be applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    pub shop: ShopIndex,
    /// As the record names it, if it does.
    pub store_id: Option<Cow<'a, str>>,
    /// The order that a return names, if it names one.
    pub named_order: Option<Cow<'a, str>>,
    pub subject: Subject<'a>,
}

impl Event<'_> {
    /// The business time by which inputs are merged and the clock moves.
    pub fn time(&self) -> Time {
        match &self.subject {
            Subject::Customer(event) => event.record.time(),
            Subject::Erasure { record, .. } => record.requested_at,
            Subject::Guest(event) => event.record.time(),
        }
    }

    /// What is worth a remark, whatever becomes of it.
    #[inline]
    pub fn remarks(&self) -> impl Iterator<Item = Remark> {
        let is_early = self.time().as_millis() < YEAR_2000_MILLIS;
        is_early
            .then_some(Remark::TimeBefore2000)
            .into_iter()
            .chain(self.is_return_without_customer().then_some(Remark::ReturnWithoutCustomer))
    }

    /// Whether it is a return that names an order, but not whose it is: it counts as a guest's unless its customer is found by the order.
    pub fn is_return_without_customer(&self) -> bool {
        matches!(self.subject, Subject::Guest(_)) && self.named_order.is_some()
    }
}

impl<'a> Event<'a> {
    /// The key of the customer that the event names; a guest has none.
    pub fn customer_key(&self) -> Option<CustomerKey<'a>> {
        match &self.subject {
            Subject::Customer(event) => Some(event.key),
            Subject::Erasure { key, .. } => Some(*key),
            Subject::Guest(_) => None,
        }
    }
}

/// Whose record it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject<'a> {
    Customer(CustomerEvent<'a>),
    /// A customer asked to be forgotten.
    Erasure {
        key: CustomerKey<'a>,
        record: ErasureRecord,
    },
    /// The record names no customer. The service cannot distinguish guests.
    Guest(GuestEvent<'a>),
}

/// What one customer did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustomerEvent<'a> {
    /// The record key, which was found to name this customer.
    pub key: CustomerKey<'a>,
    /// The order id of an order or a cancellation, the return id of a return.
    pub id: Cow<'a, str>,
    pub record: Record,
}

/// What a guest did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuestEvent<'a> {
    /// The record key, if there is one: it may be any.
    pub key: Option<&'a [u8]>,
    /// The order id of an order, the return id of a return.
    pub id: Cow<'a, str>,
    pub record: GuestRecord,
}
