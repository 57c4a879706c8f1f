//! The service interrupted wherever it can be: killed, stopped and resumed, told to end, beside brokers that come and go.

mod endings;

use std::time::Duration;

use libtest_mimic::Trial;

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    endings::trials()
}
