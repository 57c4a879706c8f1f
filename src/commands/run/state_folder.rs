//! The folder in which an instance keeps what survives a restart: one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::exit::{Exit, Failure};

/// Held until it is dropped, or the process ends.
pub struct StateFolder {
    _lock: File,
}

impl StateFolder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if another process has it, [`Exit::Permission`] if it may not be written.
    pub fn lock(folder: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let is_refused =
                matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
            let exit = if is_refused { Exit::Permission } else { Exit::Configuration };
            let folder = folder.display();
            Failure::message(exit, format!("cannot use the state folder {folder} (`state_dir`): {error}"))
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::message(
                Exit::Configuration,
                format!(
                    "the state folder {} is in use by another process: give each instance its own `state_dir` and \
                     `instance`",
                    folder.display()
                ),
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("a/b");
        let first = StateFolder::lock(&folder).expect("a new folder");
        let refused = StateFolder::lock(&folder).err().expect("a second owner");
        assert_eq!(refused.exit, Exit::Configuration);
        assert!(refused.to_string().contains("in use by another process"), "{refused}");
        drop(first);
        StateFolder::lock(&folder).expect("the first owner has gone");
        let file = parent.path().join("file");
        fs::write(&file, "").expect("a file");
        let refused = StateFolder::lock(&file).err().expect("no folder");
        assert!(refused.to_string().starts_with("cannot use the state folder"), "{refused}");
    }
}
