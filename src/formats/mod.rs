//! Input formats: each module reads the bytes of one source format into native records, or says why it cannot.

pub mod native;
