//! The protocol in simulation: real workers on a broker in memory, in one thread, with one clock and one random number generator.
//!
//! A schedule is a number. From it come a small shop, workers that share its partitions, and everything that happens to them.
//! When all is quiet again the committed output must be what the oracle says of what was applied, each signal once; and each
//! batch must go on where the one before it has ended.
//!
//! ```text
//!  seed ─► shop (shop.rs) ─► schedule.rs: whose turn is it? ─► worker.rs: a coroutine, left or ended inside of any call
//!                              │  crash, freeze, stop, start, clean up          │
//!                              ▼                                                ▼
//!  check.rs ◄─ history.rs ◄─ world.rs: logs, transactions, group ◄─ broker.rs, producer.rs, client.rs, lookup.rs
//! ```
//!
//! What real brokers and clients were seen to do, and where it is here:
//!
//! | behaviour | where |
//! |---|---|
//! | control records take offsets; open and aborted records; last stable offset; high watermark | `log` |
//! | compaction without the active segment, tombstones removed by age, truncation | `Log::compact`, `Log::truncate`, `World::clean_up` |
//! | a decision whose markers arrive later, partition by partition | `transactions`, `World::send_markers` |
//! | fencing by epoch; an abort by time-out that looks like fencing without a rival | `Coordinator::initialise`, `expire` |
//! | a decision that is still under way when the producer has given up | `Fate::UnderWay`, `World::end_transaction_later` |
//! | commits reported failed, fenced or abortable though committed; slow answers; calls that take all of their time | `producer::Fate`, `SimBroker::within` |
//! | an abort that fails, or arrives later | `producer::abort` |
//! | records sent by a process that is gone, in part | `producer::deliver_some` |
//! | fencing by generation; empty, foreign and generation −1 offsets are taken | `Group::add_offsets` |
//! | pending offsets hold stable reads up | `Group::is_unstable` |
//! | offsets that expire outside of the subscription; resets by hand | `World::expire_offset`, `World::reset_offset` |
//! | cooperative rebalances in rounds; a partition is not assigned while a member claims it | `group`, `client` |
//! | a member id that is gone before "lost" is reported; events that wait for their answers; late and empty ones | `client` |
//! | membership ends without polls, or when the process stands still | `Client::step`, `Host::frozen_until` |
//! | records that come again at a rebalance; fetches that find nothing at hand; stale ends | `SimBroker::fetch_again`, `fetch` |
//! | transactions of the shop's own in the inputs, aborted ones too | `Shop::schedule` |
//! | records between the question for the ends and the move of the clock | `World::settle` in each question, `Item::ClockMoved` |
//! | host clocks apart from each other and stepping; timestamps out of order | `Host::wall_offset_ms`, `World::arrive` |
//! | zombies, two processes with one transactional id, graceful stops | `Schedule::make_mischief` |
//! | topics created again under one name, other ids | `World::create_again`, `World::start_over` |
//! | an intake in front: transactions, stops, offsets and records that become visible at different times | `intake` |
//! | state folders that one process holds; writers that come late, die with their process and leave files unfinished | `disks` |
//! | disks that lose or change what they were given; clocks a day off; outages in which brokers clean up | `outage` |
//!
//! Left out: positions off by one with EOF (the port never asks for EOF), stored offsets at the reset policy (the port assigns
//! explicit ones), several slots in one process (they share nothing but metrics and the writer of snapshots).
//!
//! The trials of one worker (`tests/it/worker`, `tests/it/upgrade`) run on the same brokers, in `ground`: there nothing happens by chance,
//! and calls fail as a `script` says.
//!
//! In schedules of `settled` what was there before the first assignment is history; in all others everything is live.
//!
//! A schedule that fails prints the command that replays it. A million of them:
//!
//! ```text
//!  RETENTION_SIM_SCHEDULES=1000000 cargo test --config profile.dev.package.retention-signals.opt-level=3 --test it -- --exact sim::schedules
//! ```

pub mod broker;
mod check;
mod client;
mod dead_letters;
mod disks;
pub mod ground;
mod group;
mod history;
mod host;
mod intake;
mod kinds;
pub mod log;
mod lookup;
mod mutation;
mod outage;
mod producer;
mod registry;
mod runs;
mod scenarios;
mod schedule;
pub mod script;
mod settled;
mod shares;
mod shop;
mod snapshots;
mod stage;
pub mod suite;
mod transactions;
mod worker;
mod world;

use libtest_mimic::{Failed, Trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("sim::schedules", runs::schedules)];
    trials.extend(mutation::ALL.map(|(name, twist, seed)| {
        Trial::test(format!("sim::mutation::{name}"), move || runs::mutation(twist, seed))
    }));
    trials.extend(settled::trials());
    trials.extend(shares::trials());
    trials.extend(intake::trials());
    trials.extend(suite::NAMES.iter().map(|name| {
        Trial::test(format!("sim::suite::{name}"), move || {
            suite::run(name, &mut ground::SimGround::new(2)).map_err(|error| format!("{error:#}").into())
        })
    }));
    trials.extend(SCENARIOS.map(|(name, scenario)| {
        Trial::test(format!("sim::scenario::{name}"), move || scenario().map_err(Failed::from))
    }));
    trials
}

type Scenario = fn() -> Result<(), String>;

const SCENARIOS: [(&str, Scenario); 25] = [
    ("restore_behind_an_open_transaction", scenarios::restore_behind_an_open_transaction),
    ("overtaken_inside_of_a_restore", scenarios::overtaken_inside_of_a_restore),
    ("end_is_a_control_record", scenarios::end_is_a_control_record),
    ("committed_offset_below_the_log_start", scenarios::committed_offset_below_the_log_start),
    ("topic_created_again", scenarios::topic_created_again),
    ("operator_resets_the_group", scenarios::operator_resets_the_group),
    ("failed_though_committed", scenarios::failed_though_committed),
    ("failed_and_not_committed", scenarios::failed_and_not_committed),
    ("decided_after_it_was_said_to_have_failed", scenarios::decided_after_it_was_said_to_have_failed),
    ("fenced_without_a_rival", scenarios::fenced_without_a_rival),
    ("stale_batch_after_a_rejoin", scenarios::stale_batch_after_a_rejoin),
    ("aborted_after_an_early_flush", scenarios::aborted_after_an_early_flush),
    ("lost_after_an_early_flush", scenarios::lost_after_an_early_flush),
    ("fenced_by_its_own_timeouts", scenarios::fenced_by_its_own_timeouts),
    ("open_transaction_of_the_predecessor", scenarios::open_transaction_of_the_predecessor),
    ("record_at_an_idle_end", scenarios::record_at_an_idle_end),
    ("the_limit_on_dead_letters", dead_letters::the_limit_on_dead_letters),
    ("registry_before_the_first_record", registry::registry_before_the_first_record),
    ("registry_while_running", registry::registry_while_running),
    ("erased_and_compacted", scenarios::erased_and_compacted),
    ("checkpoint_older_than_the_tombstones", snapshots::checkpoint_older_than_the_tombstones),
    ("snapshot_newer_than_the_log", snapshots::snapshot_newer_than_the_log),
    ("topics_created_again_under_a_snapshot", snapshots::topics_created_again_under_a_snapshot),
    ("lost_between_two_slices", snapshots::lost_between_two_slices),
    ("a_zombie_that_wants_a_snapshot", snapshots::a_zombie_that_wants_a_snapshot),
];
