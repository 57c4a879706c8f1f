//! Tactics as rules: on what, under which condition and when a customer gets something.
//!
//! A rule is pure here: what it is ([`rule`]), what its conditions say of a customer ([`expression`]), when it is due ([`schedule`]),
//! what becomes of its firings ([`firing`]), which order a product's firing waits for ([`products`]) and who belongs to which group by hash ([`assignment`]). Files of rules are read in `config`.

pub mod rule;

pub mod memory;

pub mod counts;
pub mod firing;
pub mod guests;
pub mod products;

pub mod expression;

pub mod assignment;
pub mod schedule;

pub mod points;
pub mod tiers;
