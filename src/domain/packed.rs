//! A customer as bytes: the form in memory and, behind a version byte, in the changelog.
//!
//! ```text
//! key length (varint) │ key │ flags u32 │ standing causes │ goods │ summary │ orders │ returns │ cancellations
//! ```
//! Four orders and a 16-byte key take 125 B. Little endian; times and amounts have 48 bits.

use super::customer::{Armed, Customer, Summary, Told};
use super::event::Goods;
use super::ids::{OrderHash, ReturnHash};
use super::ledger::{Cancellation, Order, Return};
use super::money::{AMOUNT_LIMIT, Currency};
use super::signal::{RecordDigest, StandingCause, State};
use super::time::Time;

/// Raised whenever the bytes change; `wire` writes it before them.
pub const FORMAT: u8 = 1;

/// The bytes are not a packed customer of [`FORMAT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt;

/// The key at the front of a packed customer.
pub fn key(packed: &[u8]) -> &[u8] {
    let mut reader = Reader(packed);
    reader.key().expect("packed by this engine or checked at restore")
}

/// The key at the front of bytes that may be anything; none if there is none, or an empty one.
pub fn checked_key(bytes: &[u8]) -> Option<&[u8]> {
    Reader(bytes).key().filter(|key| !key.is_empty())
}

/// Whether these bytes begin with this key.
pub fn has_key(packed: &[u8], key: &[u8]) -> bool {
    Reader(packed).key() == Some(key)
}

/// Packs a customer after clearing `bytes`.
pub fn pack(key: &[u8], customer: &Customer, bytes: &mut Vec<u8>) {
    bytes.clear();
    put_varint(bytes, key.len() as u64);
    bytes.extend_from_slice(key);
    let has_summary = !customer.summary.is_empty();
    put_told(bytes, &customer.told, customer.goods, has_summary);
    if has_summary {
        put_summary(bytes, &customer.summary);
    }
    put_varint(bytes, customer.ledger.orders.len() as u64);
    put_orders(bytes, &customer.ledger.orders);
    put_varint(bytes, customer.ledger.returns.len() as u64);
    for returned in &customer.ledger.returns {
        bytes.extend_from_slice(&returned.id.0.to_le_bytes());
        put_48(bytes, returned.returned_at.as_millis());
        put_48(bytes, returned.refund);
        let named = u16::from(returned.order.is_some()) << 15;
        bytes.extend_from_slice(&(returned.currency.to_bits() | named).to_le_bytes());
        if let Some(order) = returned.order {
            bytes.extend_from_slice(&order.0.to_le_bytes());
        }
    }
    put_varint(bytes, customer.ledger.cancellations.len() as u64);
    for cancellation in &customer.ledger.cancellations {
        bytes.extend_from_slice(&cancellation.order.0.to_le_bytes());
        put_48(bytes, cancellation.cancelled_at.as_millis());
    }
}

/// An order in its usual length: of a version below 64.
const USUAL_ORDER: usize = 23;

fn put_orders(bytes: &mut Vec<u8>, orders: &[Order]) {
    // All in their usual length at first, so that the vector is asked for room once.
    let start = bytes.len();
    bytes.resize(start + orders.len() * USUAL_ORDER, 0);
    let mut version_bits = 0;
    for (entry, order) in bytes[start..].as_chunks_mut::<USUAL_ORDER>().0.iter_mut().zip(orders) {
        version_bits |= order.version;
        entry[..8].copy_from_slice(&order.id.0.to_le_bytes());
        entry[8] = marks(order) as u8;
        // What follows a number of 48 bits overwrites its two highest bytes, which are zero.
        entry[9..17].copy_from_slice(&order.placed_at.as_millis().to_le_bytes());
        entry[15..23].copy_from_slice(&order.total.to_le_bytes());
        entry[21..].copy_from_slice(&order.currency.to_bits().to_le_bytes());
    }
    if version_bits >= 0x40 {
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

/// Unpacks into a customer whose memory is reused.
pub fn unpack(packed: &[u8], customer: &mut Customer) -> Result<(), Corrupt> {
    let mut reader = Reader(packed);
    customer.clear();
    (|| {
        reader.key()?;
        read_head(&mut reader, customer)?;
        read_entries(&mut reader, customer)?;
        reader.0.is_empty().then_some(())
    })()
    .ok_or(Corrupt)
}

const FIRST_ORDER: u32 = 1 << 2;
const SECOND_ORDER: u32 = 1 << 3;
const FREQUENCY_FELL: u32 = 1 << 4;
const FREQUENCY_ROSE: u32 = 1 << 5;
const ORDER_VALUE_FELL: u32 = 1 << 6;
const ORDER_VALUE_ROSE: u32 = 1 << 7;
const RETURN_RATE_HIGH: u32 = 1 << 8;
const AT_RISK: u32 = 1 << 9;
const AT_RISK_BY_RECORD: u32 = 1 << 10;
const LAPSED: u32 = 1 << 11;
const LAPSED_BY_RECORD: u32 = 1 << 12;
const ONE_SKU: u32 = 1 << 13;
const VARIED_GOODS: u32 = 1 << 14;
const SUMMARY: u32 = 1 << 15;
/// Bits that no version of this format sets.
const UNUSED: u32 = !0 << 16;

fn put_told(bytes: &mut Vec<u8>, told: &Told, goods: Goods, has_summary: bool) {
    let bit = |on: bool, bit: u32| if on { bit } else { 0 };
    let standing = |cause: Option<StandingCause>, said: u32, by_record: u32| {
        cause.map_or(0, |cause| said | bit(cause.record.is_some(), by_record))
    };
    let state = match told.state {
        State::Prospect => 0,
        State::Active => 1,
        State::AtRisk => 2,
        State::Lapsed => 3,
    };
    let goods_bits = match goods {
        Goods::Unknown => 0,
        Goods::One(_) => ONE_SKU,
        Goods::Varied => VARIED_GOODS,
    };
    let flags = state
        | bit(told.first_order, FIRST_ORDER)
        | bit(told.second_order, SECOND_ORDER)
        | bit(told.armed.frequency_fell, FREQUENCY_FELL)
        | bit(told.armed.frequency_rose, FREQUENCY_ROSE)
        | bit(told.armed.order_value_fell, ORDER_VALUE_FELL)
        | bit(told.armed.order_value_rose, ORDER_VALUE_ROSE)
        | bit(told.armed.return_rate_high, RETURN_RATE_HIGH)
        | standing(told.at_risk, AT_RISK, AT_RISK_BY_RECORD)
        | standing(told.lapsed, LAPSED, LAPSED_BY_RECORD)
        | goods_bits
        | bit(has_summary, SUMMARY);
    bytes.extend_from_slice(&flags.to_le_bytes());
    for cause in [told.at_risk, told.lapsed].into_iter().flatten() {
        put_48(bytes, cause.deadline.as_millis());
        if let Some(digest) = cause.record {
            bytes.extend_from_slice(&digest.0.to_le_bytes());
        }
    }
    if let Goods::One(sku) = goods {
        bytes.extend_from_slice(&sku.to_le_bytes());
    }
}

fn read_head(reader: &mut Reader<'_>, customer: &mut Customer) -> Option<()> {
    let flags = u32::from_le_bytes(reader.take()?);
    let has = |bit: u32| flags & bit != 0;
    if has(UNUSED) || (has(ONE_SKU) && has(VARIED_GOODS)) {
        return None;
    }
    let state = match flags & 3 {
        0 => State::Prospect,
        1 => State::Active,
        2 => State::AtRisk,
        _ => State::Lapsed,
    };
    let mut standing = |said: u32, by_record: u32| -> Option<Option<StandingCause>> {
        if !has(said) {
            return (!has(by_record)).then_some(None);
        }
        let deadline = reader.time()?;
        let record = if has(by_record) { Some(RecordDigest(reader.u64()?)) } else { None };
        Some(Some(StandingCause { deadline, record }))
    };
    let at_risk = standing(AT_RISK, AT_RISK_BY_RECORD)?;
    let lapsed = standing(LAPSED, LAPSED_BY_RECORD)?;
    // What follows from a told state is decided without looking further.
    if state == State::Lapsed && lapsed.is_none() {
        return None;
    }
    customer.told = Told {
        state,
        first_order: has(FIRST_ORDER),
        second_order: has(SECOND_ORDER),
        at_risk,
        lapsed,
        armed: Armed {
            frequency_fell: has(FREQUENCY_FELL),
            frequency_rose: has(FREQUENCY_ROSE),
            order_value_fell: has(ORDER_VALUE_FELL),
            order_value_rose: has(ORDER_VALUE_ROSE),
            return_rate_high: has(RETURN_RATE_HIGH),
        },
    };
    customer.goods = match (has(ONE_SKU), has(VARIED_GOODS)) {
        (true, _) => Goods::One(reader.u64()?),
        (false, true) => Goods::Varied,
        (false, false) => Goods::Unknown,
    };
    if has(SUMMARY) {
        customer.summary = read_summary(reader).filter(|summary| !summary.is_empty())?;
    }
    Some(())
}

fn put_summary(bytes: &mut Vec<u8>, summary: &Summary) {
    let Summary { block, kept, newest_order_at, newest_return_at } = summary;
    for count in [block.placed, block.kept, block.returned_orders, kept.count, kept.days.count] {
        put_varint(bytes, u64::from(count));
    }
    for amount in [block.gross, block.refunded, block.cancelled, block.unattributed, block.excess, kept.net] {
        put_signed(bytes, amount);
    }
    for value in kept.last_values {
        put_signed(bytes, value);
    }
    for day in [kept.days.first].into_iter().chain(kept.days.last) {
        put_signed(bytes, i64::from(day));
    }
    put_varint(bytes, kept.days.squares);
    put_varint(bytes, kept.last_id.0);
    let optional = |time: &Option<Time>| time.map_or(0, |time| time.as_millis() as u64 + 1);
    for time in [kept.first_at.as_millis() as u64, kept.last_at.as_millis() as u64] {
        put_varint(bytes, time);
    }
    put_varint(bytes, optional(newest_order_at));
    put_varint(bytes, optional(newest_return_at));
}

fn read_summary(reader: &mut Reader<'_>) -> Option<Summary> {
    let mut summary = Summary::default();
    let Summary { block, kept, .. } = &mut summary;
    for count in [
        &mut block.placed,
        &mut block.kept,
        &mut block.returned_orders,
        &mut kept.count,
        &mut kept.days.count,
    ] {
        *count = u32::try_from(reader.varint()?).ok()?;
    }
    for amount in [
        &mut block.gross,
        &mut block.refunded,
        &mut block.cancelled,
        &mut block.unattributed,
        &mut block.excess,
        &mut kept.net,
    ] {
        *amount = reader.signed()?;
    }
    for value in &mut kept.last_values {
        *value = reader.signed()?;
    }
    for day in [&mut kept.days.first].into_iter().chain(&mut kept.days.last) {
        *day = i32::try_from(reader.signed()?).ok()?;
    }
    kept.days.squares = reader.varint()?;
    kept.last_id = OrderHash(reader.varint()?);
    kept.first_at = Time::from_millis(i64::try_from(reader.varint()?).ok()?)?;
    kept.last_at = Time::from_millis(i64::try_from(reader.varint()?).ok()?)?;
    summary.newest_order_at = reader.optional_time()?;
    summary.newest_return_at = reader.optional_time()?;
    Some(summary)
}

fn read_entries(reader: &mut Reader<'_>, customer: &mut Customer) -> Option<()> {
    let ledger = &mut customer.ledger;
    read_orders(reader, &mut ledger.orders)?;
    for _ in 0..reader.varint()? {
        let id = ReturnHash(reader.u64()?);
        let (returned_at, refund) = (reader.time()?, reader.amount()?);
        let marks = u16::from_le_bytes(reader.take()?);
        let order = if marks >> 15 == 1 { Some(OrderHash(reader.u64()?)) } else { None };
        let currency = Currency::from_bits(marks & 0x7fff)?;
        ledger.returns.push(Return { id, returned_at, refund, currency, order });
    }
    for _ in 0..reader.varint()? {
        let order = OrderHash(reader.u64()?);
        ledger.cancellations.push(Cancellation { order, cancelled_at: reader.time()? });
    }
    let sorted = ledger.returns.is_sorted_by_key(|returned| (returned.returned_at, returned.id))
        && ledger.cancellations.is_sorted_by_key(|entry| (entry.cancelled_at, entry.order));
    sorted.then_some(())
}

fn read_orders(reader: &mut Reader<'_>, orders: &mut Vec<Order>) -> Option<()> {
    let count = usize::try_from(reader.varint()?).ok()?;
    if let Some((entries, tail)) = reader.0.split_at_checked(count.checked_mul(USUAL_ORDER)?) {
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
fn read_usual_orders(entries: &[[u8; USUAL_ORDER]], orders: &mut Vec<Order>) -> bool {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let currency_bits = |entry: &[u8; USUAL_ORDER]| u16::from_le_bytes([entry[21], entry[22]]);
    let Some(mut currency) = entries.first().and_then(|entry| Currency::from_bits(currency_bits(entry)))
    else {
        return entries.is_empty();
    };
    let (mut are_usual, mut latest) = (true, -1);
    // Without a way out of it, so that the room is asked for once.
    orders.extend(entries.iter().map(|entry| {
        const LOW_48: u64 = (1 << 48) - 1;
        let placed_at = (number(&entry[9..17]) & LOW_48) as i64;
        let total = (number(&entry[15..23]) & LOW_48) as i64;
        are_usual &= entry[8] < 0x80 && placed_at > latest && total < AMOUNT_LIMIT;
        latest = placed_at;
        if currency_bits(entry) != currency.to_bits() {
            match Currency::from_bits(currency_bits(entry)) {
                Some(other) => currency = other,
                None => are_usual = false,
            }
        }
        Order {
            id: OrderHash(number(&entry[..8])),
            version: u32::from(entry[8] >> 1),
            test: entry[8] & 1 == 1,
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

fn put_48(bytes: &mut Vec<u8>, number: i64) {
    debug_assert!((0..1 << 48).contains(&number));
    bytes.extend_from_slice(&number.to_le_bytes()[..6]);
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Zigzag, so that small negative numbers are short too.
fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put_varint(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn number_48(&mut self) -> Option<i64> {
        let [a, b, c, d, e, f] = self.take()?;
        Some(i64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    fn amount(&mut self) -> Option<i64> {
        self.number_48().filter(|amount| *amount < AMOUNT_LIMIT)
    }

    fn time(&mut self) -> Option<Time> {
        Time::from_millis(self.number_48()?)
    }

    fn optional_time(&mut self) -> Option<Option<Time>> {
        match self.varint()? {
            0 => Some(None),
            millis => Some(Some(Time::from_millis(i64::try_from(millis - 1).ok()?)?)),
        }
    }

    /// In the shortest form only: a customer has one form, so that what is not exactly ours is noticed.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (key, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
