//! From domain values to bytes, appended to buffers that are used again: encoding a signal or a profile allocates nothing.
//!
//! Each kind of record has one list of its [`fields`], from which it is written and against which `schemas/` and `docs/RECORDS.md` are
//! checked.

mod digits;
mod text;
mod tier;

mod json;
mod shops;

pub mod fields;

mod policy;
mod rule;
mod segment;

mod profile;

mod context;
mod signal;

mod dead_letter;
mod headers;

mod cohorts;
mod metrics;
mod outcomes;
mod retention;
mod summary;

mod record;

pub use cohorts::{
    CohortLine, CohortMonth, CohortOfMonth, encode as encode_cohort, encode_month as encode_cohort_month,
    fields as cohort_fields, month_fields as cohort_month_fields,
};
pub use context::{RecordContext, RecordKind};
pub use dead_letter::{
    DeadLetter, Source, encode_line as encode_dead_letter_line, fields as dead_letter_fields,
};
pub use headers::{CloudEvents, Headers, INTAKE_MAP};
pub use json::time_text;
pub use metrics::{ShopMetrics, encode as encode_shop_metrics, fields as shop_metrics_fields};
pub use outcomes::ShopOutcomes;
pub use profile::{ProfileEncoder, fields as profile_fields};
pub use record::{CancellationText, ErasureText, OrderText, ReturnText, money_text};
pub use retention::{PROJECTED_POINTS, Retention};
pub use signal::{SignalEncoder, data_fields as signal_data_fields, fields as signal_fields};
pub use summary::{
    EventCounts, Summary, TruncatedCounts, encode as encode_summary, fields as summary_fields,
};
