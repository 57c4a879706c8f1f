//! Why a snapshot is not used. None of it is an error of the service: the changelog has all.

use std::time::Duration;

use super::format::Header;
use crate::fault::{self, Mutation};
use crate::stream::broker::{ChangelogIdentity, Position};
use crate::topic::Partition;

/// Why a snapshot is not used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Discard {
    #[error("it ends too early: its writer was interrupted, or the file was cut")]
    Torn,
    #[error("the checksum of {0} is wrong: the file was changed, or the disk does not keep what it is given")]
    Flipped(Part),
    #[error("it is of format {found}, this version reads up to {known}")]
    Format { found: u16, known: u16 },
    #[error("its customers are of format {found}, this version reads up to {known}")]
    StateFormat { found: u16, known: u16 },
    #[error("the file is no snapshot")]
    NoSnapshot,
    #[error("its content is not what this version writes")]
    Corrupt,
    #[error("it is of another {0}")]
    Foreign(Owner),
    #[error(
        "it is {age:?} old: from {age_max:?} on, which is half of the changelog's delete.retention.ms, what was deleted since could \
         be missed"
    )]
    Stale { age: Duration, age_max: Duration },
    #[error("it is from the future by {ahead:?}: with a clock that was set back its age is not known")]
    FromTheFuture { ahead: Duration },
    #[error("it is from position {position}, the changelog ends at {end}: the topic was cut, or set up anew")]
    NewerThanLog { position: Position, end: Position },
    #[error(
        "it is from position {position}, the changelog begins at {start}: records in between were deleted"
    )]
    BelowLogStart { position: Position, start: Position },
    #[error("the changelog holds no seal since its position")]
    NoSeal,
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
}

impl Discard {
    /// One word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Flipped(_) => "flipped",
            Self::Format { .. } | Self::StateFormat { .. } => "format",
            Self::NoSnapshot => "no snapshot",
            Self::Corrupt => "corrupt",
            Self::Foreign(_) => "foreign",
            Self::Stale { .. } => "stale",
            Self::FromTheFuture { .. } => "from the future",
            Self::NewerThanLog { .. } => "newer than the log",
            Self::BelowLogStart { .. } => "below the log start",
            Self::NoSeal => "no seal",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// A part of a snapshot with a checksum of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Header,
    Block,
    Trailer,
}

/// What a snapshot belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Application,
    Cluster,
    Topic,
    Partition,
    Secret,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Header => "the header",
            Self::Block => "a block",
            Self::Trailer => "the end",
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Application => "application",
            Self::Cluster => "cluster",
            Self::Topic => "changelog topic",
            Self::Partition => "partition",
            Self::Secret => "erasure secret",
        })
    }
}

/// What a snapshot must agree with to be used.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    pub application: &'a str,
    pub changelog: &'a ChangelogIdentity,
    pub partition: Partition,
    pub secret: [u8; 8],
    /// The changelog's low watermark.
    pub start: Position,
    /// Its high watermark.
    pub end: Position,
    /// Wall time, milliseconds since 1970.
    pub now_ms: i64,
}

impl Expected<'_> {
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, header: &Header) -> Result<(), Discard> {
        let owners = [
            (Owner::Cluster, header.cluster == self.changelog.cluster),
            (Owner::Topic, header.topic == self.changelog.topic),
            (Owner::Application, header.application == self.application),
            (Owner::Partition, header.partition == self.partition.0),
            (Owner::Secret, header.secret == self.secret),
        ];
        if let Some((owner, _)) = owners.into_iter().find(|(_, is_ours)| !is_ours)
            && !fault::is(Mutation::UseForeignSnapshot)
        {
            return Err(Discard::Foreign(owner));
        }
        // Tombstones stay for the whole time from their first compaction on; half of it is left to clocks that differ.
        let age_max = self.changelog.tombstone_retention / 2;
        let age_ms = self.now_ms.saturating_sub(header.created_at_ms);
        let age = Duration::from_millis(age_ms.unsigned_abs());
        if age_ms < 0 && age > AHEAD_MAX {
            return Err(Discard::FromTheFuture { ahead: age });
        }
        if age_ms >= 0 && age >= age_max && !fault::is(Mutation::UseStaleSnapshot) {
            return Err(Discard::Stale { age, age_max });
        }
        let position = header.position;
        if position > self.end {
            return Err(Discard::NewerThanLog { position, end: self.end });
        }
        if position < self.start {
            return Err(Discard::BelowLogStart { position, start: self.start });
        }
        Ok(())
    }
}

/// Wall clocks are slewed by less while a process restarts.
const AHEAD_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::store::packed::Format;

    const RETENTION: Duration = Duration::from_secs(1_000);

    fn check(change: impl FnOnce(&mut Header), expected: Result<(), Discard>) {
        let changelog =
            ChangelogIdentity { cluster: "c".into(), topic: [1; 16], tombstone_retention: RETENTION };
        let mut header = Header {
            application: "a".into(),
            cluster: "c".into(),
            topic: [1; 16],
            partition: 3,
            secret: [2; 8],
            position: Position(50),
            created_at_ms: 1_000_000,
            customers: 1,
            format: Format::V1,
        };
        change(&mut header);
        let found = Expected {
            application: "a",
            changelog: &changelog,
            partition: Partition(3),
            secret: [2; 8],
            start: Position(10),
            end: Position(100),
            now_ms: 1_100_000,
        }
        .check(&header);
        assert_eq!(found, expected, "{header:?}");
    }

    #[test]
    fn only_what_belongs_to_this_changelog_is_used() {
        check(|_| {}, Ok(()));
        check(|header| header.position = Position(10), Ok(()));
        check(|header| header.position = Position(100), Ok(()));
        check(|header| header.created_at_ms = 1_160_000, Ok(()));
        check(|header| header.created_at_ms = 600_001, Ok(()));
        let ahead = Duration::from_millis(i64::MAX as u64 - 1_100_000);
        check(|header| header.created_at_ms = i64::MAX, Err(Discard::FromTheFuture { ahead }));
        let (age, age_max) = (Duration::from_millis(i64::MAX as u64), RETENTION / 2);
        check(|header| header.created_at_ms = i64::MIN, Err(Discard::Stale { age, age_max }));
        check(|header| header.cluster.clear(), Err(Discard::Foreign(Owner::Cluster)));
        check(|header| header.topic[15] = 0, Err(Discard::Foreign(Owner::Topic)));
        check(|header| header.application.push('b'), Err(Discard::Foreign(Owner::Application)));
        check(|header| header.partition = 4, Err(Discard::Foreign(Owner::Partition)));
        check(|header| header.secret[0] = 0, Err(Discard::Foreign(Owner::Secret)));
        let age_max = RETENTION / 2;
        check(
            |header| header.created_at_ms = 600_000,
            Err(Discard::Stale { age: Duration::from_secs(500), age_max }),
        );
        check(
            |header| header.created_at_ms = 1_160_001,
            Err(Discard::FromTheFuture { ahead: Duration::from_millis(60_001) }),
        );
        check(
            |header| header.position = Position(101),
            Err(Discard::NewerThanLog { position: Position(101), end: Position(100) }),
        );
        check(
            |header| header.position = Position(9),
            Err(Discard::BelowLogStart { position: Position(9), start: Position(10) }),
        );
    }
}
