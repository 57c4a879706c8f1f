//! A shop's history from files, as events in the order of time. What is done with them is the caller's: a replay applies them.
//!
//! ```text
//!  JSON Lines ─────────────────┐
//!                              ├──► native records ──► sources, sorted ──► merged by time
//!  CSV + map ──► order_lines ──┘      (formats)
//! ```

pub mod input;

pub mod source;

mod customers;

pub mod files;
