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
    /// [`NEVER`] if none is set: an `Option` would take 8 bytes more of every customer.
    due: Time,
    /// The bucket that holds the entry, or [`NO_BUCKET`].
    bucket: u32,
}

/// What lies beyond the calendar does not happen.
const NEVER: Time = Time::MAX;

const NO_BUCKET: u32 = u32::MAX;

const UNSET: Timer = Timer { due: NEVER, bucket: NO_BUCKET };

/// An entry of the heap. It is stale if its customer's timer is set to another time by now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DueTimer {
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
    front: BinaryHeap<Reverse<DueTimer>>,
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
    /// Sets a customer's timer, or unsets it.
    pub fn schedule(&mut self, customer: CustomerSlot, due: Option<Time>, key_hash: impl FnOnce() -> u64) {
        let due = due.unwrap_or(NEVER);
        let slot = customer.0 as usize;
        if slot >= self.timers.len() {
            crate::domain::store::reserve_gently(&mut self.timers);
            self.timers.resize(slot + 1, UNSET);
        }
        let timer = &mut self.timers[slot];
        if timer.due == due {
            return;
        }
        self.set = self.set + usize::from(due < NEVER) - usize::from(timer.due < NEVER);
        timer.due = due;
        let bucket = bucket_of(due);
        if due == NEVER {
            // The entry goes when its bucket is opened.
        } else if bucket < self.opened {
            self.front.push(Reverse(DueTimer { due, key_hash: key_hash(), customer }));
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

    pub(super) fn due(&self, customer: CustomerSlot) -> Time {
        self.timers.get(customer.0 as usize).map_or(NEVER, |timer| timer.due)
    }

    /// The earliest timer that is due at or before `by`. Opens buckets as needed.
    pub fn earliest(&mut self, by: Time, key_hash: impl Fn(CustomerSlot) -> u64) -> Option<DueTimer> {
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

    /// Sorts the due customers of a bucket and moves the others to the buckets of their present deadlines.
    fn open(&mut self, bucket: u32, customers: &[CustomerSlot], key_hash: &impl Fn(CustomerSlot) -> u64) {
        for customer in customers {
            let timer = &mut self.timers[customer.0 as usize];
            if timer.bucket != bucket {
                continue;
            }
            timer.bucket = NO_BUCKET;
            let due = timer.due;
            if due < NEVER {
                timer.due = NEVER;
                self.set -= 1;
                // The closure waits: most timers were moved later, and the hash of a key must be computed.
                self.schedule(*customer, Some(due), || key_hash(*customer));
            }
        }
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        let entry_bytes = |bucket: &Vec<CustomerSlot>| 32 + bucket.capacity() * size_of::<CustomerSlot>();
        self.buckets.values().map(entry_bytes).sum::<usize>()
            + self.timers.capacity() * size_of::<Timer>()
            + self.front.capacity() * size_of::<Reverse<DueTimer>>()
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
                timers.schedule(customer, (due < Time::MAX).then_some(due), || hash(customer));
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
                    timers.schedule(entry.customer, None, || entry.key_hash);
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

    #[test]
    fn a_bucket_ends_a_millisecond_before_the_next() {
        for time in
            [0, 1, 99_999_999, 1_700_000_000_000].map(|millis| Time::from_millis(millis).expect("in range"))
        {
            let last = last_of_bucket(bucket_of(time));
            assert!(time <= last && bucket_of(last) == bucket_of(time));
            let next = last.plus(crate::domain::values::time::Span::from_millis(1));
            assert_eq!(bucket_of(next), bucket_of(time) + 1);
        }
        assert_eq!(last_of_bucket(bucket_of(Time::MAX)), Time::MAX);
    }

    #[test]
    fn timers_are_empty_while_none_is_set() {
        let mut timers = Timers::default();
        assert!(timers.is_empty());
        timers.schedule(CustomerSlot(3), Some(Time::MIN), || 0);
        assert!(!timers.is_empty() && timers.len() == 1);
        timers.schedule(CustomerSlot(3), None, || 0);
        assert!(timers.is_empty());
    }
}
