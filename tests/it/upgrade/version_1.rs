//! A strict reader of the changelog of version 1, made from its description alone: it shares no code with the program. What it
//! accepts is read by version 0.1.0, which writes the same bytes again, because a customer has one form only.

/// The unread rest of a value.
struct Bytes<'a>(&'a [u8]);

/// # Errors
/// What no program of version 1 reads.
pub fn check(key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
    let Some(value) = value else {
        return if key == b"s" { Err("a seal is gone".to_owned()) } else { Ok(()) };
    };
    let what = || format!("key {key:?}, value {value:?}");
    let (version, rest) = value.split_first().ok_or_else(what)?;
    if *version != 1 {
        return Err(format!("version {version}: {}", what()));
    }
    let mut bytes = Bytes(rest);
    let read = match key.split_first() {
        Some((b'c', key)) => customer(&mut bytes, Some(key)),
        Some((b'm', hash)) if hash.len() == 16 => bytes.skip(8),
        Some((b's', [])) => seal(&mut bytes),
        _ => None,
    };
    read.filter(|()| bytes.0.is_empty()).ok_or_else(what)
}

/// A customer as in a snapshot.
pub fn check_packed(packed: &[u8]) -> Result<(), String> {
    let mut bytes = Bytes(packed);
    customer(&mut bytes, None).filter(|()| bytes.0.is_empty()).ok_or_else(|| format!("{packed:?}"))
}

fn customer(bytes: &mut Bytes<'_>, key: Option<&[u8]>) -> Option<()> {
    let length = usize::try_from(bytes.varint()?).ok()?;
    if length == 0 || key.is_some_and(|key| bytes.0.get(..length) != Some(key)) {
        return None;
    }
    bytes.skip(length)?;
    let flags = u32::try_from(bytes.number(4)?).ok()?;
    let has = |bit: u32| flags >> bit & 1 == 1;
    if flags >> 16 != 0 || (has(13) && has(14)) {
        return None;
    }
    // Two alerts, each perhaps with the record that showed it.
    for (is_open, by_record) in [(9, 10), (11, 12)] {
        match (has(is_open), has(by_record)) {
            (true, true) => bytes.skip(14)?,
            (true, false) => bytes.skip(6)?,
            (false, true) => return None,
            (false, false) => {}
        }
    }
    if has(13) {
        bytes.skip(8)?;
    }
    if has(15) {
        // Five counts; six sums, three values and five days; squares, an id, two times and two that may be none.
        let counts_fit = (0..5).all(|_| bytes.varint().is_some_and(|count| count < 1 << 32));
        counts_fit.then_some(())?;
        (0..20).try_for_each(|_| bytes.varint().map(|_| ()))?;
    }
    for _ in 0..bytes.varint()? {
        bytes.skip(8)?;
        (bytes.varint()? >> 1 < 1 << 32).then_some(())?;
        bytes.skip(14)?;
    }
    for _ in 0..bytes.varint()? {
        bytes.skip(20)?;
        if bytes.number(2)? >> 15 == 1 {
            bytes.skip(8)?;
        }
    }
    for _ in 0..bytes.varint()? {
        bytes.skip(14)?;
    }
    Some(())
}

fn seal(bytes: &mut Bytes<'_>) -> Option<()> {
    let present = bytes.number(1)?;
    (present < 16).then_some(())?;
    bytes.skip(8 + 3 * 8)?;
    bytes.skip(8 * present.count_ones() as usize)?;
    bytes.skip(8)?;
    for _ in 0..bytes.varint()? {
        (bytes.varint()? & 3 < 3).then_some(())?;
    }
    Some(())
}

impl Bytes<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn number(&mut self, count: usize) -> Option<u64> {
        let number = self.0.get(..count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.skip(count)?;
        Some(number)
    }

    fn varint(&mut self) -> Option<u64> {
        let length = self.0.iter().position(|byte| *byte < 0x80)? + 1;
        (length <= 10).then_some(())?;
        let number =
            self.0[..length].iter().rev().fold(0u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
        self.skip(length)?;
        Some(number)
    }
}
