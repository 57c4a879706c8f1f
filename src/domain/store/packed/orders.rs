//! The orders of a packed customer.

use super::bytes::{Reader, put_48, put_varint};
use crate::domain::customer::history::{History, HistoryOrder};
use crate::domain::customer::ledger::{Order, OrderResult};
use crate::domain::settings::Shop;
use crate::domain::values::ids::OrderHash;
use crate::domain::values::money::{AMOUNT_LIMIT, Currency};
use crate::domain::values::time::Time;
use crate::domain::values::window::WINDOWS;

/// An order in its usual length: of a version below 64.
const ORDER_WIDTH: usize = 23;

const FIXED_WIDTH_VERSIONS: u32 = 0x40;

/// Orders of which nothing was taken back, each in its usual length, read where they lie. In the order of (time, id).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedWidthOrders<'a>(&'a [[u8; ORDER_WIDTH]]);

/// How a customer's bytes end of whom nothing was taken back: no returns, no cancellations.
const NOTHING_BACK: [u8; 2] = [0, 0];

impl<'a> FixedWidthOrders<'a> {
    /// Those of a customer whose bytes end with `entries`; none if there is anything else among these. They must have been packed.
    pub fn of(entries: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(entries);
        let count = usize::try_from(reader.varint()?).ok()?;
        // No order is shorter, so in this length there is room for nothing else.
        let is_usual = reader.0.len() == count.checked_mul(ORDER_WIDTH)? + NOTHING_BACK.len();
        is_usual.then_some(Self(reader.0.as_chunks().0))
    }

    /// Puts these and one more behind them into `bytes`, as the end of a packed customer. None if the order does not belong there: if it
    /// is not later than all, if one has its id, or if it has not the usual length.
    pub fn append<'b>(self, order: &Order, bytes: &'b mut Vec<u8>) -> Option<FixedWidthOrders<'b>> {
        let is_last =
            self.0.last().is_none_or(|last| (placed_at(last), id(last)) < (order.placed_at, order.id));
        if !is_last
            || order.version >= FIXED_WIDTH_VERSIONS
            || self.0.iter().any(|entry| id(entry) == order.id)
        {
            return None;
        }
        let mut last = [0; ORDER_WIDTH];
        put_usual(&mut last, order);
        bytes.clear();
        put_varint(bytes, self.0.len() as u64 + 1);
        let start = bytes.len();
        bytes.extend_from_slice(self.0.as_flattened());
        bytes.extend_from_slice(&last);
        let end = bytes.len();
        bytes.extend_from_slice(&NOTHING_BACK);
        Some(FixedWidthOrders(bytes[start..end].as_chunks().0))
    }

    /// All but the oldest `count`.
    pub fn skip(self, count: usize) -> Self {
        Self(&self.0[count..])
    }

    /// With what they are worth in a shop.
    pub fn valued(self, shop: &'a Shop) -> ValuedOrders<'a> {
        ValuedOrders { entries: self.0, shop }
    }
}

/// [`FixedWidthOrders`] with what they are worth: all of what was sent.
#[derive(Clone, Copy)]
pub struct ValuedOrders<'a> {
    entries: &'a [[u8; ORDER_WIDTH]],
    shop: &'a Shop,
}

/// One of [`ValuedOrders`].
#[derive(Clone, Copy)]
pub struct ValuedOrder<'a> {
    entry: &'a [u8; ORDER_WIDTH],
    shop: &'a Shop,
}

impl ValuedOrders<'_> {
    /// All but the oldest `count`.
    pub fn skip(self, count: usize) -> Self {
        Self { entries: &self.entries[count..], shop: self.shop }
    }

    /// How many have left a window of [`WINDOWS`], by its index in blocks, at an instant. Found by halves.
    pub fn left(self, window: usize, at: Time) -> usize {
        let begin = at.as_millis() - WINDOWS[window - 1].1.as_millis();
        self.entries.partition_point(|entry| placed_at_millis(entry) <= begin)
    }
}

impl<'a> History for ValuedOrders<'a> {
    type Order = ValuedOrder<'a>;

    fn orders(self) -> impl ExactSizeIterator<Item = Self::Order> + DoubleEndedIterator {
        self.entries.iter().map(move |entry| ValuedOrder { entry, shop: self.shop })
    }

    fn first(self, count: usize) -> Self {
        Self { entries: &self.entries[..count], shop: self.shop }
    }
}

impl HistoryOrder for ValuedOrder<'_> {
    fn placed_at(self) -> Time {
        placed_at(self.entry)
    }

    fn id(self) -> OrderHash {
        id(self.entry)
    }

    #[inline(always)]
    fn result(self) -> OrderResult {
        if is_test(self.entry) {
            return OrderResult::default();
        }
        let is_own = currency_bits(self.entry) == self.shop.currency.to_bits();
        let value = if is_own { total(self.entry) } else { converted(self.shop, self.entry) };
        OrderResult { value, placed: true, kept: value > 0, ..OrderResult::default() }
    }
}

#[cold]
fn converted(shop: &Shop, entry: &[u8; ORDER_WIDTH]) -> i64 {
    let currency = Currency::from_bits(currency_bits(entry)).expect("packed by this engine");
    shop.convert(total(entry), currency)
}

// === An order in its usual length ===

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

const LOW_48: u64 = (1 << 48) - 1;

fn id(entry: &[u8; ORDER_WIDTH]) -> OrderHash {
    OrderHash(number(&entry[..8]))
}

fn is_test(entry: &[u8; ORDER_WIDTH]) -> bool {
    entry[8] & 1 == 1
}

fn placed_at_millis(entry: &[u8; ORDER_WIDTH]) -> i64 {
    (number(&entry[9..17]) & LOW_48) as i64
}

fn placed_at(entry: &[u8; ORDER_WIDTH]) -> Time {
    Time::from_millis(placed_at_millis(entry)).unwrap_or(Time::MAX)
}

fn total(entry: &[u8; ORDER_WIDTH]) -> i64 {
    (number(&entry[15..23]) & LOW_48) as i64
}

fn currency_bits(entry: &[u8; ORDER_WIDTH]) -> u16 {
    u16::from_le_bytes([entry[21], entry[22]])
}

fn put_usual(entry: &mut [u8; ORDER_WIDTH], order: &Order) {
    entry[..8].copy_from_slice(&order.id.0.to_le_bytes());
    entry[8] = marks(order) as u8;
    // What follows a number of 48 bits overwrites its two highest bytes, which are zero.
    entry[9..17].copy_from_slice(&order.placed_at.as_millis().to_le_bytes());
    entry[15..23].copy_from_slice(&order.total.to_le_bytes());
    entry[21..].copy_from_slice(&order.currency.to_bits().to_le_bytes());
}

// === Orders of any length ===

pub(super) fn put_orders(bytes: &mut Vec<u8>, orders: &[Order]) {
    // All in their usual length at first, so that the vector is asked for room once.
    let start = bytes.len();
    bytes.resize(start + orders.len() * ORDER_WIDTH, 0);
    let mut version_bits = 0;
    for (entry, order) in bytes[start..].as_chunks_mut::<ORDER_WIDTH>().0.iter_mut().zip(orders) {
        version_bits |= order.version;
        put_usual(entry, order);
    }
    if version_bits >= FIXED_WIDTH_VERSIONS {
        bytes.truncate(start);
        orders.iter().for_each(|order| put_order(bytes, order));
    }
}

fn put_order(bytes: &mut Vec<u8>, order: &Order) {
    bytes.extend_from_slice(&order.id.0.to_le_bytes());
    put_varint(bytes, marks(order));
    put_48(bytes, order.placed_at.as_millis());
    put_48(bytes, order.total);
    bytes.extend_from_slice(&order.currency.to_bits().to_le_bytes());
}

fn marks(order: &Order) -> u64 {
    u64::from(order.version) << 1 | u64::from(order.test)
}

pub(super) fn read_orders(reader: &mut Reader<'_>, orders: &mut Vec<Order>) -> Option<()> {
    let count = usize::try_from(reader.varint()?).ok()?;
    if let Some((entries, tail)) = reader.0.split_at_checked(count.checked_mul(ORDER_WIDTH)?) {
        if read_usual_orders(entries.as_chunks().0, orders) {
            reader.0 = tail;
            return Some(());
        }
        orders.clear();
    }
    for _ in 0..count {
        orders.push(read_order(reader)?);
    }
    orders.is_sorted_by_key(|order| (order.placed_at, order.id)).then_some(())
}

/// Nearly always all orders have their usual length and differ in time. False if not, or if they are no orders: then what was read
/// means nothing.
fn read_usual_orders(entries: &[[u8; ORDER_WIDTH]], orders: &mut Vec<Order>) -> bool {
    let Some(mut currency) = entries.first().and_then(|entry| Currency::from_bits(currency_bits(entry)))
    else {
        return entries.is_empty();
    };
    let (mut are_usual, mut latest) = (true, -1);
    // Without a way out of it, so that the room is asked for once.
    orders.extend(entries.iter().map(|entry| {
        let (placed_at, total) = (placed_at_millis(entry), total(entry));
        are_usual &= entry[8] < 0x80 && placed_at > latest && total < AMOUNT_LIMIT;
        latest = placed_at;
        if currency_bits(entry) != currency.to_bits() {
            match Currency::from_bits(currency_bits(entry)) {
                Some(other) => currency = other,
                None => are_usual = false,
            }
        }
        Order {
            id: id(entry),
            version: u32::from(entry[8] >> 1),
            test: is_test(entry),
            placed_at: Time::from_millis(placed_at).unwrap_or(Time::MAX),
            total,
            currency,
        }
    }));
    are_usual && latest <= Time::MAX.as_millis()
}

fn read_order(reader: &mut Reader<'_>) -> Option<Order> {
    let id = OrderHash(reader.u64()?);
    let marks = reader.varint()?;
    Some(Order {
        id,
        version: u32::try_from(marks >> 1).ok()?,
        test: marks & 1 == 1,
        placed_at: reader.time()?,
        total: reader.amount()?,
        currency: Currency::from_bits(u16::from_le_bytes(reader.take()?))?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Corrupt, pack, unpack};
    use super::*;
    use crate::domain::customer::Customer;

    fn order(id: u64, millis: i64, version: u32, currency: &[u8]) -> Order {
        Order {
            id: OrderHash(id),
            placed_at: Time::from_millis(millis).expect("in range"),
            version,
            total: AMOUNT_LIMIT - 1,
            currency: Currency::from_code(currency).expect("a currency"),
            test: id.is_multiple_of(2),
        }
    }

    /// What comes back of a customer with these orders.
    fn packed_and_unpacked(orders: &[Order]) -> Result<Vec<Order>, Corrupt> {
        let mut customer = Customer::default();
        customer.ledger.orders = orders.to_vec();
        let mut bytes = Vec::new();
        pack(b"customer", &customer, &mut bytes);
        unpack(&bytes, &mut customer).map(|()| customer.ledger.orders)
    }

    #[test]
    fn orders_of_every_length_come_back() {
        let last = Time::MAX.as_millis();
        for version in [0, 63, 64, u32::MAX] {
            for millis in [[1, 2, 3], [1, 1, 3], [1, 3, 3], [1, last, last]] {
                let orders = [
                    order(1, millis[0], 1, b"EUR"),
                    order(2, millis[1], version, b"JPY"),
                    order(3, millis[2], 2, b"EUR"),
                ];
                for count in 0..=orders.len() {
                    assert_eq!(packed_and_unpacked(&orders[..count]).as_deref(), Ok(&orders[..count]));
                }
            }
        }
    }

    #[test]
    fn orders_that_are_out_of_order_are_corrupt() {
        for (id, millis) in [(1, 4), (1, 5)] {
            let (earlier, later) = (order(id, millis, 1, b"EUR"), order(2, 5, 1, b"EUR"));
            assert_eq!(packed_and_unpacked(&[later, earlier]), Err(Corrupt));
            assert_eq!(packed_and_unpacked(&[earlier, later]), Ok(vec![earlier, later]));
        }
    }
}
