//! A process with workers: HTTP beside them, and one way to end it all.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use crossbeam_channel::Receiver;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kafka::{BrokerWatch, KafkaSettings, Troubles, WatchReports};
use crate::observe::http::{About, HttpContext, HttpServer};
use crate::observe::metrics::{self, FatalKind, Metrics};
use crate::observe::status::{ServiceStatus, WorkerStatus};
use crate::stream::broker::Broker;
use crate::stream::intake::port::RawBroker;
use crate::stream::intake::worker::IntakeWorker;
use crate::stream::query::{CustomerQuery, QueryRouter};
use crate::stream::worker::{Stop, Worker};

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

/// A process with workers that is to be run, on whatever broker. From the beginning it has a status, which HTTP shows.
pub struct Service<'a> {
    pub config: &'a Config,
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
pub enum End {
    /// With a last commit.
    ShutDown,
    /// Without one: no broker would take it.
    GiveUp,
}

impl<'a> Service<'a> {
    pub fn new(config: &'a Config, metrics: Arc<Metrics>, runtime: &'a Runtime) -> Self {
        let (status, pens) = ServiceStatus::new(config.workers, Instant::now());
        let (queries, questions) = QueryRouter::new(config.workers);
        Self { config, metrics, runtime, status, pens, queries, questions }
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

    /// Runs `run_worker` on a thread for each slot; once `until` is done, or a worker fails, ends the workers.
    ///
    /// # Errors
    /// The first failure of a worker, else that of `until`.
    pub fn work(
        self,
        run_worker: impl Fn(Slot<'_>) -> Result<(), Stop> + Sync,
        until: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let Self { metrics, runtime, status, pens, questions, .. } = self;
        let stop = OnceLock::new();
        thread::scope(|scope| {
            let (ended, mut first_end) = mpsc::channel(1);
            let mut workers = Vec::new();
            for (number, (pen, questions)) in pens.into_iter().zip(questions).enumerate() {
                tick(&pen);
                let slot = Slot {
                    number,
                    metrics: &metrics,
                    service: status.clone(),
                    status: pen,
                    questions,
                    stop: &stop,
                };
                let (ended, run_worker) = (Ended(ended.clone()), &run_worker);
                let worker =
                    thread::Builder::new().name(format!("worker-{number}")).spawn_scoped(scope, move || {
                        let _ended = ended;
                        run_worker(slot)
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
            result.and(ended)
        })
    }
}

/// What a worker's thread is given.
pub struct Slot<'s> {
    pub number: usize,
    pub metrics: &'s Metrics,
    pub service: ServiceStatus,
    pub status: WorkerStatus,
    pub questions: Receiver<CustomerQuery>,
    pub stop: &'s OnceLock<End>,
}

/// What turns until it is asked to end.
pub trait Work: Sized {
    fn turn(&mut self) -> Result<(), Stop>;

    /// Ends with a last commit.
    fn shut_down(self) -> Result<(), Stop>;

    /// Ends without one.
    fn close(self);
}

impl<B: Broker> Work for Worker<'_, B> {
    fn turn(&mut self) -> Result<(), Stop> {
        Worker::turn(self)
    }

    fn shut_down(self) -> Result<(), Stop> {
        Worker::shut_down(self)
    }

    fn close(self) {
        Worker::close(self);
    }
}

impl<B: RawBroker> Work for IntakeWorker<'_, B> {
    fn turn(&mut self) -> Result<(), Stop> {
        IntakeWorker::turn(self)
    }

    fn shut_down(self) -> Result<(), Stop> {
        IntakeWorker::shut_down(self)
    }

    fn close(self) {
        IntakeWorker::close(self);
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
///
/// # Errors
/// Why it ended, if it was not asked to.
pub fn drive(mut worker: impl Work, stop: &OnceLock<End>) -> Result<(), Stop> {
    loop {
        match stop.get() {
            None => {}
            Some(End::ShutDown) => return worker.shut_down(),
            Some(End::GiveUp) => {
                worker.close();
                return Ok(());
            }
        }
        if let Err(stopped) = worker.turn() {
            worker.close();
            return Err(stopped);
        }
    }
}

/// Notes that a worker's loop has turned.
pub fn tick(status: &WorkerStatus) {
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
