//! The orders of a packed customer.
//!
//! ```text
//! id u64 │ version × 2 + whether it is a test (varint) │ placed at 48 bits │ total 48 bits │ currency u16
//! ```

use super::LedgerFormat;
use super::bytes::{Reader, put_varint};
use crate::domain::customer::history::{History, HistoryOrder};
use crate::domain::customer::ledger::{Order, OrderResult};
use crate::domain::settings::Shop;
use crate::domain::values::event::VERSION_LIMIT;
use crate::domain::values::ids::OrderHash;
use crate::domain::values::money::{AMOUNT_LIMIT, Currency, SentAmount, ShopAmount};
use crate::domain::values::time::Time;
use crate::domain::values::window::WINDOWS;

/// An order in its usual length: of a version below 64.
const ORDER_WIDTH: usize = 23;

/// An order of the greatest version.
pub(super) const ORDER_WIDTH_MAX: usize = 30;

/// Versions of the first format are below.
pub(super) const ORDER_VERSION_LIMIT_V1: u64 = 1 << 32;

const USUAL_VERSIONS: u64 = 0x40;

/// Orders without returns and cancellations, all of one width, read where they lie. In the order of (time, id).
///
/// Versions count up from 0 or 1 nearly always; else they are seconds or milliseconds since 1970. Either way those of one customer
/// have the same number of digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedWidthOrders<'a> {
    entries: Entries<'a>,
}

/// Orders of one width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entries<'a> {
    bytes: &'a [u8],
    width: usize,
    count: usize,
}

/// How a customer's bytes end who has no returns, no cancellations, and no sections.
const ORDERS_ONLY: [u8; 2] = [0, 0];

impl<'a> FixedWidthOrders<'a> {
    /// Those of a customer whose bytes end with `entries`; none if there is anything else among these. They must have been packed.
    pub fn of(entries: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(entries);
        let count = usize::try_from(reader.varint()?).ok()?;
        let bytes = &reader.0[..reader.0.len().checked_sub(ORDERS_ONLY.len())?];
        // No order is shorter, so in this length there is room for nothing else.
        if bytes.len() == count * ORDER_WIDTH {
            return Some(Self { entries: Entries { bytes, width: ORDER_WIDTH, count } });
        }
        let width = ORDER_WIDTH - 1 + marks_length(bytes.get(MARKS_AT..)?);
        let entries = Entries { bytes, width, count };
        let are_fixed = bytes.len() == count.checked_mul(width)?
            && entries.iter().all(|entry| MARKS_AT + marks_length(&entry[MARKS_AT..]) + TAIL == width);
        are_fixed.then_some(Self { entries })
    }

    /// Puts these and one more behind them into `bytes`, as the end of a packed customer. None if the order does not belong there: if it
    /// is not later than all, if one has its id, or if it has another width.
    pub fn append<'b>(self, order: &Order, bytes: &'b mut Vec<u8>) -> Option<FixedWidthOrders<'b>> {
        let Entries { bytes: held, width, count } = self.entries;
        let is_last = self
            .entries
            .iter()
            .next_back()
            .is_none_or(|last| (placed_at(last), id(last)) < (order.placed_at, order.id));
        let mut last = [0; ORDER_WIDTH_MAX];
        let last = put_order(&mut last, order);
        if !is_last
            || (last.len() != width && count > 0)
            || self.entries.iter().any(|entry| id(entry) == order.id)
        {
            return None;
        }
        bytes.clear();
        put_varint(bytes, count as u64 + 1);
        let start = bytes.len();
        bytes.extend_from_slice(held);
        bytes.extend_from_slice(last);
        let end = bytes.len();
        bytes.extend_from_slice(&ORDERS_ONLY);
        let entries = Entries { bytes: &bytes[start..end], width: last.len(), count: count + 1 };
        Some(FixedWidthOrders { entries })
    }

    /// All but the oldest `count`.
    pub fn skip(self, count: usize) -> Self {
        Self { entries: self.entries.skip(count) }
    }

    /// The lowest format that expresses them.
    pub fn format(self) -> LedgerFormat {
        /// The width from which on some versions need the second format, and beyond which all do.
        const BOTH: usize = MARKS_AT + 5 + TAIL;
        let is_great = match self.entries.width {
            ..BOTH => false,
            BOTH => self.entries.iter().any(|entry| version(entry) >= ORDER_VERSION_LIMIT_V1),
            _ => true,
        };
        if is_great { LedgerFormat::V2 } else { LedgerFormat::V1 }
    }

    /// With what they are worth in a shop.
    pub fn valued(self, shop: &'a Shop) -> ValuedOrders<'a> {
        ValuedOrders { entries: self.entries, shop }
    }
}

/// [`FixedWidthOrders`] with what they are worth: all of what was sent.
#[derive(Clone, Copy)]
pub struct ValuedOrders<'a> {
    entries: Entries<'a>,
    shop: &'a Shop,
}

/// One of [`ValuedOrders`].
#[derive(Clone, Copy)]
pub struct ValuedOrder<'a> {
    entry: &'a [u8],
    shop: &'a Shop,
}

impl ValuedOrders<'_> {
    /// All but the oldest `count`.
    pub fn skip(self, count: usize) -> Self {
        Self { entries: self.entries.skip(count), shop: self.shop }
    }

    /// How many have left a window of [`WINDOWS`], by its index in blocks, at an instant. Found by halves.
    pub fn left(self, window: usize, at: Time) -> usize {
        let begin = at.as_millis() - WINDOWS[window - 1].1.as_millis();
        let (mut left, mut unknown) = (0, self.entries.count);
        while unknown > 0 {
            let middle = left + unknown / 2;
            if placed_at_millis(self.entries.get(middle)) <= begin {
                (left, unknown) = (middle + 1, unknown - unknown / 2 - 1);
            } else {
                unknown /= 2;
            }
        }
        left
    }
}

impl<'a> History for ValuedOrders<'a> {
    type Order = ValuedOrder<'a>;

    fn orders(self) -> impl ExactSizeIterator<Item = Self::Order> + DoubleEndedIterator {
        self.entries.iter().map(move |entry| ValuedOrder { entry, shop: self.shop })
    }

    fn first(self, count: usize) -> Self {
        Self { entries: self.entries.first(count), shop: self.shop }
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
        let value =
            if is_own { ShopAmount(total(self.entry).minor()) } else { converted(self.shop, self.entry) };
        OrderResult { value, placed: true, kept: value > ShopAmount::ZERO, ..OrderResult::default() }
    }
}

#[cold]
fn converted(shop: &Shop, entry: &[u8]) -> ShopAmount {
    let currency = Currency::from_bits(currency_bits(entry)).expect("packed by this engine");
    shop.convert(total(entry), currency)
}

impl<'a> Entries<'a> {
    #[inline(always)]
    fn get(self, index: usize) -> &'a [u8] {
        &self.bytes[index * self.width..][..self.width]
    }

    #[inline(always)]
    fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator {
        (0..self.count).map(move |index| self.get(index))
    }

    fn skip(self, count: usize) -> Self {
        Self { bytes: &self.bytes[count * self.width..], count: self.count - count, ..self }
    }

    fn first(self, count: usize) -> Self {
        Self { bytes: &self.bytes[..count * self.width], count, ..self }
    }
}

// === An order where it lies ===

/// Where an order's version begins.
const MARKS_AT: usize = 8;
/// What follows the version.
const TAIL: usize = 14;
const LOW_48: u64 = (1 << 48) - 1;

fn id(entry: &[u8]) -> OrderHash {
    OrderHash(u64::from_le_bytes(*entry.first_chunk().expect("an order is longer")))
}

fn is_test(entry: &[u8]) -> bool {
    entry[MARKS_AT] & 1 == 1
}

fn version(entry: &[u8]) -> u64 {
    Reader(&entry[MARKS_AT..]).varint().expect("packed by this engine") >> 1
}

/// How many bytes the varint takes at the front of these; one more than there are if it does not end.
fn marks_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1
}

#[inline(always)]
fn tail(entry: &[u8]) -> &[u8; TAIL] {
    entry.last_chunk().expect("an order is longer")
}

#[inline(always)]
fn number_48(bytes: &[u8]) -> i64 {
    (u64::from_le_bytes(bytes.try_into().expect("eight bytes")) & LOW_48) as i64
}

fn placed_at_millis(entry: &[u8]) -> i64 {
    number_48(&tail(entry)[..8])
}

fn placed_at(entry: &[u8]) -> Time {
    Time::from_millis(placed_at_millis(entry)).unwrap_or(Time::MAX)
}

fn total(entry: &[u8]) -> SentAmount {
    SentAmount(number_48(&tail(entry)[6..]))
}

fn currency_bits(entry: &[u8]) -> u16 {
    let [.., low, high] = *tail(entry);
    u16::from_le_bytes([low, high])
}

/// Writes an order of any version to the front of `entry`; gives what it takes.
fn put_order<'e>(entry: &'e mut [u8; ORDER_WIDTH_MAX], order: &Order) -> &'e [u8] {
    let mut width = MARKS_AT;
    let mut marks = marks(order);
    while marks >= 0x80 {
        entry[width] = marks as u8 | 0x80;
        marks >>= 7;
        width += 1;
    }
    entry[width] = marks as u8;
    width += 1 + TAIL;
    entry[..MARKS_AT].copy_from_slice(&order.id.0.to_le_bytes());
    let tail = entry[..width].last_chunk_mut().expect("an order is longer");
    put_tail(tail, order);
    &entry[..width]
}

fn put_usual(entry: &mut [u8; ORDER_WIDTH], order: &Order) {
    entry[..MARKS_AT].copy_from_slice(&order.id.0.to_le_bytes());
    entry[MARKS_AT] = marks(order) as u8;
    put_tail(entry.last_chunk_mut().expect("an order is longer"), order);
}

fn put_tail(tail: &mut [u8; TAIL], order: &Order) {
    // What follows a number of 48 bits overwrites its two highest bytes, which are zero.
    tail[..8].copy_from_slice(&order.placed_at.as_millis().to_le_bytes());
    tail[6..].copy_from_slice(&order.total.minor().to_le_bytes());
    tail[12..].copy_from_slice(&order.currency.to_bits().to_le_bytes());
}

fn marks(order: &Order) -> u64 {
    order.version << 1 | u64::from(order.test)
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
    if version_bits >= USUAL_VERSIONS {
        bytes.truncate(start);
        let mut entry = [0; ORDER_WIDTH_MAX];
        orders.iter().for_each(|order| bytes.extend_from_slice(put_order(&mut entry, order)));
    }
}

pub(super) fn read_orders(reader: &mut Reader<'_>, orders: &mut Vec<Order>) -> Option<()> {
    let count = usize::try_from(reader.varint()?).ok()?;
    let is_usual = reader.0.get(MARKS_AT).is_none_or(|byte| *byte < 0x80);
    if let Some((entries, tail)) = reader.0.split_at_checked(count.checked_mul(ORDER_WIDTH)?)
        && (is_usual || count == 0)
    {
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
        are_usual &= entry[MARKS_AT] < 0x80 && placed_at > latest && total.minor() < AMOUNT_LIMIT;
        latest = placed_at;
        if currency_bits(entry) != currency.to_bits() {
            match Currency::from_bits(currency_bits(entry)) {
                Some(other) => currency = other,
                None => are_usual = false,
            }
        }
        Order {
            id: id(entry),
            version: u64::from(entry[MARKS_AT] >> 1),
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
        version: Some(marks >> 1).filter(|version| *version < VERSION_LIMIT)?,
        test: marks & 1 == 1,
        placed_at: reader.time()?,
        total: reader.amount()?,
        currency: Currency::from_bits(u16::from_le_bytes(reader.take()?))?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Unreadable, pack, unpack};
    use super::*;
    use crate::domain::customer::Customer;

    fn order(id: u64, millis: i64, version: u64, currency: &[u8]) -> Order {
        Order {
            id: OrderHash(id),
            placed_at: Time::from_millis(millis).expect("in range"),
            version,
            total: SentAmount(AMOUNT_LIMIT - 1),
            currency: Currency::from_code(currency).expect("a currency"),
            test: id.is_multiple_of(2),
        }
    }

    /// What comes back of a customer with these orders.
    fn packed_and_unpacked(orders: &[Order]) -> Result<Vec<Order>, Unreadable> {
        let mut customer = Customer::default();
        customer.ledger.orders = orders.to_vec();
        let mut bytes = Vec::new();
        pack(b"customer", &customer, &mut bytes);
        unpack(&bytes, &mut customer).map(|()| customer.ledger.orders)
    }

    #[test]
    fn orders_of_every_length_come_back() {
        let last = Time::MAX.as_millis();
        for version in [0, 63, 64, (1 << 32) - 1, 1 << 32, 1_764_000_000_000, VERSION_LIMIT - 1] {
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
            assert_eq!(packed_and_unpacked(&[later, earlier]), Err(Unreadable::Corrupt));
            assert_eq!(packed_and_unpacked(&[earlier, later]), Ok(vec![earlier, later]));
        }
    }
}
