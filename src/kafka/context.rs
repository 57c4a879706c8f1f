//! What the Kafka clients call back: log lines, statistics, errors, rebalances, failed deliveries.
//!
//! Callbacks run inside a poll and only record; the caller of the poll acts on it afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use tracing::{debug, info, trace, warn};

use super::error::{Call, ClientError};
use super::trouble::{self, Troubles};
use crate::observe::metrics::{ClientMetrics, ClientStatistics};
use crate::topic::Partition;

/// A decision of the group's coordinator as the client gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebalance {
    pub kind: RebalanceKind,
    /// Topics and numbers.
    pub partitions: Vec<(String, i32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RebalanceKind {
    Assigned,
    Revoked,
    Lost,
}

impl RebalanceKind {
    fn name(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Revoked => "revoked",
            Self::Lost => "lost",
        }
    }
}

/// Records what one client calls back.
pub struct Callbacks {
    /// In its log lines.
    client: &'static str,
    metrics: Option<ClientMetrics>,
    /// Where failed connections are noted.
    troubles: Arc<Troubles>,
    recorded: Mutex<Recorded>,
    /// Give partitions back at once instead of recording: the worker that would act on it has ended.
    closing: AtomicBool,
}

#[derive(Default)]
struct Recorded {
    rebalances: Vec<Rebalance>,
    /// The first failed delivery since the last begin of a transaction.
    delivery: Option<ClientError>,
    /// The last refusal of our credentials since it was last taken.
    refusal: Option<String>,
}

impl Callbacks {
    pub fn new(client: &'static str, metrics: Option<ClientMetrics>) -> Self {
        Self {
            client,
            metrics,
            troubles: Arc::default(),
            recorded: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// Notes failed connections there, beside those of the process's other clients.
    pub fn with_troubles(self, troubles: Arc<Troubles>) -> Self {
        Self { troubles, ..self }
    }

    /// Rebalances in the order in which they came.
    pub fn take_rebalances(&self) -> Vec<Rebalance> {
        std::mem::take(&mut self.recorded().rebalances)
    }

    /// The first failed delivery since this was last asked.
    pub fn take_failed_delivery(&self) -> Option<ClientError> {
        self.recorded().delivery.take()
    }

    /// The brokers' words if they refused our credentials since this was last asked.
    pub fn take_refusal(&self) -> Option<String> {
        self.recorded().refusal.take()
    }

    /// From now on, rebalances are answered where they happen.
    pub fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn recorded(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.recorded.lock().expect("no panic under this lock")
    }
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.client;
        if trouble::is_logged_of_a_connection(facility) {
            self.troubles.note(message);
        }
        if trouble::is_logged_of_a_connection(facility) || trouble::is_a_consequence(facility) {
            debug!(target: "librdkafka", client, facility, "{message}");
            return;
        }
        // The client retries nearly everything and logs it as an error; what needs an operator comes back from a call.
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => warn!(target: "librdkafka", client, facility, "{message}"),
            RDKafkaLogLevel::Notice => info!(target: "librdkafka", client, facility, "{message}"),
            RDKafkaLogLevel::Info => debug!(target: "librdkafka", client, facility, "{message}"),
            RDKafkaLogLevel::Debug => trace!(target: "librdkafka", client, facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(metrics) = &self.metrics {
            metrics.on_statistics(&reduce(&statistics));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let client = self.client;
        let code = error.rdkafka_error_code();
        if trouble::is_of_a_connection(code) {
            self.troubles.note(reason);
            debug!(client, reason, "kafka client reports {error}");
        } else {
            warn!(client, reason, "kafka client reports {error}");
        }
        if matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed))
        {
            self.recorded().refusal = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let answer = if assigned {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answer {
                warn!(%error, "rebalance during the close not answered");
            }
            return;
        }
        let kind = if assigned {
            RebalanceKind::Assigned
        } else if consumer.assignment_lost() {
            RebalanceKind::Lost
        } else {
            RebalanceKind::Revoked
        };
        let elements = list.elements();
        let partitions = elements.iter().map(|element| (element.topic().to_owned(), element.partition()));
        let event = Rebalance { kind, partitions: partitions.collect() };
        debug!(kind = kind.name(), partitions = event.partitions.len(), "rebalance recorded");
        self.recorded().rebalances.push(event);
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, _)) = result else { return };
        let error = ClientError::from_kafka(Call::Flush, error);
        let mut recorded = self.recorded();
        // Purged records are what an earlier failure leaves; the cause is worth more.
        let replace = match &recorded.delivery {
            None => true,
            Some(known) => known.is_consequence() && !error.is_consequence(),
        };
        if replace {
            recorded.delivery = Some(error);
        }
    }
}

/// A partition number as the client gives it.
pub(super) fn partition(number: i32) -> Partition {
    Partition(u32::try_from(number).expect("assigned partitions are not negative"))
}

fn reduce(statistics: &Statistics) -> ClientStatistics {
    let mut reduced = ClientStatistics {
        queue_messages: statistics.msg_cnt,
        queue_bytes: statistics.msg_size,
        ..ClientStatistics::default()
    };
    for broker in statistics.brokers.values() {
        let slowest = broker.rtt.as_ref().map_or(0, |window| window.p99);
        reduced.round_trip_p99_seconds = reduced.round_trip_p99_seconds.max(slowest as f64 / 1e6);
        reduced.retries_total += broker.txretries;
        reduced.timeouts_total += broker.req_timeouts;
    }
    for partition in statistics.topics.values().flat_map(|topic| topic.partitions.values()) {
        reduced.queue_messages += unsigned(partition.fetchq_cnt);
        reduced.queue_bytes += partition.fetchq_size;
    }
    reduced
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
