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
pub mod registry;
pub mod remark;
pub mod shares;

pub mod encode;

pub mod changelog;
