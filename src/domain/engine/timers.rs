//! The deadline index: one timer a customer, nothing is ever scanned.
//!
//! Customers lie in buckets of about an hour. A deadline that moves later, as nearly all do, costs nothing: the entry stays
//! where it is and moves on when its bucket is opened. Only opened buckets are ordered, in a heap.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;

/// A bucket is 2²² ms, 70 minutes: small against deadlines of weeks, large against the cost of a bucket.
const BUCKET_BITS: u32 = 22;

/// One customer's timer.
#[derive(Clone, Copy, Debug)]
struct Timer {
    /// When it is due; [`Time::MAX`] for never.
    due: Time,
    /// The bucket that holds the entry, or [`NO_BUCKET`].
    bucket: u32,
}

const NO_BUCKET: u32 = u32::MAX;

const NEVER: Timer = Timer { due: Time::MAX, bucket: NO_BUCKET };

/// A timer that may be due: entries whose customer is due at another time by now are stale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    pub due: Time,
    /// Hash of the customer's key: the order among equal deadlines must not depend on slots.
    pub key_hash: u64,
    pub customer: CustomerSlot,
}

/// All timers of a partition.
#[derive(Default, Debug)]
pub struct Timers {
    /// One for each slot.
    timers: Vec<Timer>,
    buckets: BTreeMap<u32, Vec<CustomerSlot>>,
    /// Buckets below this one are opened: their entries are in `front`.
    opened: u32,
    front: BinaryHeap<Reverse<Entry>>,
    /// How many are set.
    set: usize,
}

pub(in crate::domain) fn bucket_of(time: Time) -> u32 {
    u32::try_from(time.as_millis() >> BUCKET_BITS).expect("48 bits of milliseconds leave 26 bits of bucket")
}

/// The last instant of a bucket.
pub(in crate::domain) fn last_of_bucket(bucket: u32) -> Time {
    let next = (i64::from(bucket) + 1) << BUCKET_BITS;
    Time::from_millis(next - 1).unwrap_or(Time::MAX)
}

impl Timers {
    /// Sets a customer's timer; [`Time::MAX`] is never due.
    pub fn schedule(&mut self, customer: CustomerSlot, due: Time, key_hash: impl FnOnce() -> u64) {
        let slot = customer.0 as usize;
        if slot >= self.timers.len() {
            crate::domain::store::reserve_gently(&mut self.timers);
            self.timers.resize(slot + 1, NEVER);
        }
        let timer = &mut self.timers[slot];
        if timer.due == due {
            return;
        }
        self.set = self.set + usize::from(due < Time::MAX) - usize::from(timer.due < Time::MAX);
        timer.due = due;
        let bucket = bucket_of(due);
        if due == Time::MAX {
            // The entry goes when its bucket is opened.
        } else if bucket < self.opened {
            self.front.push(Reverse(Entry { due, key_hash: key_hash(), customer }));
        } else if bucket < timer.bucket {
            timer.bucket = bucket;
            self.buckets.entry(bucket).or_default().push(customer);
        }
    }

    /// Makes room for the timers of so many customers more.
    pub fn reserve(&mut self, customers: usize) {
        self.timers.reserve_exact(customers);
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.set
    }

    pub fn is_empty(&self) -> bool {
        self.set == 0
    }

    fn due(&self, customer: CustomerSlot) -> Time {
        self.timers.get(customer.0 as usize).map_or(Time::MAX, |timer| timer.due)
    }

    /// The earliest timer that is due at or before `by`. Opens buckets as needed.
    pub fn earliest(&mut self, by: Time, key_hash: impl Fn(CustomerSlot) -> u64) -> Option<Entry> {
        while let Some(first) = self.buckets.first_entry().filter(|first| *first.key() <= bucket_of(by)) {
            let (bucket, customers) = first.remove_entry();
            self.opened = self.opened.max(bucket + 1);
            self.open(bucket, &customers, &key_hash);
        }
        while let Some(Reverse(entry)) = self.front.peek() {
            if self.due(entry.customer) == entry.due {
                return (entry.due <= by).then_some(*entry);
            }
            self.front.pop();
        }
        None
    }

    /// Orders what is due in a bucket and sends the rest to where it belongs by now.
    fn open(&mut self, bucket: u32, customers: &[CustomerSlot], key_hash: &impl Fn(CustomerSlot) -> u64) {
        for customer in customers {
            let timer = &mut self.timers[customer.0 as usize];
            if timer.bucket != bucket {
                continue;
            }
            timer.bucket = NO_BUCKET;
            let due = timer.due;
            if due < Time::MAX {
                timer.due = Time::MAX;
                self.set -= 1;
                // Most were moved later: nobody asks for the hash of these, which takes a look at the key.
                self.schedule(*customer, due, || key_hash(*customer));
            }
        }
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        let entry_bytes = |bucket: &Vec<CustomerSlot>| 32 + bucket.capacity() * size_of::<CustomerSlot>();
        self.buckets.values().map(entry_bytes).sum::<usize>()
            + self.timers.capacity() * size_of::<Timer>()
            + self.front.capacity() * size_of::<Reverse<Entry>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain list of deadlines, over random changes.
    #[test]
    fn timers_fire_in_order_whatever_changes() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut timers, mut expected) = (Timers::default(), vec![Time::MAX; 20]);
            let mut clock = Time::MIN;
            let hash = |customer: CustomerSlot| u64::from(customer.0) * 7 % 20;
            for _ in 0..500 {
                let customer = CustomerSlot(random.u32(0..20));
                let due =
                    clock.plus(crate::domain::values::time::Span::from_millis(random.i64(1..40_000_000)));
                let due = if random.u8(0..10) == 0 { Time::MAX } else { due };
                timers.schedule(customer, due, || hash(customer));
                expected[customer.0 as usize] = due;
                if random.bool() {
                    continue;
                }
                clock = clock.plus(crate::domain::values::time::Span::from_millis(random.i64(0..20_000_000)));
                while let Some(entry) = timers.earliest(clock, hash) {
                    let first = (0..20)
                        .map(CustomerSlot)
                        .map(|slot| (expected[slot.0 as usize], hash(slot), slot))
                        .min();
                    assert_eq!(Some((entry.due, entry.key_hash, entry.customer)), first, "seed {seed}");
                    timers.schedule(entry.customer, Time::MAX, || entry.key_hash);
                    expected[entry.customer.0 as usize] = Time::MAX;
                }
                assert_eq!(
                    timers.len(),
                    expected.iter().filter(|due| **due < Time::MAX).count(),
                    "seed {seed}"
                );
                assert!(expected.iter().all(|due| *due > clock), "seed {seed}");
            }
        }
    }
}
