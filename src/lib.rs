//! Keeps the retention state of every customer of a shop up to date and publishes what changes, exactly once.
//!
//! The way of a record, with the module that does each step:
//!
//! ```text
//!  Kafka topics (orders, returns, erasures)            files (JSON Lines, CSV and a map)
//!        │ kafka::member, kafka::queue                        │ history::files
//!        ▼                                                    ▼
//!  stream::worker        polls a batch of one         commands::replay
//!        │               consumer group member                │
//!        ▼                                                    │
//!  stream::partition     merges the inputs by time            │
//!        │                                                    │
//!        └──────────────► formats::native ◄───────────────────┘   bytes → native record, or a reason why not
//!                               │
//!                               ▼
//!                         domain::engine        state and timers of one partition; pure
//!                               │ signals, changed customers
//!                               ▼
//!                         wire::encode, wire::changelog           → bytes
//!                               │
//!        ┌──────────────────────┴─────────────────────────────┐
//!        ▼                                                    ▼
//!  stream::worker        one Kafka transaction:         result files
//!        │               outputs, changelog, seal, input offsets
//!        ▼ committed
//!  observe               metrics, status, HTTP queries; snapshot: local copies of the state
//! ```
//!
//! Dependencies point one way: `commands → {stream, history} → maps → {formats, wire} → domain`, and `kafka → stream::broker`.
//! Modules in reading order:

pub mod topic;

pub mod domain;

pub mod wire;

pub mod formats;

pub mod maps;

pub mod stream;

pub mod snapshot;

pub mod kafka;

pub mod history;

pub mod analysis;

pub mod observe;

pub mod config;

pub mod commands;
pub mod exit;

pub mod fault;
