//! All integration tests in one binary with its own harness, so that a trial whose prerequisite is missing says so.
//!
//! Each module lists its trials. Arguments are those of the usual harness: `cargo test --test it -- schemas`.

mod access;
mod browser;
mod combiner;
mod command_line;
mod configuration;
mod consumers;
mod daily_count;
mod demo;
mod deploy;
mod differential;
mod examples;
mod explain;
mod fetched;
mod fields;
mod fuzz;
mod http;
mod intake;
mod kafka;
mod kafka_adapter;
mod kafka_facts;
mod kafka_node;
mod kills;
mod laws;
mod live;
mod maps;
mod model;
mod openapi;
mod oracle;
mod page;
mod policies;
mod process;
mod python;
mod record_pages;
mod replay;
mod report;
mod rule_files;
mod rules;
mod schemas;
mod seeds;
mod segments;
mod service;
mod settling;
mod signal_types;
mod sim;
mod story;
mod tidy;
mod tiers;
mod upgrade;
mod wire;
mod worker;

/// The service's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::iter;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    // The longest first.
    trials.extend(kills::trials());
    trials.extend(live::trials());
    trials.extend(intake::trials());
    trials.extend(consumers::trials());
    trials.extend(access::trials());
    trials.extend(command_line::trials());
    trials.extend(configuration::trials());
    trials.extend(combiner::trials());
    trials.extend(daily_count::trials());
    trials.extend(demo::trials());
    trials.extend(deploy::trials());
    trials.extend(differential::trials());
    trials.extend(explain::trials());
    trials.extend(fields::trials());
    trials.extend(fuzz::trials());
    trials.extend(rules::trials());
    trials.extend(http::trials());
    trials.extend(kafka_adapter::trials());
    trials.extend(kafka_facts::trials());
    trials.extend(kafka_node::trials());
    trials.extend(laws::trials());
    trials.extend(segments::trials());
    trials.extend(maps::trials());
    trials.extend(model::trials());
    trials.extend(openapi::trials());
    trials.extend(oracle::trials());
    trials.extend(page::trials());
    trials.extend(record_pages::trials());
    trials.extend(report::trials());
    trials.extend(rule_files::trials());
    trials.extend(replay::trials());
    trials.extend(schemas::trials());
    trials.extend(service::trials());
    trials.extend(settling::trials());
    trials.extend(signal_types::trials());
    trials.extend(sim::trials());
    trials.extend(story::trials());
    trials.extend(tidy::trials());
    trials.extend(tiers::trials());
    trials.extend(upgrade::trials());
    trials.extend(wire::trials());
    trials.extend(worker::trials());
    let conclusion = libtest_mimic::run(&arguments, in_turns(trials));
    kafka::end_shared_node();
    conclusion.exit_code()
}

/// Trials on Kafka mostly wait and the others mostly compute: begun in turns, they share the machine well.
fn in_turns(trials: Vec<Trial>) -> Vec<Trial> {
    let (on_kafka, others): (Vec<Trial>, Vec<Trial>) =
        trials.into_iter().partition(|trial| trial.kind() == "kafka");
    let (mut on_kafka, mut others) = (on_kafka.into_iter(), others.into_iter());
    let turns = iter::from_fn(|| {
        let turn = [on_kafka.next(), others.next()];
        turn.iter().any(Option::is_some).then_some(turn)
    });
    turns.flatten().flatten().collect()
}
