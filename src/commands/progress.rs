//! A progress bar on a terminal, and nothing elsewhere.

use std::fs::File;
use std::io::Read;

use indicatif::{ProgressBar, ProgressStyle};

/// Events between two updates of the bar.
const STEP: u64 = 8_192;

const READING: &str = "reading  {bar:30} {percent:>3} %  {bytes} of {total_bytes}";
const APPLYING: &str = "applying {bar:30} {percent:>3} %  {human_pos} of {human_len} events, {per_sec}";
const FITTING: &str = "fitting  {bar:30} {percent:>3} %  {pos} of {len} models";
const WRITING: &str = "writing  {bar:30} {percent:>3} %  {human_pos} of {human_len} records, {per_sec}";

/// The bar, drawn on standard error.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins with reading; files add to what is to be read when they are opened.
    pub(crate) fn new() -> Self {
        Self { bar: ProgressBar::new(0).with_style(style(READING)) }
    }

    /// Counts what is read from a file, as stored. A pipe has no length: it counts as it comes.
    pub(crate) fn reading(&self, file: File) -> Box<dyn Read> {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        self.bar.inc_length(length);
        Box::new(self.bar.wrap_read(file))
    }

    /// All is read; now events are applied.
    pub(crate) fn applying(&self, events: u64) {
        self.begin(events, APPLYING);
    }

    /// All is read; now records are written.
    pub(crate) fn writing(&self, records: u64) {
        self.begin(records, WRITING);
    }

    /// All is applied; now so many models are fitted.
    pub(crate) fn fitting(&self, models: usize) {
        self.begin(models as u64, FITTING);
    }

    /// One more model is fitted.
    pub(crate) fn fitted(&self) {
        self.bar.inc(1);
    }

    fn begin(&self, length: u64, template: &str) {
        self.bar.reset();
        self.bar.set_length(length);
        self.bar.set_style(style(template));
    }

    /// So many events were applied, or records written, so far.
    pub(crate) fn applied(&self, events: u64) {
        if events.is_multiple_of(STEP) {
            self.bar.set_position(events);
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}
