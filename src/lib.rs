//! Keeps the retention state of every customer of a shop up to date and publishes what changes, exactly once.
//!
//! ```text
//!  orders, returns, erasures ──► wire::decode ──► domain::engine ──► wire::encode ──► one Kafka transaction
//! ```

pub mod broker;
pub mod check;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod exit;
pub mod explain;
pub mod fault;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod partition;
pub mod processor;
pub mod query;
pub mod replay;
pub mod run;
pub mod snapshot;
pub mod status;
pub mod telemetry;
pub mod topics;
pub mod wire;
