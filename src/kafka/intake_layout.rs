//! What the topics of an intake must be like.

use std::time::Duration;

use super::admin::Admin;
use super::layout::{Look, failure};
use super::settings::{KafkaSettings, Layout};
use crate::config::intake_group;
use crate::exit::{Exit, Failure};
use crate::stream::broker::Capabilities;
use crate::topic::{Input, Output, Topic};

/// One question. An unreachable broker is asked again until the patience is over.
const WITHIN: Duration = Duration::from_secs(5);

/// A history is written within it. It is the longest that brokers allow unless `transaction.max.timeout.ms` says otherwise.
const LOAD_TIMEOUT: Duration = Duration::from_secs(900);

impl KafkaSettings {
    /// Those of the intake of the same application: a group and transactional ids of its own.
    #[must_use]
    pub fn of_intake(&self) -> Self {
        Self { application: intake_group(&self.application), ..self.clone() }
    }

    /// Those of `intake load`: one producer at a time, of a name that no instance may have, and one long transaction.
    #[must_use]
    pub fn of_load(&self) -> Self {
        let (instance, transaction_timeout) = ("intake-load".to_owned(), LOAD_TIMEOUT);
        Self { instance, transaction_timeout, workers: 1, ..self.of_intake() }
    }
}

/// Looks at the raw topics, the inputs and the topic of dead letters before a start.
///
/// # Errors
/// [`Exit::Unavailable`] if no broker answers within `patience`, [`Exit::Permission`], or [`Exit::Configuration`] with what
/// to do.
pub fn examine_intake(
    settings: &KafkaSettings,
    raw_topics: &[String],
    patience: Duration,
) -> Result<Layout, Failure> {
    let admin = Admin::create(settings).map_err(|error| failure("prepare the Kafka client", error))?;
    let look = Look { settings, admin: &admin, patience };
    let count =
        |name: &str| look.patiently(&format!("look at topic {name}"), || admin.partition_count(name, WITHIN));
    for topic in raw_topics {
        if count(topic)?.is_none() {
            return Err(Failure::message(
                Exit::Configuration,
                format!(
                    "no such topic: {topic}, where the intake is to find the shop's records; create it and have the shop's records \
                     written there, or name the right one in [intake.sources]"
                ),
            ));
        }
    }
    let written = Input::ALL.map(Topic::Input).into_iter().chain([Topic::Output(Output::DeadLetters)]);
    let names: Vec<&str> = written.map(|topic| settings.topic_name(topic)).collect();
    let mut partitions = 0;
    for (name, input) in names.iter().zip(Input::ALL) {
        let Some(found) = count(name)? else {
            return Err(Failure::message(
                Exit::Configuration,
                format!(
                    "no such topic: {name}; `topics plan` shows what is to be created and `topics apply` creates it"
                ),
            ));
        };
        if input == Input::Orders {
            partitions = found;
        }
    }
    let found = look.patiently("read the settings of the topics that the intake writes", || {
        admin.topic_settings(&names, WITHIN)
    })?;
    let bytes = found.iter().filter_map(|settings| settings.get("max.message.bytes")?.parse().ok()).min();
    let message_bytes_max = bytes.ok_or_else(|| {
        Failure::message(
            Exit::Configuration,
            "the topics that the intake writes do not show their max.message.bytes".to_owned(),
        )
    })?;
    let capabilities = Capabilities { transactional_offsets: true, topic_configuration: true };
    Ok(Layout { partitions, message_bytes_max, capabilities })
}
