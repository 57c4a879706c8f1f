//! `dead-letters`: what was refused and why, one record whole, and records written again once their producer is corrected, or they are.

mod arguments;
mod filter;
mod list;
mod raw;
mod repair;
mod requeue;
mod show;

use std::io::Write;
use std::sync::Arc;

use crate::config::Config;
use crate::exit::Failure;
use crate::kafka::{self, DeadLetterReader, KafkaSettings, Operation, Right, Role, StoredLetter};

pub use arguments::{DeadLetterFilter, DeadLettersCommand, ListArguments, RequeueArguments, ShowArguments};

/// Carries the command out.
///
/// # Errors
/// Kafka cannot be reached or refuses, or there is no such dead letter.
pub fn run(config: &Config, command: &DeadLettersCommand, output: &mut impl Write) -> Result<(), Failure> {
    let settings = Arc::new(KafkaSettings::new(config));
    let outcome =
        DeadLetterReader::open(&settings, config.commit.patience).and_then(|reader| match command {
            DeadLettersCommand::List(arguments) => list::run(&reader, arguments, output),
            DeadLettersCommand::Show(arguments) => show::run(&reader, arguments, output),
            DeadLettersCommand::Requeue(arguments) => {
                requeue::run(config, &settings, &reader, arguments, output)
            }
        });
    outcome.map_err(|failure| kafka::explain(&settings, &required(&settings, command), failure))
}

fn required(settings: &KafkaSettings, command: &DeadLettersCommand) -> Vec<Right> {
    match command {
        DeadLettersCommand::List(_) | DeadLettersCommand::Show(_) => settings.required(&Role::Reviewer),
        DeadLettersCommand::Requeue(RequeueArguments { to: None, .. }) => settings.required(&Role::Repairer),
        DeadLettersCommand::Requeue(RequeueArguments { to: Some(topic), .. }) => {
            let mut required = settings.required(&Role::Reviewer);
            required.push(Right::on_topic(Operation::Write, topic));
            required
        }
    }
}

/// What the headers of a dead letter say.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Origin {
    reason: String,
    detail: String,
    topic: String,
    partition: u32,
    offset: u64,
    /// Only the beginning of the record was kept.
    is_cut: bool,
}

impl Origin {
    /// None if the record is not a dead letter of this service.
    fn of(letter: &StoredLetter) -> Option<Self> {
        let text = |name: &str| {
            let (_, value) = letter.headers.iter().find(|(header, _)| header == name)?;
            std::str::from_utf8(value).ok()
        };
        Some(Self {
            reason: text("dlq_reason")?.to_owned(),
            detail: text("dlq_detail").unwrap_or_default().to_owned(),
            topic: text("dlq_topic")?.to_owned(),
            partition: text("dlq_partition")?.parse().ok()?,
            offset: text("dlq_offset")?.parse().ok()?,
            is_cut: text("dlq_value_bytes").or(text("dlq_key_bytes")).is_some(),
        })
    }
}

#[cfg(test)]
fn letter_of(partition: u32, offset: u64, headers: &[(&str, &str)]) -> StoredLetter {
    StoredLetter {
        partition: crate::topic::Partition(partition),
        offset,
        refused_at_ms: 1_717_200_000_000 + i64::try_from(offset).expect("small"),
        key: Some(b"c1".to_vec()),
        value: Some(b"{".to_vec()),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect(),
    }
}
