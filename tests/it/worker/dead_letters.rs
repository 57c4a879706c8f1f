//! A worker stops before the record that would cross the limit on dead letters, and commits everything before it, whatever fails.

use libtest_mimic::{Failed, Trial};
use retention_signals::stream::worker::Worker;
use retention_signals::topic::{Input, Output, Topic};

use super::{TURNS_MAX, configuration, in_process};
use crate::sim::ground::{APPENDED_MS, SimGround};
use crate::sim::script::{Call, Fault};

const RECORDS: usize = 3_000;

pub fn trials() -> Vec<Trial> {
    let scripts: [(&str, &[(Call, Fault)]); 6] = [
        ("nothing_fails", &[]),
        ("flush_aborts", &[(Call::Flush, Fault::Abort)]),
        ("commit_failed", &[(Call::Commit, Fault::Failed)]),
        ("commit_failed_though_committed", &[(Call::Commit, Fault::FailedThoughCommitted)]),
        ("lost_while_sending_offsets", &[(Call::SendOffsets, Fault::LostAndFound)]),
        ("revoked_while_committing", &[(Call::Commit, Fault::RevokedAndFound)]),
    ];
    scripts
        .map(|(name, script)| {
            Trial::test(format!("worker::dead_letter_limit::{name}"), move || check(script))
        })
        .into()
}

/// Records of no use alone: the thousandth would cross the limit.
fn check(script: &[(Call, Fault)]) -> Result<(), Failed> {
    let mut ground = SimGround::new(1);
    ground.set_wall(APPENDED_MS);
    for _ in 0..RECORDS {
        ground.append(Topic::Input(Input::Orders), 0, Some(b"c1"), Some(b"no JSON"));
    }
    ground.world.borrow_mut().script.extend(script);
    for (start, said) in
        [(0, "999 of the last 999 records of partition 0 were refused"), (1, "999 before the last start")]
    {
        let stopped = work(&ground, None).ok_or_else(|| format!("start {start}: not stopped"))?;
        let expected =
            ["the record at offset 999 of ", "malformed_json", "--accept-dead-letters-before", said];
        if stopped.0 != 65 || !expected.iter().all(|words| stopped.1.contains(words)) {
            return Err(format!("start {start}: {stopped:?}").into());
        }
        expect_committed(&ground, 999)?;
    }
    // What was appended before another instant is not passed over.
    let stopped = work(&ground, Some(APPENDED_MS)).ok_or("not stopped")?;
    expect_committed(&ground, 999).map_err(|failed| format!("{stopped:?}: {:?}", failed.message()))?;
    if let Some(stopped) = work(&ground, Some(APPENDED_MS + 1)) {
        return Err(format!("not passed over: {stopped:?}").into());
    }
    expect_committed(&ground, RECORDS)
}

fn expect_committed(ground: &SimGround, records: usize) -> Result<(), Failed> {
    let letters = ground.output(Output::DeadLetters).len();
    let committed = &ground.world.borrow().group.committed(0)[Input::Orders];
    let next = committed.as_ref().map_or(0, |committed| committed.position.0);
    if (letters, next) == (records, records as u64) {
        return Ok(());
    }
    Err(format!("{letters} dead letters, committed up to {next}, not {records}").into())
}

/// One process on the log: its exit code and last words, if it has stopped by itself.
fn work(ground: &SimGround, accepted_before_ms: Option<i64>) -> Option<(u8, String)> {
    let mut stopped = None;
    in_process(&configuration(), ground, |broker, hub, mut rules| {
        rules.dead_letters_accepted_before_ms = accepted_before_ms;
        let mut worker = Worker::new(broker, rules, hub);
        for _ in 0..TURNS_MAX {
            if let Err(stop) = worker.turn() {
                let failure = stop.into_failure();
                stopped = Some((failure.exit.code(), failure.to_string()));
                return worker.close();
            }
            if ground.is_done() {
                return worker.close();
            }
        }
        panic!("no end after {TURNS_MAX} turns");
    });
    stopped
}
