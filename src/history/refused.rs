//! Lines that are not applied: written as dead letters, and counted by reason.

use super::results::Output;
use crate::exit::Failure;
use crate::wire::encode::encode_dead_letter_line;
use crate::wire::reason::{Reason, Refusal};

/// See the module.
pub(crate) struct Refused {
    out: Output,
    bytes_max: usize,
    /// By [`Reason::index`].
    pub(crate) counts: [u64; Reason::ALL.len()],
    buffer: Vec<u8>,
}

impl Refused {
    /// Originals are cut to `bytes_max`.
    pub(crate) fn new(out: Output, bytes_max: usize) -> Self {
        Self { out, bytes_max, counts: [0; Reason::ALL.len()], buffer: Vec::new() }
    }

    /// Writes a dead letter.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn refuse(
        &mut self,
        refusal: &Refusal,
        file: &str,
        line: u64,
        original: &[u8],
    ) -> Result<(), Failure> {
        self.counts[refusal.reason.index()] += 1;
        self.buffer.clear();
        encode_dead_letter_line(&mut self.buffer, refusal, file, line, original, self.bytes_max);
        self.out.write(&self.buffer)
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn into_output(self) -> Output {
        self.out
    }
}
