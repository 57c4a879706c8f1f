//! One shop on a Kafka of the tests: its topics, its services, and what must be in its topics in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use toml::Table;

use super::history::{self, History};
use crate::kafka::{Client, Committed, Consumed, KafkaNode, Record, compacted};
use crate::oracle::club::{Points, Tiers};
use crate::oracle::{OracleConfig, OracleOutput};
use crate::service::{ServiceProcess, ServiceSettings};

/// See the module.
pub struct Shop {
    client: Client,
    bootstrap_servers: String,
    pub application: String,
    pub partitions: u32,
    topics: Topics,
    more: More,
}

/// What the services of a shop have beside the settings of all shops, and what a reference must know of it.
#[derive(Clone, Debug, Default)]
pub struct More {
    pub settings: Table,
    pub points: Option<Points>,
    pub tiers: Option<Tiers>,
}

struct Topics {
    orders: String,
    returns: String,
    erasures: String,
    signals: String,
    customers: String,
    dead_letters: String,
    changelog: String,
}

impl Shop {
    /// Makes topics that no other test uses.
    pub fn open(node: &KafkaNode, partitions: u32) -> Result<Shop> {
        Shop::open_on(node.client(), partitions, &[])
    }

    /// The same on any cluster, with settings for the topics that the service writes.
    pub fn open_on(client: &Client, partitions: u32, outputs: &[(&str, &str)]) -> Result<Shop> {
        let client = client.clone();
        let application = client.unique_name("shop");
        let topic = |role: &str| format!("{application}.{role}");
        let topics = Topics {
            orders: topic("orders"),
            returns: topic("returns"),
            erasures: topic("erasures"),
            signals: topic("signals"),
            customers: topic("customers"),
            dead_letters: topic("dead-letters"),
            changelog: topic("changelog"),
        };
        let count = i32::try_from(partitions)?;
        let compacted = [&[("cleanup.policy", "compact")], outputs].concat();
        for name in [&topics.orders, &topics.returns, &topics.erasures] {
            client.create_topic(name, count, &[])?;
        }
        for name in [&topics.signals, &topics.dead_letters] {
            client.create_topic(name, count, outputs)?;
        }
        for name in [&topics.customers, &topics.changelog] {
            client.create_topic(name, count, &compacted)?;
        }
        let bootstrap_servers = client.bootstrap_servers().to_owned();
        Ok(Shop { client, bootstrap_servers, application, partitions, topics, more: More::default() })
    }

    /// Another application that reads the same inputs, with topics of its own for everything that it writes.
    pub fn beside(&self) -> Result<Shop> {
        let other = Shop::open_on(&self.client, self.partitions, &[])?;
        let Topics { orders, returns, erasures, .. } = &self.topics;
        let inputs = (orders.clone(), returns.clone(), erasures.clone());
        let (orders, returns, erasures) = inputs;
        let topics = Topics { orders, returns, erasures, ..other.topics };
        Ok(Shop { topics, more: self.more.clone(), ..other })
    }

    pub fn with(self, more: Option<More>) -> Shop {
        Shop { more: more.unwrap_or_default(), ..self }
    }

    /// Settings of one instance, whose clock goes to `end` once everything is read.
    pub fn settings(&self, instance: &str, end: i64) -> ServiceSettings {
        self.live_settings(instance).set(&["clock", "at_end"], time_text(end))
    }

    /// Settings of one instance, whose clock follows the wall.
    pub fn live_settings(&self, instance: &str) -> ServiceSettings {
        let settings = ServiceSettings::new(&self.bootstrap_servers, &self.application, instance)
            .set(&["topics", "orders"], self.topics.orders.as_str())
            .set(&["topics", "returns"], self.topics.returns.as_str())
            .set(&["topics", "erasures"], self.topics.erasures.as_str())
            .set(&["topics", "signals"], self.topics.signals.as_str())
            .set(&["topics", "customers"], self.topics.customers.as_str())
            .set(&["topics", "dead_letters"], self.topics.dead_letters.as_str())
            .set(&["topics", "changelog"], self.topics.changelog.as_str());
        self.more
            .settings
            .iter()
            .fold(settings, |settings, (name, value)| settings.set(&[name], value.clone()))
    }

    pub fn start(&self, instance: &str, end: i64) -> Result<ServiceProcess> {
        ServiceProcess::start(&self.settings(instance, end))
    }

    /// Appends all orders, then all returns, then all erasures.
    pub fn load(&self, history: &History) -> Result<()> {
        println!("history of seed {:#x}", history.seed);
        self.append_orders(&history.orders)?;
        self.append_returns(&history.returns)?;
        self.append(&self.topics.erasures, &history.erasures)
    }

    pub fn append_orders(&self, values: &[Value]) -> Result<()> {
        self.append(&self.topics.orders, values)
    }

    pub fn append_returns(&self, values: &[Value]) -> Result<()> {
        self.append(&self.topics.returns, values)
    }

    pub fn append_erasures(&self, values: &[Value]) -> Result<()> {
        self.append(&self.topics.erasures, values)
    }

    /// Appends any bytes to `orders`.
    pub fn append_records(&self, records: impl IntoIterator<Item = Record>) -> Result<()> {
        self.client.produce(&self.topics.orders, records)?;
        Ok(())
    }

    fn append(&self, topic: &str, values: &[Value]) -> Result<()> {
        self.client.produce(topic, values.iter().map(|value| Record::json(history::key_of(value), value)))?;
        Ok(())
    }

    /// Waits until the group's offsets are at the ends of all inputs and `services` have nothing more to say.
    pub fn wait_until_idle(&self, services: &[&ServiceProcess], patience: Duration) -> Result<()> {
        let first = services.first().context("somebody to ask")?;
        services.iter().try_for_each(|service| service.wait_until_ready(patience))?;
        first.wait_until("at the ends of its inputs", patience, |_| {
            let mut owned = 0.0;
            for service in services {
                owned += service.metric("retention_assigned_partitions", &[])?.unwrap_or_default();
                let idle = service.metric("retention_partition_idle", &[])?.unwrap_or_default();
                let mine = service.metric("retention_assigned_partitions", &[])?.unwrap_or_default();
                let overdue = service.metric("retention_timers_overdue", &[])?.unwrap_or_default();
                if idle < mine || overdue > 0.0 {
                    return Ok(false);
                }
            }
            Ok(owned >= f64::from(self.partitions) && self.is_read_to_the_end()?)
        })
    }

    pub fn is_read_to_the_end(&self) -> Result<bool> {
        let offsets = self.visible_offsets()?;
        for topic in self.input_names() {
            for (partition, end) in (0..).zip(self.client.high_watermarks(topic)?) {
                let committed =
                    offsets.get(&(topic.to_owned(), partition)).map_or(0, |committed| committed.offset);
                if committed < end {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub fn offsets(&self) -> Result<BTreeMap<(String, i32), Committed>> {
        self.client.group_offsets(&self.application, &self.input_names())
    }

    /// Without those of open transactions.
    pub fn visible_offsets(&self) -> Result<BTreeMap<(String, i32), Committed>> {
        self.client.visible_group_offsets(&self.application, &self.input_names())
    }

    /// Every committed record of `orders` below the ends of this moment is counted by the services' metrics.
    pub fn wait_until_committed(&self, service: &ServiceProcess, patience: Duration) -> Result<()> {
        service.wait_until("at the ends of its inputs", patience, |_| self.is_read_to_the_end())
    }

    pub fn group_members(&self) -> Result<usize> {
        Ok(self.client.group_state(&self.application)?.1)
    }

    pub fn grow_orders(&self, partitions: i32) -> Result<()> {
        self.client.grow_topic(&self.topics.orders, partitions)
    }

    pub fn reset_offsets(&self, offset: i64) -> Result<()> {
        let topic = self.topics.orders.as_str();
        let offsets: Vec<_> =
            (0..i32::try_from(self.partitions)?).map(|partition| (topic, partition, offset)).collect();
        self.client.reset_group_offsets(&self.application, &offsets)
    }

    pub fn dead_letters(&self) -> Result<Vec<Consumed>> {
        self.client.read_committed(&self.topics.dead_letters)
    }

    pub fn changelog(&self) -> Result<Vec<Consumed>> {
        self.client.read_committed(&self.topics.changelog)
    }

    pub fn orders_name(&self) -> &str {
        &self.topics.orders
    }

    pub fn signals_name(&self) -> &str {
        &self.topics.signals
    }

    pub fn changelog_name(&self) -> &str {
        &self.topics.changelog
    }

    /// The inputs, in the order in which records of one time are merged.
    pub fn input_names(&self) -> [&str; 3] {
        [&self.topics.orders, &self.topics.returns, &self.topics.erasures]
    }

    pub fn topic_names(&self) -> [&str; 7] {
        let Topics { orders, returns, erasures, signals, customers, dead_letters, changelog } = &self.topics;
        [orders, returns, erasures, signals, customers, dead_letters, changelog]
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn signals(&self) -> Result<Vec<Value>> {
        Ok(self
            .client
            .read_committed(&self.topics.signals)?
            .iter()
            .map(|record| record.value_json())
            .collect())
    }

    /// The table of profiles.
    pub fn profiles(&self) -> Result<BTreeMap<String, Value>> {
        let records = self.client.read_committed(&self.topics.customers)?;
        compacted(&records)
            .into_iter()
            .map(|(key, value)| Ok((String::from_utf8(key)?, serde_json::from_slice(&value)?)))
            .collect()
    }

    pub fn oracle_config(&self) -> OracleConfig {
        let More { points, tiers, .. } = self.more.clone();
        let config = OracleConfig::new("GBP");
        OracleConfig { shop_metrics: false, policy_version: policy_version(), points, tiers, ..config }
    }

    /// Every signal of the history is there once, with its content, and no other; the profiles are those of the history.
    pub fn check(&self, history: &History) -> Result<()> {
        self.compare(history.seed, history.expected(&self.oracle_config(), self.partitions))
    }

    /// The same, with clocks that stay at the last record.
    pub fn check_without_end(&self, history: &History) -> Result<()> {
        self.compare(history.seed, history.expected_without_end(&self.oracle_config(), self.partitions))
    }

    fn compare(&self, seed: u64, expected: OracleOutput) -> Result<()> {
        let OracleOutput { signals, profiles, .. } = expected;
        let (expected, found) = (signals, self.signals()?);
        let (expected, found) = (history::by_id(&expected), history::by_id(&found));
        for (id, signals) in &found {
            ensure!(
                signals.len() == 1,
                "seed {seed:#x}: signal {id} is there {} times: {signals:?}",
                signals.len()
            );
            let expected = expected
                .get(id)
                .with_context(|| format!("seed {seed:#x}: not to be said: {}", signals[0]))?;
            ensure!(signals == expected, "seed {seed:#x}: {}\nexpected {}", signals[0], expected[0]);
        }
        for (id, signals) in &expected {
            ensure!(found.contains_key(id), "seed {seed:#x}: missing: {}", signals[0]);
        }
        let found = self.profiles()?;
        for (key, profile) in &found {
            let expected =
                profiles.get(key).with_context(|| format!("seed {seed:#x}: no such customer: {key}"))?;
            ensure!(profile == expected, "seed {seed:#x}: {key}\nfound    {profile}\nexpected {expected}");
        }
        ensure!(
            found.len() == profiles.len(),
            "seed {seed:#x}: {} profiles, not {}",
            found.len(),
            profiles.len()
        );
        Ok(())
    }
}

/// Of the default policy; the version is not the oracle's to know.
fn policy_version() -> String {
    use retention_signals::domain::lapse::{Cadence, LapsePolicies, LapsePolicy};
    use retention_signals::domain::values::ids::ShopIndex;
    let policies =
        LapsePolicies::new(LapsePolicy::Cadence(Cadence::default()), retention_signals::wire::hash::hash);
    format!("{:016x}", policies.id(ShopIndex(0), None).version)
}

pub fn time_text(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis)
        .expect("a time of this era")
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
