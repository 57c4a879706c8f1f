//! The last derived totals of customers with long histories.
//!
//! Totals scan every order, so those of customers with many orders are cached: the next order is added to them, and what has left a
//! window since is taken out. The cache is never written; what is missing is derived anew.

use super::packed::ValuedOrders;
use crate::domain::customer::facts::CustomerTotals;
use crate::domain::customer::history::History;
use crate::domain::customer::summary::Summary;
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::{Time, Zone};

/// A shorter history is derived as fast as it is found here. Unit tests cache short ones too.
const ORDERS_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// How many customers fit. Each has one place, which it shares with others: few customers have so many orders.
const PLACES: usize = if cfg!(test) { 2 } else { 4_096 };

/// The totals of some customers without returns and cancellations, by slot.
#[derive(Default)]
pub struct TotalsCache {
    /// Empty until there is a long history.
    places: Vec<Option<Box<CachedTotals>>>,
}

struct CachedTotals {
    customer: CustomerSlot,
    /// How many orders of the ledger are in `totals`: the oldest ones.
    orders: usize,
    /// The instant of `totals`.
    at: Time,
    totals: CustomerTotals,
}

impl TotalsCache {
    /// What a customer without returns and cancellations adds up to at an instant. `orders` must begin with those of [`Self::keep`].
    pub fn totals(
        &self,
        customer: CustomerSlot,
        summary: &Summary,
        orders: ValuedOrders<'_>,
        at: Time,
        zone: &Zone,
    ) -> CustomerTotals {
        let Some(cached) = self.cached(customer).filter(|cached| cached.at <= at) else {
            return CustomerTotals::new(summary, orders, &[], at, zone);
        };
        let mut totals = cached.totals;
        totals.move_on(orders.first(cached.orders), cached.at, at);
        for order in orders.skip(cached.orders).orders() {
            totals.push(order, at, zone);
        }
        debug_assert_eq!(totals, CustomerTotals::new(summary, orders, &[], at, zone));
        totals
    }

    /// Caches the totals of a customer with so many orders, if these are many, in place of the last ones.
    pub fn keep(&mut self, customer: CustomerSlot, orders: usize, at: Time, totals: &CustomerTotals) {
        if orders < ORDERS_MIN {
            return self.forget(customer);
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let cached = CachedTotals { customer, orders, at, totals: *totals };
        match &mut self.places[place(customer)] {
            Some(place) => **place = cached,
            place @ None => *place = Some(Box::new(cached)),
        }
    }

    /// Moves the totals of a customer, if they are cached, to a later instant.
    pub fn settle(&mut self, customer: CustomerSlot, at: Time, totals: &CustomerTotals) {
        let place = self.places.get_mut(place(customer)).and_then(Option::as_deref_mut);
        if let Some(cached) = place.filter(|cached| cached.customer == customer) {
            (cached.at, cached.totals) = (at, *totals);
        }
    }

    /// The customer may have changed in any way.
    pub fn forget(&mut self, customer: CustomerSlot) {
        if self.cached(customer).is_some() {
            self.places[place(customer)] = None;
        }
    }

    fn cached(&self, customer: CustomerSlot) -> Option<&CachedTotals> {
        let cached = self.places.get(place(customer))?.as_deref()?;
        (cached.customer == customer).then_some(cached)
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.places.len() * size_of::<Option<Box<CachedTotals>>>()
            + self.places.iter().flatten().count() * size_of::<CachedTotals>()
    }
}

fn place(customer: CustomerSlot) -> usize {
    customer.0 as usize % PLACES
}
