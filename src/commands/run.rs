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
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus::Registry;
use tokio::runtime::Runtime;
use tracing::{info, warn};

use crate::commands::cli::RunArguments;
use crate::commands::service::{self, Service, Slot, drive, tick};
use crate::config::{self, Config};
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};
use crate::kafka::{self, KafkaBroker, KafkaSettings, Layout, Role, SlotSettings, Troubles, host_wall_clock};
use crate::observe::metrics::{self, Metrics, Vocabulary};
use crate::observe::telemetry;
use crate::snapshot::{SnapshotRules, Snapshots};
use crate::stream::broker::{Broker, BrokerError};
use crate::stream::partition::restore::OnOtherOffsets;
use crate::stream::registry::RegistrySource;
use crate::stream::rules::Rules;
use crate::stream::shop_time::ShopTime;
use crate::stream::worker::Worker;
use crate::stream::worker::hub::Hub;

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
    let runtime = service::new_runtime()?;
    let service = Service::new(config, Arc::clone(&metrics), &runtime);
    let mut until = Box::pin(service::signals(&runtime)?);
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
    let examination = {
        let (settings, patience) = (Arc::clone(&settings), config.commit.patience);
        move |longer| kafka::examine(&settings, patience + longer)
    };
    let layout = match examine_until(&runtime, examination, until.as_mut()) {
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
    let ended = run_workers(service, &rules, open, until);
    ended.map_err(|failure| kafka::explain(&settings, &settings.required(&Role::Service), failure))
}

/// Runs the workers of the service, each on its own broker, and waits for the snapshots that they leave.
///
/// # Errors
/// Those of [`Service::work`].
pub fn run_workers<B: Broker>(
    service: Service<'_>,
    rules: &Rules,
    open: impl Fn(usize) -> Result<B, BrokerError> + Sync,
    until: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let run_worker = |slot: Slot<'_>| {
        let Slot { number, metrics, service, status, questions, stop } = slot;
        let hub = Hub::new(metrics, service, status, questions, tick);
        drive(Worker::new(open(number)?, rules.clone(), hub), stop)
    };
    let ended = service.work(run_worker, until);
    let snapshots = &rules.snapshots;
    if snapshots.as_ref().is_some_and(|snapshots| !snapshots.finish(SNAPSHOTS_MAX)) {
        warn!("the last snapshots were not written in time");
    }
    ended
}

/// Looks at the topics beside `until`; none if that is done first. Where no broker answers, the watch says so, a little earlier: the
/// examination is to take so much longer.
///
/// # Errors
/// Those of the examination, and those of `until`.
pub fn examine_until(
    runtime: &Runtime,
    examine: impl FnOnce(Duration) -> Result<Layout, Failure> + Send + 'static,
    until: impl Future<Output = Result<(), Failure>>,
) -> Result<Option<Layout>, Failure> {
    let examination = runtime.spawn_blocking(move || examine(EXAMINATION_LONGER));
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
    if let Some(book) = &rules.settings.rules {
        metrics.set_rules_version(&config::rules::version(book.set()));
    }
    Ok(Arc::new(metrics))
}
