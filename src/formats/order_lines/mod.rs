//! CSV files that have a line for each item of an order, and a column map that says what their columns mean.
//!
//! ```text
//!  CSV ──► table ──► documents: the lines of one id ──► an order or a return
//!            ▲           ▲
//!            └── map ────┘
//! ```

mod documents;
pub mod local_time;
mod map;
mod millionths;
mod table;

pub use documents::{Document, Documents, OrderLines};
pub use map::ColumnMap;
pub use table::Table;
