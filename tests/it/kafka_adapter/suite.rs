//! The scenarios that the simulated broker must see too, on a real Kafka.

use anyhow::Result;
use libtest_mimic::Trial;
use retention_signals::kafka::KafkaBroker;

use super::Shop;
use crate::kafka;
use crate::sim::suite::{self, Ground};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &'static str| {
        kafka::on_shared_node(&format!("kafka_adapter::suite::{name}"), move |node| {
            suite::run(name, &mut RealGround { shop: Shop::create(node.client(), 2)? })
        })
    };
    suite::NAMES.iter().copied().map(trial).collect()
}

struct RealGround {
    shop: Shop,
}

impl Ground for RealGround {
    type Port = KafkaBroker;

    fn open(&mut self, slot: usize) -> Result<KafkaBroker> {
        self.shop.slot(slot)
    }
}
