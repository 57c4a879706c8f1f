//! The service interrupted wherever it can be: killed, stopped and resumed, terminated, beside brokers that come and go. After
//! each, what a reader of committed records sees must be what a reference says, each signal once.
//!
//! ```text
//!  cargo test --test it -- kills                                                 a few kills of each kind
//!  RETENTION_KILLS=300 cargo test --test it -- kills --nocapture --test-threads=1   many, and measurements; seeds are printed
//! ```

mod brokers;
mod campaign;
mod endings;
mod failures;
mod feed;
pub mod fleet;
mod measure;
mod permissions;
mod rules;
mod scenarios;
mod timers;
mod verdict;
mod workload;

use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};

use crate::kafka::{self, KafkaNode};

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn trials() -> Vec<Trial> {
    let shared: [(&str, fn(&KafkaNode) -> anyhow::Result<()>); 8] = [
        ("kills::campaign", campaign::campaign),
        ("kills::rules", campaign::campaign_with_rules),
        ("kills::a_zombie_that_was_sending", scenarios::zombie_while_sending),
        ("kills::a_zombie_with_offsets_sent", scenarios::zombie_with_offsets_sent),
        ("kills::two_processes_with_one_instance", scenarios::two_processes_with_one_instance),
        ("kills::a_storm_of_rebalances", scenarios::a_storm_of_rebalances),
        ("kills::a_rebalance_while_restoring", scenarios::a_rebalance_while_restoring),
        ("kills::a_rebalance_while_shutting_down", scenarios::a_rebalance_while_shutting_down),
    ];
    let mut trials: Vec<Trial> =
        shared.into_iter().map(|(name, test)| kafka::on_shared_node(name, test)).collect();
    trials.push(kafka::on_own_node(
        "kills::a_broker_that_is_killed_and_restarted",
        brokers::a_broker_that_is_killed_and_restarted,
    ));
    let three_brokers = "kills::one_of_three_brokers";
    trials
        .push(long_only(three_brokers, || kafka::on_own_node(three_brokers, brokers::one_of_three_brokers)));
    trials.extend(endings::trials());
    trials.extend(failures::trials());
    trials.extend(permissions::trials());
    trials.extend(timers::trials());
    trials.extend([
        measurement("kills::measure::hand_over", measure::hand_over),
        measurement("kills::measure::recovery", measure::recovery),
        measurement("kills::measure::restart", measure::restart),
    ]);
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test("kills::the_page_names_every_trial", move || page_names_every_trial(&names)));
    trials
}

const PAGE: &str = include_str!("../../../docs/RELIABILITY.md");

/// Every trial that the page names exists, and the page names every trial. A name that ends in `…` stands for all trials that begin
/// with it.
fn page_names_every_trial(names: &[String]) -> Result<(), Failed> {
    let named = || PAGE.split('`').skip(1).step_by(2).filter(|code| code.starts_with("kills::"));
    let covers = |pattern: &str, name: &str| match pattern.strip_suffix('…') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    let unnamed = names.iter().filter(|name| !named().any(|pattern| covers(pattern, name)));
    let unknown = named().filter(|pattern| !names.iter().any(|name| covers(pattern, name)));
    let faults: Vec<&str> = unnamed.map(String::as_str).chain(unknown).collect();
    if faults.is_empty() { Ok(()) } else { Err(format!("on one side only: {faults:?}").into()) }
}

/// Minutes for figures that decide nothing.
fn measurement(name: &'static str, test: fn(&KafkaNode) -> anyhow::Result<()>) -> Trial {
    long_only(name, move || kafka::on_shared_node(name, test))
}

/// What takes minutes: with the long command only.
fn long_only(name: &str, trial: impl FnOnce() -> Trial) -> Trial {
    match campaign::kills_asked() {
        Some(_) => trial(),
        None => Trial::ignorable_test(name, || {
            Ok(Completion::ignored_with("only in the long form: set RETENTION_KILLS"))
        }),
    }
}
