//! Snapshots as files: one a partition, replaced as a whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::discard::Discard;
use super::format::{Block, Header, Reader, Seed, trailer};
use crate::topic::Partition;

const SNAPSHOT: &str = "snapshot";
const TEMPORARY: &str = "tmp";

/// A folder of snapshots.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// A snapshot that is being written; no reader sees it before it is whole.
#[derive(Debug)]
pub struct SnapshotFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    seed: Seed,
    blocks: u32,
    items: u64,
    bytes: u64,
}

/// A snapshot that is being read.
pub type SnapshotReader = Reader<File>;

impl Folder {
    /// Nothing is made or looked at yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the folder if it is not there, and removes what a writer has left unfinished.
    pub fn prepare(&self) -> io::Result<()> {
        // What is in it is about customers.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        for path in self.files(TEMPORARY)? {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Begins a snapshot. `number` distinguishes it from others that are being written.
    pub fn create(&self, number: u64, header: &Header) -> io::Result<SnapshotFile> {
        let temporary = self.path.join(format!("{}-{number}.{TEMPORARY}", header.partition));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let mut bytes = Vec::new();
        let seed = header.encode(&mut bytes);
        let target = self.path_of(Partition(header.partition));
        let mut file = SnapshotFile { file, temporary, target, seed, blocks: 0, items: 0, bytes: 0 };
        file.write(&bytes)?;
        Ok(file)
    }

    /// The snapshot of a partition, if there is one.
    pub fn read(&self, partition: Partition) -> Result<Option<(SnapshotReader, Header)>, Discard> {
        match File::open(self.path_of(partition)) {
            Ok(file) => Reader::open(file).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Discard::Unreadable(error.to_string())),
        }
    }

    /// Removes a snapshot that is not used. If that fails, the next start finds it unusable again.
    pub fn remove(&self, partition: Partition) {
        let path = self.path_of(partition);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            warn!(path = %path.display(), %error, "a snapshot that is of no use cannot be removed");
        }
    }

    /// Removes every snapshot that was created before this instant, in milliseconds since 1970, or is not readable: of partitions
    /// that went elsewhere, or that could not be written again. They may hold customers who have been erased since.
    pub fn remove_older(&self, than_ms: i64) -> io::Result<usize> {
        let mut removed = 0;
        for path in self.files(SNAPSHOT)? {
            let header = Reader::open(File::open(&path)?).map(|(_, header)| header);
            if header.is_ok_and(|header| header.created_at_ms >= than_ms) {
                continue;
            }
            fs::remove_file(&path)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Where a partition's snapshot lies, if there is one.
    pub fn path_of(&self, partition: Partition) -> PathBuf {
        self.path.join(format!("{partition}.{SNAPSHOT}"))
    }

    fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

impl SnapshotFile {
    pub fn write_block(&mut self, mut block: Block) -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        let items = u64::from(block.items());
        let bytes = block.finish(self.seed, self.blocks);
        write_all(&mut self.file, &mut self.bytes, bytes)?;
        self.blocks += 1;
        self.items += items;
        Ok(())
    }

    /// Puts the snapshot into the place of the one before. Gives its length in bytes.
    pub fn finish(mut self) -> io::Result<u64> {
        let end = trailer(self.seed, self.blocks, self.items);
        self.write(&end)?;
        // The name may reach the disk before the content does, and a rename before either.
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        let folder = self.target.parent().expect("a file in a folder");
        File::open(folder)?.sync_all()?;
        Ok(self.bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all(&mut self.file, &mut self.bytes, bytes)
    }
}

/// A snapshot that was not finished leaves nothing behind; after it was, there is nothing of this name.
impl Drop for SnapshotFile {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn write_all(file: &mut File, written: &mut u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    *written += bytes.len() as u64;
    Ok(())
}

/// The folder of an instance's snapshots within its state folder.
pub fn within(state_folder: &Path) -> Folder {
    Folder::new(state_folder.join("snapshots"))
}
