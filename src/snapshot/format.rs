//! A snapshot as bytes.
//!
//! ```text
//!  header   magic (8) │ format u16 │ format of the customers u16 │ length u32 │ whose it is, position, time, customers │ checksum
//!  block    length u32 │ items u32 │ items │ checksum                                        any number of them
//!  trailer  0 u32 │ blocks u32 │ items u64 │ checksum                                        and nothing behind it
//!
//!  item     length (varint) │ packed customer          0 │ keyed hash (16) │ requested_at i64
//! ```
//! Little endian. Checksums are XXH3-64 over everything since the last one. Those behind the header's are seeded with it and with
//! the number of the block, so that no block fits into another file or another place.

use std::io::{ErrorKind, Read};

use super::discard::{Discard, Part};
use crate::domain::engine::export::StateItem;
use crate::domain::store::packed::Format;
use crate::domain::values::time::Time;
use crate::stream::broker::Position;
use crate::wire::hash::checksum;

const MAGIC: [u8; 8] = *b"RSsnap\r\n";
/// Raised whenever the layout changes.
const FORMAT: u16 = 1;
/// Magic, formats and length.
const PREFIX_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;
const BLOCK_PREFIX_BYTES: usize = 8;
/// A header holds three names of at most some hundred bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// One item more than a full block: a customer with the most orders and returns is far below it.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Whose state a snapshot holds, from where on the changelog corrects it, and when that was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub application: String,
    pub cluster: String,
    /// The changelog's topic id.
    pub topic: [u8; 16],
    pub partition: u32,
    /// Fingerprint of the erasure secret.
    pub secret: [u8; 8],
    /// Of the changelog: nothing below it is needed.
    pub position: Position,
    /// When the position was asked for, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// About as many are to come.
    pub customers: u64,
    /// The lowest one that expresses all customers.
    pub format: Format,
}

/// The seed of the checksums behind a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(u64);

impl Header {
    /// Appends the header.
    pub fn encode(&self, out: &mut Vec<u8>) -> Seed {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&u16::from(self.format.number()).to_le_bytes());
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        for text in [&self.application, &self.cluster] {
            let length =
                u16::try_from(text.len()).expect("names are bounded by the configuration and by Kafka");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&self.topic);
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.secret);
        out.extend_from_slice(&self.position.0.to_le_bytes());
        out.extend_from_slice(&self.created_at_ms.to_le_bytes());
        out.extend_from_slice(&self.customers.to_le_bytes());
        let length = u32::try_from(out.len() - length_at - 4).expect("a small header");
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        let seed = Seed(checksum(&out[start..], 0));
        out.extend_from_slice(&seed.0.to_le_bytes());
        seed
    }

    fn read(input: &mut impl Read) -> Result<(Self, Seed), Discard> {
        let mut bytes = vec![0; PREFIX_BYTES];
        fill(input, &mut bytes)?;
        if bytes[..8] != MAGIC {
            return Err(Discard::NoSnapshot);
        }
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (format, state_format) = (number(8), number(10));
        if format != FORMAT {
            return Err(Discard::Format { found: format, known: FORMAT });
        }
        let known = u16::from(Format::NEWEST.number());
        let state_format = u8::try_from(state_format).ok().and_then(Format::from_number);
        let state_format = state_format.ok_or(Discard::StateFormat { found: number(10), known })?;
        let length = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        if length > HEADER_BYTES_MAX {
            return Err(Discard::Flipped(Part::Header));
        }
        bytes.resize(PREFIX_BYTES + length + CHECKSUM_BYTES, 0);
        fill(input, &mut bytes[PREFIX_BYTES..])?;
        let seed = Seed(checked(&bytes, 0, Part::Header)?);
        let body = &bytes[PREFIX_BYTES..PREFIX_BYTES + length];
        Ok((decode_header(body, state_format).ok_or(Discard::Corrupt)?, seed))
    }
}

fn decode_header(body: &[u8], format: Format) -> Option<Header> {
    let mut rest = Bytes(body);
    let mut text = || {
        let length = usize::from(u16::from_le_bytes(rest.array()?));
        String::from_utf8(rest.slice(length)?.to_vec()).ok()
    };
    let (application, cluster) = (text()?, text()?);
    let header = Header {
        application,
        cluster,
        topic: rest.array()?,
        partition: u32::from_le_bytes(rest.array()?),
        secret: rest.array()?,
        position: Position(u64::from_le_bytes(rest.array()?)),
        created_at_ms: i64::from_le_bytes(rest.array()?),
        customers: u64::from_le_bytes(rest.array()?),
        format,
    };
    rest.0.is_empty().then_some(header)
}

/// Items on their way into a file.
#[derive(Debug)]
pub struct Block {
    /// Room for the prefix, then the items.
    bytes: Vec<u8>,
    items: u32,
}

impl Block {
    /// With room for so many bytes of items, and some for the one that goes beyond.
    pub fn new(bytes: usize) -> Self {
        let mut all = Vec::with_capacity(bytes + bytes / 8);
        all.resize(BLOCK_PREFIX_BYTES, 0);
        Self { bytes: all, items: 0 }
    }

    pub fn push(&mut self, item: StateItem<'_>) {
        match item {
            StateItem::Customer(packed) => {
                put_varint(&mut self.bytes, packed.len());
                self.bytes.extend_from_slice(packed);
            }
            StateItem::Marker { hash, requested_at } => {
                self.bytes.push(0);
                self.bytes.extend_from_slice(&hash);
                self.bytes.extend_from_slice(&requested_at.as_millis().to_le_bytes());
            }
        }
        self.items += 1;
    }

    /// Bytes of items so far.
    pub fn len(&self) -> usize {
        self.bytes.len() - BLOCK_PREFIX_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub fn items(&self) -> u32 {
        self.items
    }

    /// The block as the file holds it, as its `number`th.
    pub fn finish(&mut self, seed: Seed, number: u32) -> &[u8] {
        let length = u32::try_from(self.bytes.len() - BLOCK_PREFIX_BYTES).expect("a block is bounded");
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..BLOCK_PREFIX_BYTES].copy_from_slice(&self.items.to_le_bytes());
        let sum = checksum(&self.bytes, seed.of_block(number));
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        &self.bytes
    }
}

impl Seed {
    fn of_block(self, number: u32) -> u64 {
        self.0 ^ (u64::from(number) + 1)
    }
}

/// What ends a snapshot.
pub fn trailer(seed: Seed, blocks: u32, items: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[4..8].copy_from_slice(&blocks.to_le_bytes());
    bytes[8..16].copy_from_slice(&items.to_le_bytes());
    let sum = checksum(&bytes[..16], seed.of_block(blocks));
    bytes[16..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads a snapshot front to back. Nothing of it may be used unless it is read to its end.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    seed: Seed,
    blocks: u32,
    items: u64,
    bytes: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn open(mut input: R) -> Result<(Self, Header), Discard> {
        let (header, seed) = Header::read(&mut input)?;
        Ok((Self { input, seed, blocks: 0, items: 0, bytes: Vec::new() }, header))
    }

    /// The items of the next block; none at the end.
    pub fn next_block(&mut self) -> Result<Option<Items<'_>>, Discard> {
        self.bytes.resize(BLOCK_PREFIX_BYTES, 0);
        fill(&mut self.input, &mut self.bytes)?;
        let number =
            |at: usize| u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes of eight"));
        let (length, items) = (number(0) as usize, number(4));
        if length == 0 {
            return self.end(items).map(|()| None);
        }
        if length > BLOCK_BYTES_MAX {
            return Err(Discard::Flipped(Part::Block));
        }
        self.bytes.resize(BLOCK_PREFIX_BYTES + length + CHECKSUM_BYTES, 0);
        fill(&mut self.input, &mut self.bytes[BLOCK_PREFIX_BYTES..])?;
        checked(&self.bytes, self.seed.of_block(self.blocks), Part::Block)?;
        self.blocks += 1;
        self.items += u64::from(items);
        let bytes = &self.bytes[BLOCK_PREFIX_BYTES..BLOCK_PREFIX_BYTES + length];
        Ok(Some(Items { rest: Bytes(bytes), left: items }))
    }

    /// Items read so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    fn end(&mut self, blocks: u32) -> Result<(), Discard> {
        self.bytes.resize(24, 0);
        fill(&mut self.input, &mut self.bytes[BLOCK_PREFIX_BYTES..])?;
        checked(&self.bytes, self.seed.of_block(self.blocks), Part::Trailer)?;
        let items = u64::from_le_bytes(self.bytes[8..16].try_into().expect("eight bytes of 24"));
        if (blocks, items) != (self.blocks, self.items) {
            return Err(Discard::Flipped(Part::Trailer));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Discard::Flipped(Part::Trailer)),
            Err(error) => Err(Discard::Unreadable(error.to_string())),
        }
    }
}

/// The items of one block.
#[derive(Debug)]
pub struct Items<'a> {
    rest: Bytes<'a>,
    left: u32,
}

impl<'a> Items<'a> {
    /// The next item; none behind the last.
    ///
    /// # Errors
    /// The bytes are no items, which behind a checksum only a bug can do.
    pub fn next_item(&mut self) -> Result<Option<StateItem<'a>>, Discard> {
        if self.left == 0 {
            return if self.rest.0.is_empty() { Ok(None) } else { Err(Discard::Corrupt) };
        }
        self.left -= 1;
        self.rest.item().ok_or(Discard::Corrupt).map(Some)
    }
}

/// The unread rest of some bytes.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn item(&mut self) -> Option<StateItem<'a>> {
        match self.varint()? {
            0 => {
                let hash = self.array()?;
                let requested_at = Time::from_millis(i64::from_le_bytes(self.array()?))?;
                Some(StateItem::Marker { hash, requested_at })
            }
            length => self.slice(length).map(StateItem::Customer),
        }
    }

    /// In the shortest form only, as everything has one form.
    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if byte == 0 && shift > 0 {
                return None;
            }
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The checksum at the end of `bytes`, if it is right.
fn checked(bytes: &[u8], seed: u64, part: Part) -> Result<u64, Discard> {
    let (bytes, found) = bytes.split_last_chunk().ok_or(Discard::Torn)?;
    let found = u64::from_le_bytes(*found);
    if checksum(bytes, seed) == found { Ok(found) } else { Err(Discard::Flipped(part)) }
}

fn fill(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), Discard> {
    input.read_exact(bytes).map_err(|error| {
        if error.kind() == ErrorKind::UnexpectedEof {
            Discard::Torn
        } else {
            Discard::Unreadable(error.to_string())
        }
    })
}

#[cfg(test)]
mod tests;
