//! Local snapshots: the state of a partition as a file, so that a restart need not read the whole changelog again.
//!
//! ```text
//!  commit n       high watermark asked ─► begin ─► send ... ─► committed ─► first slice
//!  commit n+1 ...                                      committed ─► next slice ... ─► last slice ─► fsync, rename
//!
//!  restore        snapshot ─► changelog from the position in it ─► the same state as from the changelog alone
//! ```
//!
//! A snapshot is no state of one moment: it is taken in slices, each between two batches. What changes meanwhile is in the
//! changelog behind the snapshot's position, as whole states, and so is everything that a slice has missed, or has twice. Lower
//! positions are always safe. A position that was asked before the first send of a batch *that was then committed* is known to be
//! ours: if another process had owned the partition by then, the commit would have been fenced.
//!
//! It does not hold the offsets of the inputs; the seal does, which always lies behind the position. Whatever is
//! wrong with a snapshot, it is discarded with a reason and the changelog is read from its beginning: the file may vanish at
//! any time.

pub mod discard;
pub mod folder;
pub mod format;
pub mod snapshot_schedule;
pub mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::config::Config;
use crate::domain::engine::Engine;
use crate::domain::engine::export::{Export, Exported, Room, StateItem};
use crate::domain::store::packed::Format;
use crate::fault::{self, Mutation};
use crate::stream::broker::{ChangelogIdentity, Position};
use crate::topic::Partition;

use discard::Discard;
use folder::{Folder, SnapshotReader};
use format::{Block, Header};
use writer::{Message, Writer};

/// Where a process keeps its snapshots, and the way to its writer. Clones share both.
#[derive(Clone)]
pub struct Snapshots {
    shared: Arc<Shared>,
    messages: Sender<Message>,
    ended: Receiver<()>,
}

struct Shared {
    folder: Folder,
    rules: SnapshotRules,
    next_number: AtomicU64,
    waiting_blocks: AtomicUsize,
}

/// What snapshots are written and read by.
#[derive(Clone, Debug)]
pub struct SnapshotRules {
    pub application: String,
    /// Of the erasure secret: markers are found again with the same one only.
    pub secret: [u8; 8],
    /// Between two snapshots of a partition.
    pub interval: Duration,
    /// A block is closed when it has so many bytes.
    pub block_bytes: usize,
    /// Blocks of all workers that may wait for the writer.
    pub waiting_blocks_max: usize,
}

/// From where on the changelog corrects a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    pub position: Position,
    /// When it was asked for, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A snapshot that is being taken in slices. Dropping it gives it up.
pub struct SnapshotInProgress {
    number: u64,
    shared: Arc<Shared>,
    messages: Sender<Message>,
    failed: Arc<AtomicBool>,
    export: Export,
    format: Format,
    is_finished: bool,
}

/// Room for a block that waits for the writer, given back when it is dropped.
struct Credit(Arc<Shared>);

/// Whether a slice was the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slice {
    More,
    /// The writer has fallen behind: later.
    NoRoom,
    Last,
    /// The writer could not write; it has logged the reason.
    Failed,
}

impl SnapshotRules {
    /// Some 2,000 customers, a fraction of a millisecond.
    pub const BLOCK_BYTES: usize = 256 * 1024;
    /// 16 MiB; a worker that finds so many waiting goes on without.
    pub const WAITING_BLOCKS_MAX: usize = 64;

    pub fn new(config: &Config) -> Self {
        Self {
            application: config.application.clone(),
            secret: config.erasure_fingerprint,
            interval: config.snapshot_interval,
            block_bytes: Self::BLOCK_BYTES,
            waiting_blocks_max: Self::WAITING_BLOCKS_MAX,
        }
    }
}

impl Snapshots {
    /// Prepares the folder. The caller must run the writer; `now` is its clock, from any origin.
    pub fn open(
        state_folder: &Path,
        rules: SnapshotRules,
        now: fn() -> Duration,
    ) -> (Self, Writer, io::Result<()>) {
        let folder = folder::within(state_folder);
        let prepared = folder.prepare();
        let (messages, received) = crossbeam_channel::unbounded();
        let (ending, ended) = crossbeam_channel::bounded(0);
        let next_number = AtomicU64::new(0);
        let shared = Arc::new(Shared { folder, rules, next_number, waiting_blocks: AtomicUsize::new(0) });
        let writer = Writer::new(Arc::clone(&shared), received, ending, now);
        (Self { shared, messages, ended }, writer, prepared)
    }

    pub fn rules(&self) -> &SnapshotRules {
        &self.shared.rules
    }

    /// The snapshot of a partition, if there is one.
    pub fn read(&self, partition: Partition) -> Result<Option<(SnapshotReader, Header)>, Discard> {
        self.shared.folder.read(partition)
    }

    /// Removes a partition's snapshot, which cannot be used.
    pub fn remove(&self, partition: Partition) {
        self.shared.folder.remove(partition);
    }

    /// Begins a snapshot of a committed state.
    pub fn begin(
        &self,
        partition: Partition,
        changelog: &ChangelogIdentity,
        start: Start,
        engine: &Engine,
    ) -> SnapshotInProgress {
        let (number, header) = self.header(partition, changelog, start, engine);
        let (failed, format) = (Arc::new(AtomicBool::new(false)), header.format);
        self.tell(Message::Begin { number, header, failed: Arc::clone(&failed) });
        SnapshotInProgress {
            number,
            shared: Arc::clone(&self.shared),
            messages: self.messages.clone(),
            failed,
            export: Export::default(),
            format,
            is_finished: false,
        }
    }

    /// Hands over a committed state that the worker does not need any more.
    pub fn hand_over(
        &self,
        partition: Partition,
        changelog: &ChangelogIdentity,
        start: Start,
        engine: Box<Engine>,
    ) {
        let (number, header) = self.header(partition, changelog, start, &engine);
        self.tell(Message::Whole { number, header, engine });
    }

    /// Ends the writer once it has written everything, and waits for that. Whether it came to its end in time.
    pub fn finish(&self, within: Duration) -> bool {
        self.tell(Message::End);
        // Nothing is ever sent: the writer drops its end.
        self.ended.recv_timeout(within) == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
    }

    fn header(
        &self,
        partition: Partition,
        changelog: &ChangelogIdentity,
        start: Start,
        engine: &Engine,
    ) -> (u64, Header) {
        let number = self.shared.next_number.fetch_add(1, Ordering::Relaxed);
        let rules = &self.shared.rules;
        let header = Header {
            application: rules.application.clone(),
            cluster: changelog.cluster.clone(),
            topic: changelog.topic,
            partition: partition.0,
            secret: rules.secret,
            position: start.position,
            created_at_ms: start.at_ms,
            customers: engine.customers_len() as u64,
            format: engine.format(),
        };
        (number, header)
    }

    fn tell(&self, message: Message) {
        // A writer that has ended has panicked, or the process is ending: then there are no snapshots.
        let _ = self.messages.send(message);
    }
}

impl SnapshotInProgress {
    /// Hands the next block to the writer. No batch may be open: only committed state is to be seen.
    pub fn slice(&mut self, engine: &Engine) -> Slice {
        debug_assert!(
            engine.changes().is_empty() || fault::is(Mutation::SnapshotBeforeCommit),
            "only committed state is to be seen"
        );
        if self.failed.load(Ordering::Relaxed) {
            return Slice::Failed;
        }
        let Some(credit) = Credit::take(&self.shared) else { return Slice::NoRoom };
        let (block, exported) =
            next_block(engine, &mut self.export, self.format, self.shared.rules.block_bytes);
        self.tell(Message::Block { number: self.number, block, credit });
        match exported {
            Exported::Some => Slice::More,
            Exported::All => {
                self.tell(Message::Finish { number: self.number });
                self.is_finished = true;
                Slice::Last
            }
        }
    }

    fn tell(&self, message: Message) {
        // See `Snapshots::tell`.
        let _ = self.messages.send(message);
    }
}

/// The next items of a snapshot of a format. A customer who needs a newer one by now is left out: the change came after the snapshot
/// was begun, so it is in the changelog behind the snapshot's position.
fn next_block(engine: &Engine, export: &mut Export, format: Format, bytes_max: usize) -> (Block, Exported) {
    let mut block = Block::new(bytes_max);
    let exported = engine.export(export, |item| {
        match item {
            StateItem::Customer(packed) if Format::of(packed) > format => {}
            StateItem::Customer(_) | StateItem::Marker { .. } => block.push(item),
        }
        if block.len() >= bytes_max { Room::Full } else { Room::Left }
    });
    (block, exported)
}

impl Drop for SnapshotInProgress {
    fn drop(&mut self) {
        if !self.is_finished {
            self.tell(Message::Abandon { number: self.number });
        }
    }
}

impl Credit {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let credit = Self(Arc::clone(shared));
        // Counted before it is looked at: several workers may be here.
        let waiting = shared.waiting_blocks.fetch_add(1, Ordering::Relaxed);
        (waiting < shared.rules.waiting_blocks_max).then_some(credit)
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.0.waiting_blocks.fetch_sub(1, Ordering::Relaxed);
    }
}
