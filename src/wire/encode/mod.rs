//! From what the domain says to bytes, appended to buffers that are used again: nothing is allocated for a signal or a profile.
//!
//! What is written is described in `schemas/`; the order of fields is the schemas' too.

mod digits;
mod text;

mod json;
mod shops;
mod words;

mod profile;
mod signal;

mod dead_letter;
mod headers;

mod metrics;
mod summary;

mod record;

pub use dead_letter::{DeadLetter, Source, encode_line as encode_dead_letter_line};
pub use headers::{CloudEvents, Headers};
pub use json::time_text;
pub use metrics::{ShopMetrics, encode as encode_shop_metrics};
pub use profile::ProfileEncoder;
pub use record::{CancellationText, ErasureText, OrderText, ReturnText};
pub use signal::{RecordContext, RecordKind, SignalEncoder};
pub use summary::{EventCounts, Summary, encode as encode_summary};
