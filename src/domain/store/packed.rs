//! A customer as bytes: the form in memory and, behind the number of its [`Format`], in the changelog.
//!
//! ```text
//! key length (varint) │ key │ flags u32 │ open alerts │ SKU │ summary │ orders │ returns │ cancellations │ sections
//! ```
//! Four orders and a 16-byte key take 125 B. Little endian; times and amounts have 48 bits. What a shop does not use takes no byte: it
//! is a bit of the flags that is 0, or a section (`sections`) that is not there. So old state says of everything new that it is unused,
//! and an armed bit that old state does not have reads as disarmed.

mod bytes;
mod format;
mod orders;
mod rule_memory;
mod sections;
mod size;

use crate::domain::customer::ledger::{Cancellation, CancelledUpTo, Ledger, Return};
use crate::domain::customer::summary::Summary;
use crate::domain::customer::{Customer, Emitted, EmittedLifecycle};
use crate::domain::rules::tiers::{EmittedTier, TIERS_MAX, TierIndex};
use crate::domain::segments::names::Segment;
use crate::domain::signals::ratio_signal::Armed;
use crate::domain::signals::signal::{OpenAlert, RecordDigest};
use crate::domain::values::event::SkuVariety;
use crate::domain::values::ids::{OrderHash, ReturnHash};
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::time::Time;
use bytes::{Reader, put_48, put_signed, put_varint};
use orders::{put_orders, read_orders};
use sections::{put_sections, read_sections};

pub use format::{Format, LedgerFormat, upgrade};
pub use orders::{FixedWidthOrders, ValuedOrders};
pub use sections::NEWEST_SECTION;
pub use size::bytes_max;

/// The bytes are not a packed customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt;

/// Why bytes cannot be unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    Corrupt,
    /// A newer program has written a section that this one does not know.
    NewerSection {
        tag: u8,
    },
}

impl From<Corrupt> for Unreadable {
    fn from(Corrupt: Corrupt) -> Self {
        Self::Corrupt
    }
}

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
    pack_head(key, customer, LedgerFormat::needed(customer), bytes);
    put_varint(bytes, customer.ledger.orders.len() as u64);
    put_orders(bytes, &customer.ledger.orders);
    put_varint(bytes, customer.ledger.returns.len() as u64);
    for returned in &customer.ledger.returns {
        bytes.extend_from_slice(&returned.id.0.to_le_bytes());
        put_48(bytes, returned.returned_at.as_millis());
        put_48(bytes, returned.refund.minor());
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
    put_sections(bytes, customer);
}

/// Packs all of a customer that stands before the entries of the ledger, after clearing `bytes`. `format` is the lowest one that
/// expresses the customer.
pub fn pack_head(key: &[u8], customer: &Customer, format: LedgerFormat, bytes: &mut Vec<u8>) {
    bytes.clear();
    put_varint(bytes, key.len() as u64);
    bytes.extend_from_slice(key);
    let has_summary = !customer.summary.is_empty();
    put_emitted(bytes, customer, has_summary, format);
    if has_summary {
        put_summary(bytes, &customer.summary);
    }
}

/// Unpacks into a customer whose memory is reused.
pub fn unpack(packed: &[u8], customer: &mut Customer) -> Result<(), Unreadable> {
    let entries = unpack_head(packed, customer)?;
    let format = LedgerFormat::of(packed);
    unpack_entries(entries, customer).map_err(|error| match format {
        LedgerFormat::V1 => Unreadable::Corrupt, // It has no sections.
        LedgerFormat::V2 => error,
    })?;
    // A customer has one form, so that what is not exactly ours is noticed.
    if format == LedgerFormat::needed(customer) { Ok(()) } else { Err(Unreadable::Corrupt) }
}

/// Unpacks all but the entries of the ledger, of which there are none then. Gives their bytes.
pub fn unpack_head<'a>(packed: &'a [u8], customer: &mut Customer) -> Result<&'a [u8], Corrupt> {
    let mut reader = Reader(packed);
    customer.clear();
    reader.key().and_then(|_| read_head(&mut reader, customer)).ok_or(Corrupt)?;
    Ok(reader.0)
}

/// Unpacks the entries of the ledger, behind those that it has, and the sections behind them.
pub fn unpack_entries(entries: &[u8], customer: &mut Customer) -> Result<(), Unreadable> {
    let mut reader = Reader(entries);
    read_entries(&mut reader, &mut customer.ledger).ok_or(Corrupt)?;
    read_sections(reader.0, customer)
}

const FIRST_ORDER: u32 = 1 << 2;
const SECOND_ORDER: u32 = 1 << 3;
/// A bit for each ratio signal, up to the next one. A sixth needs a place of its own: disarmed in state that does not have it.
const ARMED_SHIFT: u32 = 4;
const _: () = assert!((Armed::ALL.bits() as u32) << ARMED_SHIFT < AT_RISK);
const AT_RISK: u32 = 1 << 9;
const AT_RISK_BY_RECORD: u32 = 1 << 10;
const LAPSED: u32 = 1 << 11;
const LAPSED_BY_RECORD: u32 = 1 << 12;
const ONE_SKU: u32 = 1 << 13;
const VARIED_GOODS: u32 = 1 << 14;
const SUMMARY: u32 = 1 << 15;
/// The ledger is not expressed by the first format.
const FORMAT_2: u32 = 1 << 16;
/// Four bits: 0 without a segment, else its position in [`Segment::ALL`] from 1 on. Only the third format sets them.
const SEGMENT_SHIFT: u32 = 17;
const SEGMENT_MASK: u32 = 15;
/// Four bits, see [`tier_number`]. Only the fourth format sets them.
const TIER_SHIFT: u32 = 24;
const TIER_MASK: u32 = 15;
/// Bits that no format sets.
const UNUSED: u32 = 7 << 21 | 15 << 28;

const _: () = assert!(Segment::ALL.len() <= SEGMENT_MASK as usize);
const _: () = assert!(TIERS_MAX < TIER_MASK as usize);

fn put_emitted(bytes: &mut Vec<u8>, customer: &Customer, has_summary: bool, format: LedgerFormat) {
    let Customer { emitted, skus, .. } = *customer;
    let bit = |on: bool, bit: u32| if on { bit } else { 0 };
    let totals = |cause: Option<OpenAlert>, said: u32, by_record: u32| {
        cause.map_or(0, |cause| said | bit(cause.record.is_some(), by_record))
    };
    let (state, at_risk, lapsed) = match emitted.lifecycle {
        EmittedLifecycle::Prospect => (0, None, None),
        EmittedLifecycle::Active => (1, None, None),
        EmittedLifecycle::AtRisk(at_risk) => (2, Some(at_risk), None),
        EmittedLifecycle::Lapsed { lapsed, at_risk } => (3, at_risk, Some(lapsed)),
    };
    let goods_bits = match skus {
        SkuVariety::Unknown => 0,
        SkuVariety::One(_) => ONE_SKU,
        SkuVariety::Varied => VARIED_GOODS,
    };
    let flags = state
        | bit(emitted.first_order, FIRST_ORDER)
        | bit(emitted.second_order, SECOND_ORDER)
        | u32::from(emitted.armed.bits()) << ARMED_SHIFT
        | totals(at_risk, AT_RISK, AT_RISK_BY_RECORD)
        | totals(lapsed, LAPSED, LAPSED_BY_RECORD)
        | goods_bits
        | bit(has_summary, SUMMARY)
        | bit(format == LedgerFormat::V2, FORMAT_2)
        | emitted.segment.map_or(0, |segment| segment as u32 + 1) << SEGMENT_SHIFT
        | tier_number(emitted.tier) << TIER_SHIFT;
    bytes.extend_from_slice(&flags.to_le_bytes());
    for cause in [at_risk, lapsed].into_iter().flatten() {
        put_48(bytes, cause.deadline.as_millis());
        if let Some(digest) = cause.record {
            bytes.extend_from_slice(&digest.0.to_le_bytes());
        }
    }
    if let SkuVariety::One(sku) = skus {
        bytes.extend_from_slice(&sku.to_le_bytes());
    }
}

fn read_head(reader: &mut Reader<'_>, customer: &mut Customer) -> Option<()> {
    let flags = u32::from_le_bytes(reader.take()?);
    let has = |bit: u32| flags & bit != 0;
    if has(UNUSED) || (has(ONE_SKU) && has(VARIED_GOODS)) {
        return None;
    }
    let mut totals = |said: u32, by_record: u32| -> Option<Option<OpenAlert>> {
        if !has(said) {
            return (!has(by_record)).then_some(None);
        }
        let deadline = reader.time()?;
        let record = if has(by_record) { Some(RecordDigest(reader.u64()?)) } else { None };
        Some(Some(OpenAlert { deadline, record }))
    };
    let at_risk = totals(AT_RISK, AT_RISK_BY_RECORD)?;
    let lapsed = totals(LAPSED, LAPSED_BY_RECORD)?;
    let lifecycle = match (flags & 3, at_risk, lapsed) {
        (0, None, None) => EmittedLifecycle::Prospect,
        (1, None, None) => EmittedLifecycle::Active,
        (2, Some(at_risk), None) => EmittedLifecycle::AtRisk(at_risk),
        (3, at_risk, Some(lapsed)) => EmittedLifecycle::Lapsed { lapsed, at_risk },
        _ => return None, // The engine leads to no other combination.
    };
    let segment = match (flags >> SEGMENT_SHIFT & SEGMENT_MASK) as usize {
        0 => None,
        number => Some(*Segment::ALL.get(number - 1)?),
    };
    let tier = tier_of_number(flags >> TIER_SHIFT & TIER_MASK)?;
    customer.emitted = Emitted {
        lifecycle,
        first_order: has(FIRST_ORDER),
        second_order: has(SECOND_ORDER),
        armed: Armed::from_bits((flags >> ARMED_SHIFT) as u8),
        segment,
        tier,
    };
    customer.skus = match (has(ONE_SKU), has(VARIED_GOODS)) {
        (true, _) => SkuVariety::One(reader.u64()?),
        (false, true) => SkuVariety::Varied,
        (false, false) => SkuVariety::Unknown,
    };
    if has(SUMMARY) {
        customer.summary = read_summary(reader).filter(|summary| !summary.is_empty())?;
    }
    Some(())
}

/// 0 where nothing was emitted, 1 below the lowest tier, then the tiers from the lowest on.
const fn tier_number(tier: EmittedTier) -> u32 {
    match tier {
        EmittedTier::Unknown => 0,
        EmittedTier::Below => 1,
        EmittedTier::Reached(TierIndex(index)) => 2 + index as u32,
    }
}

fn tier_of_number(number: u32) -> Option<EmittedTier> {
    match number {
        0 => Some(EmittedTier::Unknown),
        1 => Some(EmittedTier::Below),
        2.. => {
            let index = u8::try_from(number - 2).ok().filter(|index| usize::from(*index) < TIERS_MAX);
            index.map(|index| EmittedTier::Reached(TierIndex(index)))
        }
    }
}

fn put_summary(bytes: &mut Vec<u8>, summary: &Summary) {
    let Summary { block, kept, newest_order_at, newest_return_at } = summary;
    for count in [block.placed, block.kept, block.returned_orders, kept.count, kept.days.count] {
        put_varint(bytes, u64::from(count));
    }
    for amount in [block.gross, block.refunded, block.cancelled, block.unattributed, block.excess, kept.net] {
        put_signed(bytes, amount.minor());
    }
    for value in kept.last_values {
        put_signed(bytes, value.minor());
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
        *amount = ShopAmount(reader.signed()?);
    }
    for value in &mut kept.last_values {
        *value = ShopAmount(reader.signed()?);
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

fn read_entries(reader: &mut Reader<'_>, ledger: &mut Ledger) -> Option<()> {
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
        let (cancelled_at, up_to) = (reader.time()?, CancelledUpTo::Always);
        ledger.cancellations.push(Cancellation { order, cancelled_at, up_to, emitted: true });
    }
    let sorted = ledger.returns.is_sorted_by_key(|returned| (returned.returned_at, returned.id))
        && ledger.cancellations.is_sorted_by_key(|entry| (entry.cancelled_at, entry.order));
    sorted.then_some(())
}
