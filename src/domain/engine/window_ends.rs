//! Whose part in the sums over customers changes by time alone, because something of theirs leaves a window.
//!
//! Nobody waits for such an end: nothing is said and nothing that is held changes. So it has no timer. The sums are those of some
//! instant behind the clock and are brought on when somebody asks for them; a customer with many ends up to then is looked at
//! once.

use std::collections::BTreeMap;

use super::timers::{bucket_of, last_of_bucket};
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;

/// Which customers have an end ahead, by buckets of time.
#[derive(Debug)]
pub struct WindowEnds {
    /// The sums are those of this instant, except for customers who are [`OPEN`].
    at: Time,
    /// The customers who are [`OPEN`] still count with what they were at this instant.
    from: Time,
    /// Where each slot is listed: a bucket, [`NOWHERE`] or [`OPEN`]. Entries elsewhere are stale.
    listed: Vec<u32>,
    buckets: BTreeMap<u32, Vec<CustomerSlot>>,
    open: Vec<CustomerSlot>,
}

const NOWHERE: u32 = u32::MAX;
const OPEN: u32 = u32::MAX - 1;

impl WindowEnds {
    /// No customers yet; the sums are those of `at`.
    pub fn new(at: Time) -> Self {
        Self { at, from: at, listed: Vec::new(), buckets: BTreeMap::new(), open: Vec::new() }
    }

    /// The instant that the sums are brought to.
    pub fn at(&self) -> Time {
        self.at
    }

    /// The instant that a customer's part in the sums still is of.
    pub fn at_of(&self, customer: CustomerSlot) -> Time {
        if self.listed.get(customer.0 as usize) == Some(&OPEN) { self.from } else { self.at }
    }

    /// The customer's part is that of [`Self::at`] now, and changes next at `end`.
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
        // One that moved later is looked at where it is listed, and listed anew then.
        if bucket < *listed {
            *listed = bucket;
            self.buckets.entry(bucket).or_default().push(customer);
        }
    }

    /// Makes room for so many customers more.
    pub fn reserve(&mut self, customers: usize) {
        self.listed.reserve_exact(customers);
    }

    /// The next customer whose part must be brought from [`Self::at_of`] to [`Self::at`] before the sums are those of `to`, to be
    /// followed by [`Self::schedule`]. `None` if they are.
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
