//! The customers of a partition: packed bytes in numbered slots, found by key.

pub mod packed;
pub mod totals_cache;

use hashbrown::HashTable;

use super::store::packed::Format;
use super::values::ids::{CustomerKey, CustomerSlot};

/// Customers by slot and by key.
///
/// The table holds slot numbers and a part of the hash: 9 B an entry. The keys stand in the packed bytes, which lie scattered in
/// memory, so a table that grows reads none of them.
pub struct Store {
    hash: fn(&[u8]) -> u64,
    index: HashTable<IndexEntry>,
    slots: Vec<Slot>,
    free: Vec<CustomerSlot>,
    room_bytes: usize,
    /// How many customers need each of the formats behind the first one.
    newer: [usize; 3],
}

/// A customer in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct IndexEntry {
    slot: CustomerSlot,
    /// See [`short`].
    hash: u32,
}

impl IndexEntry {
    fn of(slot: CustomerSlot, key_hash: u64) -> Self {
        Self { slot, hash: short(key_hash) }
    }

    /// What the table orders the entry by.
    fn place(&self) -> u64 {
        place(self.hash)
    }
}

/// The position in [`Store::newer`].
fn newer(format: Format) -> Option<usize> {
    match format {
        Format::V1 => None,
        Format::V2 => Some(0),
        Format::V3 => Some(1),
        Format::V4 => Some(2),
    }
}

/// So much of a key's hash as an entry holds.
fn short(key_hash: u64) -> u32 {
    key_hash as u32
}

/// A hash for the table, which takes bits from both ends.
fn place(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}

/// A customer in memory.
#[derive(Default)]
struct Slot {
    /// Some more than is used: a customer grows with every order, and an allocation for each costs more than the rest of it.
    room: Box<[u8]>,
    /// How much of the room is used; 0 when the slot is free.
    length: u32,
    /// What the engine notes about the open batch; 0 at first.
    mark: u32,
}

/// Room grows by so much at least: two or three orders, and a size that allocators have.
const ROOM_STEP: usize = 64;

/// What many orders take grows by a part of itself, so that all of it is seldom copied for one more.
const ROOM_PART: usize = 8;

impl Slot {
    /// See [`packed`]; empty when the slot is free.
    fn packed(&self) -> &[u8] {
        &self.room[..self.length as usize]
    }
}

impl Store {
    pub fn new(hash: fn(&[u8]) -> u64) -> Self {
        Self {
            hash,
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            room_bytes: 0,
            newer: [0; 3],
        }
    }

    /// Makes room for so many customers more.
    pub fn reserve(&mut self, customers: usize) {
        self.index.reserve(customers, IndexEntry::place);
        self.slots.reserve_exact(customers);
    }

    pub fn find(&self, key: CustomerKey<'_>) -> Option<CustomerSlot> {
        let short = short(key.hash);
        let entry = self.index.find(place(short), |entry| {
            entry.hash == short && packed::has_key(self.packed(entry.slot), key.bytes)
        });
        entry.map(|entry| entry.slot)
    }

    /// The customer of a key with this hash, in all likelihood: found without reading any key.
    pub fn likely(&self, key_hash: u64) -> Option<CustomerSlot> {
        let short = short(key_hash);
        self.index.find(place(short), |entry| entry.hash == short).map(|entry| entry.slot)
    }

    /// A slot for a new customer with its first bytes, which begin with its key.
    pub fn insert(&mut self, key: CustomerKey<'_>, bytes: &[u8]) -> CustomerSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            reserve_gently(&mut self.slots);
            self.slots.push(Slot::default());
            CustomerSlot(
                u32::try_from(self.slots.len() - 1).expect("a partition holds fewer than 2³² customers"),
            )
        });
        self.replace(slot, bytes, &[]);
        let entry = IndexEntry::of(slot, key.hash);
        self.index.insert_unique(entry.place(), entry, IndexEntry::place);
        slot
    }

    /// Forgets a customer. The slot stays empty and reserved until [`Self::release`].
    pub fn remove(&mut self, slot: CustomerSlot) {
        let entry = IndexEntry::of(slot, self.key_hash(slot));
        self.index
            .find_entry(entry.place(), |other| *other == entry)
            .expect("every held slot is in the index")
            .remove();
        let held = &mut self.slots[slot.0 as usize];
        self.room_bytes -= held.room.len();
        let format = Format::of(held.packed());
        *held = Slot::default();
        self.count_format(format, Format::V1);
    }

    /// Gives back the slot of a customer who was removed: another may have it from now on.
    pub fn release(&mut self, slot: CustomerSlot) {
        debug_assert!(self.packed(slot).is_empty(), "only the slot of a removed customer is released");
        self.free.push(slot);
    }

    /// Replaces a customer's bytes, of which `rest` are the last ones, behind the flags; false if they were the same.
    pub fn replace(&mut self, slot: CustomerSlot, bytes: &[u8], rest: &[u8]) -> bool {
        let held = &mut self.slots[slot.0 as usize];
        let length = bytes.len() + rest.len();
        if held.length as usize == length && held.packed().starts_with(bytes) && held.packed().ends_with(rest)
        {
            return false;
        }
        let (format_before, format) = (Format::of(held.packed()), Format::of(bytes));
        let step = (length / ROOM_PART).next_power_of_two().max(ROOM_STEP);
        let room = length.next_multiple_of(step);
        // A customer who was folded gives back what is no longer needed.
        if held.room.len() < length || held.room.len() > room + 2 * step {
            self.room_bytes = self.room_bytes + room - held.room.len();
            let mut vec = Vec::with_capacity(room);
            vec.extend_from_slice(bytes);
            vec.extend_from_slice(rest);
            vec.resize(room, 0);
            held.room = vec.into_boxed_slice();
        } else {
            held.room[..bytes.len()].copy_from_slice(bytes);
            held.room[bytes.len()..length].copy_from_slice(rest);
        }
        held.length = u32::try_from(length).expect("the ledger is bounded");
        self.count_format(format_before, format);
        true
    }

    /// A slot without a customer counts as of the first format.
    fn count_format(&mut self, before: Format, after: Format) {
        if before != after {
            newer(before).into_iter().for_each(|format| self.newer[format] -= 1);
            newer(after).into_iter().for_each(|format| self.newer[format] += 1);
        }
    }

    pub fn packed(&self, slot: CustomerSlot) -> &[u8] {
        self.slots[slot.0 as usize].packed()
    }

    pub fn key(&self, slot: CustomerSlot) -> &[u8] {
        packed::key(self.packed(slot))
    }

    pub fn key_hash(&self, slot: CustomerSlot) -> u64 {
        (self.hash)(self.key(slot))
    }

    pub fn mark(&self, slot: CustomerSlot) -> u32 {
        self.slots[slot.0 as usize].mark
    }

    pub fn set_mark(&mut self, slot: CustomerSlot, mark: u32) {
        self.slots[slot.0 as usize].mark = mark;
    }

    /// The lowest format that expresses every customer.
    pub fn format(&self) -> Format {
        match self.newer {
            [0, 0, 0] => Format::V1,
            [_, 0, 0] => Format::V2,
            [_, _, 0] => Format::V3,
            [_, _, _] => Format::V4,
        }
    }

    /// Every customer, by slot.
    pub fn iter(&self) -> impl Iterator<Item = CustomerSlot> + '_ {
        let held = self.slots.iter().enumerate().filter(|(_, slot)| slot.length > 0);
        held.map(|(index, _)| CustomerSlot(u32::try_from(index).expect("checked at insertion")))
    }

    /// How many slots there are, free ones included.
    pub fn slots_len(&self) -> usize {
        self.slots.len()
    }

    /// The bytes in a slot; none if it is free.
    pub fn packed_at(&self, slot: usize) -> &[u8] {
        self.slots[slot].packed()
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.room_bytes
            + self.slots.capacity() * size_of::<Slot>()
            + self.index.capacity() * (size_of::<IndexEntry>() + 1)
    }
}

/// Grows by an eighth instead of doubling: at ten million customers the difference is hundreds of megabytes.
pub(in crate::domain) fn reserve_gently<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 8 + 1_024);
    }
}

#[cfg(test)]
mod tests {
    use super::super::customer::Customer;
    use super::*;

    #[test]
    fn customers_whose_keys_have_one_hash_are_told_apart() {
        let mut store = Store::new(|_| 7);
        let key = |bytes| CustomerKey { bytes, hash: 7 };
        let mut bytes = Vec::new();
        let names: Vec<String> = (0..100).map(|number| format!("customer {number}")).collect();
        let slots: Vec<CustomerSlot> = names
            .iter()
            .map(|name| {
                packed::pack(name.as_bytes(), &Customer::default(), &mut bytes);
                store.insert(key(name.as_bytes()), &bytes)
            })
            .collect();
        store.remove(slots[40]);
        store.release(slots[40]);
        for (index, (name, slot)) in names.iter().zip(&slots).enumerate() {
            assert_eq!(store.find(key(name.as_bytes())), (index != 40).then_some(*slot), "{name}");
        }
        assert!(store.likely(7).is_some());
        assert_eq!(store.likely(8), None);
    }
}
