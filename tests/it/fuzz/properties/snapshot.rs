//! Snapshots.
//!
//! ```text
//!  flags: 1 make the checksums right, 2 and the counts at the end          file
//! ```
//! With right checksums the fuzzer gets behind them; a file with wrong ones is refused in front of everything else.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use retention_signals::domain::engine::export::StateItem;
use retention_signals::domain::engine::restore::Restore;
use retention_signals::domain::settings::Settings;
use retention_signals::snapshot::discard::{Discard, Expected};
use retention_signals::snapshot::format::{Block, Header, Reader, trailer};
use retention_signals::stream::broker::{ChangelogIdentity, Position};
use retention_signals::topic::Partition;
use retention_signals::wire::hash::{checksum, hash};

use super::{Verdict, shops};

const PREFIX_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;
const BLOCK_PREFIX_BYTES: usize = 8;
const TRAILER_BYTES: usize = 24;

static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| shops::settings(shops::one_shop()));

/// What is read to its end is, written again, the same file; an engine takes what it holds, or says why not.
pub fn snapshot(bytes: &[u8]) -> Verdict {
    let Some((flags, file)) = bytes.split_first() else { return Verdict::Refused };
    let mut file = file.to_vec();
    if flags & 1 != 0 {
        // Where the structure breaks, nothing behind it is read either.
        let _ = repair(&mut file, flags & 2 != 0);
    }
    match read(&file) {
        Ok((header, again)) => {
            assert!(again == file, "written again, it is another file: {header:?}");
            Verdict::Accepted
        }
        Err(reason) => {
            assert!(!reason.to_string().is_empty());
            assert!(!matches!(reason, Discard::Unreadable(_)), "memory can be read");
            Verdict::Refused
        }
    }
}

/// Reads a file as a restore does, and writes it again.
fn read(file: &[u8]) -> Result<(Header, Vec<u8>), Discard> {
    let (mut reader, header) = Reader::open(file)?;
    check_owner(&header);
    let mut again = Vec::new();
    let seed = header.encode(&mut again);
    let mut restore = Restore::new(Arc::clone(&SETTINGS));
    let mut blocks = 0;
    while let Some(mut items) = reader.next_block()? {
        let mut block = Block::new(0);
        while let Some(item) = items.next_item()? {
            block.push(item);
            match item {
                StateItem::Customer(packed) => {
                    // A customer without a key makes the file useless, and is then its reader's to refuse.
                    let _ = restore.packed_customer(header.format, packed, hash);
                }
                StateItem::Marker { hash, requested_at } => restore.marker(hash, requested_at),
            }
        }
        again.extend_from_slice(block.finish(seed, blocks));
        blocks += 1;
    }
    again.extend_from_slice(&trailer(seed, blocks, reader.items()));
    let _ = restore.finish(None);
    Ok((header, again))
}

/// The owner in a header is checked without a panic, whatever it is.
fn check_owner(header: &Header) {
    let changelog = ChangelogIdentity {
        cluster: header.cluster.clone(),
        topic: header.topic,
        tombstone_retention: Duration::from_secs(86_400),
    };
    let checked = Expected {
        application: &header.application,
        changelog: &changelog,
        partition: Partition(header.partition),
        secret: header.secret,
        start: Position(10),
        end: Position(1_000),
        now_ms: 1_800_000_000_000,
    }
    .check(header);
    assert!(!matches!(checked, Err(Discard::Foreign(_))), "it is ours: {checked:?}");
}

/// Puts right checksums where they belong, as far as there is a structure.
fn repair(file: &mut [u8], counts: bool) -> Option<()> {
    let length = u32::from_le_bytes(file.get(12..PREFIX_BYTES)?.try_into().ok()?) as usize;
    let mut at = PREFIX_BYTES.checked_add(length)?;
    let seed = checksum(file.get(..at)?, 0);
    put(file, at, &seed.to_le_bytes())?;
    at += CHECKSUM_BYTES;
    let (mut blocks, mut items) = (0u32, 0u64);
    loop {
        let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
        let (length, items_of_block) = (word(at)? as usize, word(at + 4)?);
        let seed = seed ^ (u64::from(blocks) + 1);
        if length == 0 {
            if counts {
                put(file, at + 4, &blocks.to_le_bytes())?;
                put(file, at + BLOCK_PREFIX_BYTES, &items.to_le_bytes())?;
            }
            let end = at + TRAILER_BYTES - CHECKSUM_BYTES;
            let sum = checksum(file.get(at..end)?, seed);
            return put(file, end, &sum.to_le_bytes());
        }
        let end = at.checked_add(BLOCK_PREFIX_BYTES + length)?;
        let sum = checksum(file.get(at..end)?, seed);
        put(file, end, &sum.to_le_bytes())?;
        at = end + CHECKSUM_BYTES;
        blocks += 1;
        items += u64::from(items_of_block);
    }
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    file.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(())
}
