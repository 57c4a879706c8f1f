//! What a history says about models and policies: `fit` and `backtest` share it.
//!
//! ```text
//!  engine, stopped at an instant ──► Cut: customers as they were, and what they did next
//!                                     │
//!                     fitting: models ◄┴► measures: how well scores and flags foretold it
//! ```

pub(crate) mod cut;
pub(crate) mod fitting;
pub mod measures;
pub(crate) mod parallel;
