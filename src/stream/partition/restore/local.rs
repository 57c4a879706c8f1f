//! The part of a restore that reads a snapshot: in steps, and without a trace if anything is wrong with it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::domain::engine::export::StateItem;
use crate::domain::engine::restore::Restore;
use crate::domain::settings::Settings;
use crate::domain::store::packed::{self, Format};
use crate::fault::{self, Mutation, Noted};
use crate::snapshot::Snapshots;
use crate::snapshot::discard::{Discard, Expected};
use crate::snapshot::folder::SnapshotReader;
use crate::stream::broker::{ChangelogIdentity, Position};
use crate::topic::Partition;
use crate::wire::changelog::Seal;

/// Blocks that one step reads: some 100,000 customers.
const BLOCKS_A_STEP: usize = 64;

/// A snapshot that is being read.
pub struct Loading {
    reader: SnapshotReader,
    used: Used,
    customers: u64,
    format: Format,
}

/// The snapshot that a restore goes on from.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// The changelog is read from here.
    pub position: Position,
    pub created_at_ms: i64,
}

/// What is known of a changelog before it is read.
pub struct Changelog<'a> {
    pub identity: &'a ChangelogIdentity,
    pub partition: Partition,
    pub start: Position,
    pub end: Position,
    /// Wall time when the restore began.
    pub now_ms: i64,
}

impl Loading {
    /// Opens the partition's snapshot if there is one that can be used.
    pub fn start(snapshots: &Snapshots, changelog: &Changelog<'_>) -> Option<Self> {
        match Self::open(snapshots, changelog) {
            Ok(loading) => loading,
            Err(reason) => {
                discard(snapshots, changelog.partition, &reason);
                None
            }
        }
    }

    fn open(snapshots: &Snapshots, changelog: &Changelog<'_>) -> Result<Option<Self>, Discard> {
        let Some((reader, header)) = snapshots.read(changelog.partition)? else { return Ok(None) };
        let rules = snapshots.rules();
        Expected {
            application: &rules.application,
            changelog: changelog.identity,
            partition: changelog.partition,
            secret: rules.secret,
            start: changelog.start,
            end: changelog.end,
            now_ms: changelog.now_ms,
        }
        .check(&header)?;
        let used = Used { position: header.position, created_at_ms: header.created_at_ms };
        info!(
            partition = changelog.partition.0,
            customers = header.customers,
            position = used.position.0,
            "restoring from a snapshot"
        );
        Ok(Some(Self { reader, used, customers: header.customers, format: header.format }))
    }

    /// Reads some more. Gives the snapshot once it was read to its end.
    ///
    /// # Errors
    /// It cannot be used, nor can what was made of it so far.
    pub fn step(&mut self, restore: &mut Restore, settings: &Arc<Settings>) -> Result<Option<Used>, Discard> {
        if self.reader.items() == 0 {
            restore.reserve(usize::try_from(self.customers).map_err(|_| Discard::Corrupt)?);
        }
        for _ in 0..BLOCKS_A_STEP {
            let Some(mut items) = self.reader.next_block()? else { return Ok(Some(self.used)) };
            while let Some(item) = items.next_item()? {
                match item {
                    StateItem::Customer(packed) => restore
                        .packed_customer(self.format, packed, settings.hash)
                        .map_err(|packed::Corrupt| Discard::Corrupt)?,
                    StateItem::Marker { hash, requested_at } => restore.marker(hash, requested_at),
                }
            }
        }
        Ok(None)
    }

    /// From where on the changelog is to be read.
    pub fn position(&self) -> Position {
        self.used.position
    }

    /// About how many items are still to come.
    pub fn remaining(&self) -> u64 {
        self.customers.saturating_sub(self.reader.items())
    }
}

impl Used {
    /// # Errors
    /// A record of the changelog behind it was written so much later that tombstones may be missing in between, whatever this
    /// machine's clock says.
    pub fn check_age(&self, newest_ms: i64, tombstone_retention: Duration) -> Result<(), Discard> {
        let age =
            Duration::from_millis(u64::try_from(newest_ms.saturating_sub(self.created_at_ms)).unwrap_or(0));
        let age_max = tombstone_retention / 2;
        let is_young = age < age_max || fault::is(Mutation::UseStaleSnapshot);
        if is_young { Ok(()) } else { Err(Discard::Stale { age, age_max }) }
    }
}

/// A seal that was read, as it is; or as a rule that is broken on purpose makes it.
pub fn seal(mut seal: Seal, before: Option<&Seal>, used: Option<Used>) -> Seal {
    if let (Some(first), Some(_), true) = (before, used, fault::is(Mutation::StartOffsetFromSnapshot)) {
        seal.inputs = first.inputs;
    }
    seal
}

/// Logs once why a snapshot is not used, and removes it.
pub fn discard(snapshots: &Snapshots, partition: Partition, reason: &Discard) {
    fault::note(partition, Noted::SnapshotDiscarded(reason.name()));
    warn!(partition = partition.0, %reason, "snapshot discarded, the whole changelog is read instead");
    snapshots.remove(partition);
}
