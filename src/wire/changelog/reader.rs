//! Reads the parts of a value, front to back.

use super::StateError;
use crate::domain::values::time::Time;

/// The unread rest of a value of one kind.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    kind: &'static str,
    version: u8,
}

impl<'a> Reader<'a> {
    /// Starts behind the version, which must be from 1 to the newest one.
    pub(super) fn versioned(value: &'a [u8], kind: &'static str, newest: u8) -> Result<Self, StateError> {
        let mut reader = Self { rest: value, kind, version: 0 };
        reader.version = reader.byte()?;
        match reader.version {
            0 => Err(reader.invalid()),
            found if found > newest => Err(StateError::Newer { kind, found, known: newest }),
            _ => Ok(reader),
        }
    }

    pub(super) fn version(&self) -> u8 {
        self.version
    }

    pub(super) fn into_rest(self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::TrailingBytes(self.kind)) }
    }

    pub(super) fn invalid(&self) -> StateError {
        StateError::Invalid(self.kind)
    }

    pub(super) fn byte(&mut self) -> Result<u8, StateError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn time(&mut self) -> Result<Time, StateError> {
        let millis = self.array().map(i64::from_le_bytes)?;
        Time::from_millis(millis).ok_or_else(|| self.invalid())
    }

    /// An instant if one was written.
    pub(super) fn time_if(&mut self, present: bool) -> Result<Option<Time>, StateError> {
        present.then(|| self.time()).transpose()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(StateError::Truncated(self.kind))?;
        self.rest = rest;
        Ok(*array)
    }

    /// So many bytes, a count that may be nonsense.
    pub(super) fn slice(&mut self, length: u64) -> Result<&'a [u8], StateError> {
        let cut = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (slice, rest) = cut.ok_or(StateError::Truncated(self.kind))?;
        self.rest = rest;
        Ok(slice)
    }

    /// Seven bits a byte, the lowest first; in the shortest form only.
    pub(super) fn varint(&mut self) -> Result<u64, StateError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.invalid());
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.invalid())
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader { rest: &bytes, kind: "number", version: 1 };
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        for bytes in [&[0x80, 0][..], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            let mut reader = Reader { rest: bytes, kind: "number", version: 1 };
            assert_eq!(reader.varint(), Err(StateError::Invalid("number")), "{bytes:?}");
        }
    }
}
