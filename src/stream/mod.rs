//! From Kafka's records to Kafka's records: one worker is one thread, one member of the consumer group, and owns partitions.

pub mod broker;

pub mod rules;
pub mod shop_time;

pub mod labels;

pub mod partition;

pub mod registry;

mod session;

pub mod intake;

pub mod combiner;

pub mod worker;

pub mod query;
