//! The corpora of the fuzz targets as ordinary trials: what a fuzzer has once found to be different, and every finding. `fuzz/run`
//! looks for more.

mod distorted;
mod properties;

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use properties::{TARGETS, Target, Verdict};

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = TARGETS
        .into_iter()
        .map(|target| Trial::test(format!("fuzz::corpus::{}", target.0), move || corpus(target)))
        .collect();
    trials.extend(distorted::trials());
    trials.push(Trial::test("fuzz::every_target_is_listed", every_target_is_listed));
    trials
}

fn corpus((name, property): Target) -> Result<(), Failed> {
    let (mut accepted, mut refused) = (0, 0);
    for path in files_of(name)? {
        let bytes = fs::read(&path)?;
        match panic::catch_unwind(|| property(&bytes)) {
            Ok(Verdict::Accepted) => accepted += 1,
            Ok(Verdict::Refused) => refused += 1,
            Err(_) => return Err(format!("{} fails; the reason stands above", path.display()).into()),
        }
    }
    if accepted == 0 || refused == 0 {
        return Err(format!("{accepted} accepted, {refused} refused: this shows nothing").into());
    }
    Ok(())
}

/// The files of a corpus, by name.
fn files_of(name: &str) -> Result<Vec<PathBuf>, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failed>>()?;
    paths.sort();
    Ok(paths)
}

fn corpus_of(name: &str) -> Result<Vec<Vec<u8>>, Failed> {
    files_of(name)?.iter().map(|path| Ok(fs::read(path)?)).collect()
}

/// A target without a binary is not fuzzed, one without a property is not tried here.
fn every_target_is_listed() -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        found.push(path.file_stem().ok_or("a file")?.to_string_lossy().into_owned());
    }
    found.sort();
    let mut listed = TARGETS.map(|(name, _)| name.to_owned());
    listed.sort();
    if found != listed {
        return Err(format!("binaries {found:?}, properties {listed:?}").into());
    }
    Ok(())
}
