//! Lines that are not applied: written as dead letters, and counted by reason.

use super::results::Output;
use crate::exit::Failure;
use crate::history::files::UnusableLine;
use crate::wire::encode::encode_dead_letter_line;
use crate::wire::reason::Reason;

/// The file of dead letters.
pub(crate) struct DeadLetters {
    out: Output,
    bytes_max: usize,
    /// By [`Reason::index`].
    pub(crate) counts: [u64; Reason::ALL.len()],
    buffer: Vec<u8>,
}

impl DeadLetters {
    /// Originals are cut to `bytes_max`.
    pub(crate) fn new(out: Output, bytes_max: usize) -> Self {
        Self { out, bytes_max, counts: [0; Reason::ALL.len()], buffer: Vec::new() }
    }

    /// Writes a dead letter.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&mut self, unusable: &UnusableLine<'_>) -> Result<(), Failure> {
        let UnusableLine { refusal, file, line, original } = unusable;
        self.counts[refusal.reason.index()] += 1;
        self.buffer.clear();
        encode_dead_letter_line(&mut self.buffer, refusal, file, *line, original, self.bytes_max);
        self.out.write(&self.buffer)
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn into_output(self) -> Output {
        self.out
    }
}
