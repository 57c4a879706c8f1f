//! What bytes mean, in both directions, and the only place that knows: JSON records in, signals, profiles and dead
//! letters out, the changelog's own format both ways. It also computes every hash; the domain sees numbers.
//!
//! ```text
//!  key, value ──► decode ──► Event ──► (engine) ──► Signal, Profile ──► encode ──► bytes
//!                   │                     │
//!                   └──► Refusal          └──► packed customer, Seal ◄──► state ◄──► changelog
//! ```

pub mod hash;
pub mod reason;

pub mod encode;

pub mod changelog;

/// A kind of topic or file that is read. The order is that of ties in the merge: an order before the return of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Input {
    Orders,
    Returns,
    Erasures,
}

impl Input {
    pub const ALL: [Self; 3] = [Self::Orders, Self::Returns, Self::Erasures];

    /// The name in settings and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Returns => "returns",
            Self::Erasures => "erasures",
        }
    }

    /// The position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}
