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
    pub watched: WatchedSkus,
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
    Order { id: OrderHash, placed_at: Time, total: SentAmount, currency: Currency, test: bool },
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

/// Which of the SKUs that rules watch an order holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WatchedSkus {
    /// Places in the list of watched SKUs, in the order of the record's lines; `count` of them are filled.
    places: [u16; WATCHED_SKUS_MAX],
    count: u8,
    left_out: u8,
}

/// How many of them an order tells at most: so many firings may be planned for products of a customer.
pub const WATCHED_SKUS_MAX: usize = 8;

impl WatchedSkus {
    pub const NONE: Self = Self { places: [0; WATCHED_SKUS_MAX], count: 0, left_out: 0 };

    /// Adds a SKU by its place in the list; one that is there already changes nothing.
    pub fn add(&mut self, place: u16) {
        let count = usize::from(self.count);
        if self.places[..count].contains(&place) {
            return;
        }
        match self.places.get_mut(count) {
            Some(free) => {
                *free = place;
                self.count += 1;
            }
            None => self.left_out = self.left_out.saturating_add(1),
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each once, in the order in which they were added.
    pub fn places(&self) -> &[u16] {
        &self.places[..usize::from(self.count)]
    }

    /// How many lines of further watched SKUs the order holds.
    pub const fn left_out(&self) -> u8 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_tells_of_eight_watched_skus_at_most() {
        let mut watched = WatchedSkus::NONE;
        for place in [7, 3, 7, 0, 1, 2, 4, 5, 6, 3, 8, 9] {
            watched.add(place);
        }
        assert_eq!(watched.places(), [7, 3, 0, 1, 2, 4, 5, 6]);
        assert_eq!((watched.left_out(), watched.is_empty()), (2, false));
        assert_eq!((WatchedSkus::default(), WatchedSkus::NONE.is_empty()), (WatchedSkus::NONE, true));
    }
}
