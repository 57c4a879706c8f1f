//! What the encoder of signals needs to know of the record that is being applied.

use crate::domain::values::event::Record;
use crate::domain::values::time::Time;
use crate::formats::native::{Event, Subject};

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
            Record::Return(_) => RecordKind::Return { order_id: event.named_order.as_deref() },
        };
        Some(Self { kind, id: &customer.id, at: event.time(), store_id: event.store_id.as_deref() })
    }
}
