//! `check` beyond the configuration: brokers, topics, their settings, permissions, in this order. The first step that fails
//! ends it, with what to do.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::admin::Admin;
use super::context::Callbacks;
use super::error::ClientError;
use super::layout::{Look, MESSAGE_BYTES_MIN, failure};
use super::lookup::refused_or;
use super::producer::{GroupOffsets, TransactionalProducer, offset_list};
use super::rights::{self, Role, explain};
use super::settings::{KafkaSettings, Layout};
use super::slot::BATCH_OVERHEAD_BYTES;
use crate::exit::{Exit, Failure};
use crate::stream::broker::{BrokerError, Capabilities, Membership};
use crate::topic::{Input, Topic};

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
    let explained = |failure| explain(settings, &settings.required(&Role::Service), failure);
    let orders = look.name(Topic::Input(Input::Orders));
    let brokers = look.patiently("reach the brokers", || admin.broker_count(orders, WITHIN))?;
    report("brokers", &format!("{brokers} in the cluster"))?;

    let partitions = look.partitions().map_err(explained)?;
    report("topics", &format!("all there, inputs and changelog with {partitions} partitions"))?;

    let message_bytes_max = look.output_settings().map_err(explained)?;
    customers.fit(message_bytes_max)?;
    report("settings", &format!("records of up to {message_bytes_max} bytes"))?;
    let outputs = look.settings_of_outputs(&settings.topics.outputs().collect::<Vec<_>>())?;
    for remark in outputs.into_iter().flat_map(|output| output.remarks).chain(look.remarks()?) {
        report("note", &remark)?;
    }

    rights::check(&look)?;
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

/// What the brokers refused to a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Nothing,
    TransactionalId,
    Group,
}

/// An empty transaction under an id of the service's prefix, with offsets that no broker takes because no member sends them.
/// It is aborted; what it shows is whether the refusal comes for want of a permission. That of the group shows only where the id is
/// allowed.
pub(super) fn refused_transaction(look: &Look<'_>) -> Result<Refused, Failure> {
    let settings = look.settings;
    let id = format!("{}-{}-check", settings.application, settings.instance);
    let config = settings.producer(&id, MESSAGE_BYTES_MIN);
    let producer = TransactionalProducer::create(&config, Callbacks::new("check", None), &[])
        .map_err(|error| failure("prepare the Kafka client", error.into()))?;
    let opened = look.patiently(&format!("use the transactional id {id}"), || {
        producer.init(WITHIN).map_err(|error| refused_or(producer.callbacks(), error))
    });
    match opened {
        Ok(()) => {}
        Err(failure) if failure.exit == Exit::Permission => return Ok(Refused::TransactionalId),
        Err(failure) => return Err(failure),
    }
    let no_member = Membership { generation: 0, member: "none".to_owned() };
    let orders = look.name(Topic::Input(Input::Orders));
    let group = &settings.application;
    let probe = || -> Result<(), ClientError> {
        producer.begin()?;
        let list = offset_list([(orders, 0, 0, "")].into_iter())?;
        producer.send_offsets(
            &GroupOffsets { group, instance: None, membership: &no_member, list: &list },
            WITHIN,
        )
    };
    let outcome = probe();
    let aborted = producer.abort(WITHIN);
    match &outcome {
        Err(error) if error.code == RDKafkaErrorCode::GroupAuthorizationFailed => return Ok(Refused::Group),
        // A right on the topic, which its own question shows.
        Err(error) if error.code == RDKafkaErrorCode::TopicAuthorizationFailed => {
            return Ok(Refused::Nothing);
        }
        Ok(()) | Err(_) => {}
    }
    match outcome.map_err(BrokerError::from) {
        Err(error @ BrokerError::Stop(..)) => {
            Err(failure(&format!("commit offsets of the group {group}"), error))
        }
        Ok(())
        | Err(BrokerError::Retry(_) | BrokerError::AbortTransaction(_) | BrokerError::OutcomeUnknown(..)) => {
            aborted.map_err(|error| failure("abort an empty transaction", error.into()))?;
            Ok(Refused::Nothing)
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
