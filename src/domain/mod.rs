//! What is computed, and nothing else: no Kafka, no clock, no serialization, no logging, no failure.
//!
//! Records and instants go in, effects come out; the same input gives the same output on every machine. Meanings are
//! in `docs/DEFINITIONS.md`. In reading order:

pub mod ids;
pub mod number;

pub mod money;
pub mod time;

pub mod event;
pub mod settings;

pub mod ledger;
pub mod rhythm;
pub mod window;

pub mod history;

pub mod lapse;
pub mod signal;

pub mod customer;
pub mod facts;
pub mod packed;
pub mod prefetch;

pub mod lifecycle;

pub mod figures;
pub mod standings;
pub mod store;
pub mod timers;
pub mod window_ends;

mod scratch;

pub mod append;
pub mod engine;
pub mod erasure;
pub mod export;
pub mod passing;
pub mod queries;
pub mod restore;
