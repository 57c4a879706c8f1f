//! State of earlier versions: `tests/data/state-v1` was written by version 0.1.0 (commit ec2e2bb). The program restores it, goes on
//! from it as that version did, and writes what that version can read.

mod fixture;
mod golden;
mod live;
mod memory;
mod version_1;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    memory::trials().into_iter().chain(live::trials()).chain(golden::trials()).collect()
}
