//! State of version 1 on the simulated brokers: restored, gone on from, changed one instance at a time and back, and refused where it is
//! newer than the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use retention_signals::config::Config;
use retention_signals::domain::engine::export::StateItem;
use retention_signals::domain::engine::restore::Restore;
use retention_signals::domain::store::packed::Format;
use retention_signals::domain::values::ids::CustomerKey;
use retention_signals::snapshot::format::Reader;
use retention_signals::snapshot::writer::{Step, Writer};
use retention_signals::snapshot::{SnapshotRules, Snapshots};
use retention_signals::stream::broker::{ChangelogIdentity, Committed};
use retention_signals::stream::worker::{Stop, Worker};
use retention_signals::topic::{Input, Output, Topic};
use retention_signals::wire::changelog::{self, SEAL_KEY, Seal, StateRecord};
use retention_signals::wire::encode::ProfileEncoder;
use retention_signals::wire::hash::hash;
use serde_json::Value;

use super::fixture::{Fixture, Line, Part, compare, compare_signals};
use super::version_1;
use crate::sim::ground::SimGround;
use crate::sim::log::{Edge, Record};
use crate::worker::{TURNS_MAX, in_process};

/// Nothing has happened for so many turns: nothing will.
const QUIET_TURNS: usize = 60;

const CHANGELOG: Topic = Topic::Output(Output::Changelog);

type Check = fn(&Fixture) -> Result<()>;

/// Key and value of a record.
type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

pub fn trials() -> Vec<Trial> {
    let checks: [(&str, Check); 5] = [
        ("is_restored", is_restored),
        ("goes_on", goes_on),
        ("goes_on_from_a_compacted_changelog", goes_on_from_a_compacted_changelog),
        ("goes_on_from_snapshots", goes_on_from_snapshots),
        ("moves_to_the_new_program_and_back", moves_to_the_new_program_and_back),
    ];
    let mut trials: Vec<Trial> = checks
        .into_iter()
        .flat_map(|(name, check)| {
            Fixture::names().map(|fixture| {
                Trial::test(format!("upgrade::version_1::{name}::{fixture}"), move || {
                    let checked = Fixture::open(fixture).and_then(|fixture| check(&fixture));
                    checked.map_err(|error| Failed::from(format!("{error:#}")))
                })
            })
        })
        .collect();
    trials.extend(refusals());
    trials
}

/// The topics as version 1 has left them, and the records that came afterwards.
fn brokers(fixture: &Fixture, changelog: &[Line]) -> Result<SimGround> {
    let mut ground = SimGround::new(fixture.partitions()?);
    ground.set_wall(fixture.number("wall_ms")?);
    let append = |topic: Topic, line: &Line| {
        let end = ground.world.borrow().log(topic, line.partition).edge(Edge::High);
        ensure!(end == line.offset, "offsets without gaps");
        ground.append(topic, line.partition, line.key.as_deref(), line.value.as_deref());
        Ok(())
    };
    for part in [Part::Before, Part::Afterwards] {
        fixture.inputs(part)?.iter().try_for_each(|(input, line)| append(Topic::Input(*input), line))?;
    }
    changelog.iter().try_for_each(|line| append(CHANGELOG, line))?;
    let mut world = ground.world.borrow_mut();
    for offsets in fixture.committed()? {
        for (input, position) in offsets.positions {
            let metadata = if input == Input::Orders { offsets.metadata.clone() } else { String::new() };
            let committed = position.map(|position| Committed { position, metadata });
            world.group.set_committed(offsets.partition, input, committed);
        }
    }
    let snapshots = &fixture.facts["snapshots"];
    let topic = u128::from_str_radix(snapshots["topic_id"].as_str().context("a text")?, 16)?;
    world.changelog = Some(ChangelogIdentity {
        cluster: snapshots["cluster"].as_str().context("a text")?.to_owned(),
        topic: topic.to_be_bytes(),
        tombstone_retention: Duration::from_secs(86_400),
    });
    drop(world);
    Ok(ground)
}

fn pairs(records: &[Record]) -> impl Iterator<Item = Pair<'_>> {
    records.iter().map(|record| (record.key.as_deref(), record.value.as_deref()))
}

/// Runs a process until nothing happens any more, and shuts it down; or until it has made so many commits, when it crashes.
fn run(config: &Config, ground: &SimGround, snapshots: Option<&Path>, commits_max: u32) -> Result<(), Stop> {
    let mut outcome = Ok(());
    in_process(config, ground, |broker, hub, mut rules| {
        let mut writer = snapshots.map(|folder| {
            let snapshot_rules =
                SnapshotRules { interval: Duration::from_millis(1), ..SnapshotRules::new(config) };
            let (snapshots, writer, prepared) = Snapshots::open(folder, snapshot_rules, || Duration::ZERO);
            prepared.expect("a folder of our own");
            rules.snapshots = Some(snapshots);
            writer
        });
        let mut worker = Worker::new(broker, rules, hub);
        let (mut quiet, commits_before) = (0, ground.commits());
        for _ in 0..TURNS_MAX {
            let commits = ground.commits();
            outcome = worker.turn();
            write_snapshots(writer.as_mut());
            if outcome.is_err() || ground.commits() - commits_before >= commits_max {
                return;
            }
            let is_quiet = ground.is_done() && ground.commits() == commits;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == QUIET_TURNS {
                outcome = worker.shut_down();
                write_snapshots(writer.as_mut());
                return;
            }
        }
        panic!("no end after {TURNS_MAX} turns");
    });
    outcome
}

fn write_snapshots(writer: Option<&mut Writer>) {
    let Some(writer) = writer else { return };
    loop {
        match writer.step(Duration::ZERO) {
            Step::Worked | Step::Written(_) => {}
            Step::Failed(partition, error) => panic!("{partition}: {error}"),
            Step::Idle | Step::Ended => return,
        }
    }
}

/// The profiles that a restore from a changelog comes to, at the clock of its seal.
fn restored<'a>(
    config: &Config,
    changelog: impl Iterator<Item = Pair<'a>>,
) -> Result<BTreeMap<Vec<u8>, Value>> {
    let settings = Arc::new(config.settings.clone());
    let mut restore = Restore::new(Arc::clone(&settings));
    let mut seal: Option<Seal> = None;
    for (key, value) in changelog {
        match changelog::decode(key, value)? {
            StateRecord::Customer { key, packed } => {
                let key = CustomerKey { bytes: key, hash: hash(key) };
                match packed {
                    Some(packed) => restore
                        .customer(key, &packed)
                        .map_err(|error| anyhow::anyhow!("{key:?}: {error:?}"))?,
                    None => restore.remove_customer(key),
                }
            }
            StateRecord::Marker { hash, requested_at: Some(at) } => restore.marker(hash, at),
            StateRecord::Marker { hash, requested_at: None } => restore.remove_marker(hash),
            StateRecord::Seal(found) => seal = Some(found),
        }
    }
    let clock = seal.and_then(|seal| seal.clock);
    let mut engine = restore.finish(clock).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(engine.format() == Format::V1, "a state that needs nothing new");
    let encoder = ProfileEncoder::new(&settings.shops);
    let Some(clock) = clock else { return Ok(BTreeMap::new()) };
    let slots: Vec<_> = engine.customers().collect();
    slots
        .into_iter()
        .map(|slot| {
            let (mut text, profile) = (Vec::new(), engine.profile(slot, clock));
            encoder.encode(engine.key(slot), &profile, &mut text);
            Ok((engine.key(slot).to_vec(), serde_json::from_slice(&text)?))
        })
        .collect()
}

fn is_restored(fixture: &Fixture) -> Result<()> {
    let changelog = fixture.changelog()?;
    for line in &changelog {
        let key = line.key.as_deref().context("a key")?;
        version_1::check(key, line.value.as_deref()).map_err(anyhow::Error::msg)?;
    }
    for partition in 0..fixture.partitions()? {
        let mine = changelog.iter().filter(|line| line.partition == partition);
        let mine = mine.map(|line| (line.key.as_deref(), line.value.as_deref()));
        compare(
            &restored(&fixture.config()?, mine)?,
            &fixture.restored(Part::Before, partition)?,
            &BTreeSet::new(),
        )?;
    }
    Ok(())
}

fn goes_on(fixture: &Fixture) -> Result<()> {
    let ground = brokers(fixture, &fixture.changelog()?)?;
    run_to_the_end(fixture, &ground, None)
}

fn goes_on_from_a_compacted_changelog(fixture: &Fixture) -> Result<()> {
    let ground = brokers(fixture, &fixture.changelog()?)?;
    for partition in 0..fixture.partitions()? {
        let mut world = ground.world.borrow_mut();
        let (now, log) = (world.now, world.log_mut(CHANGELOG, partition));
        log.compact(log.edge(Edge::High), now, Duration::ZERO);
    }
    run_to_the_end(fixture, &ground, None)
}

fn run_to_the_end(fixture: &Fixture, ground: &SimGround, snapshots: Option<&Path>) -> Result<()> {
    run(&fixture.config()?, ground, snapshots, u32::MAX).map_err(|stop| anyhow::anyhow!(stop.message()))?;
    check(fixture, ground)
}

/// A state folder with copies of the fixture's snapshots: a restore removes those that it does not use, and a run replaces them.
fn snapshots_of(fixture: &Fixture) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let snapshots = folder.path().join("snapshots");
    fs::create_dir(&snapshots)?;
    for path in fixture.snapshots()? {
        fs::copy(&path, snapshots.join(path.file_name().context("a file")?))?;
    }
    Ok(folder)
}

/// The restores read the changelog from the snapshots' positions on only. What is written at the end is snapshots of version 1 again.
fn goes_on_from_snapshots(fixture: &Fixture) -> Result<()> {
    let folder = snapshots_of(fixture)?;
    let file = |partition: u32| folder.path().join(format!("snapshots/{partition}.snapshot"));
    let changelog = fixture.changelog()?;
    let mut unread = changelog.len();
    for partition in 0..fixture.partitions()? {
        if let Ok(file) = fs::File::open(file(partition)) {
            unread -= usize::try_from(Reader::open(file)?.1.position.0)?;
        }
    }
    let ground = brokers(fixture, &changelog)?;
    run_to_the_end(fixture, &ground, Some(folder.path()))?;
    let read = ground.world.borrow().changelog_reads;
    ensure!(read == unread, "{read} of {unread} records read");
    for bytes in (0..fixture.partitions()?).filter_map(|partition| fs::read(file(partition)).ok()) {
        ensure!(bytes[8..12] == [1, 0, 1, 0], "formats of the file and of its customers");
        let (mut reader, _) = Reader::open(&bytes[..])?;
        while let Some(mut items) = reader.next_block()? {
            while let Some(item) = items.next_item()? {
                if let StateItem::Customer(packed) = item {
                    version_1::check_packed(packed).map_err(anyhow::Error::msg)?;
                }
            }
        }
    }
    Ok(())
}

/// After every commit the partitions move: to an instance of version 1, which writes the state that it has restored, and back.
fn moves_to_the_new_program_and_back(fixture: &Fixture) -> Result<()> {
    let ground = brokers(fixture, &fixture.changelog()?)?;
    let config = fixture.config()?;
    let mut commits = u32::MAX;
    while ground.commits() != commits {
        commits = ground.commits();
        run(&config, &ground, None, 1).map_err(|stop| anyhow::anyhow!(stop.message()))?;
        for partition in 0..fixture.partitions()? {
            let old = as_version_1_writes(pairs(&ground.records(CHANGELOG, partition)))?;
            for (key, value) in old.records {
                ground.append(CHANGELOG, partition, Some(&key), value.as_deref());
            }
            let group = &mut ground.world.borrow_mut().group;
            let committed = group.committed(partition)[Input::Orders].take();
            if let (Some(batch), Some(committed)) = (old.batch, committed) {
                let committed = Committed { metadata: format!("old-0 a1 {batch}"), ..committed };
                group.set_committed(partition, Input::Orders, Some(committed));
            }
        }
    }
    check(fixture, &ground)
}

/// What an instance of version 1 writes of the state that it restores.
pub struct OldInstance {
    pub records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The number of its batch; none if there was no seal.
    pub batch: Option<u64>,
}

/// The last record of each key as version 1 reads it, and the seal of its next batch.
///
/// # Errors
/// Something that version 1 cannot read.
pub fn as_version_1_writes<'a>(changelog: impl Iterator<Item = Pair<'a>>) -> Result<OldInstance> {
    let mut last: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
    for (key, value) in changelog {
        last.insert(key.context("a key")?, value);
    }
    let mut old = OldInstance { records: Vec::new(), batch: None };
    for (key, value) in last {
        version_1::check(key, value).map_err(anyhow::Error::msg)?;
        let mut value = value.map(<[u8]>::to_vec);
        if let (true, Some(seal)) = (key == SEAL_KEY, &mut value) {
            let number: &mut [u8; 8] = seal[2..].first_chunk_mut().context("a batch number")?;
            let batch = u64::from_le_bytes(*number) + 1;
            *number = batch.to_le_bytes();
            old.batch = Some(batch);
        }
        old.records.push((key.to_vec(), value));
    }
    Ok(old)
}

/// Everything was emitted as version 1 emits it, nothing twice, and all of the state is of version 1.
fn check(fixture: &Fixture, ground: &SimGround) -> Result<()> {
    for partition in 0..fixture.partitions()? {
        check_partition(fixture, ground, partition).with_context(|| format!("partition {partition}"))?;
    }
    Ok(())
}

fn check_partition(fixture: &Fixture, ground: &SimGround, partition: u32) -> Result<()> {
    let signals: Vec<Value> = ground
        .records(Topic::Output(Output::Signals), partition)
        .iter()
        .map(|record| Ok(serde_json::from_slice(record.value.as_deref().context("a value")?)?))
        .collect::<Result<_>>()?;
    let without = fixture.with_conflicting_returns()?;
    compare_signals(signals.clone(), fixture.signals(Part::Afterwards, partition)?, &without)?;
    let before = fixture.signals(Part::Before, partition)?;
    let emitted: BTreeSet<_> = before.iter().map(|signal| signal["id"].as_str()).collect();
    let again = signals.iter().find(|signal| emitted.contains(&signal["id"].as_str()));
    ensure!(again.is_none(), "emitted again: {again:?}");

    let mut profiles = BTreeMap::new();
    for record in ground.records(Topic::Output(Output::Customers), partition) {
        let key = record.key.context("a key")?.to_vec();
        match &record.value {
            Some(value) => profiles.insert(key, serde_json::from_slice(value)?),
            None => profiles.remove(&key),
        };
    }
    let (mut expected, partitions) = (fixture.profiles(Part::Afterwards)?, fixture.partitions()?);
    expected.retain(|key, _| retention_signals::wire::hash::partition(key, partitions) == partition);
    compare(&profiles, &expected, &without)?;
    let changelog = ground.records(CHANGELOG, partition);
    compare(
        &restored(&fixture.config()?, pairs(&changelog))?,
        &fixture.restored(Part::Afterwards, partition)?,
        &without,
    )?;
    as_version_1_writes(pairs(&changelog)).map(drop)
}

// === State that is newer than the program

/// What stands in a changelog, and the words with which it is refused.
type Refusal = (&'static str, fn(&mut [Line]), &'static str);

fn refusals() -> impl Iterator<Item = Trial> {
    let refusals: [Refusal; 5] = [
        (
            "customer_of_a_newer_format",
            |changelog| newer_format(changelog, b'c'),
            "customer state of format 5; this program reads up to 4",
        ),
        (
            "marker_of_a_newer_format",
            |changelog| newer_format(changelog, b'm'),
            "marker state of format 5; this program reads up to 1",
        ),
        (
            "seal_of_a_newer_format",
            |changelog| newer_format(changelog, b's'),
            "seal state of format 5; this program reads up to 3",
        ),
        (
            "unknown_section",
            |changelog| add_section(changelog),
            "a customer has section 200; this program knows up to 2",
        ),
        (
            "format_2_with_nothing_that_needs_it",
            |changelog| claim_format_2(changelog),
            "a customer in the changelog is not readable",
        ),
    ];
    refusals.into_iter().map(|(name, change, words)| {
        Trial::test(format!("upgrade::refused::{name}"), move || {
            refused(change, words).map_err(|error| format!("{error:#}").into())
        })
    })
}

/// Exit 78 and words, whether there are snapshots or not, and the changelog stays as it is.
fn refused(change: fn(&mut [Line]), words: &str) -> Result<()> {
    let fixture = Fixture::open("random-cadence")?;
    for folder in [None, Some(snapshots_of(&fixture)?)] {
        let mut changelog = fixture.changelog()?;
        change(&mut changelog);
        let ground = brokers(&fixture, &changelog)?;
        let folder = folder.as_ref().map(tempfile::TempDir::path);
        let stop = run(&fixture.config()?, &ground, folder, u32::MAX);
        let failure = stop.err().context("it was not refused")?.into_failure();
        ensure!(failure.exit.code() == 78 && failure.to_string().contains(words), "{failure}");
        let length = |partition| ground.records(CHANGELOG, partition).len();
        let after: usize = (0..fixture.partitions()?).map(length).sum();
        ensure!(after == changelog.len(), "something was written");
    }
    Ok(())
}

fn newer_format(changelog: &mut [Line], kind: u8) {
    let is_of_kind =
        |record: &&mut Line| record.key.as_ref().is_some_and(|key| key[0] == kind) && record.value.is_some();
    let record = changelog.iter_mut().rev().find(is_of_kind).expect("the fixture has one");
    record.value.as_mut().expect("as asked for")[0] = 5;
}

/// The last customer's value, with the bit of format 2.
fn claim_format_2(changelog: &mut [Line]) {
    let is_customer =
        |record: &&mut Line| record.key.as_ref().is_some_and(|key| key[0] == b'c') && record.value.is_some();
    let record = changelog.iter_mut().rev().find(is_customer).expect("the fixture has one");
    let key_length = record.key.as_ref().expect("as asked for").len() - 1;
    assert!(key_length < 128, "its length takes a byte");
    let value = record.value.as_mut().expect("as asked for");
    value[0] = 2;
    value[2 + key_length + 2] |= 1;
}

fn add_section(changelog: &mut [Line]) {
    claim_format_2(changelog);
    let is_of_format_2 = |record: &&mut Line| record.value.as_ref().is_some_and(|value| value[0] == 2);
    let record = changelog.iter_mut().find(is_of_format_2).expect("just made");
    record.value.as_mut().expect("as asked for").extend_from_slice(&[200, 1, 7]);
}
