//! Ids, numbers, money, times, and the records made of them.

pub mod ids;

pub mod decimal;
pub mod number;

pub mod money;
pub mod time;

pub mod event;
pub mod window;
