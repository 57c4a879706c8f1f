//! CSV files as shops write them: any encoding that is named or marked, any delimiter, lines above the column names. Quoting is read
//! strictly, so that no line ever vanishes into a cell of another.
//!
//! ```text
//!  bytes ──► encoding: text ──► rows: cells, or a fault ──► table: the column names, and rows below them
//!                                                             │ documents, value: for programs of jq
//! ```

mod documents;
mod encoding;
mod rows;
mod settings;
mod table;
mod value;

pub use documents::{CsvDocument, CsvDocuments, DocumentInput, DocumentTable};
pub use settings::{CsvSettings, Names};
pub use table::{Column, Row, Table, TableError, Wanted};
pub use value::{DocumentValues, JoinedFile};
