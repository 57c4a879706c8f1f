//! A real Prometheus scrapes this program's own server, and every query of the boards is asked.
//!
//! What is scraped is a stand-in in which everything happens that can happen (dead letters, restores, snapshots,
//! rebalances), because a query that finds nothing must mean that the query is wrong.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ::prometheus::Registry;
use anyhow::Result;
use libtest_mimic::{Completion, Failed, Trial};
use retention_signals::config::HttpSettings;
use retention_signals::observe::http::{About, HttpContext, HttpServer};
use retention_signals::observe::metrics::{
    BatchSummary, Client, ClientStatistics, CurrencyLabel, CurrencyValues, Label, LogLevel, Metrics,
    PartitionGauges, PerLabel, RebalanceKind, TopicReason, TransactionSummary, Vocabulary,
};
use retention_signals::observe::status::{ServiceStatus, WorkerPhase};
use retention_signals::stream::query::QueryRouter;
use retention_signals::topic::{Input, Output, Partition, PerInput};
use tokio::runtime::Runtime;

use super::prometheus::{self, Prometheus};
use super::registry;

pub fn trials() -> Vec<Trial> {
    vec![Trial::ignorable_test("deploy: Prometheus finds data for every query", every_query)]
}

fn every_query() -> Result<Completion, Failed> {
    if let Some(completion) = prometheus::unavailable()? {
        return Ok(completion);
    }
    let service = StandIn::start()?;
    let prometheus = Prometheus::start(service.address)?;
    prometheus.wait_for_scrapes(|| Ok(()))?;
    prometheus.check_boards(|_, _| false)?;
    prometheus.check_rules("")?;
    Ok(Completion::Completed)
}

/// A server whose metrics move until it is dropped.
struct StandIn {
    address: SocketAddr,
    stop: Option<mpsc::Sender<()>>,
    activity: Option<JoinHandle<()>>,
    _runtime: Runtime,
}

impl StandIn {
    fn start() -> Result<Self> {
        let vocabulary = Vocabulary { version: "0", revision: "0", currencies: vec![euro()] };
        let metrics = Arc::new(Metrics::new(&Registry::new(), &vocabulary)?);
        let (status, pens) = ServiceStatus::new(1, Instant::now());
        let (queries, _questions) = QueryRouter::new(1);
        let about = About { application: "shop".to_owned(), instance: "one".to_owned(), version: "0" };
        let context = HttpContext { metrics: Arc::clone(&metrics), status, queries, about };
        let runtime = Runtime::new()?;
        let settings = HttpSettings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), token: None };
        let server = runtime.block_on(HttpServer::bind(&settings))?;
        let address = server.address();
        runtime.spawn(server.serve(context, std::future::pending()));
        let (stop, stopped) = mpsc::channel();
        let activity = std::thread::spawn(move || {
            pens[0].set_phase(WorkerPhase::Running);
            let client = metrics.client(Client::Producer);
            let combiner = metrics.begin_combining();
            combiner.set_incomplete(&registry::incomplete_days());
            combiner.show(&registry::shop_day());
            // The end of the wait is the beat of the work; it ends for good when the sender is dropped.
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(100))
            {
                client.on_statistics(&ClientStatistics::default());
                everything_happens(&metrics);
            }
        });
        Ok(Self { address, stop: Some(stop), activity: Some(activity), _runtime: runtime })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(activity) = self.activity.take() {
            let _ = activity.join();
        }
    }
}

fn euro() -> CurrencyLabel {
    CurrencyLabel::new("EUR", 2).expect("a currency")
}

fn everything_happens(metrics: &Metrics) {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let mut batch = BatchSummary {
        dead_letters: PerLabel::build(|TopicReason(topic, _)| u64::from(topic == Input::Orders)),
        values: [(euro(), CurrencyValues { orders_minor: 500, refunds_minor: 50, guest_orders_minor: 5 })]
            .into(),
        timer_delays: vec![Duration::from_secs(1)],
        outcomes: PerLabel::build(|_| 1),
        signals: PerLabel::build(|_| 1),
        transitions: PerLabel::build(|_| 1),
        output_records: PerLabel::build(|_: Output| 1),
        ..BatchSummary::default()
    };
    for topic in Input::all() {
        batch.appended_at_ms[topic].push(now_ms - 40);
        batch.happened_at_ms[topic].push(now_ms - 5_000, now_ms);
    }
    metrics.on_batch(&batch, now_ms);
    metrics.on_transaction_committed(&TransactionSummary {
        records: 4,
        committed_at_ms: now_ms,
        stages: PerLabel::build(|_| Duration::from_millis(2)),
        ..TransactionSummary::default()
    });
    metrics.set_input_retention(&PerInput([Some(Duration::from_secs(604_800)); 3]));
    metrics.on_rebalance(RebalanceKind::Assign, Duration::from_millis(300));
    metrics.on_log_message(LogLevel::Info);
    metrics.on_brokers_answer(now_ms);
    let restore = metrics.restore(Partition(0));
    restore.on_records(100, 50);
    restore.finish(Duration::from_secs(2));
    let gauges = PartitionGauges {
        clock_ms: Some(now_ms),
        state_entries: 3,
        state_bytes: 600,
        customers: PerLabel::build(|_| 1),
        window_customers: PerLabel::build(|_| 3),
        window_repeat_customers: PerLabel::build(|_| 2),
        window_orders: PerLabel::build(|_| 9),
        window_revenue_minor: [(euro(), PerLabel::build(|_| 12_345))].into(),
        ..PartitionGauges::default()
    };
    metrics.partition(Partition(0)).set(&gauges);
    metrics.on_snapshot_written(Partition(0), now_ms, 4_000, Duration::from_millis(40));
}
