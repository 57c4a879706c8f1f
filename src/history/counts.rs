//! What a file came to, for the report.

/// One file.
#[derive(Clone, Default, Debug)]
pub(crate) struct FileCounts {
    pub(crate) file: String,
    /// The map that was used.
    pub(crate) map: Option<String>,
    /// Whether the columns of the file told which map it is.
    pub(crate) is_found: bool,
    /// Lines of a table below its column names.
    pub(crate) lines: Option<u64>,
    /// Records or documents.
    pub(crate) records: u64,
    /// By the rules of the map.
    pub(crate) skipped: Vec<(String, u64)>,
    /// Records or documents of which a map has hashed something.
    pub(crate) hashed: u64,
    /// Documents that an earlier file has too, and JSON records that are passed over again.
    pub(crate) repeated: u64,
    /// Documents with lines that cannot be read.
    pub(crate) left_out: u64,
}

impl FileCounts {
    pub(super) fn of(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }
}
