//! What the Kafka clients report about themselves: librdkafka's statistics, reduced to what an operator can act on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use prometheus::{Gauge, IntCounter};

use super::{label::PerLabel, labels::Client, registrar::Registrar};

/// Numbers out of one statistics message of one client. Totals count since that client was created.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClientStatistics {
    /// The 99th percentile of the broker round trip, in seconds, of the slowest broker.
    pub round_trip_p99_seconds: f64,
    /// Records waiting in the client.
    pub queue_messages: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Requests sent again, over all brokers.
    pub retries_total: u64,
    /// Requests that timed out, over all brokers.
    pub timeouts_total: u64,
}

/// One living client. A worker holds one for its consumer and one for its producer, and a new one for a rebuilt
/// producer; dropping it takes its share out of the gauges.
#[derive(Debug)]
pub struct ClientMetrics {
    shared: Arc<Clients>,
    client: Client,
    id: u64,
}

/// All clients of the process. 10 series, however many workers there are.
#[derive(Debug)]
pub(super) struct Clients {
    round_trip_p99_seconds: PerLabel<Client, Gauge>,
    queue_messages: PerLabel<Client, Gauge>,
    queue_bytes: PerLabel<Client, Gauge>,
    retries: PerLabel<Client, IntCounter>,
    timeouts: PerLabel<Client, IntCounter>,
    living: Mutex<Living>,
}

#[derive(Debug, Default)]
struct Living {
    next_id: u64,
    last: BTreeMap<(Client, u64), ClientStatistics>,
}

impl ClientMetrics {
    /// Takes the latest statistics of this client.
    pub fn on_statistics(&self, statistics: &ClientStatistics) {
        let mut living = self.shared.living.lock().expect("no panic under this lock");
        let last = living.last.insert((self.client, self.id), *statistics).unwrap_or_default();
        // librdkafka may report a broker no more, and with it its share of a total.
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        self.shared.retries[self.client].inc_by(grown(statistics.retries_total, last.retries_total));
        self.shared.timeouts[self.client].inc_by(grown(statistics.timeouts_total, last.timeouts_total));
        self.shared.export(self.client, &living);
    }
}

impl Drop for ClientMetrics {
    fn drop(&mut self) {
        let mut living = self.shared.living.lock().expect("no panic under this lock");
        living.last.remove(&(self.client, self.id));
        self.shared.export(self.client, &living);
    }
}

impl Clients {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            round_trip_p99_seconds: registrar.gauges(
                "retention_client_round_trip_p99_seconds",
                "99th percentile of the broker round trip, of the slowest broker (2 series).",
            )?,
            queue_messages: registrar.gauges(
                "retention_client_queue_messages",
                "Records waiting in the Kafka clients (2 series).",
            )?,
            queue_bytes: registrar
                .gauges("retention_client_queue_bytes", "Bytes waiting in the Kafka clients (2 series).")?,
            retries: registrar.counters(
                "retention_client_retries_total",
                "Requests that a client sent again (2 series).",
            )?,
            timeouts: registrar.counters(
                "retention_client_timeouts_total",
                "Requests of a client that timed out (2 series).",
            )?,
            living: Mutex::default(),
        })
    }

    pub(super) fn add(self: &Arc<Self>, client: Client) -> ClientMetrics {
        let mut living = self.living.lock().expect("no panic under this lock");
        living.next_id += 1;
        ClientMetrics { shared: Arc::clone(self), client, id: living.next_id }
    }

    /// The slowest round trip and the sum of the queues.
    fn export(&self, client: Client, living: &Living) {
        let of_this_kind =
            || living.last.range((client, 0)..=(client, u64::MAX)).map(|(_, statistics)| statistics);
        let slowest = of_this_kind().map(|statistics| statistics.round_trip_p99_seconds).fold(0.0, f64::max);
        self.round_trip_p99_seconds[client].set(slowest);
        self.queue_messages[client]
            .set(of_this_kind().map(|statistics| statistics.queue_messages).sum::<u64>() as f64);
        self.queue_bytes[client]
            .set(of_this_kind().map(|statistics| statistics.queue_bytes).sum::<u64>() as f64);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn statistics(round_trip_p99_seconds: f64, queue_messages: u64, retries_total: u64) -> ClientStatistics {
        ClientStatistics {
            round_trip_p99_seconds,
            queue_messages,
            retries_total,
            ..ClientStatistics::default()
        }
    }

    #[test]
    fn clients_of_several_workers_add_up_and_a_rebuilt_one_starts_again() {
        let registry = Registry::new();
        let clients = Arc::new(Clients::new(&Registrar(&registry)).expect("names are free"));
        let exported = || {
            (
                clients.round_trip_p99_seconds[Client::Producer].get(),
                clients.queue_messages[Client::Producer].get(),
                clients.retries[Client::Producer].get(),
            )
        };
        let first = clients.add(Client::Producer);
        let second = clients.add(Client::Producer);
        first.on_statistics(&statistics(0.2, 10, 5));
        second.on_statistics(&statistics(0.1, 7, 2));
        assert_eq!(exported(), (0.2, 17.0, 7));
        first.on_statistics(&statistics(0.3, 1, 6));
        assert_eq!(exported(), (0.3, 8.0, 8));
        drop(first);
        let rebuilt = clients.add(Client::Producer);
        rebuilt.on_statistics(&statistics(0.05, 1, 1));
        assert_eq!(exported(), (0.1, 8.0, 9));
    }
}
