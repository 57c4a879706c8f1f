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

pub mod window;

pub mod lapse;
pub mod signal;
