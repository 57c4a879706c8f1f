//! A shop whose records come in its own form: a topic with any key, a map, and the native shop behind it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::webhooks::Webhooks;
use crate::kafka::{KafkaNode, Record};
use crate::live::PATIENCE;
use crate::live::history::History;
use crate::live::shop::{Shop, time_text};
use crate::service::{ServiceProcess, ServiceSettings};

/// What these shops send: the kind beside the record. Numbers of order are left in, for whoever looks at the topics.
const MAP: &str = "
name = \"wrapped\"
about = \"Native records in a wrapper, for trials\"
[input]
format = \"json\"
program = '''
if .kind == \"ping\" then {skip: \"ping\"} else {event: .kind} + .value end
'''
";

/// See the module.
pub struct RawShop {
    pub native: Shop,
    pub topic: String,
    pub raw_partitions: i32,
    folder: TempDir,
    map: String,
}

impl RawShop {
    /// A native shop with so many partitions, behind a raw topic with so many.
    pub fn open(node: &KafkaNode, partitions: u32, raw_partitions: i32) -> Result<RawShop> {
        let native = Shop::open(node, partitions)?;
        let topic = format!("{}.webhooks", native.application);
        native.client().create_topic(&topic, raw_partitions, &[])?;
        let folder = tempfile::Builder::new().prefix("map-").tempdir()?;
        let path = folder.path().join("wrapped.toml");
        std::fs::write(&path, MAP)?;
        Ok(RawShop { native, topic, raw_partitions, folder, map: path.display().to_string() })
    }

    /// The same, for a shop that sends Shopify's webhooks.
    pub fn open_shopify(node: &KafkaNode, partitions: u32, raw_partitions: i32) -> Result<RawShop> {
        Ok(RawShop { map: "shopify".to_owned(), ..RawShop::open(node, partitions, raw_partitions)? })
    }

    /// The name or the path of the map.
    pub fn map(&self) -> &str {
        &self.map
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn settings(&self, instance: &str) -> ServiceSettings {
        self.settings_with_map(instance, &self.map)
    }

    /// Of the intake and the service alike.
    pub fn settings_with_map(&self, instance: &str, map: &str) -> ServiceSettings {
        self.native
            .live_settings(instance)
            .set(&["intake", "sources", "shop", "topics"], self.topic.as_str())
            .set(&["intake", "sources", "shop", "map"], map)
    }

    /// Commits often, so that there is much to interrupt.
    pub fn hurried(&self, instance: &str) -> ServiceSettings {
        self.settings(instance)
            .set(&["commit", "interval"], "10ms")
            .set(&["commit", "backlog_interval"], "20ms")
            .set(&["kafka", "session.timeout.ms"], "1000")
            .set(&["kafka", "heartbeat.interval.ms"], "100")
            .set(&["kafka", "fetch.message.max.bytes"], "4096")
            .environment("RETENTION_BOUND", "40")
    }

    /// The records of a history as this shop sends them, in the order of time.
    pub fn wrapped(history: &History) -> Vec<Value> {
        let order_kind =
            |value: &Value| if value["cancelled_at"].is_null() { "order" } else { "cancellation" };
        let time = |value: &Value| {
            ["placed_at", "cancelled_at", "returned_at", "requested_at"]
                .iter()
                .find_map(|field| value[*field].as_i64())
                .expect("every record has a time")
        };
        let orders = history.orders.iter().map(|value| (order_kind(value), value));
        let returns = history.returns.iter().map(|value| ("return", value));
        let erasures = history.erasures.iter().map(|value| ("erasure", value));
        let mut records: Vec<(&str, &Value)> = orders.chain(returns).chain(erasures).collect();
        records.sort_by_key(|(_, value)| time(value));
        let wrap = |(number, (kind, value))| json!({"kind": kind, "value": value, "number": number});
        records.into_iter().enumerate().map(wrap).collect()
    }

    /// Appends the deliveries of a shop as they come; those of one order lie in one partition.
    pub fn append_deliveries(&self, webhooks: &Webhooks) -> Result<()> {
        let partitions = u64::try_from(self.raw_partitions)?;
        let records = webhooks.deliveries.iter().map(|delivery| {
            let headers = vec![
                ("X-Shopify-Topic".to_owned(), delivery.topic.as_bytes().to_vec()),
                ("X-Shopify-Triggered-At".to_owned(), time_text(delivery.at).into_bytes()),
            ];
            let partition = i32::try_from(delivery.order_id % partitions).expect("below their number");
            let record = Record::json(delivery.order_id.to_string(), &delivery.body);
            Record { headers, ..record }.at_partition(partition)
        });
        self.native.client().produce(&self.topic, records)?;
        Ok(())
    }

    /// Appends webhooks, all of one topic of Shopify's.
    pub fn append_webhooks(&self, webhooks: &[Value], shopify_topic: &str) -> Result<()> {
        let records = webhooks.iter().map(|value| {
            let headers = vec![("X-Shopify-Topic".to_owned(), shopify_topic.as_bytes().to_vec())];
            Record { headers, ..Record::json(value["id"].to_string(), value) }
        });
        self.native.client().produce(&self.topic, records)?;
        Ok(())
    }

    /// Waits until the group of the intake has committed the ends of the raw topic.
    pub fn wait_until_passed_on(&self, intakes: &[&ServiceProcess]) -> Result<()> {
        self.wait_until_passed_on_within(intakes, PATIENCE)
    }

    pub fn wait_until_passed_on_within(&self, intakes: &[&ServiceProcess], patience: Duration) -> Result<()> {
        let first = intakes.first().context("an intake to ask")?;
        first.wait_until("at the ends of the raw topic", patience, |_| self.is_passed_on())
    }

    pub fn is_passed_on(&self) -> Result<bool> {
        let client = self.native.client();
        let offsets =
            client.visible_group_offsets(&format!("{}-intake", self.native.application), &[&self.topic])?;
        for (partition, end) in (0..).zip(client.high_watermarks(&self.topic)?) {
            let committed =
                offsets.get(&(self.topic.clone(), partition)).map_or(0, |committed| committed.offset);
            if committed < end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Every native record says where it comes from, and none comes twice from one place.
    pub fn check_headers(&self) -> Result<()> {
        let mut places = std::collections::BTreeSet::new();
        let map_name = if self.map == "shopify" { "shopify " } else { "wrapped " };
        for name in self.native.input_names() {
            for record in self.native.client().read_committed(name)? {
                let header = |name: &str| record.header(name).map(str::to_owned);
                ensure!(header("intake_topic").as_deref() == Some(self.topic.as_str()), "{record:?}");
                ensure!(header("intake_map").is_some_and(|map| map.starts_with(map_name)), "{record:?}");
                // One webhook may give an order, a cancellation and returns.
                let place = (header("intake_partition"), header("intake_offset"), name, record.value.clone());
                ensure!(places.insert(place.clone()), "{place:?} is there twice");
            }
        }
        Ok(())
    }
}
