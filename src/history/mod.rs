//! A shop's history from files, as events in the order of time.
//!
//! ```text
//!  JSON Lines ──► source ───────────────────┐
//!                   ▲                       ├──► merged by time
//!  CSV + map ──► table ──► documents ───────┘
//! ```

pub mod input;
pub mod progress;

pub mod refused;
pub mod results;

pub mod source;

mod decimal;
mod local_time;
pub mod map;
pub mod table;

mod documents;

pub mod files;
