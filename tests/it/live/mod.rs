//! The service on a real Kafka: history in, signals and profiles out, each exactly once, whatever happens to the processes.

mod history;
pub mod shop;

use std::time::Duration;

use anyhow::Result;
use libtest_mimic::Trial;

use crate::kafka::{self, KafkaNode};
use shop::Shop;

const PATIENCE: Duration = Duration::from_secs(30);

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_shared_node("live::history_loaded_before_the_start", history_loaded_before_the_start)]
}

/// All orders, then all returns, as a bulk load leaves them; the merge brings them into the order of life.
fn history_loaded_before_the_start(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 3)?;
    let history = history::random(0x5eed_0001, 60, 400);
    shop.load(&history)?;
    let service = shop.start("one", history.end)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    shop.check(&history)
}
