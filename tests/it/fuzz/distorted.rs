//! The corpora of the fuzz targets, distorted at random: what `fuzz/run` does with coverage and for hours, in a second of every test run.
//!
//! ```text
//!  RETENTION_FUZZ_SEED=0x… for the same distortions      RETENTION_FUZZ_ROUNDS=1000000 for more of them
//! ```

use std::panic;

use fastrand::Rng;
use libtest_mimic::{Failed, Trial};

use super::corpus_of;
use super::properties::{TARGETS, Target};
use crate::seeds::number;

const SEED: &str = "RETENTION_FUZZ_SEED";
const ROUNDS: &str = "RETENTION_FUZZ_ROUNDS";
const ROUNDS_DEFAULT: u64 = 1_500;
const BYTES_MAX: usize = 4_096;

/// What formats of text stumble over.
const MARKS: [&[u8]; 14] = [
    b"\"",
    b"\n",
    b"\r\n",
    b",",
    b";",
    b"{",
    b"[",
    b"\\",
    b"\xff",
    b"\xfe\xff",
    b"null",
    b"-0.0e1",
    b"\0",
    b"\xef\xbb\xbf",
];

pub fn trials() -> Vec<Trial> {
    TARGETS
        .into_iter()
        .map(|target| Trial::test(format!("fuzz::distorted::{}", target.0), move || distorted(target)))
        .collect()
}

fn distorted((name, property): Target) -> Result<(), Failed> {
    let corpus = corpus_of(name)?;
    let (first, rounds) = (number(SEED, fastrand::u64(..))?, number(ROUNDS, ROUNDS_DEFAULT)?);
    for seed in (0..rounds).map(|round| first.wrapping_add(round)) {
        let mut rng = Rng::with_seed(seed);
        let bytes = distort(&mut rng, &corpus);
        if panic::catch_unwind(|| property(&bytes)).is_err() {
            let message = format!(
                "{SEED}={seed:#x} {ROUNDS}=1 fails; the reason stands above, of {:?}",
                bytes.escape_ascii().to_string()
            );
            return Err(message.into());
        }
    }
    Ok(())
}

/// One of the corpus, changed in a few places.
fn distort(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(1..=6) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(..=16)).min(bytes.len());
        match rng.u8(..6) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            0 | 1 => drop(bytes.splice(at..at, MARKS[rng.usize(..MARKS.len())].iter().copied())),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(at),
            _ => {
                let other = &corpus[rng.usize(..corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
