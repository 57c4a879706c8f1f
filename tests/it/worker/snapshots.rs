//! Restarts with snapshots: whatever is there or is wrong with it, what is committed in the end is the same.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use retention_signals::snapshot::writer::{Step, Writer};
use retention_signals::snapshot::{SnapshotRules, Snapshots};
use retention_signals::stream::broker::ChangelogIdentity;
use retention_signals::stream::worker::{Stop, Worker};
use retention_signals::topic::Output;
use serde_json::json;

use super::{TURNS_MAX, compare, configuration, ground, in_process};
use crate::live::history::{self, History};
use crate::sim::ground::SimGround;
use crate::sim::script::{Call, Fault, Script};

const SEED: u64 = 0x5eed_0200;
const RETENTION: Duration = Duration::from_secs(1_000);

pub fn trials() -> Vec<Trial> {
    let discards: [(&str, fn(&mut SimGround)); 5] = [
        ("of_another_cluster", |ground| change(ground, |changelog| changelog.cluster.push('x'))),
        ("of_another_topic", |ground| change(ground, |changelog| changelog.topic[0] ^= 1)),
        ("stale", |ground| ground.wall_offset_ms += 500_000),
        ("from_the_future", |ground| ground.wall_offset_ms -= 100_000),
        ("older_than_short_tombstones", |ground| {
            change(ground, |changelog| changelog.tombstone_retention = Duration::ZERO);
        }),
    ];
    let files: [(&str, fn(&Path)); 5] = [
        ("torn", |path| truncate(path, |length| length / 2)),
        ("cut_by_a_byte", |path| truncate(path, |length| length - 1)),
        ("empty", |path| truncate(path, |_| 0)),
        ("flipped", |path| flip(path, |length| length - 40)),
        ("of_another_format", |path| flip(path, |_| 8)),
    ];
    let mut trials = vec![
        Trial::test("worker::snapshots::a_restart_reads_the_tail_alone", a_restart_reads_the_tail_alone),
        Trial::test("worker::snapshots::after_a_crash", after_a_crash),
        Trial::test(
            "worker::snapshots::slices_while_customers_come_and_go",
            slices_while_customers_come_and_go,
        ),
        Trial::test("worker::snapshots::random_restarts", random_restarts),
        Trial::test("worker::snapshots::a_folder_that_cannot_be_written", a_folder_that_cannot_be_written),
        Trial::test("worker::snapshots::a_revoked_partition_leaves_one", a_revoked_partition_leaves_one),
        Trial::test("worker::snapshots::none_without_an_identity", none_without_an_identity),
        Trial::test("worker::snapshots::old_ones_are_removed", old_ones_are_removed),
    ];
    trials.extend(discards.map(|(name, change)| {
        Trial::test(format!("worker::snapshots::discarded::{name}"), move || {
            discarded(|ground, _| change(ground))
        })
    }));
    trials.extend(files.map(|(name, spoil)| {
        Trial::test(format!("worker::snapshots::discarded::{name}"), move || discarded(|_, path| spoil(path)))
    }));
    trials
}

/// One process after the other on one log and one state folder.
struct Instance {
    folder: tempfile::TempDir,
    ground: SimGround,
    history: History,
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    ShutDown,
    Crash,
}

/// How eagerly the writer of a process works.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Steps of the writer after each turn of the worker.
    steps: usize,
    block_bytes: usize,
    interval: Duration,
}

const EAGER: Pace = Pace { steps: 8, block_bytes: 1 << 20, interval: Duration::from_millis(1) };

impl Instance {
    fn new(seed: u64) -> Self {
        let mut history = history::random(seed, 40, 200);
        let mut rng = fastrand::Rng::with_seed(seed);
        // Some are erased, and some of these come again.
        for customer in (0..40).filter(|customer| customer % 5 == 0) {
            let requested_at = rng.i64(history.end - 280 * 86_400_000..history.end - 100 * 86_400_000);
            history
                .erasures
                .push(json!({"customer_id": format!("c{customer}"), "requested_at": requested_at}));
        }
        history.erasures.sort_by_key(|erasure| erasure["requested_at"].as_i64());
        let ground = ground(&history);
        ground.fetch_little();
        change(&ground, |changelog| changelog.tombstone_retention = RETENTION);
        Self { folder: tempfile::tempdir().expect("a temporary folder"), ground, history }
    }

    fn expected(seed: u64) -> SimGround {
        let instance = Self::new(seed);
        instance.ground.world.borrow_mut().changelog = None;
        instance.run(EAGER, End::ShutDown, |_| false).expect("nothing fails");
        instance.ground
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("snapshots/0.snapshot")
    }

    /// Runs a process until everything is committed or `until` says so. Gives the changelog records it has read, and the
    /// failures of its writer.
    fn run(
        &self,
        pace: Pace,
        end: End,
        until: impl Fn(&SimGround) -> bool,
    ) -> Result<(usize, Vec<std::io::Error>), Stop> {
        let config = configuration();
        let rules = SnapshotRules {
            interval: pace.interval,
            block_bytes: pace.block_bytes,
            waiting_blocks_max: pace.steps.max(1),
            ..SnapshotRules::new(&config)
        };
        let (snapshots, mut writer, prepared) = Snapshots::open(self.folder.path(), rules, || Duration::ZERO);
        let mut failures: Vec<_> = prepared.err().into_iter().collect();
        let ground = &self.ground;
        let reads_before = ground.world.borrow().changelog_reads;
        let mut outcome = Ok(());
        in_process(&config, ground, |broker, hub, mut rules| {
            rules.snapshots = Some(snapshots);
            let mut processor = Worker::new(broker, rules, hub);
            for _ in 0..TURNS_MAX {
                outcome = processor.turn();
                write(&mut writer, pace.steps, &mut failures);
                if outcome.is_err() || ground.is_done() || until(ground) {
                    break;
                }
            }
            if outcome.is_ok() && end == End::ShutDown {
                ground.world.borrow_mut().script.clear();
                outcome = processor.shut_down();
            }
        });
        if end == End::ShutDown {
            write(&mut writer, usize::MAX, &mut failures);
        }
        outcome.map(|()| (ground.world.borrow().changelog_reads - reads_before, failures))
    }

    fn check(&self, expected: &SimGround) -> Result<(), Failed> {
        if !self.ground.is_done() {
            return Err("it did not come to its end".into());
        }
        compare(expected, &self.ground)
            .map_err(|error| format!("seed {:#x}: {error}", self.history.seed).into())
    }
}

fn write(writer: &mut Writer, steps: usize, failures: &mut Vec<std::io::Error>) {
    for _ in 0..steps {
        match writer.step(Duration::ZERO) {
            Step::Worked | Step::Written(_) => {}
            Step::Failed(_, error) => failures.push(error),
            Step::Idle | Step::Ended => return,
        }
    }
}

fn change(ground: &SimGround, change: impl FnOnce(&mut ChangelogIdentity)) {
    change(ground.world.borrow_mut().changelog.as_mut().expect("it has one"));
}

fn truncate(path: &Path, length: impl FnOnce(u64) -> u64) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("a snapshot");
    let held = file.metadata().expect("a file").len();
    file.set_len(length(held)).expect("writable");
}

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).expect("a snapshot");
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    fs::write(path, bytes).expect("writable");
}

fn stopped(stop: Stop) -> Failed {
    stop.message().into()
}

/// After a farewell, only the last batch is read again.
fn a_restart_reads_the_tail_alone() -> Result<(), Failed> {
    let expected = Instance::expected(SEED);
    let instance = Instance::new(SEED);
    instance.run(EAGER, End::ShutDown, |ground| ground.commits() >= 20).map_err(stopped)?;
    let all = instance.ground.output(Output::Changelog).len();
    let (read, failures) = instance.run(EAGER, End::ShutDown, |_| false).map_err(stopped)?;
    assert!(failures.is_empty(), "{failures:?}");
    assert!(read > 0 && read < all / 4, "{read} of {all} records read");
    instance.check(&expected)
}

fn after_a_crash() -> Result<(), Failed> {
    let expected = Instance::expected(SEED);
    for commits in 1..25 {
        let instance = Instance::new(SEED);
        instance.run(EAGER, End::Crash, |ground| ground.commits() >= commits).map_err(stopped)?;
        assert!(commits < 3 || instance.file().exists(), "a snapshot after {commits} commits");
        instance.run(EAGER, End::ShutDown, |_| false).map_err(stopped)?;
        instance.check(&expected)?;
    }
    Ok(())
}

/// Blocks of a customer each, a few between two commits: everything changes while they are taken.
fn slices_while_customers_come_and_go() -> Result<(), Failed> {
    for seed in SEED..SEED + 20 {
        let expected = Instance::expected(seed);
        let instance = Instance::new(seed);
        let slow = Pace { steps: 6, block_bytes: 60, ..EAGER };
        let mut restarts = 0;
        for commits in [10, 20, 30] {
            instance.run(slow, End::Crash, |ground| ground.commits() >= commits).map_err(stopped)?;
            restarts += usize::from(instance.file().exists());
        }
        instance.run(slow, End::ShutDown, |_| false).map_err(stopped)?;
        assert!(restarts > 0, "seed {seed:#x}: no snapshot was finished");
        instance.check(&expected)?;
    }
    Ok(())
}

/// Crashes and farewells at random, with failing calls, and files that are spoilt in between.
fn random_restarts() -> Result<(), Failed> {
    for seed in SEED..SEED + 60 {
        let expected = Instance::expected(seed);
        let instance = Instance::new(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..rng.usize(1..8) {
            let pace = Pace {
                steps: rng.usize(0..6),
                block_bytes: rng.usize(1..2_000),
                interval: Duration::from_millis(rng.u64(1..100)),
            };
            let commits = instance.ground.commits() + rng.u32(0..20);
            let end = if rng.bool() { End::Crash } else { End::ShutDown };
            instance.ground.world.borrow_mut().script = random_script(&mut rng);
            instance.run(pace, end, |ground| ground.commits() >= commits).map_err(stopped)?;
            instance.ground.world.borrow_mut().script.clear();
            if instance.file().exists() {
                match rng.u8(..6) {
                    0 => truncate(&instance.file(), |length| rng.u64(..length)),
                    1 => flip(&instance.file(), |length| rng.usize(..length)),
                    2 => fs::remove_file(instance.file()).expect("it is there"),
                    _ => {}
                }
            }
        }
        instance.run(EAGER, End::ShutDown, |_| false).map_err(stopped)?;
        instance.check(&expected)?;
    }
    Ok(())
}

fn random_script(rng: &mut fastrand::Rng) -> Script {
    let faults = [
        (Call::Send, Fault::Abort),
        (Call::Flush, Fault::Failed),
        (Call::Flush, Fault::LostAndFound),
        (Call::SendOffsets, Fault::LostAndFound),
        (Call::Commit, Fault::Failed),
        (Call::Commit, Fault::FailedThoughCommitted),
        (Call::Commit, Fault::RevokedAndFound),
    ];
    (0..rng.usize(0..4)).map(|_| faults[rng.usize(..faults.len())]).collect()
}

/// A snapshot that cannot be used is as none: everything is read, the file is gone, and the result is the same.
fn discarded(spoil: impl Fn(&mut SimGround, &Path)) -> Result<(), Failed> {
    let expected = Instance::expected(SEED);
    let mut instance = Instance::new(SEED);
    instance.run(EAGER, End::ShutDown, |ground| ground.commits() >= 20).map_err(stopped)?;
    assert!(instance.file().exists(), "a snapshot to be discarded");
    let all = instance.ground.output(Output::Changelog).len();
    let before = fs::read(instance.file()).expect("a snapshot");
    let file = instance.file();
    spoil(&mut instance.ground, &file);
    // No new one takes its place.
    let never = Pace { interval: Duration::from_secs(3_600), ..EAGER };
    let (read, _) = instance.run(never, End::Crash, |_| false).map_err(stopped)?;
    assert!(read >= all, "{read} of {all} records read");
    assert!(fs::read(instance.file()).map_or(true, |found| found != before), "the snapshot is still there");
    instance.check(&expected)
}

/// At each step of a write: the work goes on, and what was there before still is.
fn a_folder_that_cannot_be_written() -> Result<(), Failed> {
    let expected = Instance::expected(SEED);
    let spoils: [(&str, fn(&Path)); 3] = [
        // The first write finds no room.
        ("full", |folder| {
            for number in 0..200 {
                symlink("/dev/full", folder.join(format!("0-{number}.tmp"))).expect("a link");
            }
        }),
        ("no place for a file", |folder| {
            for number in 0..200 {
                fs::create_dir(folder.join(format!("0-{number}.tmp"))).expect("a folder");
            }
        }),
        ("no folder", |folder| {
            fs::remove_dir_all(folder).expect("a folder");
            fs::write(folder, "").expect("a file");
        }),
    ];
    for (name, spoil) in spoils {
        let instance = Instance::new(SEED);
        instance.run(EAGER, End::ShutDown, |ground| ground.commits() >= 10).map_err(stopped)?;
        let folder = instance.folder.path().join("snapshots");
        let before = fs::read(instance.file()).expect("a snapshot");
        // Between the start, which clears the folder, and the first snapshot.
        let is_spoilt = std::cell::Cell::new(false);
        let (_, failures) = instance
            .run(EAGER, End::ShutDown, |_| {
                if !is_spoilt.replace(true) {
                    spoil(&folder);
                }
                false
            })
            .map_err(stopped)?;
        assert!(!failures.is_empty(), "{name}: nothing failed");
        assert!(folder.is_file() || fs::read(instance.file()).expect("the old one") == before, "{name}");
        instance.check(&expected)?;
    }
    Ok(())
}

/// The partition goes and comes back: the second restore reads what the first ownership has left.
fn a_revoked_partition_leaves_one() -> Result<(), Failed> {
    let expected = Instance::expected(SEED);
    let instance = Instance::new(SEED);
    instance.run(EAGER, End::ShutDown, |ground| ground.commits() >= 15).map_err(stopped)?;
    let never = Pace { interval: Duration::from_secs(3_600), ..EAGER };
    let before = fs::read(instance.file()).expect("a snapshot");
    instance.ground.world.borrow_mut().script.push_back((Call::Commit, Fault::RevokedAndFound));
    let written = std::cell::Cell::new(false);
    instance
        .run(never, End::Crash, |_| {
            written.set(written.get() || fs::read(instance.file()).is_ok_and(|found| found != before));
            false
        })
        .map_err(stopped)?;
    assert!(written.get(), "the revoked partition's state was not written");
    instance.check(&expected)
}

fn none_without_an_identity() -> Result<(), Failed> {
    let expected = Instance::expected(SEED);
    let instance = Instance::new(SEED);
    instance.ground.world.borrow_mut().changelog = None;
    instance.run(EAGER, End::ShutDown, |_| false).map_err(stopped)?;
    assert!(!instance.file().exists(), "a snapshot of nobody knows what");
    instance.check(&expected)
}

/// Also what is no snapshot; the rest stays.
fn old_ones_are_removed() -> Result<(), Failed> {
    let instance = Instance::new(SEED);
    instance.run(EAGER, End::ShutDown, |_| false).map_err(stopped)?;
    let folder = instance.folder.path().join("snapshots");
    fs::write(folder.join("7.snapshot"), "no snapshot").expect("writable");
    fs::write(folder.join("8-0.tmp"), "left by a crash").expect("writable");
    let config = configuration();
    let (_snapshots, writer, prepared) =
        Snapshots::open(instance.folder.path(), SnapshotRules::new(&config), || Duration::ZERO);
    prepared.expect("a folder of our own");
    assert!(!folder.join("8-0.tmp").exists(), "what was left unfinished is removed at the start");
    let end = instance.history.end;
    assert_eq!(writer.remove_older(end).expect("readable"), 1);
    assert!(instance.file().exists() && !folder.join("7.snapshot").exists());
    assert_eq!(writer.remove_older(end + 86_400_000).expect("readable"), 1);
    assert!(!instance.file().exists());
    Ok(())
}
