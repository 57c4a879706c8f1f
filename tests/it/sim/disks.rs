//! What machines keep: state folders with snapshots, and the writers of the processes that live there.
//!
//! A folder belongs to a machine and an instance, and one process at a time holds it, as by its lock: a second process with the same
//! instance lives on another machine. Writers are stepped when chance says so; what they have not taken up dies with their process,
//! and the file that they were writing stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use retention_signals::snapshot::writer::{Step, Writer};
use retention_signals::snapshot::{SnapshotRules, Snapshots};

use super::outage::SKEW_MS;

/// How snapshots are taken and written.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub interval: Duration,
    pub block_bytes: usize,
    pub waiting_blocks_max: usize,
    /// Of 256 steps of the schedule, at how many a writer goes on.
    pub diligence: u8,
    /// Of 256 starts of a process, how many are on another machine than the last one.
    pub moves: u8,
    /// Clocks of hosts differ from the brokers' by at most so much when a process starts.
    pub skew_ms: i64,
}

/// See the module.
pub struct Disks {
    folder: PathBuf,
    rules: SnapshotRules,
    pub habits: Habits,
    machines: Vec<Machine>,
    pub written: u32,
}

struct Machine {
    folder: PathBuf,
    instance: usize,
    /// Who lives here now.
    process: Option<(usize, Writer)>,
}

impl Habits {
    /// As soon and as whole as can be.
    pub const EAGER: Habits = Habits {
        interval: Duration::from_millis(1),
        block_bytes: 1 << 20,
        waiting_blocks_max: 64,
        diligence: 255,
        moves: 0,
        skew_ms: 2_000,
    };

    pub fn random(rng: &mut Rng) -> Habits {
        Habits {
            interval: Duration::from_millis([1, 1, 200, 3_000][rng.usize(..4)]),
            // A customer has some dozen bytes.
            block_bytes: [1, 60, 1 << 20][rng.usize(..3)],
            waiting_blocks_max: [1, 2, 64][rng.usize(..3)],
            diligence: [8, 60, 200][rng.usize(..3)],
            moves: [0, 40, 100][rng.usize(..3)],
            skew_ms: SKEW_MS,
        }
    }
}

impl Disks {
    pub fn new(folder: &Path, rules: &SnapshotRules, habits: Habits) -> Disks {
        let rules = SnapshotRules {
            interval: habits.interval,
            block_bytes: habits.block_bytes,
            waiting_blocks_max: habits.waiting_blocks_max,
            ..rules.clone()
        };
        Disks { folder: folder.to_owned(), rules, habits, machines: Vec::new(), written: 0 }
    }

    /// A process starts on a machine that no process holds.
    pub fn enter(&mut self, host: usize, instance: usize, rng: &mut Rng) -> Snapshots {
        let is_free = |machine: &Machine| machine.instance == instance && machine.process.is_none();
        let free: Vec<usize> =
            (0..self.machines.len()).filter(|index| is_free(&self.machines[*index])).collect();
        let moves = self.habits.moves > 0 && rng.u8(..) < self.habits.moves;
        let place = if moves { rng.usize(..=free.len()) } else { 0 };
        let index = free.get(place).copied().unwrap_or_else(|| {
            let folder = self.folder.join(self.machines.len().to_string());
            self.machines.push(Machine { folder, instance, process: None });
            self.machines.len() - 1
        });
        let machine = &mut self.machines[index];
        let (snapshots, writer, prepared) =
            Snapshots::open(&machine.folder, self.rules.clone(), || Duration::ZERO);
        prepared.expect("a folder of our own");
        machine.process = Some((host, writer));
        snapshots
    }

    /// Whether a writer may go on now.
    pub fn is_time_to_write(&self, rng: &mut Rng) -> bool {
        rng.u8(..) < self.habits.diligence
    }

    /// The writer of a process goes on for so many steps, or until it has nothing to do.
    pub fn write(&mut self, host: usize, steps_max: usize) {
        let Disks { machines, written, .. } = self;
        let Some((_, writer)) = machines.iter_mut().find_map(|machine| machine.process_of(host)) else {
            return;
        };
        for _ in 0..steps_max {
            match writer.step(Duration::ZERO) {
                Step::Worked => {}
                Step::Written(_) => *written += 1,
                Step::Failed(partition, error) => panic!("no snapshot of {partition}: {error}"),
                Step::Idle | Step::Ended => return,
            }
        }
    }

    /// The process is gone without cleaning up.
    pub fn leave(&mut self, host: usize) {
        let machine = self.machines.iter_mut().find(|machine| machine.is_held_by(host));
        let Some(machine) = machine else { return };
        let unfinished: Vec<(PathBuf, Vec<u8>)> = machine
            .files("tmp")
            .into_iter()
            .map(|path| (path.clone(), fs::read(path).expect("a file of ours")))
            .collect();
        machine.process = None;
        for (path, bytes) in unfinished {
            fs::write(path, bytes).expect("a folder of our own");
        }
    }

    /// A disk does not keep what it was given.
    pub fn spoil(&mut self, rng: &mut Rng) {
        let mut files: Vec<PathBuf> =
            self.machines.iter().flat_map(|machine| machine.files("snapshot")).collect();
        if files.is_empty() {
            return;
        }
        files.sort();
        let path = &files[rng.usize(..files.len())];
        let mut bytes = fs::read(path).expect("a file of ours");
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..5) {
            0 | 1 => bytes.truncate(at),
            2 | 3 => bytes[at] ^= 1 << rng.u8(..8),
            _ => {
                fs::remove_file(path).expect("a folder of our own");
                return;
            }
        }
        fs::write(path, bytes).expect("a folder of our own");
    }

    /// Whether there is a snapshot of the partition on a machine of the instance.
    pub fn has_snapshot(&self, instance: usize, partition: u32) -> bool {
        let file = format!("snapshots/{partition}.snapshot");
        self.machines
            .iter()
            .any(|machine| machine.instance == instance && machine.folder.join(&file).exists())
    }
}

/// Nothing stays.
impl Drop for Disks {
    fn drop(&mut self) {
        for machine in self.machines.drain(..) {
            drop(machine.process);
            // If it cannot be removed now, it goes with the folder that it lies in.
            let _ = fs::remove_dir_all(machine.folder);
        }
    }
}

impl Machine {
    fn is_held_by(&self, host: usize) -> bool {
        self.process.as_ref().is_some_and(|(of, _)| *of == host)
    }

    fn process_of(&mut self, host: usize) -> Option<&mut (usize, Writer)> {
        self.process.as_mut().filter(|(of, _)| *of == host)
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join("snapshots")).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}
