//! Customers as they were at an instant, for counts. No state changes.
//!
//! What happened later is left out before returns are attributed. The ledger holds what may matter for at least 400 days, so this is
//! exact for instants in that time, but for a prospect of whom nothing is left: whose only record was a test order, or named an order that
//! never came, and has left the ledger since.

use super::Engine;
use crate::domain::customer::Customer;
use crate::domain::customer::facts::{CustomerTotals, Facts};
use crate::domain::customer::ledger::Attribution;
use crate::domain::lapse::Deadlines;
use crate::domain::signals::signal::State;
use crate::domain::store::packed;
use crate::domain::values::ids::{CustomerSlot, ShopIndex};
use crate::domain::values::time::{Span, Time};

/// The instant that windows and silences are measured from, and which records count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsOf {
    pub at: Time,
    /// What happened at this instant or later is left out.
    pub before: Time,
}

/// The memory in which customers are read, reused for all of them.
#[derive(Default)]
pub struct AsOfReader {
    customer: Customer,
    attribution: Attribution,
    totals: CustomerTotals,
}

/// A customer with what follows from the records that count.
#[derive(Clone, Copy)]
pub struct CustomerAsOf<'r> {
    pub key: &'r [u8],
    pub shop: ShopIndex,
    pub state: State,
    /// When silence changes the state; none without a kept order, and under a policy that sets none.
    pub deadlines: Option<Deadlines>,
    /// Only with the entries that count.
    pub customer: &'r Customer,
    pub attribution: &'r Attribution,
    pub totals: &'r CustomerTotals,
}

impl AsOf {
    /// A midnight that is crossed: what happens at it belongs to the next day.
    pub const fn midnight(at: Time) -> Self {
        Self { at, before: at }
    }

    /// All that happened up to an instant, and at it.
    pub fn including(at: Time) -> Self {
        Self { at, before: at.plus(Span::from_millis(1)) }
    }
}

impl Engine {
    /// A customer as of an instant; none of whom no record counts.
    pub fn customer_as_of<'r>(
        &'r self,
        slot: CustomerSlot,
        as_of: AsOf,
        reader: &'r mut AsOfReader,
    ) -> Option<CustomerAsOf<'r>> {
        let settings = &*self.settings;
        let shop = self.shop_of(slot);
        let shop_settings = settings.shops.get(shop);
        let AsOfReader { customer, attribution, totals } = reader;
        packed::unpack(self.store.packed(slot), customer).expect("packed by this engine");
        let ledger = &mut customer.ledger;
        // Entries lie in the order of time, and nearly always none is later.
        let AsOf { at, before } = as_of;
        ledger.orders.truncate(ledger.orders.partition_point(|order| order.placed_at < before));
        ledger.returns.truncate(ledger.returns.partition_point(|returned| returned.returned_at < before));
        ledger
            .cancellations
            .truncate(ledger.cancellations.partition_point(|entry| entry.cancelled_at < before));
        let is_known = !customer.summary.is_empty()
            || !ledger.orders.is_empty()
            || !ledger.returns.is_empty()
            || !ledger.cancellations.is_empty();
        if !is_known {
            return None;
        }
        attribution.derive(&customer.ledger, shop_settings, settings.return_window);
        *totals = customer.totals(at, attribution, shop_settings);
        let facts = Facts::new(totals, shop, settings);
        let (state, deadlines) = (facts.state(at), facts.deadlines);
        Some(CustomerAsOf {
            key: self.store.key(slot),
            shop,
            state,
            deadlines,
            customer,
            attribution,
            totals,
        })
    }
}
