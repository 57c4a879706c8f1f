//! Apache Kafka behind the port; the only folder that names rdkafka.

mod admin;
mod appender;
mod check;
mod context;
mod dead_letters;
mod error;
mod identity;
mod layout;
mod lookup;
mod member;
mod mock;
mod native;
mod probe;
mod producer;
mod queue;
mod retention;
mod rights;
mod settings;
mod slot;
mod subscriber;
mod trouble;
mod watch;

pub use appender::{Appended, Appender};
pub use check::{CustomerBytes, check};
pub use dead_letters::{DeadLetterReader, Requeued, Requeuer, StoredLetter};
pub use layout::{TopicPlan, examine};
pub use lookup::{KafkaLookup, lookup};
pub use mock::{InputRecord, MockCluster};
pub use retention::input_retention;
pub use rights::{Operation, Resource, Right, Role, explain, grant, lacks, rights};
pub use settings::{KafkaSettings, Layout};
pub use slot::{KafkaBroker, SlotSettings, WallClock, host_wall_clock};
pub use subscriber::Subscriber;
pub use trouble::Troubles;
pub use watch::{BrokerWatch, WatchReports};
