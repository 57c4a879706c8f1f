//! What was derived last of customers with long histories.
//!
//! What a customer adds up to takes a look at every order. Of a customer who comes again and again, what it came to is kept, and
//! goes on from there: with the next order, and with what has left a window since. It is never written: what is missing here is
//! derived.

use super::packed::ValuedOrders;
use crate::domain::customer::Summary;
use crate::domain::customer::facts::CustomerTotals;
use crate::domain::customer::history::History;
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::{Time, Zone};

/// Shorter histories are read as fast as this is found. In trials of this crate's parts even short ones are kept.
const ORDERS_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// So many customers at most; each has its place, which others share. Shops have few with so many orders.
const PLACES: usize = if cfg!(test) { 2 } else { 4_096 };

/// The standings of some customers of whom nothing was taken back, by slot.
#[derive(Default)]
pub struct TotalsCache {
    /// Empty until there is a long history.
    places: Vec<Option<Box<Held>>>,
}

struct Held {
    customer: CustomerSlot,
    /// How many orders of the ledger are in `totals`: the oldest ones.
    orders: usize,
    /// The instant of `totals`.
    at: Time,
    totals: CustomerTotals,
}

impl TotalsCache {
    /// What a customer of whom nothing was taken back adds up to at an instant. `orders` must be those of [`Self::keep`], and may be
    /// followed by others.
    pub fn totals(
        &self,
        customer: CustomerSlot,
        summary: &Summary,
        orders: ValuedOrders<'_>,
        at: Time,
        zone: &Zone,
    ) -> CustomerTotals {
        let Some(held) = self.held(customer).filter(|held| held.at <= at) else {
            return CustomerTotals::new(summary, orders, &[], at, zone);
        };
        let mut totals = held.totals;
        totals.bring_on(orders.first(held.orders), held.at, at);
        for order in orders.skip(held.orders).entries() {
            totals.push(order, at, zone);
        }
        debug_assert_eq!(totals, CustomerTotals::new(summary, orders, &[], at, zone));
        totals
    }

    /// Keeps what a customer with so many orders adds up to, if these are many; what was kept before is gone.
    pub fn keep(&mut self, customer: CustomerSlot, orders: usize, at: Time, totals: &CustomerTotals) {
        if orders < ORDERS_MIN {
            return self.forget(customer);
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let held = Held { customer, orders, at, totals: *totals };
        match &mut self.places[place(customer)] {
            Some(place) => **place = held,
            place @ None => *place = Some(Box::new(held)),
        }
    }

    /// The standing of a customer, if it is held, is that of a later instant now.
    pub fn settle(&mut self, customer: CustomerSlot, at: Time, totals: &CustomerTotals) {
        let place = self.places.get_mut(place(customer)).and_then(Option::as_deref_mut);
        if let Some(held) = place.filter(|held| held.customer == customer) {
            (held.at, held.totals) = (at, *totals);
        }
    }

    /// The customer may have changed in any way.
    pub fn forget(&mut self, customer: CustomerSlot) {
        if self.held(customer).is_some() {
            self.places[place(customer)] = None;
        }
    }

    fn held(&self, customer: CustomerSlot) -> Option<&Held> {
        let held = self.places.get(place(customer))?.as_deref()?;
        (held.customer == customer).then_some(held)
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.places.len() * size_of::<Option<Box<Held>>>()
            + self.places.iter().flatten().count() * size_of::<Held>()
    }
}

fn place(customer: CustomerSlot) -> usize {
    customer.0 as usize % PLACES
}
