use super::*;

fn header() -> Header {
    Header {
        application: "shop".into(),
        cluster: "cluster".into(),
        topic: [7; 16],
        partition: 3,
        secret: [9; 8],
        position: Position(1 << 40),
        created_at_ms: 1_700_000_000_000,
        customers: 3,
        format: Format::V1,
    }
}

const CUSTOMERS: [&[u8]; 3] = [b"\x01a and what is known", b"\x02bb", &[0x55; 300]];

fn marker() -> StateItem<'static> {
    StateItem::Marker { hash: [4; 16], requested_at: Time::from_millis(77).expect("in range") }
}

/// Three customers in two blocks, and a marker.
fn snapshot() -> Vec<u8> {
    let mut bytes = Vec::new();
    let seed = header().encode(&mut bytes);
    let (mut first, mut second) = (Block::new(100), Block::new(100));
    first.push(StateItem::Customer(CUSTOMERS[0]));
    first.push(StateItem::Customer(CUSTOMERS[1]));
    second.push(StateItem::Customer(CUSTOMERS[2]));
    second.push(marker());
    bytes.extend_from_slice(first.finish(seed, 0));
    bytes.extend_from_slice(second.finish(seed, 1));
    bytes.extend_from_slice(&trailer(seed, 2, 4));
    bytes
}

/// The whole snapshot, or the reason why it cannot be read; then the part before is discarded.
fn read(bytes: &[u8]) -> Result<(Header, Vec<String>), Discard> {
    let (mut reader, header) = Reader::open(bytes)?;
    let mut found = Vec::new();
    while let Some(mut items) = reader.next_block()? {
        while let Some(item) = items.next_item()? {
            found.push(format!("{item:?}"));
        }
    }
    Ok((header, found))
}

fn expected() -> Vec<String> {
    let customers = CUSTOMERS.map(|packed| format!("{:?}", StateItem::Customer(packed)));
    customers.into_iter().chain([format!("{:?}", marker())]).collect()
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(read(&snapshot()), Ok((header(), expected())));
    let mut empty = Vec::new();
    let seed = header().encode(&mut empty);
    empty.extend_from_slice(&trailer(seed, 0, 0));
    assert_eq!(read(&empty), Ok((header(), Vec::new())));
}

#[test]
fn any_other_byte_is_noticed() {
    let whole = snapshot();
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let reason = read(&bytes).expect_err("a byte was changed");
            let is_named = match reason {
                Discard::NoSnapshot => at < 8,
                Discard::Format { .. } => (8..10).contains(&at),
                Discard::StateFormat { .. } => (10..12).contains(&at),
                // A length that is another one.
                Discard::Torn => at >= 12,
                Discard::Flipped(part) => at >= 12 && (part == Part::Header) == (at < first_block()),
                Discard::Corrupt
                | Discard::Foreign(_)
                | Discard::Stale { .. }
                | Discard::FromTheFuture { .. }
                | Discard::NewerThanLog { .. }
                | Discard::BelowLogStart { .. }
                | Discard::NoSeal
                | Discard::Unreadable(_) => false,
            };
            assert!(is_named, "byte {at} by {flip:#x}: {reason}");
        }
    }
}

/// Where the header ends.
fn first_block() -> usize {
    let mut bytes = Vec::new();
    header().encode(&mut bytes);
    bytes.len()
}

#[test]
fn any_other_length_is_noticed() {
    let mut bytes = snapshot();
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]), Err(Discard::Torn), "{length} bytes");
    }
    bytes.push(0);
    assert_eq!(read(&bytes), Err(Discard::Flipped(Part::Trailer)));
}

#[test]
fn blocks_stay_in_their_place() {
    let mut bytes = Vec::new();
    let seed = header().encode(&mut bytes);
    let block = |number, text: &[u8]| {
        let mut block = Block::new(100);
        block.push(StateItem::Customer(text));
        block.finish(seed, number).to_vec()
    };
    let (first, second, end) = (block(0, b"first"), block(1, b"later"), trailer(seed, 2, 2));
    let of = |parts: [&[u8]; 4]| read(&parts.concat());
    assert!(of([&bytes, &first, &second, &end]).is_ok());
    assert_eq!(of([&bytes, &second, &first, &end]), Err(Discard::Flipped(Part::Block)));
    assert_eq!(of([&bytes, &first, &first, &end]), Err(Discard::Flipped(Part::Block)));
    assert_eq!(of([&bytes, &first, b"", &end]), Err(Discard::Flipped(Part::Trailer)));
    // Of another file.
    let mut other = Vec::new();
    let other_seed = Header { position: Position(5), ..header() }.encode(&mut other);
    let end_of_other = trailer(other_seed, 2, 2);
    assert_eq!(of([&other, &first, &second, &end_of_other]), Err(Discard::Flipped(Part::Block)));
}

#[test]
fn no_bytes_make_it_panic() {
    const SEED: u64 = 20_260_201;
    let mut random = fastrand::Rng::with_seed(SEED);
    let whole = snapshot();
    for round in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..6) {
            match random.u8(..3) {
                0 => bytes.truncate(random.usize(..=bytes.len())),
                1 => bytes.push(random.u8(..)),
                _ => {
                    let at = random.usize(..bytes.len().max(1));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = random.u8(..);
                    }
                }
            }
        }
        let result = read(&bytes);
        assert!(result.is_err() || bytes == whole, "seed {SEED}, round {round}");
    }
}

/// Items that a correct checksum covers, but no writer writes.
#[test]
fn nonsense_behind_a_checksum_is_corrupt() {
    for (items, content) in [
        (1, &b"\x05abc"[..]),
        (1, b"\x03abcd"),
        (2, b"\x03abc"),
        (1, b"\xff\xff\xff\xff\xff\xff"),
        (1, b"\x83\x00abc"),
        (1, b"\x00short"),
        (1, &[0; 16]),
        (1, &[[0; 17].as_slice(), &[0xff; 8]].concat()),
    ] {
        let mut bytes = Vec::new();
        let seed = header().encode(&mut bytes);
        let mut block = Block::new(100);
        block.bytes.extend_from_slice(content);
        block.items = items;
        bytes.extend_from_slice(block.finish(seed, 0));
        bytes.extend_from_slice(&trailer(seed, 1, u64::from(items)));
        assert_eq!(read(&bytes), Err(Discard::Corrupt), "{items} {content:?}");
    }
}
