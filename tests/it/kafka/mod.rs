//! A real Apache Kafka for tests: fetched by Maven once, started on free loopback ports, gone with the test run.
//!
//! ```text
//!  trials ──► shared node ──► KafkaNode ──► jars (tests/kafka/pom.xml, Maven, target/kafka-libs)
//!        └──► own node ─────►     │
//!                                 └──► Client: topics, records, offsets
//! ```
//!
//! # Writing a test
//!
//! A module lists its trials; a trial takes the node and fails by an error or a panic:
//!
//! ```ignore
//! pub fn trials() -> Vec<Trial> {
//!     vec![
//!         kafka::on_shared_node("orders::are_read", orders_are_read),
//!         kafka::on_own_node("orders::survive_a_broker_kill", survive_a_broker_kill),
//!     ]
//! }
//!
//! fn orders_are_read(node: &KafkaNode) -> anyhow::Result<()> {
//!     let client = node.client();
//!     let orders = client.unique_name("orders");
//!     client.create_topic(&orders, 4, &[])?;
//!     client.produce(&orders, (0..1000).map(|n| Record::json(format!("c{n}"), &json!({"n": n}))))?;
//!     assert_eq!(client.read_committed(&orders)?.len(), 1000);
//!     Ok(())
//! }
//!
//! fn survive_a_broker_kill() -> anyhow::Result<()> {
//!     let mut node = KafkaNode::start()?;
//!     node.kill()?;
//!     node.restart()
//! }
//! ```
//!
//! - The shared node starts with the first trial that needs it and serves all of them at once: names of topics, groups
//!   and transactional ids come from [`Client::unique_name`], and only a node of one's own is killed, paused or
//!   restarted (those methods take `&mut self`).
//! - Without Java 17, or Maven to fetch the jars, these trials are reported as ignored, with the reason. With
//!   `RETENTION_REQUIRE_KAFKA=1` they fail instead.
//! - The broker answers in milliseconds. A transaction left open is aborted by it `transaction.timeout.ms` plus at
//!   most a second later (ten seconds elsewhere).

mod client;
mod cluster;
mod jars;
mod node;
mod records;
mod tools;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;

use libtest_mimic::{Completion, Failed, Trial};

pub use client::{Client, Committed, Isolation, TopicPartition, offset_list};
pub use cluster::KafkaCluster;
pub use jars::java_tool;
pub use jars::kafka as installation;
pub use node::{KafkaNode, NodeSettings, free_port};
pub use records::{Consumed, Record, compacted};
pub use tools::Tools;

const REQUIRE_VARIABLE: &str = "RETENTION_REQUIRE_KAFKA";

static SHARED: OnceLock<Result<KafkaNode, String>> = OnceLock::new();

/// A trial on the node that all trials share.
pub fn on_shared_node(
    name: &str,
    test: impl FnOnce(&KafkaNode) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    on_shared_node_unless(|| None, name, test)
}

/// The same for a trial that needs something more: `missing` says what is not there, and then it is ignored.
pub fn on_shared_node_unless(
    missing: fn() -> Option<String>,
    name: &str,
    test: impl FnOnce(&KafkaNode) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    trial(missing, name, move || {
        let node = SHARED.get_or_init(|| KafkaNode::start().map_err(|error| format!("{error:#}")));
        let node = node.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| test(node)));
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(anyhow::anyhow!("{error:#}\n{}", node.log_warnings())),
            Err(panic) => {
                eprintln!("{}", node.log_warnings());
                panic::resume_unwind(panic)
            }
        }
    })
}

/// A trial that starts the nodes that it needs.
pub fn on_own_node(name: &str, test: fn() -> anyhow::Result<()>) -> Trial {
    trial(|| None, name, test)
}

/// Ends the shared node; called when all trials are over, since nothing drops a static.
pub fn end_shared_node() {
    if let Some(Ok(node)) = SHARED.get() {
        node.end_with_test_run();
    }
}

fn trial(
    missing: fn() -> Option<String>,
    name: &str,
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let runner = move || match jars::kafka() {
        Ok(_) => match missing() {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => {
                test().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
            }
        },
        Err(reason) if is_required() => Err(Failed::from(format!("{REQUIRE_VARIABLE} is set, and {reason}"))),
        Err(reason) => {
            report_once(reason);
            Ok(Completion::ignored_with(reason.lines().next().unwrap_or_default()))
        }
    };
    Trial::ignorable_test(name, runner).with_kind("kafka")
}

/// Whether trials fail without Kafka.
pub fn is_required() -> bool {
    env::var(REQUIRE_VARIABLE).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// One line that stands out from a long list of dots.
fn report_once(reason: &str) {
    static REPORTED: OnceLock<()> = OnceLock::new();
    REPORTED.get_or_init(|| eprintln!("trials on a real Kafka are skipped: {reason}"));
}
