//! `demo`: everything in one process, and no other software: the service as `run` runs it, on an in-process
//! cluster, in a synthetic shop whose year passes in a minute.
//!
//! ```text
//!  population ─► shop (thread) ─► orders, returns ─► the service: workers, HTTP ─► retention.signals ─► narrator (thread) ─► screen
//!                      └─► shopify.webhooks ─► intake (thread) ─┘   with --source shopify
//! ```
//!
//! Only the shop's time runs fast. Latencies, time-outs and what guards the clocks use the machine's.

pub mod arguments;
mod intake;
mod line;
mod narrator;
mod population;
mod screen;
mod shop;
mod summary;
mod tactics;
mod webhooks;

use std::future::Future;
use std::io::{self, Stdout, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::oneshot;

use crate::commands::cli::{self, CommonArguments};
use crate::commands::run::{self, StateFolder};
use crate::commands::service::{self, Service};
use crate::config::{AtEnd, Config, Purpose, Sources};
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::{Span, Time};
use crate::exit::{Exit, Failure, output_closed};
use crate::kafka::{
    KafkaBroker, KafkaSettings, Layout, MockCluster, SlotSettings, Subscriber, host_wall_clock,
};
use crate::observe::metrics::{Metrics, Overview};
use crate::observe::telemetry;
use crate::stream::broker::BrokerError;
use crate::stream::partition::restore::OnOtherOffsets;
use crate::stream::rules::Rules;
use crate::stream::shop_time::ShopTime;
use crate::stream::worker::Stop;

use arguments::{DemoArguments, DemoSource};
use intake::DemoIntake;
use narrator::Narrator;
use population::Population;
use screen::Screen;
use shop::{Form, Shop, WrittenCounts};
use summary::Summary;
use webhooks::WebhookShop;

/// A year of 365 days passes in a minute.
const FACTOR: u32 = 525_600;
/// How far the shop's clock stays behind, so that no timer fires while an order is on its way: 1.15 s of real time.
const GRACE: Span = Span::days(7);
const YEAR: Span = Span::days(365);
const PARTITIONS: u32 = 4;
/// The longest wait for written records at the end.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);
const CATCH_UP_EVERY: Duration = Duration::from_millis(20);

/// What the demo assumes where no other source sets a key.
const ASSUMED: &[(&str, &str)] = &[
    ("application", "tea-shop"),
    ("instance", "demo"),
    ("shop.currency", "EUR"),
    // The shop opens with the demo, and its first orders may be there before the partitions are assigned.
    ("signals.history", "publish"),
    // Tea is bought often, and a viewer should not wait half a minute for the first `at_risk`.
    ("lapse.cadence.prior_gap_days", "30"),
    // Information would stand between the signals.
    ("log.level", "warn"),
    ("log.format", "text"),
];

/// Runs the demo until its time is over, a signal ends it, or its output is closed.
///
/// # Errors
/// With the exit code of what stopped it.
pub fn run(common: &CommonArguments, arguments: &DemoArguments) -> Result<(), Failure> {
    let folder = TemporaryFolder::new();
    let kafka = MockCluster::start().map_err(stopped)?;
    let config = load(common, arguments, &folder, &kafka)?;
    let runtime = service::new_runtime()?;
    let wall = host_wall_clock();
    let start_ms = wall();
    let shop_time =
        ShopTime::Fast { start_ms: start_ms - YEAR.as_millis(), real_start_ms: start_ms, factor: FACTOR };
    let rules = Rules::new(&config, shop_time, OnOtherOffsets::Stop);
    let metrics = run::new_metrics(&rules)?;
    telemetry::install(&config.log, &metrics).map_err(|error| Failure::new(Exit::Internal, error))?;
    let _lock = StateFolder::lock(&config.state_dir)?;
    let signals = service::signals(&runtime)?;
    let now = || shop_time.at(wall());
    let service = Service::new(&config, Arc::clone(&metrics), &runtime);
    // Before the first line is printed: a port in use is the likeliest trouble.
    let server = service.bind()?;
    let address = server.address();
    let _http = service.serve_http(server);
    let settings = Arc::new(KafkaSettings::new(&config));
    let layout = kafka.create_topics(&settings, PARTITIONS).map_err(stopped)?;
    // The in-process cluster ends with the process, so that it is never given up.
    let (_watch, _never) = service.watch_brokers(&settings, Arc::default())?;
    let demo =
        Demo { config: &config, kafka: &kafka, settings, layout, metrics: &metrics, now: &now, arguments };
    demo.live(service, rules, address, signals)
}

/// A configuration of the demo's own: that of a real cluster has no effect here.
fn load(
    common: &CommonArguments,
    arguments: &DemoArguments,
    folder: &TemporaryFolder,
    kafka: &MockCluster,
) -> Result<Config, Failure> {
    let mut assignments = common.assignments();
    assignments.push(format!("http.listen={}", arguments.listen));
    assignments.push(format!("state_dir={}", folder.path.display()));
    assignments.push(format!("kafka.bootstrap.servers={}", kafka.bootstrap_servers()));
    match arguments.source {
        DemoSource::Native => {}
        DemoSource::Shopify => assignments.extend(intake::SOURCE.map(str::to_owned)),
    }
    let fallbacks = ASSUMED.iter().map(|(key, value)| (*key, (*value).to_owned(), "demo")).collect();
    let mut sources = Sources { assignments, fallbacks, ..Sources::default() };
    tactics::add_to(&mut sources);
    let mut config = cli::load(&sources, Purpose::Kafka)?;
    tactics::with_cut_points(&mut config);
    // Longer than the configuration allows a service on real time to wait.
    config.clock.grace = GRACE;
    config.clock.at_end = AtEnd::Wall;
    // The in-process cluster keeps no offsets of transactions, which the combiner of days needs.
    config.topics.has_shares = false;
    Ok(config)
}

/// What the threads of the demo share.
struct Demo<'a> {
    config: &'a Config,
    kafka: &'a MockCluster,
    settings: Arc<KafkaSettings>,
    layout: Layout,
    metrics: &'a Arc<Metrics>,
    /// The shop's time.
    now: &'a (dyn Fn() -> Time + Sync),
    arguments: &'a DemoArguments,
}

/// What the shop's end was like.
struct Closed {
    at: Time,
    written: WrittenCounts,
    overview: Overview,
}

impl Demo<'_> {
    /// From the opening of the shop to the summary.
    fn live(
        &self,
        service: Service<'_>,
        rules: Rules,
        address: SocketAddr,
        signals: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let opened_at = (self.now)();
        let shop = self.shop(opened_at);
        let currency = shop.currency.to_string();
        let narrator = self.narrator(&currency, address)?;
        let intake = DemoIntake::new(self.config, self.slot(self.settings.of_intake(), 0), self.metrics)?;
        let intake_stop = OnceLock::new();
        let (open, opened) = crossbeam_channel::bounded(0);
        let (end, ended) = crossbeam_channel::bounded(1);
        let (closed, closing) = oneshot::channel();
        let (narrating, silence) = oneshot::channel();
        thread::scope(|scope| {
            scope.spawn(move || drop(closed.send(shop.keep_open(&opened))));
            let intake = intake.map(|intake| scope.spawn(|| intake.run(&intake_stop)));
            let narrator = scope.spawn(move || {
                let _narrating: oneshot::Sender<()> = narrating;
                narrator.print(&ended)
            });
            let over = async {
                tokio::select! {
                    () = signals => {}
                    () = time_over(self.arguments.duration) => {}
                    _ = silence => {}
                }
            };
            let mut close = Ok(None);
            let until = async {
                close = self.keep_open(over, open, closing).await;
                Ok(())
            };
            let served = run::run_workers(service, &rules, |slot| self.open_slot(slot), until);
            let _ = intake_stop.set(service::End::ShutDown);
            let passed =
                intake.map_or(Ok(()), |intake| intake.join().expect("a panic has printed its message"));
            // The narrator waits for so many, and ends.
            let _ = end.send(self.metrics.overview().signals.iter().map(|(_, count)| count).sum());
            let read = narrator.join().expect("a panic has printed its message");
            served?;
            passed.map_err(Stop::into_failure)?;
            match (close?, read) {
                (_, Err(error)) => output_closed(error),
                (None, Ok(_)) => Ok(()),
                (Some(Closed { at: closed_at, written, overview }), Ok(signals_read)) => {
                    let summary = Summary { opened_at, closed_at, written, overview, signals_read };
                    write!(io::stdout(), "{summary}").or_else(output_closed)
                }
            }
        })
    }

    fn shop(&self, opened_at: Time) -> Shop<'_> {
        Shop {
            population: Population::new(self.arguments.seed, opened_at),
            form: match self.arguments.source {
                DemoSource::Native => Form::Native,
                DemoSource::Shopify => Form::Shopify(WebhookShop::default()),
            },
            now: self.now,
            currency: self.config.settings.shops.get(ShopIndex(0)).currency,
            kafka: self.kafka,
            topics: &self.config.topics,
        }
    }

    fn narrator<'n>(
        &'n self,
        currency: &'n str,
        address: SocketAddr,
    ) -> Result<Narrator<'n, Stdout>, Failure> {
        let (screen, paint) = Screen::stdout();
        Ok(Narrator {
            subscriber: Subscriber::start(&self.settings, &self.kafka.bootstrap_servers(), &self.layout)
                .map_err(stopped)?,
            metrics: self.metrics,
            now: self.now,
            greeting: greeting(address),
            screen,
            paint,
            currency,
        })
    }

    fn open_slot(&self, slot: usize) -> Result<KafkaBroker, BrokerError> {
        let slot = self.slot(KafkaSettings::clone(&self.settings), slot);
        KafkaBroker::open(slot, Some(Arc::clone(self.metrics)))
    }

    fn slot(&self, settings: KafkaSettings, slot: usize) -> SlotSettings {
        SlotSettings {
            settings: Arc::new(settings),
            layout: self.layout,
            slot,
            wall: host_wall_clock(),
            troubles: Arc::default(),
        }
    }

    /// Until it is over; then the shop closes, and what it has written is waited for. None if the shop has closed before.
    async fn keep_open(
        &self,
        over: impl Future<Output = ()>,
        open: Sender<()>,
        mut closing: oneshot::Receiver<Result<WrittenCounts, BrokerError>>,
    ) -> Result<Option<Closed>, Failure> {
        let early = tokio::select! {
            () = over => None,
            closed = &mut closing => Some(closed),
        };
        drop(open);
        let closed = match early {
            Some(closed) => closed,
            None => closing.await,
        };
        let Ok(written) = closed else { return Ok(None) };
        let written = written.map_err(stopped)?;
        let at = (self.now)();
        let deadline = Instant::now() + CATCH_UP_MAX;
        loop {
            let overview = self.metrics.overview();
            let applied: u64 = overview.outcomes.iter().map(|(_, count)| count).sum();
            if applied >= written.natives || Instant::now() >= deadline {
                return Ok(Some(Closed { at, written, overview }));
            }
            tokio::time::sleep(CATCH_UP_EVERY).await;
        }
    }
}

async fn time_over(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn greeting(address: SocketAddr) -> String {
    format!(
        "A synthetic tea shop, a year in a minute. Everything but Kafka, an in-process one, is as in `run`.\n\
         Live page: http://{address}/  Metrics: http://{address}/metrics  Ctrl-C ends it with a summary.\n"
    )
}

fn stopped(error: BrokerError) -> Failure {
    Stop::from(error).into_failure()
}

/// A state folder that goes with the demo.
struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Made when it is first used.
    fn new() -> Self {
        let name = format!("retention-signals-demo-{:016x}", fastrand::u64(..));
        Self { path: std::env::temp_dir().join(name) }
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // At worst an empty folder stays; that is worth no message at the end of a demo.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
