//! State of version 1 in a log in memory: restored, gone on from, changed one instance at a time and back, and refused where it is
//! newer than the program.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;
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
use retention_signals::stream::broker::{ChangelogIdentity, Committed, Position};
use retention_signals::stream::worker::{Stop, Worker};
use retention_signals::topic::{Input, Output, Partition, PerInput};
use retention_signals::wire::changelog::{self, SEAL_KEY, Seal, StateRecord};
use retention_signals::wire::encode::ProfileEncoder;
use retention_signals::wire::hash::hash;
use serde_json::Value;

use super::fixture::{Fixture, Part, compare, compare_signals};
use super::version_1;
use crate::worker::log::{FakeBroker, Kept, State};
use crate::worker::{TURNS_MAX, hub_and_rules};

/// Nothing has happened for so many turns: nothing will.
const QUIET_TURNS: usize = 60;

type Check = fn(&Fixture, u32) -> Result<()>;

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
                Trial::test(format!("upgrade::version_1::{name}::{fixture}"), move || in_each(fixture, check))
            })
        })
        .collect();
    trials.extend(refusals());
    trials
}

fn in_each(name: &str, check: Check) -> Result<(), Failed> {
    let fixture = Fixture::open(name).map_err(|error| format!("{error:#}"))?;
    for partition in 0..fixture.partitions().map_err(|error| format!("{error:#}"))? {
        check(&fixture, partition).map_err(|error| format!("partition {partition}: {error:#}"))?;
    }
    Ok(())
}

/// The partition as version 1 has left it, and the records that came afterwards.
fn log_of(fixture: &Fixture, partition: u32) -> Result<State> {
    let mut inputs: PerInput<Vec<Kept>> = PerInput::default();
    for part in [Part::Before, Part::Afterwards] {
        for (input, line) in fixture.inputs(part)?.into_iter().filter(|(_, line)| line.partition == partition)
        {
            ensure!(inputs[input].len() as u64 == line.offset, "offsets without gaps");
            inputs[input].push(Kept { key: line.key, value: line.value });
        }
    }
    let mut state = State::new(inputs, fixture.number("wall_ms")?, &[]);
    (state.partition, state.partitions) = (Partition(partition), fixture.partitions()?);
    for line in fixture.changelog()?.into_iter().filter(|line| line.partition == partition) {
        ensure!(changelog_of(&state).len() as u64 == line.offset, "offsets without gaps");
        state.outputs[Output::Changelog as usize].push(Kept { key: line.key, value: line.value });
    }
    for offsets in fixture.committed()?.iter().filter(|offsets| offsets.partition == partition) {
        for (input, position) in offsets.positions {
            let metadata = if input == Input::Orders { offsets.metadata.clone() } else { String::new() };
            state.committed[input] = position.map(|position| Committed { position, metadata });
        }
    }
    let snapshots = &fixture.facts["snapshots"];
    let topic = u128::from_str_radix(snapshots["topic_id"].as_str().context("a text")?, 16)?;
    state.changelog = Some(ChangelogIdentity {
        cluster: snapshots["cluster"].as_str().context("a text")?.to_owned(),
        topic: topic.to_be_bytes(),
        tombstone_retention: Duration::from_secs(86_400),
    });
    Ok(state)
}

fn changelog_of(state: &State) -> &[Kept] {
    &state.outputs[Output::Changelog as usize]
}

/// Runs a process until nothing happens any more, and shuts it down; or until it has made so many commits, when it crashes.
fn run(
    config: &Config,
    state: &Rc<RefCell<State>>,
    snapshots: Option<&Path>,
    commits_max: usize,
) -> Result<(), Stop> {
    let mut outcome = Ok(());
    hub_and_rules(config, |hub, mut rules| {
        let mut writer = snapshots.map(|folder| {
            let snapshot_rules =
                SnapshotRules { interval: Duration::from_millis(1), ..SnapshotRules::new(config) };
            let (snapshots, writer, prepared) = Snapshots::open(folder, snapshot_rules, || Duration::ZERO);
            prepared.expect("a folder of our own");
            rules.snapshots = Some(snapshots);
            writer
        });
        let mut worker = Worker::new(FakeBroker::of(Rc::clone(state)), rules, hub);
        let (mut quiet, commits_before) = (0, state.borrow().commits);
        for _ in 0..TURNS_MAX {
            let commits = state.borrow().commits;
            outcome = worker.turn();
            write_snapshots(writer.as_mut());
            if outcome.is_err() || state.borrow().commits >= commits_before + commits_max {
                return;
            }
            let is_quiet = state.borrow().is_done() && state.borrow().commits == commits;
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
fn restored(config: &Config, changelog: &[Kept]) -> Result<BTreeMap<Vec<u8>, Value>> {
    let settings = Arc::new(config.settings.clone());
    let mut restore = Restore::new(Arc::clone(&settings));
    let mut seal: Option<Seal> = None;
    for record in changelog {
        match changelog::decode(record.key.as_deref(), record.value.as_deref())? {
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

fn is_restored(fixture: &Fixture, partition: u32) -> Result<()> {
    let state = log_of(fixture, partition)?;
    for record in changelog_of(&state) {
        let key = record.key.as_deref().context("a key")?;
        version_1::check(key, record.value.as_deref()).map_err(anyhow::Error::msg)?;
    }
    compare(
        &restored(&fixture.config()?, changelog_of(&state))?,
        &fixture.restored(Part::Before, partition)?,
        &BTreeSet::new(),
    )
}

fn goes_on(fixture: &Fixture, partition: u32) -> Result<()> {
    let state = Rc::new(RefCell::new(log_of(fixture, partition)?));
    run(&fixture.config()?, &state, None, usize::MAX).map_err(|stop| anyhow::anyhow!(stop.message()))?;
    check(fixture, partition, &state.borrow())
}

fn goes_on_from_a_compacted_changelog(fixture: &Fixture, partition: u32) -> Result<()> {
    let mut state = log_of(fixture, partition)?;
    let changelog = &mut state.outputs[Output::Changelog as usize];
    let last: BTreeMap<_, _> =
        changelog.iter().enumerate().map(|(index, record)| (record.key.clone(), index)).collect();
    let kept = changelog.iter().enumerate().filter(|(index, record)| last[&record.key] == *index);
    *changelog =
        kept.filter(|(_, record)| record.value.is_some()).map(|(_, record)| record.clone()).collect();
    let state = Rc::new(RefCell::new(state));
    run(&fixture.config()?, &state, None, usize::MAX).map_err(|stop| anyhow::anyhow!(stop.message()))?;
    check(fixture, partition, &state.borrow())
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

/// The restore reads the changelog from the snapshot's position on only. What is written at the end is a snapshot of version 1 again.
fn goes_on_from_snapshots(fixture: &Fixture, partition: u32) -> Result<()> {
    let folder = snapshots_of(fixture)?;
    let file = folder.path().join(format!("snapshots/{partition}.snapshot"));
    let position = match fs::File::open(&file) {
        Ok(file) => Reader::open(file)?.1.position,
        Err(_) => Position(0),
    };
    let state = log_of(fixture, partition)?;
    let unread = changelog_of(&state).len() as u64 - position.0;
    let state = Rc::new(RefCell::new(state));
    run(&fixture.config()?, &state, Some(folder.path()), usize::MAX)
        .map_err(|stop| anyhow::anyhow!(stop.message()))?;
    let state = state.borrow();
    ensure!(state.changelog_reads as u64 == unread, "{} of {unread} records read", state.changelog_reads);
    check(fixture, partition, &state)?;
    if let Ok(bytes) = fs::read(&file) {
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

/// After every commit the partition moves: to an instance of version 1, which writes the state that it has restored, and back.
fn moves_to_the_new_program_and_back(fixture: &Fixture, partition: u32) -> Result<()> {
    let state = Rc::new(RefCell::new(log_of(fixture, partition)?));
    let config = fixture.config()?;
    let mut commits = usize::MAX;
    while state.borrow().commits != commits {
        commits = state.borrow().commits;
        run(&config, &state, None, 1).map_err(|stop| anyhow::anyhow!(stop.message()))?;
        let old = as_version_1_writes(changelog_of(&state.borrow()))?;
        let mut state = state.borrow_mut();
        if let (Some(batch), Some(committed)) = (old.batch, &mut state.committed[Input::Orders]) {
            committed.metadata = format!("old-0 a1 {batch}");
        }
        state.outputs[Output::Changelog as usize].extend(old.records);
    }
    check(fixture, partition, &state.borrow())
}

/// What an instance of version 1 writes of the state that it restores.
pub struct OldInstance {
    pub records: Vec<Kept>,
    /// The number of its batch; none if there was no seal.
    pub batch: Option<u64>,
}

/// The last record of each key as version 1 reads it, and the seal of its next batch.
///
/// # Errors
/// Something that version 1 cannot read.
pub fn as_version_1_writes(changelog: &[Kept]) -> Result<OldInstance> {
    let mut last: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
    for record in changelog {
        last.insert(record.key.as_deref().context("a key")?, record.value.as_deref());
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
        old.records.push(Kept { key: Some(key.to_vec()), value });
    }
    Ok(old)
}

/// Everything was emitted as version 1 emits it, nothing twice, and all of the state is of version 1.
fn check(fixture: &Fixture, partition: u32, state: &State) -> Result<()> {
    let signals: Vec<Value> = state.outputs[Output::Signals as usize]
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
    for record in &state.outputs[Output::Customers as usize] {
        let key = record.key.clone().context("a key")?;
        match &record.value {
            Some(value) => profiles.insert(key, serde_json::from_slice(value)?),
            None => profiles.remove(&key),
        };
    }
    let mut expected = fixture.profiles(Part::Afterwards)?;
    expected.retain(|key, _| retention_signals::wire::hash::partition(key, state.partitions) == partition);
    compare(&profiles, &expected, &without)?;
    compare(
        &restored(&fixture.config()?, changelog_of(state))?,
        &fixture.restored(Part::Afterwards, partition)?,
        &without,
    )?;
    as_version_1_writes(changelog_of(state)).map(drop)
}

// === State that is newer than the program

/// What stands in a changelog, and the words with which it is refused.
type Refusal = (&'static str, fn(&mut Vec<Kept>), &'static str);

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
fn refused(change: fn(&mut Vec<Kept>), words: &str) -> Result<()> {
    let fixture = Fixture::open("random-cadence")?;
    for folder in [None, Some(snapshots_of(&fixture)?)] {
        let mut state = log_of(&fixture, 1)?;
        change(&mut state.outputs[Output::Changelog as usize]);
        let state = Rc::new(RefCell::new(state));
        let before = changelog_of(&state.borrow()).len();
        let stop = run(&fixture.config()?, &state, folder.as_ref().map(tempfile::TempDir::path), usize::MAX);
        let failure = stop.err().context("it was not refused")?.into_failure();
        ensure!(failure.exit.code() == 78 && failure.to_string().contains(words), "{failure}");
        ensure!(changelog_of(&state.borrow()).len() == before, "something was written");
    }
    Ok(())
}

fn newer_format(changelog: &mut [Kept], kind: u8) {
    let is_of_kind =
        |record: &&mut Kept| record.key.as_ref().is_some_and(|key| key[0] == kind) && record.value.is_some();
    let record = changelog.iter_mut().rev().find(is_of_kind).expect("the fixture has one");
    record.value.as_mut().expect("as asked for")[0] = 5;
}

/// The last customer's value, with the bit of format 2.
fn claim_format_2(changelog: &mut [Kept]) {
    let is_customer =
        |record: &&mut Kept| record.key.as_ref().is_some_and(|key| key[0] == b'c') && record.value.is_some();
    let record = changelog.iter_mut().rev().find(is_customer).expect("the fixture has one");
    let key_length = record.key.as_ref().expect("as asked for").len() - 1;
    assert!(key_length < 128, "its length takes a byte");
    let value = record.value.as_mut().expect("as asked for");
    value[0] = 2;
    value[2 + key_length + 2] |= 1;
}

fn add_section(changelog: &mut [Kept]) {
    claim_format_2(changelog);
    let is_of_format_2 = |record: &&mut Kept| record.value.as_ref().is_some_and(|value| value[0] == 2);
    let record = changelog.iter_mut().find(is_of_format_2).expect("just made");
    record.value.as_mut().expect("as asked for").extend_from_slice(&[200, 1, 7]);
}
