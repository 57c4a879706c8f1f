//! What lies in the topics before a history is loaded: whether anything has started, and histories that were loaded before.

use std::time::Duration;

use super::loaded::LOAD_HEADER;
use crate::commands::check::state::patiently;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kafka::{KafkaLookup, Layout};
use crate::stream::broker::{Lookup, Position, Watermark};
use crate::stream::intake::port::RawBatch;
use crate::topic::{Input, Output, Partition, Topic};

/// One question.
const WITHIN: Duration = Duration::from_secs(5);

/// A history of the same source.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Earlier {
    None,
    /// The very same.
    Same,
    /// Its label.
    Other(String),
}

/// A history is loaded before the first start: later it would be too old, and guests could be there from webhooks.
///
/// # Errors
/// 78: `run` or the intake has started; or the brokers do not answer, or refuse.
pub(super) fn refuse_if_started(
    lookup: &mut KafkaLookup,
    config: &Config,
    layout: Layout,
) -> Result<(), Failure> {
    let changelog = Topic::Output(Output::Changelog);
    let logs: Vec<_> = (0..layout.partitions).map(|number| (changelog, Partition(number))).collect();
    let ends = patiently(|| lookup.watermarks(Watermark::High, &logs, WITHIN))?;
    if ends.iter().any(|end| *end > Position(0)) {
        return Err(started(&format!("`run` of the application {} has started already", config.application)));
    }
    if config.intake.is_none() {
        return Ok(());
    }
    let committed = patiently(|| lookup.raw_committed(WITHIN))?;
    match committed.iter().find(|(_, committed)| committed.is_some()) {
        Some((of, _)) => Err(started(&format!(
            "the intake of the application {} has started already: it has committed an offset of {of}",
            config.application
        ))),
        None => Ok(()),
    }
}

fn started(what: &str) -> Failure {
    Failure::message(
        Exit::Configuration,
        format!(
            "{what}, so nothing was written: a history is loaded before the first start. Later it is loaded into a second application \
             beside this one, with inputs and outputs of its own (docs/INTAKE.md, History)"
        ),
    )
}

/// Looks through everything that is committed in the inputs for a history of this source.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub(super) fn find(
    lookup: &mut KafkaLookup,
    layout: Layout,
    source: &str,
    label: &str,
) -> Result<Earlier, Failure> {
    let inputs = Input::ALL.into_iter().map(Topic::Input);
    let logs: Vec<_> = inputs
        .flat_map(|input| (0..layout.partitions).map(move |number| (input, Partition(number))))
        .collect();
    let starts = patiently(|| lookup.watermarks(Watermark::Low, &logs, WITHIN))?;
    let ends = patiently(|| lookup.watermarks(Watermark::Stable, &logs, WITHIN))?;
    for ((topic, partition), (start, end)) in logs.into_iter().zip(starts.into_iter().zip(ends)) {
        let mut position = start;
        while position < end {
            let (batch, next) = patiently(|| lookup.read_log(topic, partition, position, WITHIN))?;
            for index in 0..RawBatch::len(&batch) {
                match load_of(&batch, index, source) {
                    Some(found) if found == label => return Ok(Earlier::Same),
                    Some(found) => return Ok(Earlier::Other(found)),
                    None => {}
                }
            }
            position = next;
        }
    }
    Ok(Earlier::None)
}

/// The label of the history of this source that a record belongs to.
fn load_of(batch: &impl RawBatch, index: usize, source: &str) -> Option<String> {
    let record = batch.get(index);
    let (_, label) = record.headers.iter().find(|(name, _)| *name == LOAD_HEADER)?;
    let label = std::str::from_utf8(label).ok()?;
    let (of, _) = label.rsplit_once(' ')?;
    (of == source).then(|| label.to_owned())
}
