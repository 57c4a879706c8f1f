//! `check` beyond the configuration: brokers, topics, their settings, permissions, in this order. The first step that fails
//! ends it, with what to do.

use std::sync::Arc;
use std::time::Duration;

use super::admin::{Admin, Allowed};
use super::context::Callbacks;
use super::error::ClientError;
use super::layout::{Look, failure};
use super::lookup::refused_or;
use super::producer::{GroupOffsets, TransactionalProducer, offset_list};
use super::settings::{KafkaSettings, Layout};
use super::slot::BATCH_OVERHEAD_BYTES;
use crate::exit::{Exit, Failure};
use crate::stream::broker::{BrokerError, Capabilities, Membership};
use crate::topic::{Input, Output, Topic};

/// One question of a step.
const WITHIN: Duration = Duration::from_secs(5);

/// Takes each step and reports what it found. Gives what is there, for a look at what the topics hold.
///
/// # Errors
/// Of the first step that fails: [`Exit::Unavailable`], [`Exit::Permission`] or [`Exit::Configuration`]. Also the error of
/// `report`.
pub fn check(
    settings: &Arc<KafkaSettings>,
    patience: Duration,
    customers: CustomerBytes,
    mut report: impl FnMut(&str, &str) -> Result<(), Failure>,
) -> Result<Layout, Failure> {
    let admin = Admin::create(settings).map_err(|error| failure("prepare the Kafka client", error))?;
    let look = Look { settings, admin: &admin, patience };
    let orders = look.name(Topic::Input(Input::Orders));
    let brokers = look.patiently("reach the brokers", || admin.broker_count(orders, WITHIN))?;
    report("brokers", &format!("{brokers} in the cluster"))?;

    let partitions = look.partitions()?;
    report("topics", &format!("all there, inputs and changelog with {partitions} partitions"))?;

    let message_bytes_max = look.output_settings()?;
    customers.fit(message_bytes_max)?;
    report("settings", &format!("records of up to {message_bytes_max} bytes"))?;
    let outputs = look.settings_of_outputs(&Output::ALL)?;
    for remark in outputs.into_iter().flat_map(|output| output.remarks).chain(look.remarks()?) {
        report("note", &remark)?;
    }

    topic_permissions(&look)?;
    transaction_permissions(&look, message_bytes_max)?;
    report("permissions", "topics, group and transactional ids")?;
    let capabilities = Capabilities { transactional_offsets: true, topic_configuration: true };
    Ok(Layout { partitions, message_bytes_max, capabilities })
}

/// How large a changelog record becomes.
#[derive(Clone, Copy, Debug)]
pub struct CustomerBytes {
    /// `records.max_orders`
    pub orders_max: usize,
    /// The record of a customer with so many orders, returns and cancellations.
    pub record_bytes_max: usize,
}

impl CustomerBytes {
    fn fit(self, message_bytes_max: usize) -> Result<(), Failure> {
        let needed = self.record_bytes_max + BATCH_OVERHEAD_BYTES;
        if needed <= message_bytes_max {
            return Ok(());
        }
        let message = format!(
            "with records.max_orders={} a customer's record in the changelog may take {needed} bytes, but the outputs take \
             {message_bytes_max} only: lower records.max_orders, or raise max.message.bytes of all output topics",
            self.orders_max
        );
        Err(Failure::message(Exit::Configuration, message))
    }
}

fn topic_permissions(look: &Look<'_>) -> Result<(), Failure> {
    let topics: Vec<_> = look.settings.topics.all().collect();
    let names: Vec<_> = topics.iter().map(|&topic| look.name(topic)).collect();
    let user = look.settings.user();
    let allowed = look.patiently("ask for permissions", || look.admin.allowed(&names, WITHIN))?;
    let mut lacking = Vec::new();
    for ((topic, name), allowed) in topics.into_iter().zip(names).zip(allowed) {
        let needed = needed(topic);
        if needed.read && !allowed.read {
            lacking.push(format!("{user} may not read topic {name}: grant READ on it"));
        }
        if needed.write && !allowed.write {
            lacking.push(format!("{user} may not write topic {name}: grant WRITE on it"));
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Failure::message(Exit::Permission, lacking.join("; ")))
}

/// What the service does with a topic.
pub(super) fn needed(topic: Topic) -> Allowed {
    match topic {
        Topic::Input(_) | Topic::Registry => Allowed { read: true, write: false },
        Topic::Output(Output::Changelog) => Allowed { read: true, write: true },
        Topic::Output(Output::Signals | Output::Customers | Output::DeadLetters) => {
            Allowed { read: false, write: true }
        }
    }
}

/// An empty transaction under an id of the service's prefix, with offsets that no broker takes because no member sends them.
/// It is aborted; what it shows is whether the refusal comes for want of a permission.
fn transaction_permissions(look: &Look<'_>, message_bytes_max: usize) -> Result<(), Failure> {
    let settings = look.settings;
    let id = format!("{}-{}-check", settings.application, settings.instance);
    let config = settings.producer(&id, message_bytes_max);
    let producer = TransactionalProducer::create(&config, Callbacks::new("check", None), &[])
        .map_err(|error| failure("prepare the Kafka client", error.into()))?;
    look.patiently(&format!("use the transactional id {id}"), || {
        producer.init(WITHIN).map_err(|error| refused_or(producer.callbacks(), error))
    })
    .map_err(|failed| {
        let (user, prefix) = (settings.user(), &settings.application);
        failed.for_want_of(format!(
            "{user} may not write under the transactional id {id}: grant WRITE on transactional ids with prefix {prefix}-"
        ))
    })?;
    let no_member = Membership { generation: 0, member: "none".to_owned() };
    let orders = look.name(Topic::Input(Input::Orders));
    let probe = || -> Result<(), ClientError> {
        producer.begin()?;
        let list = offset_list([(orders, 0, 0, "")].into_iter())?;
        let group = &settings.application;
        producer.send_offsets(
            &GroupOffsets { group, instance: None, membership: &no_member, list: &list },
            WITHIN,
        )
    };
    let outcome = probe().map_err(BrokerError::from);
    let aborted = producer.abort(WITHIN);
    match outcome {
        Err(error @ BrokerError::Stop(..)) => {
            let (user, group) = (settings.user(), &settings.application);
            let failed = failure(&format!("commit offsets of the group {group}"), error);
            Err(failed
                .for_want_of(format!("{user} may not read in group {group}: grant READ on group {group}")))
        }
        Ok(())
        | Err(BrokerError::Retry(_) | BrokerError::AbortTransaction(_) | BrokerError::OutcomeUnknown(..)) => {
            aborted.map_err(|error| failure("abort an empty transaction", error.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_who_may_not_fit_is_refused() {
        let customers = CustomerBytes { orders_max: 1_000, record_bytes_max: 80_000 };
        assert!(customers.fit(80_000 + BATCH_OVERHEAD_BYTES).is_ok());
        let failure = customers.fit(80_000 + BATCH_OVERHEAD_BYTES - 1).expect_err("a byte too few");
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.to_string().contains("with records.max_orders=1000 "), "{failure}");
    }
}
