//! The intake: records in the form of shops, from topics with any key, become native records in the inputs of the service.
//!
//! ```text
//!  raw topics ─► poll (read_committed) ─► map ─► decoder ─► one transaction: native records, dead letters, raw offsets
//! ```
//!
//! It keeps no state but the group's committed offsets. So whatever fails, the answer is the same: give the transaction up, ask the
//! brokers how far the group is committed, and read from there. What was not committed was written for no reader.

mod counts;
pub mod lane;
mod lanes;
pub mod load;
pub mod mapping;
pub mod port;
pub mod rules;
mod transaction;
pub mod worker;
