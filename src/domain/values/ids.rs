//! Identities as the domain sees them: 64-bit hashes, compared within one customer.

/// Hash of an order id (XXH3-64 of its bytes, computed by `wire`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OrderHash(pub u64);

/// Hash of a return id (XXH3-64 of its bytes, computed by `wire`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReturnHash(pub u64);

/// Hash of a SKU (XXH3-64 of its bytes, computed by `wire`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SkuHash(pub u64);

/// Index of a shop in [`Settings::shops`](crate::domain::settings::Settings::shops).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShopIndex(pub u16);

/// A customer's key as in the record key, with its 64-bit hash.
///
/// The hash must come from the engine's own hash function ([`Settings::hash`](crate::domain::settings::Settings::hash)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomerKey<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// A customer held by one engine: a slot number, valid until the customer is erased.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CustomerSlot(pub u32);
