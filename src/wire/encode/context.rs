//! What the encoder of signals needs to know of the record that is being applied.

use crate::domain::values::event::{GuestRecord, Record};
use crate::domain::values::time::Time;
use crate::formats::native::{Event, GuestEvent, Subject};

/// The record that caused a signal, as the signal shows it.
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
    /// An order without a customer, with the record's key, if it has one.
    GuestOrder {
        key: Option<&'a [u8]>,
    },
}

impl<'a> RecordContext<'a> {
    /// None for returns of guests and erasures, which cause no signal.
    pub fn of(event: &'a Event<'_>) -> Option<Self> {
        let (kind, id) = match &event.subject {
            Subject::Customer(customer) => {
                let kind = match &customer.record {
                    Record::Order(order) => RecordKind::Order { version: order.version },
                    Record::Cancellation(_) => RecordKind::Cancellation,
                    Record::Return(_) => RecordKind::Return { order_id: event.named_order.as_deref() },
                };
                (kind, &customer.id)
            }
            Subject::Guest(GuestEvent { key, id, record: GuestRecord::Order { .. } }) => {
                (RecordKind::GuestOrder { key: *key }, id)
            }
            Subject::Guest(GuestEvent { record: GuestRecord::Return { .. }, .. })
            | Subject::Erasure { .. } => {
                return None;
            }
        };
        Some(Self { kind, id, at: event.time(), store_id: event.store_id.as_deref() })
    }

    /// The key of a signal about a guest: the record's, or the id of the order.
    pub fn guest_key(&self) -> &'a [u8] {
        match self.kind {
            RecordKind::GuestOrder { key: Some(key) } => key,
            RecordKind::GuestOrder { key: None }
            | RecordKind::Order { .. }
            | RecordKind::Cancellation
            | RecordKind::Return { .. } => self.id.as_bytes(),
        }
    }
}
