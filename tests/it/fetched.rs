//! What tests fetch on first use, kept in the target folder: each in a folder of its own, with a stamp of what asked for it. So a
//! changed request is fetched again, and everything else costs one small read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of this name, filled by `fill` unless it is there for the same request.
pub fn once(name: &str, request: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = target_folder().join(name);
    let stamp = folder.join("request.stamp");
    let expected = format!("{:032x}\n", xxhash_rust::xxh3::xxh3_128(request.as_bytes()));
    let is_there = || fs::read_to_string(&stamp).is_ok_and(|found| found == expected);
    if is_there() {
        return Ok(folder);
    }
    fs::create_dir_all(target_folder())?;
    // Two test runs may share a target folder: one fetches, the other waits here and then finds the stamp.
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    if is_there() {
        return Ok(folder);
    }
    // Aside, and renamed when complete: a reader of the folder without the lock sees all of it or nothing.
    let partial = folder.with_extension("partial");
    remove(&partial)?;
    fs::create_dir_all(&partial)?;
    eprintln!("fetching {name} for the tests into {} (once)", folder.display());
    fill(&partial)?;
    fs::write(partial.join("request.stamp"), &expected)?;
    remove(&folder)?;
    fs::rename(&partial, &folder)?;
    Ok(folder)
}

/// The folder of build products: cargo gives an integration test `<target>/tmp`.
fn target_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("cargo's folder for tests lies in the target folder")
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
