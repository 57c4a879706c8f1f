//! The thread that writes snapshots, and the metrics and log lines about them.

use std::io;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::exit::{Exit, Failure};
use crate::kafka::host_wall_clock;
use crate::observe::metrics::Metrics;
use crate::snapshot::writer::{Step, Writer};

/// Snapshots that were not renewed by then are removed: an erased customer must be in none of them after a day. Looked for
/// every hour, an hour after the start at the earliest: until then a restore may want them.
const AGE_MAX: Duration = Duration::from_secs(23 * 3_600);
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// How long the thread waits for work before it looks around.
const WAIT_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(AGE_MAX.as_secs() + LOOK_EVERY.as_secs() <= 86_400, "a day at the latest");
const _: () = assert!(
    crate::config::SNAPSHOT_INTERVAL_MS_MAX < AGE_MAX.as_millis() as u64,
    "owned partitions are written again before theirs are removed"
);

/// Starts the thread. It ends when every sender is gone, or when it is asked to end.
///
/// # Errors
/// The system has no threads left.
pub fn start(writer: Writer, prepared: io::Result<()>, metrics: Arc<Metrics>) -> Result<(), Failure> {
    let mut thread = SnapshotThread { writer, metrics, trouble: false };
    thread.note(prepared.err().as_ref());
    thread::Builder::new()
        .name("snapshots".to_owned())
        .spawn(move || thread.run())
        .map(drop)
        .map_err(|error| Failure::new(Exit::Unavailable, error))
}

/// The time since the first call.
pub fn elapsed() -> Duration {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

struct SnapshotThread {
    writer: Writer,
    metrics: Arc<Metrics>,
    /// Already logged: a folder that cannot be written is one warning, not one at each attempt.
    trouble: bool,
}

impl SnapshotThread {
    fn run(mut self) {
        let wall_ms = host_wall_clock();
        let mut looked_at = Instant::now();
        loop {
            match self.writer.step(WAIT_MAX) {
                Step::Idle | Step::Worked => {}
                Step::Written(written) => {
                    let partition = written.partition;
                    let (bytes, duration) = (written.bytes, written.duration);
                    self.metrics.on_snapshot_written(partition, written.created_at_ms, bytes, duration);
                    debug!(
                        partition = partition.0,
                        bytes,
                        seconds = duration.as_secs_f64(),
                        "snapshot written"
                    );
                    self.note(None);
                }
                Step::Failed(_, error) => self.note(Some(&error)),
                Step::Ended => return,
            }
            if looked_at.elapsed() >= LOOK_EVERY {
                looked_at = Instant::now();
                let oldest = wall_ms() - i64::try_from(AGE_MAX.as_millis()).expect("a day");
                match self.writer.remove_older(oldest) {
                    Ok(0) => {}
                    Ok(removed) => info!(removed, "snapshots of other instances' partitions removed"),
                    Err(error) => {
                        warn!(%error, "old snapshots may hold erased customers and cannot be removed")
                    }
                }
            }
        }
    }

    /// Logs when writing begins to fail and when it works again.
    fn note(&mut self, error: Option<&io::Error>) {
        match (error, self.trouble) {
            (Some(error), false) => warn!(
                %error,
                "no snapshot can be written to the state folder (`state_dir`): the service goes on, and a restart reads more of \
                 the changelog; make room there, or make it writable"
            ),
            (None, true) => info!("snapshots can be written again"),
            (Some(_), true) | (None, false) => {}
        }
        self.trouble = error.is_some();
    }
}
