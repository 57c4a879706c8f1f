//! What holds for any bytes whatever: each function panics where it does not. The fuzz targets in `fuzz/` call them with bytes that a
//! fuzzer makes up, the trials of the corpus with those that are kept.

mod changelog;
mod conditions;
mod configuration;
mod csv;
mod customer;
mod maps;
mod records;
mod shops;
mod snapshot;

pub use changelog::changelog;
pub use conditions::conditions;
pub use configuration::configuration;
pub use csv::csv;
pub use customer::customer;
pub use maps::maps;
pub use records::records;
pub use snapshot::snapshot;

/// What became of the bytes; either is fine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Accepted,
    Refused,
}

/// A property and the name of its target.
pub type Target = (&'static str, fn(&[u8]) -> Verdict);

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("records", records),
    ("changelog", changelog),
    ("customer", customer),
    ("snapshot", snapshot),
    ("configuration", configuration),
    ("maps", maps),
    ("csv", csv),
    ("conditions", conditions),
];
