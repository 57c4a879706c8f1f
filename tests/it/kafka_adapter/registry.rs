//! The registry on a real Kafka: read to its end, followed, and survived when it goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use libtest_mimic::Trial;
use retention_signals::exit::Exit;
use retention_signals::kafka::{KafkaBroker, TopicPlan, examine};
use retention_signals::stream::broker::{Broker, BrokerError, Session};
use retention_signals::stream::registry::{RegistryReader, RegistrySource};

use super::{PATIENCE, Shop, TURN, until_done};
use crate::kafka::{self, KafkaNode, Record};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_adapter::a_registry_is_followed", is_followed),
        kafka::on_shared_node("kafka_adapter::a_registry_has_one_partition", has_one_partition),
        kafka::on_shared_node("kafka_adapter::a_registry_is_created_with_one_partition", is_created),
    ]
}

fn shop(node: &KafkaNode, partitions: i32) -> Result<(Shop, String)> {
    let name = node.client().unique_name("registry");
    node.client().create_topic(&name, partitions, &[("cleanup.policy", "compact")])?;
    Ok((Shop::create_with(node.client(), 2, &[&format!("topics.registry={name}")])?, name))
}

fn start(broker: &mut KafkaBroker) -> Result<RegistryReader> {
    let mut reader = RegistryReader::new(&RegistrySource::Topic);
    while !until_done(|| reader.start(broker.lookup()))? {}
    Ok(reader)
}

fn models(reader: &RegistryReader) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    reader.registry().of_kind("model").map(|(key, value)| (text(key), text(value))).collect()
}

/// Follows until the registry holds so many models.
fn follow(broker: &mut KafkaBroker, reader: &mut RegistryReader, models_expected: usize) -> Result<()> {
    let start = Instant::now();
    while models(reader).len() != models_expected {
        ensure!(start.elapsed() < PATIENCE, "the registry holds {:?}", models(reader));
        broker.poll()?;
        if reader.is_due(broker.now()) {
            reader.follow(broker.lookup());
        }
        broker.wait(TURN);
    }
    Ok(())
}

fn is_followed(node: &KafkaNode) -> Result<()> {
    let (shop, name) = shop(node, 1)?;
    let client = node.client();
    let versions = (0..500).map(|number| Record::new(format!("model/*/{}", number % 3), number.to_string()));
    client.produce(&name, versions)?;
    let mut broker = shop.slot(0)?;
    let mut reader = start(&mut broker)?;
    let expected = [("model/*/0", "498"), ("model/*/1", "499"), ("model/*/2", "497")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    ensure!(models(&reader) == expected, "{:?}", models(&reader));
    client.produce(&name, [Record::new("model/*/3", "new")])?;
    follow(&mut broker, &mut reader, 4)?;
    client.produce(&name, [Record::tombstone("model/*/0"), Record::tombstone("model/*/1")])?;
    follow(&mut broker, &mut reader, 2)?;
    // Without the topic the records stay as they are, and no call takes long.
    client.delete_topic(&name)?;
    for _ in 0..50 {
        let asked_at = Instant::now();
        reader.follow(broker.lookup());
        ensure!(asked_at.elapsed() < Duration::from_secs(1), "waited {:?}", asked_at.elapsed());
        broker.poll()?;
        broker.wait(TURN);
    }
    ensure!(models(&reader).len() == 2, "{:?}", models(&reader));
    broker.close(PATIENCE);
    Ok(())
}

fn has_one_partition(node: &KafkaNode) -> Result<()> {
    let (shop, _) = shop(node, 3)?;
    let mut broker = shop.slot(0)?;
    let refused = start(&mut broker).err().and_then(|error| error.downcast::<BrokerError>().ok());
    ensure!(matches!(refused, Some(BrokerError::Stop(Exit::Configuration, _))), "{refused:?}");
    broker.close(PATIENCE);
    Ok(())
}

fn is_created(node: &KafkaNode) -> Result<()> {
    let name = node.client().unique_name("registry");
    let shop = Shop::imagine_with(node.client(), &[&format!("topics.registry={name}")])?;
    let missing = examine(&shop.settings, PATIENCE).err().ok_or_else(|| anyhow!("no topic is there"))?;
    ensure!(missing.to_string().contains(&name), "{missing}");
    let plan = TopicPlan::make(Arc::clone(&shop.settings), PATIENCE, Some(3), None);
    plan.and_then(|plan| plan.apply()).map_err(|failure| anyhow!("{failure}"))?;
    ensure!(node.client().partition_count(&name)? == 1, "the registry has one partition, the others three");
    examine(&shop.settings, PATIENCE).map_err(|failure| anyhow!("{failure}"))?;
    Ok(())
}
