//! `run`: the workers on their threads, HTTP beside them, and one way to end it all.
//!
//! ```text
//!  main thread: tokio ─► HTTP, signals          worker threads: turn, turn, turn ... until asked to stop
//!        first signal: drain, stop the workers, exit 0          a worker fails: the others stop too, its exit code
//!        second signal: exit at once                            no broker answers for `commit.patience`: exit 69
//! ```

mod snapshot_thread;
mod state_folder;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use prometheus::Registry;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::commands::cli::RunArguments;
use crate::config::Config;
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};
use crate::kafka::{
    self, BrokerWatch, KafkaBroker, KafkaSettings, Layout, Role, SlotSettings, Troubles, WatchReports,
    host_wall_clock,
};
use crate::observe::http::{About, HttpContext, HttpServer};
use crate::observe::metrics::{self, FatalKind, Metrics, Vocabulary};
use crate::observe::status::{ServiceStatus, WorkerStatus};
use crate::observe::telemetry;
use crate::snapshot::{SnapshotRules, Snapshots};
use crate::stream::broker::{Broker, BrokerError};
use crate::stream::partition::restore::OnOtherOffsets;
use crate::stream::query::{CustomerQuery, QueryRouter};
use crate::stream::registry::RegistrySource;
use crate::stream::rules::Rules;
use crate::stream::shop_time::ShopTime;
use crate::stream::worker::hub::Hub;
use crate::stream::worker::{Stop, Worker};

pub use state_folder::StateFolder;

/// At the end, the snapshots that the workers have left are waited for so long. Without them, the next start takes longer.
const SNAPSHOTS_MAX: Duration = Duration::from_secs(20);

/// The watch on the brokers finds out within so much more than the patience that none answers.
const EXAMINATION_LONGER: Duration = Duration::from_secs(10);

/// Runs the service on the configured brokers until a signal ends it.
///
/// # Errors
/// With the exit code of what stopped it. It is the last line of the log, if logs could be set up.
pub fn run(config: &Config, arguments: &RunArguments) -> Result<(), Failure> {
    let on_other_offsets =
        if arguments.accept_offsets { OnOtherOffsets::Accept } else { OnOtherOffsets::Stop };
    let mut rules = Rules::new(config, ShopTime::Wall, on_other_offsets);
    rules.dead_letters_accepted_before_ms = arguments.accept_dead_letters_before.map(Time::as_millis);
    let metrics = new_metrics(&rules)?;
    telemetry::install(&config.log, &metrics).map_err(|error| Failure::new(Exit::Internal, error))?;
    info!(
        version = metrics::VERSION,
        revision = metrics::REVISION,
        configuration = config.digest(),
        application = config.application,
        instance = config.instance,
        workers = config.workers,
        "starting"
    );
    run_logged(config, rules, metrics)
}

fn run_logged(config: &Config, mut rules: Rules, metrics: Arc<Metrics>) -> Result<(), Failure> {
    rules.registry = RegistrySource::open(config)?;
    let _folder = StateFolder::lock(&config.state_dir)?;
    rules.snapshots = Some(start_snapshots(config, &metrics)?);
    let runtime = new_runtime()?;
    let service = Service::new(config, rules, Arc::clone(&metrics), &runtime);
    let mut until = Box::pin(signals(&runtime)?);
    // Before the brokers are asked, so that a port in use is reported at once, and probes are answered while Kafka is away.
    let http = service.serve_http(service.bind()?);
    let settings = Arc::new(KafkaSettings::new(config));
    let troubles = Arc::new(Troubles::default());
    let (watch, given_up) = service.watch_brokers(&settings, Arc::clone(&troubles))?;
    let mut until = Box::pin(async move {
        tokio::select! {
            () = until.as_mut() => Ok(()),
            Ok(failure) = given_up => Err(failure),
        }
    });
    let layout = match examine_until(&runtime, &settings, config.commit.patience, until.as_mut()) {
        Ok(Some(layout)) => layout,
        ended => {
            if ended.is_ok() {
                info!("asked to end before the topics were known");
            }
            drop((service, http, watch));
            // The examination waits for the brokers; the shutdown does not wait for the examination.
            runtime.shutdown_background();
            return ended.map(|_| ());
        }
    };
    export_retention(&settings, config.commit.patience, &metrics)?;
    let open = |slot| {
        let (settings, troubles) = (Arc::clone(&settings), Arc::clone(&troubles));
        let slot = SlotSettings { settings, layout, slot, wall: host_wall_clock(), troubles };
        KafkaBroker::open(slot, Some(Arc::clone(&metrics)))
    };
    let ended = service.work(open, until);
    ended.map_err(|failure| kafka::explain(&settings, &settings.required(&Role::Service), failure))
}

/// Looks at the topics beside `until`; none if that is done first. Where no broker answers, the watch says so, a little earlier.
fn examine_until(
    runtime: &Runtime,
    settings: &Arc<KafkaSettings>,
    patience: Duration,
    until: impl Future<Output = Result<(), Failure>>,
) -> Result<Option<Layout>, Failure> {
    let settings = Arc::clone(settings);
    let examination =
        runtime.spawn_blocking(move || kafka::examine(&settings, patience + EXAMINATION_LONGER));
    runtime.block_on(async {
        tokio::select! {
            ended = until => ended.map(|()| None),
            examined = examination => match examined {
                Ok(layout) => layout.map(Some),
                Err(error) => Err(Failure::new(Exit::Internal, error)),
            },
        }
    })
}

/// Asks how long the inputs keep their records, on a thread of its own: nothing waits for the answer.
fn export_retention(
    settings: &Arc<KafkaSettings>,
    patience: Duration,
    metrics: &Arc<Metrics>,
) -> Result<(), Failure> {
    let (settings, metrics) = (Arc::clone(settings), Arc::clone(metrics));
    thread::Builder::new()
        .name("retention".to_owned())
        .spawn(move || metrics.set_input_retention(&kafka::input_retention(&settings, patience)))
        .map(drop)
        .map_err(|error| Failure::new(Exit::Unavailable, error))
}

fn start_snapshots(config: &Config, metrics: &Arc<Metrics>) -> Result<Snapshots, Failure> {
    let rules = SnapshotRules::new(config);
    let (snapshots, writer, prepared) = Snapshots::open(&config.state_dir, rules, snapshot_thread::elapsed);
    snapshot_thread::start(writer, prepared, Arc::clone(metrics))?;
    Ok(snapshots)
}

/// The metrics of a process.
///
/// # Errors
/// None that could happen; a name registered twice would be a bug.
pub fn new_metrics(rules: &Rules) -> Result<Arc<Metrics>, Failure> {
    let mut currencies = rules.currencies.clone();
    currencies.sort();
    currencies.dedup();
    let vocabulary = Vocabulary { version: metrics::VERSION, revision: metrics::REVISION, currencies };
    let metrics =
        Metrics::new(&Registry::new(), &vocabulary).map_err(|error| Failure::new(Exit::Internal, error))?;
    Ok(Arc::new(metrics))
}

/// What HTTP and signals run on.
///
/// # Errors
/// The system has no threads left.
pub fn new_runtime() -> Result<Runtime, Failure> {
    runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, error))
}

/// A service that is to be run, on whatever broker. From the beginning it has a status, which HTTP shows.
pub struct Service<'a> {
    pub config: &'a Config,
    pub rules: Rules,
    pub metrics: Arc<Metrics>,
    pub runtime: &'a Runtime,
    status: ServiceStatus,
    pens: Vec<WorkerStatus>,
    queries: QueryRouter,
    questions: Vec<Receiver<CustomerQuery>>,
}

/// HTTP is served until this is dropped.
pub struct HttpTask {
    server: JoinHandle<()>,
}

impl Drop for HttpTask {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// How the workers are asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// With a last commit.
    ShutDown,
    /// Without one: no broker would take it.
    GiveUp,
}

impl<'a> Service<'a> {
    pub fn new(config: &'a Config, rules: Rules, metrics: Arc<Metrics>, runtime: &'a Runtime) -> Self {
        let (status, pens) = ServiceStatus::new(config.workers, Instant::now());
        let (queries, questions) = QueryRouter::new(config.workers);
        Self { config, rules, metrics, runtime, status, pens, queries, questions }
    }

    /// Takes the configured port.
    ///
    /// # Errors
    /// It is in use, or not for us.
    pub fn bind(&self) -> Result<HttpServer, Failure> {
        let server = self.runtime.block_on(HttpServer::bind(&self.config.http));
        let server = server.map_err(|error| Failure::new(Exit::Configuration, error))?;
        info!(address = %server.address(), "serving HTTP");
        Ok(server)
    }

    /// Answers from now on, whether there are workers or not.
    pub fn serve_http(&self, server: HttpServer) -> HttpTask {
        let context = HttpContext {
            metrics: Arc::clone(&self.metrics),
            status: self.status.clone(),
            queries: self.queries.clone(),
            about: About {
                application: self.config.application.clone(),
                instance: self.config.instance.clone(),
                version: metrics::VERSION,
            },
        };
        HttpTask { server: self.runtime.spawn(server.serve(context, std::future::pending())) }
    }

    /// Asks from now on whether brokers answer. Beside the watch comes the failure to end with once none has for
    /// `commit.patience`.
    ///
    /// # Errors
    /// Those of [`BrokerWatch::start`].
    pub fn watch_brokers(
        &self,
        settings: &KafkaSettings,
        troubles: Arc<Troubles>,
    ) -> Result<(BrokerWatch, oneshot::Receiver<Failure>), Failure> {
        let (status, metrics) = (self.status.clone(), Arc::clone(&self.metrics));
        BrokerWatch::start(settings, self.config.commit.patience, WatchReports { status, metrics, troubles })
    }

    /// Starts a worker for each slot; once `until` is done, or a worker fails, ends the workers.
    ///
    /// # Errors
    /// The first failure of a worker, else that of `until`.
    pub fn work<B: Broker>(
        self,
        open: impl Fn(usize) -> Result<B, BrokerError> + Sync,
        until: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let Self { rules, metrics, runtime, status, pens, questions, .. } = self;
        let stop = OnceLock::new();
        thread::scope(|scope| {
            let (ended, mut first_end) = mpsc::channel(1);
            let mut workers = Vec::new();
            for (slot, (pen, questions)) in pens.into_iter().zip(questions).enumerate() {
                tick(&pen);
                let hub = Hub::new(&metrics, status.clone(), pen, questions, tick);
                let (rules, ended, open, stop) = (rules.clone(), Ended(ended.clone()), &open, &stop);
                let worker =
                    thread::Builder::new().name(format!("worker-{slot}")).spawn_scoped(scope, move || {
                        let _ended = ended;
                        work(open(slot), rules, hub, stop)
                    });
                workers.push(worker.map_err(|error| Failure::new(Exit::Unavailable, error)));
            }
            let mut ended = Ok(());
            if workers.iter().all(Result::is_ok) {
                ended = runtime.block_on(async {
                    tokio::select! {
                        ended = until => ended,
                        _ = first_end.recv() => Ok(()),
                    }
                });
            }
            let end = match &ended {
                Ok(()) => End::ShutDown,
                Err(failure) => {
                    metrics.on_fatal_error(FatalKind::Unavailable);
                    status.fail(&failure.to_string());
                    End::GiveUp
                }
            };
            info!("shutting down");
            status.drain();
            stop.set(end).expect("set once, here");
            let results =
                workers.into_iter().map(|worker| worker.and_then(|worker| join(worker, &metrics, &status)));
            // All are waited for; the first failure counts, and one of a worker says more.
            let result: Result<(), Failure> = results.collect::<Vec<_>>().into_iter().collect();
            let snapshots = &rules.snapshots;
            if snapshots.as_ref().is_some_and(|snapshots| !snapshots.finish(SNAPSHOTS_MAX)) {
                warn!("the last snapshots were not written in time");
            }
            result.and(ended)
        })
    }
}

/// Waits for a worker's end and returns why it ended, if it was not asked to.
fn join(
    worker: ScopedJoinHandle<'_, Result<(), Stop>>,
    metrics: &Metrics,
    status: &ServiceStatus,
) -> Result<(), Failure> {
    let stopped = match worker.join() {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(stopped)) => stopped,
        Err(_) => {
            Stop::new(FatalKind::Internal, "a worker has panicked, which is a bug; the message stands above")
        }
    };
    metrics.on_fatal_error(stopped.kind);
    status.fail(&stopped.message());
    warn!(error = stopped.message(), "worker stopped");
    Err(stopped.into_failure())
}

/// Reports, when it is dropped, that a worker has ended, even by a panic.
struct Ended(mpsc::Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // A full channel carries the same message already.
        let _ = self.0.try_send(());
    }
}

/// One worker, from its first turn to its last.
fn work<B: Broker>(
    broker: Result<B, BrokerError>,
    rules: Rules,
    hub: Hub<'_>,
    stop: &OnceLock<End>,
) -> Result<(), Stop> {
    let mut processor = Worker::new(broker?, rules, hub);
    loop {
        match stop.get() {
            None => {}
            Some(End::ShutDown) => return processor.shut_down(),
            Some(End::GiveUp) => {
                processor.close();
                return Ok(());
            }
        }
        if let Err(stopped) = processor.turn() {
            processor.close();
            return Err(stopped);
        }
    }
}

fn tick(status: &WorkerStatus) {
    status.tick(Instant::now());
}

/// Done at the first SIGTERM or SIGINT. A second one ends the process at once.
///
/// # Errors
/// The system does not deliver signals.
pub fn signals(runtime: &Runtime) -> Result<impl Future<Output = ()> + use<>, Failure> {
    let _inside = runtime.enter();
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
    let (first, asked) = oneshot::channel();
    runtime.spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match first.take() {
                // The receiver is gone if the service is ending already; then this signal is the first one all the same.
                Some(first) => drop(first.send(())),
                None => std::process::exit(i32::from(Exit::Unavailable.code())),
            }
        }
    });
    Ok(async move { drop(asked.await) })
}
