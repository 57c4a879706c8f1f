//! An intake in front of the inputs, played by a producer of the trial that commits offsets with what it writes, as the real one does:
//! what waits in a raw topic keeps the clocks and belongs to the history.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;

use super::PATIENCE;
use super::clock::{AT_RISK, MINUTE, fixed, now, order, order_number, signals};
use super::shop::Shop;
use crate::kafka::{self, KafkaNode, Record, offset_list};
use crate::service::{ServiceProcess, ServiceSettings};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::wall_time_waits_for_the_intake", wall_time_waits_for_the_intake),
        kafka::on_shared_node("live::a_history_behind_an_intake", a_history_behind_an_intake),
    ]
}

/// A raw topic with two partitions, and who moves its records.
struct Front<'a> {
    shop: &'a Shop,
    topic: String,
    group: String,
    producer: BaseProducer,
    consumer: BaseConsumer,
}

impl<'a> Front<'a> {
    fn open(shop: &'a Shop) -> Result<Front<'a>> {
        let topic = format!("{}.webhooks", shop.application);
        shop.client().create_topic(&topic, 2, &[])?;
        let group = format!("{}-intake", shop.application);
        let mut config = shop.client().config();
        config.set("transactional.id", format!("{group}-one-0")).set("partitioner", "murmur2_random");
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(PATIENCE)?;
        let consumer = shop.client().config().set("group.id", &group).create()?;
        Ok(Front { shop, topic, group, producer, consumer })
    }

    fn settings(&self, instance: &str) -> ServiceSettings {
        let source = ["intake", "sources", "shop"];
        let key = |name| [&source[..], &[name]].concat();
        self.shop.live_settings(instance).set(&key("topics"), self.topic.as_str()).set(&key("map"), "shopify")
    }

    /// The shop writes; the maps are not under test, so in the native form.
    fn append(&self, values: &[Value], partition: i32) -> Result<()> {
        let records = values.iter().map(|value| Record::json("any key", value).at_partition(partition));
        self.shop.client().produce(&self.topic, records)?;
        Ok(())
    }

    /// A transaction of the shop's that is aborted: records and a control record that are not there for the intake.
    fn append_aborted(&self, partition: i32) -> Result<()> {
        let mut config = self.shop.client().config();
        let producer: BaseProducer =
            config.set("transactional.id", format!("{}-webhooks", self.group)).create()?;
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
        let record = Record::new("any key", "never there").at_partition(partition);
        producer.send(record.to(&self.topic)).map_err(|(error, _)| error)?;
        producer.flush(PATIENCE)?;
        producer.abort_transaction(PATIENCE)?;
        Ok(())
    }

    /// Moves at most so many records to the inputs.
    fn move_records(&self, records_max: usize) -> Result<()> {
        let mut moved = 0;
        self.move_some(|_| {
            moved += 1;
            moved <= records_max
        })
    }

    /// Moves all but one order, behind which nothing lies.
    fn move_records_before(&self, order_id: &str) -> Result<()> {
        self.move_some(|order| order["order_id"] != order_id)
    }

    /// Moves records in one transaction. The offsets go no further than the last of them.
    fn move_some(&self, mut is_moved: impl FnMut(&Value) -> bool) -> Result<()> {
        let client = self.shop.client();
        let committed = client.group_offsets(&self.group, &[&self.topic])?;
        let is_new = |record: &kafka::Consumed| {
            let committed = committed.get(&(record.topic.clone(), record.partition));
            committed.is_none_or(|committed| record.offset >= committed.offset)
        };
        self.producer.begin_transaction()?;
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        for raw in client.read_committed(&self.topic)?.into_iter().filter(is_new) {
            let value = raw.value_json();
            if !is_moved(&value) {
                continue;
            }
            let key = value["customer_id"].as_str().context("a customer")?.to_owned();
            let mut record = Record::json(key, &value);
            record.headers.push(("intake_map".to_owned(), b"none 0".to_vec()));
            self.producer.send(record.to(self.shop.orders_name())).map_err(|(error, _)| error)?;
            next.insert(raw.partition, raw.offset + 1);
        }
        let offsets: Vec<_> =
            next.iter().map(|(partition, next)| (self.topic.as_str(), *partition, *next)).collect();
        let group = self.consumer.group_metadata().context("a consumer has a group")?;
        self.producer.send_offsets_to_transaction(&offset_list(&offsets)?, &group, PATIENCE)?;
        self.producer.commit_transaction(PATIENCE)?;
        Ok(())
    }
}

/// A deadline passes while the order that keeps it away waits in a raw topic.
fn wall_time_waits_for_the_intake(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let front = Front::open(&shop)?;
    let deadline = now() - MINUTE + 8_000;
    let first: Vec<Value> = (0..4).map(|customer| order(customer, deadline - AT_RISK)).collect();
    front.append(&first, 0)?;
    front.move_records(4)?;
    // Nothing of this is there for the intake, whose offsets will stay before it.
    front.append_aborted(0)?;
    front.append_aborted(1)?;
    front.append(&[order_number(0, 2, deadline - 2 * MINUTE)], 1)?;

    let service = ServiceProcess::start(&fixed(front.settings("one")))?;
    service.wait_until_ready(PATIENCE)?;
    let held = |service: &ServiceProcess| -> Result<f64> {
        Ok(service.metric("retention_intake_clock_frozen_seconds", &[])?.unwrap_or_default())
    };
    service.wait_until("held by the intake", PATIENCE, |service| {
        Ok(held(service)? > 6.0 && service.metric("retention_clock_frozen", &[])? >= Some(1.0))
    })?;
    ensure!(now() - MINUTE > deadline, "the deadline has passed");
    ensure!(signals(&shop, "at_risk")?.is_empty(), "an order waits, perhaps of any customer");
    let (_, status) = service.get("/v1/status")?;
    ensure!(status.contains("\"clock_frozen\""), "{status}");

    front.move_records(1)?;
    service.wait_until("past the deadline", PATIENCE, |service| {
        let at_risk = service.metric("retention_signals_total", &["signal_type=\"at_risk\""])?;
        Ok(at_risk == Some(3.0) && held(service)? == 0.0)
    })?;
    service.terminate(PATIENCE)?.expect_clean();
    let silent = signals(&shop, "at_risk")?;
    ensure!(silent.iter().all(|signal| signal["customer_id"] != "c0"), "c0 had ordered: {silent:?}");
    Ok(())
}

/// A raw topic that is full when the service starts first is one history, through restarts of both.
fn a_history_behind_an_intake(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let front = Front::open(&shop)?;
    let past = now() - 400 * 24 * 60 * MINUTE;
    let old: Vec<Value> = (0..6).map(|customer| order(customer, past + i64::from(customer))).collect();
    front.append(&old[..3], 0)?;
    front.append(&old[3..], 1)?;
    front.append_aborted(1)?;
    let settings = |settings: ServiceSettings| fixed(settings).set(&["signals", "history"], "hold_back");
    let waits = |service: &ServiceProcess, records: u64| {
        let text = format!("the intake has {records} records to go");
        service.wait_until("waiting for the intake", PATIENCE, |service| {
            let answer = service.get("/readyz");
            Ok(matches!(answer, Ok((503, reasons)) if reasons.matches(&text).count() == 2))
        })
    };
    let service = ServiceProcess::start(&settings(front.settings("one")))?;
    // Three records, and an aborted one with its control record.
    waits(&service, 5)?;
    service.wait_until("sealed", PATIENCE, |_| Ok(shop.visible_offsets()?.len() == 6))?;
    service.kill()?;
    // What comes now is live, wherever it lies.
    let new = order_number(0, 2, now() - MINUTE);
    front.append(std::slice::from_ref(&new), 0)?;
    front.move_some(|order| order["order_id"] == "o0-1" || order["order_id"] == "o1-1")?;
    let service = ServiceProcess::start(&settings(front.settings("one")))?;
    waits(&service, 5)?;
    service.kill()?;
    front.move_records_before("o0-2")?;
    let service = ServiceProcess::start(&settings(front.settings("one")))?;
    // A member that owns nothing yet is ready, so the profiles are waited for.
    service.wait_until("settled", PATIENCE, |_| Ok(shop.profiles()?.len() == 6))?;
    ensure!(shop.signals()?.is_empty(), "history only: {:?}", shop.signals()?);
    let has_ordered_again = |customer: &str| -> Result<bool> {
        Ok(signals(&shop, "second_order")?.iter().any(|signal| signal["customer_id"] == customer))
    };
    front.move_records(1)?;
    service.wait_until("live", PATIENCE, |_| has_ordered_again("c0"))?;
    service.terminate(PATIENCE)?.expect_clean();

    // A configuration without the intake.
    let service = ServiceProcess::start(&settings(shop.live_settings("one")))?;
    front.append(&[order_number(1, 2, now() - MINUTE)], 1)?;
    front.move_records(1)?;
    service.wait_until("live", PATIENCE, |_| has_ordered_again("c1"))?;
    let unknown = "come through an intake that this configuration does not know of";
    let (code, remarks) = service.get("/readyz")?;
    ensure!(code == 200 && remarks.contains(unknown), "{code}: {remarks}");
    ensure!(service.has_logged(unknown), "it is logged too");
    service.terminate(PATIENCE)?.expect_clean();
    Ok(())
}
