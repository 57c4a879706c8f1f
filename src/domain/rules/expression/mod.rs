//! The language of conditions: fields of a customer or a trigger, compared exactly.
//!
//! ```text
//! state in ["active", "at_risk"] and (days_since_return is null or days_since_return > 30d)
//! ```
//!
//! A comparison with null is false, also `!=`; `is null` asks. There are no functions, no clock and no floats. A text becomes an
//! [`Expression`](condition::Expression), and that a flat program ([`condition`]).

mod lexer;
pub mod parser;

pub mod fields;
pub mod values;

pub mod condition;
