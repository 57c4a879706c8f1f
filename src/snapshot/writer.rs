//! Writes snapshots beside the workers: state comes in, files go out, and no worker waits.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::folder::SnapshotFile;
use super::format::{Block, Header};
use super::{Credit, Shared, next_block};
use crate::domain::engine::Engine;
use crate::domain::engine::export::{Export, Exported};
use crate::topic::Partition;

/// Messages of workers to the writer. A number identifies a snapshot: a partition may be assigned again while an old one is under way.
pub(super) enum Message {
    Begin {
        number: u64,
        header: Header,
        failed: Arc<AtomicBool>,
    },
    Block {
        number: u64,
        block: Block,
        credit: Credit,
    },
    Finish {
        number: u64,
    },
    Abandon {
        number: u64,
    },
    /// A state that its worker needs no more.
    Whole {
        number: u64,
        header: Header,
        engine: Box<Engine>,
    },
    End,
}

/// Writes what the workers hand over.
pub struct Writer {
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    /// Dropped with the writer, so that the receiver sees its end.
    _ended: Sender<()>,
    sliced: BTreeMap<u64, Sliced>,
    whole: Option<Whole>,
    /// The caller's clock, from any origin.
    now: fn() -> Duration,
}

/// A snapshot whose state comes in blocks.
struct Sliced {
    work: Work,
    failed: Arc<AtomicBool>,
}

/// A snapshot of a state that was handed over.
struct Whole {
    work: Work,
    engine: Box<Engine>,
    export: Export,
}

struct Work {
    file: SnapshotFile,
    partition: Partition,
    created_at_ms: i64,
    started_at: Duration,
}

/// What a step did.
#[derive(Debug)]
pub enum Step {
    /// Nothing came.
    Idle,
    Worked,
    Written(Written),
    /// The snapshot failed; an older one is still in its place.
    Failed(Partition, io::Error),
    /// All workers have dropped their senders.
    Ended,
}

/// A snapshot that is in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    pub partition: Partition,
    pub bytes: u64,
    /// What it holds was committed by then, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Since its first block.
    pub duration: Duration,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        messages: Receiver<Message>,
        ended: Sender<()>,
        now: fn() -> Duration,
    ) -> Self {
        Self { shared, messages, _ended: ended, sliced: BTreeMap::new(), whole: None, now }
    }

    /// Takes up the next message, waiting `up_to` for it, or writes a block of what was handed over.
    pub fn step(&mut self, up_to: Duration) -> Step {
        if let Some(whole) = self.whole.take() {
            return self.go_on(whole);
        }
        // Waiting begins with a while of spinning, even if there is no time to wait.
        let message = match self.messages.try_recv() {
            Err(TryRecvError::Empty) if !up_to.is_zero() => self.messages.recv_timeout(up_to),
            Err(TryRecvError::Empty) => Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Ok(message) => Ok(message),
        };
        match message {
            Ok(message) => self.handle(message),
            Err(RecvTimeoutError::Timeout) => Step::Idle,
            Err(RecvTimeoutError::Disconnected) => Step::Ended,
        }
    }

    /// Removes snapshots from before this instant; see [`Folder::remove_older`](super::folder::Folder::remove_older).
    pub fn remove_older(&self, than_ms: i64) -> io::Result<usize> {
        self.shared.folder.remove_older(than_ms)
    }

    fn handle(&mut self, message: Message) -> Step {
        match message {
            Message::Begin { number, header, failed } => match self.create(number, &header) {
                Ok(work) => {
                    self.sliced.insert(number, Sliced { work, failed });
                    Step::Worked
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    Step::Failed(Partition(header.partition), error)
                }
            },
            Message::Block { number, block, credit } => {
                let step = self.write(number, block);
                drop(credit);
                step
            }
            // One that has failed is not there any more.
            Message::Finish { number } => {
                self.sliced.remove(&number).map_or(Step::Worked, |sliced| self.finish(sliced.work))
            }
            Message::Abandon { number } => {
                self.sliced.remove(&number);
                Step::Worked
            }
            Message::Whole { number, header, engine } => match self.create(number, &header) {
                Ok(work) => {
                    self.whole = Some(Whole { work, engine, export: Export::default() });
                    Step::Worked
                }
                Err(error) => Step::Failed(Partition(header.partition), error),
            },
            Message::End => Step::Ended,
        }
    }

    fn create(&self, number: u64, header: &Header) -> io::Result<Work> {
        Ok(Work {
            file: self.shared.folder.create(number, header)?,
            partition: Partition(header.partition),
            created_at_ms: header.created_at_ms,
            started_at: (self.now)(),
        })
    }

    fn write(&mut self, number: u64, block: Block) -> Step {
        let Some(sliced) = self.sliced.get_mut(&number) else { return Step::Worked };
        let Err(error) = sliced.work.file.write_block(block) else { return Step::Worked };
        sliced.failed.store(true, Ordering::Relaxed);
        let partition = sliced.work.partition;
        self.sliced.remove(&number);
        Step::Failed(partition, error)
    }

    fn go_on(&mut self, mut whole: Whole) -> Step {
        let bytes_max = self.shared.rules.block_bytes;
        let format = whole.engine.format();
        let (block, exported) = next_block(&whole.engine, &mut whole.export, format, bytes_max);
        if let Err(error) = whole.work.file.write_block(block) {
            return Step::Failed(whole.work.partition, error);
        }
        match exported {
            Exported::Some => {
                self.whole = Some(whole);
                Step::Worked
            }
            Exported::All => self.finish(whole.work),
        }
    }

    fn finish(&self, work: Work) -> Step {
        let Work { file, partition, created_at_ms, started_at } = work;
        match file.finish() {
            Ok(bytes) => {
                let duration = (self.now)().saturating_sub(started_at);
                Step::Written(Written { partition, bytes, created_at_ms, duration })
            }
            Err(error) => Step::Failed(partition, error),
        }
    }
}
