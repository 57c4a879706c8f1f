//! A shop whose records come in its own form: a topic with any key, a map, and the native shop behind it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kafka::{KafkaNode, Record};
use crate::live::PATIENCE;
use crate::live::history::History;
use crate::live::shop::Shop;
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
    folder: TempDir,
}

impl RawShop {
    /// A native shop with so many partitions, behind a raw topic with so many.
    pub fn open(node: &KafkaNode, partitions: u32, raw_partitions: i32) -> Result<RawShop> {
        let native = Shop::open(node, partitions)?;
        let topic = format!("{}.webhooks", native.application);
        native.client().create_topic(&topic, raw_partitions, &[])?;
        let folder = tempfile::Builder::new().prefix("map-").tempdir()?;
        std::fs::write(folder.path().join("wrapped.toml"), MAP)?;
        Ok(RawShop { native, topic, folder })
    }

    pub fn map_path(&self) -> String {
        self.folder.path().join("wrapped.toml").display().to_string()
    }

    pub fn settings(&self, instance: &str) -> ServiceSettings {
        self.settings_with_map(instance, &self.map_path())
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

    /// Appends the records of a history in the order of time, each in the partition that is chosen for its number.
    pub fn append(&self, history: &History, partition_of: impl Fn(usize) -> i32) -> Result<()> {
        let records = RawShop::wrapped(history).into_iter().enumerate().map(|(number, value)| {
            Record::json(format!("any-{number}"), &value).at_partition(partition_of(number))
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
        let first = intakes.first().context("an intake to ask")?;
        first.wait_until("at the ends of the raw topic", PATIENCE, |_| self.is_passed_on())
    }

    pub fn is_passed_on(&self) -> Result<bool> {
        let client = self.native.client();
        let offsets = client.group_offsets(&format!("{}-intake", self.native.application), &[&self.topic])?;
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
        for name in self.native.input_names() {
            for record in self.native.client().read_committed(name)? {
                let header = |name: &str| record.header(name).map(str::to_owned);
                ensure!(header("intake_topic").as_deref() == Some(self.topic.as_str()), "{record:?}");
                ensure!(header("intake_map").is_some_and(|map| map.starts_with("wrapped ")), "{record:?}");
                let place = (header("intake_partition"), header("intake_offset"));
                ensure!(places.insert(place.clone()), "{place:?} is there twice");
            }
        }
        Ok(())
    }
}
