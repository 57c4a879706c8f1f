//! Input formats: a module each, all behind [`Format::records`].
//!
//! ```text
//!  source record            what a source delivers at once: a value of a topic, a line, a document of several CSV lines
//!    │ Format::records      what it means
//!    ▼
//!  native records           JSON of an input topic; none, one or several
//!    │ native::Decoder      checked field by field
//!    ▼
//!  Event                    can be applied
//! ```
//!
//! Input topics hold native records already, so the engine's way begins at the decoder.

pub mod native;

pub mod csv;

pub mod order_lines;

use crate::topic::Input;
use crate::wire::reason::Refusal;

/// How sources write records.
pub trait Format {
    /// What a source delivers at once.
    type Source: ?Sized;

    /// Calls `each` with every native record that a source record means.
    ///
    /// # Errors
    /// It cannot be read, or means something that no native record can say.
    fn records(
        &self,
        source: &Self::Source,
        each: &mut dyn FnMut(NativeRecord<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal>;
}

/// A record as the topic of its input would hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NativeRecord<'a> {
    pub input: Input,
    /// JSON, not checked yet.
    pub value: &'a [u8],
}

/// A line or document of a source that cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct Unusable<'a> {
    pub refusal: &'a Refusal,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its bytes in the source.
    pub original: &'a [u8],
}
