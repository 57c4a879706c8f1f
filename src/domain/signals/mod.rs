//! What a signal holds, and when one is emitted.

pub mod kind;
pub mod ratio_signal;
pub mod rule;
pub mod signal;

pub mod lifecycle;
mod settled;
