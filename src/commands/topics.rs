//! `topics plan` and `topics apply`.

use std::io::Write;
use std::sync::Arc;

use crate::commands::cli::TopicsCommand;
use crate::config::Config;
use crate::exit::{Failure, output_closed};
use crate::kafka::{KafkaSettings, TopicPlan};

/// Shows the plan, and carries it out if it was asked for.
///
/// # Errors
/// Kafka cannot be reached or refuses, or topics stay wrong that only their owner can change.
pub fn run(config: &Config, command: &TopicsCommand, output: &mut impl Write) -> Result<(), Failure> {
    let (TopicsCommand::Plan(arguments) | TopicsCommand::Apply(arguments)) = command;
    let settings = Arc::new(KafkaSettings::new(config));
    let plan = TopicPlan::make(
        settings,
        config.commit.patience,
        arguments.partitions,
        arguments.replication_factor,
    )?;
    for line in plan.lines() {
        writeln!(output, "{line}").or_else(output_closed)?;
    }
    match command {
        TopicsCommand::Plan(_) => Ok(()),
        TopicsCommand::Apply(_) => {
            plan.apply()?;
            plan.verdict()
        }
    }
}
