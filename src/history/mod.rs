//! A shop's history from files, as events in the order of time. What is done with them is the caller's: a replay applies them.
//!
//! ```text
//!  JSON: lines, arrays, pages ─┐
//!                              ├──► native records ──► sources, sorted ──► merged by time
//!  CSV + map ──► order_lines ──┘      (formats)
//! ```

pub mod input;

pub mod source;

mod chosen_map;
pub mod counts;
mod customers;
mod guests;
mod json_values;
mod kind;
mod mapped;
mod opened;
mod originals;

pub mod files;
