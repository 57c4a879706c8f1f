//! Keeps the retention state of every customer of a shop up to date and publishes what changes, exactly once.
//!
//! ```text
//!  orders, returns, erasures ──► wire::decode ──► domain::engine ──► wire::encode ──► one Kafka transaction
//! ```

pub mod config;
pub mod domain;
pub mod wire;
pub mod broker;
pub mod exit;
pub mod status;
pub mod query;
pub mod metrics;
pub mod http;
pub mod telemetry;
