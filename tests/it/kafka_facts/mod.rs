//! What the exactly-once protocol takes for granted about Kafka, each as one small scenario on a real broker.
//!
//! The names say the fact. A broker or a client library in which one of them no longer holds fails here, and not as a
//! lost or doubled signal somewhere else.

mod assignment;
mod group;
mod member;
mod transactions;

use std::time::Duration;

use anyhow::{Result, bail};
use libtest_mimic::Trial;
use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use crate::kafka::{Client, Record};

/// Far above what any call takes that is not meant to block.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn trials() -> Vec<Trial> {
    [transactions::trials(), group::trials(), assignment::trials()].into_iter().flatten().collect()
}

/// A producer that has initialised `transactional_id`; what it leaves open lasts `timeout` unless someone ends it.
fn transactional_producer(
    client: &Client,
    transactional_id: &str,
    timeout: Duration,
) -> Result<BaseProducer> {
    let mut config = client.config();
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout.as_millis().to_string())
        .set("linger.ms", "0");
    let producer: BaseProducer = config.create()?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

/// Appends one record within the producer's open transaction; back when the broker has it.
fn append(producer: &BaseProducer, topic: &str, partition: i32, value: &str) -> Result<()> {
    let record = Record::new("key", value).at_partition(partition);
    producer.send(record.to(topic)).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    Ok(())
}

/// The error of a call on a transaction that had to fail.
fn transaction_error(outcome: Result<(), KafkaError>) -> Result<RDKafkaError> {
    match outcome {
        Err(KafkaError::Transaction(error)) => Ok(error),
        Err(error) => bail!("not an error of the transaction: {error}"),
        Ok(()) => bail!("the call was accepted"),
    }
}

/// What the error says must be done: its code, whether it is retriable, requires an abort, is fatal.
fn classified(error: &RDKafkaError) -> (RDKafkaErrorCode, bool, bool, bool) {
    (error.code(), error.is_retriable(), error.txn_requires_abort(), error.is_fatal())
}
