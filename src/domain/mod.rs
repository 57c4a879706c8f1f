//! What is computed, and nothing else: no Kafka, no clock, no serialization, no logging, no failure.
//!
//! Records and instants go in, effects come out; the same input gives the same output on every machine. Meanings are
//! in `docs/DEFINITIONS.md`. In reading order:

pub mod values;

pub mod in_force;

pub mod model;

pub mod lapse;
pub mod settings;

pub mod customer;

pub mod signals;

pub mod store;

pub mod segments;

pub mod daily_count;

pub mod rules;

pub mod engine;
