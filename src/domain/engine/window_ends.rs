//! When orders leave the windows of the shops' totals.
//!
//! An end of a window emits nothing and changes no customer, so it has no timer. The totals are those of an instant behind the
//! clock and move to the clock when a caller asks for them. A customer with many ends up to then is visited once.

use std::collections::BTreeMap;

use super::timers::{bucket_of, last_of_bucket};
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;

/// Which customers have an end of a window ahead, by buckets of time.
#[derive(Debug)]
pub struct WindowEnds {
    /// The totals are of this instant, except the parts of customers who are [`OPEN`].
    at: Time,
    /// Customers who are [`OPEN`] still count as they did at this instant.
    from: Time,
    /// Where each slot is listed: a bucket, [`NOWHERE`] or [`OPEN`]. A slot found in another bucket is stale there.
    listed: Vec<u32>,
    buckets: BTreeMap<u32, Vec<CustomerSlot>>,
    open: Vec<CustomerSlot>,
}

const NOWHERE: u32 = u32::MAX;
const OPEN: u32 = u32::MAX - 1;

impl WindowEnds {
    /// No customers yet; the totals are of `at`.
    pub fn new(at: Time) -> Self {
        Self { at, from: at, listed: Vec::new(), buckets: BTreeMap::new(), open: Vec::new() }
    }

    /// The instant that the totals are of.
    pub fn at(&self) -> Time {
        self.at
    }

    /// The instant that a customer's part in the totals is still of.
    pub fn at_of(&self, customer: CustomerSlot) -> Time {
        if self.listed.get(customer.0 as usize) == Some(&OPEN) { self.from } else { self.at }
    }

    /// The customer's part is of [`Self::at`] now, and changes next at `end`.
    pub fn schedule(&mut self, customer: CustomerSlot, end: Option<Time>) {
        let slot = customer.0 as usize;
        if slot >= self.listed.len() {
            crate::domain::store::reserve_gently(&mut self.listed);
            self.listed.resize(slot + 1, NOWHERE);
        }
        let listed = &mut self.listed[slot];
        let Some(bucket) = end.map(bucket_of) else {
            *listed = NOWHERE;
            return;
        };
        // A customer whose end moved later stays listed here, and is listed anew when this bucket is opened.
        if bucket < *listed {
            *listed = bucket;
            self.buckets.entry(bucket).or_default().push(customer);
        }
    }

    /// Makes room for so many customers more.
    pub fn reserve(&mut self, customers: usize) {
        self.listed.reserve_exact(customers);
    }

    /// The next customer whose part must move from [`Self::at_of`] to [`Self::at`] before the totals are of `to`; the caller then calls
    /// [`Self::schedule`]. `None` once they are.
    pub fn next(&mut self, to: Time) -> Option<CustomerSlot> {
        loop {
            while let Some(customer) = self.open.pop() {
                if self.listed[customer.0 as usize] == OPEN {
                    return Some(customer);
                }
            }
            self.from = self.at;
            if self.at >= to {
                return None;
            }
            let Some(first) = self.buckets.first_entry().filter(|first| *first.key() <= bucket_of(to)) else {
                (self.from, self.at) = (to, to);
                return None;
            };
            let (bucket, customers) = first.remove_entry();
            self.at = last_of_bucket(bucket).min(to);
            self.open = customers;
            let listed = &mut self.listed;
            self.open.retain(|customer| {
                let listed = &mut listed[customer.0 as usize];
                let is_here = *listed == bucket;
                if is_here {
                    *listed = OPEN;
                }
                is_here
            });
        }
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        let entry_bytes = |bucket: &Vec<CustomerSlot>| 32 + bucket.capacity() * size_of::<CustomerSlot>();
        self.buckets.values().map(entry_bytes).sum::<usize>()
            + self.listed.capacity() * size_of::<u32>()
            + self.open.capacity() * size_of::<CustomerSlot>()
    }
}
