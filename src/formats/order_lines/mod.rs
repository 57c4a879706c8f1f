//! CSV files that have a line for each item of an order, and a column map that says what their columns mean.
//!
//! ```text
//!  CSV ──► line table ──► documents: the lines of one identity ──► an order and what became of it, or a return
//!            ▲               ▲
//!            └── column map ─┘
//! ```

mod column_map;
mod columns;
mod document;
mod documents;
pub mod local_time;
mod millionths;
mod numbers;
mod time_reader;
mod values;
mod zones;

pub use column_map::ColumnMap;
pub use columns::LineTable;
pub use document::{Document, OrderLines, Role};
pub use documents::Documents;
