//! The same on a real Kafka: the state of version 1 is loaded into topics, and the service goes on from it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use retention_signals::topic::Input;
use serde_json::Value;

use super::fixture::{Fixture, Line, Part, compare, compare_signals};
use super::memory::as_version_1_writes;
use super::version_1;
use crate::kafka::{self, Consumed, KafkaNode, Record};
use crate::live::PATIENCE;
use crate::live::shop::Shop;
use crate::service::{ServiceProcess, ServiceSettings};

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = Fixture::names()
        .into_iter()
        .map(|name| {
            kafka::on_shared_node(&format!("upgrade::kafka::goes_on::{name}"), move |node| {
                goes_on(node, name)
            })
        })
        .collect();
    trials.push(kafka::on_shared_node("upgrade::kafka::rolling_change", rolling_change));
    trials.push(kafka::on_shared_node(
        "upgrade::kafka::a_newer_section_is_refused",
        a_newer_section_is_refused,
    ));
    trials
}

/// A fixture's topics.
struct Loaded {
    fixture: Fixture,
    shop: Shop,
}

impl Loaded {
    /// With what version 1 has read and written.
    fn new(node: &KafkaNode, name: &str) -> Result<Loaded> {
        let fixture = Fixture::open(name)?;
        let mut shop = Shop::open(node, fixture.partitions()?)?;
        if fixture.secret_file().is_none() {
            fixture.facts["application"].as_str().context("a text")?.clone_into(&mut shop.application);
        }
        let loaded = Loaded { fixture, shop };
        loaded.append_inputs(Part::Before, |_| true)?;
        loaded.append_changelog(loaded.fixture.changelog()?)?;
        loaded.commit_offsets()?;
        Ok(loaded)
    }

    fn append_inputs(&self, part: Part, partitions: impl Fn(u32) -> bool) -> Result<()> {
        let mut by_topic: BTreeMap<Input, Vec<Record>> = BTreeMap::new();
        for (input, line) in self.fixture.inputs(part)? {
            if partitions(line.partition) {
                by_topic.entry(input).or_default().push(record(line)?);
            }
        }
        for (input, records) in by_topic {
            self.shop.client().produce(self.shop.input_names()[input as usize], records)?;
        }
        Ok(())
    }

    fn append_changelog(&self, lines: Vec<Line>) -> Result<()> {
        let records: Vec<Record> = lines.into_iter().map(record).collect::<Result<_>>()?;
        self.shop.client().produce(self.shop.changelog_name(), records)?;
        Ok(())
    }

    fn commit_offsets(&self) -> Result<()> {
        let mut offsets = Vec::new();
        for committed in self.fixture.committed()? {
            for (input, position) in committed.positions {
                let Some(position) = position else { continue };
                let topic = self.shop.input_names()[input as usize];
                offsets.push((topic, i32::try_from(committed.partition)?, i64::try_from(position.0)?));
            }
        }
        self.shop.client().reset_group_offsets(&self.shop.application, &offsets)
    }

    fn settings(&self, instance: &str) -> Result<ServiceSettings> {
        let mut settings = self.shop.live_settings(instance).without("shop");
        let table: toml::Table = self.fixture.configuration()?.parse()?;
        for (name, value) in table {
            if name != "application" {
                settings = settings.set(&[&name], value);
            }
        }
        settings = settings.set(&["clock", "at_end"], self.fixture.clock_at_end()?);
        if let Some(secret) = self.fixture.secret_file() {
            settings = settings.set(&["erasure", "secret_file"], secret);
        }
        Ok(settings)
    }

    /// Lets an instance read everything to its end.
    fn run(&self, instance: &str) -> Result<()> {
        let service = ServiceProcess::start(&self.settings(instance)?)?;
        self.shop.wait_until_idle(&[&service], PATIENCE)?;
        service.terminate(PATIENCE)?.expect_clean();
        Ok(())
    }

    /// Everything was emitted as version 1 emits it, nothing twice, and version 1 can read all of the state.
    fn check(&self) -> Result<()> {
        let mut signals: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
        for signal in self.shop.client().read_committed(self.shop.signals_name())? {
            signals.entry(u32::try_from(signal.partition)?).or_default().push(signal.value_json());
        }
        let without = self.fixture.with_conflicting_returns()?;
        for partition in 0..self.shop.partitions {
            let found = signals.remove(&partition).unwrap_or_default();
            let expected = self.fixture.signals(Part::Afterwards, partition)?;
            compare_signals(found, expected, &without).with_context(|| format!("partition {partition}"))?;
        }
        let profiles =
            self.shop.profiles()?.into_iter().map(|(key, profile)| (key.into_bytes(), profile)).collect();
        compare(&profiles, &self.fixture.profiles(Part::Afterwards)?, &without)?;
        for record in self.shop.changelog()? {
            let key = record.key.as_deref().context("a key")?;
            version_1::check(key, record.value.as_deref()).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }
}

fn record(line: Line) -> Result<Record> {
    let Line { partition, key, value, .. } = line;
    Ok(Record { key, value, partition: Some(i32::try_from(partition)?), ..Record::default() })
}

fn goes_on(node: &KafkaNode, name: &str) -> Result<()> {
    let loaded = Loaded::new(node, name)?;
    loaded.append_inputs(Part::Afterwards, |_| true)?;
    loaded.run("new")?;
    loaded.check()
}

/// Old and new instances in turns, as in a rolling change and back. The old one takes over what the new one has written, as version 1
/// reads it, and writes it again.
fn rolling_change(node: &KafkaNode) -> Result<()> {
    let loaded = Loaded::new(node, "shop")?;
    for partition in 0..loaded.shop.partitions {
        loaded.append_inputs(Part::Afterwards, |with_inputs| with_inputs == partition)?;
        // Two instances of the new program share the partitions, and one leaves.
        let one = ServiceProcess::start(&loaded.settings("one")?)?;
        one.wait_until_ready(PATIENCE)?;
        let two = ServiceProcess::start(&loaded.settings("two")?)?;
        two.wait_until_ready(PATIENCE)?;
        two.wait_until("given partitions", PATIENCE, |two| {
            Ok(two.metric("retention_assigned_partitions", &[])?.is_some_and(|assigned| assigned >= 1.0))
        })?;
        one.terminate(PATIENCE)?.expect_clean();
        loaded.shop.wait_until_idle(&[&two], PATIENCE)?;
        two.terminate(PATIENCE)?.expect_clean();
        old_takes_over(&loaded)?;
    }
    loaded.check()
}

fn old_takes_over(loaded: &Loaded) -> Result<()> {
    let changelog = loaded.shop.changelog()?;
    let mut lines = Vec::new();
    for partition in 0..loaded.shop.partitions {
        let is_mine = |record: &&Consumed| u32::try_from(record.partition) == Ok(partition);
        let mine = changelog.iter().filter(is_mine);
        let old = as_version_1_writes(mine.map(|record| (record.key.as_deref(), record.value.as_deref())))?;
        let old = old.records.into_iter();
        lines.extend(old.map(|(key, value)| Line { partition, offset: 0, key: Some(key), value }));
    }
    loaded.append_changelog(lines)?;
    // Offsets without a batch's name, since the old batch's number would not be that of the seal.
    let offsets = loaded.shop.offsets()?;
    let offsets: Vec<_> = offsets
        .iter()
        .map(|((topic, partition), committed)| (topic.as_str(), *partition, committed.offset))
        .collect();
    loaded.shop.client().reset_group_offsets(&loaded.shop.application, &offsets)
}

fn a_newer_section_is_refused(node: &KafkaNode) -> Result<()> {
    let loaded = Loaded::new(node, "shop")?;
    let changelog = loaded.fixture.changelog()?;
    let is_customer =
        |line: &&Line| line.key.as_ref().is_some_and(|key| key[0] == b'c') && line.value.is_some();
    let mut newer = changelog.iter().rev().find(is_customer).context("a customer")?.clone();
    let key_length = newer.key.as_ref().map_or(0, Vec::len) - 1;
    let value = newer.value.as_mut().context("a value")?;
    value[0] = 2;
    value[2 + key_length + 2] |= 1;
    value.extend_from_slice(&[200, 1, 7]);
    let (before, section) = (changelog.len() + 1, "a customer has section 200; this program knows up to 2");
    loaded.append_changelog(vec![newer])?;
    let service = ServiceProcess::start(&loaded.settings("one")?)?;
    let ended = service.wait_for_end(PATIENCE)?;
    ensure!(
        ended.status.code() == Some(78) && ended.stderr.contains(section),
        "{:?}\n{}",
        ended.status,
        ended.stderr
    );
    ensure!(loaded.shop.changelog()?.len() == before, "something was written");
    Ok(())
}
