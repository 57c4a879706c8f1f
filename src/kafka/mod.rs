//! Apache Kafka behind the port; the only folder that names rdkafka.

mod context;
mod error;
mod lookup;
mod member;
mod native;
mod producer;
mod queue;
mod settings;
mod slot;

pub use settings::{KafkaSettings, Layout};
pub use slot::{KafkaBroker, SlotSettings, WallClock, host_wall_clock};
