//! The folder of results. Files appear under their names only when the replay has ended; until then, and if it fails, nothing of
//! an earlier replay is touched.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};

/// The files of a result, in the order in which they are named to users.
pub(super) const NAMES: [&str; 6] = [
    "signals.jsonl",
    "customers.jsonl",
    "shop-metrics.jsonl",
    "cohorts.jsonl",
    "dead-letters.jsonl",
    "summary.json",
];

const BUFFER_BYTES: usize = 1 << 18;

/// A file that is being written beside its final place.
pub(crate) struct Output {
    path: PathBuf,
    part: PathBuf,
    writer: BufWriter<File>,
    is_complete: bool,
}

/// Makes the folder and opens each of these files in it.
///
/// # Errors
/// Files stand there already and may not be replaced; an input would be replaced; or the folder cannot be written.
pub(crate) fn create<const N: usize>(
    names: [&str; N],
    folder: &Path,
    inputs: &[&Path],
    force: bool,
) -> Result<[Output; N], Failure> {
    for path in names.map(|name| folder.join(name)).iter().filter(|path| path.exists()) {
        let same_file = |input: &&&Path| match (fs::canonicalize(input), fs::canonicalize(path)) {
            (Ok(input), Ok(path)) => input == path,
            (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
        };
        if inputs.iter().find(same_file).is_some() {
            let message = format!(
                "{} is an input and would be replaced; give another folder with --out",
                path.display()
            );
            return Err(Failure::message(Exit::Usage, message));
        }
        if !force {
            let message = format!(
                "{} exists; give another folder with --out, or --force to replace it",
                path.display()
            );
            return Err(Failure::message(Exit::Usage, message));
        }
    }
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let outputs: Vec<Output> =
        names.into_iter().map(|name| Output::create(folder.join(name))).collect::<Result<_, _>>()?;
    Ok(outputs.try_into().unwrap_or_else(|_| unreachable!("one output for each name")))
}

impl Output {
    fn create(path: PathBuf) -> Result<Self, Failure> {
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|error| unwritable(&part, &error))?;
        Ok(Self { path, part, writer: BufWriter::with_capacity(BUFFER_BYTES, file), is_complete: false })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|error| unwritable(&self.part, &error))
    }

    /// Gives the file its name.
    pub(crate) fn complete(mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| unwritable(&self.part, &error))?;
        fs::rename(&self.part, &self.path).map_err(|error| unwritable(&self.path, &error))?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_complete {
            // Nothing can be done about it, and the failure that led here is already on its way.
            let _ = fs::remove_file(&self.part);
        }
    }
}

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let exit =
        if error.kind() == io::ErrorKind::PermissionDenied { Exit::Permission } else { Exit::Unavailable };
    Failure::message(exit, format!("cannot write {}: {error}", path.display()))
}
