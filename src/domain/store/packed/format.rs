//! The versions of the format: which one a customer needs, and how bytes of an older one become bytes of the newest.
//!
//! | format | since | what it adds |
//! |---|---|---|
//! | 1 | commit ec2e2bb | – |
//! | 2 | 0.2.0 | order versions from 2³² on, sections behind the cancellations |
//! | 3 | 0.2.0 | the emitted segment, in four bits of the flags |
//! | 4 | 0.2.0 | the emitted tier, in four bits of the flags |
//!
//! Written is the lowest format that expresses a customer, so that as long as a shop uses nothing new the program before can read
//! its state. A new section needs no new format: its tag is refused by a program that does not know it. A new format is needed
//! where bytes before the sections change; it gets a step in [`upgrade`].

use std::borrow::Cow;

use super::Corrupt;
use super::bytes::Reader;
use super::orders::ORDER_VERSION_LIMIT_V1;
use crate::domain::customer::Customer;
use crate::domain::customer::ledger::CancelledUpTo;

/// A version of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Format {
    V1 = 1,
    V2 = 2,
    V3 = 3,
    V4 = 4,
}

/// The lowest format that expresses a customer's ledger and sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedgerFormat {
    V1,
    V2,
}

/// Where the half of the flags (little endian) begins that holds [`super::FORMAT_2`], the segment and the tier.
const FLAGS_HALF: usize = 2;
const FORMAT_2: u16 = 1;
const SEGMENT: u16 = 15 << 1;
const TIER: u16 = 15 << 8;

const _: () = assert!(super::FORMAT_2 == (FORMAT_2 as u32) << (8 * FLAGS_HALF));
const _: () = assert!(super::SEGMENT_MASK << super::SEGMENT_SHIFT == (SEGMENT as u32) << (8 * FLAGS_HALF));
const _: () = assert!(super::TIER_MASK << super::TIER_SHIFT == (TIER as u32) << (8 * FLAGS_HALF));

impl Format {
    pub const NEWEST: Self = Self::V4;

    /// The format of a number that was written before a customer; none if it is none of ours.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            _ => None,
        }
    }

    /// The number that is written before a customer.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The lowest format that expresses this packed customer. Any bytes will do: without flags they count as of the first.
    pub fn of(packed: &[u8]) -> Self {
        match flags(packed) {
            flags if flags & TIER != 0 => Self::V4,
            flags if flags & SEGMENT != 0 => Self::V3,
            flags if flags & FORMAT_2 != 0 => Self::V2,
            _ => Self::V1,
        }
    }
}

/// The half that tells formats apart; 0 without flags.
fn flags(packed: &[u8]) -> u16 {
    let mut reader = Reader(packed);
    let half = reader.key().and_then(|_| reader.0.get(FLAGS_HALF..)?.first_chunk());
    half.copied().map_or(0, u16::from_le_bytes)
}

impl LedgerFormat {
    /// As the flags of a packed customer say it.
    pub(super) fn of(packed: &[u8]) -> Self {
        if flags(packed) & FORMAT_2 != 0 { Self::V2 } else { Self::V1 }
    }

    /// The lowest format that expresses this customer's ledger and sections.
    pub(super) fn needed(customer: &Customer) -> Self {
        let Customer { ledger, rules, .. } = customer;
        let has_great_version = ledger.orders.iter().any(|order| order.version >= ORDER_VERSION_LIMIT_V1);
        let has_cancelled_version =
            ledger.cancellations.iter().any(|cancellation| cancellation.up_to != CancelledUpTo::Always);
        if has_great_version || has_cancelled_version || !rules.is_empty() { Self::V2 } else { Self::V1 }
    }
}

/// Brings a customer of a known format to the newest one, a step for each format in between. Nothing else is checked: the result is
/// checked where it is unpacked.
///
/// # Errors
/// The customer uses something that its format does not have.
pub fn upgrade(packed: &[u8], from: Format) -> Result<Cow<'_, [u8]>, Corrupt> {
    match from {
        Format::V1 | Format::V2 | Format::V3 => unchanged(packed, from),
        Format::V4 => Ok(Cow::Borrowed(packed)),
    }
}

/// Every customer of the first formats is one of the next that uses nothing new.
fn unchanged(packed: &[u8], from: Format) -> Result<Cow<'_, [u8]>, Corrupt> {
    if Format::of(packed) <= from { Ok(Cow::Borrowed(packed)) } else { Err(Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::super::{SEGMENT_SHIFT, TIER_SHIFT, Unreadable, pack, unpack};
    use super::*;
    use crate::domain::customer::Emitted;
    use crate::domain::rules::tiers::{EmittedTier, TIERS_MAX, TierIndex};
    use crate::domain::segments::names::Segment;
    use crate::domain::store::Store;
    use crate::domain::values::ids::CustomerKey;

    const KEY: CustomerKey<'_> = CustomerKey { bytes: b"c1", hash: 1 };

    fn packed(segment: Option<Segment>) -> Vec<u8> {
        packed_with(segment, EmittedTier::Unknown)
    }

    fn packed_with(segment: Option<Segment>, tier: EmittedTier) -> Vec<u8> {
        let emitted = Emitted { segment, tier, ..Emitted::NOTHING };
        let customer = Customer { emitted, ..Customer::default() };
        let mut bytes = Vec::new();
        pack(KEY.bytes, &customer, &mut bytes);
        bytes
    }

    #[test]
    fn a_segment_takes_no_byte_and_needs_the_third_format() {
        let without = packed(None);
        assert_eq!(Format::of(&without), Format::V1);
        for segment in Segment::ALL {
            let bytes = packed(Some(segment));
            assert_eq!((Format::of(&bytes), bytes.len()), (Format::V3, without.len()), "{segment:?}");
            let mut customer = Customer::default();
            assert_eq!(unpack(&bytes, &mut customer), Ok(()));
            assert_eq!(customer.emitted.segment, Some(segment));
            assert_eq!(upgrade(&bytes, Format::V2), Err(Corrupt));
            assert_eq!(upgrade(&bytes, Format::V3).as_deref(), Ok(&bytes[..]));
        }
        let mut bytes = packed(Some(Segment::Hibernating));
        bytes[1 + KEY.bytes.len() + FLAGS_HALF] += 1 << (SEGMENT_SHIFT % 8);
        assert_eq!(unpack(&bytes, &mut Customer::default()), Err(Unreadable::Corrupt), "an eleventh one");
    }

    #[test]
    fn a_tier_takes_no_byte_and_needs_the_fourth_format() {
        let reached = (0..TIERS_MAX as u8).map(|index| EmittedTier::Reached(TierIndex(index)));
        for tier in [EmittedTier::Below].into_iter().chain(reached) {
            for segment in [None, Some(Segment::Hibernating)] {
                let bytes = packed_with(segment, tier);
                assert_eq!((Format::of(&bytes), bytes.len()), (Format::V4, packed(None).len()), "{tier:?}");
                let mut customer = Customer::default();
                assert_eq!(unpack(&bytes, &mut customer), Ok(()));
                assert_eq!((customer.emitted.segment, customer.emitted.tier), (segment, tier));
                assert_eq!(upgrade(&bytes, Format::V3), Err(Corrupt));
                assert_eq!(upgrade(&bytes, Format::V4).as_deref(), Ok(&bytes[..]));
            }
        }
        let mut bytes = packed_with(None, EmittedTier::Reached(TierIndex(TIERS_MAX as u8 - 1)));
        bytes[1 + KEY.bytes.len() + FLAGS_HALF + 1] += 1 << (TIER_SHIFT % 8);
        assert_eq!(unpack(&bytes, &mut Customer::default()), Err(Unreadable::Corrupt), "a ninth one");
    }

    #[test]
    fn a_store_needs_the_format_of_its_newest_customer() {
        let mut store = Store::new(|_| 1);
        let slot = store.insert(KEY, &packed(None));
        assert_eq!(store.format(), Format::V1);
        store.replace(slot, &packed(Some(Segment::New)), &[]);
        assert_eq!(store.format(), Format::V3);
        store.replace(slot, &packed_with(Some(Segment::New), EmittedTier::Below), &[]);
        assert_eq!(store.format(), Format::V4);
        store.replace(slot, &packed(None), &[]);
        assert_eq!(store.format(), Format::V1);
        store.replace(slot, &packed(Some(Segment::Loyal)), &[]);
        store.remove(slot);
        assert_eq!(store.format(), Format::V1);
    }
}
