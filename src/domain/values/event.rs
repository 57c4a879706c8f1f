//! Validated input records. The decoder has checked every bound, so the engine refuses none for its form.

use super::ids::{OrderHash, ReturnHash};
use super::money::{Currency, SentAmount};
use super::time::Time;

/// A record that enters a customer's ledger and may cause signals. Erasures are apart: see [`ErasureRecord`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record {
    Order(OrderRecord),
    Cancellation(CancellationRecord),
    Return(ReturnRecord),
}

impl Record {
    /// The business time by which inputs are merged and the clock moves.
    pub fn time(&self) -> Time {
        match self {
            Self::Order(order) => order.placed_at,
            Self::Cancellation(cancellation) => cancellation.cancelled_at,
            Self::Return(returned) => returned.returned_at,
        }
    }
}

/// Versions are below: every greater whole number is not exactly a number of JSON in all languages.
pub const VERSION_LIMIT: u64 = 1 << 53;

/// An order was placed, or a new version of it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderRecord {
    pub id: OrderHash,
    /// A higher version replaces a lower one. Below [`VERSION_LIMIT`].
    pub version: u64,
    pub placed_at: Time,
    /// What the customer pays, in minor units of `currency`: 0 to [`AMOUNT_LIMIT`](super::money::AMOUNT_LIMIT), exclusive.
    pub total: SentAmount,
    /// As sent; the shop's own or one with a configured rate.
    pub currency: Currency,
    /// A test order is remembered and never counted.
    pub test: bool,
    pub skus: SkuVariety,
}

/// An order was cancelled as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CancellationRecord {
    pub order: OrderHash,
    pub cancelled_at: Time,
    /// A greater version of the order brings it back; none does without. Below [`VERSION_LIMIT`].
    pub version: Option<u64>,
}

/// Goods came back or money was refunded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnRecord {
    pub id: ReturnHash,
    pub returned_at: Time,
    /// Money given back, in minor units of `currency`: 0 to [`AMOUNT_LIMIT`](super::money::AMOUNT_LIMIT), exclusive.
    pub refund: SentAmount,
    /// As sent; the shop's own or one with a configured rate.
    pub currency: Currency,
    /// The order that the record names, if it names one.
    pub order: Option<OrderHash>,
}

/// A customer asked to be forgotten. It removes a ledger instead of entering one, so it is no [`Record`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErasureRecord {
    pub requested_at: Time,
}

/// An order or a return without a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestRecord {
    Order { placed_at: Time, total: SentAmount, currency: Currency, test: bool },
    Return { returned_at: Time, refund: SentAmount, currency: Currency },
}

impl GuestRecord {
    pub fn time(&self) -> Time {
        match self {
            Self::Order { placed_at, .. } => *placed_at,
            Self::Return { returned_at, .. } => *returned_at,
        }
    }
}

/// Whether a customer ordered none, one or several SKUs, as far as the records show.
///
/// Equivalent to the smallest and largest SKU hash of a set, in half the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SkuVariety {
    Unknown,
    One(u64),
    Varied,
}

impl SkuVariety {
    /// The variety of both together; order and repetition do not matter.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, skus) | (skus, Self::Unknown) => skus,
            (Self::One(a), Self::One(b)) if a == b => self,
            (Self::One(_) | Self::Varied, Self::One(_) | Self::Varied) => Self::Varied,
        }
    }
}
