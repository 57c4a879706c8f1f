//! The versions of the format: which one a customer needs, and how bytes of an older one become bytes of the newest.
//!
//! | format | since | what it adds |
//! |---|---|---|
//! | 1 | commit ec2e2bb | – |
//! | 2 | 0.2.0 | order versions from 2³² on, sections behind the cancellations |
//!
//! Written is the lowest format that expresses a customer, so that as long as a shop uses nothing new the program before can read
//! its state. A new section needs no new format: its tag is refused by a program that does not know it. A new format is needed
//! where bytes before the sections change; it gets a step in [`upgrade`].

use std::borrow::Cow;

use super::Corrupt;
use super::bytes::Reader;
use super::orders::ORDER_VERSION_LIMIT_V1;
use crate::domain::customer::ledger::{CancelledUpTo, Ledger};

/// A version of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Format {
    V1 = 1,
    V2 = 2,
}

/// The byte of the flags (little endian) that holds [`super::FORMAT_2`].
const FLAGS_BYTE: usize = 2;
const FLAGS_BIT: u8 = 1;

const _: () = assert!(super::FORMAT_2 == (FLAGS_BIT as u32) << (8 * FLAGS_BYTE));

impl Format {
    pub const NEWEST: Self = Self::V2;

    /// The format of a number that was written before a customer; none if it is none of ours.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// The number that is written before a customer.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The lowest format that expresses this packed customer. Any bytes will do: without flags they count as of the first.
    pub fn of(packed: &[u8]) -> Self {
        let mut reader = Reader(packed);
        let flags = reader.key().and_then(|_| reader.0.get(FLAGS_BYTE));
        if flags.is_some_and(|byte| byte & FLAGS_BIT != 0) { Self::V2 } else { Self::V1 }
    }

    /// The lowest format that expresses a customer with this ledger.
    pub(super) fn needed(ledger: &Ledger) -> Self {
        let has_great_version = ledger.orders.iter().any(|order| order.version >= ORDER_VERSION_LIMIT_V1);
        let has_cancelled_version =
            ledger.cancellations.iter().any(|cancellation| cancellation.up_to != CancelledUpTo::Always);
        if has_great_version || has_cancelled_version { Self::V2 } else { Self::V1 }
    }
}

/// Brings a customer of a known format to the newest one, a step for each format in between. Nothing else is checked: the result is
/// checked where it is unpacked.
///
/// # Errors
/// The customer uses something that its format does not have.
pub fn upgrade(packed: &[u8], from: Format) -> Result<Cow<'_, [u8]>, Corrupt> {
    match from {
        Format::V1 => from_1_to_2(packed),
        Format::V2 => Ok(Cow::Borrowed(packed)),
    }
}

/// Every customer of format 1 is one of format 2 that uses nothing new.
fn from_1_to_2(packed: &[u8]) -> Result<Cow<'_, [u8]>, Corrupt> {
    if Format::of(packed) == Format::V1 { Ok(Cow::Borrowed(packed)) } else { Err(Corrupt) }
}
