//! Segments: customers by how long they have been silent (R), how often they ordered (F), and how much they spent (M).
//!
//! Cut points are quantiles of integer histograms, so that partitions can be counted apart and added up in any order, and no float
//! decides about a customer.

pub mod counts;
pub mod customer;
pub mod cuts;
pub mod histogram;
pub mod names;
pub mod published;
