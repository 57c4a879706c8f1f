//! The model of repeat purchases: how probable an order is, and what it is worth.
//!
//! [`mbg_nbd`] says whether and how often a customer orders again, [`gamma_gamma`] for how much, [`correction`] what values of
//! orders add to the ranking, and [`fit`] finds the parameters of all three.
//!
//! This module is the only one of the domain with floats: no money, time or count is one. So that each machine gets the same bits, it
//! uses `+ − × ÷` and the functions of [`math`] alone; deadlines are whole hours, and probabilities are compared and published with four
//! decimals.

pub mod correction;
pub mod fit;
pub mod gamma_gamma;
pub mod likelihood;
pub mod math;
pub mod mbg_nbd;
pub mod nelder_mead;
