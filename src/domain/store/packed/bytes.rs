//! Numbers as bytes.

use crate::domain::values::money::{AMOUNT_LIMIT, SentAmount};
use crate::domain::values::time::Time;

pub(super) fn put_48(bytes: &mut Vec<u8>, number: i64) {
    debug_assert!((0..1 << 48).contains(&number));
    bytes.extend_from_slice(&number.to_le_bytes()[..6]);
}

pub(super) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Zigzag, so that small negative numbers are short too.
pub(super) fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put_varint(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn number_48(&mut self) -> Option<i64> {
        let [a, b, c, d, e, f] = self.take()?;
        Some(i64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    pub(super) fn amount(&mut self) -> Option<SentAmount> {
        self.number_48().filter(|amount| *amount < AMOUNT_LIMIT).map(SentAmount)
    }

    pub(super) fn time(&mut self) -> Option<Time> {
        Time::from_millis(self.number_48()?)
    }

    pub(super) fn optional_time(&mut self) -> Option<Option<Time>> {
        match self.varint()? {
            0 => Some(None),
            millis => Some(Some(Time::from_millis(i64::try_from(millis - 1).ok()?)?)),
        }
    }

    /// In the shortest form only: a customer has one form, so that what is not exactly ours is noticed.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn key(&mut self) -> Option<&'a [u8]> {
        self.slice()
    }

    /// Bytes behind their length.
    pub(super) fn slice(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (slice, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(slice)
    }
}
