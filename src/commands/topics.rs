//! `topics plan` and `topics apply`.

use std::io::Write;
use std::sync::Arc;

use crate::commands::check;
use crate::commands::cli::TopicsCommand;
use crate::commands::intake;
use crate::config::Config;
use crate::exit::{Exit, Failure, output_closed};
use crate::kafka::{self, KafkaSettings, Layout, Operation, Right, TopicPlan};
use crate::topic::{Output, Topic};

/// Shows the plan, and carries it out if it was asked for.
///
/// # Errors
/// Kafka cannot be reached or refuses, or topics stay wrong that only their owner can change.
pub fn run(config: &Config, command: &TopicsCommand, output: &mut impl Write) -> Result<(), Failure> {
    let (TopicsCommand::Plan(arguments) | TopicsCommand::Apply(arguments)) = command;
    let settings = Arc::new(KafkaSettings::new(config));
    let mut plan = TopicPlan::make(
        Arc::clone(&settings),
        config.commit.patience,
        arguments.partitions,
        arguments.replication_factor,
    )?;
    if let Some(layout) = plan.layout() {
        look_at_state(config, &settings, layout, &mut plan)?;
    }
    // Raw topics belong to those who write the shop's records: how many partitions they need, only these know.
    match intake::check(config, &settings) {
        Ok(_) => {}
        Err(failed) if failed.exit == Exit::Configuration && !plan.has_work() => {
            plan.add_fault(failed.to_string())
        }
        Err(failed) if failed.exit == Exit::Configuration => plan.add_remark(failed.to_string()),
        Err(failed) => return Err(failed),
    }
    for line in plan.lines() {
        writeln!(output, "{line}").or_else(output_closed)?;
    }
    match command {
        TopicsCommand::Plan(_) if plan.has_work() => Err(Failure::message(
            Exit::Pending,
            "topics are missing or wrong, as listed; `topics apply` creates what is missing",
        )),
        TopicsCommand::Plan(_) => Ok(()),
        TopicsCommand::Apply(_) => {
            if plan.apply()? {
                writeln!(output, "created all of them").or_else(output_closed)?;
            }
            plan.verdict()
        }
    }
}

/// Adds what is wrong with what the topics hold. Credentials that may create topics need not be those of the service.
fn look_at_state(
    config: &Config,
    settings: &Arc<KafkaSettings>,
    layout: Layout,
    plan: &mut TopicPlan,
) -> Result<(), Failure> {
    let changelog = settings.topic_name(Topic::Output(Output::Changelog));
    if kafka::lacks(settings, &Right::on_topic(Operation::Read, changelog), config.commit.patience)? {
        plan.add_remark(format!(
            "what the topics hold is not looked at, because this user may not read {changelog}: `check` as the service's user looks"
        ));
        return Ok(());
    }
    match check::state_of(config, settings, layout) {
        Ok(found) => {
            found.faults.into_iter().for_each(|fault| plan.add_fault(fault));
            found.remarks.into_iter().for_each(|remark| plan.add_remark(remark));
            Ok(())
        }
        Err(failed) if failed.exit == Exit::Permission => {
            plan.add_remark(format!("what the topics hold is not looked at: {failed}"));
            Ok(())
        }
        Err(failed) => Err(failed),
    }
}
