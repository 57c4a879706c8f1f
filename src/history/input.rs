//! An input file, decompressed on the way.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::exit::{Exit, Failure};

/// What is read at once, and what can be looked at before the first line is taken.
const BLOCK_BYTES: u64 = 1 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Some editors and spreadsheets put it before the first line. It belongs to the file, not to the line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Wraps a file that is about to be read, to show how far it is.
pub(crate) type Watch<'w> = dyn Fn(File) -> Box<dyn Read> + 'w;

/// An open file, and the part of it that is in memory.
pub(crate) struct InputFile {
    /// As it was given, for messages and dead letters.
    pub(crate) name: String,
    block: Vec<u8>,
    position: usize,
    rest: Box<dyn Read>,
}

/// Where a line was put by [`InputFile::read_line`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LineRead {
    /// How long the line is in the file, without its end; what was put may be cut.
    pub(crate) length: u64,
}

impl InputFile {
    /// Opens a file and reads its first block. `watch` sees what is read of it, as stored.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn open(path: &Path, watch: &Watch<'_>) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let (rest, block) = open(path, watch).map_err(|error| unreadable(&name, &error))?;
        let position = if block.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Ok(Self { name, block, position, rest })
    }

    /// The beginning of what is yet to be read; all of it in a small file.
    pub(crate) fn head(&self) -> &[u8] {
        &self.block[self.position..]
    }

    /// Appends the next line without its end, at most `bytes_max` of its bytes; `None` at the end of the file.
    pub(crate) fn read_line(
        &mut self,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<LineRead>, Failure> {
        let start = out.len();
        let mut length = 0;
        loop {
            if self.position == self.block.len() && !self.next_block()? {
                return Ok((length > 0).then_some(LineRead { length }));
            }
            let block = &self.block[self.position..];
            let end = memchr::memchr(b'\n', block);
            let piece = &block[..end.unwrap_or(block.len())];
            let room = bytes_max - (out.len() - start);
            out.extend_from_slice(&piece[..piece.len().min(room)]);
            length += piece.len() as u64;
            self.position += piece.len() + usize::from(end.is_some());
            if end.is_some() {
                return Ok(Some(LineRead { length }));
            }
        }
    }

    /// Everything that is yet to be read.
    pub(crate) fn read_all(mut self) -> Result<Vec<u8>, Failure> {
        let mut text = self.block.split_off(self.position);
        self.rest.read_to_end(&mut text).map_err(|error| unreadable(&self.name, &error))?;
        Ok(text)
    }

    /// The same as text.
    pub(super) fn read_text(self) -> Result<String, Failure> {
        let name = self.name.clone();
        String::from_utf8(self.read_all()?).map_err(|error| {
            Failure::message(Exit::Data, format!("{name} is not UTF-8, as JSON must be: {error}"))
        })
    }

    fn next_block(&mut self) -> Result<bool, Failure> {
        self.block.clear();
        self.position = 0;
        self.rest
            .by_ref()
            .take(BLOCK_BYTES)
            .read_to_end(&mut self.block)
            .map(|length| length > 0)
            .map_err(|error| unreadable(&self.name, &error))
    }
}

fn open(path: &Path, watch: &Watch<'_>) -> io::Result<(Box<dyn Read>, Vec<u8>)> {
    let mut file = watch(File::open(path)?);
    let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
    file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let (is_gzip, is_zstd) = (magic.starts_with(&GZIP_MAGIC), magic == ZSTD_MAGIC);
    let whole = Cursor::new(magic).chain(file);
    // A compressed file may consist of several, one after the other.
    let mut rest: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if is_zstd {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    };
    let mut block = Vec::new();
    rest.by_ref().take(BLOCK_BYTES).read_to_end(&mut block)?;
    Ok((rest, block))
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::Permission } else { Exit::Data };
    Failure::message(exit, format!("cannot read {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn lines(content: &[u8], bytes_max: usize) -> Vec<(String, u64)> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("input");
        std::fs::write(&path, content).expect("written");
        let mut file = InputFile::open(&path, &|file| Box::new(file)).expect("readable");
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while let Some(read) = file.read_line(bytes_max, &mut line).expect("readable") {
            lines.push((String::from_utf8(std::mem::take(&mut line)).expect("UTF-8"), read.length));
        }
        lines
    }

    fn owned(lines: &[(&str, u64)]) -> Vec<(String, u64)> {
        lines.iter().map(|(text, length)| ((*text).to_owned(), *length)).collect()
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"a", 9), owned(&[("a", 1)]));
        assert_eq!(lines(b"a\n\nb\n", 9), owned(&[("a", 1), ("", 0), ("b", 1)]));
        assert_eq!(lines(b"\xef\xbb\xbfa\r\nb", 9), owned(&[("a\r", 2), ("b", 1)]));
        assert_eq!(lines(b"abcdef\nb", 3), owned(&[("abc", 6), ("b", 1)]));
    }

    #[test]
    fn a_line_longer_than_a_block_is_cut_and_measured() {
        let mut content = vec![b'x'; 3 << 20];
        content.extend_from_slice(b"\nend");
        assert_eq!(lines(&content, 3), owned(&[("xxx", 3 << 20), ("end", 3)]));
    }

    #[test]
    fn zstd_is_told_by_its_first_bytes() {
        let zstd = |text: &[u8]| zstd::encode_all(text, 1).expect("in memory");
        let two_frames = [zstd(b"a\nb"), zstd(b"c\n")].concat();
        assert_eq!(lines(&two_frames, 9), owned(&[("a", 1), ("bc", 2)]));
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let gzip = |text: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).expect("in memory");
            encoder.finish().expect("in memory")
        };
        let two_members = [gzip(b"a\nb"), gzip(b"c\n")].concat();
        assert_eq!(lines(&two_members, 9), owned(&[("a", 1), ("bc", 2)]));
    }
}
