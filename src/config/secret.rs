//! Values that are never printed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A secret shorter than this can be guessed.
const BYTES_MIN: usize = 16;

/// A file longer than this is not meant.
const BYTES_MAX: usize = 64 << 10;

/// A password, key or token. Neither `Debug` nor any message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The content of a file without the line end that editors add.
    pub(super) fn from_file(path: &Path) -> Result<Self, String> {
        let name = printable(path);
        let mut bytes = Vec::new();
        // No more than shows that it is too long: a device may have no end.
        File::open(path)
            .and_then(|file| file.take(BYTES_MAX as u64 + 3).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot read {name}: {error}"))?;
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        match bytes.len() {
            0 => Err(format!("{name} is empty; it must hold the secret")),
            1..=BYTES_MAX => Ok(Self::new(bytes)),
            _ => Err(format!("{name} is longer than {} KiB; it is not a secret", BYTES_MAX >> 10)),
        }
    }

    /// As [`Self::from_file`], for a secret that we make the rules of.
    pub(super) fn from_file_of_ours(path: &Path) -> Result<Self, String> {
        let secret = Self::from_file(path)?;
        if secret.0.len() < BYTES_MIN {
            return Err(format!(
                "the secret in {} is shorter than {BYTES_MIN} bytes; make one with `openssl rand -hex 32`",
                printable(path)
            ));
        }
        Ok(secret)
    }
}

/// A path on one line.
fn printable(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let printed = format!("{0:?} {0:#?}", Secret::new(*b"hunter2"));
        assert_eq!(printed, "(redacted) (redacted)");
    }

    #[test]
    fn a_secret_file_loses_one_line_end_only() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret");
        for (content, expected) in [
            ("0123456789abcdef", "0123456789abcdef"),
            ("0123456789abcdef\n", "0123456789abcdef"),
            ("0123456789abcdef\r\n", "0123456789abcdef"),
            ("0123456789abcdef\n\n", "0123456789abcdef\n"),
        ] {
            std::fs::write(&path, content).expect("write");
            let secret = Secret::from_file_of_ours(&path).expect("a secret");
            assert_eq!(secret.expose(), expected.as_bytes(), "{content:?}");
        }
        std::fs::write(&path, [b'a'; BYTES_MAX + 1]).expect("write");
        assert!(Secret::from_file(&path).is_err());
        assert!(Secret::from_file(Path::new("/dev/zero")).is_err());
        std::fs::write(&path, "short").expect("write");
        assert!(Secret::from_file(&path).is_ok());
        assert!(Secret::from_file_of_ours(&path).is_err());
        std::fs::write(&path, "\n").expect("write");
        assert!(Secret::from_file(&path).is_err());
    }
}
